"""Leading-zero count and shifts, the two halves of every normalization, and changes of width.

Amaranth writes an expression out again at every use, and these functions use their arguments many times: give them
signals.
"""

from amaranth import Cat, Const, Mux, Value

__all__ = ["leading_zeros", "resize", "shift_left", "shift_right", "shift_right_sticky"]


def leading_zeros(value):
    """Count the zeros above the most significant one.

    A tree of depth log2(width): each node takes the count of its upper half, or the width of that half plus the count
    of the lower one.

    Parameters
    ----------
    value : Value
        Unsigned, at least one bit wide.

    Returns
    -------
    Value
        Unsigned; 0 for a set top bit, the width of `value` where it is zero.
    """
    value = Value.cast(value)
    if value.shape().signed:
        raise TypeError(f"leading_zeros takes an unsigned value, not {value.shape()!r}")
    width = len(value)
    if width == 0:
        return Const(0, 1)
    # Ones below the value make the width a power of two; a one there stops the count at `width`.
    padded = 1 << (width - 1).bit_length()
    if padded != width:
        value = Cat(Const(-1, padded - width), value)
    zero, count = _zeros(value)
    return Cat(count & (~zero).replicate(len(count)), zero) if padded == width else count


def _zeros(value):
    """All-zero flag, and the leading-zero count where the flag is low, of a value whose width is a power of two."""
    if len(value) == 1:
        return ~value, Const(0, 0)
    half = len(value) // 2
    low_zero, low = _zeros(value[:half])
    high_zero, high = _zeros(value[half:])
    return high_zero & low_zero, Cat(Mux(high_zero, low, high), high_zero)


def shift_left(value, amount, width=None):
    """Shift left into a fixed width: bits above it are lost (two's complement wrap).

    Parameters
    ----------
    value : Value
        Signed or unsigned; sign or zero extended to `width` first.
    amount : Value
        Unsigned.
    width : int, optional
        Width of the result, by default that of `value`.

    Returns
    -------
    Value
        `width` bits of the signedness of `value`.
    """
    value, amount = Value.cast(value), Value.cast(amount)
    width = len(value) if width is None else width
    result = resize(value, width).as_unsigned()
    for position, bit in enumerate(amount):
        by = min(1 << position, width)
        result = Mux(bit, Cat(Const(0, by), result[: width - by]), result)
    return result.as_signed() if value.shape().signed else result


def shift_right(value, amount):
    """Shift right, arithmetic for a signed value, logical for an unsigned one; any amount is legal.

    Parameters
    ----------
    value : Value
        Signed or unsigned.
    amount : Value
        Unsigned; at or above the width the result is all sign bits (or zero).

    Returns
    -------
    Value
        Of the shape of `value`: floor(value / 2**amount).
    """
    return shift_right_sticky(value, amount)[0]


def shift_right_sticky(value, amount):
    """Shift right and say whether a one was shifted out.

    Parameters
    ----------
    value, amount : Value
        As for `shift_right`.

    Returns
    -------
    shifted : Value
        As `shift_right` gives.
    sticky : Value
        One bit, the OR of all bits that were shifted out.
    """
    value, amount = Value.cast(value), Value.cast(amount)
    width, is_signed = len(value), value.shape().signed
    fill = value[-1] if is_signed and width else Const(0, 1)
    result, sticky = value.as_unsigned(), Const(0, 1)
    for position, bit in enumerate(amount):
        by = min(1 << position, width)
        sticky = sticky | (bit & result[:by].any())
        result = Mux(bit, Cat(result[by:], fill.replicate(by)), result)
    return (result.as_signed() if is_signed else result), sticky


def resize(value, width):
    """Cut a value to its low bits, or extend it.

    Parameters
    ----------
    value : Value
        Signed or unsigned; sign or zero extended where it is narrower than `width`.
    width : int
        Width of the result.

    Returns
    -------
    Value
        `width` bits of the signedness of `value`.
    """
    value = Value.cast(value)
    signed = value.shape().signed
    if len(value) < width:
        fill = value[-1] if signed and len(value) else Const(0, 1)
        value = Cat(value, fill.replicate(width - len(value)))
    return value[:width].as_signed() if signed else value[:width]
