"""Bit pictures of payloads: which field lies in which bits, the highest bit on the left.

A payload's fields are those of the manifest. Where an array's elements, or a field, have fields of their own, the
payload's picture shows them as a whole, and a second one what is in each of them.
"""

import re
from dataclasses import dataclass

from . import svg

__all__ = ["Cell", "Picture", "draw", "pictures"]

#: Elements of an array that are drawn one by one; of more, the first two and the last one.
_MOST_CELLS = 4
_CHARACTER, _CELL, _LINE = 7, 34, 40
_WIDEST = 900


@dataclass(frozen=True)
class Cell:
    """A box of a picture: its words, lowest bit and bits; whether it stands for several elements, or for no field.

    `inside` is the name of the picture that shows what is in it, and `count` how many such elements it stands for.
    """

    words: str
    low: int
    width: int
    elided: bool = False
    unused: bool = False
    inside: str = ""
    count: int = 1


@dataclass(frozen=True)
class Picture:
    """A port's bits, or those of an element in it: `name`, `width` in bits, and `cells` from the lowest bit up."""

    name: str
    width: int
    cells: tuple[Cell, ...]


def pictures(stream, ports):
    """The pictures of a stream.

    Parameters
    ----------
    stream : dict
        Of the manifest's `streams`.
    ports : dict of str to int
        Width of each port.

    Returns
    -------
    list of Picture
        One for each port that carries a payload, each followed by those of the elements in it.
    """
    levels = []
    for port in dict.fromkeys(field["port"] for field in stream["fields"]):
        if not ports.get(port):
            continue
        members = [
            _Member(_steps(field["name"]), field["offset"], field["width"], field["arrays"])
            for field in stream["fields"]
            if field["port"] == port and field["width"]
        ]
        levels += _level(port, ports[port], members)
    return levels


@dataclass(frozen=True)
class _Member:
    """A field as seen from a level of its payload: the steps of its name that are left, and the arrays among them."""

    steps: tuple
    offset: int
    width: int
    arrays: list

    @property
    def end(self):
        """The bit behind its last element."""
        return self.offset + self.width + sum((array["count"] - 1) * array["stride"] for array in self.arrays)

    def within(self, count, offset):
        """The same, from inside of the first `count` steps, which begin at a bit."""
        arrays = sum(step.startswith("[") for step in self.steps[:count])
        return _Member(self.steps[count:], self.offset - offset, self.width, self.arrays[arrays:])


def _steps(name):
    """Parts of a field's name: `groups[i].codes[j]` has `groups`, `[i]`, `codes`, `[j]`."""
    return tuple(re.findall(r"\[\w+\]|\w+", name))


def _level(name, width, members, prefix=""):
    """The picture of a level, and those of the levels below it; `prefix` is what leads to the level's fields."""
    cells, below, at = [], [], 0
    for group in _grouped(members):
        low = min(member.offset for member in group)
        if low > at:
            cells.append(Cell("unused", at, low - at, unused=True))
        new, inner = _cells(group, low, prefix)
        cells += new
        below += inner
        at = cells[-1].low + cells[-1].width
    if at < width:
        cells.append(Cell("unused", at, width - at, unused=True))
    return [Picture(name, width, tuple(cells)), *below]


def _grouped(members):
    """Members that begin with the same step, in order."""
    groups = {}
    for member in members:
        groups.setdefault(member.steps[:1], []).append(member)
    return sorted(groups.values(), key=lambda group: min(member.offset for member in group))


def _cells(group, low, prefix):
    """Cells of the members that share their first step, and the pictures of what is in them."""
    first = group[0]
    if first.steps[0].startswith("["):
        return _elements(first.steps[0], "", group, low, prefix)
    name, more = first.steps[0], first.steps[1:]
    if not more:
        return [Cell(name, low, first.width)], []
    full = f"{prefix}.{name}" if prefix else name
    if more[0].startswith("["):
        return _elements(more[0], name, [member.within(1, 0) for member in group], low, full)
    width = max(member.end for member in group) - low
    return [Cell(name, low, width, inside=full)], _level(full, width, [member.within(1, low) for member in group], full)


def _elements(index, name, group, low, prefix):
    """Cells of an array, and the picture of an element that has fields of its own."""
    count, stride = group[0].arrays[0]["count"], group[0].arrays[0]["stride"]
    inner = [member.within(1, low) for member in group]
    full = prefix + index
    plain = not inner[0].steps
    below = [] if plain else _level(full, stride, inner, full)
    inside = "" if plain else full
    shown = range(count) if count <= _MOST_CELLS else (0, 1, count - 1)
    cells, after = [], 0
    for place in shown:
        if place > after:
            span = (place - after) * stride
            words = f"[{after}..{place - 1}]"
            cells.append(Cell(words, low + after * stride, span, elided=True, inside=inside, count=place - after))
        cells.append(Cell(f"{name}[{place}]", low + place * stride, stride, inside=inside))
        after = place + 1
    return cells, below


def draw(picture):
    """A picture as SVG."""
    lines = _lines(picture)
    indent = 8
    width = max(sum(map(_pixels, line)) for line in lines) + 2 * indent
    shapes = []
    for number, line in enumerate(lines):
        x, y = indent, number * _LINE + 14
        for cell in line:
            size = _pixels(cell)
            shapes += _drawn(cell, x, y, size)
            x += size
    return svg.picture(f"Bits of {picture.name}", width, len(lines) * _LINE + 4, shapes)


def _drawn(cell, x, y, size):
    high = cell.low + cell.width - 1
    shapes = [svg.box(x, y, size, 20, dashed=cell.elided, filled=cell.unused)]
    shapes.append(svg.text(x + size / 2, y + 14, cell.words))
    if cell.width == 1:
        return [*shapes, svg.text(x + size / 2, y - 3, high, small=True)]
    left = svg.text(x + 2, y - 3, high, anchor="start", small=True)
    return [*shapes, left, svg.text(x + size - 2, y - 3, cell.low, anchor="end", small=True)]


def _pixels(cell):
    # Room for the words, and for both bit numbers above them.
    numbers = len(str(cell.low + cell.width - 1)) + len(str(cell.low)) + 1
    return max(_CELL, _CHARACTER * len(cell.words) + 10, 6 * numbers + 6)


def _lines(picture):
    """The cells from the highest bits down, cut into lines that fit the page."""
    lines, used = [[]], 0
    for cell in reversed(picture.cells):
        if used + _pixels(cell) > _WIDEST and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(cell)
        used += _pixels(cell)
    return lines
