"""The picture of a sweep: area and speed against the swept parameters."""

import itertools
import os

from ..tools.pictures import picture
from .report import Report
from .sweep import Sweep

__all__ = ["draw"]

# Distinct for all kinds of eyes (Okabe and Ito), and by shape.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vP*"


def draw(path: str | os.PathLike, sweep: Sweep) -> None:
    """Save four panels: LUT4, FF, DSP and Fmax, or the four areas of a cell library.

    The first swept parameter that is a number runs along x; each combination of the others is a line. A point that does
    not fit is a cross at the part's capacity of what it runs out of.

    Parameters
    ----------
    path : path
        Its suffix, one of `pictures.SUFFIXES`, decides the kind of picture.
    sweep : Sweep
        The same sweep gives the same bytes.
    """
    with picture(path, 9, 6.6) as figure:
        panels = figure.subplots(2, 2)
        _fill(panels.ravel(), sweep)
        known = {}
        for axes in panels.flat:
            known |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if len(known) > 1:
            names = {"loc": "outside lower center", "ncols": min(len(known), 6), "frameon": False}
            figure.legend(known.values(), known.keys(), **names)
        figure.suptitle(_title(sweep), fontsize=10, parse_math=False)


def _title(sweep: Sweep) -> str:
    part = next((f" ({report.part})" for report in sweep.reports if report.part), "")
    fixed = f", {' '.join(sweep.fixed)}" if sweep.fixed else ""
    return f"{sweep.core}{fixed} on {sweep.target}{part}\n{sweep.wording}"


def _fill(panels, sweep: Sweep) -> None:
    """Draw the figures, one in each panel."""
    from matplotlib.ticker import MaxNLocator

    swept = {name: list(dict.fromkeys(point.values[name] for point in sweep.points)) for name in sweep.points[0].values}
    name = next((name for name in swept if _is_size(swept[name])), next(iter(swept)))
    numeric, ticks = _is_size(swept[name]), swept.pop(name)
    places = {tick: int(tick) if numeric else index for index, tick in enumerate(ticks)}
    # The memories are in the table only.
    figures = [figure for figure in sweep.figures if "RAM" not in figure.name]
    for axes, figure in zip(panels, figures, strict=True):
        styles = zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS))
        lines: dict[str, list[tuple]] = {}
        for point, result, value in zip(sweep.points, sweep.results, figure.values, strict=True):
            label = ", ".join(f"{other} = {point.values[other]}" for other in swept)
            lines.setdefault(label, []).append((places[point.values[name]], value, result))
        crosses = []
        for (label, line), (colour, marker) in zip(lines.items(), styles, strict=False):
            line.sort(key=lambda at: at[0])
            xs = [x for x, _, _ in line]
            # A gap where the point does not fit.
            ys = [value if isinstance(result, Report) else float("nan") for _, value, result in line]
            axes.plot(xs, ys, color=colour, marker=marker, markersize=5, linewidth=1.4, label=label, clip_on=False)
            crosses += [x for x, _, result in line if not isinstance(result, Report) and _runs_out(result, figure)]
        _capacity(axes, figure, crosses)
        axes.set_title(figure.name.removesuffix(" MHz"), loc="left", fontweight="bold")
        axes.set_ylabel(_unit(figure.name))
        axes.set_xlabel(name)
        axes.set_xticks(list(places.values()), ticks)
        axes.set_xmargin(0.06)
        axes.set_ylim(0, None if any(figure.values) else 1)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)


def _is_size(values: list[str]) -> bool:
    return len(values) > 1 and all(value.isdecimal() for value in values)


def _unit(name: str) -> str:
    units = {"Fmax MHz": "MHz", "LUT4": "LUT4s", "FF": "flip-flops", "area": "the library's unit"}
    return units.get(name, "blocks" if name.startswith("DSP") else name)


def _runs_out(result, figure) -> bool:
    # What place and route runs out of is counted in its own cells, which are logic.
    return any(use.name == figure.name for use in result.lacking) or (result.placed and figure.name == "LUT4")


def _capacity(axes, figure, crosses: list[float]) -> None:
    """The part's capacity where it is in sight, and the points that are beyond it."""
    most = max((value for value in figure.values if value is not None), default=0)
    if figure.available and (crosses or most > figure.available / 2):
        axes.axhline(figure.available, color="0.35", linewidth=1, linestyle="--", label="the part's capacity")
    if crosses:
        style = {"color": "#b00020", "markersize": 8, "markeredgewidth": 2, "zorder": 5, "clip_on": False}
        axes.plot(crosses, [figure.available] * len(crosses), "x", label="too large for the part", **style)
