"""Outlier-victim pairs (OliVe, ISCA 2023): the number formats, the encoder, the decoder and the integer product.

Two neighbours along the last axis share one byte (4-bit formats) or one little-endian 16-bit word (8-bit format). If
one of the pair is an outlier, its neighbour, the victim, is given up: the victim's slot holds the identifier code, the
other slot an *abfloat* (adaptive-biased float) code of the outlier. A decoded value is `integer << exponent`.

The pairs, the values of the codes and the identifier are the paper's (Sections 3 and 4, Tables 3 and 4). Derived, as
the paper does not print it, is which flint4 code has which value: ANT's first-one rule with three magnitude bits. Where
the paper is silent or its listing is unsound, the choices are ours: the even element in the low nibble, and first in
the little-endian pairs of 8 bits; midpoint thresholds, ties away from zero, saturation, the 8-bit bias of 4 and its
clip at 30,720, and the rule for illegal codes, which is what the paper's decoder network (Figure 6b) gives for them.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .. import exact, scale
from ..checks import finite

__all__ = [
    "FLINT4",
    "FORMATS",
    "INT4",
    "INT8",
    "OvpFormat",
    "decode",
    "encode",
    "illegal",
    "kinds",
    "matmul",
    "round_trip",
    "search_scale",
    "statistics",
    "values",
]

Array = npt.NDArray[Any]

# flint4 magnitude code to (exponent, integer): ANT's first-one rule with three magnitude bits (derived, not printed in
# the paper; any split of the same values gives the same products).
_FLINT4_MAGNITUDES = ((0, 0), (0, 1), (0, 2), (0, 3), (4, 1), (2, 2), (0, 4), (0, 6))

_EXPONENT_BITS = 4  # of a decoded exponent (paper, Figure 7)


@dataclass(frozen=True)
class OvpFormat:
    """One outlier-victim-pair format.

    Parameters
    ----------
    name : str
        Name on the command line.
    bits : int
        Bits of one code, 4 or 8.
    normal : str
        Normal type: "int" (two's complement) or "flint" (sign-magnitude, 4 bits only).
    mantissa_bits : int
        Mantissa bits of the abfloat codes: 1 (E2M1) or 3 (E4M3).
    max_exponent : int
        Largest exponent field that an encoder emits; a code above it is illegal.
    bias : int
        Exponent bias of the abfloat codes, 0 to 15 - `max_exponent`, so that a decoded exponent has 4 bits.

    Raises
    ------
    ValueError
        If the bias is out of range.
    """

    name: str
    bits: int
    normal: str
    mantissa_bits: int
    max_exponent: int
    bias: int

    INT4: ClassVar["OvpFormat"]
    FLINT4: ClassVar["OvpFormat"]
    INT8: ClassVar["OvpFormat"]

    def __post_init__(self) -> None:
        if not 0 <= self.bias <= self.max_bias:
            raise ValueError(f"bias of {self.name} must be 0 to {self.max_bias}, not {self.bias}")

    def with_bias(self, bias: int | None) -> "OvpFormat":
        """The same format with another bias; None keeps it."""
        if bias is None or bias == self.bias:
            return self
        return OvpFormat(self.name, self.bits, self.normal, self.mantissa_bits, self.max_exponent, bias)

    @property
    def max_bias(self) -> int:
        """Largest bias for which every legal exponent has 4 bits."""
        return (1 << _EXPONENT_BITS) - 1 - self.max_exponent

    @property
    def min_encoder_bias(self) -> int:
        """Smallest bias for which every outlier is above every normal value, as an encoder needs."""
        bias = 0
        while ((1 << self.mantissa_bits) + 1) << bias <= self.max_normal:
            bias += 1
        return bias

    @property
    def identifier(self) -> int:
        """The code that marks the victim: the sign bit alone."""
        return 1 << (self.bits - 1)

    @property
    def exponent_bits(self) -> int:
        """Bits of a decoded exponent."""
        return _EXPONENT_BITS

    @property
    def integer_bits(self) -> int:
        """Bits of a decoded two's complement integer."""
        return self.bits

    @property
    def max_normal(self) -> int:
        """Largest normal magnitude: 7, 16 or 127."""
        return int(self.normal_magnitudes[-1])

    @cached_property
    def normal_magnitudes(self) -> Array:
        """Normal magnitudes, ascending from 0."""
        if self.normal == "flint":
            return np.array(sorted(integer << exponent for exponent, integer in _FLINT4_MAGNITUDES))
        return np.arange(1 << (self.bits - 1))

    @cached_property
    def outlier_magnitudes(self) -> Array:
        """Magnitudes of the legal abfloat codes 1, 2, … in code order, which is ascending."""
        codes = np.arange(1, (self.max_exponent + 1) << self.mantissa_bits)
        exponents, mantissas = codes >> self.mantissa_bits, codes & ((1 << self.mantissa_bits) - 1)
        return ((1 << self.mantissa_bits) + mantissas) << (exponents + self.bias)

    @property
    def outlier_threshold(self) -> float:
        """Smallest magnitude that is an outlier: halfway from the largest normal to the smallest abfloat value."""
        return float(self.max_normal + self.outlier_magnitudes[0]) / 2

    def normal_code(self, magnitude_index: Array, negative: Array) -> Array:
        """Code of plus or minus `normal_magnitudes[magnitude_index]`; vectorized; zero is always the code 0."""
        mask = (1 << self.bits) - 1
        if self.normal == "flint":
            by_value = np.argsort([integer << exponent for exponent, integer in _FLINT4_MAGNITUDES])
            code = by_value[magnitude_index]
            return np.where(negative & (code != 0), code | self.identifier, code)
        return np.where(negative, -magnitude_index, magnitude_index) & mask

    @cached_property
    def normal_table(self) -> tuple[Array, Array]:
        """(exponents, integers) of all 2**bits codes read as normal codes; the identifier reads as (0, 0)."""
        codes = np.arange(1 << self.bits)
        if self.normal == "flint":
            exponents, integers = (np.array(column)[codes & 7] for column in zip(*_FLINT4_MAGNITUDES, strict=True))
            integers = np.where(codes & self.identifier, -integers, integers)
        else:
            integers = codes - ((codes & self.identifier) << 1)
            exponents = np.zeros_like(codes)
        return exponents, np.where(codes == self.identifier, 0, integers)

    @cached_property
    def outlier_table(self) -> tuple[Array, Array]:
        """(exponents, integers) of all 2**bits codes read as abfloat codes; exponents wrap to 4 bits."""
        codes = np.arange(1 << self.bits)
        magnitude = codes & (self.identifier - 1)
        one = 1 << self.mantissa_bits
        integers = np.where(magnitude == 0, 0, one | (magnitude & (one - 1)))
        exponents = ((magnitude >> self.mantissa_bits) + self.bias) & ((1 << _EXPONENT_BITS) - 1)
        return exponents, np.where(codes & self.identifier, -integers, integers)

    @cached_property
    def illegal_outliers(self) -> Array:
        """Whether each of the 2**bits codes is banned as an outlier: zero magnitude, or an exponent above the clip."""
        magnitude = np.arange(1 << self.bits) & (self.identifier - 1)
        return (magnitude == 0) | (magnitude >> self.mantissa_bits > self.max_exponent)

    @cached_property
    def _encode_tables(self) -> tuple[Array, ...]:
        """Codes by floor(2 * magnitude): normal plus, normal minus, outlier (without sign), as three uint8 arrays."""
        # Every threshold is a multiple of 1/2 and ties go away from zero, so floor(2 * magnitude) decides.
        doubled = np.arange(2 * int(self.outlier_magnitudes[-1]) + 1)

        def nearest(grid: Array) -> Array:
            return np.searchsorted(grid[1:] + grid[:-1], doubled, side="right")

        index = nearest(self.normal_magnitudes)
        plus, minus = (self.normal_code(index, np.full(index.shape, sign)) for sign in (False, True))
        outlier = nearest(self.outlier_magnitudes) + 1
        return tuple(table.astype(np.uint8) for table in (plus, minus, outlier))

    @cached_property
    def _signed_codes(self) -> Array:
        """Normal codes by twice the value, towards zero; those of negative numbers are counted from the end."""
        plus, minus, _ = self._encode_tables
        return np.concatenate([plus, minus[:0:-1]])

    @cached_property
    def _pair_tables(self) -> tuple[Array, Array]:
        """(integers, exponents) of all pairs, int64, shape (4**bits, 2), by the word that holds both codes."""
        words = np.arange(1 << 2 * self.bits)
        pair = np.stack([words & ((1 << self.bits) - 1), words >> self.bits], axis=-1)
        victim = pair == self.identifier
        # The decoder has one abfloat table for the pair (paper, Figure 6b): a slot is an outlier where the *other*
        # slot holds the identifier, and the table's input is the second slot where the first holds the identifier.
        shared = np.where(victim[:, :1], pair[:, 1:], pair[:, :1])
        exponents, integers = (
            np.where(victim[:, ::-1], outlier[shared], normal[pair])
            for outlier, normal in zip(self.outlier_table, self.normal_table, strict=True)
        )
        return integers, exponents

    @cached_property
    def _magnitude_tables(self) -> dict[type, tuple[Array, ...]]:
        """Rounded magnitudes by floor(2 * magnitude): normal, outlier; two arrays, by the type of their numbers."""
        plus, _, outlier = (table.astype(np.int64) for table in self._encode_tables)
        exponents, integers = self.normal_table
        tables = (integers << exponents)[plus], self.outlier_magnitudes[outlier - 1]
        return {kind: tuple(table.astype(kind) for table in tables) for kind in (np.float64, np.float32)}


INT4 = OvpFormat("int4", bits=4, normal="int", mantissa_bits=1, max_exponent=3, bias=2)
FLINT4 = OvpFormat("flint4", bits=4, normal="flint", mantissa_bits=1, max_exponent=3, bias=3)
INT8 = OvpFormat("int8", bits=8, normal="int", mantissa_bits=3, max_exponent=7, bias=4)
OvpFormat.INT4, OvpFormat.FLINT4, OvpFormat.INT8 = INT4, FLINT4, INT8

#: The presets by name.
FORMATS = {fmt.name: fmt for fmt in (INT4, FLINT4, INT8)}


def encode(x: ArrayLike, fmt: OvpFormat) -> Array:
    """Encode numbers as outlier-victim pairs.

    Parameters
    ----------
    x : array_like, shape (..., K)
        Finite real numbers in units of the scale step; pairs lie along the last axis, an odd K is padded with zero.
    fmt : OvpFormat
        Format; its bias must put every outlier above every normal value.

    Returns
    -------
    ndarray of uint8
        Shape (..., ceil(K/2)) for 4 bits: even element in the low nibble; (..., 2*ceil(K/2)) for 8 bits, even first.
        Both orders are our choice.

    Raises
    ------
    ValueError
        For NaN or Inf, a scalar, or a bias below `fmt.min_encoder_bias`.
    """
    x = finite(x)
    if fmt.bias < fmt.min_encoder_bias:
        raise ValueError(f"bias of {fmt.name} must be {fmt.min_encoder_bias} or more to encode, not {fmt.bias}")
    x = _paired(x)
    _, _, outlier = fmt._encode_tables
    # Twice the value, towards zero: its sign and floor(2 * magnitude) at once. Below 1 both signs have the code 0.
    doubled = _doubled(x, outlier).astype(np.int32)
    codes = fmt._signed_codes.take(doubled, mode="wrap")
    at, keep = _outliers(np.abs(doubled), x, fmt)
    kept = doubled.reshape(-1, 2)[at, keep]
    pair = np.full((len(at), 2), fmt.identifier, np.uint8)
    pair[np.arange(len(at)), keep] = outlier[np.abs(kept)] | np.where(kept < 0, fmt.identifier, 0).astype(np.uint8)
    codes.reshape(-1, 2)[at] = pair
    codes = codes.reshape(*codes.shape[:-2], 2 * codes.shape[-2])
    if fmt.bits == 8:
        return codes
    both = codes.view("<u2")
    return (both | (both >> 4)).astype(np.uint8)


def decode(codes: ArrayLike, fmt: OvpFormat) -> tuple[Array, Array]:
    """Decode packed pairs.

    Parameters
    ----------
    codes : array_like of uint8, shape (..., B)
        As `encode` gives; every byte is defined, also the illegal ones. For 8 bits B must be even.
    fmt : OvpFormat
        Format.

    Returns
    -------
    integers, exponents : ndarray of int64, shape (..., K)
        K = 2 B for 4 bits, B for 8 bits. A victim is (0, 0).
    """
    words = _words(codes, fmt)
    integers, exponents = (table.take(words, axis=0) for table in fmt._pair_tables)
    shape = (*words.shape[:-1], 2 * words.shape[-1])
    return integers.reshape(shape), exponents.reshape(shape)


def illegal(codes: ArrayLike, fmt: OvpFormat) -> npt.NDArray[np.bool_]:
    """Whether each pair is illegal: two identifiers, or one beside a banned outlier code; bool, shape (..., pairs)."""
    pair = _unpacked(codes, fmt)
    victim = pair == fmt.identifier
    return (victim & fmt.illegal_outliers[pair[..., ::-1]]).any(axis=-1)


def kinds(codes: ArrayLike, fmt: OvpFormat) -> Array:
    """What each value is: 0 normal, 1 victim, 2 outlier; int8, shape as for `decode`. Two identifiers: two victims."""
    pair = _unpacked(codes, fmt)
    victim = pair == fmt.identifier
    kind = np.where(victim, 1, np.where(victim[..., ::-1], 2, 0)).astype(np.int8)
    return kind.reshape(*pair.shape[:-2], 2 * pair.shape[-2])


def values(codes: ArrayLike, fmt: OvpFormat) -> Array:
    """Decoded values, `integers << exponents`, int64; parameters and shape as for `decode`."""
    integers, exponents = decode(codes, fmt)
    return integers << exponents


def search_scale(x: ArrayLike, fmt: OvpFormat, axis: int | None = None) -> Any:
    """Find the scale step with the least mean squared error of the complete quantizer.

    Candidates are those of the authors' code: the real value of the largest normal code is i percent of
    ``max(|mean + 3 std|, |mean - 3 std|)``, i = 75, 77, ..., 249, std unbiased; the first minimum wins.

    Parameters
    ----------
    x : array_like
        Finite real numbers, paired along the last axis.
    fmt : OvpFormat
        Format.
    axis : None or 0
        None: one scale for the tensor; 0: one for each slice of the first axis (output channel).

    Returns
    -------
    float or ndarray of float64, shape (x.shape[0],)
        Scale step; 1 for an all-zero slice.

    Raises
    ------
    ValueError
        For NaN or Inf, or another axis.
    """
    return scale.search(x, fmt.max_normal, partial(_round_trip, fmt=fmt), axis, jump=fmt.outlier_threshold)


def round_trip(x: ArrayLike, fmt: OvpFormat) -> Array:
    """Encode and decode at once: float64, shape (..., K padded to even), equal to `values(encode(x, fmt), fmt)`.

    The scale search calls it once a candidate; it builds no codes and treats the few pairs with outliers apart.
    """
    return _round_trip(finite(x), fmt)


def _round_trip(x: Array, fmt: OvpFormat) -> Array:
    """`round_trip` of finite numbers, in their type, float64 or float32."""
    x = _paired(x)
    normal, outlier = fmt._magnitude_tables[x.dtype.type]
    magnitude = np.abs(x)
    doubled = _doubled(magnitude, outlier).astype(np.int32)
    result = np.copysign(normal.take(doubled), x)
    pairs, keep = _outliers(doubled, x, fmt)
    rows = np.arange(len(pairs))
    kept = np.zeros((len(pairs), 2), x.dtype)
    kept[rows, keep] = outlier[doubled.reshape(-1, 2)[pairs, keep]]
    result.reshape(-1, 2)[pairs] = np.copysign(kept, x.reshape(-1, 2)[pairs])
    # Adding zero turns -0.0 into 0.0.
    return result.reshape(*x.shape[:-2], 2 * x.shape[-2]) + 0.0


def statistics(x: ArrayLike) -> dict[str, float]:
    """Count pairs as the paper's Table 2 does: an outlier is further than 3 standard deviations from zero.

    Parameters
    ----------
    x : array_like, shape (..., K)
        Real numbers; an odd K is padded with zero.

    Returns
    -------
    dict
        `normal_normal`, `outlier_normal` and `outlier_outlier`: shares of all pairs, which add up to 1; `max_sigma`:
        the largest magnitude in standard deviations.
    """
    x = finite(x)
    # Brought near 1, so that no square leaves the range of float64.
    x = np.ldexp(x, -np.frexp(np.abs(x).max(initial=0))[1])
    sigma = x.std() if x.size else 0.0
    count = (np.abs(_paired(x)) > 3 * sigma).sum(axis=-1)
    shares = np.bincount(count.ravel(), minlength=3) / max(count.size, 1)
    names = ("normal_normal", "outlier_normal", "outlier_outlier")
    largest = float(np.abs(x).max() / sigma) if sigma > 0 else 0.0
    return {**dict(zip(names, shares.tolist(), strict=True)), "max_sigma": largest}


def matmul(a_codes: ArrayLike, a_fmt: OvpFormat, b_codes: ArrayLike, b_fmt: OvpFormat) -> tuple[Array, Array]:
    """Integer matrix product of two packed operands, as an array of 32-bit accumulators computes it.

    Parameters
    ----------
    a_codes : array_like of uint8, shape (M, bytes)
        First operand, K values a row.
    a_fmt : OvpFormat
        Its format.
    b_codes : array_like of uint8, shape (N, bytes)
        Second operand, K values a row; row n makes column n of the result.
    b_fmt : OvpFormat
        Its format.

    Returns
    -------
    product : ndarray of int32, shape (M, N)
        Sums of products, k ascending, modulo 2**32 in two's complement.
    overflow : ndarray of bool, shape (M, N)
        Whether a running sum left the range of int32 at any k (sticky).

    Raises
    ------
    ValueError
        If the operands differ in K.
    """
    a, b = values(a_codes, a_fmt), values(b_codes, b_fmt)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"operands must have shapes (M, K) and (N, K), not {a.shape} and {b.shape}")
    return exact.product(a, b).astype(np.uint64).astype(np.uint32).view(np.int32), exact.overflows(a, b, 32)


def _doubled(x: Array, table: Array) -> Array:
    """Twice a number, which is as an integer an index of a table; what is beyond its end has its last entry."""
    last = (len(table) - 1) / 2
    return np.clip(x, -last, last) * 2


def _outliers(doubled: Array, x: Array, fmt: OvpFormat) -> tuple[Array, Array]:
    """Pairs with an outlier, by twice their magnitudes, ascending, and which of the two is kept.

    The full magnitudes are compared, before saturation; on a tie the second one is kept (paper, Algorithm 1).
    """
    # The threshold is a multiple of 1/2; a pair of two outliers is there once.
    pairs = np.flatnonzero(doubled >= int(2 * fmt.outlier_threshold)) >> 1
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    first, second = np.abs(x.reshape(-1, 2)[pairs]).T
    return pairs, (first <= second).astype(np.intp)


def _paired(x: Array) -> Array:
    """Shape (..., K) to (..., ceil(K/2), 2)."""
    if x.shape[-1] % 2:
        x = np.concatenate([x, np.zeros((*x.shape[:-1], 1), x.dtype)], axis=-1)
    return x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2)


def _words(codes: ArrayLike, fmt: OvpFormat) -> Array:
    """Packed bytes to words of a pair, the first code in the low bits, shape (..., pairs)."""
    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim == 0:
        raise ValueError(f"codes must be an array of uint8 with at least one axis, not {codes.dtype} of {codes.shape}")
    if fmt.bits == 4:
        return codes
    if codes.shape[-1] % 2:
        raise ValueError(f"{fmt.name} takes two bytes a pair, not {codes.shape[-1]} bytes in a row")
    return np.ascontiguousarray(codes).view("<u2")


def _unpacked(codes: ArrayLike, fmt: OvpFormat) -> Array:
    """Packed bytes to codes, int64, shape (..., pairs, 2)."""
    words = _words(codes, fmt).astype(np.int64)
    return np.stack([words & ((1 << fmt.bits) - 1), words >> fmt.bits], axis=-1)
