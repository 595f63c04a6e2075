"""What a table of figures is, and how it is printed."""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
        Heads; that of the first column says what a row is.
    rows : callable
        Gives the rows as they come, sequences of cells as long as `columns`. Takes names of cores where `by_core`, and
        the path of a Liberty file where `liberty`.
    by_core, liberty : bool
        What `rows` takes.
    rare : bool
        Whether it takes an hour, so that it is only printed where it is named.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Callable[..., Iterable]
    by_core: bool = False
    liberty: bool = False
    rare: bool = False

    def shown(self, cores, liberty):
        """Whether it is printed where no table is named, but `cores` are, or a Liberty file is there."""
        return not self.rare and (self.by_core or not cores) and (liberty or not self.liberty)


def show(table, cores, liberty=None):
    """Print a table, aligned, row by row as they come; of some cores, and of a Liberty file, where it has them."""
    given = {"names": cores} if table.by_core else {}
    given |= {"liberty": liberty} if table.liberty else {}
    print(f"\n{table.title}" + (f", in {liberty.name}" if table.liberty else ""))
    widths = [36, *(max(15, len(name) + 2) for name in table.columns[1:])]
    for row in itertools.chain([table.columns], table.rows(**given)):
        # Also a cell that is wider than its column is apart from the next one.
        print(" ".join(str(cell).rjust(width - 1) for cell, width in zip(row, widths, strict=True)), flush=True)


def seconds(function):
    """What a call takes: the least of five."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)
