"""What a table of figures is, and how it is printed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Table", "seconds", "show"]


@dataclass(frozen=True)
class Table:
    """One table of figures.

    Attributes
    ----------
    name : str
        On the command line; no core's name.
    title : str
        Above the table.
    columns : tuple of str
        Heads, each another one; that of the first column says what a row is.
    rows : callable
        Gives the rows as they come: sequences of cells as long as `columns`, or what `cells` takes. Takes names of
        cores where `by_core`, and the path of a Liberty file where `liberty`.
    cells : callable, optional
        Where a row is a dictionary with more than is printed, gives its cells.
    key : tuple of str
        The columns, or entries of such a dictionary, that tell rows of one library apart: the first column where empty.
    units : dict of str to str
        Units, where the head is none. Where it has no unit either, a cell is a name, a number of something or a ratio.
    tools : tuple of str
        The tools that the figures come of, where a row does not say so itself.
    estimates : bool
        Whether the figures are those tools' estimates.
    timed : tuple of str
        Columns that are of this machine and hour, so that only their ratio to the first row of the same run is kept.
    by_core, liberty : bool
        What `rows` takes.
    rare : bool
        Whether it takes an hour, so that it is only printed where it is named.
    kept : bool
        Whether its rows are figures to keep.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Callable[..., Iterable]
    cells: Callable | None = None
    key: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    estimates: bool = False
    timed: tuple[str, ...] = ()
    by_core: bool = False
    liberty: bool = False
    rare: bool = False
    kept: bool = True

    def shown(self, cores, liberty):
        """Whether it is printed where no table is named, but `cores` are, or a Liberty file is there."""
        return not self.rare and (self.by_core or not cores) and (liberty or not self.liberty)

    @property
    def identity(self):
        """The columns, or entries, that tell rows apart."""
        return (("library",) if self.liberty else ()) + (self.key or self.columns[:1])

    @property
    def command(self):
        """What measures it."""
        return f"python tests/figures {self.name}" + (" LIBERTY" if self.liberty else "")


def show(table, cores, liberty=None, keep=lambda row: None):
    """Print a table, aligned, row by row as they come; of some cores, and of a Liberty file, where it has them.

    `keep` is called with each row.
    """
    given = {"names": cores} if table.by_core else {}
    given |= {"liberty": liberty} if table.liberty else {}
    print(f"\n{table.title}" + (f", in {liberty.name}" if table.liberty else ""))
    widths = [36, *(max(15, len(name) + 2) for name in table.columns[1:])]
    _line(table.columns, widths)
    for row in table.rows(**given):
        _line(table.cells(row) if table.cells else row, widths)
        keep(row)


def _line(cells, widths):
    # Also a cell that is wider than its column is apart from the next one.
    print(" ".join(str(cell).rjust(width - 1) for cell, width in zip(cells, widths, strict=True)), flush=True)


def seconds(function, clock=time.perf_counter):
    """What a call takes: the least of five."""
    taken = []
    for _ in range(5):
        start = clock()
        function()
        taken.append(clock() - start)
    return min(taken)
