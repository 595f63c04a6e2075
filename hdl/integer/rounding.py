"""Rounding and saturation of fixed-point values."""

from amaranth import Const, Mux, Shape, Value

from .bits import resize

__all__ = ["round_half_away", "round_half_even", "saturate"]


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


def _limits(shape):
    """Least and largest value of an integer shape."""
    positive = 1 << max(shape.width - shape.signed, 0)
    return -positive if shape.signed else 0, positive - 1


def _fixed_point(value, fraction):
    value = Value.cast(value)
    if not 0 <= fraction <= len(value):
        raise ValueError(f"fraction must be 0 to {len(value)} for {value.shape()!r}, not {fraction}")
    return value
