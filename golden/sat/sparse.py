"""N:M sparsity: of every M neighbours along K, N are kept, each with its index (SAT/BDWP, TCAD 2023).

The pattern is the paper's; what it leaves open or is not public is our choice: ties keep the lower index, slots of a
group are in ascending order of their indices and always N, zeros among them where a group has no more; the storage
format; the cycles of an array, which is our reconstruction and no claim about SAT.

Weights are (R, K), one row for each output channel, as a linear layer stores them; kept values and their indices in
the group are both (R, K / M, N).
"""

from typing import NamedTuple

import numpy as np

from .. import exact
from ..checks import integer

__all__ = [
    "HEADER_BYTES",
    "SR_STE_DECAY",
    "WIDTHS",
    "BdwpStep",
    "bdwp_masks",
    "bdwp_step",
    "cycles",
    "expand",
    "group_bits",
    "index_bits",
    "load",
    "matmul",
    "merge_groups",
    "pack",
    "pad",
    "save",
    "select",
    "step_work",
    "unpack",
]

#: Widths in bits that a stored value may have.
WIDTHS = (4, 8, 16)
#: Bytes before the packed words of `save`.
HEADER_BYTES = 16
#: Decay of the pruned weights in SR-STE.
SR_STE_DECAY = 2e-4

_MAGIC = b"NMS1"
_LARGEST_GROUP = 16
# Groups that are selected from at once: the temporaries stay in the cache.
_PART = 1 << 12
_INT32 = np.iinfo(np.int32)


def pad(w, m, axis=-1):
    """Zeros behind the last element along `axis`, up to whole groups of `m`."""
    w = np.asarray(w)
    widths = [(0, 0)] * w.ndim
    widths[axis] = (0, -w.shape[axis] % _group(m))
    return np.pad(w, widths)


def select(w, n, m):
    """Keep the `n` largest magnitudes of each group.

    Parameters
    ----------
    w : array_like, shape (R, K)
        Integers, -128 included, or finite floating-point numbers; K a multiple of `m`.
    n, m : int
        Kept values and size of a group, 1 <= n <= m <= 16, m a power of two.

    Returns
    -------
    values : ndarray of the type of `w`, shape (R, K / m, n)
    indices : ndarray of int64, shape (R, K / m, n)
        Ascending in each group; among equal magnitudes the lower ones are kept (SORE as we specify it: a later element
        must be larger to displace an earlier one).

    Raises
    ------
    ValueError
        For `n` or `m` out of range, another shape, a K that is not padded, NaN or Inf.
    """
    n, m = _pattern(n, m)
    w = np.asarray(w)
    if w.ndim != 2:
        raise ValueError(f"weights must have shape (R, K), not {w.shape}")
    if w.shape[1] % m:
        raise ValueError(f"K must be a multiple of M = {m}, padded with zeros, not {w.shape[1]}")
    groups = w.reshape(w.size // m, m)
    values, indices = np.empty((len(groups), n), w.dtype), np.empty((len(groups), n), np.int64)
    for start in range(0, len(groups), _PART):
        part = slice(start, start + _PART)
        kept = np.flatnonzero(_largest(_magnitudes(groups[part]), n)).reshape(-1, n)
        values[part], indices[part] = groups[part].ravel()[kept], kept & (m - 1)
    shape = len(w), w.shape[1] // m, n
    return values.reshape(shape), indices.reshape(shape)


def _largest(magnitudes, n):
    """Whether each element is among the `n` largest of its group, a row; the first ones among equals."""
    groups = np.ascontiguousarray(magnitudes.T)
    # How many go before each: all pairs of a group are compared, which is quicker than to sort so few.
    before = np.zeros(groups.shape, np.uint8)
    for later in range(1, len(groups)):
        for earlier in range(later):
            keeps = groups[earlier] >= groups[later]
            before[later] += keeps
            before[earlier] += ~keeps
    return np.ascontiguousarray((before < n).T)


def expand(values, indices, m):
    """The pruned weights, shape (R, K); values with the same index in one group add up, as in the array."""
    values, indices = _slots(values, indices, m)
    rows, groups, _ = values.shape
    kind = np.int64 if np.issubdtype(values.dtype, np.integer) else values.dtype
    w = np.zeros((rows, groups, m), kind)
    row, group = np.ogrid[:rows, :groups]
    np.add.at(w, (row[..., None], group[..., None], indices), values.astype(kind))
    return w.reshape(rows, groups * m)


def matmul(values, indices, x):
    """Product of N:M sparse weights with dense activations, exact.

    Parameters
    ----------
    values, indices : array_like of int, shape (R, K / M, N)
        As of `select`; any order, and values with the same index in a group add up.
    x : array_like of int, shape (K, T)
        Activations; M is K divided by the number of groups.

    Returns
    -------
    ndarray of int32, shape (R, T)

    Raises
    ------
    ValueError
        For shapes that do not fit, an index out of range, other types than integers, or a result beyond 32 bits.
    """
    values, x = np.asarray(values), np.asarray(x)
    if values.ndim != 3 or x.ndim != 2 or not values.shape[1] or x.shape[0] % values.shape[1]:
        raise ValueError(f"operands must have shapes (R, K / M, N) and (K, T), not {values.shape} and {x.shape}")
    for name, operand in (("values", values), ("activations", x)):
        if not np.issubdtype(operand.dtype, np.integer):
            raise ValueError(f"{name} must be integers, not {operand.dtype}")
    w = expand(values, indices, x.shape[0] // values.shape[1])
    product = exact.product(w, x.astype(np.int64).T)
    wrong = (product < _INT32.min) | (product > _INT32.max)
    if wrong.any():
        raise ValueError(f"a result must fit 32 bits, not be {product[wrong][0]}")
    return product.astype(np.int32)


def merge_groups(values, indices, m):
    """The same weights in groups of 2 `m` with 2 N slots: any 2:4 matrix is a 4:8 matrix.

    Slot n of the new group belongs to its first half if n < N, else to its second one, whose indices get one more bit.

    Raises
    ------
    ValueError
        For an odd number of groups: K must be padded to whole groups of 2 `m`.
    """
    values, indices = _slots(values, indices, m)
    rows, groups, n = values.shape
    if groups % 2:
        raise ValueError(f"K must be a multiple of {2 * m}, padded with zeros, not {groups * m}")
    raised = indices.reshape(rows, groups // 2, 2, n) + np.array([[0], [m]])
    return values.reshape(rows, groups // 2, 2 * n), raised.reshape(rows, groups // 2, 2 * n)


def index_bits(m):
    """Bits of an index into a group of `m`."""
    return (_group(m) - 1).bit_length()


def group_bits(n, m, bits):
    """Bits of a stored group: `n` values, and their indices unless all are kept."""
    n, m = _pattern(n, m)
    return n * (bits + (index_bits(m) if n < m else 0))


def pack(values, indices, m, bits):
    """Sparse weights as they are stored (spec section 5, our choice).

    A group is a string of bits, the first one lowest: the values of its slots, in two's complement, then the indices,
    which are left out where all M are kept. Groups follow one another in order of K, rows start with a new word. The
    indices of a 2:4 group are in the order of NVIDIA's metadata, the lower position in the low bits.

    Parameters
    ----------
    values, indices : array_like of int, shape (R, K / M, N)
        In the order of `select`.
    m : int
        Size of a group.
    bits : int
        Of a value, one of `WIDTHS`.

    Returns
    -------
    ndarray of uint32, shape (R, words)

    Raises
    ------
    ValueError
        For values out of range, and indices out of range, repeated, or not ascending.
    """
    values, indices = _slots(values, indices, m)
    n = _pattern(values.shape[2], m)[0]
    _width(bits)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"values must be integers, not {values.dtype}")
    limit = 1 << (bits - 1)
    wrong = (values < -limit) | (values >= limit)
    if wrong.any():
        raise ValueError(f"a value of {bits} bits must be {-limit} to {limit - 1}, not {values[wrong][0]}")
    _check_order(indices, "repeated or out of order", np.less_equal)
    fields = [_bits_of(values, bits)]
    if n < m:
        fields.append(_bits_of(indices, index_bits(m)))
    rows = np.concatenate(fields, axis=2).reshape(len(values), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 32)))
    return np.packbits(rows, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def unpack(words, groups, n, m, bits):
    """Sparse weights from their stored form.

    Parameters
    ----------
    words : array_like of uint32, shape (R, words)
        As of `pack`.
    groups : int
        Groups of a row.
    n, m, bits : int
        As of `pack`. They are not in the words: a wrong one gives wrong weights, or an error.

    Returns
    -------
    values : ndarray of int64, shape (R, groups, n)
    indices : ndarray of int64, shape (R, groups, n)

    Raises
    ------
    ValueError
        For another number of words, bits set behind the last group, or indices out of order. One that is repeated is
        let through: the array adds both values, and so does `expand`.
    """
    n, m = _pattern(n, m)
    _width(bits)
    words = np.asarray(words)
    size = group_bits(n, m, bits)
    needed = -(-groups * size // 32)
    if words.ndim != 2 or words.shape[1] != needed:
        raise ValueError(
            f"{groups} groups of {n}:{m} with {bits} bits a value need {needed} words a row, not shape {words.shape}"
        )
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8).reshape(len(words), 4 * needed)
    stored = np.unpackbits(octets, axis=1, bitorder="little")
    if stored[:, groups * size :].any():
        raise ValueError(f"bits behind the last of {groups} groups of {n}:{m} must be 0")
    stored = stored[:, : groups * size].reshape(len(words), groups, size)
    values = _from_bits(stored[..., : n * bits], bits)
    values -= (values >> (bits - 1)) << bits
    if n == m:
        return values, np.broadcast_to(np.arange(m), values.shape).copy()
    indices = _from_bits(stored[..., n * bits :], index_bits(m))
    _check_order(indices, "out of order", np.less)
    return values, indices


def save(values, indices, m, bits):
    """Bytes of a file: a header that says what the words of `pack` are, and these.

    The header, little-endian: `NMS1`; bits, N, M and a zero, one byte each; rows and groups of a row, four bytes each.
    """
    values = np.asarray(values)
    words = pack(values, indices, m, bits)
    rows, groups, n = values.shape
    header = _MAGIC + bytes([bits, n, m, 0]) + np.array([rows, groups], "<u4").tobytes()
    return header + words.astype("<u4").tobytes()


def load(data, m=None):
    """Sparse weights from the bytes of `save`.

    Parameters
    ----------
    data : bytes
        Of the file.
    m : int, optional
        Size of a group that whoever uses the weights is built for.

    Returns
    -------
    values, indices : ndarray of int64, shape (R, groups, N)
    m, bits : int

    Raises
    ------
    ValueError
        For other data, another length, another group than `m`, and as `unpack`.
    """
    if len(data) < HEADER_BYTES or data[:4] != _MAGIC:
        raise ValueError(f"N:M weights must begin with {_MAGIC.decode()} and a header, not {bytes(data[:4])!r}")
    bits, n, stored_m, zero = data[4:8]
    rows, groups = (int(count) for count in np.frombuffer(data[8:HEADER_BYTES], "<u4"))
    n, stored_m = _pattern(n, stored_m)
    if zero or bits not in WIDTHS:
        raise ValueError(f"the header must have a width of {_listed(WIDTHS)} and a zero, not {bits} and {zero}")
    if m is not None and stored_m != m:
        raise ValueError(f"the weights must be in groups of M = {m}, not of {stored_m}")
    length = 4 * rows * -(-groups * group_bits(n, stored_m, bits) // 32)
    if len(data) != HEADER_BYTES + length:
        raise ValueError(f"{rows} rows of {groups} groups need {length} bytes, not {len(data) - HEADER_BYTES}")
    words = np.frombuffer(data[HEADER_BYTES:], "<u4").reshape(rows, -1)
    return (*unpack(words, groups, n, stored_m, bits), stored_m, bits)


def cycles(o, t, k, n, m=8, *, rows, cols, shadow=True):
    """Cycles of an output-stationary array of rows x cols processing elements, one product each (spec 5.1, our choice).

    A group takes N cycles, with N = M for dense weights. This is the schedule in the abstract; `nm_tile.cycles` counts
    those of the tile that we build, registers included.

    Parameters
    ----------
    o, t, k : int
        Output channels, which are the array's rows, tokens, its columns, and length of the products.
    n, m : int
        Pattern.
    rows, cols : int
        Of the array.
    shadow : bool
        Whether sums leave the array while the next ones are made; else each tile takes `rows` cycles more.
    """
    n, m = _pattern(n, m)
    o, t, k, rows, cols = (
        integer(name, value, 1, None) for name, value in (("o", o), ("t", t), ("k", k), ("rows", rows), ("cols", cols))
    )
    steps = -(-k // m) * n
    each = max(steps, rows) if shadow else steps + rows
    return -(-o // rows) * -(-t // cols) * each + (rows - 1) + (cols - 1) + rows


def step_work(n, m):
    """Products of a BDWP training step over those of a dense one: two of its three matrix products are N:M."""
    n, m = _pattern(n, m)
    return (2 * n / m + 1) / 3


def bdwp_masks(w, n, m):
    """The two masks of bidirectional weight pruning.

    Parameters
    ----------
    w : array_like, shape (K, O)
        Dense master weights of ``y = x @ w``: inputs by outputs, both multiples of `m`.
    n, m : int
        Pattern.

    Returns
    -------
    forward, backward : ndarray of bool, shape (K, O)
        For the forward product, groups along the inputs, which it sums over; for the product of the gradient with the
        weights, groups along the outputs. Exactly `n` of each group are kept. Both are of the dense weights.
    """
    w = np.asarray(w)
    if w.ndim != 2:
        raise ValueError(f"weights must have shape (K, O), not {w.shape}")
    return _mask(w.T, n, m).T, _mask(w, n, m)


class BdwpStep(NamedTuple):
    """Results of one training step: `y`, the outputs; `dx`, `dw`, the gradients; the masks `forward`, `backward`."""

    y: np.ndarray
    dx: np.ndarray
    dw: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


def bdwp_step(w, x, dy, n, m, decay=0.0):
    """The three matrix products of a training step with bidirectional weight pruning (BDWP).

    Parameters
    ----------
    w : array_like, shape (K, O)
        Dense master weights.
    x : array_like, shape (T, K)
        Inputs.
    dy : array_like, shape (T, O)
        Gradient of the outputs.
    n, m : int
        Pattern.
    decay : float
        SR-STE's term, ``decay * w`` where the forward mask prunes, is added to `dw`; whether BDWP has it is not public.
        `SR_STE_DECAY` is SR-STE's.

    Returns
    -------
    BdwpStep
        `y` and `dx` are products with pruned weights; `dw` is dense, straight through to all weights.
    """
    w, x, dy = (np.asarray(operand) for operand in (w, x, dy))
    forward, backward = bdwp_masks(w, n, m)
    y = x @ np.where(forward, w, 0)
    dx = dy @ np.where(backward, w, 0).T
    dw = x.T @ dy
    if decay:
        dw = dw + decay * np.where(forward, 0, w)
    return BdwpStep(y, dx, dw, forward, backward)


def _mask(w, n, m):
    """Which elements `select` keeps."""
    _, indices = select(w, n, m)
    mask = np.zeros((len(w), w.shape[1] // m, m), bool)
    np.put_along_axis(mask, indices, True, axis=-1)
    return mask.reshape(w.shape)


def _magnitudes(x):
    if np.issubdtype(x.dtype, np.integer):
        # In no more bits than they need: they are compared many times.
        return np.abs(x.astype(np.int16 if x.dtype.itemsize == 1 else np.int64))
    if not np.isfinite(x).all():
        raise ValueError(f"weights must be finite, not {x[~np.isfinite(x)][0]}")
    return np.abs(x)


def _group(m):
    m = integer("M", m, 1, _LARGEST_GROUP)
    if m & (m - 1):
        raise ValueError(f"M must be a power of two, not {m}")
    return m


def _pattern(n, m):
    m = _group(m)
    return integer(f"N of M = {m}", n, 1, m), m


def _width(bits):
    if bits not in WIDTHS:
        raise ValueError(f"bits of a value must be one of {_listed(WIDTHS)}, not {bits!r}")


def _listed(numbers):
    return ", ".join(map(str, numbers))


def _slots(values, indices, m):
    """Values and indices of one shape, the indices in range."""
    m = _group(m)
    values, indices = np.asarray(values), np.asarray(indices)
    if values.ndim != 3 or values.shape != indices.shape:
        raise ValueError(f"values and indices must have one shape (R, K / M, N), not {values.shape}, {indices.shape}")
    if not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"indices must be integers, not {indices.dtype}")
    wrong = (indices < 0) | (indices >= m)
    if wrong.any():
        raise ValueError(f"an index must be 0 to {m - 1}, not {indices[wrong][0]}{_where(wrong)}")
    return values, indices.astype(np.int64)


def _check_order(indices, fault, unwanted):
    wrong = unwanted(indices[..., 1:], indices[..., :-1])
    if wrong.any():
        row, group = np.argwhere(wrong)[0][:2]
        raise ValueError(
            f"indices of a group must ascend, not be {fault} as {indices[row, group].tolist()}{_where(wrong)}"
        )


def _where(wrong):
    row, group = np.argwhere(wrong)[0][:2]
    return f" in row {row}, group {group}"


def _bits_of(fields, width):
    """Bits of each field, lowest first, of all slots of a group one after the other."""
    bits = (fields.astype(np.int64)[..., None] >> np.arange(width)) & 1
    return bits.reshape(*fields.shape[:2], -1).astype(np.uint8)


def _from_bits(bits, width):
    fields = bits.reshape(*bits.shape[:2], -1, width).astype(np.int64)
    return (fields << np.arange(width)).sum(axis=-1)
