"""The low-rank vector core of SeVeDo (2025): two integer matrix products with operands of 8 and of 16 bits.

SVD-MP, the paper's name, gives more bits, statically, to what the decomposition marks as sensitive. We could not read
to what. There are two readings, and the tables hold both, each with a size of its own, which may be 0: leading ranks,
and input channels. That the datapath is made of bit slices is known from a review only. All the arithmetic, and 8 and
16 as the numbers of bits, are our choice: one unit for the narrow and the wide operands of a product, so
that a wide one has more high-order bits and no scale of its own, and sums that are exact whatever the order.

For one token, with channels and ranks in the order of the tables, the wide ones first::

    kx = max(floor(log2(largest narrow |x|)) - 6, floor(log2(largest wide |x|)) - 14)      each largest at least 2**-14
    qx = x / 2**kx               to the nearest, ties to even, clipped to 127, wide 32767
    z  = qx @ l1                 exact, below 2**31
    zq = z / 2**(shift + extra)  to the nearest, ties up, clipped to 127, wide 32767
    u  = (zq << extra) @ l2      exact, below 2**31
    t  = float32(u) * scales * 2**(kx + gain)      conversion and product are rounded to the nearest, ties to even
"""

from dataclasses import dataclass

import numpy as np

from .hgq import SMALLEST_NORMAL

__all__ = ["MAX_EXTRA", "MAX_SHIFT", "NARROW", "WIDE", "LowRank", "product", "project", "quantize_input"]

#: Largest magnitude of a narrow and of a wide operand, of 8 and 16 bits.
NARROW, WIDE = 127, 32767
#: Largest shift of all ranks, enough for any 32-bit sum, and largest extra one of a narrow rank.
MAX_SHIFT, MAX_EXTRA = 16, 8

_GAINS = range(-32, 32)
_LIMIT = 1 << 31


@dataclass(frozen=True, eq=False)
class LowRank:
    """Tables of one layer: K input channels, r ranks, N output channels.

    Parameters
    ----------
    l1 : ndarray of int8, shape (K, r)
        -127 to 127.
    l2 : ndarray of int8, shape (r, N)
        -127 to 127.
    scales : ndarray of float16, shape (N,)
        2**-14 to 65504.
    extra : ndarray of uint8, shape (r,)
        Further right shift of each rank, 0 to 8; 0 for the wide ones.
    shift : int
        Right shift of every rank, 0 to 16.
    gain : int
        Exponent of the result, -32 to 31.
    wide_channels, wide_ranks : int
        So many first channels and ranks have 16 bits.

    Raises
    ------
    ValueError
        For other types, shapes or ranges, and when a sum could need more than 32 bits.
    """

    l1: np.ndarray
    l2: np.ndarray
    scales: np.ndarray
    extra: np.ndarray
    shift: int
    gain: int
    wide_channels: int
    wide_ranks: int

    def __post_init__(self):
        types = tuple(str(table.dtype) for table in (self.l1, self.l2, self.scales, self.extra))
        if types != ("int8", "int8", "float16", "uint8"):
            raise ValueError(f"l1, l2, scales and extra must be int8, int8, float16 and uint8, not {', '.join(types)}")
        shapes = tuple(table.shape for table in (self.l1, self.l2, self.scales, self.extra))
        k, rank = self.l1.shape if self.l1.ndim == 2 else (0, 0)
        if shapes[1:] != ((rank, *self.scales.shape), self.scales.shape, (rank,)) or self.scales.ndim != 1 or k < 1:
            wanted = "(K, r), (r, N), (N,) and (r,)"
            raise ValueError(f"l1, l2, scales and extra must have shapes {wanted}, not {', '.join(map(str, shapes))}")
        for name, value, low, high in (
            ("wide channels", self.wide_channels, 0, k),
            ("wide ranks", self.wide_ranks, 0, rank),
            ("the shift", self.shift, 0, MAX_SHIFT),
            ("the gain", self.gain, _GAINS[0], _GAINS[-1]),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value}")
        for name, table in (("l1", self.l1), ("l2", self.l2)):
            if (table < -NARROW).any():
                raise ValueError(f"{name} must hold -127 to 127, not -128")
        if not ((self.scales >= SMALLEST_NORMAL) & (self.scales < np.inf)).all():
            raise ValueError("a scale must be 2**-14 to 65504")
        if self.extra.max(initial=0) > MAX_EXTRA or self.extra[: self.wide_ranks].any():
            raise ValueError(
                f"an extra shift must be 0 to {MAX_EXTRA}, that of a wide rank 0, not {self.extra.tolist()}"
            )
        # What is added before the last right shift counts, too (ours; the rest is the specification's proof of size).
        first = NARROW * (NARROW * (k - self.wide_channels) + WIDE * self.wide_channels)
        first += 1 << (self.shift + int(self.extra.max(initial=0))) >> 1
        for name, bound in (("x l1", first), ("z l2", rank * WIDE * NARROW)):
            if bound >= _LIMIT:
                raise ValueError(f"the sums of {name} must stay below 2**31, not reach {bound}")

    @property
    def rank(self):
        """Number of ranks, r."""
        return self.l1.shape[1]

    @property
    def bits(self):
        """Bits of the tables in memory."""
        return 8 * (self.l1.size + self.l2.size + self.extra.size) + 16 * self.scales.size


def quantize_input(x, wide_channels):
    """Activations as integers, one unit a token.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        As `hgq.sanitize` gives, channels in the order of the tables.
    wide_channels : int
        0 to K.

    Returns
    -------
    qx : ndarray of int64, shape (..., K)
    kx : ndarray of int32, shape (...)
        A value is ``qx * 2**kx``; -20 to 9.
    """
    magnitude = np.abs(x.astype(np.float32))
    narrow = magnitude[..., wide_channels:].max(axis=-1, initial=SMALLEST_NORMAL)
    wide = magnitude[..., :wide_channels].max(axis=-1, initial=SMALLEST_NORMAL)
    # frexp's exponent is 1 above floor(log2).
    kx = np.maximum(np.frexp(narrow)[1] - 7, np.frexp(wide)[1] - 15)
    limit = np.where(np.arange(x.shape[-1]) < wide_channels, WIDE, NARROW)
    qx = np.rint(np.ldexp(x.astype(np.float32), -kx[..., None])).astype(np.int64)
    return np.clip(qx, -limit, limit), kx


def project(qx, t):
    """The inner product and its reduction to 8 and 16 bits.

    Parameters
    ----------
    qx : ndarray of int64, shape (..., K)
        As `quantize_input` gives.
    t : LowRank
        Tables.

    Returns
    -------
    z, zq : ndarray of int64, shape (..., r)
        The exact sums, and what is left of them.
    """
    # Far below 2**53, so floating point is exact, and much faster.
    z = (qx.astype(np.float64) @ t.l1.astype(np.float64)).astype(np.int64)
    shift = t.shift + t.extra.astype(np.int64)
    limit = np.where(np.arange(t.rank) < t.wide_ranks, WIDE, NARROW)
    return z, np.clip((z + (1 << shift >> 1)) >> shift, -limit, limit)


def product(x, t):
    """What the low-rank path adds to the result.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        As of `quantize_input`.
    t : LowRank
        Tables.

    Returns
    -------
    ndarray of float32, shape (..., N)
    """
    qx, kx = quantize_input(x, t.wide_channels)
    _, zq = project(qx, t)
    u = (zq << t.extra.astype(np.int64)).astype(np.float64) @ t.l2.astype(np.float64)
    # By way of an integer: -0 would be another number.
    terms = u.astype(np.int64).astype(np.float32) * t.scales.astype(np.float32)
    return np.ldexp(terms, kx[..., None] + t.gain)
