"""The parts of the integer encoder against plain integers and real numbers, with the extremes of wide codes."""

import math
from fractions import Fraction

import numpy as np
import plain_encoder
import pytest

from bitloom.golden.gqa_lut.integer_ops import layernorm
from bitloom.golden.machine import parts
from bitloom.golden.machine.parts import Linear, Norm
from bitloom.golden.machine.requantizer import Requantizer


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
        for epsilon in (1, 12345, 1 << (2 * input_bits + 16)):
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
        y = layernorm(row, scale, epsilon=1 << 48, input_bits=16, output_bits=16)
        shrunk = deviation / math.hypot(deviation, 1 << 24)
        for index in (0, 1, length - 1):
            real = (length * values[index] - total) / deviation * shrunk
            assert y[index] / 2**scale == pytest.approx(real, rel=0.009, abs=2.0 ** -(scale + 1))


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
        ({"epsilon": 1 << 49, "input_bits": 16}, r"epsilon must be 1 to 2\*\*48, not 562949953421312"),
        ({"q": [1 << 15], "input_bits": 16}, "codes must be -32768 to 32767, they are 32768 to 32768"),
        ({"q": np.zeros(65537, int), "input_bits": 16}, r"layernorm needs rows of 1 to 2\*\*16 codes, .* \(65537,\)"),
    ],
)
def test_wide_layernorm_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        layernorm(**{"q": [1, 2], **arguments})


def test_a_norm_adds_its_bias_before_it_multiplies():
    rng = np.random.default_rng(3)
    norm = Norm(7, rng.integers(-2000, 2000, 24), Requantizer.of(rng.normal(0, 3, 24), 16))
    q = rows(rng, 16, 24)
    for entries in (8, 16):
        assert norm(q, entries).tolist() == [plain_encoder.normed(row, norm, entries) for row in q.tolist()]


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
    bias = [1 << 30, -(1 << 30)]
    layer = Linear(np.full((2, 1536), 127, np.int8), np.array(bias), Requantizer.of([2.0**-23] * 2, 16))
    for code in (-128, 127):
        x = np.full((1, 1536), code)
        sums = [1536 * 127 * code + added for added in bias]
        assert layer.sums(x).tolist() == [sums]
        assert layer(x).tolist() == [[math.floor(Fraction(total, 1 << 23) + Fraction(1, 2)) for total in sums]]
