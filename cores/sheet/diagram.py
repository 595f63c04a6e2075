"""Block diagrams from a few lines of text.

A line is a chain, `i -> [skid buffer] -> [decoders] -> o`: blocks in brackets, ports without. Chains that name the same
block meet there. Ports that a configuration does not have are left out, and with them what hangs on them alone.
"""

import itertools
import re
import textwrap

from . import svg

__all__ = ["draw", "parse", "ports"]

_COLUMN, _GAP, _ROW, _BLOCK = 132, 44, 58, 40
_MARGIN = 8
_CHARACTERS = 16


def parse(text):
    """Edges of a diagram, pairs of names as they are written, in order.

    Raises
    ------
    ValueError
        For a line that is no chain, and for a circle, which could not be drawn from left to right.
    """
    edges = []
    for line in filter(None, map(str.strip, text.splitlines())):
        names = [name.strip() for name in line.split("->")]
        if len(names) < 2 or not all(re.fullmatch(r"\[[^\[\]]+\]|\w+", name) for name in names):
            raise ValueError(f"a line of a diagram must be a chain of ports and [blocks], not {line!r}")
        edges += itertools.pairwise(names)
    _columns(edges)
    return list(dict.fromkeys(edges))


def ports(edges):
    """Names of the ports in a diagram."""
    return {name for edge in edges for name in edge if not name.startswith("[")}


def draw(title, edges, known):
    """A diagram as SVG.

    Parameters
    ----------
    title : str
    edges : list of (str, str)
        From `parse`.
    known : collection of str
        The ports that there are.
    """
    edges = [edge for edge in edges if all(name.startswith("[") or name in known for name in edge)]
    columns = _columns(edges)
    rows = _rows(edges, columns)
    count, tallest = max(columns.values()) + 1, max(rows.values()) + 1
    lanes = _lanes(edges, columns, rows)
    shapes = [_edge(columns, rows, lanes, edge) for edge in edges]
    for name in columns:
        shapes += _node(name, _left_side(columns[name]), rows[name] * _ROW + _MARGIN)
    width = count * (_COLUMN + _GAP) - _GAP + 2 * _MARGIN
    return svg.picture(title, width, tallest * _ROW + _MARGIN, shapes)


def _columns(edges):
    """Column of each name: one more than the last of those before it; an input port stands just before its block."""
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    columns = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for before, after in edges:
            if columns[after] <= columns[before]:
                columns[after] = columns[before] + 1
                moved = True
        if not moved:
            break
    else:
        raise ValueError(f"a diagram must have no circle: {', '.join(names)}")
    for name in names:
        if not any(after == name for _, after in edges):
            columns[name] = min(columns[after] for before, after in edges if before == name) - 1
    return columns


def _rows(edges, columns):
    """Row of each name: near the mean of those that lead to it, the first free one."""
    rows, taken = {}, {}
    for name in sorted(columns, key=lambda name: columns[name]):
        before = [rows[a] for a, b in edges if b == name and a in rows]
        wanted = round(sum(before) / len(before)) if before else 0
        used = taken.setdefault(columns[name], set())
        # Below what is there, so that edges do not cross.
        row = next(r for r in sorted(range(len(columns) + 1), key=lambda r: (abs(r - wanted), -r)) if r not in used)
        used.add(row)
        rows[name] = row
    return rows


def _node(name, x, y):
    if not name.startswith("["):
        return [svg.text(x + _COLUMN / 2, y + _BLOCK / 2 + 4, name, bold=True)]
    lines = textwrap.wrap(name[1:-1], _CHARACTERS, break_long_words=False)
    top = y + _BLOCK / 2 + 4 - 6.5 * (len(lines) - 1)
    words = [svg.text(x + _COLUMN / 2, top + 13 * index, line) for index, line in enumerate(lines)]
    return [svg.box(x, y, _COLUMN, _BLOCK, round_=4), *words]


def _edge(columns, rows, lanes, edge):
    """From the right side of a name to the left side of another; across columns it runs in the gaps between rows."""
    before, after = edge
    start = (_left_side(columns[before]) + _right(before), _middle(rows[before]))
    end = (_left_side(columns[after]) + _left(after), _middle(rows[after]))
    out, into = lanes[before, columns[before] + 1], lanes[before, columns[after]]
    if out == into:
        return svg.polyline([start, (out, start[1]), (out, end[1]), end], arrow=True)
    level = _middle(min(rows[before], rows[after]) if rows[after] != rows[before] else rows[before]) + _ROW / 2
    return svg.polyline([start, (out, start[1]), (out, level), (into, level), (into, end[1]), end], arrow=True)


def _lanes(edges, columns, rows):
    """Where each name's line runs up and down in the gap before each column, ports to the left of blocks.

    A name has one line in a gap, whatever it leads to, and no other name has that place.
    """
    users = {}
    for before, after in edges:
        for column in (columns[before] + 1, columns[after]):
            users.setdefault(column, set()).add(before)
    lanes = {}
    for column, names in users.items():
        order = sorted(names, key=lambda name: (name.startswith("["), -columns[name], rows[name]))
        for place, name in enumerate(order):
            lanes[name, column] = _left_side(column) - _GAP + _GAP * (place + 1) / (len(order) + 2)
    return lanes


def _left_side(column):
    return column * (_COLUMN + _GAP) + _MARGIN


def _middle(row):
    return row * _ROW + _MARGIN + _BLOCK / 2


def _left(name):
    """Where a name begins in its column: a port is its text, in the middle."""
    return 0 if name.startswith("[") else _COLUMN / 2 - 4 * len(name) - 4


def _right(name):
    return _COLUMN - _left(name)
