"""Where the leading one of an integer is, and what follows it: the mantissa of a logarithm-like split."""

from amaranth import Cat, Const, Mux

from ..floating.formats import stage
from .bits import leading_zeros

__all__ = ["align_counted", "align_leading_one", "count_leading"]


def align_leading_one(m, name, value, width, step=1):
    """Shift an unsigned integer left by a multiple of `step` bits until one of its top `step` bits is set.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    value : Value
        Unsigned. Of 0, the results have no meaning.
    width : int
        Bits of the result, from the top.
    step : int
        1, or 2 for a power that stays even.

    Returns
    -------
    aligned : Value
        `width` bits.
    position : Value
        The leading one's position over `step`, rounded down; unsigned.
    """
    return align_counted(m, name, *count_leading(m, name, value, width, step), width, step)


def count_leading(m, name, value, width, step=1):
    """The first half of `align_leading_one`, for who has a register between: parameters as there.

    Returns
    -------
    padded : Value
        The integer with zeros below.
    zeros : Value
        Groups of `step` zeros at its top.
    """
    groups = -(-max(len(value), width) // step)
    padded = stage(m, f"{name}_padded", None, value=Cat(value, Const(0, groups * step - len(value)))).value
    occupied = stage(m, f"{name}_groups", None, any=Cat(part.any() for part in _parts(padded, step))).any
    return padded, stage(m, f"{name}_leading", None, zeros=leading_zeros(occupied)).zeros


def align_counted(m, name, padded, zeros, width, step=1):
    """The second half of `align_leading_one`, of what `count_leading` gives: parameters and results as there."""
    groups, shifted = len(padded) // step, padded
    for place in reversed(range((groups - 1).bit_length())):
        by = step << place
        moved = Mux(zeros[place], Cat(Const(0, by), shifted[:-by]), shifted)
        shifted = stage(m, f"{name}_by_{by}", None, value=moved).value
    position = (groups - 1 - zeros)[: max(1, (groups - 1).bit_length())].as_unsigned()
    return shifted[-width:], position


def _parts(value, step):
    return [value[start : start + step] for start in range(0, len(value), step)]
