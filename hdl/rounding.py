"""Rounding and saturation of fixed-point values."""

from amaranth import Const, Mux, Shape, Value

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
        As wide as `value` without its fraction, plus one bit for the carry.
    """
    value = _fixed_point(value, fraction)
    if fraction == 0:
        return value
    # Half rounds up, so a negative value gets one unit in the last place less than a half: exact ties go down.
    half = Const(1 << (fraction - 1), fraction)
    bias = half - value[-1] if value.shape().signed else half
    return (value + bias) >> fraction


def round_half_even(value, fraction):
    """Round to the nearest integer, ties to the even one; parameters and result as for `round_half_away`."""
    value = _fixed_point(value, fraction)
    if fraction == 0:
        return value
    whole = value >> fraction
    half, rest, odd = value[fraction - 1], value[: fraction - 1].any(), value[fraction : fraction + 1].any()
    return whole + (half & (rest | odd))


def saturate(value, shape):
    """Clamp to the range of a narrower shape.

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
    magnitude_bits = shape.width - shape.signed
    low, high = -(1 << magnitude_bits) if shape.signed else 0, (1 << magnitude_bits) - 1
    clamped = Mux(value > high, Const(high, shape), value) if len(value) >= shape.width else value
    if value.shape().signed:
        clamped = Mux(value < low, Const(low, shape), clamped)
    kept = clamped[: shape.width] if len(clamped) >= shape.width else clamped
    return kept.as_signed() if shape.signed else kept


def _fixed_point(value, fraction):
    value = Value.cast(value)
    if not 0 <= fraction <= len(value):
        raise ValueError(f"fraction must be 0 to {len(value)} for {value.shape()!r}, not {fraction}")
    return value
