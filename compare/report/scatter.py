"""Pictures of accuracy against cost, with the Pareto front."""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

from ...cores.sheet import svg
from .axis import axis
from .labels import place
from .pareto import front

__all__ = ["Point", "draw"]

_WIDTH, _HEIGHT = 640, 440
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 28, 624, 390


@dataclass(frozen=True)
class Point:
    """A row in a picture.

    Attributes
    ----------
    name : str
    anchor : str
        Of the row's section.
    cost, score : float
    about : str
        What is shown when the pointer rests on it.
    """

    name: str
    anchor: str
    cost: float
    score: float
    about: str


def draw(points, cost, score, less):
    """A picture.

    Parameters
    ----------
    points : sequence of Point
    cost, score : str
        What the axes are called; less of the cost is better.
    less : bool
        Whether less of the score is better, too. Better is up in any case.

    Returns
    -------
    str
        SVG; its colours are those of the page's classes.
    """
    across = axis([point.cost for point in points], _LEFT, _RIGHT)
    ends = (_TOP, _BOTTOM) if less else (_BOTTOM, _TOP)
    up = axis([point.score for point in points], *ends)
    places = [(across(point.cost), up(point.score)) for point in points]
    best = front([(point.cost, -point.score if less else point.score) for point in points])
    stairs = _stairs([at for at, kept in zip(places, best, strict=True) if kept])
    labels = place(places, [point.name for point in points], (_LEFT, _TOP, _RIGHT, _BOTTOM), [*pairwise(stairs)])
    shapes = [
        *_grid(across, up),
        svg.text(_LEFT - 48, 16, f"{score}; {'less' if less else 'more'} is better", anchor="start"),
        svg.text(_RIGHT, _HEIGHT - 10, f"{_log(across)}{cost}; less is better", anchor="end"),
        f"<path class='front' d='M{' L'.join(f'{x:.1f},{y:.1f}' for x, y in stairs)}'/>",
        # Those of the front last: what is drawn later lies above.
        *(_mark(*row) for row in sorted(zip(points, places, best, labels, strict=True), key=lambda row: row[2])),
    ]
    return svg.picture(f"{score} against {cost}", _WIDTH, _HEIGHT, shapes)


def _log(scale):
    return "logarithmic: " if scale.logarithmic else ""


def _grid(across, up):
    yield f"<rect class='frame' x='{_LEFT}' y='{_TOP}' width='{_RIGHT - _LEFT}' height='{_BOTTOM - _TOP}'/>"
    for value, words in across.ticks():
        x = across(value)
        yield f"<path class='grid' d='M{x:.1f},{_TOP} V{_BOTTOM}'/>" + svg.text(round(x, 1), _BOTTOM + 16, words)
    for value, words in up.ticks():
        y = up(value)
        yield f"<path class='grid' d='M{_LEFT},{y:.1f} H{_RIGHT}'/>"
        yield svg.text(_LEFT - 6, round(y + 4, 1), words, anchor="end")


def _stairs(places):
    """Corners of the line of what the rows of the front make attainable for each cost."""
    steps = sorted(places, key=lambda at: (at[0], -at[1]))
    corners = [corner for before, after in pairwise(steps) for corner in (before, (after[0], before[1]))]
    return [*corners, steps[-1], (_RIGHT, steps[-1][1])]


def _mark(point, place_, best, label):
    x, y = place_
    middle = (label.left + label.right) / 2
    line = ""
    if label.far:
        near = min(max(x, label.left), label.right)
        edge = label.bottom if label.bottom <= y else label.top if label.top >= y else y
        line = f"<path class='leader' d='M{x:.1f},{y:.1f} L{near:.1f},{edge:.1f}'/>"
    return (
        f"<a href='#{point.anchor}'><title>{escape(point.about)}</title>{line}"
        f"<circle class='{'best' if best else 'other'}' cx='{x:.1f}' cy='{y:.1f}' r='{5 if best else 4}'/>"
        f"<text class='{'best' if best else 'other'}' x='{middle:.1f}' y='{label.bottom - 2.5:.1f}' "
        f"text-anchor='middle'>{escape(point.name)}</text></a>"
    )
