"""The parts of the integer encoder against plain integers and real numbers, with the extremes of wide codes."""

import math
from fractions import Fraction

import numpy as np
import plain_encoder
import pytest

from bitloom.golden.gqa_lut.integer_ops import layernorm
from bitloom.golden.machine import parts
from bitloom.golden.machine.parts import Linear, Norm, Requantizer


def rows(rng, bits, length):
    """Random rows of a width, small ones, and the extremes."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    drawn = [rng.integers(low, high + 1, length), rng.integers(-3, 4, length)]
    drawn += [np.full(length, q) for q in (low, 0, high)]
    drawn += [np.where(np.arange(length) % 2, low, high), np.r_[high, np.full(length - 1, low)]]
    return np.array(drawn)


# -- LayerNorm of wide codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("input_bits, output_bits", [(8, 8), (16, 16), (16, 8), (8, 16), (12, 10), (9, 15)])
@pytest.mark.parametrize("length", [1, 2, 3, 8, 40])
def test_layernorm_against_plain_integers(input_bits, output_bits, length):
    rng = np.random.default_rng(length)
    q = rows(rng, input_bits, length)
    for out_shift in (0, int(rng.integers(1, output_bits - 1)), output_bits - 1):
        for epsilon in (1, 12345, 1 << 32):
            y = layernorm(q, out_shift, epsilon=epsilon, input_bits=input_bits, output_bits=output_bits)
            expected = [plain_encoder.layernorm(row, out_shift, epsilon, 8, output_bits) for row in q.tolist()]
            assert y.tolist() == expected


def test_layernorm_of_8_bits_is_what_it_was():
    q = [12, -45, 77, 3, -128, 127, 60, -9]
    assert layernorm(q).tolist() == layernorm(q, input_bits=16).tolist() == [0, -25, 28, -4, -61, 50, 21, -9]
    # Of 16 bits the scale may be finer, and the same row 256 times as large gives the same.
    assert layernorm(q, 12, output_bits=16).tolist() == [-7, -3188, 3621, -509, -7821, 6411, 2672, -1179]
    assert layernorm(np.array(q) * 256, input_bits=16).tolist() == layernorm(q).tolist()


@pytest.mark.parametrize("length", [384, 65535, 65536])
def test_the_longest_rows_of_16_bits_do_not_overflow(length):
    scale = Norm.scale(length)
    for row in (np.where(np.arange(length) % 2, -32768, 32767), np.r_[32767, np.full(length - 1, -32768)]):
        values = row.tolist()
        total, squares = sum(values), sum(q * q for q in values)
        deviation = math.sqrt(Fraction(length * squares - total * total))
        y = layernorm(row, scale, input_bits=16, output_bits=16)
        for index in (0, 1, length - 1):
            real = (length * values[index] - total) / deviation
            assert abs(y[index] / 2**scale - real) <= 0.009 * abs(real) + 2.0 ** -(scale + 1)


def test_the_scale_of_a_rows_length_holds_its_largest_deviation():
    assert [Norm.scale(length) for length in (1, 2, 3, 4, 5, 384, 1023, 1024, 65536)] == [
        14,
        14,
        14,
        13,
        13,
        10,
        10,
        9,
        6,
    ]
    for length in (2, 3, 4, 8, 16, 384, 1024):
        row = np.r_[32767, np.full(length - 1, -32768)]
        y = layernorm(row, Norm.scale(length), input_bits=16, output_bits=16)
        # The table may be off by 0.9 %.
        assert y.max() <= 32767 and y[0] / 2 ** Norm.scale(length) == pytest.approx(math.sqrt(length - 1), rel=0.009)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_bits": 17}, "input_bits must be 8 to 16, not 17"),
        ({"output_bits": 7}, "output_bits must be 8 to 16, not 7"),
        ({"out_shift": 16, "output_bits": 16}, "out_shift must be 0 to 15, not 16"),
        ({"epsilon": 1 << 33, "input_bits": 16}, r"epsilon must be 1 to 2\*\*32, not 8589934592"),
        ({"q": [1 << 15], "input_bits": 16}, "codes must be -32768 to 32767, they are 32768 to 32768"),
        ({"q": np.zeros(65537, int), "input_bits": 16}, r"layernorm needs rows of 1 to 2\*\*16 codes, .* \(65537,\)"),
    ],
)
def test_wide_layernorm_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        layernorm(**{"q": [1, 2], **arguments})


def test_a_norm_has_signs_biases_and_scales_of_channels():
    rng = np.random.default_rng(3)
    gamma, beta = rng.normal(0, 3, 24), rng.normal(0, 2000, 24)
    norm = Norm(7, np.where(gamma < 0, -1, 1), Requantizer.of(np.abs(gamma), beta, 16))
    q = rows(rng, 16, 24)
    for entries in (8, 16):
        assert norm(q, entries).tolist() == [plain_encoder.normed(row, norm, entries) for row in q.tolist()]
    y = layernorm(q, Norm.scale(24), epsilon=7, input_bits=16, output_bits=16)
    off = np.abs(norm(q, 8) - np.clip(y * gamma + beta, -32768, 32767))
    assert (off <= np.abs(gamma) / 2 + 0.5 + 2.0**-15 * np.abs(y * gamma)).all()


# -- requantizers of real scales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
def test_a_requantizer_gives_scale_and_offset(bits):
    rng = np.random.default_rng(bits)
    top = 1 << bits - 1
    scale, offset = np.exp2(rng.uniform(bits - 29, 7, 300)), rng.uniform(-top, top, 300)
    made = Requantizer.of(scale, offset, bits)
    assert np.abs(made.scale / scale - 1).max() <= 2.0**-16 and np.abs(made.bias).max() <= 1 << 29
    # Sums for which the codes are in range.
    sums = np.clip(rng.uniform(-top, top, 300) / scale, -(1 << 31), (1 << 31) - 1).astype(np.int64)
    wanted = np.clip(sums * scale + offset, -top, top - 1)
    # Half a unit of the sum that the bias is rounded to, half a code, and what the multiplier is off by.
    assert (np.abs(made(sums) - wanted) <= scale / 2 + 0.5 + 2.0**-15 * np.abs(sums * scale)).all()


def test_a_scale_of_nothing_keeps_its_offset():
    made = Requantizer.of([0.0, 1e-12, 2.0**-14], [1000.0, -32768.0, 40000.0], 16)
    assert made.scale.tolist() == [2.0**-14] * 3 and made.bias.tolist() == [16384000, -(1 << 29), 1 << 29]
    assert made([0, 0, 0]).tolist() == [1000, -32768, 32767]
    # No sum that LayerNorm gives moves it by more than two.
    assert made([[32767] * 3, [-32768] * 3]).tolist() == [[1002, -32766, 32767], [998, -32768, 32766]]


@pytest.mark.parametrize("scale", [256.0, -0.1, math.nan, math.inf])
def test_scales_without_a_multiplier_are_refused(scale):
    with pytest.raises(ValueError, match=r"^a scale must be 0 to 255\.996, not "):
        Requantizer.of([1.0, scale])


# -- GELU, softmax, linear layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries, worst", [(8, 0.0215), (16, 0.0066)])
def test_gelu_of_16_bits(entries, worst):
    codes = np.r_[np.arange(-32768, 32768, 97), -32768, -1, 0, 1, 32767]
    for s in parts.GELU_SCALES:
        near = np.r_[codes, [t + d for t in parts.gelu_table(s, entries).thresholds for d in (0, 1) if t + d < 32768]]
        y = parts.gelu(near, s, entries)
        assert y.tolist() == [plain_encoder.gelu(q, s, entries) for q in near.tolist()]
        real = [x * math.erfc(-x / math.sqrt(2)) / 2 for x in np.ldexp(near.astype(float), -s)]
        assert np.abs(np.ldexp(y.astype(float), -s) - real).max() < worst + 2.0 ** -(s + 1)


def test_far_from_0_gelu_is_0_or_its_input():
    codes = np.array([-32768, -20000, 20000, 32767])
    for entries in (8, 16):
        assert parts.gelu(codes, 12, entries).tolist() == [0, 0, 20000, 32767]
    with pytest.raises(ValueError, match=r"^the scale of GELU must be 5 to 12, not 4$"):
        parts.gelu(codes, 4, 8)


def test_softmax_has_the_shipped_tables():
    rng = np.random.default_rng(4)
    q = rng.integers(-128, 128, (5, 9))
    for entries in (8, 16):
        for s in range(8):
            expected = [plain_encoder.softmax(row, s, entries) for row in q.tolist()]
            assert parts.softmax(q, s, entries).tolist() == expected


def test_a_linear_layer_of_the_largest_sums():
    table = Requantizer(np.array([(1 << 31) - 1, -(1 << 31)]), np.array([1, 3]), np.array([24, 25]), 16)
    layer = Linear(np.full((2, 1536), 127, np.int8), table)
    for code in (-128, 127):
        x, total = np.full((1, 1536), code), 1536 * 127 * code
        assert layer.sums(x).tolist() == [[total] * 2]
        expected = [
            plain_encoder.half_up(total + (1 << 31) - 1, 24),
            plain_encoder.half_up(3 * (total - (1 << 31)), 25),
        ]
        assert layer(x).tolist() == [expected]
        assert layer(x, np.array([[5, -7]])).tolist() == [[expected[0] + 5, expected[1] - 7]]
