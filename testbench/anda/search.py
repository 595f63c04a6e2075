"""The precision search as a file keeps it: each step is saved once measured, and a search that was ended goes on."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ...golden import strict_json
from ...golden.workloads import anda_search
from ...tools.files import atomic_write, is_plain

__all__ = ["KeptSearch", "kept_search"]


@dataclass
class KeptSearch:
    """A search and its file.

    Attributes
    ----------
    path : Path
        The file.
    settings : dict
        What decides the search, as `golden.workloads.anda_search.record` takes it.
    iterations : int
        Steps at most.
    reference : float or None
        Quality with FP16 activations; None until it was measured.
    known : dict
        Combination to quality, of an earlier search.
    steps : list of Step
        Those that were taken.
    """

    path: Path
    settings: dict
    iterations: int
    reference: float | None = None
    known: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)

    def run(self, measure, macs, tolerance):
        """Take all steps, one at a time; parameters as of `anda_search.search`.

        A file that is plain is written after each step that was measured anew.

        Yields
        ------
        Step
        """
        search = anda_search.search(
            measure, self.reference, macs, tolerance, iterations=self.iterations, known=self.known
        )
        for step in search:
            self.steps.append(step)
            if step.combination not in self.known and is_plain(self.path):
                self.save()
            yield step

    @property
    def best(self):
        """The cheapest step that was accepted, or None."""
        return anda_search.last_accepted(self.steps)

    def save(self, **more):
        """Write the file, complete or not at all; `more` goes into the record."""
        record = anda_search.record(self.settings, self.reference, self.steps, self.iterations, **more)
        atomic_write(self.path, strict_json.dumps(record, indent=2) + "\n")


def kept_search(path, settings, iterations):
    """The search that a file holds, or a new one if there is no file.

    Raises
    ------
    ValueError
        If the file holds something else, or a search with other settings or more steps.
    """
    if not (is_plain(path) and path.is_file()):
        return KeptSearch(path, settings, iterations)
    try:
        reference, known = anda_search.recall(json.loads(path.read_bytes()), settings, iterations)
    except ValueError as error:
        raise ValueError(f"{path} cannot be continued, name another file with -o: {error}") from None
    return KeptSearch(path, settings, iterations, reference, known)
