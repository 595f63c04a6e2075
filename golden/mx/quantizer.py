"""Tensors to MX and NVFP4, and back.

MX (v1.0, 6.3): the scale of a block is the power of two that brings its largest magnitude just below the next power of
two after the element's largest one, so the largest values may saturate. NVFP4: see `_two_levels`.
"""

import numpy as np

from .formats import E4M3, E8M0_BIAS, lookup
from .rounding import encode, magnitude_codes
from .storage import MxTensor

__all__ = ["SMALLEST_TOP", "dequantize", "quantize", "scale_values"]

_FLOAT32 = np.finfo(np.float32)
_PART = 512  # blocks that are encoded at once
#: The largest magnitude of an NVFP4 tensor in units of its scale: the largest E4M3 number and the largest element.
_SPAN = np.float32(448 * 6)
#: The least largest magnitude, other than 0, of an NVFP4 tensor: its scale is a normal number then (our choice).
SMALLEST_TOP = float(_FLOAT32.tiny * _SPAN)


def quantize(x, fmt, nan_blocks=False):
    """Quantize numbers in blocks along the last axis.

    Parameters
    ----------
    x : array_like, shape (..., K)
        Finite real numbers, K of 1 or more. FP16 and FP32 numbers are taken as they are, subnormal ones too; others
        are rounded to FP32 first. The largest magnitude for "nvfp4" is 0 or at least 3.2e-35, so that the tensor's
        scale is a normal number (our choice).
    fmt : str or Format
        Name or entry of `FORMATS`.
    nan_blocks : bool
        Make a block with NaN or Inf one of NaN, with codes of 0, as the hardware does (our choice), instead of refusing
        it; not for "nvfp4".

    Returns
    -------
    MxTensor
        Rows filled with zeros to whole blocks. A block of zeros has the smallest scale (our choice).

    Raises
    ------
    ValueError
        For an unknown format, a scalar, no values, NaN or Inf, and numbers out of range.
    """
    fmt = lookup(fmt)
    if nan_blocks and fmt.two_level:
        raise ValueError(f"a block of NaN is not made in {fmt.name}: one scale is that of the whole tensor")
    x = _float32(x, nan_blocks)
    rows, k = x.shape[:-1], x.shape[-1]
    blocks = -(-k // fmt.block)
    values = x
    if k % fmt.block:
        values = np.zeros((*rows, blocks * fmt.block), np.float32)
        values[..., :k] = x
    values = values.reshape(*rows, blocks, fmt.block)
    nan = ~np.isfinite(values).all(axis=-1)
    values = np.where(nan[..., None], np.float32(0), values) if nan.any() else values
    largest = np.abs(values).max(axis=-1)
    make = _two_levels if fmt.two_level else _powers
    codes, scales, tensor_scale = make(values, largest, fmt.element)
    scales[nan] = fmt.nan_scale
    return MxTensor(fmt, codes.reshape(*rows, blocks * fmt.block), scales, k, tensor_scale)


def dequantize(t):
    """The values, float64 and exact, shape (..., K); NaN where the block's scale is.

    Parameters
    ----------
    t : MxTensor
    """
    element = t.format.element
    values = np.ldexp(element.integers.astype(float), -element.fraction_bits)[t.codes]
    # The sign of a zero is kept.
    if element.exponent_bits:
        values[t.codes == 1 << (element.bits - 1)] = -0.0
    values = values.reshape(*t.scales.shape, t.format.block) * scale_values(t)[..., None]
    return values.reshape(t.codes.shape)[..., : t.k]


def scale_values(t):
    """What each block's elements are multiplied with: float64 and exact, the shape of `t.scales`."""
    if t.format.two_level:
        scales = E4M3.magnitudes[np.minimum(t.scales, E4M3.largest_code)] * np.float64(t.tensor_scale)
    else:
        scales = np.ldexp(1.0, t.scales.astype(np.int32) - E8M0_BIAS)
    return np.where(t.nan, np.nan, scales)


def _powers(values, largest, element):
    """Codes and E8M0 scales: 2 to the floor of log2 of the largest magnitude, less the element's own."""
    # A float32's exponent field has the bias of E8M0. The field 0, of subnormal numbers, is below the range anyway.
    scales = np.maximum((largest.view(np.int32) >> 23) - element.emax, 0).astype(np.uint8)
    # Exact: the quotients are below 2**(emax + 1), and those too small for float32 round to zero in any case.
    return _encode(values, np.ldexp(np.float32(1), scales.astype(np.int32) - E8M0_BIAS), element), scales, None


def _two_levels(values, largest, element):
    """Codes, E4M3 scales and the tensor's scale.

    The tensor's scale is the quotient of its largest magnitude and 2688, rounded to FP32; a block's scale the E4M3
    number nearest to the largest magnitude over 6 times that; a code the element nearest to the value over the product
    of both scales *as they are rounded*. Quotients of numbers with so few bits are either ties or so far from them that
    float64's rounding does not matter, so comparisons are of real numbers (our choice).
    """
    top = largest.max(initial=np.float32(0))
    if 0 < top < SMALLEST_TOP:
        raise ValueError(f"the largest magnitude must be 0 or at least {SMALLEST_TOP:.3g} for nvfp4, not {top:.3g}")
    tensor_scale = top / _SPAN if top else np.float32(1)
    wide = np.float64(tensor_scale)
    scales = magnitude_codes(largest / (6 * wide), E4M3)
    steps = E4M3.magnitudes[scales] * wide
    # A block whose scale is zero has codes of zero, with the signs of its values.
    return _encode(values, np.where(steps, steps, np.inf), element), scales, tensor_scale


def _encode(values, steps, element):
    """Codes of blocks of values, each in units of its step; a part at a time, so that temporaries stay in the cache."""
    blocks, steps = values.reshape(-1, values.shape[-1]), steps.reshape(-1, 1)
    codes = np.empty(blocks.shape, np.uint8)
    for start in range(0, len(blocks), _PART):
        part = slice(start, start + _PART)
        codes[part] = encode(blocks[part] / steps[part], element)
    return codes


def _float32(x, nonfinite):
    """Numbers as float32, with at least one axis and one value; `nonfinite` ones only if they may be there."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"x must hold real numbers, not {x.dtype}")
    if x.ndim == 0 or not x.size:
        raise ValueError(f"x must have values along K, not the shape {x.shape}")
    wrong = ~np.isfinite(x)
    if wrong.any() and not nonfinite:
        index = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(f"x must be finite, not {x[index]} at index {index}")
    if (
        x.dtype not in (np.float16, np.float32)
        and (largest := np.abs(x[~wrong].astype(np.float64)).max(initial=0)) > _FLOAT32.max
    ):
        raise ValueError(f"the largest magnitude must be at most {_FLOAT32.max:.6g}, not {largest:.6g}")
    return np.ascontiguousarray(x, np.float32)
