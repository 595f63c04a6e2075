"""A run of a core as a timing diagram: valid, ready and payload of each stream, with the numbers of the transfers."""

from . import svg

__all__ = ["draw"]

_LABEL, _CYCLE, _ROW, _BREAK = 130, 26, 20, 44
#: As many cycles in which nothing changes are left out, or more.
_LEAST = 4


def draw(title, run, flags):
    """A timing diagram as SVG.

    Parameters
    ----------
    title : str
    run : Run
    flags : dict of str to dict of str to int
        For each stream the bit of each mark, whose first letter is written where it is set.
    """
    columns = _columns(run)
    x, places = _LABEL, []
    for column in columns:
        places.append(x)
        x += _BREAK if isinstance(column, range) else _CYCLE
    width = x + 6
    shapes = _ruler(columns, places)
    y = 24
    for name in run.streams:
        shapes += _stream(name, run, columns, places, y, flags.get(name, {}))
        y += 3 * _ROW + 10
    return svg.picture(title, width, y, shapes)


def _columns(run):
    """Cycles that are drawn, and ranges of those that are not: nothing is taken, and nothing changes."""
    length = len(next(iter(run.streams.values())))
    states = [tuple((c[at].valid, c[at].ready) for c in run.streams.values()) for at in range(length)]
    still = [at > 0 and state == states[at - 1] and (True, True) not in state for at, state in enumerate(states)]
    columns, at = [], 0
    while at < length:
        end = at
        while end < length and still[end]:
            end += 1
        if end - at >= _LEAST:
            columns.append(range(at, end))
            at = end
        else:
            columns.append(at)
            at += 1
    return columns


def _ruler(columns, places):
    shapes = [svg.text(6, 12, "cycle", anchor="start", small=True)]
    for column, x in zip(columns, places, strict=True):
        if isinstance(column, range):
            shapes.append(svg.text(x + _BREAK / 2, 12, f"{len(column)} cycles", small=True))
        else:
            shapes.append(svg.text(x + _CYCLE / 2, 12, column, small=True))
    return shapes


def _stream(name, run, columns, places, y, flags):
    cycles = run.streams[name]
    shapes = []
    for row, wire in enumerate(("valid", "ready")):
        top = y + row * _ROW
        shapes.append(svg.text(6, top + 13, f"{name}.{wire}", anchor="start"))
        points = []
        for column, x in zip(columns, places, strict=True):
            at = column[0] if isinstance(column, range) else column
            level = top + (3 if getattr(cycles[at], wire) else 15)
            points += [(x, level), (x + (_BREAK if isinstance(column, range) else _CYCLE), level)]
        shapes.append(svg.polyline(points))
    top = y + 2 * _ROW
    shapes.append(svg.text(6, top + 13, f"{name}.payload", anchor="start"))
    shapes += _payloads(cycles, columns, places, top, flags)
    shapes.append(svg.polyline([(6, top + _ROW + 3), (places[-1] + _CYCLE, top + _ROW + 3)], thin=True))
    return shapes


def _payloads(cycles, columns, places, top, flags):
    """A box for each payload as long as it is valid, filled in the cycle in which it is taken."""
    shapes, number = [], 0
    for column, x in zip(columns, places, strict=True):
        at = column[0] if isinstance(column, range) else column
        cycle, size = cycles[at], _BREAK if isinstance(column, range) else _CYCLE
        if not cycle.valid:
            continue
        shapes.append(svg.box(x, top + 1, size, 16, dashed=not cycle.ready, filled=cycle.ready))
        if cycle.ready:
            words = str(number) + "".join(flag[0].upper() for flag, bit in flags.items() if cycle.payload >> bit & 1)
            shapes.append(svg.text(x + size / 2, top + 13, words, small=True))
            number += 1
    return shapes
