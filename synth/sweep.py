"""One core in many configurations, measured side by side.

Each point is generated and synthesized in a worker process, as much of it is Python.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..cores.catalogue import Core, lookup
from ..cores.config import Config
from ..cores.generate import generate
from ..tools.pool import pool
from . import liberty as libraries
from .flow import check_request, synthesize
from .report import Report
from .room import TooSmall

__all__ = ["DEFAULT_TARGET", "Figure", "Point", "Sweep", "plan", "run"]

#: The part of a sweep that names none: the largest.
DEFAULT_TARGET = "ecp5-85k"


@dataclass(frozen=True)
class Point:
    """One configuration.

    Attributes
    ----------
    values : dict of str to str
        What the swept parameters are here, as text.
    config : Config
        All parameters.
    """

    values: dict[str, str]
    config: Config

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.values.items())


@dataclass(frozen=True)
class Figure:
    """One number at every point; None where there is none. `available` is what the part holds of it."""

    name: str
    values: tuple[float | None, ...]
    available: int | None = None


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    core : str
        Name in the catalogue.
    target : str
        Name of the part as the option `--target` takes it, or of the Liberty library.
    points : tuple of Point
        In the order that was asked for: the last parameter changes fastest.
    results : tuple of Report or TooSmall
        Of each point.
    freq : float or None
        MHz that every point should reach.
    """

    core: str
    target: str
    points: tuple[Point, ...]
    results: tuple[Report | TooSmall, ...]
    freq: float | None

    @property
    def reports(self) -> list[Report]:
        """Results of the points that fit."""
        return [result for result in self.results if isinstance(result, Report)]

    @property
    def met(self) -> bool | None:
        """Whether every point reaches the frequency that was asked for; None when none was asked for."""
        if self.freq is None:
            return None
        return all(isinstance(result, Report) and result.met for result in self.results)

    @property
    def fixed(self) -> list[str]:
        """``NAME=VALUE`` of what is neither swept nor a default."""
        swept = self.points[0].values
        return [text for text in self.points[0].config.assignments() if text.partition("=")[0] not in swept]

    @property
    def wording(self) -> str:
        """How to quote a number of this sweep."""
        return self.reports[0].wording if self.reports else "estimate"

    @property
    def notes(self) -> list[str]:
        """The reports' notes, each once."""
        return list(dict.fromkeys(note for report in self.reports for note in report.notes))

    @property
    def figures(self) -> list[Figure]:
        """Columns of the table: LUT4, FF, DSP, memories where there are any, Fmax; or the areas of a cell library."""
        if any(report.area for report in self.reports):
            areas = [report.area for report in self.reports]
            return [
                Figure("area", tuple(area.area for area in areas)),
                Figure("NAND2 equivalents", tuple(area.nand2_equivalents for area in areas)),
                Figure("cells", tuple(area.cells for area in areas)),
                Figure("flip-flops", tuple(area.flip_flops for area in areas)),
            ]
        utilization = []
        for uses in zip(*(result.uses for result in self.results), strict=True):
            name = uses[0].name
            always = name in ("LUT4", "FF") or name.startswith("DSP")
            if always or ("RAM" in name and any(use.used for use in uses)):
                utilization.append(Figure(name, tuple(use.used for use in uses), uses[0].available))
        speeds = [result.fmax_mhz if isinstance(result, Report) else None for result in self.results]
        return [*utilization, Figure("Fmax MHz", tuple(speeds))]

    def table(self) -> tuple[list[str], list[list]]:
        """Names of the columns, and a row for each point."""
        figures = self.figures
        columns = [*self.points[0].values, *(figure.name for figure in figures)]
        rows = [
            [*point.values.values(), *(f"{v:.1f}" if isinstance(v, float) else v for v in numbers)]
            for point, numbers in zip(
                self.points, zip(*(figure.values for figure in figures), strict=True), strict=True
            )
        ]
        if len(self.reports) < len(self.results):
            columns.append("fit")
            for row, result in zip(rows, self.results, strict=True):
                row.append(f"too large: {result.missing}" if isinstance(result, TooSmall) else "yes")
        return columns, rows

    def to_dict(self) -> dict:
        """Everything as JSON can hold it."""
        points = []
        for point, result in zip(self.points, self.results, strict=True):
            fits = isinstance(result, Report)
            told = {"report": result.to_dict()} if fits else {"report": None, "error": str(result)}
            points.append({"parameters": point.config.to_dict(), "fits": fits, **told})
        swept = list(self.points[0].values)
        return {"core": self.core, "target": self.target, "swept": swept, "met": self.met, "points": points}


def plan(core: Core, parameters: Sequence[str], assignments: Sequence[str]) -> tuple[Point, ...]:
    """Make the points of a sweep: every combination of the values, the last parameter changing fastest.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    parameters : sequence of str
        ``NAME=VALUE`` of what is the same everywhere.
    assignments : sequence of str
        ``NAME=V1,V2,...`` of what is swept.

    Raises
    ------
    ValueError
        Nothing to sweep, a text of another form, a name or a value that is given twice, a combination that is illegal.
    """
    if not assignments:
        raise ValueError("a sweep needs what to sweep, as NAME=V1,V2,…")
    swept: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, values = assignment.partition("=")
        if not (equals and name and all(values.split(","))):
            raise ValueError(f"what is swept must be given as NAME=V1,V2,…, not {assignment!r}")
        if name in swept:
            raise ValueError(f"{name!r} is swept twice")
        swept[name] = values.split(",")
    points: dict[Config, Point] = {}
    for combination in itertools.product(*swept.values()):
        chosen = [f"{name}={value}" for name, value in zip(swept, combination, strict=True)]
        point = " ".join(chosen)
        try:
            config = core.config.parse([*parameters, *chosen])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{point}: {error}") from None
        if config in points:
            raise ValueError(f"{point} is given twice: as {points[config]}")
        values = config.to_dict()
        points[config] = Point({name: _text(values[name]) for name in swept}, config)
    return tuple(points.values())


def _text(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def run(
    core: Core,
    points: Sequence[Point],
    part: str | None = None,
    liberty: str | os.PathLike | None = None,
    freq: float | None = None,
    seed: int = 1,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    scheduler: str | None = None,
) -> Sweep:
    """Measure every point.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    points : sequence of Point
        What `plan` gave.
    part, liberty, freq, seed
        As for `flow.synthesize`.
    jobs : int or None
        Points at a time, 1 or more; by default one for each CPU. Not with a scheduler.
    progress : callable, optional
        Called with (done, total) points.
    scheduler : str or None
        Address of a dask.distributed scheduler whose workers measure the points.

    Returns
    -------
    Sweep
        A point that does not fit on the part has its `TooSmall` in place of a report.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As `flow.synthesize`, the point named, and the other points are stopped; as `pool`.
    """
    if check_request(part, liberty, freq, seed) is None:
        # Once, as it may be a pipe.
        liberty = libraries.read(liberty)
    place = part or liberty.name
    request = {"part": part, "liberty": liberty, "freq": freq, "seed": seed}
    calls = {str(point): (core.name, point.config, request) for point in points}
    with pool(jobs, scheduler) as results:
        measured = tuple(results(_measure, calls, progress=progress))
    return Sweep(core.name, place, tuple(points), measured, freq)


def _measure(core: str, config: Config, request: dict) -> Report | TooSmall:
    """Generate and synthesize one point."""
    try:
        return synthesize(generate(lookup(core), config), **request)
    except TooSmall as error:
        return error
