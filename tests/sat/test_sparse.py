"""N:M sparsity: the model against plain loops, the specification's worked numbers, and NVIDIA's 2:4 metadata."""

import itertools

import numpy as np
import pytest

from bitloom.golden.sat import sparse as golden

# The example of the specification's section 9.
W = np.array(
    [
        [5, -3, 7, 0, 7, -7, 1, 2, 0, 0, 0, -4, 0, 0, 0, 0],
        [-128, 127, 4, 4, -4, 3, 9, -9, 1, -1, 1, -1, 1, -1, 1, -1],
        [0] * 8 + [12, -13, 14, -15, 16, -17, 18, -19],
    ]
)
X = np.array(
    [
        [3, 1, -5, 7, 2, -1, 10, 0, 4, -6, 8, -7, 6, 5, -9, 1],
        [-2, 4, 6, -8, 2, 9, -10, 5, -4, 3, 1, -7, 0, -5, 2, 11],
    ]
).T
PATTERNS = [(n, m) for m in (1, 2, 4, 8, 16) for n in (1, 2, 3, 4, 7, 8, 16) if n <= m]


def select_as_a_sorter(group, n):
    """Section 4, element by element: kept entries sorted by magnitude, a newcomer goes before the first smaller one."""
    kept = []
    for index, value in enumerate(group):
        place = next((at for at, (magnitude, *_) in enumerate(kept) if magnitude < abs(value)), len(kept))
        kept.insert(place, (abs(value), index, value))
        del kept[n:]
    return sorted((index, value) for _, index, value in kept)


def pack_in_integers(values, indices, n, m, bits):
    """One group as an integer, slot by slot."""
    word, at = 0, 0
    for value in values:
        word |= (value % (1 << bits)) << at
        at += bits
    if n < m:
        for index in indices:
            word |= index << at
            at += m.bit_length() - 1
    return word, at


@pytest.mark.parametrize("n, m", PATTERNS)
def test_select_is_what_a_sorter_keeps(n, m):
    rng = np.random.default_rng(n * 16 + m)
    for low, high in ((-128, 128), (-3, 4), (-1, 2)):
        w = rng.integers(low, high, (5, 6 * m))
        values, indices = golden.select(w, n, m)
        assert values.shape == indices.shape == (5, 6, n)
        assert values.dtype == w.dtype
        for row, group in itertools.product(range(5), range(6)):
            expected = select_as_a_sorter(w[row, group * m : (group + 1) * m].tolist(), n)
            assert list(zip(indices[row, group].tolist(), values[row, group].tolist(), strict=True)) == expected


def test_many_groups_are_those_of_each_row():
    w = np.random.default_rng(6).integers(-3, 4, (50, 800)).T.T[:, ::-1]
    values, indices = golden.select(w, 2, 8)
    assert indices.size // 2 > 1 << 12
    for row in range(0, 50, 7):
        one = golden.select(w[row : row + 1], 2, 8)
        assert (values[row] == one[0][0]).all() and (indices[row] == one[1][0]).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_group_of_four_small_weights(n):
    w = np.array(list(itertools.product(range(-2, 3), repeat=4)))
    values, indices = golden.select(w, n, 4)
    for row, group in enumerate(w.tolist()):
        expected = select_as_a_sorter(group, n)
        assert list(zip(indices[row, 0].tolist(), values[row, 0].tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    "group, n, slots",
    [
        ([3] * 8, 2, [(0, 3), (1, 3)]),
        ([0] * 8, 2, [(0, 0), (1, 0)]),
        ([-128, 127, 127, -128, 0, 1, 2, 3], 2, [(0, -128), (3, -128)]),
        ([-5, 5, -5, 5, 6, -6, 0, 0], 2, [(4, 6), (5, -6)]),
        ([-5, 5, -5, 5, 6, -6, 0, 0], 4, [(0, -5), (1, 5), (4, 6), (5, -6)]),
        ([5, -3, 7, 0, 7, -7, 1, 2], 2, [(2, 7), (4, 7)]),
    ],
)
def test_selector_vectors_of_the_specification(group, n, slots):
    for dtype in (np.int8, np.int64, np.float32):
        values, indices = golden.select(np.array([group], dtype), n, 8)
        assert list(zip(indices[0, 0].tolist(), values[0, 0].tolist(), strict=True)) == slots


def test_the_worked_example():
    values, indices = golden.select(W, 2, 8)
    assert values.tolist() == [[[7, 7], [0, -4]], [[-128, 127], [1, -1]], [[0, 0], [18, -19]]]
    assert indices.tolist() == [[[2, 4], [0, 3]], [[0, 1], [0, 1]], [[0, 1], [6, 7]]]
    words = golden.pack(values, indices, 8, 8)
    assert words.shape == (3, 2)
    stored = [int(low) | int(high) << 32 for low, high in words]
    assert [(row & 0x3FFFFF, row >> 22) for row in stored] == [
        (0x220707, 0x18FC00),
        (0x087F80, 0x08FF01),
        (0x080000, 0x3EED12),
    ]


@pytest.mark.parametrize(
    "n, m, product",
    [
        (2, 8, [[7, 84], [-247, 757], [-181, -173]]),
        (8, 8, [[36, -1], [-154, 637], [173, -56]]),
        (4, 8, [[29, 11], [-142, 630], [-170, -88]]),
        (2, 4, [[29, 11], [-156, 627], [36, -54]]),
        (1, 4, [[7, 84], [-284, 162], [86, -104]]),
    ],
)
def test_products_of_the_specification(n, m, product):
    values, indices = golden.select(W, n, m)
    result = golden.matmul(values, indices, X)
    assert result.dtype == np.int32
    assert result.tolist() == product
    if m == 4:
        # Any 2:4 matrix is a 4:8 matrix, any 1:4 a 2:8 one.
        merged = golden.merge_groups(values, indices, 4)
        assert merged[0].shape == (3, 2, 2 * n)
        assert golden.matmul(*merged, X).tolist() == product
        assert (golden.expand(*merged, 8) == golden.expand(values, indices, 4)).all()


def test_int4_of_the_specification():
    values, indices = golden.select([[-4, 4, -2, 1, -1, 3, -3, -7, -4, 2, 1, 7, -5, -2, 7, -7]], 2, 8)
    assert values.tolist() == [[[-4, -7], [7, 7]]]
    assert indices.tolist() == [[[0, 7], [3, 6]]]
    word = int(golden.pack(values, indices, 8, 4)[0, 0])
    assert (word & 0x3FFF, word >> 14) == (0x389C, 0x3377)


@pytest.mark.parametrize(
    "bits, n, m, size, ratio",
    [
        (8, 2, 4, 20, 1.60),
        (8, 4, 8, 44, 1.45),
        (8, 1, 4, 10, 3.20),
        (8, 2, 8, 22, 2.91),
        (8, 1, 8, 11, 5.82),
        (4, 2, 4, 12, 1.33),
        (4, 4, 8, 28, 1.14),
        (4, 1, 4, 6, 2.67),
        (4, 2, 8, 14, 2.29),
        (4, 1, 8, 7, 4.57),
        (16, 2, 8, 38, 3.37),
    ],
)
def test_stored_bits_of_the_specification(bits, n, m, size, ratio):
    assert golden.group_bits(n, m, bits) == size
    assert round(m * bits / size, 2) == ratio
    # No index is stored where all are kept.
    assert golden.group_bits(m, m, bits) == m * bits


@pytest.mark.parametrize("n, m", PATTERNS)
@pytest.mark.parametrize("bits", golden.WIDTHS)
def test_pack_is_what_integers_give(n, m, bits):
    rng = np.random.default_rng(n + 100 * m + bits)
    limit = 1 << (bits - 1)
    w = rng.integers(-limit, limit, (3, 5 * m))
    values, indices = golden.select(w, n, m)
    words = golden.pack(values, indices, m, bits)
    for row in range(3):
        stored, at = 0, 0
        for group in range(5):
            word, size = pack_in_integers(values[row, group].tolist(), indices[row, group].tolist(), n, m, bits)
            stored |= word << at
            at += size
        assert words.shape[1] == -(-at // 32)
        assert sum(int(word) << 32 * i for i, word in enumerate(words[row])) == stored
    back = golden.unpack(words, 5, n, m, bits)
    assert (back[0] == values).all() and (back[1] == indices).all()
    found = golden.load(golden.save(values, indices, m, bits), m)
    assert (found[0] == values).all() and (found[1] == indices).all() and found[2:] == (m, bits)


def test_indices_of_2_4_are_nvidias():
    """PTX, sparse matrix storage: the legal codes, the lower position in the low bits; values of 8 bits in front."""
    codes = {}
    for pair in itertools.combinations(range(4), 2):
        w = np.zeros((1, 4), int)
        w[0, pair] = 1
        codes[int(golden.pack(*golden.select(w, 2, 4), 4, 8)[0, 0]) >> 16] = pair
    assert sorted(codes) == [0b0100, 0b1000, 0b1001, 0b1100, 0b1101, 0b1110]
    assert all(code == (high << 2) | low for code, (low, high) in codes.items())


@pytest.mark.parametrize("n, m", PATTERNS)
def test_matmul_is_what_loops_give(n, m):
    """Any indices in any order, the same one again: all count."""
    rng = np.random.default_rng(n + m)
    values, indices = rng.integers(-128, 128, (3, 4, n)), rng.integers(0, m, (3, 4, n))
    x = rng.integers(-128, 128, (4 * m, 5))
    product = golden.matmul(values, indices, x)
    for row, col in itertools.product(range(3), range(5)):
        slots = itertools.product(range(4), range(n))
        total = sum(int(values[row, g, s]) * int(x[g * m + indices[row, g, s], col]) for g, s in slots)
        assert product[row, col] == total


def test_duplicates_add():
    values, indices = np.array([[[100, 100]]], np.int8), np.array([[[1, 1]]])
    assert golden.expand(values, indices, 4).tolist() == [[0, 200, 0, 0]]
    assert golden.matmul(values, indices, [[9], [-128], [9], [9]]).tolist() == [[-25600]]
    with pytest.raises(ValueError, match=r"must ascend, not be repeated or out of order as \[1, 1\] in row 0, group 0"):
        golden.pack(values, indices, 4, 8)
    # Two values, and the index 1 twice.
    stored = golden.unpack([[0x56464]], 1, 2, 4, 8)
    assert stored[1].tolist() == [[[1, 1]]]


def test_a_result_must_fit_32_bits():
    most = (1 << 31) // (1 << 14)
    values, indices = golden.select(np.full((1, most), -128, np.int8), 1, 1)
    with pytest.raises(ValueError, match="a result must fit 32 bits, not be 2147483648"):
        golden.matmul(values, indices, np.full((most, 1), -128, np.int8))
    assert golden.matmul(values, indices, np.full((most, 1), 127, np.int8)).item() == -most * 128 * 127
    fits = values[:, :-1], indices[:, :-1], np.full((most - 1, 1), -128, np.int8)
    assert golden.matmul(*fits).item() == (most - 1) * 16384


def test_cycles_of_the_specification():
    def of(n, side):
        return golden.cycles(768, 197, 768, n, rows=side, cols=side)

    assert [of(n, 4) for n in (8, 4, 2, 1)] == [7372810, 3686410, 1843210, 921610]
    assert [of(n, 8) for n in (8, 4, 2, 1)] == [1843222, 921622, 460822, 230422]
    assert [of(n, 32) for n in (8, 4, 2, 1)] == [129118, 64606, 32350, 16222]
    assert golden.cycles(768, 197, 768, 2, 4, rows=8, cols=8) == of(4, 8)
    assert round(of(8, 32) / of(2, 32), 2) == 3.99 and round(of(8, 32) / of(1, 32), 2) == 7.96
    # Section 9: the last product of the example in cycle 7 of a 3x2 array at 2:8, 11 at 4:8 and 2:4, 19 dense.
    for n, m, expected in ((2, 8, 7), (4, 8, 11), (2, 4, 11), (8, 8, 19)):
        assert golden.cycles(3, 2, 16, n, m, rows=3, cols=2) - 3 == expected
    # A reduction shorter than the array has rows waits for the drain; without a shadow every one does.
    assert golden.cycles(32, 8, 16, 2, rows=8, cols=8) == 4 * 8 + 7 + 7 + 8
    assert golden.cycles(32, 8, 16, 2, rows=8, cols=8, shadow=False) == 4 * (4 + 8) + 7 + 7 + 8
    assert golden.cycles(1, 1, 1, 2, rows=1, cols=1) == 2 + 1


MASTER = np.array([[4, -1, 3, 2], [-6, 5, 0, 1], [2, 2, -3, 7], [1, -4, 6, -2]])
INPUT = np.array([[1, 2, -1, 3], [0, 1, 4, -2]])
GRADIENT = np.array([[1, 0, -1, 2], [3, -1, 0, 1]])


def test_bdwp_step_of_the_specification():
    step = golden.bdwp_step(MASTER, INPUT, GRADIENT, 2, 4)
    assert np.where(step.forward, MASTER, 0).tolist() == [[4, 0, 3, 2], [-6, 5, 0, 0], [0, 0, 0, 7], [0, -4, 6, 0]]
    assert np.where(step.backward, MASTER, 0).tolist() == [[4, 0, 3, 0], [-6, 5, 0, 0], [0, 0, -3, 7], [0, -4, 6, 0]]
    assert np.argwhere(step.forward != step.backward).tolist() == [[0, 3], [2, 2]]
    assert step.y.tolist() == [[-8, -2, 21, -5], [-6, 13, -12, 28]]
    assert step.dx.tolist() == [[1, -6, 17, -6], [12, -23, 7, 4]]
    assert step.dw.tolist() == [[1, 0, -1, 2], [5, -1, -2, 5], [11, -4, 1, 2], [-3, 2, -3, 4]]
    dense = golden.bdwp_step(MASTER, INPUT, GRADIENT, 4, 4)
    assert dense.y.tolist() == [[-7, -5, 24, -9], [0, 21, -24, 33]]
    assert dense.dx.tolist() == [[5, -4, 19, -9], [15, -22, 11, 5]]
    assert dense.dw.tolist() == step.dw.tolist()


@pytest.mark.parametrize("n, m", [(1, 4), (2, 4), (2, 8), (4, 8)])
def test_bdwp_step_is_what_loops_give(n, m):
    rng = np.random.default_rng(m + n)
    w, x, dy = rng.normal(size=(16, 8)), rng.normal(size=(3, 16)), rng.normal(size=(3, 8))
    forward, backward = np.zeros(w.shape, bool), np.zeros(w.shape, bool)
    for start, col in itertools.product(range(0, 16, m), range(8)):
        for at, _ in select_as_a_sorter(w[start : start + m, col].tolist(), n):
            forward[start + at, col] = True
    for start, row in itertools.product(range(0, 8, m), range(16)):
        for at, _ in select_as_a_sorter(w[row, start : start + m].tolist(), n):
            backward[row, start + at] = True
    masks = golden.bdwp_masks(w, n, m)
    assert (masks[0] == forward).all() and (masks[1] == backward).all()
    step = golden.bdwp_step(w, x, dy, n, m, decay=golden.SR_STE_DECAY)
    for t, o in itertools.product(range(3), range(8)):
        assert step.y[t, o] == pytest.approx(sum(x[t, k] * w[k, o] for k in range(16) if forward[k, o]))
    for t, k in itertools.product(range(3), range(16)):
        assert step.dx[t, k] == pytest.approx(sum(dy[t, o] * w[k, o] for o in range(8) if backward[k, o]))
    for k, o in itertools.product(range(16), range(8)):
        decay = 0 if forward[k, o] else 2e-4 * w[k, o]
        assert step.dw[k, o] == pytest.approx(sum(x[t, k] * dy[t, o] for t in range(3)) + decay)


@pytest.mark.parametrize("n, m, work", [(2, 4, 0.667), (4, 8, 0.667), (2, 8, 0.5), (1, 8, 0.417), (1, 16, 0.375)])
def test_work_of_a_step(n, m, work):
    assert round(golden.step_work(n, m), 3) == work


def test_magnitude_kept_of_gaussian_weights():
    """Section 5, shares of the squared norm."""
    w = np.random.default_rng(0).normal(size=(256, 4096))
    for n, m, share in ((4, 8, 0.897), (2, 4, 0.868), (2, 8, 0.664), (1, 4, 0.617), (1, 8, 0.432)):
        values, _ = golden.select(w, n, m)
        assert (values**2).sum() / (w**2).sum() == pytest.approx(share, abs=2e-3)


def test_pad():
    assert golden.pad([[1, 2, 3]], 4).tolist() == [[1, 2, 3, 0]]
    assert golden.pad(np.ones((5, 3)), 8, axis=0).shape == (8, 3)
    assert golden.pad(np.ones((2, 8)), 8).shape == (2, 8)


def test_wrong_requests_are_refused():
    values, indices = golden.select(W, 2, 8)
    packed = golden.pack(values, indices, 8, 8)
    file = golden.save(values, indices, 8, 8)
    for message, request in {
        "N of M = 8 must be 1 to 8, not 9": lambda: golden.select(W, 9, 8),
        "N of M = 4 must be 1 to 4, not 0": lambda: golden.select(W, 0, 4),
        "M must be a power of two, not 6": lambda: golden.select(W, 2, 6),
        "M must be 1 to 16, not 32": lambda: golden.select(W, 2, 32),
        "K must be a multiple of M = 8, padded with zeros, not 13": lambda: golden.select(W[:, :13], 2, 8),
        r"weights must have shape \(R, K\), not \(16,\)": lambda: golden.select(W[0], 2, 8),
        "weights must be finite, not nan": lambda: golden.select([[1.0, np.nan]], 1, 2),
        "an index must be 0 to 3, not 4 in row 0, group 0": lambda: golden.expand(values, indices, 4),
        "an index must be 0 to 7, not -1 in row 0, group 0": lambda: golden.expand(values, indices - 3, 8),
        r"must ascend, not be repeated or out of order as \[4, 2\]": lambda: golden.pack(
            values, indices[..., ::-1], 8, 8
        ),
        "a value of 4 bits must be -8 to 7, not -128": lambda: golden.pack(values, indices, 8, 4),
        "bits of a value must be one of 4, 8, 16, not 5": lambda: golden.pack(values, indices, 8, 5),
        "values must be integers, not float64": lambda: golden.pack(values * 1.0, indices, 8, 8),
        "indices must be integers, not float64": lambda: golden.expand(values, indices * 1.0, 8),
        "values and indices must have one shape": lambda: golden.expand(values, indices[..., :1], 8),
        r"operands must have shapes \(R, K / M, N\) and \(K, T\), not \(3, 2, 2\) and \(15, 2\)": lambda: golden.matmul(
            values, indices, X[:15]
        ),
        "activations must be integers, not float64": lambda: golden.matmul(values, indices, X * 1.0),
        "K must be a multiple of 16, padded with zeros, not 24": lambda: golden.merge_groups(
            *golden.select(np.ones((1, 24), int), 1, 8), 8
        ),
        r"3 groups of 2:8 with 8 bits a value need 3 words a row, not shape \(3, 2\)": lambda: golden.unpack(
            packed, 3, 2, 8, 8
        ),
        "bits behind the last of 2 groups of 2:8 must be 0": lambda: golden.unpack(
            packed | np.uint32(1 << 31), 2, 2, 8, 8
        ),
        # A 2:8 file as 4:8, and a 4-bit one as 2:4 of 8 bits: what is taken for indices is not in order.
        r"must ascend, not be out of order as \[1, 0\] in row 0, group 0": lambda: golden.unpack(
            [[0x10000]], 1, 2, 4, 8
        ),
        "the weights must be in groups of M = 4, not of 8": lambda: golden.load(file, 4),
        "N:M weights must begin with NMS1 and a header, not b'NMS2'": lambda: golden.load(b"NMS2" + file[4:]),
        "3 rows of 2 groups need 24 bytes, not 23": lambda: golden.load(file[:-1]),
        "the header must have a width of 4, 8, 16 and a zero, not 9 and 0": lambda: golden.load(
            file[:4] + b"\x09" + file[5:]
        ),
        "N of M = 8 must be 1 to 8, not 12": lambda: golden.load(file[:5] + b"\x0c" + file[6:]),
        r"weights must have shape \(K, O\), not \(4,\)": lambda: golden.bdwp_masks(MASTER[0], 2, 4),
        "o must be 1 or more, not 0": lambda: golden.cycles(0, 1, 1, 1, rows=1, cols=1),
    }.items():
        with pytest.raises(ValueError, match=message):
            request()
