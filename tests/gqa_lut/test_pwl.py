"""golden.pwl and golden.pwl_functions against plain integers and fractions, written from the formulas."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from bitloom.golden.gqa_lut import pwl, pwl_functions
from bitloom.golden.gqa_lut.pwl import (
    PwlTable,
    accumulate,
    evaluate,
    from_breakpoints,
    mse,
    multi_range,
    round_shift,
    shipped,
    widened,
)
from bitloom.golden.gqa_lut.pwl_functions import FUNCTIONS, expression, lookup
from bitloom.golden.workloads import transformer

INT8 = range(-128, 128)
UINT8 = range(256)


def unit(q, table, s):
    """The datapath, in Python's integers."""
    entry = sum(q > threshold for threshold in table.thresholds)
    factor = -q if table.negate_input else q
    return table.slopes[entry] * factor + table.intercepts[entry] * 2**s


def half_up(value):
    return math.floor(value + Fraction(1, 2))


def output(q, table, s, shift, low, high):
    return min(max(half_up(Fraction(unit(q, table, s)) / Fraction(2) ** shift), low), high)


def random_table(rng, width=8, entries=None):
    entries = entries or int(rng.integers(1, 20))
    low, high = -1 << (width - 1), (1 << (width - 1)) - 1
    thresholds = sorted(rng.integers(low, 1 << min(width, 31), entries - 1).tolist())
    slopes, intercepts = (rng.integers(low, high, entries, endpoint=True).tolist() for _ in range(2))
    return PwlTable(thresholds, slopes, intercepts, int(rng.integers(0, 8)), bool(rng.integers(2)), width)


# -- the unit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_every_code_at_every_scale(seed):
    rng = np.random.default_rng(seed)
    table = random_table(rng)
    for s in range(8):
        for codes in (INT8, UINT8):
            expected = [unit(q, table, s) for q in codes]
            assert accumulate(np.array(codes), table, s).tolist() == expected
            shift, low = int(rng.integers(-3, 16)), int(rng.integers(-200, 0))
            high = low + int(rng.integers(0, 400))
            expected = [output(q, table, s, shift, low, high) for q in codes]
            assert evaluate(np.array(codes), table, s, shift, low, high).tolist() == expected


@pytest.mark.parametrize("width", (16, 32))
@pytest.mark.parametrize("seed", range(4))
def test_wider_units(width, seed):
    rng = np.random.default_rng(seed)
    table = random_table(rng, width)
    edges = [-1 << (width - 1), (1 << (width - 1)) - 1, -1, 0, 1, *table.thresholds]
    codes = np.array([*edges, *rng.integers(-1 << (width - 1), 1 << (width - 1), 100)])
    for s in (0, 1, width // 2, width - 1):
        assert accumulate(codes, table, s).tolist() == [unit(int(q), table, s) for q in codes]
        expected = [output(int(q), table, s, width, -(1 << 40), 1 << 40) for q in codes]
        assert evaluate(codes, table, s, width, -(1 << 40), 1 << 40).tolist() == expected


def test_sums_of_the_extremes_need_17_and_33_and_64_bits():
    for width, bits, codes in ((8, 17, (-128, 255)), (16, 33, (-(1 << 15), (1 << 15) - 1)), (32, 64, (-(1 << 31), 0))):
        low, high = -1 << (width - 1), (1 << (width - 1)) - 1
        sums = []
        for slope in (low, high):
            for intercept in (low, high):
                for negate in (False, True):
                    table = PwlTable([], [slope], [intercept], 6, negate, width)
                    for q in codes:
                        found = int(accumulate(q, table, width - 1))
                        assert found == unit(q, table, width - 1)
                        sums.append(found)
        needed = max(found.bit_length() if found >= 0 else (~found).bit_length() for found in sums) + 1
        assert bits - 1 <= needed <= bits


def test_many_codes_take_the_same_values_as_few():
    table, codes = shipped("gelu-16")[4], np.random.default_rng(0).integers(-128, 128, (40, 50))
    few = np.array([accumulate(row, table, 4) for row in codes])
    np.testing.assert_array_equal(accumulate(codes, table, 4), few)
    assert accumulate(codes.astype(np.int8), table, 4).dtype == np.int64
    table, codes = widened(table, 4, 11), np.random.default_rng(1).integers(-1 << 15, 1 << 16, (100, 1000))
    few = np.array([accumulate(row, table, 11) for row in codes])
    np.testing.assert_array_equal(accumulate(codes, table, 11), few)
    assert accumulate(np.zeros(0, int), table, 4).shape == (0,) and accumulate(3, table, 4).shape == ()


def test_a_code_that_equals_a_breakpoint_is_in_the_right_segment():
    table = from_breakpoints([-1.0, 0.5], [1, 2, 3], [10, 20, 30], 0, 3)
    assert table.thresholds == (-9, 3)
    assert accumulate([-9, -8, 3, 4], table, 3).tolist() == [-9 + 80, -16 + 160, 6 + 160, 12 + 240]


def test_the_largest_code_as_a_threshold_is_never_exceeded():
    table = PwlTable([-5, 127], [0, 0, 0], [1, 2, 3], 0)
    assert set(accumulate(np.array(INT8), table, 0).tolist()) == {1, 2}
    table = PwlTable([5, 255], [0, 0, 0], [1, 2, 3], 0)
    assert set(accumulate(np.array(UINT8), table, 0).tolist()) == {1, 2}


def test_equal_thresholds_make_a_segment_that_is_never_reached():
    table = PwlTable([-5, 9, 9, 20], [0] * 5, [1, 2, 3, 4, 5], 0)
    assert [int(accumulate(q, table, 0)) for q in (-5, -4, 9, 10, 20, 21)] == [1, 2, 2, 4, 4, 5]


def test_minus_128_is_a_legal_input_and_its_negative_is_128():
    assert int(accumulate(-128, PwlTable([], [-128], [0], 0, negate_input=True), 0)) == -128 * 128


def test_ties_of_the_output_go_up():
    table = PwlTable([], [1], [0], 0)
    assert evaluate([-3, -2, -1, 1, 2, 3], table, 0, 1, -128, 127).tolist() == [-1, -1, 0, 1, 1, 2]
    assert evaluate([-6, -2, 2, 6, 5], table, 0, 2, -128, 127).tolist() == [-1, 0, 1, 2, 1]
    assert evaluate([-3, 100], table, 0, 0, -128, 127).tolist() == [-3, 100]
    assert evaluate([-3, 100], table, 0, -1, -128, 127).tolist() == [-6, 127]


def test_saturation_comes_after_rounding():
    table = PwlTable([], [1], [0], 0)
    assert evaluate([5, 6, 7], table, 0, 2, 0, 1).tolist() == [1, 1, 1]
    assert evaluate([-3, -2, -1], table, 0, 2, 0, 1).tolist() == [0, 0, 0]


def test_round_shift_rounds_half_up_and_overflows_nowhere():
    top = (1 << 63) - 1
    values = [0, 1, -1, 5, -5, 6, -6, 1 << 40, -(1 << 40) - 1, top, -top - 1]
    for bits in (0, 1, 2, 3, 40, 62):
        expected = [half_up(Fraction(value, 2**bits)) for value in values]
        assert round_shift(values, bits).tolist() == expected
    assert round_shift([3, -3], [-2, 1]).tolist() == [12, -1]


def test_floor_log2():
    values = [1, 2, 3]
    for power in range(2, 63):
        values += [2**power - 1, 2**power, 2**power + 1]
    values.append(2**63 - 1)
    assert pwl.floor_log2(values).tolist() == [value.bit_length() - 1 for value in values]


# -- real breakpoints --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_from_breakpoints_is_the_comparison_with_rounded_breakpoints(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 16))
    points = np.sort(rng.uniform(-5, 5, n))
    points[rng.random(n) < 0.3] = np.round(points[rng.random(n) < 0.3].sum())
    points = np.sort(points)
    slopes, intercepts = (rng.integers(-128, 128, n + 1).tolist() for _ in range(2))
    for s in range(8):
        for negate, codes in ((False, INT8), (True, UINT8)):
            ends = {"first": codes[0], "last": codes[-1], "negate_input": negate}
            table = from_breakpoints(points, slopes, intercepts, 6, s, **ends)
            assert len(table.slopes) == n + 1
            rounded = [round(Fraction(float(point)) * 2**s) for point in points]
            expected = []
            for q in codes:
                x = -q if negate else q
                entry = sum(x >= point for point in rounded)
                expected.append(slopes[entry] * x + intercepts[entry] * 2**s)
            assert accumulate(np.array(codes), table, s).tolist() == expected


@pytest.mark.parametrize("name", ["gelu-8", "gelu-16", "hswish-8", "exp-8"])
def test_a_widened_table_is_the_same_at_the_codes_of_8_bits(name):
    """And between them it goes on along the same lines."""
    for s, table in shipped(name).items():
        codes = np.array(UINT8 if name == "exp-8" else INT8)
        for to in (s, s + 3, s + 8):
            finer = to - s
            wide = widened(table, s, to)
            assert (accumulate(codes << finer, wide, to) == accumulate(codes, table, s) << finer).all()
            between = (codes << finer) + (1 << finer >> 1)
            assert accumulate(between, wide, to).tolist() == [unit(q, wide, to) for q in between.tolist()]
            entries = [sum(q > t for t in table.thresholds) for q in codes.tolist()]
            assert [sum(q > t for t in wide.thresholds) for q in between.tolist()] == entries


def test_tables_that_cannot_be_widened():
    with pytest.raises(ValueError, match=r"^the scale must be 5 to 13, not 14$"):
        widened(shipped("gelu-8")[5], 5, 14)
    with pytest.raises(ValueError, match=r"^the table's width must be 8, not 16$"):
        widened(widened(shipped("gelu-8")[5], 5, 9), 5, 9)


def test_gelu_of_16_bits_errs_less_than_of_any_8_bits():
    """Of inputs up to 8 in magnitude: the scale 2**-4 is the finest that 8 bits have for them."""
    x = np.random.default_rng(0).normal(-1, 1.5, 20_000).clip(-8, 127 / 16)
    exact = FUNCTIONS["gelu"](x)

    def rms(table, s, bits):
        q = np.floor(x * 2.0**s + 0.5).astype(np.int64)
        assert -1 << (bits - 1) <= q.min() and q.max() < 1 << (bits - 1)
        return np.sqrt(np.square(accumulate(q, table, s) / 2.0 ** (s + table.fraction_bits) - exact).mean())

    for entries, narrow, wide in ((8, 0.0108, 0.0063), (16, 0.0090, 0.0019)):
        tables = shipped(f"gelu-{entries}")
        assert narrow * 0.9 < rms(tables[4], 4, 8) < narrow * 1.1
        assert wide * 0.9 < rms(widened(tables[5], 5, 12), 12, 16) < wide * 1.1


def test_breakpoints_beyond_the_codes():
    points = [-3.0, -2.2, -2.0, 0.5, 2.8, 3.0]
    table = from_breakpoints(points, range(7), range(10, 17), 6, 6)
    # -2 is the code -128, always passed; 2.8 is beyond 127, never reached: 127 < 179 must not pick the last entry.
    assert table.thresholds == (31, 127, 127, 127, 127, 127)
    assert table.slopes == (3, 4, 5, 6, 6, 6, 6) and table.intercepts == (13, 14, 15, 16, 16, 16, 16)
    assert accumulate([-128, 31, 32, 127], table, 6).tolist() == [3 * -128 + 832, 93 + 832, 128 + 896, 508 + 896]


def test_breakpoints_round_to_even_codes_and_minus_zero_is_zero():
    table = from_breakpoints([-2.5, -1.5, -0.0, 0.0, 0.5, 1.5], range(7), range(7), 0, 0)
    assert table.thresholds == (-3, -3, -1, -1, -1, 1)


def test_the_errors_of_breakpoints():
    with pytest.raises(ValueError, match=r"^breakpoints must not decrease, 0\.5 follows 1\.0$"):
        from_breakpoints([1, 0.5], [1, 2, 3], [1, 2, 3], 6, 5)
    with pytest.raises(ValueError, match=r"^breakpoints must be finite and within 2\*\*32, not nan$"):
        from_breakpoints([math.nan], [1, 2], [1, 2], 6, 5)
    with pytest.raises(ValueError, match=r"^slopes must be -128 to 127, not 128$"):
        from_breakpoints([0.0], [1, 128], [1, 2], 6, 5)


# -- tables that come with bitloom -------------------------------------------------------------------------------------

SECTION_9 = {
    ("gelu-8", 5): ("-78 -25 -8 5 23 70 96", "0 -7 9 30 53 71 66 64", "0 -17 -5 0 -4 -17 -6 0"),
    ("exp-8", 5): ("8 21 40 64 95 127 160", "58 40 24 13 5 2 1 0", "64 59 48 34 18 9 5 0"),
    ("exp-8", 4): ("5 11 20 31 48 63 79", "56 38 24 13 5 2 1 0", "64 58 48 34 18 9 5 0"),
    ("div-normalized-8", 7): (
        "139 149 166 192 213 224 234",
        "-60 -49 -43 -33 -25 -22 -18 -17",
        "124 112 105 92 80 75 68 66",
    ),
    ("rsqrt-normalized-8", 6): ("74 85 94 95 127 170 223", "-29 -23 -20 -1 -14 -9 -6 -4", "93 86 82 54 73 63 55 48"),
    ("div-8", 5): ("18 23 30 39 53 70 111", "-114 -73 -46 -27 -15 -9 -4 -2", "121 97 77 59 44 34 23 16"),
    ("rsqrt-8", 5): ("10 15 21 29 45 80 95", "-108 -63 -36 -24 -13 -6 -5 -2", "91 76 63 55 45 35 33 24"),
}


@pytest.mark.parametrize("name, s", SECTION_9)
def test_the_tables_of_section_9(name, s):
    table = shipped(name)[s]
    parts = (table.thresholds, table.slopes, table.intercepts)
    assert tuple(" ".join(map(str, part)) for part in parts) == SECTION_9[name, s]
    assert table.fraction_bits == (5 if name in ("div-8", "rsqrt-8") else 6)
    assert table.negate_input == (name == "exp-8") and table.width == 8


def test_there_is_a_table_for_every_function_size_and_scale():
    assert tuple(sorted(f"{name}-{entries}" for name in FUNCTIONS for entries in (8, 16))) == pwl.SHIPPED
    for name in pwl.SHIPPED:
        function, entries = FUNCTIONS[name.rpartition("-")[0]], int(name.rpartition("-")[2])
        tables = shipped(name)
        assert tuple(tables) == function.scales
        for table in tables.values():
            assert len(table.slopes) == entries and table.fraction_bits == function.fraction_bits
            assert table.negate_input == function.negate_input


def test_what_the_files_say_of_their_error():
    for name in pwl.SHIPPED:
        function = FUNCTIONS[name.rpartition("-")[0]]
        about = json.loads((pwl._FOLDER / f"{name}.json").read_text())["about"]
        assert about["function"] == function.text and about["entries"] == int(name.rpartition("-")[2])
        found = {str(s): mse(table, s, function) for s, table in shipped(name).items()}
        assert about["mse"] == pytest.approx(found, rel=1e-5)


# The specification's table of section 3.1: at s = 5, and the mean from s = 0 to 6.
FIGURES = {
    "gelu-8": (2.8e-5, 8.3e-6),
    "gelu-16": (3.2e-6, 1.2e-6),
    "hswish-8": (1.1e-4, 3.2e-5),
    "hswish-16": (8.0e-6, 2.9e-6),
    "exp-8": (1.2e-5, None),
    "exp-16": (5.1e-6, None),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_mean_squared_errors_of_section_3(name):
    function = FUNCTIONS[name.rpartition("-")[0]]
    errors = [mse(shipped(name)[s], s, function) for s in range(7)]
    at_5, mean = FIGURES[name]
    assert 0.9 * at_5 < errors[5] < 1.02 * at_5
    assert mean is None or 0.9 * mean < sum(errors) / 7 < 1.04 * mean


def test_gelu_8_differs_from_ideally_rounded_int8_in_29_codes_by_one():
    codes = np.array(INT8)
    ideal = [half_up(Fraction(float(y)) * 32) for y in FUNCTIONS["gelu"](codes / 32)]
    off = evaluate(codes, shipped("gelu-8")[5], 5, 6, -128, 127) - np.clip(ideal, -128, 127)
    assert np.count_nonzero(off) == 29 and np.abs(off).max() == 1


def test_no_exp_table_of_8_entries_at_the_usual_scales_is_negative():
    for s in (4, 5):
        assert (accumulate(np.array(UINT8), shipped("exp-8")[s], s) >= 0).all()


def test_mse_against_fractions():
    function, table = FUNCTIONS["hswish"], shipped("hswish-8")[4]
    total = Fraction(0)
    for q in INT8:
        x = Fraction(q, 16)
        total += (Fraction(unit(q, table, 4), 2**10) - x * min(max(x + 3, 0), 6) / 6) ** 2
    assert mse(table, 4, function) == pytest.approx(float(total / 256), rel=1e-12)
    assert pwl.largest_error(table, 4, function) == np.abs(pwl.errors(table, 4, function)).max()


# -- wide ranges -------------------------------------------------------------------------------------------------------


def test_1_over_1000_by_multi_range():
    accumulator, exponent = multi_range(1000, shipped("div-8")[5], "div")
    assert (int(accumulator), int(exponent)) == (530, 10 + 9)
    assert accumulator * 2.0**-exponent == pytest.approx(0.0010109, abs=5e-8)


def test_1_over_root_1000_by_multi_range():
    accumulator, exponent = multi_range(1000, shipped("rsqrt-8")[5], "rsqrt")
    assert (int(accumulator), int(exponent)) == (518, 10 + 4)
    assert accumulator * 2.0**-exponent == pytest.approx(0.031616, abs=5e-7)


@pytest.mark.parametrize("name, span, step, lowest", [("div", 3, 3, 16), ("rsqrt", 4, 2, 8)])
def test_multi_range_against_fractions(name, span, step, lowest):
    rng = np.random.default_rng(3)
    table = shipped(f"{name}-8")[5]
    edges = [2**k + d for k in range(1, 61) for d in (-1, 0, 1)] + [2**62 - 1]
    for fraction_bits in (0, 1, 7, 32):
        values = [0, *edges, *(int(v) for v in 2.0 ** rng.uniform(0, 61, 300))]
        accumulators, exponents = multi_range(values, table, name, fraction_bits)
        for code, accumulator, exponent in zip(values, accumulators.tolist(), exponents.tolist(), strict=True):
            z, j = Fraction(code, 2**fraction_bits), 0
            while z / 2 ** (span * j) >= 4:
                j += 1
            q = max(math.floor(z / 2 ** (span * j) * 32), lowest)
            assert q <= 127
            assert (accumulator, exponent) == (unit(q, table, 5), 10 + step * j)


def test_the_relative_errors_of_section_2():
    rng = np.random.default_rng(0)
    z = (2.0 ** rng.uniform(-1, 20, 20000) * 2**20).astype(np.int64)
    for name, wanted, largest, mean in (("div", 1, 0.0626, 0.0226), ("rsqrt", 0.5, 0.0608, 0.0176)):
        accumulators, exponents = multi_range(z, shipped(f"{name}-8")[5], name, 20)
        error = accumulators * 2.0**-exponents * (z / 2**20) ** wanted - 1
        assert np.abs(error).max() < largest and np.sqrt(np.mean(np.square(error))) < mean


def test_what_is_below_the_range_saturates():
    for name, lowest in (("div", 16), ("rsqrt", 8)):
        table = shipped(f"{name}-8")[5]
        accumulators, exponents = multi_range([0, 1, 2], table, name, 20)
        assert set(accumulators.tolist()) == {unit(lowest, table, 5)} and set(exponents.tolist()) == {10}


# -- functions ---------------------------------------------------------------------------------------------------------


def test_functions():
    x = np.linspace(-8, 8, 1001)
    np.testing.assert_allclose(FUNCTIONS["gelu"](x), transformer.gelu("", x), atol=1e-6)
    np.testing.assert_allclose(FUNCTIONS["silu"](x), x / (1 + np.exp(-x)), rtol=1e-12)
    np.testing.assert_allclose(FUNCTIONS["hswish"](x), x * np.minimum(np.maximum(x + 3, 0), 6) / 6)
    assert FUNCTIONS["hswish"]([-3, 3, 1]).tolist() == [0, 3, pytest.approx(2 / 3)]
    assert FUNCTIONS["gelu"]([-0.90625])[0] == pytest.approx(-0.16530, abs=5e-6)
    assert FUNCTIONS["gelu"]([-10000, 10000]).tolist() == [0, 10000]
    for name, power in (("div", -1), ("rsqrt", -0.5), ("div-normalized", -1), ("rsqrt-normalized", -0.5)):
        np.testing.assert_allclose(FUNCTIONS[name](x[x > 0.2]), x[x > 0.2] ** power)
    assert FUNCTIONS["exp"](0) == 1


def test_grids_and_codes():
    sizes = {name: len(function.grid()) for name, function in FUNCTIONS.items()}
    assert (sizes["gelu"], sizes["hswish"], sizes["exp"], sizes["div"], sizes["rsqrt"]) == (800, 800, 800, 350, 375)
    assert FUNCTIONS["gelu"].codes(3).tolist() == [*INT8] and FUNCTIONS["exp"].codes(3).tolist() == [*UINT8]
    assert FUNCTIONS["div"].codes(5).tolist() == [*range(16, 128)]
    assert FUNCTIONS["rsqrt"].codes(5).tolist() == [*range(8, 128)]
    assert FUNCTIONS["div-normalized"].codes(7).tolist() == [*range(128, 256)]
    assert FUNCTIONS["rsqrt-normalized"].codes(6).tolist() == [*range(64, 256)]
    assert FUNCTIONS["exp"].inputs(np.array([0, 32]), 5).tolist() == [0, -1]


def test_expressions():
    x = np.linspace(-3, 3, 7)
    for text, wanted in {
        "np.tanh(x)": np.tanh(x),
        "numpy.exp(-x**2 / 2) / np.sqrt(2 * pi)": np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
        "where(x > 0, x, 0.1 * x)": np.where(x > 0, x, 0.1 * x),
        "clip(x, -1, 1) + np.e": np.clip(x, -1, 1) + np.e,
        "maximum(x, 0) // 2 % 3": np.maximum(x, 0) // 2 % 3,
        "(x >= 1) * x": (x >= 1) * x,
        " 3 ": np.full(7, 3),
    }.items():
        function = expression(text, -3, 3)
        np.testing.assert_array_equal(function(x), wanted)
        assert function.name == text.strip() and function.fraction_bits == 6 and function.domain == (-3, 3)
    assert lookup("gelu") is FUNCTIONS["gelu"]
    function = lookup("log(x)", 0.25, 6, 5)
    assert function.first == 0 and function.last == 255 and function.fraction_bits == 5
    assert function.codes(5).tolist() == [*range(8, 193)] and function.codes(7)[-1] == 255
    assert expression("x", 100, 200).scales == (0, 1)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "invalid syntax"),
        ("x +", "invalid syntax"),
        ("x\0", "source code string cannot contain null bytes"),
        ("1or x", "invalid decimal literal"),
        ("y", "the name 'y' is unknown"),
        ("foo(x)", "'foo' is not a function that may be called"),
        ("np.load(x)", "'np.load' is not a function that may be called"),
        ("np.linalg.norm(x)", "'np.linalg.norm' is not a function that may be called"),
        ("__import__('os').system('true')", r"\"__import__\('os'\).system\" is not a function that may be called"),
        ("x.real", "'x.real' is not allowed"),
        ("np.exp", "'np.exp' is not allowed"),
        ("np", "the name 'np' is unknown"),
        ("x[0]", r"'x\[0\]' is not allowed"),
        ("'x'", "\"'x'\" is not allowed"),
        ("True", "'True' is not allowed"),
        ("2j * x", "'2j' is not allowed"),
        ("x @ x", "'x @ x' is not allowed"),
        ("~x", "'~x' is not allowed"),
        ("x if x else 1", "'x if x else 1' is not allowed"),
        ("0 < x < 1", "'0 < x < 1' is not allowed"),
        ("lambda: x", "'lambda: x' is not allowed"),
        ("(y := x)", r"'\(y := x\)' is not allowed"),
        ("exp(x, x)", "exp takes 1 argument, not 2"),
        ("clip(x, 0, 1, x)", "clip takes 3 arguments, not 4"),
        ("exp(x, out=x)", r"'exp\(x, out=x\)' is not allowed"),
        ("exp(*x)", "'\\*x' is not allowed"),
        ("1e30 * x", r"the number 1e\+30 is too large"),
        ("-(x > 0)", "boolean"),
    ],
)
def test_expressions_that_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        lookup(text)
    message = str(caught.value)
    assert message.startswith("the function must be gelu, hswish, ") and "\n" not in message


def test_ranges_that_are_refused():
    for low, high in ((1, 1), (2, -2), (-200, 3), (3, 256), (math.nan, 1), (0, math.inf)):
        with pytest.raises(ValueError, match="the range must be within -128 to 127, or 0 to 255, and not empty, not "):
            expression("x", low, high)
    with pytest.raises(ValueError, match=r"^no 8-bit code is in the range 0\.001 to 0\.002 at any scale"):
        expression("x", 0.001, 0.002)
    with pytest.raises(ValueError, match=r"^fraction bits must be 0 to 16, not 17$"):
        expression("x", fraction_bits=17)
    with pytest.raises(ValueError, match=r"^gelu has a range and fraction bits of its own"):
        lookup("gelu", -1, 1)
    with pytest.raises(ValueError, match="of at most 200 characters, not one of 201"):
        expression("x" * 201)


@pytest.mark.parametrize(
    "text, low, high, what",
    [
        ("1 / x", -4, 4, "inf at x = 0"),
        ("log(x)", -4, 4, "nan at x = -4"),
        ("sqrt(x - 1)", 0, 4, "nan at x = 0"),
        ("exp(exp(x))", -4, 100, "inf at x = 100"),
        ("1 / (x - 0.99)", 0.5, 2, "inf at x = 0.99"),
    ],
)
def test_functions_that_are_not_finite_on_their_range(text, low, high, what):
    with pytest.raises(ValueError) as caught:
        expression(text, low, high)
    assert str(caught.value) == f"{text} must be finite on {low} to {high}, not {what}"


def test_functions_beyond_float32_are_refused():
    wanted = r"^exp\(x\*100\) on -4\.0 to 4\.0: values from .*: the largest magnitude must be at most 3.40282e.38"
    with pytest.raises(ValueError, match=wanted):
        expression("exp(x*100)")


# -- files and bad tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"thresholds": [3, 2]}, "thresholds must not decrease, 2 follows 3"),
        ({"thresholds": [1]}, "a table of 3 slopes must have one threshold less and as many intercepts: 1 threshold"),
        ({"intercepts": [1]}, "a table of 3 slopes must have one threshold less and as many intercepts: 2 threshold"),
        ({"slopes": []}, "a table must have 1 to 256 slopes, not 0"),
        ({"slopes": [1, 2, 128]}, "slopes must be -128 to 127, not 128"),
        ({"intercepts": [1, 2, -129]}, "intercepts must be -128 to 127, not -129"),
        ({"thresholds": [1, 256]}, "thresholds must be -128 to 255, not 256"),
        ({"thresholds": [-129, 1]}, "thresholds must be -128 to 255, not -129"),
        ({"thresholds": [1, 2.0]}, "each of the thresholds must be an integer, not 2.0"),
        ({"thresholds": [1, True]}, "each of the thresholds must be an integer, not True"),
        ({"slopes": "123"}, "slopes must be a list of integers, not '123'"),
        ({"slopes": 3}, "slopes must be a list, not 3"),
        ({"fraction_bits": 17}, "fraction_bits must be 0 to 16, not 17"),
        ({"fraction_bits": -1}, "fraction_bits must be 0 to 16, not -1"),
        ({"fraction_bits": None}, "fraction_bits must be an integer, not None"),
        ({"negate_input": 1}, "negate_input must be true or false, not 1"),
        ({"width": 9}, "width must be 8, 16 or 32, not 9"),
    ],
)
def test_bad_tables(change, message):
    good = {"thresholds": [1, 2], "slopes": [1, 2, 3], "intercepts": [4, 5, 6], "fraction_bits": 6}
    assert PwlTable.from_dict(good) == PwlTable(np.array([1, 2]), (1, 2, 3), [4, 5, 6], np.int8(6))
    with pytest.raises((ValueError, TypeError)) as caught:
        PwlTable(**good | change)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    text = json.dumps({"version": 1, "tables": {"5": good | change}})
    with pytest.raises(ValueError, match=r"^it is not a piecewise-linear table: ") as caught:
        pwl.loads(text)
    assert message in str(caught.value)


def test_bad_inputs_of_the_unit():
    table = shipped("gelu-8")[5]
    for s in (-1, 8):
        with pytest.raises(ValueError, match=rf"^the scale s must be 0 to 7, not {s}$"):
            accumulate(0, table, s)
    with pytest.raises(TypeError, match=r"^the scale s must be an integer, not 5\.0$"):
        accumulate(0, table, 5.0)
    for q in (-129, 256, 1 << 40):
        with pytest.raises(ValueError, match=rf"^codes must be -128 to 255, they are {q} to {q}$"):
            accumulate(q, table, 5)
    with pytest.raises(TypeError, match=r"^codes must be integers, not float64$"):
        accumulate([0.5], table, 5)
    with pytest.raises(ValueError, match=r"^shift must be -46 to 62, not 63$"):
        evaluate(0, table, 5, 63, 0, 1)
    with pytest.raises(ValueError, match=r"^low must not be above high, and both within"):
        evaluate(0, table, 5, 3, 2, 1)
    with pytest.raises(ValueError, match=r"^the function must be div or rsqrt, not 'exp'$"):
        multi_range(1, table, "exp")
    with pytest.raises(ValueError, match=r"^codes must be 0 to 4611686018427387903, they are -1 to -1$"):
        multi_range(-1, table, "div")
    with pytest.raises(ValueError, match=r"^fraction_bits must be 0 to 32, not 33$"):
        multi_range(1, table, "div", 33)
    with pytest.raises(ValueError, match=r"^the table must be one of div-16, div-8, .*, not 'gelu'$"):
        shipped("gelu")


def test_a_file_holds_what_was_written(tmp_path):
    rng = np.random.default_rng(5)
    tables = {s: random_table(rng) for s in (7, 0, 3)} | {15: random_table(rng, 16)}
    text = pwl.dumps(tables, function="a 'quoted' name", mse={"0": 1e-5})
    path = tmp_path / "table.json"
    path.write_text(text)
    assert pwl.load(path) == tables and [*pwl.load(path)] == [0, 3, 7, 15]
    assert json.loads(text)["about"] == {"function": "a 'quoted' name", "mse": {"0": 1e-5}}
    assert pwl.dumps(pwl.load(path), function="a 'quoted' name", mse={"0": 1e-5}) == text
    assert pwl.loads(pwl.dumps(tables)) == tables


GOOD = '{"thresholds": [], "slopes": [1], "intercepts": [1], "fraction_bits": 6}'


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[" * 100000, "recursion"),
        ("[1]", r"a table file must be an object with a version, not \[1\]"),
        ("{}", "a table file must be an object with a version, not {}"),
        ('{"version": 2}', "the version must be 1, not 2"),
        ('{"version": 1}', "tables must be an object with a table for each scale, not None"),
        ('{"version": 1, "tables": {}}', "tables must be an object with a table for each scale, not {}"),
        ('{"version": 1, "tables": {"5": 1}}', "a table must be an object with thresholds, slopes, .*, not 1"),
        ('{"version": 1, "tables": {"5": {"slopes": [1]}}}', "a table lacks thresholds, intercepts, fraction_bits"),
        ('{"version": 1, "tables": {"5": {"slope": [1]}}}', "a table must be an object with thresholds"),
        *(
            (
                f'{{"version": 1, "tables": {{"{scale}": {GOOD}}}}}',
                f"the scale s of a table must be 0 to 7, not '{scale}'",
            )
            for scale in ("8", "-1", "x", "05", "")
        ),
    ],
)
def test_malformed_files(tmp_path, text, message):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"table\.json: it is not a piecewise-linear table: .*{message}") as caught:
        pwl.load(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"table\.json: it is not a piecewise-linear table: "):
        pwl.load(path)


def test_tables_are_in_the_package():
    import tomllib

    root = pwl._FOLDER.parents[2]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert listed["bitloom.golden.gqa_lut"] == ["tables/*.json"]
    assert pwl_functions.GRID_STEP == 0.01
