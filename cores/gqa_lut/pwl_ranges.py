"""Multi-range input scaling after GQA-LUT: a wide number to the interval of the table of 1/x, or of 1/sqrt(x).

That ranges are 8, or 16, times as large as the one before is derived: the paper's own table could not be read.
"""

from amaranth import Cat, Const, Mux, Value

from ...golden.gqa_lut.pwl import MULTI_RANGES
from ...hdl.floating.formats import stage

__all__ = ["largest_range", "scaled"]

_WHOLE = 2  # bits of the scaled number above the point: it is below 4
_FRACTION = 5  # bits below, as the tables have them


def largest_range(function, width, fraction):
    """Range of the largest number of `width` bits, `fraction` of them below the point; parameters as of `scaled`."""
    _, span, _ = MULTI_RANGES[function]
    return max(0, -((fraction + _WHOLE - width) // span))


def scaled(m, number, function, fraction):
    """The code and the range of a number, as `golden.gqa_lut.pwl.multi_range` scales it.

    Parameters
    ----------
    m : Module
    number : Value
        Unsigned.
    function : str
        ``div`` or ``rsqrt``.
    fraction : int
        Bits below the point.

    Returns
    -------
    code : Value
        8 bits, 7 of them used, and at least the table's lowest code.
    range_ : Value
        How many powers of 8, or 16, the number was divided by.
    """
    lowest, span, _ = MULTI_RANGES[function]
    code = _cut(number, fraction - _FRACTION)
    range_ = Const(0, 1)
    for index in range(1, largest_range(function, len(number), fraction) + 1):
        # What does not fit below the range before it is in this one, or above.
        above = stage(m, f"range_{index}", None, any=number[fraction + _WHOLE + span * (index - 1) :].any()).any
        code = Mux(above, _cut(number, fraction - _FRACTION + span * index), code)
        range_ = Mux(above, Const(index), range_)
        selected = stage(m, f"scaled_{index}", None, code=code, range=range_)
        code, range_ = selected.code, selected.range
    floor = lowest.bit_length() - 1
    small = stage(m, "small", None, any=~code[floor:].any()).any
    return Mux(small, Const(lowest, 8), Cat(code, Const(0, 1))), Value.cast(range_)


def _cut(number, drop):
    """7 bits of a number from bit `drop` up, zeros below it."""
    bits = Cat(Const(0, max(0, -drop)), number[max(0, drop) :])[: _WHOLE + _FRACTION]
    return Cat(bits, Const(0, _WHOLE + _FRACTION - len(bits)))
