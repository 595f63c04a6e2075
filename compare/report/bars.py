"""Pictures of a row: cycles by kind of layer, noise place by place, and how often each code occurs."""

import math
import re
from html import escape

from ...cores.sheet import svg
from .axis import axis

__all__ = ["cycles", "histogram", "kinds", "ratios"]

_WIDTH = 520
_LABEL, _ROW = 190, 20
_LEFT, _TOP, _HIGH = 64, 24, 130


def kinds(places):
    """Cycles by kind of layer: what is left of a place's name behind the number of its layer.

    Parameters
    ----------
    places : sequence of dict
        As of a record.

    Returns
    -------
    dict of str to int
        In the order of execution.
    """
    sums = {}
    for place in places:
        kind = re.sub(r"^.*?\.\d+\.", "", place["place"])
        sums[kind] = sums.get(kind, 0) + place["cycles"]
    return sums


def cycles(row, places):
    """A bar for each kind of layer."""
    sums = kinds(places)
    total, longest = sum(sums.values()), max(sums.values())
    shapes = []
    for number, (kind, count) in enumerate(sums.items()):
        top, length = _ROW * number, (_WIDTH - _LABEL - 150) * count / longest
        told = f"{count:,} ({count / total:.1%})"
        shapes += [
            svg.text(_LABEL - 8, top + 14, kind, anchor="end"),
            f"<rect class='bar' x='{_LABEL}' y='{top + 3}' width='{length:.1f}' height='{_ROW - 6}'>"
            f"<title>{escape(f'{kind}: {told} cycles')}</title></rect>",
            svg.text(round(_LABEL + length + 6, 1), top + 14, told, anchor="start"),
        ]
    return svg.picture(f"Cycles of {row} by kind of layer", _WIDTH, _ROW * len(sums) + 2, shapes)


def ratios(row, places):
    """A point for each place that has a ratio of signal to noise, in the order of execution."""
    known = [(number, place) for number, place in enumerate(places) if place.get("sqnr_db") is not None]
    up = axis([0, *(place["sqnr_db"] for _, place in known)], _TOP + _HIGH, _TOP)
    shapes = [svg.text(_LEFT - 48, 12, "SQNR, dB", anchor="start")]
    shapes += [_line(round(up(value), 1), words) for value, words in up.ticks()]
    for number, place in known:
        x = _LEFT + (_WIDTH - _LEFT - 8) * (number + 0.5) / len(places)
        told = escape(f"{place['place']}: {place['sqnr_db']:.1f} dB")
        at = f"cx='{x:.1f}' cy='{up(place['sqnr_db']):.1f}'"
        shapes.append(f"<circle class='dot' {at} r='2.5'><title>{told}</title></circle>")
    shapes.append(
        svg.text(_WIDTH - 8, _TOP + _HIGH + 16, "places of the model, in the order of execution", anchor="end")
    )
    return svg.picture(f"SQNR of {row} place by place", _WIDTH, _TOP + _HIGH + 22, shapes)


def histogram(row, codes):
    """A bar for each value of a code, side by side in their order; the counts are logarithmic."""
    total = sum(count for _, count in codes)
    decades = max(1, math.ceil(math.log10(max(count for _, count in codes))))
    wide = (_WIDTH - _LEFT - 8) / len(codes)
    bottom = _TOP + _HIGH
    shapes = [svg.text(_LEFT - 48, 12, "weights, logarithmic", anchor="start")]
    for decade in range(0, decades + 1, 1 if decades < 4 else 2):
        shapes.append(_line(round(bottom - _HIGH * decade / decades, 1), f"{10**decade:,}"))
    for number, (value, count) in enumerate(codes):
        # A value that occurs once has a bar, too.
        high = max(1.0, _HIGH * math.log10(count) / decades)
        x, gap = _LEFT + wide * number, min(1, wide / 5)
        shapes.append(
            f"<rect class='bar' x='{x:.2f}' y='{bottom - high:.1f}' width='{wide - gap:.2f}' height='{high:.1f}'>"
            f"<title>{value:g}: {count:,} ({count / total:.2%})</title></rect>"
        )
    shapes += [svg.text(round(x, 1), bottom + 14, f"{value:g}", small=True) for x, value in _values(codes, wide)]
    shapes.append(svg.text(_WIDTH - 8, bottom + 30, "value of the code, in units of its step or scale", anchor="end"))
    return svg.picture(f"Codes of the weights of {row}", _WIDTH, bottom + 36, shapes)


def _line(y, words):
    line = f"<path class='grid' d='M{_LEFT},{y} H{_WIDTH - 8}'/>"
    return line + svg.text(_LEFT - 6, y + 4, words, anchor="end", small=True)


def _values(codes, wide):
    """Values that are written below their bars: the middle one and others at even distances."""
    middle = min(range(len(codes)), key=lambda number: abs(codes[number][0]))
    every = max(1, math.ceil(34 / wide))
    for number in range(middle % every, len(codes), every):
        yield _LEFT + wide * (number + 0.5), codes[number][0]
