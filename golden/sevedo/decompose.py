"""From a weight matrix to a layer of SeVeDo: smoothing, singular value decomposition, order of channels, SVD-MP tables.

The paper splits a weight into a low-rank part and a residual, and gives more bits to sensitive components. How, we
could not read: smoothing follows the published SVDQuant (arXiv 2411.05007), all else is our choice. Calibration
activations, of data that is like what the layer will see, decide the smoothing, the order and the shifts.
"""

from dataclasses import dataclass

import numpy as np

from ..checks import finite, named, within
from . import hgq, lvc
from .layer import SevedoLayer, to_half

__all__ = ["PRECISIONS", "RANK", "SMOOTHINGS", "WIDE_CHANNELS", "WIDE_RANKS", "Split", "decompose", "split", "tables"]

#: Rank by default, as SVDQuant's (our choice).
RANK = 32
#: Input channels, the lanes of one block, and ranks that have 16 bits by default (our choice).
WIDE_CHANNELS, WIDE_RANKS = 16, 8
#: Readings of SVD-MP: whether channels and whether ranks may be wide. ``int8`` is without it.
PRECISIONS = {"int8": (False, False), "rank": (False, True), "channel": (True, False), "both": (True, True)}
#: Exponents (a, b) of ``lambda = max|x|**a / max|w|**b`` that are tried, none at all first (our choice: SVDQuant tries
#: 20 values of a in both forms; a finer grid gains little).
SMOOTHINGS = ((0, 0), (0.4, 0), (0.6, 0), (0.8, 0), (1, 0), (0.4, 0.6), (0.6, 0.4), (0.8, 0.2))


@dataclass(frozen=True, eq=False)
class Split:
    """A weight as a low-rank part and a residual, channels in the order of the layer.

    Parameters
    ----------
    order : ndarray of int32, shape (K,)
    smoothing : ndarray of float16, shape (K,)
        1 over lambda.
    residual : ndarray of float64, shape (N, K)
        Smoothed.
    l1 : ndarray of float64, shape (K, r)
        For activations without smoothing.
    l2 : ndarray of float64, shape (r, N)
        In each rank the value of the largest magnitude is positive.
    """

    order: np.ndarray
    smoothing: np.ndarray
    residual: np.ndarray
    l1: np.ndarray
    l2: np.ndarray


def decompose(
    weight,
    bias,
    x,
    rank=RANK,
    precision="both",
    *,
    smoothings=SMOOTHINGS,
    wide_channels=WIDE_CHANNELS,
    wide_ranks=WIDE_RANKS,
    coarse=hgq.COARSE,
    fine=hgq.FINE,
    shift_bits=hgq.SHIFT_BITS,
    threshold=hgq.THRESHOLD,
):
    """Make a layer.

    Parameters
    ----------
    weight : array_like, shape (N, K)
        Finite; the largest magnitude is 0 or from 2**-14 to 65504, as the residual is FP16.
    bias : array_like, shape (N,)
        Finite, at most 65504 in magnitude; rounded by `sevedo.to_half`.
    x : ndarray of float16, shape (..., K)
        Calibration activations, one row or more.
    rank : int
        0 to the smaller of N and K.
    precision : str
        One of `PRECISIONS`: what SVD-MP makes wide.
    smoothings : sequence of pairs of float
        Exponents that are tried: the pair of the least squared error of the layer's output on the calibration
        activations is taken, the first of equal ones. ``((0, 0),)`` does not smooth.
    wide_channels, wide_ranks : int
        How many are wide at most, if they may be.
    coarse, fine, shift_bits, threshold : int
        As of `hgq.quantize`.

    Returns
    -------
    SevedoLayer

    Raises
    ------
    ValueError
        For another shape, a weight or bias that is not finite or out of range, a rank or a parameter out of its range.
    """
    parts = split(weight, x, rank, smoothings, wide_channels, (coarse, fine, shift_bits, threshold))
    n = len(parts.residual)
    bias = finite(bias)
    if bias.shape != (n,):
        raise ValueError(f"bias must have shape {(n,)}, not {bias.shape}")
    with named("bias"):
        within(bias, 0, hgq.LARGEST_HALF)
    return SevedoLayer(
        order=parts.order,
        smoothing=parts.smoothing,
        residual=hgq.quantize(to_half(parts.residual), coarse, fine, shift_bits, threshold),
        low_rank=tables(parts, x, precision, wide_channels, wide_ranks),
        bias=to_half(bias),
        threshold=threshold,
    )


def split(weight, x, rank=RANK, smoothings=SMOOTHINGS, front=WIDE_CHANNELS, groups=None):
    """Smooth a weight, decompose it, and bring its most sensitive input channels to the front.

    A channel's sensitivity is its largest activation times the norm of its row of L1.

    Parameters
    ----------
    weight, x, rank, smoothings
        As of `decompose`.
    front : int
        Channels that are brought to the front, the most sensitive one first; the others keep their order.
    groups : tuple of int, optional
        coarse, fine, shift_bits and threshold with which the smoothings are compared.

    Returns
    -------
    Split
    """
    weight = finite(weight)
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"a weight must have two axes and a value, not shape {weight.shape}")
    within(weight, hgq.SMALLEST_NORMAL, hgq.LARGEST_HALF)
    n, k = weight.shape
    if not 0 <= rank <= min(n, k):
        raise ValueError(f"the rank must be 0 to {min(n, k)}, the smaller side of {n} x {k}, not {rank}")
    x = _calibration(x, k)
    largest = np.abs(x).max(axis=0).astype(np.float64)
    factors = [_smoothing(weight, largest, *pair) for pair in smoothings]
    if len(factors) > 1:
        errors = [_error(weight, x, rank, factor, groups or ()) for factor in factors]
        factors = [factors[int(np.argmin(errors))]]
    smoothing = factors[0]
    smoothed = weight / smoothing.astype(np.float64)
    u, s, vt = np.linalg.svd(smoothed, full_matrices=False)
    root = np.sqrt(s[:rank])
    l1, l2 = vt[:rank].T * root, root[:, None] * u[:, :rank].T
    peak = np.take_along_axis(l2, np.abs(l2).argmax(axis=1)[:, None], axis=1)
    sign = np.where(peak < 0, -1.0, 1.0)
    l1, l2 = l1 * sign.T, l2 * sign
    raw = l1 * smoothing.astype(np.float64)[:, None]
    by_need = np.argsort(-largest * np.linalg.norm(raw, axis=1), kind="stable")
    order = np.concatenate([by_need[:front], np.sort(by_need[front:])])
    residual = smoothed - (l1 @ l2).T
    return Split(order.astype(np.int32), smoothing[order], residual[:, order], raw[order], l2)


def tables(parts, x, precision="both", wide_channels=WIDE_CHANNELS, wide_ranks=WIDE_RANKS):
    """Integer tables of the low-rank path.

    Parameters
    ----------
    parts : Split
        As `split` gives, with no fewer channels in front than are wide.
    x, precision, wide_channels, wide_ranks
        As of `decompose`.

    Returns
    -------
    LowRank
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be {', '.join(PRECISIONS)}, not {precision!r}")
    k, rank = parts.l1.shape
    channels, ranks = PRECISIONS[precision]
    wide_channels, wide_ranks = min(wide_channels, k) * channels, min(wide_ranks, rank) * ranks
    s1 = np.abs(parts.l1).max(axis=0) / lvc.NARROW
    l1 = np.rint(parts.l1 / np.where(s1 > 0, s1, 1)).astype(np.int8)
    qx, _ = lvc.quantize_input(_calibration(x, k)[:, parts.order], wide_channels)
    z = np.abs(qx.astype(np.float64) @ l1).max(axis=0).astype(np.int64)
    # A narrow rank shifts at most MAX_EXTRA further, so it has a say in the common shift, too (ours).
    narrow = np.arange(rank) >= wide_ranks
    least = np.array(
        [_least_shift(peak, lvc.NARROW if n else lvc.WIDE) for peak, n in zip(z, narrow, strict=True)], int
    )
    shift = int((least - narrow * lvc.MAX_EXTRA).max(initial=0))
    extra = np.where(narrow, np.maximum(least - shift, 0), 0).astype(np.uint8)
    scaled = parts.l2 * s1[:, None] * 2.0**shift
    peaks = np.abs(scaled).max(axis=0, initial=0)
    gain = int(np.floor(np.log2(peaks.max() / lvc.NARROW))) if peaks.any() else 0
    gain = max(gain, -32)
    scales = np.maximum(peaks / lvc.NARROW / 2.0**gain, hgq.SMALLEST_NORMAL).astype(np.float16)
    l2 = np.clip(np.rint(scaled / (scales.astype(np.float64) * 2.0**gain)), -lvc.NARROW, lvc.NARROW).astype(np.int8)
    return lvc.LowRank(l1, l2, scales, extra, shift, gain, wide_channels, wide_ranks)


def _calibration(x, k):
    x, _ = hgq.sanitize(x)
    if x.ndim == 0 or x.shape[-1] != k or not x.size:
        raise ValueError(f"calibration activations must have {k} channels and a row, not shape {x.shape}")
    return x.reshape(-1, k)


def _smoothing(weight, largest, a, b):
    """1 over lambda, FP16; all 1, so no smoothing, where a lambda is not finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = largest**a / np.abs(weight).max(axis=0) ** b
    factor = np.where(factor == 0, 1, factor) if np.isfinite(factor).all() else np.ones(len(factor))
    return np.clip(1 / factor, hgq.SMALLEST_NORMAL, hgq.LARGEST_HALF).astype(np.float16)


def _error(weight, x, rank, smoothing, groups):
    """Squared error of the output when only the residual is quantized."""
    factor = smoothing.astype(np.float64)
    smoothed = weight / factor
    # A projection by way of the smaller Gram matrix is a third of a decomposition's work, and enough to compare.
    tall = smoothed.shape[0] >= smoothed.shape[1]
    _, vectors = np.linalg.eigh(smoothed.T @ smoothed if tall else smoothed @ smoothed.T)
    basis = vectors[:, vectors.shape[1] - rank :]
    low = (smoothed @ basis) @ basis.T if tall else basis @ (basis.T @ smoothed)
    parts = x * factor, smoothed - low
    exact = [part.astype(np.float32) for part in parts]
    quantized = [hgq.dequantize(hgq.quantize(to_half(part), *groups)) for part in parts]
    difference = exact[0] @ exact[1].T - quantized[0] @ quantized[1].T
    return float(np.square(difference, dtype=np.float64).sum())


def _least_shift(peak, limit):
    """Least rounding right shift after which a sum of that magnitude is within the limit."""
    return next(h for h in range(33) if (peak + (1 << h >> 1)) >> h <= limit)
