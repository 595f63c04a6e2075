"""golden.hgq against the specification's worked numbers, its gate-level form, and oracles in integers and fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import float16, float32

from bitloom.golden.sevedo import hgq


def half(*codes):
    """FP16 numbers of bit patterns."""
    return np.array(codes, np.uint16).view(np.float16)


def row(*values, width=128):
    """One row of FP16 numbers, filled up with zeros."""
    return np.pad(np.array(values, np.float16), (0, width - len(values)))


def hexadecimal(scales):
    return [f"{code:04x}" for code in np.ravel(scales).view(np.uint16)]


# -- oracles, from the text and not from the code ----------------------------------------------------------------------


def sane(code):
    """The value of an FP16 code as the hardware takes it (section 7)."""
    sign, exponent, fraction = -1 if code >> 15 else 1, code >> 10 & 31, code & 1023
    if exponent == 31:
        return Fraction(0) if fraction else Fraction(65504 * sign)
    if exponent == 0:
        return Fraction(0)
    return sign * (1024 + fraction) * Fraction(2) ** (exponent - 25)


def oracle_group(codes, fine, shift_bits=2, threshold=5):
    """(scale, shifts, codes) of one coarse group (section 3.3), exactly."""
    values = [sane(code) for code in codes]
    parts = [values[i : i + fine] for i in range(0, len(values), fine)]
    largest = max(map(abs, values))
    scale = max(float16(largest / 7), Fraction(1, 1 << 14))
    top = (1 << shift_bits) - 1
    shifts, quantized = [], []
    for part in parts:
        narrow = max(map(abs, part))
        e = sum(4 * narrow * 2**j <= threshold * largest for j in range(1, top + 1))
        shifts.append(top - e)
        quantized += [min(max(round(value / (scale / 2**e)), -7), 7) for value in part]  # ties to even
    return scale, shifts, quantized


def gates(codes, fine, threshold=5):
    """The same without division (section 3.3, gate-level form): the scale's code, shifts and codes."""
    values = [0 if (c & 0x7FFF) > 0x7C00 or c & 0x7C00 == 0 else min(c & 0x7FFF, 0x7BFF) | c & 0x8000 for c in codes]
    magnitudes = [value & 0x7FFF for value in values]
    parts = [magnitudes[i : i + fine] for i in range(0, len(values), fine)]
    largest = max(magnitudes)
    m_c, x_c = 1024 | largest & 1023, largest >> 10
    significand, exponent = (
        ((8 * m_c + 3) * 18725 >> 17, x_c - 3) if m_c < 1792 else ((4 * m_c + 3) * 18725 >> 17, x_c - 2)
    )
    if exponent < 1 or largest == 0:
        significand, exponent = 1024, 1
    scale = exponent << 10 | significand - 1024
    m_s, x_s = significand, exponent
    shifts, quantized = [], []
    for index, part in enumerate(parts):
        narrow = max(part)
        m_f, x_f = 1024 | narrow & 1023, narrow >> 10
        e = x_c - x_f - 1 + (8 * m_f <= threshold * m_c) + (4 * m_f <= threshold * m_c)
        e = 3 if narrow == 0 else min(max(e, 0), 3)
        shifts.append(3 - e)
        for magnitude, value in zip(part, values[index * fine :], strict=False):
            left = (magnitude >> 10) - x_s + e + 1
            t = 0 if left < 0 or magnitude == 0 else (1024 | magnitude & 1023) << left
            assert left <= 5
            q = sum(t > (2 * k - 1) * m_s for k in (1, 3, 5, 7)) + sum(t >= (2 * k - 1) * m_s for k in (2, 4, 6))
            quantized.append(-q if value >> 15 else q)
    return scale, shifts, quantized


def oracle_product(x, w):
    """One result of the matrix product of two rows (2.4 and 3.4), exactly as many roundings as the text has."""
    y = Fraction(0)
    for c in range(len(x.scales)):
        accumulator = 0
        for f in range(c * (x.coarse // x.fine), (c + 1) * (x.coarse // x.fine)):
            part = slice(f * x.fine, (f + 1) * x.fine)
            dot = sum(a * b for a, b in zip(x.codes[part].tolist(), w.codes[part].tolist(), strict=True))
            accumulator += dot << int(x.shifts[f]) + int(w.shifts[f])
        p = Fraction(float(x.scales[c])) * Fraction(float(w.scales[c]))
        assert p == float32(p)
        top = (1 << x.shift_bits) + (1 << w.shift_bits) - 2
        t = float32(float32(Fraction(accumulator)) * p) / 2**top
        y = float32(y + t)
    return y


def mixed_codes(rng, count, width):
    """FP16 codes of groups of every kind: any, finite, subnormal, zero, narrow and wide ranges, special values."""
    finite = rng.integers(0, 31 << 10, (count, width)) | rng.integers(0, 2, (count, width)) << 15
    kinds = [
        rng.integers(0, 1 << 16, (count, width)),
        finite,
        finite & 0x83FF,
        finite & 0x8000,
        rng.normal(size=(count, width)).astype(np.float16).view(np.uint16),
        (rng.normal(size=(count, width)) * 2.0**-12).astype(np.float16).view(np.uint16),
        (rng.normal(size=(count, width)) * np.exp2(rng.integers(-4, 5, (count, width))))
        .astype(np.float16)
        .view(np.uint16),
        np.exp(rng.normal(size=(count, width)) * 4).clip(0, 60000).astype(np.float16).view(np.uint16),
        finite & 0x8000 | rng.choice([0, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7E01], (count, width)),
    ]
    return np.concatenate(kinds).astype(np.uint16)


def test_many_groups_are_quantized_as_each_alone():
    x = mixed_codes(np.random.default_rng(8), 40, 250).view(np.float16)
    t = hgq.quantize(x)
    assert t.nonfinite and len(x) * 256 > 2 * (1 << 15)
    for index in range(0, len(x), 13):
        one = hgq.quantize(x[index])
        for name in ("codes", "shifts", "scales"):
            assert (getattr(t, name)[index] == getattr(one, name)).all()


# -- the worked example of section 8 -----------------------------------------------------------------------------------

X = np.array([[7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0]], np.float16)
R = np.array(
    [
        [0.75, -0.5, 0.25, 0, 1.75, 0.625, -1.125, 0.375, 0.125, -0.25, 0.5, 0.0625, -0.875, 0.4375, 0.21875, 1],
        [-1, 0.3, 0.6, -0.2, 0.05, -0.1, 0.12, 0.02, 2, -1.5, 0.7, 0.1, 0.3, 0.2, -0.4, 0.25],
    ],
    np.float16,
)


def test_worked_example_of_the_quantizer():
    x, r = hgq.quantize(X, 8, 4), hgq.quantize(R, 8, 4)
    assert hexadecimal(x.scales) == ["3c00", "36db"]
    assert hexadecimal(r.scales) == ["3400", "3092", "3092", "3492"]
    assert x.scales[0, 1] == 0.428466796875 and r.scales[0, 1] == 0.142822265625 and r.scales[1, 1] == 0.28564453125
    assert x.shifts.tolist() == [[3, 0, 3, 0]]
    assert r.shifts.tolist() == [[2, 3, 2, 3], [3, 0, 3, 1]]
    assert x.codes.tolist() == [[7, -4, 0, 2, 7, -2, 2, 0, -2, 7, 1, -6, 0, 0, 0, 0]]
    assert r.codes.tolist() == [
        [6, -4, 2, 0, 7, 2, -4, 2, 2, -4, 7, 1, -6, 3, 2, 7],
        [-7, 2, 4, -1, 3, -6, 7, 1, 7, -5, 2, 0, 4, 3, -6, 4],
    ]
    assert x.bits == 4 + 2 / 4 + 16 / 8


def test_worked_example_of_the_dot_products():
    x, r = hgq.quantize(X, 8, 4), hgq.quantize(R, 8, 4)
    dots = np.einsum("fi,nfi->nf", x.codes.reshape(4, 4).astype(int), r.codes.reshape(2, 4, 4).astype(int))
    assert dots.tolist() == [[58, 37, -31, 0], [-59, 47, -47, 0]]
    shifted = dots << (x.shifts.astype(int) + r.shifts)
    assert shifted.tolist() == [[1856, 296, -992, 0], [-3776, 47, -3008, 0]]


def test_worked_example_of_the_product():
    x, r = hgq.quantize(X, 8, 4), hgq.quantize(R, 8, 4)
    first = hgq.matmul(hgq.quantize(X[:, :8], 8, 4), hgq.quantize(R[:, :8], 8, 4))
    assert first.tolist() == [[8.40625, -8.32162857055664]]
    second = hgq.matmul(hgq.quantize(X[:, 8:], 8, 4), hgq.quantize(R[:, 8:], 8, 4))
    assert second.tolist() == [[-0.9485162496566772, -5.752292156219482]]
    y = hgq.matmul(x, r)
    assert y.dtype == np.float32 and y.tolist() == [[7.457733631134033, -14.073921203613281]]
    assert [f"{code:08x}" for code in y.view(np.uint32)[0]] == ["40eea5c1", "c1612ec8"]
    assert (X.astype(float) @ R.astype(float).T).tolist() == [[7.34375, pytest.approx(-14.6274, abs=5e-5)]]


def test_worked_example_holds_two_exact_ties():
    x, r = hgq.quantize(X, 8, 4), hgq.quantize(R, 8, 4)
    scales = [Fraction(float(t.scales[0, 1])) for t in (x, r)]
    assert scales[0] * scales[1] * -992 / 64 == Fraction(-159134625, 10) / 2**24
    y = hgq.matmul(x, r)
    assert [
        oracle_product(*(hgq.HgqTensor(t.codes[i], t.shifts[i], t.scales[i], 16) for t, i in ((x, 0), (r, n))))
        for n in (0, 1)
    ] == [Fraction(float(value)) for value in y[0]]


# -- the quantizer against its oracles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", hgq.THRESHOLDS)
@pytest.mark.parametrize("coarse, fine", [(128, 16), (64, 16), (32, 32), (8, 4), (6, 1)])
def test_groups_of_every_kind_equal_exact_fractions(coarse, fine, threshold):
    codes = mixed_codes(np.random.default_rng(coarse + threshold), 4, coarse)
    for shift_bits in range(4):
        t = hgq.quantize(codes.view(np.float16), coarse, fine, shift_bits, threshold)
        for index, group in enumerate(codes.tolist()):
            scale, shifts, quantized = oracle_group(group, fine, shift_bits, threshold)
            assert Fraction(float(t.scales[index, 0])) == scale
            assert t.shifts[index].tolist() == shifts
            assert t.codes[index].tolist() == quantized


@pytest.mark.parametrize("threshold", hgq.THRESHOLDS)
def test_the_gate_level_form_is_the_definition(threshold):
    codes = mixed_codes(np.random.default_rng(threshold), 60, 32)
    t = hgq.quantize(codes.view(np.float16), 32, 8, threshold=threshold)
    for index, group in enumerate(codes.tolist()):
        scale, shifts, quantized = gates(group, 8, threshold)
        assert int(t.scales.view(np.uint16)[index, 0]) == scale
        assert t.shifts[index].tolist() == shifts and t.codes[index].tolist() == quantized


def test_every_half_gives_the_scale_of_the_gate_level_form():
    codes = np.arange(1 << 16, dtype=np.uint16)
    scales = hgq.quantize(codes.view(np.float16)[:, None], 1, 1).scales.view(np.uint16)[:, 0]
    expected = [gates([code], 1)[0] for code in codes.tolist()]
    assert scales.tolist() == expected
    numbers = [8 * m + 3 for m in range(1024, 1792)] + [4 * m + 3 for m in range(1792, 2048)]
    assert all(n * 18725 >> 17 == n // 7 for n in numbers)


def test_dequantized_values_are_code_times_scale_times_power_of_two():
    codes = mixed_codes(np.random.default_rng(5), 3, 200)
    t = hgq.quantize(codes.view(np.float16))
    values = hgq.dequantize(t)
    assert values.shape == codes.shape and values.dtype == np.float32
    for r, k in np.ndindex(values.shape):
        exact = Fraction(float(t.scales[r, k // 128])) * int(t.codes[r, k]) / 2 ** (3 - int(t.shifts[r, k // 16]))
        assert Fraction(float(values[r, k])) == exact
    assert not np.signbit(values[values == 0]).any()


@pytest.mark.parametrize(
    "draw, expected",
    [
        (lambda rng, shape: rng.normal(size=shape), (18.97, 19.49, 18.18)),
        (lambda rng, shape: rng.standard_t(4, size=shape), (17.24, 18.04, 17.26)),
    ],
    ids=["Gaussian", "Student-t4"],
)
def test_measured_thresholds(draw, expected):
    x = draw(np.random.default_rng(0), (256, 4096)).astype(np.float16)
    for threshold, wanted in zip((4, 5, 6), expected, strict=True):
        noise = hgq.dequantize(hgq.quantize(x, threshold=threshold)) - x.astype(np.float32)
        ratio = 10 * np.log10(np.square(x, dtype=np.float64).sum() / np.square(noise, dtype=np.float64).sum())
        assert ratio == pytest.approx(wanted, abs=0.06)


# -- the product against its oracle ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(128, 16, 2, 2), (64, 16, 2, 0), (32, 8, 3, 2), (64, 64, 0, 0), (48, 3, 1, 3)])
def test_products_equal_exact_fractions(sizes):
    coarse, fine, bits_x, bits_w = sizes
    rng = np.random.default_rng(coarse + bits_x)
    k = 2 * coarse + coarse // 3
    x = hgq.quantize(mixed_codes(rng, 1, k).view(np.float16), coarse, fine, bits_x)
    w = hgq.quantize(
        (rng.normal(size=(5, k)) * np.exp2(rng.integers(-9, 9, (5, 1)))).astype(np.float16), coarse, fine, bits_w
    )
    y = hgq.matmul(x, w)
    rows = [
        [hgq.HgqTensor(t.codes[i], t.shifts[i], t.scales[i], k, t.shift_bits) for i in range(len(t.codes))]
        for t in (x, w)
    ]
    for m, n in np.ndindex(y.shape):
        assert Fraction(float(y[m, n])) == oracle_product(rows[0][m], rows[1][n])


def test_an_accumulator_of_more_than_24_bits_is_rounded_first():
    shifts = np.full((1, 1), 7, np.uint8)
    codes = np.full((1, 128), 7, np.int8)
    codes[0, 0] = 6
    big = hgq.HgqTensor(codes, shifts, np.array([[1 + 2.0**-10]], np.float16), 128, 3)
    odd = hgq.HgqTensor(
        np.eye(1, 128, dtype=np.int8) + 2 * np.eye(1, 128, 1, dtype=np.int8), shifts * 0, big.scales, 128, 3
    )
    for x, w in ((big, big), (big, odd), (odd, big)):
        flat = [hgq.HgqTensor(t.codes[0], t.shifts[0], t.scales[0], 128, 3) for t in (x, w)]
        assert Fraction(float(hgq.matmul(x, w)[0, 0])) == oracle_product(*flat)
    assert hgq.accumulator_bits(128, 3, 3) == 28
    # Two fine groups, one at the top and one at the bottom, make an integer that float32 does not hold.
    codes = np.full((1, 256), 7, np.int8)
    codes[0, 128:] = np.eye(1, 128)
    mixed = hgq.HgqTensor(codes, np.array([[7, 0]], np.uint8), np.array([[1.25]], np.float16), 256, 3)
    row = hgq.HgqTensor(codes[0], mixed.shifts[0], mixed.scales[0], 256, 3)
    accumulator = (49 * 128 << 14) + 1
    assert accumulator > 1 << 24 and accumulator % 2
    assert Fraction(float(hgq.matmul(mixed, mixed)[0, 0])) == oracle_product(row, row)


def test_rows_and_channels_beyond_one_block_and_leading_axes():
    rng = np.random.default_rng(8)
    x = hgq.quantize(rng.normal(size=(3, 33, 130)).astype(np.float16))
    w = hgq.quantize(rng.normal(size=(300, 130)).astype(np.float16))
    y = hgq.matmul(x, w)
    assert y.shape == (3, 33, 300)
    one = hgq.HgqTensor(x.codes[2, 32:], x.shifts[2, 32:], x.scales[2, 32:], 130)
    np.testing.assert_array_equal(y[2, 32:], hgq.matmul(one, w))
    assert hgq.matmul(hgq.quantize(np.zeros((0, 130), np.float16)), w).shape == (0, 300)


# -- corner cases of section 7, by name --------------------------------------------------------------------------------


def test_nan_is_zero_and_flagged():
    t = hgq.quantize(half(0x7E00, 0xFC01, 0x3C00))
    assert t.nonfinite and t.codes[:3].tolist() == [0, 0, 7]
    assert not hgq.quantize(half(0x7BFF, 0x3C00)).nonfinite


def test_inf_is_the_largest_number_and_flagged():
    t = hgq.quantize(half(0x7C00, 0xFC00))
    assert t.nonfinite and t.codes[:2].tolist() == [7, -7] and t.scales[0] == 9360
    clean, flag = hgq.sanitize(half(0x7C00, 0xFC00, 0x7BFF))
    assert flag and clean.tolist() == [65504, -65504, 65504]


def test_subnormal_and_negative_zero_are_zero():
    clean, flag = hgq.sanitize(half(0x0001, 0x83FF, 0x8000, 0x0400, 0x8400))
    assert clean.view(np.uint16).tolist() == [0, 0, 0, 0x0400, 0x8400] and not flag


def test_all_zero_coarse_group():
    t = hgq.quantize(np.concatenate([row(), row(1)]))
    assert hexadecimal(t.scales[:1]) == ["0400"] and not t.codes[:128].any() and not t.shifts[:8].any()
    assert hgq.matmul(t, hgq.quantize(np.ones((1, 256), np.float16)))[0] == hgq.matmul(
        hgq.quantize(row(1)), hgq.quantize(np.ones((1, 128), np.float16))
    )


def test_all_zero_fine_group():
    t = hgq.quantize(row(1))
    assert t.shifts.tolist() == [3] + 7 * [0]


def test_very_small_group():
    t = hgq.quantize(row(2.0**-12, 2.0**-14, -(2.0**-13)))
    assert hexadecimal(t.scales) == ["0400"] and t.shifts[0] == 3 and t.codes[:3].tolist() == [4, 1, -2]


def test_largest_scale():
    t = hgq.quantize(row(65504))
    assert hexadecimal(t.scales) == ["7092"] and t.scales[0] == 9360
    assert pytest.approx(9357.7, abs=0.02) == 65504 / 7


def test_ties_go_to_even():
    t = hgq.quantize(row(7, -3.5, 0.5, -2.5, 1.5, 4.5, -6.5, 5.5))
    assert t.scales[0] == 1 and t.codes[:8].tolist() == [7, -4, 0, -2, 2, 4, -6, 6]


def test_codes_saturate_only_above_a_threshold_of_one():
    # 1.25 / 2 of the range of a neighbour: the fine group overshoots its own by 25 % and is clipped.
    x = row(*(16 * [1.0]), 0.625, 0.5)
    t = hgq.quantize(x)
    assert t.shifts[:2].tolist() == [3, 2] and t.codes[16:18].tolist() == [7, 7]
    never = hgq.quantize(x, threshold=4)
    assert never.shifts[:2].tolist() == [3, 3] and never.codes[16:18].tolist() == [4, 4]
    every = np.arange(0x0400, 0x7C00, dtype=np.uint16).view(np.float16)
    scales = hgq.quantize(every[:, None], 1, 1).scales[:, 0].astype(np.float64)
    assert (every.astype(np.float64) / scales).max() <= 7.003


def test_illegal_codes_shifts_and_scales_are_rejected():
    codes, shifts, scales = np.zeros((2, 128), np.int8), np.zeros((2, 8), np.uint8), np.ones((2, 1), np.float16)
    good = hgq.HgqTensor(codes, shifts, scales, 100)
    assert (good.coarse, good.fine) == (128, 16)
    for what, value, message in (
        ("codes", -8, r"a code must be -7 to 7, not -8 at index \(1, 0\)"),
        ("codes", 8, "a code must be -7 to 7, not 8"),
        ("shifts", 4, r"a shift must be 0 to 3, not 4 at index \(1, 0\)"),
        ("scales", 0, r"a scale must be 2\*\*-14 to 65504, not 0.0 at index \(1, 0\)"),
        ("scales", 2.0**-15, "a scale must be"),
        ("scales", -1, "a scale must be"),
        ("scales", np.inf, "a scale must be"),
        ("scales", np.nan, "a scale must be"),
    ):
        parts = {"codes": codes.copy(), "shifts": shifts.copy(), "scales": scales.copy()}
        parts[what][1, 0] = value
        with pytest.raises(ValueError, match=message):
            hgq.HgqTensor(**parts, k=100)
    beyond = codes.copy()
    beyond[0, 100] = 1
    with pytest.raises(ValueError, match=r"a code beyond K must be 0, not 1 at index \(0, 0\)"):
        hgq.HgqTensor(beyond, shifts, scales, 100)


def test_shifts_are_left_shifts_of_0_to_6():
    t = hgq.quantize(mixed_codes(np.random.default_rng(1), 50, 128).view(np.float16))
    assert set(np.unique(t.shifts)) == {0, 1, 2, 3}


def test_the_accumulator_cannot_overflow():
    codes, shifts = np.full((1, 128), 7, np.int8), np.full((1, 8), 3, np.uint8)
    most = hgq.HgqTensor(codes, shifts, np.ones((1, 1), np.float16), 128)
    least = hgq.HgqTensor(-codes, shifts, most.scales, 128)
    assert hgq.matmul(most, most)[0, 0] * 64 == 401_408
    assert hgq.matmul(most, least)[0, 0] * 64 == -401_408
    assert [hgq.accumulator_bits(128, 2, 2), hgq.accumulator_bits(128, 3, 2), hgq.accumulator_bits(128, 3, 3)] == [
        20,
        24,
        28,
    ]


def test_extreme_scales_neither_overflow_nor_vanish():
    codes = np.zeros((2, 128), np.int8)
    codes[:, 0] = 1, -1
    codes = np.concatenate([codes, np.full((1, 128), 7, np.int8)])
    shifts = np.array([[0] * 8, [0] * 8, [3] * 8], np.uint8)
    t = hgq.HgqTensor(codes, shifts, np.array([[2.0**-14], [2.0**-14], [65504]], np.float16), 128)
    y = hgq.matmul(t, t)
    assert y[0, 0] == 2.0**-34 and y[0, 1] == -(2.0**-34)
    assert np.isfinite(y).all() and y[2, 2] < 2.0**45


def test_zero_is_never_negative():
    t = hgq.quantize(np.stack([row(1, -1), row(-1, -1), row(), -row()]))
    y = hgq.matmul(t, t)
    assert (y == 0).any() and not np.signbit(y[y == 0]).any()


def test_k_that_is_no_multiple_of_the_coarse_group():
    x = np.random.default_rng(3).normal(size=(4, 384)).astype(np.float16)
    x[:, 300:] = 0
    cut, padded = hgq.quantize(x[:, :300]), hgq.quantize(x)
    assert cut.codes.shape == (4, 384) and cut.k == 300 and hgq.dequantize(cut).shape == (4, 300)
    for part in ("codes", "shifts", "scales"):
        np.testing.assert_array_equal(getattr(cut, part), getattr(padded, part))
    np.testing.assert_array_equal(hgq.matmul(cut, cut), hgq.matmul(padded, padded))


def test_k_that_is_not_positive():
    for shape in ((0,), (3, 0), ()):
        with pytest.raises(
            ValueError, match=rf"^K must be 1 or more, not that of the shape \({', '.join(map(str, shape))}"
        ):
            hgq.quantize(np.zeros(shape, np.float16))
    with pytest.raises(ValueError, match=r"^K must be 1 or more, not 0$"):
        hgq.unpack(b"", (3, 0))


def test_coarse_groups_are_added_in_ascending_order():
    x = np.concatenate([row(60000), row(2.0**-13), row(-60000)])
    one = np.concatenate([row(7), row(7), row(7)])[None]
    x_, w_ = hgq.quantize(x), hgq.quantize(one)
    assert hgq.matmul(x_, w_)[0] == 0
    x = np.concatenate([row(60000), row(-60000), row(2.0**-13)])
    assert hgq.matmul(hgq.quantize(x), w_)[0] > 0


# -- memory image ------------------------------------------------------------------------------------------------------


def test_a_record_has_68_bytes():
    assert hgq.record_bytes() == 68 and hgq.record_bytes(16, 16, 0) == 10 and hgq.record_bytes(8, 4) == 7
    t = hgq.quantize(np.stack([row(7, -1, 2), row(*(128 * [1]))]))
    image = hgq.pack(t)
    assert len(image) == 136
    assert image[:3] == bytes([0xF7, 0x02, 0])
    assert image[64:68] == bytes([0b11, 0, 0x00, 0x3C])
    assert image[68:132] == 64 * b"\x77" and image[132:134] == b"\xff\xff"


def test_bits_of_a_value():
    x = np.ones((1, 256), np.float16)
    sizes = [t.bits for t in (hgq.quantize(x), hgq.flat(x, 16), hgq.flat(x, 128), hgq.quantize(x, 64, 64, 0))]
    assert sizes == [4.25, 5.0, 4.125, 4.25]
    t = hgq.quantize(x)
    assert len(hgq.pack(t)) * 8 == 4.25 * 256 == t.bits * 256


@pytest.mark.parametrize("shape", [(5, 300), (2, 3, 128), (1,), (0, 16)])
@pytest.mark.parametrize("sizes", [(128, 16, 2), (16, 16, 0), (9, 3, 3), (5, 1, 1)])
def test_pack_and_unpack(shape, sizes):
    x = np.random.default_rng(6).integers(0, 1 << 16, shape).astype(np.uint16).view(np.float16)
    t = hgq.quantize(x, *sizes)
    image = hgq.pack(t)
    assert len(image) == t.scales.size * hgq.record_bytes(*sizes)
    back = hgq.unpack(image, shape, *sizes)
    assert (back.k, back.coarse, back.fine, back.shift_bits) == (t.k, *sizes)
    for part in ("codes", "shifts", "scales"):
        np.testing.assert_array_equal(getattr(back, part), getattr(t, part))
        assert getattr(back, part).dtype == getattr(t, part).dtype


def test_unpack_rejects_other_sizes_and_illegal_images():
    image = hgq.pack(hgq.quantize(np.stack([row(7), row(1)])))
    with pytest.raises(ValueError, match=r"an image of shape \(3, 128\) in groups of 128 has 204 bytes, not 136"):
        hgq.unpack(image, (3, 128))
    with pytest.raises(ValueError, match=r"a code must be -7 to 7, not -8 at index \(0, 2\)"):
        hgq.unpack(image[:1] + b"\x08" + image[2:], (2, 128))
    with pytest.raises(ValueError, match="a scale must be"):
        hgq.unpack(image[:-1] + b"\xbc", (2, 128))


# -- baselines ---------------------------------------------------------------------------------------------------------


def test_flat_groups_have_a_scale_each_and_no_shifts():
    x = np.random.default_rng(9).normal(size=(3, 70)).astype(np.float16)
    t = hgq.flat(x, 16)
    assert t.scales.shape == (3, 5) and not t.shifts.any() and t.shift_bits == 0 and (t.coarse, t.fine) == (16, 16)
    largest = np.abs(np.pad(x, ((0, 0), (0, 10)))).reshape(3, 5, 16).max(axis=2).astype(np.float64)
    np.testing.assert_array_equal(t.scales, (largest / 7).astype(np.float16))
    np.testing.assert_array_equal(
        t.codes[:, :70], np.rint(x / np.repeat(t.scales, 16, axis=1)[:, :70].astype(np.float64))
    )
    same = hgq.quantize(x, 16, 16)
    np.testing.assert_array_equal(hgq.dequantize(t), hgq.dequantize(same))


def test_per_channel_has_one_scale_a_row():
    x = np.random.default_rng(10).normal(size=(3, 70)).astype(np.float16)
    t = hgq.per_channel(x)
    assert t.scales.shape == (3, 1) and t.codes.shape == (3, 70)
    y = hgq.matmul(t, t)
    dots = (t.codes.astype(int) @ t.codes.T.astype(int)).astype(np.float32)
    np.testing.assert_array_equal(y, dots * (t.scales.astype(np.float32) * t.scales.astype(np.float32).T))


def test_finer_scales_keep_more():
    x = np.random.default_rng(11).standard_t(4, size=(64, 1024)).astype(np.float16)
    order = [hgq.per_channel(x), hgq.flat(x, 128), hgq.quantize(x), hgq.flat(x, 16)]
    errors = [float(np.square(hgq.dequantize(t) - x).mean()) for t in order]
    assert errors == sorted(errors, reverse=True)


# -- wrong requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"coarse": 100}, "the coarse group must be a multiple of the fine group 16, not 100"),
        ({"coarse": 0}, "the coarse group must be 1 or more, not 0"),
        ({"fine": -1}, "the fine group must be 1 or more, not -1"),
        ({"fine": 1.5}, "the fine group must be 1 or more, not 1.5"),
        ({"shift_bits": 4}, "bits of a shift must be 0 to 3, not 4"),
        ({"threshold": 8}, "threshold must be 4 to 7, not 8"),
    ],
)
def test_parameters_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        hgq.quantize(row(1), **arguments)


def test_other_types_and_operands_that_do_not_fit():
    with pytest.raises(ValueError, match="x must be float16, not float32"):
        hgq.quantize(np.ones(16, np.float32))
    x = hgq.quantize(np.ones((1, 128), np.float16))
    for w in (
        hgq.quantize(np.ones((1, 129), np.float16)),
        hgq.flat(np.ones((1, 128), np.float16), 16),
        hgq.quantize(row(1)),
    ):
        with pytest.raises(
            ValueError, match=r"K, coarse and fine group of activations and of 2-axis weights must agree"
        ):
            hgq.matmul(x, w)
    with pytest.raises(ValueError, match="codes, shifts and scales must be int8, uint8 and float16, not int64"):
        hgq.HgqTensor(x.codes.astype(int), x.shifts, x.scales, 128)
    with pytest.raises(ValueError, match="is not padded to 129 values"):
        hgq.HgqTensor(x.codes, x.shifts, x.scales, 129)
    with pytest.raises(ValueError, match="must have shapes"):
        hgq.HgqTensor(x.codes, x.shifts[0], x.scales, 128)
    assert math.isclose(float(hgq.matmul(x, x)[0, 0]), 128, rel_tol=1e-3)
