"""Rounding and saturation of fixed-point values."""

from amaranth import Cat, Const, Mux, Shape, Value

from ..floating.formats import stage
from .bits import resize

__all__ = [
    "round_half_away",
    "round_half_even",
    "round_saturate",
    "round_shift_saturate",
    "saturate",
    "shift_noting",
]


def round_half_away(value, fraction):
    """Round to the nearest integer, ties away from zero.

    Parameters
    ----------
    value : Value
        Fixed point with `fraction` fraction bits.
    fraction : int
        Number of fraction bits to remove, 0 to the width of `value`.

    Returns
    -------
    Value
        As wide as `value` without its fraction, plus one bit for the carry; `value` itself if it has no fraction.
    """
    value = _fixed_point(value, fraction)
    if fraction == 0:
        return value
    # Half rounds up, so a negative value gets one unit in the last place less than a half: exact ties go down.
    half = Const(1 << (fraction - 1), fraction)
    bias = half - value[-1] if value.shape().signed else half
    return resize((value + bias).shift_right(fraction), len(value) - fraction + 1)


def round_half_even(value, fraction):
    """Round to the nearest integer, ties to the even one; parameters and result as for `round_half_away`."""
    value = _fixed_point(value, fraction)
    if fraction == 0:
        return value
    whole = value.shift_right(fraction)
    half, rest, odd = value[fraction - 1], value[: fraction - 1].any(), whole[:1].any()
    return resize(whole + (half & (rest | odd)), len(value) - fraction + 1)


def saturate(value, shape):
    """Clamp to the range of a shape.

    Parameters
    ----------
    value : Value
        Signed or unsigned.
    shape : ShapeLike
        Integer shape of the result.

    Returns
    -------
    Value
        Of shape `shape`: the nearest value that it can hold.
    """
    value, shape = Value.cast(value), Shape.cast(shape)
    (lowest, highest), (low, high) = _limits(value.shape()), _limits(shape)
    # A compare that no value can pass would be a warning in other tools.
    clamped = Mux(value > high, Const(high, shape), value) if highest > high else value
    clamped = Mux(value < low, Const(low, shape), clamped) if lowest < low else clamped
    kept = resize(clamped, shape.width)
    return kept.as_signed() if shape.signed else kept.as_unsigned()


def round_shift_saturate(m, name, value, shift, left, shape):
    """``value * 2**(left - shift)``, rounded half up, then saturated.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of the signals.
    value : Value
        Signed.
    shift : Value
        Unsigned.
    left : int
        0 or more.
    shape : Shape
        Of the result.

    Returns
    -------
    Value
    """
    # One bit below the last one, for the half.
    halves = Cat(Const(0, left + 1), value).as_signed()
    moved, beyond = shift_noting(m, name, halves, shift, shape.width + (not shape.signed))
    return round_saturate(m, name, moved, beyond, value[-1], shape)


def shift_noting(m, name, value, shift, whole, between=None):
    """Shift right, and keep no more bits than a result has that will be saturated: what is above them is only noted.

    Bits that no output needs any more are dropped after each level of the shifter: a shift of up to 15 of a 20-bit
    value to 8 bits takes 51 multiplexers in place of 80, and no comparison.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of the signals.
    value : Value
        Signed; its lowest bit is a half.
    shift : Value
        Unsigned.
    whole : int
        Bits of the result above the half, the sign included.
    between : callable, optional
        Puts a register into the middle of the shifter: called with `moved`, `beyond` and `shift` as keywords, it gives
        something that has them as attributes, a cycle later.

    Returns
    -------
    moved : Value
        Signed, up to ``whole + 1`` bits, the lowest one a half; without meaning where more would be needed.
    beyond : Value
        Whether they are.
    """
    moved, beyond = value, Const(0, 1)
    middle = len(shift) // 2
    for place in reversed(range(len(shift))):
        if between is not None and place == middle:
            half = between(moved=moved, beyond=beyond, shift=shift[: place + 1])
            moved, beyond, shift = half.moved.as_signed(), half.beyond, half.shift
        by = 1 << place
        keep = min(len(moved), whole + by)
        over = {False: _is_beyond(moved, keep), True: _is_beyond(moved[min(by, len(moved) - 1) :].as_signed(), keep)}
        moved, beyond = (
            Mux(shift[place], resize(moved.shift_right(by), keep), resize(moved, keep)).as_signed(),
            beyond | Mux(shift[place], over[True], over[False]),
        )
        step = stage(m, f"{name}_by_{by}", None, moved=moved, beyond=beyond)
        moved, beyond = step.moved.as_signed(), step.beyond
    keep = min(len(moved), whole + 1)
    beyond = stage(m, f"{name}_beyond", None, any=beyond | _is_beyond(moved, keep)).any
    return resize(moved, keep), beyond


def round_saturate(m, name, moved, beyond, sign, shape):
    """Round half up what `shift_noting` gives, then saturate.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of the signals.
    moved, beyond : Value
        As there.
    sign : Value
        Of the number: towards which end it is beyond.
    shape : Shape
        Of the result.

    Returns
    -------
    Value
    """
    rounded = stage(m, f"{name}_rounded", None, value=(moved + 1).shift_right(1)).value
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    edge = Mux(sign, Const(low, shape), Const((1 << (shape.width - shape.signed)) - 1, shape))
    return Mux(beyond, edge, saturate(rounded, shape))[: shape.width]


def _is_beyond(value, keep):
    """Whether a signed value needs more than `keep` bits."""
    if len(value) <= keep:
        return Const(0, 1)
    top = value[keep - 1 :]
    return top.any() & ~top.all()


def _limits(shape):
    """Least and largest value of an integer shape."""
    positive = 1 << max(shape.width - shape.signed, 0)
    return -positive if shape.signed else 0, positive - 1


def _fixed_point(value, fraction):
    value = Value.cast(value)
    if not 0 <= fraction <= len(value):
        raise ValueError(f"fraction must be 0 to {len(value)} for {value.shape()!r}, not {fraction}")
    return value
