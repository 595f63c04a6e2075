"""Where the names of points stand, so that they can be read."""

import math
from dataclasses import dataclass

__all__ = ["Label", "place"]

#: Pixels of a letter of the pictures' font, and of a line.
_LETTER, _LINE = 6.7, 12
_MARK = 5
_RINGS = (10, 22, 34, 48, 64, 82)
_ANGLES = [math.pi * step / 8 for step in (0, 8, 12, 4, 14, 2, 10, 6, 15, 1, 9, 7, 13, 11, 3, 5)]


@dataclass(frozen=True)
class Label:
    """A name beside its point.

    Attributes
    ----------
    left, top, right, bottom : float
        Pixels.
    far : bool
        Whether it takes a line to its point.
    """

    left: float
    top: float
    right: float
    bottom: float
    far: bool = False


def place(points, names, frame, lines=()):
    """Place names, each where it covers least.

    Parameters
    ----------
    points : sequence of (float, float)
        Pixels.
    names : sequence of str
    frame : (float, float, float, float)
        Left, top, right and bottom of what they must stay in.
    lines : sequence of ((float, float), (float, float))
        Lines along an axis, by their ends, that names should not cross.

    Returns
    -------
    list of Label
    """
    marks = [Label(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    marks += [Label(min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in lines]
    placed = {}
    for index in sorted(range(len(points)), key=lambda i: (_crowd(points, i), i)):
        boxes = _candidates(points[index], names[index])
        others = [*placed.values(), *marks]
        placed[index] = min(boxes, key=lambda box: _badness(box, others, frame))
    return [placed[index] for index in range(len(points))]


def _crowd(points, index):
    """How many points are near: who has few neighbours gets the place beside it first."""
    x, y = points[index]
    return sum(abs(x - a) < 60 and abs(y - b) < 30 for a, b in points)


def _candidates(point, name):
    width = _LETTER * len(name)
    for ring in _RINGS:
        for angle in _ANGLES:
            x, y = point[0] + ring * math.cos(angle), point[1] + ring * math.sin(angle)
            left = x - width * (1 - math.cos(angle)) / 2
            yield Label(left, y - _LINE / 2, left + width, y + _LINE / 2, far=ring > _RINGS[0])


def _badness(box, others, frame):
    """Area that it covers; where that is the same, the first candidate is the nearest one."""
    outside = max(0, frame[0] - box.left, box.right - frame[2]) + max(0, frame[1] - box.top, box.bottom - frame[3])
    return 1000 * outside + sum(_common(box, other) for other in others)


def _common(one, other):
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return width * height if width > 0 and height > 0 else 0
