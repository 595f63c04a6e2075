"""The requantizer against exact fractions, at worked values and at the ends of all its ranges."""

import math
from fractions import Fraction

import numpy as np
import pytest

from bitloom.golden.machine.requantizer import Requantizer, requantize


def exactly(total, multiplier, shift, bits):
    """One code, in fractions: half up, then saturated."""
    code = math.floor(Fraction(total * multiplier, 1 << shift) + Fraction(1, 2)) if shift else total * multiplier
    return min(max(code, -(1 << bits - 1)), (1 << bits - 1) - 1)


@pytest.mark.parametrize(
    "total, multiplier, shift, bits, code",
    [
        # 0.3 as 19661 / 65536.
        (100, 19661, 16, 8, 30),
        # Ties go up, on both sides of 0.
        (1, 1, 1, 8, 1),
        (-1, 1, 1, 8, 0),
        (3, 1, 1, 8, 2),
        (-3, 1, 1, 8, -1),
        # Saturation comes after rounding.
        (255, 1, 1, 8, 127),
        (253, 1, 1, 8, 127),
        (-256, 1, 1, 8, -128),
        (-259, 1, 1, 8, -128),
        (100, -3, 0, 16, -300),
        # The largest products, and the longest shift.
        (-(1 << 31), -(1 << 15), 47, 8, 1),
        (-(1 << 31), -(1 << 15), 46, 8, 1),
        ((1 << 31) - 1, (1 << 15) - 1, 31, 16, 32767),
        ((1 << 31) - 1, -(1 << 15), 0, 16, -32768),
        (5, 0, 12, 8, 0),
    ],
)
def test_worked_values(total, multiplier, shift, bits, code):
    assert requantize(total, multiplier, shift, bits) == code == exactly(total, multiplier, shift, bits)


def test_against_fractions():
    rng = np.random.default_rng(0)
    for shift in range(48):
        for bits in (2, 8, 11, 16):
            # Sums of all sizes.
            sums = rng.integers(-(1 << 31), 1 << 31, (6, 5)) >> rng.integers(0, 31, (6, 5))
            multipliers = rng.integers(-(1 << 15), 1 << 15, 5)
            expected = [
                [exactly(total, m, shift, bits) for total, m in zip(row, multipliers.tolist(), strict=True)]
                for row in sums.tolist()
            ]
            assert requantize(sums, multipliers, shift, bits).tolist() == expected


def test_a_multiplier_is_as_near_as_16_bits_can_be():
    rng = np.random.default_rng(1)
    for _ in range(50):
        ratios = rng.normal(0, 1, 7) * 2.0 ** rng.integers(-20, 10)
        made = Requantizer.of(ratios)
        top = np.abs(made.multipliers).max()
        assert 1 << 14 <= top < 1 << 15
        assert np.abs(made.ratios - ratios).max() <= 2.0 ** -(made.shift + 1)
        assert made.multipliers.tolist() == [math.floor(Fraction(r) * 2**made.shift + Fraction(1, 2)) for r in ratios]


@pytest.mark.parametrize(
    "ratio, multiplier, shift", [(0, 0, 47), (1, 16384, 14), (32767, 32767, 0), (2.0**-40, 128, 47)]
)
def test_ratios_at_the_ends(ratio, multiplier, shift):
    made = Requantizer.of(ratio, 16)
    assert (int(made.multipliers), made.shift, made.bits) == (multiplier, shift, 16)


@pytest.mark.parametrize("ratio, magnitude", [(40000, "40000"), (-math.inf, "inf"), (math.nan, "nan")])
def test_ratios_without_a_multiplier_are_refused(ratio, magnitude):
    with pytest.raises(
        ValueError, match=rf"^ratios must be finite and within 32767, the largest magnitude is {magnitude}$"
    ):
        Requantizer.of([1.0, ratio])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1 << 31], 1, 0), r"sums must be -2147483648 to 2147483647, they are 2147483648 to 2147483648"),
        (([1], [-40000], 0), r"multipliers must be -32768 to 32767, they are -40000 to -40000"),
        (([1], 1, 48), r"shift must be 0 to 47, not 48"),
        (([1], 1, -1), r"shift must be 0 to 47, not -1"),
        (([1], 1, 0, 17), r"bits must be 2 to 16, not 17"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        requantize(*arguments)
    with pytest.raises(TypeError, match=r"^sums must be integers, not float64$"):
        requantize([0.5], 1, 0)
