"""All rows of a comparison, side by side."""

from dataclasses import dataclass
from pathlib import Path

from ..golden.workloads.comparison import models, rows
from ..synth import flow
from ..tools import workers
from . import cost
from .measure import measure

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """What is compared, and how.

    Parameters
    ----------
    model : str
        As of `models.subject`.
    names : tuple of str or None
        Of rows; None: all.
    way : str
        As of `measure`.
    inputs, tokens : int or None
        As of `models.subject`.
    part : str or None
        Measure the rows' cores on this part.
    liberty : Path or None
        Measure their area in this cell library.
    more : Path or None
        As of `rows.table`.
    trained : tuple of str
        Further rows, ``ROW=FOLDER`` as of `rows.lookup`; each ROW once.

    Raises
    ------
    ValueError, OSError
        Whatever is wrong with it, before any work is done.
    """

    model: str
    names: tuple | None = None
    way: str = "golden"
    inputs: int | None = None
    tokens: int | None = None
    part: str | None = None
    liberty: Path | None = None
    more: Path | None = None
    trained: tuple = ()

    def __post_init__(self):
        chosen = [rows.lookup(name, self.more) for name in (*(self.names or ()), *self.trained)]
        trained = [row for row in chosen if row.trained]
        for row in trained:
            if [other.name for other in trained].count(row.name) > 1:
                raise ValueError(f"a row must have trained weights once, not {row.name!r} twice")
        for part, liberty in ((self.part, None), (None, self.liberty)):
            if part or liberty:
                flow.check_request(part, liberty, freq=None, seed=1)
        subject = models.subject(self.model, self.inputs, self.tokens)
        for row in trained:
            subject.trained(row.trained)

    def run(self, jobs, progress):
        """Measure all rows.

        Parameters
        ----------
        jobs : int or None
            As of `workers.results`.
        progress : callable
            Takes a text; gives a context manager of a callable, called with (done, total) rows.

        Returns
        -------
        dict
            That JSON can hold: `model`, `inputs`, `tokens`; `rows`, the records of `measure`, with `fpga` and `area` as
            of `cost` where these were asked for.

        Raises
        ------
        ValueError, ToolMissing, ToolFailed
            As `measure` and `cost`, naming the row.
        """
        names = (*(self.names or rows.table(self.more)), *self.trained)
        with progress("rows") as told:
            calls = {name: (self.model, name, self.inputs, self.tokens, self.way, self.more) for name in names}
            records = workers.results(measure, calls, jobs, told)
        for key, function, place in (("fpga", cost.fpga, self.part), ("area", cost.area, self.liberty)):
            if place:
                with progress(f"costs on {place}") as told:
                    calls = {name: (name, place, self.more) for name in names}
                    costs = workers.results(function, calls, jobs, told)
                records = [record | {key: made} for record, made in zip(records, costs, strict=True)]
        return {"model": self.model, "inputs": self.inputs, "tokens": self.tokens, "rows": records}
