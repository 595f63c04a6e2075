"""A linear layer of SeVeDo (2025): a low-rank path and an HGQ residual, merged; and the file that holds such layers.

``y = x W.T + bias`` is split into the leading part of a singular value decomposition, which the low-rank vector core
(`lvc`) takes in integers, and a residual with HGQ (Hierarchical Group Quantization, `hgq`) on both operands. The split
is the paper's; every bit of it is our choice. `decompose` makes layers.

A decomposition is not the same on every machine, so a layer is an artifact: made once, stored, and identified by a
hash. The golden model and the hardware read the same file.
"""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..archive import BROKEN
from ..checks import finite, named, within
from . import hgq, lvc

__all__ = [
    "VERSION",
    "SevedoLayer",
    "activations",
    "arrange",
    "content_hash",
    "linear",
    "load",
    "residual",
    "take",
    "to_bytes",
    "to_half",
]

#: Version of the file format.
VERSION = 1

_ARRAYS = {"order": "<i4", "smoothing": "<f2", "residual": "|u1", "bias": "<f2"}
_TABLES = {"l1": "|i1", "l2": "|i1", "scales": "<f2", "extra": "|u1"}
_TABLE_NUMBERS = ("shift", "gain", "wide_channels", "wide_ranks")
_NUMBERS = ("coarse", "fine", "shift_bits", "threshold", *_TABLE_NUMBERS)


@dataclass(frozen=True, eq=False)
class SevedoLayer:
    """One linear layer, or some that share an input, stacked along N.

    Parameters
    ----------
    order : ndarray of int32, shape (K,)
        Which input channel comes first, second, …: a permutation. All else is in this order.
    smoothing : ndarray of float16, shape (K,)
        What the residual's activations are multiplied by: positive and normal.
    residual : HgqTensor, shape (N, K)
        Its group sizes and shift bits are the activations', too.
    low_rank : LowRank
        Tables of the low-rank path, which takes the activations without smoothing.
    bias : ndarray of float16, shape (N,)
        Finite, and neither subnormal nor -0.
    threshold : int
        Of the activations' HGQ, 4 to 7.

    Raises
    ------
    ValueError
        For other types, shapes or ranges.
    """

    order: np.ndarray
    smoothing: np.ndarray
    residual: hgq.HgqTensor
    low_rank: lvc.LowRank
    bias: np.ndarray
    threshold: int = hgq.THRESHOLD

    def __post_init__(self):
        types = tuple(str(table.dtype) for table in (self.order, self.smoothing, self.bias))
        if types != ("int32", "float16", "float16"):
            raise ValueError(f"order, smoothing and bias must be int32, float16 and float16, not {', '.join(types)}")
        n, k = self.shape
        sizes = (self.order.shape, self.smoothing.shape, self.bias.shape, self.low_rank.l1.shape[:1])
        if (*sizes, self.low_rank.scales.shape) != ((k,), (k,), (n,), (k,), (n,)):
            raise ValueError(f"a layer of {n} x {k} cannot have tables of {', '.join(map(str, sizes))}")
        if not np.array_equal(np.sort(self.order), np.arange(k)):
            raise ValueError(f"order must be a permutation of 0 to {k - 1}")
        if not ((self.smoothing >= hgq.SMALLEST_NORMAL) & (self.smoothing < np.inf)).all():
            raise ValueError("a smoothing factor must be 2**-14 to 65504")
        clean, nonfinite = hgq.sanitize(self.bias)
        if nonfinite or clean.tobytes() != self.bias.tobytes():
            raise ValueError("a bias must be +0 or 2**-14 to 65504 in magnitude")
        if self.threshold not in hgq.THRESHOLDS:
            raise ValueError(f"threshold must be 4 to 7, not {self.threshold}")

    @property
    def shape(self):
        """(N, K)."""
        return len(self.residual.codes), self.residual.k

    @property
    def bits(self):
        """Bits of a weight in memory, the low-rank path included."""
        return self.residual.bits + (self.low_rank.bits + 16 * self.shape[1]) / (self.shape[0] * self.shape[1])


def linear(x, layer):
    """The layer as the accelerator computes it, every rounding included.

    The residual's sum, the low-rank path's term and the bias are added in this order, each sum rounded to float32, and
    the result is rounded by `to_half` (our choice).

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        Any codes, channels in their own order; `hgq.sanitize` comes first.
    layer : SevedoLayer
        As `decompose.decompose` or `load` gives.

    Returns
    -------
    ndarray of float16, shape (..., N)
        Finite, no subnormal number, never -0.

    Raises
    ------
    ValueError
        For another type or shape.
    """
    x = arrange(x, layer)
    y = residual(x, layer)
    y += lvc.product(x, layer.low_rank)
    y += layer.bias.astype(np.float32)
    return to_half(y)


def take(layer, part):
    """Some output channels of a layer, as a tile or a core computes them: the same bits as in the whole layer.

    Parameters
    ----------
    layer : SevedoLayer
        The layer.
    part : slice
        Of the N output channels.

    Returns
    -------
    SevedoLayer
    """
    w, t = layer.residual, layer.low_rank
    return replace(
        layer,
        residual=replace(w, codes=w.codes[part], shifts=w.shifts[part], scales=w.scales[part]),
        low_rank=replace(t, l2=t.l2[:, part], scales=t.scales[part]),
        bias=layer.bias[part],
    )


def arrange(x, layer):
    """Activations as both paths take them: sanitized, and in the layer's order."""
    x, _ = hgq.sanitize(x)
    if x.ndim == 0 or x.shape[-1] != layer.shape[1]:
        raise ValueError(f"x must have {layer.shape[1]} channels in its last axis, not shape {x.shape}")
    return x[..., layer.order]


def residual(x, layer):
    """What the residual path adds: smoothing, HGQ and the matrix product.

    Parameters
    ----------
    x : ndarray of float16, shape (..., K)
        As `arrange` gives.
    layer : SevedoLayer
        The layer.

    Returns
    -------
    ndarray of float32, shape (..., N)
    """
    # The product of two FP16 numbers is exact in float32.
    smooth = to_half(x.astype(np.float32) * layer.smoothing.astype(np.float32))
    w = layer.residual
    return hgq.matmul(hgq.quantize(smooth, w.coarse, w.fine, w.shift_bits, layer.threshold), w)


def activations(x, layer):
    """A user's activations as a layer takes them.

    Parameters
    ----------
    x : ndarray of floating-point numbers, shape (M, K)
        float16 is taken as it is; others are rounded as by `to_half`, and must be finite and at most 65504.
    layer : SevedoLayer

    Returns
    -------
    ndarray of float16, shape (M, K)

    Raises
    ------
    ValueError
        For other types and shapes, and values out of range.
    """
    if x.dtype.kind != "f" or x.ndim != 2 or x.shape[1] != layer.shape[1]:
        raise ValueError(f"X must hold floating-point numbers, shape (M, {layer.shape[1]}), not {x.dtype}, {x.shape}")
    if x.dtype == "float16":
        return x
    with named("X"):
        within(finite(x), 0, hgq.LARGEST_HALF)
    return to_half(x)


def to_half(y):
    """Round to FP16: +0 below 2**-14, before rounding; at most 65504; to the nearest, ties to even (our choice).

    Parameters
    ----------
    y : ndarray of float32 or float64
        Finite.

    Returns
    -------
    ndarray of float16
    """
    kept = np.where(np.abs(y) < hgq.SMALLEST_NORMAL, 0, y)
    return np.clip(kept, -hgq.LARGEST_HALF, hgq.LARGEST_HALF).astype(np.float16)


def to_bytes(layers):
    """Layers as the bytes of one ``.npz`` file; the same layers give the same bytes.

    Parameters
    ----------
    layers : dict
        Name to SevedoLayer.

    Returns
    -------
    bytes
        Of the entries ``NAME.FIELD``, ``version`` and ``sha256``. The residual is `hgq.pack`'s image, N rows.
    """
    entries = {"version": np.array(VERSION, "<i8")}
    for name, layer in sorted(layers.items()):
        rows = np.frombuffer(hgq.pack(layer.residual), np.uint8).reshape(layer.shape[0], -1)
        tables = {"order": layer.order, "smoothing": layer.smoothing, "residual": rows, "bias": layer.bias}
        tables |= {field: getattr(layer.low_rank, field) for field in _TABLES}
        numbers = {field: getattr(layer.low_rank, field) for field in _TABLE_NUMBERS}
        numbers |= {field: getattr(layer.residual, field) for field in ("coarse", "fine", "shift_bits")}
        numbers["threshold"] = layer.threshold
        entries |= {f"{name}.{field}": table.astype((_ARRAYS | _TABLES)[field]) for field, table in tables.items()}
        entries |= {f"{name}.{field}": np.array(number, "<i8") for field, number in numbers.items()}
    entries = dict(sorted(entries.items()))
    file = io.BytesIO()
    np.savez(file, **entries, sha256=np.array(content_hash(entries)))
    return file.getvalue()


def load(path):
    """Read what `to_bytes` made.

    Parameters
    ----------
    path : path-like or binary file
        The ``.npz`` file.

    Returns
    -------
    dict
        Name to SevedoLayer.

    Raises
    ------
    ValueError
        When it is not such a file, has another version, does not have the content that its hash tells, or holds a layer
        that is illegal or whose sums could need more than 32 bits; names the file, and the layer.
    OSError
        When the file cannot be read.
    """
    where = getattr(path, "name", path)
    data = path.read() if hasattr(path, "read") else Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            entries = {key: file[key] for key in sorted(file.files)}
        version, told = _whole(entries["version"]), str(entries.pop("sha256"))
    except BROKEN as error:
        raise ValueError(f"{where} is not a file of SeVeDo layers: {error}") from None
    if version != VERSION:
        raise ValueError(f"{where} has version {version} of the layer format, not {VERSION}")
    actual = content_hash(entries)
    if actual != told:
        raise ValueError(f"{where} does not match its hash: its content has {actual}, not {told}")
    del entries["version"]
    layers = {}
    for key in entries:
        name = key.rpartition(".")[0]
        if name not in layers:
            try:
                layers[name] = _layer(name, entries)
            except (ValueError, KeyError) as error:
                raise ValueError(f"{where}: layer {name!r}: {error}") from None
    return layers


def content_hash(entries):
    """SHA-256 of named arrays, as hexadecimal digits: name, type, shape and bytes of each, by name."""
    digest = hashlib.sha256()
    for key, table in sorted(entries.items()):
        digest.update(f"{key} {table.dtype.str} {table.shape}\n".encode())
        digest.update(np.ascontiguousarray(table))
    return digest.hexdigest()


def _whole(entry):
    """The whole number that an entry is; not a text or a fraction, of which Python also makes whole numbers."""
    if entry.dtype.kind not in "iu" or entry.shape:
        raise ValueError(f"{entry} is not a whole number")
    return int(entry)


def _layer(name, entries):
    arrays = {field: entries[f"{name}.{field}"] for field in (_ARRAYS | _TABLES)}
    for field, dtype in (_ARRAYS | _TABLES).items():
        if arrays[field].dtype != dtype:
            raise ValueError(f"{field} must be {np.dtype(dtype)}, not {arrays[field].dtype}")
    numbers = {field: _whole(entries[f"{name}.{field}"]) for field in _NUMBERS}
    groups = tuple(numbers[field] for field in ("coarse", "fine", "shift_bits"))
    shape = (len(arrays["bias"]), len(arrays["order"]))
    return SevedoLayer(
        order=arrays["order"],
        smoothing=arrays["smoothing"],
        residual=hgq.unpack(arrays["residual"].tobytes(), shape, *groups),
        low_rank=lvc.LowRank(
            **{field: arrays[field] for field in _TABLES}, **{field: numbers[field] for field in _TABLE_NUMBERS}
        ),
        bias=arrays["bias"],
        threshold=numbers["threshold"],
    )
