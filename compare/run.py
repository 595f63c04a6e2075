"""All rows of a comparison, side by side."""

import math
from dataclasses import dataclass
from pathlib import Path

from ..golden.workloads.comparison import models, rows
from ..synth import flow, liberty
from ..synth.energy import voltage
from ..tools import workers
from . import cost, energy
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
        Measure their area and their switching energy in this cell library.
    byte_energy : float or None
        pJ that a byte costs which is moved, 0 or more; None: `energy.BYTE_ENERGY`. Takes `liberty`.
    more : Path or None
        As of `rows.table`.

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

    def __post_init__(self):
        known = rows.table(self.more)
        for name in self.names or ():
            if name not in known:
                raise ValueError(f"unknown row {name!r}: there are {', '.join(known)}")
        for part, library in ((self.part, None), (None, self.liberty)):
            if part or library:
                flow.check_request(part, library, freq=None, seed=1)
        if self.liberty:
            voltage(liberty.read(self.liberty))
        if self.byte_energy is not None and not self.liberty:
            raise ValueError(
                f"the energy of a byte, {self.byte_energy} pJ, takes a Liberty file: it is added to switching"
            )
        if self.byte_energy is not None and not 0 <= self.byte_energy < math.inf:
            raise ValueError(f"the energy of a byte must be 0 pJ or more, not {self.byte_energy}")
        models.subject(self.model, self.inputs, self.tokens)

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
            of `cost` and `energy` as of `energy.combined` where these were asked for.

        Raises
        ------
        ValueError, ToolMissing, ToolFailed
            As `measure`, `cost` and `energy`, naming the row.
        """
        names = self.names or tuple(rows.table(self.more))
        with progress("rows") as told:
            calls = {name: (self.model, name, self.inputs, self.tokens, self.way, self.more) for name in names}
            records = workers.results(measure, calls, jobs, told)
        library = liberty.read(self.liberty) if self.liberty else None
        for key, function, place, said in (
            ("fpga", cost.fpga, self.part, self.part),
            ("area", cost.area, library, self.liberty),
        ):
            if place:
                with progress(f"costs on {said}") as told:
                    calls = {name: (name, place, self.more) for name in names}
                    costs = workers.results(function, calls, jobs, told)
                records = [record | {key: made} for record, made in zip(records, costs, strict=True)]
        if library:
            records = self._energies(records, library, jobs, progress)
        return {"model": self.model, "inputs": self.inputs, "tokens": self.tokens, "rows": records}

    def _energies(self, records, library, jobs, progress):
        """The records with `energy`."""
        byte_energy = energy.BYTE_ENERGY if self.byte_energy is None else self.byte_energy
        with progress(f"switching in {self.liberty}") as told:
            names = [record["row"] for record in records]
            calls = {name: (self.model, name, library, self.inputs, self.tokens, self.more) for name in names}
            measured = workers.results(energy.energy, calls, jobs, told)
        pairs = zip(records, measured, strict=True)
        return [record | {"energy": energy.combined(record, made, byte_energy)} for record, made in pairs]
