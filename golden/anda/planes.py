"""Anda (HPCA 2025): groups of activations with one exponent and mantissas of a chosen length, stored as bit planes.

A group is 64 consecutive values along K of one token: the paper has the 64, the axis is our choice, the only one with
which a group has one exponent in a dot product. It keeps the largest exponent E of its FP16 values, a sign bit for
each, and mantissas of M bits that count the leading bit (Figure 4)::

    value = (-1)**sign * mantissa * 2**(E - 14 - M)        0 <= mantissa < 2**M, 1 <= E <= 31

A mantissa is shifted right by the distance of its exponent from E and cut to M bits. M is 1 to 16, one for a tensor.

Special values, about which the paper is silent (our choice): a subnormal has no leading bit and the exponent 1; zeros
keep their sign; an all-zero group has E = 1; Inf and NaN are an ordinary binade with the exponent 31, so Inf is 65536
exactly, NaN is a number above that, and a flag tells that there was one.

Weights are symmetric, INT4 codes of -8 to 7 times a scale, without a zero point (our choice). The paper is silent, and
the quantizer of its checkpoints, OmniQuant, is asymmetric by default: those cannot be taken as they are.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ..checks import integer

__all__ = [
    "CONVERSIONS",
    "GROUP",
    "MAX_MANTISSA",
    "ROUNDINGS",
    "WEIGHT_GROUP",
    "AndaTensor",
    "compression_ratio",
    "decode",
    "encode",
    "encoded_matmul",
    "group_dot",
    "matmul",
    "pack",
    "to_float16",
    "unpack",
]

#: Values that share an exponent.
GROUP = 64
#: Longest mantissa (Table I).
MAX_MANTISSA = 16
#: Weights along K that share a scale (W4A16g128).
WEIGHT_GROUP = 128
#: What happens to the bits beyond a mantissa: cut, as in the paper, or our variant.
ROUNDINGS = ("truncate", "nearest")
#: What a group's integer becomes before it is scaled: exact (our default), or FP16 as in Figure 11.
CONVERSIONS = ("fp32", "fp16")

_EXPONENT_BITS = 5
_NONFINITE = 31
# The smallest normal FP16 number, and the bits of a float32's fraction that FP16's has not.
_SMALLEST, _BEYOND = np.float32(2.0**-14), (1 << 13) - 1
_SMALLEST_WEIGHT, _LARGEST_WEIGHT = -8, 7
# Rows and channels of the matrix product that are worked on at once: the temporaries stay in the first cache, and a
# product with a group of 64 is small enough for OpenBLAS to take one thread. With more it spends its time in waiting
# for them: 10 times as long on a busy machine.
_ROWS, _CHANNELS = 32, 128
# Numbers that are encoded at once, for the same reason.
_PART = 1 << 16


@dataclass(frozen=True, eq=False)
class AndaTensor:
    """An encoded tensor of shape (..., K) with G = ceil(K / group) groups in a row.

    Parameters
    ----------
    signs : ndarray of uint64, shape (..., G)
        Sign plane: bit i is the sign of element i of the group.
    planes : ndarray of uint64, shape (..., G, M)
        Mantissa planes, that of the most significant bits first; bit i belongs to element i.
    exponents : ndarray of uint8, shape (..., G)
        Shared exponents, 0 to 31, bias 15; the encoder makes no 0.
    k : int
        Values in a row; what is beyond them in the last group is +0.
    group : int
        Values in a group, 1 to 64.

    Raises
    ------
    ValueError
        For other types, shapes or ranges.
    """

    signs: np.ndarray
    planes: np.ndarray
    exponents: np.ndarray
    k: int
    group: int = GROUP

    def __post_init__(self):
        _check_group(self.group)
        _check_mantissa(self.planes.shape[-1] if self.planes.ndim else 0)
        shape = self.signs.shape
        if not shape or self.planes.shape[:-1] != shape or self.exponents.shape != shape:
            given = f"{shape}, {self.planes.shape} and {self.exponents.shape}"
            raise ValueError(
                f"signs, planes and exponents must have shapes (..., G), (..., G, M) and (..., G), not {given}"
            )
        types = (self.signs.dtype, self.planes.dtype, self.exponents.dtype)
        if types != (np.uint64, np.uint64, np.uint8):
            raise ValueError(
                f"signs, planes and exponents must be uint64, uint64 and uint8, not {', '.join(map(str, types))}"
            )
        if self.k < 1:
            raise ValueError(f"k must be 1 or more, not {self.k}")
        if shape[-1] != -(-self.k // self.group):
            raise ValueError(
                f"{self.k} values in groups of {self.group} are {-(-self.k // self.group)}, not {shape[-1]}"
            )
        if self.exponents.max(initial=0) > _NONFINITE:
            raise ValueError(f"an exponent must be 0 to {_NONFINITE}, not {self.exponents.max()}")
        for name, words in (("signs", self.signs), ("planes", self.planes)):
            largest = int(words.max(initial=0))
            if largest >> self.group:
                raise ValueError(f"a word of {name} must have {self.group} bits, not be {largest:#x}")

    @property
    def mantissa(self):
        """Bits of a mantissa, M."""
        return self.planes.shape[-1]

    @property
    def nonfinite(self):
        """Whether Inf or NaN was encoded: nothing else gives the exponent 31."""
        return bool((self.exponents == _NONFINITE).any())


def encode(x, mantissa, rounding="truncate", group=GROUP):
    """Encode FP16 numbers.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        Any codes; a K that is not a multiple of the group is padded with +0.
    mantissa : int
        Bits of a mantissa, 1 to 16.
    rounding : str
        ``truncate`` as the paper does; ``nearest`` rounds to the nearest mantissa, ties to even, and to ``2**M - 1``
        where the carry would need one bit more (our variant: as good as almost one bit more).
    group : int
        Values that share an exponent, 1 to 64; the paper has 64.

    Returns
    -------
    AndaTensor

    Raises
    ------
    ValueError
        For another type, mantissa, rounding or group.
    """
    mantissa, group = _check_mantissa(mantissa), _check_group(group)
    x = _half(x)
    *rows, k = x.shape
    x, size, parts = x.reshape(math.prod(rows), k), max(1, _PART // k), []
    for start in range(0, max(len(x), 1), size):
        negative, magnitudes, exponents = _align(x[start : start + size], mantissa, rounding, group)
        parts.append((_words(negative), _planes(magnitudes, mantissa), exponents))
    signs, planes, exponents = (np.concatenate(part) for part in zip(*parts, strict=True))
    groups = *rows, -(-k // group)
    return AndaTensor(signs.reshape(groups), planes.reshape(*groups, mantissa), exponents.reshape(groups), k, group)


def decode(t):
    """Values of a tensor, float64 and exact, shape (..., K); a zero keeps its sign."""
    negative, magnitudes, exponents = _fields(t)
    values = magnitudes * np.ldexp(1.0, exponents.astype(np.int32) - 14 - t.mantissa)[..., None]
    return _rows(np.negative(values, out=values, where=negative), t.k)


def to_float16(t):
    """The values as FP16, shape (..., K), as a decompressor gives them.

    Exact for whatever `encode` made of finite numbers. A value from 65536 up, which only Inf, NaN and planes that no
    encoder makes have, becomes Inf; bits beyond an FP16 fraction, which only such planes have, are cut.
    """
    negative, magnitudes, exponents = _fields(t)
    # Exact in float32: at most 16 bits.
    units = np.ldexp(np.float32(1), exponents.astype(np.int32) - 14 - t.mantissa)
    values = magnitudes.astype(np.float32) * units[..., None]
    normal = (values.view(np.uint32) & ~np.uint32(_BEYOND)).view(np.float32)
    subnormal = np.trunc(values * np.float32(2.0**24)) * np.float32(2.0**-24)
    values = np.where(values < _SMALLEST, subnormal, normal)
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    return _rows(np.negative(halves, out=halves, where=negative), t.k)


def group_dot(t, weights):
    """Integer dot products of every group with every output channel's weights (Figure 11).

    Parameters
    ----------
    t : AndaTensor
        Activations.
    weights : array_like of int, shape (N, K)
        -8 to 7.

    Returns
    -------
    ndarray of int64, shape (..., N, G)
        Below ``2**(M + 9)`` in magnitude for groups of 64, so two's complement of M + 10 bits holds them.

    Raises
    ------
    ValueError
        For another shape, or a weight that is out of range.
    """
    weights = _grouped_weights(weights, t.k, t.group)
    negative, magnitudes, _ = _fields(t)
    # Every sum stays far below 2**53, so floating point is exact, and much faster.
    signed = np.where(negative, -magnitudes.astype(np.float64), magnitudes)
    signed = signed.reshape(-1, *signed.shape[-2:]).transpose(1, 0, 2)
    dots = signed @ weights.transpose(1, 2, 0).astype(np.float64)
    return dots.transpose(1, 2, 0).reshape(*t.signs.shape[:-1], *weights.shape[:2]).astype(np.int64)


def matmul(t, weights, scales, conversion="fp32"):
    """Matrix product as the accelerator computes it, every rounding included (Figure 11).

    For each group g, ascending: the integer dot product D becomes ``x = D * 2**(E - 14 - M)``, is multiplied by the
    weights' scale, and is added to the accumulator, which starts at +0; product and sum are each rounded to float32, to
    the nearest, ties to even. The order and the roundings are our choice.

    Parameters
    ----------
    t : AndaTensor
        Activations, shape (..., K).
    weights : array_like of int, shape (N, K)
        -8 to 7.
    scales : ndarray of float16, shape (N, ceil(K / 128))
        Finite scales of 128 weights each.
    conversion : str
        ``fp32``: x is exact, except for M = 16, where it is rounded to 24 bits. ``fp16``: x is rounded to FP16 as in
        the paper, where it may overflow to Inf although the scaled value is small.

    Returns
    -------
    accumulators : ndarray of float32, shape (..., N)
        In ``fp16`` a NaN is always 0x7FC00000 (our choice).
    outputs : ndarray of float16, shape (..., N)
        The accumulators rounded to the nearest, ties to even, to Inf where they are too large.

    Raises
    ------
    ValueError
        For another shape or conversion, a group that does not divide 128, a weight that is out of range, or a scale
        that is not finite.
    """
    return _product(*_fields(t), t.mantissa, t.k, t.group, weights, scales, conversion)


def encoded_matmul(x, mantissa, weights, scales, conversion="fp32", rounding="truncate", group=GROUP):
    """``matmul(encode(x, …), …)``, equal bit for bit, without the bit planes; parameters as of those two."""
    mantissa, group = _check_mantissa(mantissa), _check_group(group)
    fields = _align(x, mantissa, rounding, group)
    return _product(*fields, mantissa, x.shape[-1], group, weights, scales, conversion)


def compression_ratio(mantissa, group=GROUP):
    """Bits of FP16 over bits of Anda: ``16 / (M + 1 + 5 / group)``."""
    mantissa = _check_mantissa(mantissa)
    group = _check_group(group)
    return 16 * group / (group * (mantissa + 1) + _EXPONENT_BITS)


def pack(t, lanes=1):
    """Memory image of a tensor: first the memory of signs and mantissas, then that of the exponents.

    The rows of the tensor, tokens, are taken `lanes` at a time, the last block filled up with rows of +0. For each
    block, and in it for each group, the first memory holds M + 1 words of ``lanes * group`` bits: the signs, then the
    planes from the most significant; the lane r has the bits from ``r * group`` up. The second one holds one word of
    ``5 * lanes`` bits, the lane r from bit ``5 r`` up. Words follow each other without gaps, the least significant bit
    first; each memory is filled up to a whole byte.

    Parameters
    ----------
    t : AndaTensor
        What is packed.
    lanes : int, 1 to 65536
        Groups side by side in a word: 1 gives plain 64-bit words, 16 the 1024-bit words and 80-bit exponents of the
        paper's activation buffer (Figure 13).

    Returns
    -------
    bytes
    """
    lanes = _check_lanes(lanes)
    words = np.concatenate([t.signs[..., None], t.planes], axis=-1).reshape(-1, *t.planes.shape[-2:-1], t.mantissa + 1)
    exponents = t.exponents.reshape(-1, t.exponents.shape[-1])
    fill = -len(words) % lanes
    words = np.pad(words, ((0, fill), (0, 0), (0, 0)))
    exponents = np.pad(exponents, ((0, fill), (0, 0)), constant_values=1)
    words = words.reshape(-1, lanes, *words.shape[1:]).transpose(0, 2, 3, 1)
    exponents = exponents.reshape(-1, lanes, exponents.shape[1]).transpose(0, 2, 1)
    return _stream(words, t.group) + _stream(exponents, _EXPONENT_BITS)


def unpack(data, shape, mantissa, group=GROUP, lanes=1):
    """The tensor of a memory image.

    Parameters
    ----------
    data : bytes
        As `pack` gives.
    shape : sequence of int
        Shape (..., K) of what was encoded.
    mantissa, group, lanes : int
        As they were.

    Returns
    -------
    AndaTensor

    Raises
    ------
    ValueError
        When the image has another size.
    """
    mantissa = _check_mantissa(mantissa)
    group = _check_group(group)
    lanes = _check_lanes(lanes)
    *rows, k = shape
    count, groups = int(np.prod(rows, dtype=np.int64)), -(-k // group)
    blocks = -(-count // lanes)
    bits = blocks * groups * lanes * group * (mantissa + 1), blocks * groups * lanes * _EXPONENT_BITS
    split, size = -(-bits[0] // 8), -(-bits[0] // 8) + -(-bits[1] // 8)
    if len(data) != size:
        raise ValueError(f"an image of shape {(*shape,)} with {mantissa} bits has {size} bytes, not {len(data)}")
    words = _unstream(data[:split], bits[0], group).reshape(blocks, groups, mantissa + 1, lanes)
    exponents = _unstream(data[split:], bits[1], _EXPONENT_BITS).reshape(blocks, groups, lanes)
    words = words.transpose(0, 3, 1, 2).reshape(-1, groups, mantissa + 1)[:count].reshape(*rows, groups, mantissa + 1)
    exponents = exponents.transpose(0, 2, 1).reshape(-1, groups)[:count].reshape(*rows, groups).astype(np.uint8)
    return AndaTensor(words[..., 0].copy(), words[..., 1:].copy(), exponents, k, group)


def _align(x, mantissa, rounding, group):
    """Signs (bool) and magnitudes (uint16) of shape (..., G, group), and exponents (uint8) of shape (..., G)."""
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be {' or '.join(ROUNDINGS)}, not {rounding!r}")
    x = _half(x)
    codes = x.view(np.uint16)
    padding = -x.shape[-1] % group
    if padding:
        codes = np.concatenate([codes, np.zeros((*x.shape[:-1], padding), np.uint16)], axis=-1)
    codes = codes.reshape(*x.shape[:-1], codes.shape[-1] // group, group)
    field = (codes >> 10) & 31
    exponent = np.maximum(field, 1)
    shared = exponent.max(axis=-1)
    # The longest mantissa has 16 bits; a shift by 17 leaves nothing, not even a bit to round up.
    wide = (((field != 0).astype(np.uint16) << 10) | (codes & 0x3FF)).astype(np.uint32) << 5
    shift = np.minimum(np.uint32(MAX_MANTISSA - mantissa) + shared[..., None] - exponent, np.uint32(17))
    magnitudes = wide >> shift
    if rounding == "nearest":
        twice, one = (wide - (magnitudes << shift)) << 1, np.uint32(1) << shift
        magnitudes += (twice > one) | ((twice == one) & (magnitudes & 1 == 1))
        magnitudes = np.minimum(magnitudes, np.uint32((1 << mantissa) - 1))
    return codes >> 15 == 1, magnitudes.astype(np.uint16), shared.astype(np.uint8)


def _half(x):
    x = np.asarray(x)
    if x.dtype != np.float16 or x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x must be an array of float16 with a value in each row, not {x.dtype} of shape {x.shape}")
    return x


def _fields(t):
    """What `_align` gives, from bit planes."""
    return _bits(t.signs, t.group) == 1, _magnitudes(t.planes, t.group), t.exponents


def _rows(groups, k):
    """The first `k` values of each row, from shape (..., G, group)."""
    return groups.reshape(*groups.shape[:-2], groups.shape[-2] * groups.shape[-1])[..., :k]


def _product(negative, magnitudes, exponents, mantissa, k, group, weights, scales, conversion):
    if conversion not in CONVERSIONS:
        raise ValueError(f"conversion must be {' or '.join(CONVERSIONS)}, not {conversion!r}")
    if WEIGHT_GROUP % group:
        raise ValueError(f"a group must divide the {WEIGHT_GROUP} weights of a scale, not be {group}")
    weights = _grouped_weights(weights, k, group)
    channels, groups = weights.shape[:2]
    scales = np.asarray(scales)
    if scales.dtype != np.float16 or scales.shape != (channels, -(-k // WEIGHT_GROUP)):
        wanted = f"float16 of shape {(channels, -(-k // WEIGHT_GROUP))}"
        raise ValueError(f"scales must be {wanted}, not {scales.dtype} of shape {scales.shape}")
    wrong = np.argwhere(~np.isfinite(scales))
    if len(wrong):
        index = tuple(map(int, wrong[0]))
        raise ValueError(f"a scale must be finite, not {scales[index]} at index {index}")
    scales = scales.astype(np.float32).T
    # A dot product of integers below 2**24 is exact in float32 whatever the order; only M = 16 can exceed it.
    exact = np.float32 if group * -_SMALLEST_WEIGHT * ((1 << mantissa) - 1) < 1 << 24 else np.float64
    weights = np.ascontiguousarray(weights.transpose(1, 2, 0)).astype(exact)
    signed = magnitudes.astype(exact)
    np.negative(signed, out=signed, where=negative)
    signed = signed.reshape(-1, groups, group)
    units = np.ldexp(exact(1), exponents.reshape(-1, groups).astype(np.int32) - 14 - mantissa)
    accumulators = np.zeros((len(units), channels), np.float32)
    # Inf and NaN are results here: FP16 overflows in two places, and Inf may meet -Inf.
    with np.errstate(over="ignore", invalid="ignore"):
        for top, left in itertools.product(range(0, len(units), _ROWS), range(0, channels, _CHANNELS)):
            rows, columns = slice(top, top + _ROWS), slice(left, left + _CHANNELS)
            accumulator = accumulators[rows, columns]
            for g in range(groups):
                x = signed[rows, g] @ weights[g, :, columns]
                x *= units[rows, g, None]
                if conversion == "fp16":
                    x = x.astype(np.float16)
                x = x.astype(np.float32, copy=False)
                x *= scales[g * group // WEIGHT_GROUP, columns]
                accumulator += x
        if conversion == "fp16":
            accumulators[np.isnan(accumulators)] = np.float32(np.nan)
        accumulators = accumulators.reshape(*exponents.shape[:-1], channels)
        return accumulators, accumulators.astype(np.float16)


def _grouped_weights(weights, k, group):
    """Weights of shape (N, K), checked, as (N, G, group)."""
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != k or weights.dtype.kind not in "iu":
        raise ValueError(f"weights must be integers of shape (N, {k}), not {weights.dtype} of shape {weights.shape}")
    wrong = np.argwhere((weights < _SMALLEST_WEIGHT) | (weights > _LARGEST_WEIGHT))
    if len(wrong):
        index = tuple(map(int, wrong[0]))
        raise ValueError(f"a weight must be -8 to 7, not {weights[index]} at index {index}")
    groups = -(-k // group)
    return np.pad(weights, ((0, 0), (0, groups * group - k))).reshape(len(weights), groups, group)


def _planes(magnitudes, mantissa):
    """Bit planes, uint64 of shape (..., mantissa), the most significant first, of numbers of shape (..., group)."""
    octets = np.zeros((-(-mantissa // 8), *magnitudes.shape[:-1], 64), np.uint8)
    for high, part in enumerate(octets):
        part[..., : magnitudes.shape[-1]] = (magnitudes >> np.uint16(8 * high)).astype(np.uint8)
    # By eights of elements, by bits of an octet: the words of planes have the eights of a plane together.
    turned = _turned(octets.view("<u8")).view(np.uint8).reshape(*octets.shape[:-1], 8, 8)
    words = np.ascontiguousarray(turned.swapaxes(-1, -2)).view("<u8")[..., 0]
    planes = np.concatenate([*words], axis=-1)[..., mantissa - 1 :: -1]
    return np.ascontiguousarray(planes, np.uint64)


def _magnitudes(planes, group):
    """The numbers of `_planes`, uint16 of shape (..., group)."""
    *groups, mantissa = planes.shape
    halves = -(-mantissa // 8)
    words = np.zeros((*groups, 8 * halves), "<u8")
    words[..., :mantissa] = planes[..., ::-1]
    eights = words.view(np.uint8).reshape(*groups, halves, 8, 8).swapaxes(-1, -2)
    octets = _turned(np.ascontiguousarray(eights).view("<u8")).view(np.uint8).reshape(*groups, halves, 64)
    return sum(octets[..., high, :group].astype(np.uint16) << np.uint16(8 * high) for high in range(halves))


def _turned(words):
    """Words of 8 octets of 8 bits, transposed: bit j of octet i becomes bit i of octet j (Hacker's Delight, 7-3)."""
    for step, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        differs = (words ^ (words >> np.uint64(step))) & np.uint64(mask)
        words = words ^ differs ^ (differs << np.uint64(step))
    return words


def _words(bits):
    """Bits, shape (..., group), the first one least significant, as uint64 of shape (...)."""
    packed = np.packbits(bits.astype(bool), axis=-1, bitorder="little")
    padded = np.zeros((*packed.shape[:-1], 8), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u8")[..., 0].astype(np.uint64)


def _bits(words, count):
    """The `count` low bits of unsigned words, as uint8 of shape (..., count)."""
    octets = np.ascontiguousarray(words, "<u8")[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=count, bitorder="little")


def _stream(words, width):
    """Words of `width` bits as bytes without gaps, the least significant bit first."""
    return np.packbits(_bits(words.astype(np.uint64), width).reshape(-1), bitorder="little").tobytes()


def _unstream(data, bits, width):
    """The words of `_stream`, uint64."""
    return _words(np.unpackbits(np.frombuffer(data, np.uint8), count=bits, bitorder="little").reshape(-1, width))


def _check_mantissa(mantissa):
    return integer("bits of a mantissa", mantissa, 1, MAX_MANTISSA)


def _check_group(group):
    return integer("values in a group", group, 1, GROUP)


def _check_lanes(lanes):
    return integer("lanes", lanes, 1, 1 << 16)
