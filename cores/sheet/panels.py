"""Small pictures side by side: a row for each part or board, a column for each figure, the releases from left to right.

The height of a panel is the range of its values, but never less than a fifth of them: what looks like a great change is
one.
"""

from itertools import pairwise

from . import svg
from .points import COLUMNS

__all__ = ["draw"]

_LABEL, _PANEL, _SPAN, _ROW, _HEAD = 122, 172, 92, 44, 24
_INK = 26  # of a row's height


def draw(title, lines):
    """The picture of some lines, SVG."""
    width, height = _LABEL + _PANEL * len(COLUMNS), _HEAD + _ROW * len(lines) + 16
    shapes = [svg.text(_LABEL + _PANEL * at, 14, name, anchor="start", bold=True) for at, name in enumerate(COLUMNS)]
    for number, line in enumerate(lines):
        y = _HEAD + _ROW * number
        shapes.append(svg.text(0, y + _INK / 2 + 4, line.place, anchor="start"))
        for column in range(len(COLUMNS)):
            shapes += _panel(line, column, _LABEL + _PANEL * column, y)
    points = lines[0].points
    for column in range(len(COLUMNS)):
        x = _LABEL + _PANEL * column
        for at in {0, len(points) - 1}:
            anchor = "end" if at or len(points) == 1 else "start"
            end = _across(points, at) + (4 if anchor == "end" else -4)
            shapes.append(svg.text(x + end, height - 4, points[at].release, anchor=anchor, small=True))
    return svg.picture(title, width, height, shapes)


def _across(points, at):
    """Pixels from the left side of a panel to a release; a single one is the newest."""
    return 4 + (_SPAN - 8) * (at / (len(points) - 1) if len(points) > 1 else 1)


def _panel(line, column, x, y):
    """One figure at one place: a point for each release, the newest value, and its change."""
    values = [point.figures()[column] if point.row else None for point in line.points]
    places = [(round(x + _across(values, at), 1), up) for at, up in enumerate(_up(values, y))]
    shown = [place if value is not None else None for place, value in zip(places, values, strict=True)]
    yield svg.polyline([(x, y + _INK + 4), (x + _SPAN, y + _INK + 4)], thin=True)
    yield from (svg.polyline(pair, thin=True) for pair in pairwise(shown) if None not in pair)
    for point, value, place in zip(line.points, values, shown, strict=True):
        if place:
            about = f"{line.place}, {point.release}: {value:,.10g} {COLUMNS[column]}"
            about = ", ".join(filter(None, [about, point.share(column), point.words(column)]))
            yield svg.group([svg.dot(*place, about)], point.verdict(column))
    last = line.known[-1]
    value = last.figures()[column]
    words = "-" if value is None else f"{value:,.10g}"
    if not last.row["uses"]:
        words = "" if column else "does not fit"
    labels = [svg.text(x + _SPAN + 6, y + _INK / 2 + 4, words, anchor="start")]
    if last.share(column):
        labels.append(svg.text(x + _SPAN + 6, y + _INK / 2 + 15, last.share(column), anchor="start", small=True))
    yield svg.group(labels, last.verdict(column))


def _up(values, y):
    """Pixels of each value from the top of the picture, in the row that begins at `y`; of none, its middle."""
    known = [value for value in values if value is not None] or [0]
    middle = (min(known) + max(known)) / 2
    half = max((max(known) - min(known)) / 2, middle / 10) or 1
    levels = [0 if value is None else (value - middle) / half for value in values]
    return [round(y + _INK / 2 - level * (_INK / 2 - 3), 1) for level in levels]
