"""Hierarchical Group Quantization (HGQ) of SeVeDo (2025): INT4 codes, a 2-bit left shift for 16, an FP16 scale for 128.

::

    value = code * scale * 2**(shift - (2**shift_bits - 1))        code -7..7, shift 0..2**shift_bits - 1

The scale belongs to the widest fine groups of a coarse group; a narrower one has a smaller shift, so the datapath only
ever shifts left and loses no bit. Dequantization takes one floating-point product and sum for a coarse group.

That there is a coarse floating-point scale with fine shifts is the paper's; that the scale is FP16, and the residual
INT4, is known from reviews only. We could not read its inside: the sizes of the groups, the width and the direction of
the shift, which operand has shifts, every rounding, the order of the sums and the memory image are our choice.

Special values (our choice): NaN counts as +0, Inf as 65504 of its sign, and a flag tells it; subnormal numbers and
-0 count as +0; an all-zero coarse group, and one too small for FP16 scales, has the scale 2**-14.

Without shifts this is flat group quantization, and with one group for a row it is plain INT4: see `flat` and
`per_channel`, what HGQ is measured against.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..checks import integer

__all__ = [
    "COARSE",
    "FINE",
    "LARGEST_CODE",
    "LARGEST_HALF",
    "MAX_SHIFT_BITS",
    "SHIFT_BITS",
    "SMALLEST_NORMAL",
    "THRESHOLD",
    "THRESHOLDS",
    "HgqTensor",
    "accumulator_bits",
    "check_groups",
    "dequantize",
    "flat",
    "matmul",
    "pack",
    "per_channel",
    "quantize",
    "record_bytes",
    "sanitize",
    "unpack",
]

#: Values along K that share a scale, and those that share a shift (our choice).
COARSE, FINE = 128, 16
#: Bits of a shift (our choice: a third one gains little and widens the accumulator), and the most that are legal.
SHIFT_BITS, MAX_SHIFT_BITS = 2, 3
#: A fine group may exceed its range by this many quarters of it, and is clipped (our choice); 4 never clips.
THRESHOLD, THRESHOLDS = 5, range(4, 8)
#: Largest magnitude of a code; -8 is illegal.
LARGEST_CODE = 7
#: Largest and smallest normal FP16 numbers; the smallest is the smallest scale.
LARGEST_HALF, SMALLEST_NORMAL = 65504.0, 2.0**-14

_LARGEST_PRODUCT = LARGEST_CODE**2
# float32 holds every integer up to here, so a product of integer matrices within it is exact in whatever order.
_EXACT = 1 << 24
# Rows and channels of the matrix product that are worked on at once, and multiplications of one call: the temporaries
# stay in the cache, and OpenBLAS takes one thread for so few instead of waiting for others.
_ROWS, _CHANNELS, _CALL = 32, 256, 1 << 18
# Numbers that are quantized at once, for the same reason.
_PART = 1 << 15


@dataclass(frozen=True, eq=False)
class HgqTensor:
    """A quantized tensor of shape (..., K), padded with zero codes to Kp, a multiple of the coarse group.

    Parameters
    ----------
    codes : ndarray of int8, shape (..., Kp)
        -7 to 7; 0 from K on.
    shifts : ndarray of uint8, shape (..., Kp / fine)
        Left shifts, 0 to ``2**shift_bits - 1``.
    scales : ndarray of float16, shape (..., Kp / coarse)
        Positive and normal: 2**-14 to 65504.
    k : int
        Values in a row, 1 or more.
    shift_bits : int
        0 to 3.
    nonfinite : bool
        Whether NaN or Inf was quantized; not a part of the memory image.

    Raises
    ------
    ValueError
        For other types, shapes or ranges, naming the first wrong value.
    """

    codes: np.ndarray
    shifts: np.ndarray
    scales: np.ndarray
    k: int
    shift_bits: int = SHIFT_BITS
    nonfinite: bool = False

    def __post_init__(self):
        integer("bits of a shift", self.shift_bits, 0, MAX_SHIFT_BITS)
        if self.k < 1:
            raise ValueError(f"K must be 1 or more, not {self.k}")
        types = (self.codes.dtype, self.shifts.dtype, self.scales.dtype)
        if types != (np.int8, np.uint8, np.float16):
            raise ValueError(
                f"codes, shifts and scales must be int8, uint8 and float16, not {', '.join(map(str, types))}"
            )
        shapes = (self.codes.shape, self.shifts.shape, self.scales.shape)
        if not all(shapes) or len({shape[:-1] for shape in shapes}) > 1 or not all(shape[-1] for shape in shapes):
            given = f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
            raise ValueError(f"codes, shifts and scales must have shapes (..., Kp), (..., F) and (..., C), not {given}")
        padded, fine, coarse = (shape[-1] for shape in shapes)
        group = -(-padded // coarse)
        if padded % coarse or fine % coarse or padded % fine or padded != -(-self.k // group) * group:
            given = f"{padded} codes, {fine} shifts and {coarse} scales"
            raise ValueError(f"a row of {given} is not padded to {self.k} values")
        if self.codes.min(initial=0) < -LARGEST_CODE or self.codes.max(initial=0) > LARGEST_CODE:
            _legal("a code", self.codes, abs(self.codes.astype(np.int16)) <= LARGEST_CODE, "-7 to 7")
        _legal("a code beyond K", self.codes[..., self.k :], self.codes[..., self.k :] == 0, "0")
        _legal("a shift", self.shifts, self.shifts < 1 << self.shift_bits, f"0 to {(1 << self.shift_bits) - 1}")
        normal = (self.scales >= SMALLEST_NORMAL) & (self.scales <= LARGEST_HALF)
        _legal("a scale", self.scales, normal, "2**-14 to 65504")

    @property
    def coarse(self):
        """Values that share a scale."""
        return self.codes.shape[-1] // self.scales.shape[-1]

    @property
    def fine(self):
        """Values that share a shift."""
        return self.codes.shape[-1] // self.shifts.shape[-1]

    @property
    def bits(self):
        """Bits of a value in memory, scales and shifts included."""
        return 4 + self.shift_bits / self.fine + 16 / self.coarse


def sanitize(x):
    """FP16 numbers as the hardware takes them: no NaN, Inf, subnormal number or -0.

    Parameters
    ----------
    x : ndarray of float16

    Returns
    -------
    ndarray of float16
        +0 for NaN and for magnitudes below 2**-14, 65504 of its sign for Inf.
    nonfinite : bool
        Whether there was NaN or Inf.

    Raises
    ------
    ValueError
        For another type.
    """
    codes = _half(x).view(np.uint16)
    magnitude = codes & 0x7FFF
    # The code 0 is +0, and the one before Inf is 65504.
    clean = codes * ((magnitude >= 0x0400) & (magnitude <= 0x7C00))
    clean -= magnitude == 0x7C00
    return clean.view(np.float16), bool(magnitude.max(initial=0) >= 0x7C00)


def _half(x):
    x = np.asarray(x)
    if x.dtype != np.float16:
        raise ValueError(f"x must be float16, not {x.dtype}")
    return x


def quantize(x, coarse=COARSE, fine=FINE, shift_bits=SHIFT_BITS, threshold=THRESHOLD):
    """Quantize FP16 numbers, weights or activations.

    With the largest magnitudes Af of a fine and Ac of a coarse group: the scale s is Ac / 7, rounded to FP16, at least
    2**-14. A fine group is narrower by e powers of two, e being the number of j in 1 to ``2**shift_bits - 1`` with
    ``4 Af 2**j <= threshold Ac``; its shift is ``2**shift_bits - 1 - e``. A code is ``x / (s 2**-e)``, rounded to the
    nearest, ties to even, and clipped to -7 and 7. All of it is our choice.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        Any codes; K is 1 or more.
    coarse, fine : int
        Values that share a scale, and those that share a shift, both 1 or more; the coarse one a multiple of the fine.
    shift_bits : int
        0 to 3; 0 has no shifts.
    threshold : int
        4 to 7: quarters of its range that a fine group may take up, 4 never clips.

    Returns
    -------
    HgqTensor

    Raises
    ------
    ValueError
        For another type, size or parameter.
    """
    coarse, fine = check_groups(coarse, fine)
    shift_bits = integer("bits of a shift", shift_bits, 0, MAX_SHIFT_BITS)
    threshold = integer("threshold", threshold, THRESHOLDS[0], THRESHOLDS[-1])
    x = _half(x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"K must be 1 or more, not that of the shape {x.shape}")
    rows, k = x.shape[:-1], x.shape[-1]
    groups = -(-k // coarse)
    if k % coarse:
        x = np.concatenate([x, np.zeros((*rows, -k % coarse), np.float16)], axis=-1)
    x = x.reshape(math.prod(rows) * groups, coarse)
    codes, shifts = np.empty(x.shape, np.int8), np.empty((len(x), coarse // fine), np.uint8)
    scales, nonfinite = np.empty(len(x), np.float16), False
    size = max(1, _PART // coarse)
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        *quantized, wrong = _quantized(x[part], fine, shift_bits, threshold)
        codes[part], shifts[part], scales[part] = quantized
        nonfinite |= wrong
    codes, shifts = codes.reshape(*rows, groups * coarse), shifts.reshape(*rows, groups * (coarse // fine))
    return HgqTensor(codes, shifts, scales.reshape(*rows, groups), k, shift_bits, nonfinite)


def _quantized(x, fine, shift_bits, threshold):
    """Codes, shifts and scales of coarse groups, and whether there was NaN or Inf."""
    x, nonfinite = sanitize(x)
    # Without their signs, the codes of FP16 numbers are in the order of the numbers. Of many short groups, NumPy finds
    # the largest soonest when they are columns.
    magnitudes = (x.view(np.uint16) & 0x7FFF).reshape(-1, fine)
    narrow = np.ascontiguousarray(magnitudes.T).max(axis=0).view(np.float16)
    # float32 holds 4 * 2**j and 7 times an FP16 number exactly. A quotient of two FP16 numbers is either exact or so
    # far from a tie, and from that of two scales, that its own rounding does not matter.
    narrow = narrow.astype(np.float32).reshape(len(x), -1)
    wide = narrow.max(axis=-1)
    scales = np.maximum((wide / np.float32(LARGEST_CODE)).astype(np.float16), np.float16(SMALLEST_NORMAL))
    exponents = np.zeros(narrow.shape, np.int32)
    for j in range(1, 1 << shift_bits):
        exponents += narrow * np.float32(4 << j) <= wide[:, None] * np.float32(threshold)
    steps = np.ldexp(scales.astype(np.float32)[:, None], -exponents)
    values = x.astype(np.float32).reshape(*narrow.shape, fine)
    values /= steps[..., None]
    codes = np.rint(values, out=values).astype(np.int8).reshape(x.shape)
    return np.clip(codes, -LARGEST_CODE, LARGEST_CODE, out=codes), (1 << shift_bits) - 1 - exponents, scales, nonfinite


def flat(x, group):
    """Flat group quantization: one FP16 scale for a group along K, no shifts; the baseline with groups of 16 or 128.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
    group : int
        Values that share a scale, 1 or more.

    Returns
    -------
    HgqTensor
    """
    return quantize(x, group, group, shift_bits=0)


def per_channel(x):
    """INT4 without groups: one FP16 scale for each row, which is an output channel or a token; the other baseline."""
    x = np.asarray(x)
    return flat(x, x.shape[-1] if x.ndim and x.shape[-1] else 1)


def dequantize(t):
    """The values, float32 and exact, shape (..., K)."""
    exponents = t.shifts.astype(np.int32) - ((1 << t.shift_bits) - 1)
    steps = np.repeat(t.scales.astype(np.float32), t.coarse // t.fine, axis=-1)
    values = t.codes.reshape(*t.shifts.shape, t.fine) * np.ldexp(steps, exponents)[..., None]
    # -0 becomes +0.
    return values.reshape(t.codes.shape)[..., : t.k] + np.float32(0)


def accumulator_bits(coarse, shift_bits_x, shift_bits_w):
    """Bits, sign included, of the integer accumulator of a coarse group."""
    span = (1 << shift_bits_x) + (1 << shift_bits_w) - 2
    return 1 + (coarse * _LARGEST_PRODUCT << span).bit_length()


def matmul(x, w):
    """Matrix product as the residual core computes it, every rounding included.

    For each coarse group, ascending: every fine group's integer dot product, shifted left by the sum of both shifts, is
    added to an integer; that integer, times the exact product of the two scales and a power of two, is rounded to
    float32 and added to the result, which starts at +0 and is rounded to float32 again. Ties go to even. An integer of
    more than 24 bits, which the default sizes never have, is rounded to float32 first. All of it is our choice.

    Parameters
    ----------
    x : HgqTensor, shape (..., K)
        Activations.
    w : HgqTensor, shape (N, K)
        Weights, with groups of the same sizes.

    Returns
    -------
    ndarray of float32, shape (..., N)
        Never -0.

    Raises
    ------
    ValueError
        When the two do not fit together.
    """
    sizes = [(t.k, t.coarse, t.fine) for t in (x, w)]
    if w.codes.ndim != 2 or sizes[0] != sizes[1]:
        given = f"{sizes[0]} and {sizes[1]}, weights of {w.codes.ndim} axes"
        raise ValueError(f"K, coarse and fine group of activations and of 2-axis weights must agree, not {given}")
    top = (1 << x.shift_bits) + (1 << w.shift_bits) - 2
    exact = np.float32 if x.coarse * _LARGEST_PRODUCT << top <= _EXACT else np.float64
    left, right = _shifted(x, exact), _shifted(w, exact)
    # A power of two changes no rounding, so it goes with the activations' scales.
    rows = np.ldexp(x.scales.astype(np.float32).reshape(len(left), x.scales.shape[-1]), -top)
    columns = w.scales.astype(np.float32)
    result = np.zeros((len(rows), len(columns)), np.float32)
    step = max(1, min(_CHANNELS, _CALL // (_ROWS * x.coarse)))
    for m in range(0, len(rows), _ROWS):
        part = slice(m, m + _ROWS)
        for n in range(0, len(columns), step):
            block = slice(n, n + step)
            y = result[part, block]
            for c in range(columns.shape[1]):
                term = (left[part, c] @ right[block, c].T).astype(np.float32, copy=False)
                term *= rows[part, c, None] * columns[block, c]
                y += term
    return result.reshape(*x.codes.shape[:-1], len(columns))


def record_bytes(coarse=COARSE, fine=FINE, shift_bits=SHIFT_BITS):
    """Bytes of a coarse group in memory: 68 for the default sizes."""
    return _code_bytes(coarse) + _shift_bytes(coarse // fine, shift_bits) + 2


def pack(t):
    """Memory image: row by row, one record for each coarse group.

    A record holds the codes in two's complement, two a byte, the first one in the low half; the shifts, the first one
    in the lowest bits; the scale's FP16 code, low byte first. Codes and shifts are each filled up to whole bytes. The
    sizes of the parts are the design's; their order is our choice.

    Parameters
    ----------
    t : HgqTensor

    Returns
    -------
    bytes
        ``record_bytes(…)`` for each coarse group.
    """
    records = t.scales.size
    codes = t.codes.reshape(records, t.coarse).astype(np.uint8) & 15
    parts = [_bits(codes, 4), _bits(t.shifts.reshape(records, t.coarse // t.fine), t.shift_bits)]
    scales = np.ascontiguousarray(t.scales, "<f2").reshape(records, 1).view(np.uint8)
    return np.concatenate([*parts, scales], axis=1).tobytes()


def unpack(data, shape, coarse=COARSE, fine=FINE, shift_bits=SHIFT_BITS):
    """The tensor of a memory image.

    Parameters
    ----------
    data : bytes
        As `pack` gives.
    shape : sequence of int
        Shape (..., K) of what was quantized.
    coarse, fine, shift_bits : int
        As they were.

    Returns
    -------
    HgqTensor

    Raises
    ------
    ValueError
        When the image has another size, or holds an illegal code or scale.
    """
    coarse, fine = check_groups(coarse, fine)
    shift_bits = integer("bits of a shift", shift_bits, 0, MAX_SHIFT_BITS)
    *rows, k = shape
    if k < 1:
        raise ValueError(f"K must be 1 or more, not {k}")
    records = math.prod(rows) * -(-k // coarse)
    size = records * record_bytes(coarse, fine, shift_bits)
    if len(data) != size:
        raise ValueError(f"an image of shape {(*shape,)} in groups of {coarse} has {size} bytes, not {len(data)}")
    image = np.frombuffer(data, np.uint8).reshape(records, record_bytes(coarse, fine, shift_bits))
    split = _code_bytes(coarse)
    codes = _fields(image[:, :split], coarse, 4).astype(np.int8)
    codes = np.where(codes > LARGEST_CODE, codes - 16, codes).astype(np.int8)
    shifts = _fields(image[:, split:-2], coarse // fine, shift_bits)
    scales = np.ascontiguousarray(image[:, -2:]).view("<f2").astype(np.float16)
    groups = -(-k // coarse)
    widths = (groups * coarse, groups * (coarse // fine), groups)
    parts = (part.reshape(*rows, width) for part, width in zip((codes, shifts, scales), widths, strict=True))
    return HgqTensor(*parts, k, shift_bits)


def check_groups(coarse, fine):
    """Sizes of groups as int.

    Raises
    ------
    ValueError
        When one is not positive, or the coarse group is not a multiple of the fine one.
    """
    coarse, fine = integer("the coarse group", coarse, 1, None), integer("the fine group", fine, 1, None)
    if coarse % fine:
        raise ValueError(f"the coarse group must be a multiple of the fine group {fine}, not {coarse}")
    return coarse, fine


def _shifted(t, dtype):
    """Codes with their shifts, as (rows, coarse groups, coarse)."""
    codes = t.codes.reshape(*t.shifts.shape, t.fine).astype(dtype)
    codes *= np.ldexp(dtype(1), t.shifts.astype(np.int32))[..., None]
    return codes.reshape(math.prod(t.shifts.shape[:-1]), t.scales.shape[-1], t.coarse)


def _code_bytes(coarse):
    return -(-coarse * 4 // 8)


def _shift_bytes(count, shift_bits):
    return -(-count * shift_bits // 8)


def _bits(words, width):
    """Rows of words of `width` bits as rows of bytes, the first word in the lowest bits."""
    bits = (words[..., None] >> np.arange(width, dtype=np.uint8)) & 1
    return np.packbits(bits.reshape(len(words), words.shape[1] * width), axis=1, bitorder="little")


def _fields(octets, count, width):
    """The words of `_bits`, uint8."""
    bits = np.unpackbits(octets, axis=1, count=count * width, bitorder="little").reshape(len(octets), count, width)
    return (bits << np.arange(width, dtype=np.uint8)).sum(axis=2, dtype=np.uint8)


def _legal(name, values, legal, wanted):
    if not legal.all():
        index = tuple(map(int, np.argwhere(~legal)[0]))
        raise ValueError(f"{name} must be {wanted}, not {values[index]} at index {index}")
