"""golden.ovp against the paper's tables, worked examples, and an element-by-element oracle in exact fractions."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from bitloom.golden.olive import ovp
from bitloom.golden.olive.ovp import FLINT4, INT4, INT8, OvpFormat

FORMATS = [INT4, FLINT4, INT8]
IDS = [fmt.name for fmt in FORMATS]

# Written down a second time, from the paper's Tables 3 and 4, not computed.
NORMALS = {
    "int4": range(8),
    "flint4": (0, 1, 2, 3, 4, 6, 8, 16),
    "int8": range(128),
}
OUTLIERS = {
    "int4": (12, 16, 24, 32, 48, 64, 96),
    "flint4": (24, 32, 48, 64, 96, 128, 192),
    "int8": [(8 + m) << (e + 4) for e in range(8) for m in range(8) if (e, m) != (0, 0)],
}


def nearest(magnitude, grid):
    """Nearest of an ascending grid, exactly; a tie goes away from zero."""
    best = grid[0]
    for candidate in grid[1:]:
        if abs(candidate - magnitude) <= abs(best - magnitude):
            best = candidate
    return best


def oracle_pair(x1, x2, fmt):
    """Values that a pair is encoded as, by the paper's rule on exact fractions."""
    normal, outlier = NORMALS[fmt.name], OUTLIERS[fmt.name]
    threshold = Fraction(normal[-1] + outlier[0], 2)
    a1, a2 = abs(Fraction(x1)), abs(Fraction(x2))

    def signed(magnitude, x):
        return -magnitude if x < 0 else magnitude

    if a1 >= threshold and a1 > a2:
        return signed(nearest(a1, outlier), x1), 0
    if a2 >= threshold:
        return 0, signed(nearest(a2, outlier), x2)
    return signed(nearest(a1, normal), x1), signed(nearest(a2, normal), x2)


def pairs_for(fmt):
    """Every threshold, its neighbours, and values around them, in both slots."""
    grid = [Fraction(v) for v in (*NORMALS[fmt.name], *OUTLIERS[fmt.name])]
    edges = sorted({(a + b) / 2 for a, b in pairwise(grid)} | set(grid))
    if fmt is INT8:
        edges = edges[::7] + edges[-140:]
    steps = (Fraction(0), Fraction(1, 1024), Fraction(-1, 1024))
    points = [sign * (edge + step) for edge in edges for step in steps for sign in (1, -1)]
    points += [Fraction(10**6), Fraction(-(10**6)), Fraction(1, 10**6)]
    rng = np.random.default_rng(7)
    partners = rng.permutation(len(points))
    beside = [(points[i], points[j]) for i, j in enumerate(partners)]
    return [*beside, *((p, p) for p in points), *((p, -p) for p in points)]


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_encode_equals_the_oracle_at_every_threshold_and_tie(fmt):
    pairs = pairs_for(fmt)
    x = np.array([[float(a), float(b)] for a, b in pairs])
    got = ovp.values(ovp.encode(x, fmt), fmt)
    expected = np.array([oracle_pair(*row, fmt) for row in x.tolist()])
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(ovp.round_trip(x, fmt), expected)


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_round_trip_equals_encode_and_decode(fmt):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 101)) * np.exp(rng.uniform(-2, 9, (50, 101)))
    got = ovp.round_trip(x, fmt)
    np.testing.assert_array_equal(got, ovp.values(ovp.encode(x, fmt), fmt))
    assert not np.signbit(got[got == 0]).any()


def test_figure_1_of_the_paper():
    x = [1.5, 2.6, -5.2, -98, 17.6, 4.2, 7.1, -6.8, 1.2, 6.3, 30.7, 5.9]
    codes = ovp.encode(x, INT4)
    assert codes.tolist() == [0x32, 0xF8, 0x82, 0x97, 0x61, 0x84]
    assert ovp.values(codes, INT4).tolist() == [2, 3, 0, -96, 16, 0, 7, -7, 1, 6, 32, 0]


@pytest.mark.parametrize(
    "fmt, x, codes",
    [
        (INT4, [-9.5, -9.5], [0x98]),
        (INT4, [12, 12], [0x18]),
        (INT4, [200, -96], [0x87]),
        (INT4, [9.499, 3], [0x37]),
        (INT4, [9.5, 3], [0x81]),
        (INT4, [20, 50], [0x58]),
        (INT4, [50, 20], [0x85]),
        (INT4, [30, -30], [0xC8]),
        (INT4, [3.0], [0x03]),
        (INT4, [96.0], [0x87]),
        (FLINT4, [-0.49, 0.49], [0x00]),
        (FLINT4, [-0.0, -0.0], [0x00]),
        (INT8, [-1000.3, 5, 100.4, -126.6], [0x98, 0x80, 0x64, 0x81]),
        (INT8, [135.5, 135.5, -40000, 1e6], [0x80, 0x01, 0x80, 0x3F]),
    ],
    ids=str,
)
def test_named_corner_cases(fmt, x, codes):
    assert ovp.encode(x, fmt).tolist() == codes


def test_first_words_of_the_int4_decoder():
    words = [f"00{integer:X}0" for integer in range(16)]
    words[8] = "0200"  # an identifier beside the banned code 0000
    integers, exponents = ovp.decode(np.arange(256, dtype=np.uint8)[:, None], INT4)
    packed = ((integers & 15) << 4) | exponents
    words_of = [f"{high << 8 | low:04X}" for low, high in packed.tolist()]
    assert words_of[:16] == words
    assert (words_of[0x82], words_of[0xF8]) == ("0023", "D500")


# Codes 0 to 15 as (exponent, integer), from the specification's decoder table.
NORMAL_TABLE = {
    "int4": [(0, c if c < 8 else c - 16) for c in range(16)],
    "flint4": [
        *((0, 0), (0, 1), (0, 2), (0, 3), (4, 1), (2, 2), (0, 4), (0, 6)),
        *(None, (0, -1), (0, -2), (0, -3), (4, -1), (2, -2), (0, -4), (0, -6)),
    ],
}
OUTLIER_TABLE = [(0, 0), (0, 3), (1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3)]


FOUR_BITS = [INT4, FLINT4, INT4.with_bias(0), FLINT4.with_bias(12)]


@pytest.mark.parametrize("fmt", FOUR_BITS, ids=lambda fmt: f"{fmt.name}-{fmt.bias}")
def test_decode_of_all_bytes_equals_the_paper_network(fmt):
    def outlier(code):
        exponent, integer = OUTLIER_TABLE[code & 7]
        return exponent + fmt.bias, -integer if code & 8 else integer

    expected = []
    for byte in range(256):
        v1, v2 = byte & 15, byte >> 4
        shared = v2 if v1 == 8 else v1
        first = outlier(shared) if v2 == 8 else (0, 0) if v1 == 8 else NORMAL_TABLE[fmt.name][v1]
        second = outlier(shared) if v1 == 8 else (0, 0) if v2 == 8 else NORMAL_TABLE[fmt.name][v2]
        expected.append((first, second))
    integers, exponents = ovp.decode(np.arange(256, dtype=np.uint8)[:, None], fmt)
    got = [tuple(zip(e, i, strict=True)) for e, i in zip(exponents.tolist(), integers.tolist(), strict=True)]
    assert got == expected


def test_decode_of_all_8_bit_words_equals_the_specification():
    words = np.arange(65536)
    integers, exponents = ovp.decode(words.astype("<u2").view(np.uint8).reshape(-1, 2), INT8)
    illegal = ovp.illegal(words.astype("<u2").view(np.uint8).reshape(-1, 2), INT8)[:, 0]
    for word in words.tolist():
        v1, v2 = word & 255, word >> 8
        shared = v2 if v1 == 128 else v1
        magnitude = shared & 127
        integer = 8 + (magnitude & 7) if magnitude else 0
        outlier = ((magnitude >> 3) + 4) % 16, -integer if shared & 128 else integer
        for slot, (own, other) in enumerate(((v1, v2), (v2, v1))):
            normal = 0, own - 256 if own > 128 else own
            expected = outlier if other == 128 else (0, 0) if own == 128 else normal
            assert (exponents[word, slot], integers[word, slot]) == expected
        banned = magnitude == 0 or magnitude >> 3 > 7
        assert illegal[word] == ((v1 == 128 or v2 == 128) and banned)


@pytest.mark.parametrize("fmt, count", [(INT4, 253), (FLINT4, 253), (INT8, 255 * 255 + 2 * 126)], ids=IDS)
def test_decode_then_encode_is_the_identity_on_every_legal_code(fmt, count):
    words = np.arange(1 << (2 * fmt.bits))
    codes = words.astype(f"<u{fmt.bits // 4}").view(np.uint8).reshape(len(words), -1)
    legal = ~ovp.illegal(codes, fmt)[:, 0]
    assert legal.sum() == count
    np.testing.assert_array_equal(ovp.encode(ovp.values(codes[legal], fmt), fmt), codes[legal])


def test_kinds_of_the_first_figure():
    assert ovp.kinds(np.array([0x32, 0xF8, 0x82, 0x88], np.uint8), INT4).tolist() == [0, 0, 1, 2, 2, 1, 1, 1]


def test_illegal_bytes():
    illegal = ovp.illegal(np.arange(256, dtype=np.uint8)[:, None], INT4)[:, 0]
    assert np.flatnonzero(illegal).tolist() == [0x08, 0x80, 0x88]


def test_worked_dot_product_of_mixed_formats():
    a = ovp.encode([[1.4, -6.8, 48.2, 3.8, -1.2, 30, 4.5, -0.4]], INT4)
    w = ovp.encode([[5.2, -2.4, -52, 1.6, 3.6, -2.0, 12.4, 11.6]], FLINT4)
    assert a.tolist() == [[0x91, 0x85, 0x48, 0x05]]
    assert w.tolist() == [[0xA7, 0x8B, 0xA6, 0x54]]
    product, overflow = ovp.matmul(a, INT4, w, FLINT4)
    assert product.tolist() == [[-2268]]
    assert product.dtype == np.int32
    assert not overflow.any()


def test_matmul_equals_python_integers_and_flags_every_wrap():
    rng = np.random.default_rng(11)
    a = rng.integers(0, 256, (5, 24), dtype=np.uint8)
    b = rng.integers(0, 256, (4, 24), dtype=np.uint8)
    a[0, :4] = b[0, :4] = [0x3F, 0x80] * 2  # 30720 * 30720, twice, fits; a third does not
    a[0, 4:] = b[0, 4:] = 0
    a[1, :6] = b[1, :6] = [0x3F, 0x80] * 3
    a[2, :8] = [0x3F, 0x80] * 4  # leaves the range and comes back
    b[2, :8] = [0x3F, 0x80] * 3 + [0xBF, 0x80]
    a[2, 8:] = b[2, 8:] = 0
    product, overflow = ovp.matmul(a, INT8, b, INT8)
    va, vb = ovp.values(a, INT8).tolist(), ovp.values(b, INT8).tolist()
    for m, row in enumerate(va):
        for n, column in enumerate(vb):
            total, left = 0, False
            for x, y in zip(row, column, strict=True):
                total += x * y
                left |= not -(2**31) <= total < 2**31
            assert product[m, n] == (total + 2**31) % 2**32 - 2**31
            assert overflow[m, n] == left
    assert not overflow[0, 0]
    assert overflow[1, 1]
    assert overflow[2, 2]
    assert product[2, 2] == 2 * 30720**2


def test_search_scale_equals_the_authors_procedure():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, 40)) * 0.3
    x[rng.random(x.shape) < 0.02] *= 20
    x[3] = 0
    scales = ovp.search_scale(x, FLINT4, axis=0)
    for row, got in zip(x, scales, strict=True):
        std = row.std(ddof=1)
        base = max(abs(row.mean() + 3 * std), abs(row.mean() - 3 * std))
        best, least = 1.0, np.inf
        for percent in range(75, 250, 2) if base else ():
            step = base * percent / 100 / 16
            error = np.mean((ovp.values(ovp.encode(row / step, FLINT4), FLINT4) * step - row) ** 2)
            if error < least:
                best, least = step, error
        assert got == pytest.approx(best, rel=1e-12)
    assert scales[3] == 1.0
    assert ovp.search_scale(x.ravel(), FLINT4) == ovp.search_scale(x.reshape(1, -1), FLINT4, axis=0)[0]
    assert ovp.search_scale(np.zeros((2, 3)), INT4) == 1.0
    assert ovp.search_scale(np.full((1, 1), 3.5), INT8, axis=0).shape == (1,)


def test_shapes_and_padding():
    assert ovp.encode(np.ones((2, 3, 5)), INT4).shape == (2, 3, 3)
    assert ovp.encode(np.ones((2, 3, 5)), INT8).shape == (2, 3, 6)
    integers, exponents = ovp.decode(ovp.encode(np.ones((2, 3, 5)), INT8), INT8)
    assert integers.shape == exponents.shape == (2, 3, 6)
    assert integers.dtype == exponents.dtype == np.int64
    for fmt in FORMATS:
        for shape in ((0, 4), (3, 0), (2, 0, 5)):
            codes, whole = ovp.encode(np.ones(shape), fmt), (*shape[:-1], shape[-1] + shape[-1] % 2)
            assert codes.shape == (*whole[:-1], whole[-1] * fmt.bits // 8)
            assert ovp.decode(codes, fmt)[0].shape == ovp.kinds(codes, fmt).shape == whole
            assert ovp.round_trip(np.ones(shape), fmt).shape == whole
    assert OvpFormat.INT4 is INT4 and OvpFormat.FLINT4 is FLINT4 and OvpFormat.INT8 is INT8


def test_statistics_count_pairs():
    x = np.zeros((1, 1000))
    x[0, ::2] = 1e-3
    x[0, 10], x[0, 20], x[0, 21] = 5, -5, 6
    shares = ovp.statistics(x)
    assert shares["outlier_normal"] == pytest.approx(1 / 500)
    assert shares["outlier_outlier"] == pytest.approx(1 / 500)
    assert shares["normal_normal"] == pytest.approx(498 / 500)
    assert ovp.statistics(np.zeros((2, 2)))["normal_normal"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match=r"x must be finite, not .* at index \(0, 1\)"):
        ovp.encode([[1, value]], INT4)
    with pytest.raises(ValueError, match="x must be finite"):
        ovp.search_scale([[1, value]], INT4)


def test_wrong_requests_name_the_value():
    with pytest.raises(ValueError, match="bias of int4 must be 0 to 12, not 13"):
        INT4.with_bias(13)
    with pytest.raises(ValueError, match="bias of flint4 must be 3 or more to encode, not 2"):
        ovp.encode([1], FLINT4.with_bias(2))
    with pytest.raises(ValueError, match="codes must be an array of uint8"):
        ovp.decode([1.0], INT4)
    with pytest.raises(ValueError, match="int8 takes two bytes a pair, not 3 bytes"):
        ovp.decode(np.zeros(3, np.uint8), INT8)
    with pytest.raises(ValueError, match="operands must have shapes"):
        ovp.matmul(np.zeros((1, 2), np.uint8), INT4, np.zeros((1, 3), np.uint8), INT4)
    with pytest.raises(ValueError, match="axis must be None or 0, not 1"):
        ovp.search_scale([[1.0]], INT4, axis=1)
    with pytest.raises(ValueError, match="not be the scalar"):
        ovp.encode(3.0, INT4)
