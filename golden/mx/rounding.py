"""Numbers to codes: the nearest element, ties to the even code, saturating."""

import numpy as np

__all__ = ["encode", "magnitude_codes"]


def encode(x, element):
    """Codes of numbers.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Finite, in units of the scale.
    element : Element

    Returns
    -------
    ndarray of uint8
        What rounds to zero keeps its sign; an integer has no -0.
    """
    if not element.exponent_bits:
        scaled = np.rint(x * x.dtype.type(64))
        return np.clip(scaled, -127, 127).astype(np.int8).view(np.uint8)
    codes = magnitude_codes(np.abs(x), element)
    return codes | np.signbit(x).view(np.uint8) << (element.bits - 1)


def magnitude_codes(x, element):
    """Codes of numbers from 0 on, as `encode`.

    A number's own bits are rounded where the element is normal: its exponent and mantissa, a carry between them
    included, then are the code, but for the bias. Where it is subnormal, the sum with a power of two whose last place
    is the smallest element is rounded by the addition, and ends in the code. So each is one rounding, to the even code.
    """
    kind = {np.dtype(np.float32): (np.int32, 23, 127), np.dtype(np.float64): (np.int64, 52, 1023)}[x.dtype]
    integer, fraction, bias = kind
    # Clipped first, because a large exponent would carry into the sign.
    x = np.minimum(x, x.dtype.type(element.magnitudes[element.largest_code]))
    cut = fraction - element.mantissa_bits
    bits = x.view(integer)
    odd = bits >> cut & 1
    normal = (bits + (odd + ((1 << (cut - 1)) - 1)) >> cut) - ((bias - element.bias) << element.mantissa_bits)
    smallest = 1 - element.bias
    magic = x.dtype.type(2.0 ** (smallest - element.mantissa_bits + fraction))
    # Below the smallest normal number the code of a normal one falls faster, so the larger of both is the number's.
    subnormal = (np.minimum(x, x.dtype.type(2.0**smallest)) + magic).view(integer) - magic.view(integer)
    return np.maximum(subnormal, normal).astype(np.uint8)
