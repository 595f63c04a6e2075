"""All rows of a comparison, side by side."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from ..golden import strict_json
from ..golden.workloads.comparison import models, rows
from ..synth import flow, liberty, parts
from ..synth.energy import voltage
from ..tools import finding
from ..tools.files import atomic_write
from ..tools.pool import pool
from . import cost, energy
from .measure import entry, measure

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
        Measure their area and their switching energy in this cell library.
    byte_energy : float or None
        pJ that a byte costs which is moved, 0 or more; None: `energy.BYTE_ENERGY`. Takes `liberty`.
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
    byte_energy: float | None = None
    trained: tuple = ()

    def __post_init__(self):
        chosen = [rows.lookup(name, self.more) for name in (*(self.names or ()), *self.trained)]
        for place, row in enumerate(chosen):
            if row.name in [other.name for other in chosen[:place]]:
                raise ValueError(f"the row {row.name!r} is given twice")
        for part, library in ((self.part, None), (None, self.liberty)):
            if part or library:
                flow.check_request(part, library, freq=None, seed=1)
        if self.byte_energy is not None and not self.liberty:
            raise ValueError(
                f"the energy of a byte, {self.byte_energy} pJ, takes a Liberty file: it is added to switching"
            )
        if self.byte_energy is not None and not 0 <= self.byte_energy < math.inf:
            raise ValueError(f"the energy of a byte must be 0 pJ or more, not {self.byte_energy}")
        # Once: of what is large, nothing is held while others work; of what may be a pipe, nothing is read again.
        subject = models.subject(self.model, self.inputs, self.tokens)
        trained = {name: rows.lookup(name, self.more).trained for name in self.trained}
        once = {
            "_library": liberty.read(self.liberty) if self.liberty else None,
            "_fingerprint": subject.fingerprint(),
            "_trained": {name: subject.trained(folder).fingerprint() for name, folder in trained.items()},
        }
        for name, value in once.items():
            object.__setattr__(self, name, value)
        if self._library:
            voltage(self._library)

    def run(self, jobs, progress, scheduler=None):
        """Measure all rows; what was measured before is taken from there.

        Parameters
        ----------
        jobs, scheduler
            As of `pool`.
        progress : callable
            Takes a text; gives a context manager of a callable, called with (done, total) rows.

        Returns
        -------
        dict
            That JSON can hold: `model`, `inputs`, `tokens`; `rows`, the records of `measure`, with `fpga` and `area` as
            of `cost` and `energy` as of `energy.combined` where these were asked for.

        Raises
        ------
        ValueError, ToolMissing, ToolFailed
            As `pool`, and as `measure`, `cost` and `energy`, naming the row.
        """
        if scheduler is None:
            self._find_tools()
        # Workers have another folder to start from.
        more = self.more and Path(self.more).absolute()
        trained = {_placed(name) if scheduler else name: self._trained[name] for name in self.trained}
        names = (*(self.names or rows.table(more)), *trained)
        with pool(jobs, scheduler, [more] if more else []) as results:
            with progress("rows") as told:
                records = self._rows(names, trained, more, results, told)
            for key, function, place in (("fpga", cost.fpga, self.part), ("area", cost.area, self._library)):
                if place:
                    with progress(f"costs on {place if place == self.part else self.liberty}") as told:
                        calls = {name: (name, place, more) for name in names}
                        costs = results(function, calls, progress=told)
                    records = [record | {key: made} for record, made in zip(records, costs, strict=True)]
            if self._library:
                records = self._energies(names, records, more, results, progress)
        return {"model": self.model, "inputs": self.inputs, "tokens": self.tokens, "rows": records}

    def _find_tools(self):
        """Refuse, before minutes of work, what is measured with tools that are not here."""
        wanted = ["verilator", "g++", "make"] if self.way == "rtl" else []
        if self.part or self.liberty:
            wanted.append("yosys")
        if self.part:
            wanted.append(parts.lookup(self.part).flow.place_and_route)
        for tool in wanted:
            finding.find(tool, override=True if tool == "yosys" else None)

    def _rows(self, names, trained, more, results, told):
        """The rows' records: those that are kept, and the others, kept as soon as each is there."""
        prints = {name: trained.get(name, self._fingerprint) for name in names}
        kept = {name: entry(prints[name], rows.lookup(name, more), self.way, more) for name in names}
        missing = [name for name in names if not kept[name].is_file()]
        before = len(names) - len(missing)
        told(before, len(names))
        model = self.model if self.model in models.MODELS else str(Path(self.model).absolute())
        arguments = self.inputs, self.tokens, self.way, more
        if missing:
            results(
                measure,
                {name: (model, name, *arguments, prints[name]) for name in missing},
                progress=lambda done, total: told(before + done, before + total),
                each=lambda name, record: kept[name].is_file() or atomic_write(kept[name], strict_json.dumps(record)),
            )
        return [json.loads(kept[name].read_text()) for name in names]

    def _energies(self, names, records, more, results, progress):
        """The records with `energy`, None where there is no core."""
        byte_energy = energy.BYTE_ENERGY if self.byte_energy is None else self.byte_energy
        model = self.model if self.model in models.MODELS else str(Path(self.model).absolute())
        with progress(f"switching in {self.liberty}") as told:
            calls = {name: (model, name, self._library, self.inputs, self.tokens, more) for name in names}
            measured = results(energy.energy, calls, progress=told)
        pairs = zip(records, measured, strict=True)
        return [record | {"energy": made and energy.combined(record, made, byte_energy)} for record, made in pairs]


def _placed(name):
    """A row with trained weights, the folder as others find it."""
    row, _, folder = name.partition("=")
    return f"{row}={Path(folder).absolute()}"
