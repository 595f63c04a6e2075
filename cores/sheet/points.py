"""What the history knows of a core in a configuration on a part or board: a point for each release."""

import math
from dataclasses import dataclass

from ..catalogue import CATALOGUE
from . import measured
from .changes import between, logic

__all__ = ["COLUMNS", "Line", "lines"]

#: The figures that are shown.
COLUMNS = ("LUT or LC", "FF", "DSP", "Fmax, MHz")
#: What a change of logic, and of clock, is called.
_WORDS = {("worse", 0): "more logic", ("better", 0): "less logic", ("worse", 3): "slower", ("better", 3): "faster"}


@dataclass(frozen=True)
class Point:
    """A row of a release, and the changes from the one before it; `row` is None where it was not measured."""

    release: str
    row: dict | None
    before: str = ""
    changes: tuple = ()

    def figures(self):
        """What the columns show; None for what is not known."""
        uses = self.row["uses"]
        multipliers = next((used for name, used in uses.items() if name.startswith("DSP")), None)
        return uses.get(logic(self.row)), uses.get("FF"), multipliers, self.row["fmax_mhz"]

    def change(self, column):
        """The change of what a column shows, or None."""
        names = {0: ("LUT4", "LUT", "LC"), 1: ("FF",), 2: ("DSP", "DSP 9x9"), 3: ("fmax_mhz",)}[column]
        return next((change for change in self.changes if change.figure in names), None)

    def verdict(self, column):
        """`worse`, `better` or nothing."""
        change = self.change(column)
        return change.verdict() if change else ""

    def words(self, column):
        """What is pointed out, or nothing."""
        return _WORDS.get((self.verdict(column), column), "")

    def share(self, column):
        """By how much a figure changed, or nothing."""
        change = self.change(column)
        return f"{change.percent:+.1f}\u00a0%" if change and math.isfinite(change.percent) else ""


@dataclass(frozen=True)
class Line:
    """A core in a configuration at a place, over the releases."""

    core: str
    configuration: str
    place: str
    points: tuple

    @property
    def known(self):
        """Its points where it was measured."""
        return [point for point in self.points if point.row]


def lines(releases, name):
    """The lines of a table, in the order of the catalogue; of cores that are no more, none.

    Parameters
    ----------
    releases : list of dict
        As `measured.releases` gives them.
    name : str
        `synth` or `boards`.

    Returns
    -------
    list of Line
    """
    tables = [figures["tables"].get(name, {"key": [], "rows": []}) for figures in releases]
    rows = [{measured.identity(table, row): row for row in table["rows"]} for table in tables]
    order = list(CATALOGUE)
    keys = {key for each in rows for key in each if key[0] in order}
    made = []
    for key in sorted(keys, key=lambda key: (order.index(key[0]), key)):
        points, last = [], None
        for figures, table, each in zip(releases, tables, rows, strict=True):
            row = each.get(key)
            changed = tuple(between(table, last.row, row)) if last and row else ()
            points.append(Point(figures["release"], row, last.release if last else "", changed))
            last = points[-1] if row else last
        made.append(_line(last.row, name, tuple(points)))
    return made


def _line(row, name, points):
    if name == "boards":
        # A board has a configuration of its own, which may be another one in each release.
        return Line(row["core"], "the board's", row["board"], points)
    configuration = f"`{' '.join(row['parameters'])}`" if row["parameters"] else "default"
    return Line(row["core"], configuration, row["target"], points)
