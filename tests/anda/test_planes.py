"""golden.anda against the paper's figures, a worked example, and oracles in plain integers and exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import float16, float32

from bitloom.golden.anda import planes as anda

LENGTHS = range(1, 17)


def half(*codes):
    """FP16 numbers of bit patterns."""
    return np.array(codes, np.uint16).view(np.float16)


def number(sign, exponent, fraction):
    """FP16 number of its fields; the fraction as a string of bits, cut or filled up to ten."""
    return half(sign << 15 | exponent << 10 | int(fraction.ljust(10, "0")[:10], 2))


def bits(words, count):
    """Words as strings of `count` bits, element 0 on the right."""
    return [f"{int(word):0{count}b}" for word in np.ravel(words)]


def columns(t, row=()):
    """Mantissas of a row's elements as strings of bits."""
    planes = t.planes[row].tolist()
    return ["".join(str(plane >> i & 1) for plane in group) for group in planes for i in range(t.group)]


def signs(t, row=()):
    """Sign bits of a row's elements."""
    return [word >> i & 1 for word in t.signs[row].tolist() for i in range(t.group)]


# -- oracles, from the text and not from the code ----------------------------------------------------------------------


def serial_aligner(mantissa, distance):
    """The bits that the paper's aligner gives in 16 cycles, from an 11-bit mantissa and its distance (Figure 12)."""
    out = []
    for _ in range(16):
        if distance == 0:
            out.append(mantissa >> 10 & 1)
            mantissa = mantissa << 1 & 0x7FF
        else:
            out.append(0)
            distance -= 1
    return out


def magnitude(code):
    """Magnitude of an FP16 code, exactly; 31 is an exponent like the others."""
    exponent, fraction = code >> 10 & 31, code & 1023
    leading = 1024 if exponent else 0
    return Fraction(leading + fraction) * Fraction(2) ** (max(exponent, 1) - 25)


def oracle_group(codes, length, rounding="truncate"):
    """(signs, mantissas, shared exponent) of a group of FP16 codes."""
    shared = max(max(code >> 10 & 31, 1) for code in codes)
    unit = Fraction(2) ** (shared - 14 - length)
    if rounding == "nearest":
        mantissas = [min(round(magnitude(code) / unit), 2**length - 1) for code in codes]  # ties to even
    else:
        mantissas = [math.floor(magnitude(code) / unit) for code in codes]
    return [code >> 15 for code in codes], mantissas, shared


def oracle_accumulator(codes, weights, scales, length, conversion, group=64):
    """One result of the matrix product, exactly as many roundings as the specification has."""
    accumulator = Fraction(0)
    for start in range(0, len(codes), group):
        signs, mantissas, shared = oracle_group(codes[start : start + group], length)
        terms = zip(signs, mantissas, weights[start : start + group], strict=True)
        dot = sum((-m if s else m) * w for s, m, w in terms)
        x = dot * Fraction(2) ** (shared - 14 - length)
        x = float16(x) if conversion == "fp16" else float32(x)
        accumulator = float32(accumulator + float32(x * Fraction(float(scales[start // 128]))))
    return accumulator


def running_sums(t, weights, g):
    """(psum, accumulator) of every plane of one group of a row, as the bit-serial element computes them (Figure 11)."""
    part = weights[g * t.group : (g + 1) * t.group].tolist()
    accumulator, sums = 0, []
    for plane in t.planes[g].tolist():
        psum = sum((-w if int(t.signs[g]) >> i & 1 else w) for i, w in enumerate(part) if plane >> i & 1)
        accumulator = (accumulator << 1) + psum
        sums.append((psum, accumulator))
    return sums


def mixed_groups(rng, count, width=64):
    """FP16 codes of groups of every kind: any, finite, subnormal, zero, Inf and NaN, narrow and wide ranges."""
    finite = rng.integers(0, 31 << 10, (count, width)) | rng.integers(0, 2, (count, width)) << 15
    kinds = [
        rng.integers(0, 1 << 16, (count, width)),
        finite,
        finite & 0x83FF,
        finite & 0x8000,
        rng.normal(size=(count, width)).astype(np.float16).view(np.uint16),
        (rng.normal(size=(count, width)) * 2.0**-14).astype(np.float16).view(np.uint16),
        np.exp(rng.normal(size=(count, width)) * 4).clip(0, 60000).astype(np.float16).view(np.uint16),
        finite & 0x8000 | rng.choice([0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7E01], (count, width)),
    ]
    return np.concatenate(kinds).astype(np.uint16)


# -- encode ------------------------------------------------------------------------------------------------------------

FIGURE_4 = [(1, 15, "01011"), (0, 16, "10001"), (0, 12, "10011"), (0, 17, "10011"), (1, 20, "01011"), (0, 14, "11011")]


@pytest.mark.parametrize(
    "group, length, exponents, mantissas",
    [
        (3, 6, [16, 20], ["010101", "110001", "000011", "000110", "101011", "000000"]),
        (2, 2, [16, 17, 20], ["01", "11", "00", "11", "10", "00"]),
    ],
)
def test_figure_4_of_the_paper(group, length, exponents, mantissas):
    t = anda.encode(np.concatenate([number(*fields) for fields in FIGURE_4]), length, group=group)
    assert t.exponents.tolist() == exponents
    assert columns(t) == mantissas
    assert signs(t) == [1, 0, 0, 0, 1, 0]


def test_figure_12_of_the_paper():
    x = np.concatenate([number(0, 20, "01101"), number(0, 18, "10010"), number(0, 19, "00100")])
    t = anda.encode(x, 8, group=3)
    assert columns(t) == ["10110100", "00110010", "01001000"]
    first = [[int(plane) >> i & 1 for i in range(3)] for plane in t.planes[0, :3]]
    assert first == [[1, 0, 0], [0, 0, 1], [1, 1, 0]]


def test_worked_example():
    x = half(0x3E00, 0xB680, 0x4280, 0x2C86, 0xC680, 0x34CD, 0x0000, 0x4170)
    weights, scales = np.array([[3, -8, -2, 7, 1, 5, -3, -6]], np.int8), half(0x224C).reshape(1, 1)
    t = anda.encode(x, 5, group=4)
    assert t.exponents.tolist() == [16, 17]
    assert bits(t.signs, 4) == ["0010", "0001"]
    assert bits(t.planes[0], 4) == ["0100", "0101", "0001", "0110", "0010"]
    assert bits(t.planes[1], 4) == ["0001", "1001", "0000", "1001", "0010"]
    assert [int(column, 2) for column in columns(t)] == [12, 3, 26, 0, 26, 1, 0, 10]
    assert anda.decode(t).tolist() == [1.5, -0.375, 3.25, 0, -6.5, 0.25, 0, 2.5]
    assert anda.group_dot(t, weights).tolist() == [[8, -81]]
    assert running_sums(t, weights[0], 0) == [(-2, -2), (1, -3), (3, -3), (6, 0), (8, 8)]
    assert running_sums(t, weights[0], 1) == [(-1, -1), (-7, -9), (0, -18), (-7, -43), (5, -81)]
    first, _ = anda.matmul(anda.encode(x[:4], 5, group=4), weights[:, :4], scales)
    assert first.view(np.uint32).tolist() == [0x3C498000]
    for conversion in anda.CONVERSIONS:
        accumulators, outputs = anda.matmul(t, weights, scales, conversion)
        assert accumulators.view(np.uint32).tolist() == [0xBE726E00]
        assert outputs.view(np.uint16).tolist() == [0xB393]
        assert outputs.tolist() == [-0.2366943359375]
    assert float(x.astype(float) @ weights[0] * float(scales[0, 0])) == -0.24065260216593742


def test_special_values():
    x = np.zeros((7, 64), np.float16)
    x[0, 1] = -0.0  # an all-zero group
    x[1, :2] = half(0x0001, 0x83FF)  # subnormals alone
    x[2, :2] = half(0x7C00, 0xFC00)  # Inf
    x[3, :2] = half(0x7E00, 0xFFFF)  # NaN
    x[4, :3] = half(0x7BFF, 0x8001, 0x0400)  # truncated to 0, the sign is kept
    x[5, 0] = half(0x03FF)[0]
    x[5, 1] = half(0x0400)[0]  # the smallest normal number has the subnormals' exponent
    x[6, 63] = 1
    t = anda.encode(x, 11)
    assert t.exponents[:, 0].tolist() == [1, 1, 31, 31, 30, 1, 15]
    assert t.signs[:, 0].tolist() == [2, 2, 2, 2, 2, 0, 0]
    assert not t.planes[0].any()
    decoded = anda.decode(t)
    assert decoded[1, :2].tolist() == [2.0**-24, -1023 * 2.0**-24]
    assert decoded[2, :2].tolist() == [65536, -65536]
    assert decoded[3, :2].tolist() == [98304, -(2047 << 6)]
    assert decoded[4, :3].tolist() == [65504, 0, 0] and np.signbit(decoded[4, 1]) and not np.signbit(decoded[4, 2])
    assert decoded[5, :2].tolist() == [1023 * 2.0**-24, 2.0**-14]
    assert t.nonfinite and not anda.encode(x[[0, 1, 4, 5, 6]], 11).nonfinite
    assert [anda.encode(row, 3).nonfinite for row in x] == [False, False, True, True, False, False, False]
    assert anda.to_float16(t)[2:4, :2].tolist() == [[math.inf, -math.inf]] * 2


def test_every_code_at_every_distance_equals_the_serial_aligner():
    table = np.array([[serial_aligner(mantissa, d) for d in range(31)] for mantissa in range(2048)], np.uint64)
    codes = np.arange(1 << 16)
    effective = np.maximum(codes >> 10 & 31, 1)
    mantissas = codes & 1023 | ((codes >> 10 & 31) > 0) << 10
    place = np.arange(64, dtype=np.uint64)
    pairs = 0
    for shared in range(1, 32):
        below = codes[effective <= shared]
        pairs += len(below)
        below = np.pad(below, (0, -len(below) % 63)).reshape(-1, 63)
        # One element has the shared exponent; it wanders through the places.
        groups = np.insert(below, 0, shared << 10, axis=1)
        groups = np.stack([np.roll(row, i) for i, row in enumerate(groups)])
        expected = (table[mantissas[groups], shared - effective[groups]] << place[:, None]).sum(axis=1)
        x = groups.astype(np.uint16).view(np.float16)
        for length in LENGTHS if shared in (1, 2, 17, 30, 31) else (1, 4, 5, 7, 11, 16):
            t = anda.encode(x, length)
            np.testing.assert_array_equal(t.planes[:, 0], expected[:, :length])
            assert (t.exponents == shared).all() and t.nonfinite == (shared == 31)
        np.testing.assert_array_equal(t.signs[:, 0], ((groups >> 15).astype(np.uint64) << place).sum(axis=1))
    assert pairs == 2 * 1024 * (31 + sum(range(1, 32)))


@pytest.mark.parametrize("rounding", anda.ROUNDINGS)
@pytest.mark.parametrize("length", LENGTHS)
def test_groups_of_every_kind_equal_exact_fractions(length, rounding):
    codes = mixed_groups(np.random.default_rng(length), 6)
    t = anda.encode(codes.view(np.float16), length, rounding)
    decoded, packed = anda.decode(t), anda.to_float16(t).view(np.uint16)
    for row, group in enumerate(codes.tolist()):
        negative, mantissas, shared = oracle_group(group, length, rounding)
        assert signs(t, row) == negative
        assert [int(column, 2) for column in columns(t, row)] == mantissas
        assert t.exponents[row, 0] == shared
        values = [m * Fraction(2) ** (shared - 14 - length) for m in mantissas]
        assert [abs(Fraction(value)) for value in decoded[row].tolist()] == values
        assert np.signbit(decoded[row]).tolist() == [bool(s) for s in negative]
        for code, value in zip(packed[row].tolist(), values, strict=True):
            assert magnitude(code) == min(value, 65536)  # Inf's code, read as a number, is 65536


def test_every_halfway_case_of_nearest_goes_to_the_even_mantissa():
    lead = np.uint16(20 << 10)
    for distance, length in itertools.product((0, 1, 2, 3, 7, 10, 11, 12, 17), (1, 2, 4, 8, 10, 11, 12, 16)):
        codes = np.arange(1024, dtype=np.uint16) | np.uint16(20 - distance << 10)
        x = np.stack([np.full_like(codes, lead), codes], axis=1).view(np.float16)
        t = anda.encode(x, length, "nearest", group=2)
        weights = np.uint64(1) << np.arange(length - 1, -1, -1, dtype=np.uint64)
        got = ((t.planes[:, 0] >> np.uint64(1)) * weights).sum(axis=1)
        shift = 11 - length + distance  # bits of the 11 that are dropped
        for mantissa, found in enumerate(got.tolist(), 1024):
            expected = round(Fraction(mantissa) / Fraction(2) ** shift)
            assert found == min(expected, 2**length - 1)


# -- decode ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_error_is_one_sided_and_a_second_encoding_changes_nothing(length):
    x = mixed_groups(np.random.default_rng(40 + length), 40).view(np.float16)
    x = x[np.isfinite(x).all(axis=1)]
    assert len(x) > 100
    t = anda.encode(x, length)
    decoded, exact = anda.decode(t), x.astype(np.float64)
    assert (np.abs(decoded) <= np.abs(exact)).all()
    assert (np.abs(exact) - np.abs(decoded) < 2.0 ** (t.exponents.astype(int) - 14 - length)).all()
    again = decoded.astype(np.float16)
    np.testing.assert_array_equal(again.astype(np.float64), decoded)
    np.testing.assert_array_equal(anda.to_float16(t).view(np.uint16), again.view(np.uint16))
    second = anda.encode(again, length)
    for name in ("signs", "planes", "exponents"):
        np.testing.assert_array_equal(getattr(second, name), getattr(t, name))


def test_eleven_bits_and_the_largest_distance_are_lossless():
    x = mixed_groups(np.random.default_rng(3), 40).view(np.float16)
    x = x[np.isfinite(x).all(axis=1)]
    effective = np.maximum(x.view(np.uint16) >> 10 & 31, 1).astype(int)
    distance = effective.max(axis=1, keepdims=True) - effective
    longest = distance.max(axis=1)
    decoded = {length: anda.decode(anda.encode(x, length)) for length in LENGTHS}
    np.testing.assert_array_equal(decoded[11][distance == 0], x[distance == 0])
    for length in range(11, 17):
        fits = longest <= length - 11
        assert fits.any()
        np.testing.assert_array_equal(decoded[length][fits], x[fits])


def test_any_planes_decode_and_are_cut_to_fp16():
    rng = np.random.default_rng(9)
    for length in LENGTHS:
        words = rng.integers(0, 1 << 64, (32, 1, length + 1), dtype=np.uint64)
        t = anda.AndaTensor(words[..., 0], words[..., 1:].copy(), np.arange(32, dtype=np.uint8)[:, None], 64)
        values, packed = anda.decode(t), anda.to_float16(t).view(np.uint16)
        for row in range(32):
            units = Fraction(2) ** (row - 14 - length)
            for i, column in enumerate(columns(t, row)):
                value = int(column, 2) * units
                assert abs(Fraction(values[row, i])) == value
                code = int(packed[row, i])
                assert code >> 15 == signs(t, row)[i]
                if value >= 65536:
                    assert code & 0x7FFF == 0x7C00
                else:  # the largest FP16 number that is not larger
                    assert magnitude(code) <= value < magnitude((code & 0x7FFF) + 1)


@pytest.mark.parametrize(
    "rounding, expected",
    [
        ("truncate", [17.1, 23.0, 29.0, 35.1, 41.2, 47.5, 54.0, 61.0]),
        ("nearest", [22.9, 29.0, 35.0, 41.0, 47.0, 53.0, 58.8, 64.6]),
    ],
)
def test_signal_to_noise_of_normal_data(rounding, expected):
    x = np.random.default_rng(1).normal(size=(600, 64)).astype(np.float16)
    exact = x.astype(np.float64)
    for length, decibels in zip(range(4, 12), expected, strict=True):
        noise = anda.decode(anda.encode(x, length, rounding)) - exact
        assert 10 * np.log10((exact**2).sum() / (noise**2).sum()) == pytest.approx(decibels, abs=0.35)


# -- products ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_group_dot_equals_python_integers_and_the_bit_serial_sum(length):
    rng = np.random.default_rng(60 + length)
    codes = mixed_groups(rng, 1, 200)
    weights = rng.integers(-8, 8, (3, 200), dtype=np.int8)
    t = anda.encode(codes.view(np.float16), length)
    dots = anda.group_dot(t, weights)
    assert dots.shape == (len(codes), 3, 4) and dots.dtype == np.int64
    for (row, n, g), found in np.ndenumerate(dots):
        part = slice(64 * g, 64 * g + 64)
        negative, mantissas, _ = oracle_group(codes[row, part].tolist(), length)
        terms = zip(negative, mantissas, weights[n, part].tolist(), strict=True)
        assert found == sum((-m if s else m) * w for s, m, w in terms)
    one = anda.AndaTensor(t.signs[0], t.planes[0], t.exponents[0], t.k)
    for g in range(4):
        assert running_sums(one, np.pad(weights[0], (0, 56)), g)[-1][1] == dots[0, 0, g]


@pytest.mark.parametrize("length", LENGTHS)
def test_widths_at_the_extremes(length):
    x = np.full((2, 64), 65504, np.float16)
    x[1] = -x[1]
    words = np.full((2, 1, length), 2**64 - 1, np.uint64)
    t = anda.AndaTensor(np.array([[0], [2**64 - 1]], np.uint64), words, np.full((2, 1), 31, np.uint8), 64)
    dots = anda.group_dot(t, np.full((1, 64), -8))
    assert dots.ravel().tolist() == [-512 * (2**length - 1), 512 * (2**length - 1)]
    assert np.abs(dots).max() < 2 ** (length + 9)


@pytest.mark.parametrize("conversion", anda.CONVERSIONS)
@pytest.mark.parametrize("length", LENGTHS)
def test_matmul_equals_exact_fractions_with_every_rounding(length, conversion):
    rng = np.random.default_rng(80 + length)
    x = np.concatenate(
        [
            rng.normal(size=(2, 300)) * np.exp(rng.normal(size=(2, 300))),
            rng.normal(size=(1, 300)) * 2.0**-13,
            rng.integers(-3, 4, (1, 300)) * 2.0**-24,
            rng.uniform(40, 60, (1, 300)),
        ]
    ).astype(np.float16)
    weights = rng.integers(-8, 8, (3, 300), dtype=np.int8)
    weights[1] = np.where(np.arange(300) % 2, 7, -8)
    scales = (rng.normal(size=(3, 3)) * [[1e-2], [1e-6], [40]]).astype(np.float16)
    scales[0, 1] = 0
    accumulators, outputs = anda.matmul(anda.encode(x, length), weights, scales, conversion)
    assert accumulators.dtype == np.float32 and outputs.dtype == np.float16
    for (row, n), found in np.ndenumerate(accumulators):
        codes = x[row].view(np.uint16).tolist()
        expected = oracle_accumulator(codes, weights[n].tolist(), scales[n], length, conversion)
        assert Fraction(float(found)) == expected
        rounded = float16(expected)
        assert float(outputs[row, n]) == (rounded if abs(rounded) < 65536 else math.copysign(math.inf, rounded))
    assert not np.signbit(accumulators[accumulators == 0]).any()


def test_sixteen_bits_are_rounded_once_on_the_way_to_float32():
    rng = np.random.default_rng(5)
    codes = rng.integers(0x7800, 0x7C00, (40, 64))
    codes[:, 56:] -= 5 << 10  # five below: their last bit is the last of the 16
    weights = rng.integers(-8, -6, (3, 64))
    x = codes.astype(np.uint16).view(np.float16)
    found, _ = anda.matmul(anda.encode(x, 16), weights, np.ones((3, 1), np.float16))
    inexact = 0
    for (row, n), value in np.ndenumerate(found):
        _, mantissas, shared = oracle_group(codes[row].tolist(), 16)
        dot = sum(m * w for m, w in zip(mantissas, weights[n].tolist(), strict=True))
        assert shared == 30  # so the unit is 1
        assert Fraction(float(value)) == float32(Fraction(dot))
        inexact += float32(Fraction(dot)) != dot
    assert inexact > 5


def test_float32_fields_of_every_finite_dot_product():
    for length in LENGTHS:
        t = anda.encode(np.array([[2.0**e] for e in range(-14, 16)], np.float16), length)
        accumulators, _ = anda.matmul(t, np.array([[-8], [1], [7]]), np.ones((3, 1), np.float16))
        dots = anda.group_dot(t, np.array([[-8], [1], [7]]))[..., 0]
        for index, dot in np.ndenumerate(dots):
            field = int(accumulators.view(np.uint32)[index]) >> 23 & 255
            assert field == abs(int(dot)).bit_length() - 1 + int(t.exponents[index[0], 0]) - length + 113
            assert 1 <= field <= 254


def test_fp16_conversion_overflows_where_fp32_does_not():
    x = np.full((1, 128), 128, np.float16)
    weights = np.full((2, 128), -8)
    weights[1, 64:] = 7
    scales = np.full((2, 1), 2.0**-10, np.float16)
    t = anda.encode(x, 8)
    accumulators, outputs = anda.matmul(t, weights, scales)
    assert accumulators.tolist() == [[-128, -64 + 56]] and outputs.tolist() == [[-128, -8]]
    accumulators, outputs = anda.matmul(t, weights, scales, "fp16")
    assert accumulators.tolist() == [[-math.inf, -math.inf]] and outputs.tolist() == [[-math.inf, -math.inf]]
    both = np.concatenate([x, -x], axis=1)
    accumulators, outputs = anda.matmul(
        anda.encode(both, 8), np.full((1, 256), -8), np.full((1, 2), 2.0**-10, np.float16), "fp16"
    )
    assert accumulators.view(np.uint32).tolist() == [[0x7FC00000]]
    assert outputs.view(np.uint16).tolist() == [[0x7E00]]
    # The last FP32 to FP16 step overflows in both.
    large = anda.matmul(anda.encode(np.full((1, 1), 65504, np.float16), 11), [[-8]], np.ones((1, 1), np.float16))
    assert (large[0].tolist(), large[1].tolist()) == ([[-8 * 65504]], [[-math.inf]])


def test_largest_and_smallest_products_are_normal_float32_numbers():
    words = np.full((2, 1, 16), 2**64 - 1, np.uint64)
    words[1, 0, :15] = 0
    words[1, 0, 15] = 1
    t = anda.AndaTensor(np.zeros((2, 1), np.uint64), words, np.array([[31], [1]], np.uint8), 64)
    scales = half(0xFBFF, 0x0001).reshape(2, 1)
    weights = np.ones((2, 64), np.int8)
    weights[0] = -8
    accumulators, _ = anda.matmul(t, weights, scales)
    assert 2.0**41 < accumulators[0, 0] < 2.0**42
    assert accumulators[1, 1] == 2.0**-53


@pytest.mark.parametrize("conversion", anda.CONVERSIONS)
def test_matmul_without_planes_is_the_same(conversion):
    rng = np.random.default_rng(4)
    x = mixed_groups(rng, 12, 330).view(np.float16)
    weights = rng.integers(-8, 8, (150, 330), dtype=np.int8)
    scales = rng.normal(size=(150, 3)).astype(np.float16)
    for length, rounding in ((1, "nearest"), (5, "truncate"), (16, "truncate")):
        one = anda.matmul(anda.encode(x, length, rounding), weights, scales, conversion)
        other = anda.encoded_matmul(x, length, weights, scales, conversion, rounding)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def test_many_rows_are_encoded_as_each_alone():
    x = np.random.default_rng(5).normal(size=(300, 500)).astype(np.float16)
    t = anda.encode(x, 7, "nearest")
    for row in range(0, 300, 23):
        one = anda.encode(x[row], 7, "nearest")
        for name in ("signs", "planes", "exponents"):
            assert (getattr(t, name)[row] == getattr(one, name)).all()


def test_leading_axes_and_padding():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2, 3, 70)).astype(np.float16)
    weights, scales = rng.integers(-8, 8, (5, 70)), rng.normal(size=(5, 1)).astype(np.float16)
    t = anda.encode(x, 6)
    assert t.signs.shape == t.exponents.shape == (2, 3, 2) and t.planes.shape == (2, 3, 2, 6)
    assert (t.signs.dtype, t.planes.dtype, t.exponents.dtype) == (np.uint64, np.uint64, np.uint8)
    assert (t.k, t.mantissa, t.group) == (70, 6, 64)
    padded = anda.encode(np.pad(x, ((0, 0), (0, 0), (0, 58))), 6)
    np.testing.assert_array_equal(t.planes, padded.planes)
    assert anda.decode(t).shape == anda.to_float16(t).shape == (2, 3, 70)
    assert anda.group_dot(t, weights).shape == (2, 3, 5, 2)
    accumulators, outputs = anda.matmul(t, weights, scales)
    assert accumulators.shape == outputs.shape == (2, 3, 5)
    flat, _ = anda.matmul(anda.encode(x.reshape(6, 70), 6), weights, scales)
    np.testing.assert_array_equal(accumulators.reshape(6, 5), flat)
    single = anda.encode(x[1, 2], 6)
    np.testing.assert_array_equal(anda.group_dot(single, weights), anda.group_dot(t, weights)[1, 2])
    np.testing.assert_array_equal(anda.matmul(single, weights, scales)[0], accumulators[1, 2])
    assert anda.decode(anda.encode(np.zeros((0, 70), np.float16), 4)).shape == (0, 70)
    assert anda.encode(x, np.uint8(6)).planes.shape == t.planes.shape


# -- memory ------------------------------------------------------------------------------------------------------------


def test_bits_of_a_group_and_compression():
    table = {4: 3.15, 5: 2.63, 6: 2.26, 7: 1.98, 8: 1.76, 9: 1.59, 10: 1.44, 11: 1.32, 12: 1.22, 13: 1.14, 14: 1.06}
    table |= {15: 0.995, 16: 0.94}
    for length, ratio in table.items():
        assert anda.compression_ratio(length) == pytest.approx(ratio, abs=0.0051)
        packed = anda.pack(anda.encode(np.ones((8, 64), np.float16), length))
        assert len(packed) == 64 * (length + 1) + 5 and 8 * 128 / len(packed) == pytest.approx(
            anda.compression_ratio(length)
        )
    assert anda.compression_ratio(4, group=16) == 16 / (5 + 5 / 16)


def test_image_of_one_group_byte_by_byte():
    x = np.zeros(64, np.float16)
    x[0], x[1], x[9], x[63] = 1.5, -0.75, 0.25, -1
    packed = anda.pack(anda.encode(x, 3))
    assert packed[:32].hex(" ", 8) == (
        "0200000000000080 "  # signs of elements 1 and 63
        "0100000000000080 "  # 1.5 and 1 have the leading bit in the first plane
        "0300000000000000 "  # .5 of 1.5 and the leading bit of 0.75
        "0202000000000000"  # .25 of 0.75 and the leading bit of 0.25
    )
    assert packed[32:] == bytes([15])


def test_image_with_lanes_follows_the_buffer_addresses():
    x = np.random.default_rng(2).normal(size=(20, 128)).astype(np.float16)
    t = anda.encode(x, 4)
    packed = anda.pack(t, lanes=16)
    blocks, groups = 2, 2
    words = blocks * groups * (4 + 1)
    assert len(packed) == words * 128 + blocks * groups * 10
    for token, group in itertools.product(range(32), range(groups)):
        block, lane = divmod(token, 16)
        found = []
        for plane in range(5):
            word = int.from_bytes(packed[128 * ((block * groups + group) * 5 + plane) :][:128], "little")
            found.append(word >> 64 * lane & (1 << 64) - 1)
        start = words * 128 + 10 * (block * groups + group)
        exponent = int.from_bytes(packed[start : start + 10], "little") >> 5 * lane & 31
        if token < 20:
            assert found == [int(t.signs[token, group]), *map(int, t.planes[token, group])]
            assert exponent == t.exponents[token, group]
        else:
            assert (found, exponent) == ([0] * 5, 1)


@pytest.mark.parametrize("shape", [(64,), (3, 64), (2, 5, 130), (17, 200), (0, 64)], ids=str)
@pytest.mark.parametrize("group, lanes", [(64, 1), (64, 16), (16, 4), (7, 3)])
def test_pack_and_unpack(shape, group, lanes):
    x = np.random.default_rng(6).integers(0, 1 << 16, shape).astype(np.uint16).view(np.float16)
    for length in (1, 5, 16):
        t = anda.encode(x, length, group=group)
        packed = anda.pack(t, lanes)
        back = anda.unpack(packed, shape, length, group, lanes)
        for name in ("signs", "planes", "exponents"):
            np.testing.assert_array_equal(getattr(back, name), getattr(t, name))
        assert (back.k, back.group, back.nonfinite) == (t.k, t.group, t.nonfinite)
        with pytest.raises(ValueError, match=f"has {len(packed)} bytes, not {len(packed) + 1}"):
            anda.unpack(packed + b"0", shape, length, group, lanes)


# -- wrong requests ----------------------------------------------------------------------------------------------------

X = np.ones((2, 128), np.float16)
WEIGHTS, SCALES = np.ones((3, 128), np.int8), np.ones((3, 1), np.float16)


def changed(array, index, value):
    array = array.astype(np.int16) if array.dtype == np.int8 else array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: anda.encode(X, 0), "bits of a mantissa must be 1 to 16, not 0"),
        (lambda: anda.encode(X, 17), "bits of a mantissa must be 1 to 16, not 17"),
        (lambda: anda.encode(X, 4.0), r"bits of a mantissa must be 1 to 16, not 4\.0"),
        (lambda: anda.encode(X, 4, group=65), "values in a group must be 1 to 64, not 65"),
        (lambda: anda.encode(X, 4, "up"), "rounding must be truncate or nearest, not 'up'"),
        (lambda: anda.encode(X.astype(np.float32), 4), "x must be an array of float16 .* not float32"),
        (lambda: anda.encode(np.float16(1), 4), r"with a value in each row, not float16 of shape \(\)"),
        (lambda: anda.encode(X[:, :0], 4), r"with a value in each row, not float16 of shape \(2, 0\)"),
        (lambda: anda.compression_ratio(20), "bits of a mantissa must be 1 to 16, not 20"),
        (lambda: anda.pack(anda.encode(X, 4), lanes=0), "lanes must be 1 to 65536, not 0"),
        (
            lambda: anda.group_dot(anda.encode(X, 4), changed(WEIGHTS, (2, 5), 8)),
            r"a weight must be -8 to 7, not 8 at index \(2, 5\)",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4), changed(WEIGHTS, (0, 1), -9), SCALES),
            r"a weight must be -8 to 7, not -9 at index \(0, 1\)",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4), WEIGHTS[:, 1:], SCALES),
            r"weights must be integers of shape \(N, 128\), not int8 of shape \(3, 127\)",
        ),
        (lambda: anda.matmul(anda.encode(X, 4), WEIGHTS * 1.0, SCALES), "weights must be integers .* not float64"),
        (
            lambda: anda.matmul(anda.encode(X, 4), WEIGHTS, changed(SCALES, 1, np.inf)),
            r"a scale must be finite, not inf at index \(1, 0\)",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4), WEIGHTS, changed(SCALES, 2, np.nan)),
            r"a scale must be finite, not nan at index \(2, 0\)",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4), WEIGHTS, SCALES.astype(np.float32)),
            r"scales must be float16 of shape \(3, 1\), not float32 of shape \(3, 1\)",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4), WEIGHTS, SCALES, "fp8"),
            "conversion must be fp32 or fp16, not 'fp8'",
        ),
        (
            lambda: anda.matmul(anda.encode(X, 4, group=24), WEIGHTS, SCALES),
            "a group must divide the 128 weights of a scale, not be 24",
        ),
    ],
)
def test_wrong_requests_name_the_value(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"signs": np.zeros((2, 1), np.uint64)}, r"must have shapes .* not \(2, 1\), \(2, 2, 4\) and \(2, 2\)"),
        ({"planes": np.zeros((2, 2, 17), np.uint64)}, "bits of a mantissa must be 1 to 16, not 17"),
        ({"signs": np.zeros((2, 2), np.int64)}, "must be uint64, uint64 and uint8, not int64, uint64, uint8"),
        ({"k": 60}, "60 values in groups of 64 are 1, not 2"),
        ({"exponents": np.full((2, 2), 32, np.uint8)}, "an exponent must be 0 to 31, not 32"),
        ({"group": 60, "k": 120}, "a word of planes must have 60 bits, not be 0xffffffffffffffff"),
    ],
)
def test_a_tensor_checks_itself(change, message):
    t = anda.encode(X, 4)
    fields = {"signs": t.signs, "planes": t.planes, "exponents": t.exponents, "k": t.k, "group": t.group}
    with pytest.raises(ValueError, match=message):
        anda.AndaTensor(**fields | change)
