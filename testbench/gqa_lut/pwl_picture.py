"""The picture of a table search: the function, its piecewise-linear form, the error, and the error at every scale."""

import os

import numpy as np

from ...golden.gqa_lut import pwl
from ...golden.gqa_lut.pwl import PwlTable
from ...golden.gqa_lut.pwl_functions import Function
from ...tools.pictures import picture

__all__ = ["draw"]

_FUNCTION, _TABLE = "#0072b2", "#d55e00"
_SCALE = 5


def draw(path: str | os.PathLike, function: Function, tables: dict[int, PwlTable], title: str) -> None:
    """Save the function and its table, their difference, and, of more scales than one, the error at each.

    Function and table are those at the scale 2**-5, or at the nearest one that there is, at every code that counts, and
    no further than one length of the search's interval beyond it.

    Parameters
    ----------
    path : path
        Its suffix, one of `pictures.SUFFIXES`, decides the kind of picture.
    function : Function
    tables : dict of int to PwlTable
        By scale s. The same tables give the same bytes.
    title : str
    """
    scale = min(tables, key=lambda s: (abs(s - _SCALE), s))
    with picture(path, 8, 6.4 if len(tables) > 1 else 5) as figure:
        ratios = [2, 1, 1] if len(tables) > 1 else [2, 1]
        panels = figure.subplots(len(ratios), 1, height_ratios=ratios)
        _fill(panels[0], panels[1], function, tables[scale], scale)
        if len(tables) > 1:
            _scales(panels[2], function, tables)
        figure.suptitle(title, fontsize=10)


def _fill(above, below, function, table, s):
    codes, error = function.codes(s), pwl.errors(table, s, function)
    x = function.inputs(codes, s)
    room = function.high - function.low
    inside = (function.low - room <= x) & (x <= function.high + room)
    order = np.flatnonzero(inside)[np.argsort(x[inside])]
    codes, x, error = codes[order], x[order], error[order]
    exact = function(x)
    above.plot(x, exact, color=_FUNCTION, linewidth=3, alpha=0.45, label=function.text)
    # Segment by segment: between them the table jumps.
    entry = np.searchsorted(table.thresholds, codes, side="left")
    entries = f"{len(table.slopes)} entries"
    for index, number in enumerate(dict.fromkeys(entry.tolist())):
        part = entry == number
        label = None if index else entries
        above.plot(x[part], (exact + error)[part], color=_TABLE, linewidth=1.2, label=label)
        above.plot(x[part][[0, -1]], (exact + error)[part][[0, -1]], ".", color=_TABLE, markersize=5)
    above.legend(frameon=False)
    above.set_title(f"8-bit codes at the scale {_power(s)}", loc="left", fontweight="bold")
    below.axhline(0, color="0.6", linewidth=0.8)
    below.plot(x, error, color=_TABLE, linewidth=0.9, marker=".", markersize=3)
    below.set_title(f"error, mean square {pwl.mse(table, s, function):.3g}", loc="left", fontweight="bold")
    below.set_xlabel("x")
    for axes in (above, below):
        axes.grid(color="0.93", linewidth=0.8)
        axes.set_axisbelow(True)


def _power(s):
    return f"2^-{s}" if s else "1"


def _scales(axes, function, tables):
    # A log axis has no place for a table without any error.
    errors = {s: error for s, table in tables.items() if (error := pwl.mse(table, s, function)) > 0}
    axes.plot(list(errors), list(errors.values()), "o-", markersize=5, linewidth=1.2, color=_TABLE)
    axes.set_yscale("log")
    axes.set_xticks(list(tables), [_power(s) for s in tables])
    axes.set_title("mean squared error at every scale", loc="left", fontweight="bold")
    axes.set_xlabel("scale")
    axes.grid(axis="y", color="0.93", linewidth=0.8)
    axes.set_axisbelow(True)
