"""golden.integer_ops against plain integers, written from the recipes; golden.integer_model on the real encoder."""

import functools
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import toy_encoder
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.golden.gqa_lut import integer_ops
from bitloom.golden.gqa_lut.fine_root import fine_root
from bitloom.golden.gqa_lut.integer_ops import exponentials, gelu, inverse_root, layernorm, reciprocal, softmax
from bitloom.golden.gqa_lut.pwl import shipped
from bitloom.golden.workloads import integer_model, machine_losses, transformer
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES


def rsh(value, bits):
    return (value + (1 << (bits - 1))) >> bits if bits > 0 else value << -bits


def shift_right(value, bits):
    return value >> bits if bits >= 0 else value << -bits


def unit(q, table, s):
    entry = sum(q > threshold for threshold in table.thresholds)
    return table.slopes[entry] * (-q if table.negate_input else q) + (table.intercepts[entry] << s)


def plain_softmax(row, s, out_bits, entries=8, mask=None):
    """One row, step by step."""
    exp, reci = shipped(f"exp-{entries}")[s], shipped(f"div-normalized-{entries}")[7]
    mask = [True] * len(row) if mask is None else mask
    top = max((q for q, kept in zip(row, mask, strict=True) if kept), default=0)
    e = [
        min(max(rsh(unit(top - q, exp, s), 6 + s - 8), 0), 255) if kept else 0
        for q, kept in zip(row, mask, strict=True)
    ]
    total = sum(e)
    if total == 0:
        return [0] * len(row)
    n = total.bit_length() - 1
    r = unit(shift_right(total, n - 7), reci, 7)
    return [min(max(rsh(x * r, 13 + n - out_bits), 0), 2**out_bits - 1) for x in e]


def plain_layernorm(row, out_shift, epsilon=1, entries=8, bits=8):
    count, s1, s2 = len(row), sum(row), sum(q * q for q in row)
    v = count * s2 - s1 * s1 + epsilon
    mm = (v.bit_length() - 1) >> 1
    if entries == 192:
        r, fraction = plain_root(shift_right(v, 2 * mm - 14)), 16
    else:
        r, fraction = unit(shift_right(v, 2 * mm - 6), shipped(f"rsqrt-normalized-{entries}")[6], 6), 12
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [min(max(rsh((count * q - s1) * r, fraction + mm - out_shift), low), high) for q in row]


@functools.cache
def plain_segment(number):
    """Value and drop of a segment of 1/sqrt(x), in decimal numbers of many digits."""

    def root(x):
        return Decimal(2**18) / (Decimal(x) / 128).sqrt()

    begin, end, middle = root(2 * number), root(2 * number + 2), root(2 * number + 1)
    return round(begin - ((begin + end) / 2 - middle) / 2), round(begin - end)


def plain_root(code):
    value, drop = plain_segment(code >> 8)
    return rsh(value * 256 - drop * (code & 255), 10)


def rows(rng, length, count=6):
    """Random rows, and the extremes."""
    found = [rng.integers(-128, 128, length) for _ in range(count)]
    found += [np.full(length, q) for q in (-128, 0, 127)]
    found += [np.where(np.arange(length) % 2, -128, 127), np.r_[127, np.full(length - 1, -128)]]
    return np.array([*found, rng.integers(-3, 4, length), np.clip(np.rint(rng.normal(0, 30, length)), -128, 127)], int)


# -- worked examples ---------------------------------------------------------------------------------------------------


def test_the_worked_softmax():
    q = np.array([40, 37, 12, -8, -25, -90, 40, 0])
    assert exponentials(q, 5).tolist() == [255, 234, 108, 58, 31, 4, 255, 72]
    assert [int(part) for part in reciprocal(1017)] == [4130, 9, 13]
    found = softmax(q, 5)
    assert found.tolist() == [64, 59, 27, 15, 8, 1, 64, 18] and found.sum() == 256
    real = np.exp(q / 32) / np.exp(q / 32).sum() * 256
    assert real.round(2).tolist() == [64.23, 58.49, 26.78, 14.33, 8.43, 1.11, 64.23, 18.40]


def test_the_worked_sums_of_softmax():
    u = np.array([0, 3, 28, 48, 65, 130, 0, 40])
    table = shipped("exp-8")[5]
    assert [sum(int(x) > t for t in table.thresholds) for x in u] == [0, 0, 2, 3, 4, 6, 0, 2]
    assert [unit(int(x), table, 5) for x in u] == [2048, 1874, 864, 464, 251, 30, 2048, 576]


def test_the_worked_layernorm():
    q = np.array([12, -45, 77, 3, -128, 127, 60, -9])
    assert (q.sum(), np.square(q).sum(), 8 * q - 97) == (
        97,
        44301,
        pytest.approx([-1, -457, 519, -73, -1121, 919, 383, -169]),
    )
    assert [int(part) for part in inverse_root(345000)] == [3572, 9, 12]
    assert layernorm(q).tolist() == [0, -25, 28, -4, -61, 50, 21, -9]
    real = (q - q.mean()) / q.std() * 32
    assert np.round(real, 2).tolist() == [-0.05, -24.90, 28.28, -3.98, -61.07, 50.07, 20.87, -9.21]


# -- against plain integers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", (1, 2, 3, 7, 64, 200))
def test_softmax_against_plain_integers(length):
    rng = np.random.default_rng(length)
    q = rows(rng, length)
    for s in range(8):
        out_bits = int(rng.integers(1, 16))
        for bits in (8, out_bits):
            assert softmax(q, s, bits).tolist() == [plain_softmax(row, s, bits) for row in q.tolist()]
    tables = {"table": shipped("exp-16")[4], "reciprocals": shipped("div-normalized-16")[7]}
    assert softmax(q, 4, **tables).tolist() == [plain_softmax(row, 4, 8, 16) for row in q.tolist()]


@pytest.mark.parametrize("length", (1, 2, 3, 8, 63, 384))
def test_layernorm_against_plain_integers(length):
    rng = np.random.default_rng(length)
    q = rows(rng, length)
    for out_shift in range(8):
        assert layernorm(q, out_shift).tolist() == [plain_layernorm(row, out_shift) for row in q.tolist()]
    table = shipped("rsqrt-normalized-16")[6]
    assert layernorm(q, table=table).tolist() == [plain_layernorm(row, 5, 1, 16) for row in q.tolist()]
    assert layernorm(q, epsilon=10**6).tolist() == [plain_layernorm(row, 5, 10**6) for row in q.tolist()]


def test_gelu_against_plain_integers():
    codes = np.arange(-128, 128)
    for s in range(8):
        for out in range(16):
            table = shipped("gelu-8")[s]
            expected = [min(max(rsh(unit(q, table, s), 6 + s - out), -128), 127) for q in codes.tolist()]
            assert gelu(codes, s, out).tolist() == expected
        assert gelu(codes, s).tolist() == gelu(codes, s, s).tolist()
    silu = shipped("silu-16")[5]
    assert gelu(codes, 5, table=silu).tolist() == [
        min(max(rsh(unit(q, silu, 5), 6), -128), 127) for q in codes.tolist()
    ]


def test_rows_are_the_last_axis():
    q = np.random.default_rng(1).integers(-128, 128, (2, 3, 5, 9)).astype(np.int8)
    for operation in (lambda x: softmax(x, 4), layernorm, lambda x: gelu(x, 4)):
        whole = operation(q)
        assert whole.shape == q.shape and whole.dtype == np.int64
        np.testing.assert_array_equal(whole[1, 2, 3], operation(q[1, 2, 3]))
    assert softmax(np.zeros((0, 4), np.int8), 4).shape == (0, 4)


# -- corner cases ------------------------------------------------------------------------------------------------------


def test_a_single_logit_gives_255_and_not_256():
    for q in (-128, 0, 127):
        assert softmax([q], 5).tolist() == [255]
        assert softmax([q], 5, 7).tolist() == [127]


def test_a_uniform_row_of_1024_is_all_zeros_with_8_bits():
    assert softmax(np.zeros(1024, int), 5).max() == 0
    assert softmax(np.zeros(1024, int), 5, 15).tolist() == [32] * 1024


def test_distances_are_not_cut_to_7_bits():
    assert exponentials([127, -1, -128], 5).tolist() == [255, rsh(unit(128, shipped("exp-8")[5], 5), 3), 0]
    assert exponentials([127, -128], 7)[1] == pytest.approx(256 * math.exp(-255 / 128), abs=1.5)


def test_a_mask_of_true_keeps_a_logit():
    rng = np.random.default_rng(4)
    q = rows(rng, 20)
    mask = rng.random(q.shape) < 0.7
    mask[0], mask[1], q[2, 5], mask[2] = False, True, 127, np.arange(20) != 5
    found = softmax(q, 4, mask=mask)
    expected = [plain_softmax(row, 4, 8, mask=kept) for row, kept in zip(q.tolist(), mask.tolist(), strict=True)]
    assert found.tolist() == expected and not found[~mask].any()
    assert found[0].tolist() == [0] * 20
    np.testing.assert_array_equal(found[1], softmax(q[1], 4))
    # What is taken out does not count for the maximum either.
    np.testing.assert_array_equal(found[2][mask[2]], softmax(q[2][mask[2]], 4))
    np.testing.assert_array_equal(softmax(q, 4, mask=mask[1]), softmax(q, 4))


def test_a_constant_row_has_no_deviation():
    for q in (-128, -1, 0, 127):
        for length in (1, 2, 768):
            assert not layernorm(np.full(length, q)).any()


def test_zero_has_the_largest_reciprocal_and_inverse_root():
    assert [int(part) for part in reciprocal(0)] == [int(part) for part in reciprocal(1)] == [8192, 0, 13]
    assert [int(part) for part in inverse_root(0)] == [int(part) for part in inverse_root(1)] == [4096, 0, 12]
    values = np.arange(2, 5000)
    r, n, fraction = reciprocal(values)
    assert (r * 2.0 ** -(fraction + n)).max() < 1 and (r >= 4112).all() and (r <= 8192).all()


def test_widths():
    q = np.r_[np.full(384, 127), np.full(384, -128)][None]
    s1, s2 = int(q.sum()), int(np.square(q).sum())
    v = 768 * s2 - s1**2 + 1
    assert s2.bit_length() <= 24 and v.bit_length() <= 34
    one = np.full((1, 768), 127)
    one[0, 0] = -128
    d = 768 * one - one.sum()
    assert max(int(d.max()).bit_length(), int(-d.min() - 1).bit_length()) + 1 <= 19
    found = softmax(np.full((1, 1024), 127), 5, 15)
    assert found.max() == 32 and int(exponentials(np.full((1, 1024), 127), 5).sum()).bit_length() <= 18


# -- against real numbers ----------------------------------------------------------------------------------------------


def test_the_relative_errors_of_normalized_tables():
    rng = np.random.default_rng(0)
    values = (2.0 ** rng.uniform(8, 40, 20000)).astype(np.int64)
    for operation, power, largest, mean in ((reciprocal, 1, 0.0086, 0.0036), (inverse_root, 0.5, 0.009, 0.0032)):
        r, n, fraction = operation(values)
        error = r * 2.0 ** -(fraction + n) * values.astype(float) ** power - 1
        assert np.abs(error).max() < largest and np.sqrt(np.mean(np.square(error))) < mean


def wide_rows(rng, length, bits):
    """Random rows of `bits` bits, narrow ones, and the extremes."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    drawn = rng.integers(low, high, (4, length), endpoint=True)
    narrow = rng.integers(-3, 4, length)
    return np.array([*drawn, *(drawn >> 5), np.where(np.arange(length) % 2, low, high), np.full(length, low), narrow])


@pytest.mark.parametrize("bits", [8, 9, 13, 16])
@pytest.mark.parametrize("entries", [8, 192])
def test_layernorm_of_more_bits_against_plain_integers(bits, entries):
    rng = np.random.default_rng(bits)
    root = {"fine": True} if entries == 192 else {}
    for length in (1, 2, 3, 50):
        for output_bits in (8, bits, 16):
            q, out_shift = wide_rows(rng, length, bits), int(rng.integers(output_bits))
            found = layernorm(q, out_shift, epsilon=3, input_bits=bits, output_bits=output_bits, **root)
            assert found.tolist() == [plain_layernorm(row, out_shift, 3, entries, output_bits) for row in q.tolist()]


def test_layernorm_of_the_longest_rows_is_exact():
    """Sums that need all of 62 bits."""
    for row in (np.full(1 << 16, -(1 << 15)), np.where(np.arange(1 << 16) % 2, -(1 << 15), (1 << 15) - 1)):
        found = layernorm(row, 10, input_bits=16, output_bits=16, fine=True)
        assert found[:2].tolist() == plain_layernorm(row.tolist(), 10, 1, 192, 16)[:2]


def test_the_fine_root_is_within_0_0022_percent():
    codes = np.arange(1 << 14, 1 << 16)
    found = fine_root(codes)
    assert found.min() == 1 << 15 and found.max() == (1 << 16) - 1
    assert (np.diff(found) <= 0).all()
    assert np.abs(found / 2.0**16 * np.sqrt(codes / 2.0**14) - 1).max() < 2.2e-5


@pytest.mark.parametrize(
    ("root", "rms", "largest"), [({}, (8, 15), (50, 300)), ({"fine": True}, (0.28, 0.3), (0.5, 2))], ids=["8", "192"]
)
def test_layernorm_in_16_bits_against_floating_point(root, rms, largest):
    """In units of the last place: 8 entries are worth 9 bits, 192 all 16."""
    x = np.random.default_rng(0).normal(size=(300, 384))
    q = np.clip(np.rint(x * 5000), -(1 << 15), (1 << 15) - 1).astype(np.int64)
    real = (q - q.mean(axis=-1, keepdims=True)) / q.std(axis=-1, keepdims=True) * (1 << 12)
    error = layernorm(q, 12, input_bits=16, output_bits=16, **root) - real
    assert rms[0] < np.sqrt(np.square(error).mean()) < rms[1]
    assert largest[0] < np.abs(error).max() < largest[1]


def test_layernorm_is_within_1_percent():
    rng = np.random.default_rng(2)
    for length in (64, 192, 768):
        q = np.clip(np.rint(rng.normal(rng.uniform(-40, 40, (300, 1)), 20, (300, length))), -128, 127).astype(int)
        real = (q - q.mean(axis=1, keepdims=True)) / q.std(axis=1, keepdims=True)
        error = np.abs(layernorm(q) / 32 - np.clip(real, -4, 127 / 32))
        assert (error <= 0.009 * np.abs(real) + 1 / 64).all()


@pytest.mark.parametrize("entries, worst", ((8, 0.06), (16, 0.035)))
def test_softmax_is_within_some_percent_of_the_largest(entries, worst):
    rng = np.random.default_rng(3)
    tables = {"table": shipped(f"exp-{entries}")[5], "reciprocals": shipped(f"div-normalized-{entries}")[7]}
    for length in (8, 64, 197, 1024):
        q = np.clip(np.rint(rng.normal(0, 1.2, (100, length)) * 32), -128, 127).astype(int)
        found, real = softmax(q, 5, 15, **tables) / 2**15, transformer.softmax("", q / 32)
        assert (np.abs(found - real) / real.max(axis=1, keepdims=True)).max() < worst
        assert found.sum(axis=1).mean() == pytest.approx(1, abs=0.01)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_bad_input():
    for operation in (lambda q: softmax(q, 5), layernorm, lambda q: gelu(q, 5)):
        with pytest.raises(ValueError, match=r"^codes must be -128 to 127, they are -129 to 3$"):
            operation([-129, 3])
        with pytest.raises(TypeError, match=r"^codes must be integers, not float64$"):
            operation([0.5])
    for operation, name in ((lambda q: softmax(q, 5), "softmax"), (layernorm, "layernorm")):
        with pytest.raises(ValueError, match=rf"^{name} needs rows of 1 to 2\*\*20 codes, not the shape \(3, 0\)$"):
            operation(np.zeros((3, 0), int))
        with pytest.raises(ValueError, match=rf"^{name} needs rows of 1 to 2\*\*20 codes, not the shape \(\)$"):
            operation(3)
    for s in (-1, 8, 2.5):
        for operation in (softmax, gelu):
            with pytest.raises(ValueError, match=rf"^the scale s must be 0 to 7, not {s}$"):
                operation([1], s)
    with pytest.raises(ValueError, match=r"^out_bits must be 1 to 15, not 16$"):
        softmax([1], 5, 16)
    with pytest.raises(ValueError, match=r"^out_shift must be 0 to 7, not 8$"):
        layernorm([1], 8)
    with pytest.raises(ValueError, match=r"^epsilon must be 1 to 2\*\*32, not 0$"):
        layernorm([1], epsilon=0)
    with pytest.raises(ValueError, match=r"^output_bits must be 8 to 16, not 17$"):
        layernorm([1], output_bits=17)
    with pytest.raises(ValueError, match=r"^codes must be -512 to 511, they are 0 to 512$"):
        layernorm([0, 512], input_bits=10)
    with pytest.raises(ValueError, match=r"^layernorm needs rows of 1 to 2\*\*16 codes, not the shape \(65537,\)$"):
        layernorm(np.zeros(65537, int), input_bits=16)
    with pytest.raises(ValueError, match=r"^table must be None where the root is fine$"):
        inverse_root(5, shipped("rsqrt-normalized-8")[6], fine=True)
    with pytest.raises(ValueError, match=r"^out_scale must be 0 to 15, not 16$"):
        gelu([1], 5, 16)


# -- in a model --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    return transformer.Encoder.load()


@pytest.fixture(scope="module")
def scales(encoder):
    told = []
    found = integer_model.calibrate(encoder, CALIBRATION[:2], lambda *counts: told.append(counts))
    assert told == [(done, 25) for done in range(26)]
    return found


def test_quantize():
    assert integer_model.quantize(np.float32([-0.5, 0.5, 1.5, 0.49, 1000, -1000]), 0).tolist() == [
        0,
        1,
        2,
        0,
        127,
        -128,
    ]
    assert integer_model.quantize(np.float32([10.0]), -2).tolist() == [3]


def test_every_operation_gets_scales(scales):
    kinds = [found.kind for found in scales.values()]
    assert [kinds.count(kind) for kind in integer_model.KINDS] == [6, 6, 13]
    assert scales["layer.0.attention.softmax"].output == 8 and scales["layer.0.attention.softmax"].gamma is None
    assert len({found.input for found in scales.values()}) > 2


def test_scales_are_the_best_ones(encoder, scales):
    """The input's scale of a GELU, and the output's of a LayerNorm, tried one by one."""
    seen = {}
    ops = {kind: getattr(transformer, kind) for kind in integer_model.KINDS}

    def watch(kind):
        def operation(name, *arguments):
            seen[name] = arguments
            return ops[kind](name, *arguments)

        return operation

    watched = transformer.Ops(**{kind: watch(kind) for kind in integer_model.KINDS})
    encoder.embed(CALIBRATION[:2], watched, batch=2)
    name = "layer.3.feed_forward.gelu"
    (x,) = seen[name]
    errors = []
    for s in range(8):
        near = np.clip(np.floor(x * 2.0**s + 0.5), -128, 127) * 2.0**-s
        errors.append(np.square(transformer.gelu("", near) - transformer.gelu("", x)).sum())
    assert scales[name].input == int(np.argmin(errors))
    name = "layer.3.attention.norm"
    x, gamma, beta, eps = seen[name]
    s, unit_of = scales[name].input, scales[name].gamma
    q = np.clip(np.floor(x * 2.0**s + 0.5), -128, 127).astype(int)
    codes = np.floor(gamma * 2.0**unit_of + 0.5)
    assert 64 <= np.abs(codes).max() <= 127
    exact, errors = transformer.layernorm("", x, gamma, beta, eps), []
    for out in range(8):
        y = layernorm(q, out) * codes + np.floor(beta * 2.0 ** (out + unit_of) + 0.5)
        errors.append(np.square(y * 2.0 ** -(out + unit_of) - exact).sum())
    assert scales[name].output == int(np.argmin(errors))
    whole = integer_model.integer(scales).layernorm(name, x, gamma, beta, eps)
    assert whole.dtype == np.float32
    assert np.square(whole - exact).sum() == pytest.approx(min(errors), rel=1e-5)


def test_what_the_operations_give_are_integers(encoder, scales):
    x = np.random.default_rng(0).normal(0, 2, (2, 6, 6)).astype(np.float32)
    ops = integer_model.integer(scales)
    name = "layer.0.attention.softmax"
    s = scales[name].input
    q = [math.floor(Fraction(float(value)) * 2**s + Fraction(1, 2)) for value in x[1, 2]]
    assert (ops.softmax(name, x)[1, 2] * 256).tolist() == plain_softmax([min(max(v, -128), 127) for v in q], s, 8)
    name = "layer.0.feed_forward.gelu"
    found = scales[name]
    y = ops.gelu(name, x[0])
    np.testing.assert_array_equal(
        y * 2.0**found.output, gelu(integer_model.quantize(x[0], found.input), found.input, found.output)
    )


def test_only_the_named_operations_are_replaced(scales):
    ops = integer_model.integer(scales, 16, ("gelu",))
    assert ops.softmax is transformer.softmax and ops.layernorm is transformer.layernorm
    assert ops.gelu is not transformer.gelu and ops.linear is transformer.linear


def test_tables_lose_little_beside_exact_functions_of_the_same_codes(encoder):
    told = []
    found, scales = integer_model.compare(encoder, SENTENCES[:3], CALIBRATION[:2], lambda *counts: told.append(counts))
    assert told == [(done, 14) for done in range(15)] and len(scales) == 25
    assert [*found] == ["softmax", "gelu", "layernorm", "all"]
    for row in found.values():
        assert [*row] == ["exact", "8", "16"] and all(0.7 < value < 1 for value in row.values())
        assert row["8"] > row["exact"] - 0.02 and row["16"] > row["exact"] - 0.02
    assert found["softmax"]["16"] > found["softmax"]["8"] > 0.998
    assert found["all"]["8"] < min(found[kind]["8"] for kind in integer_model.KINDS)


@pytest.mark.long
def test_the_whole_comparison(encoder):
    found, _ = integer_model.compare(encoder, SENTENCES, CALIBRATION)
    assert {row: [round(value, 2) for value in values.values()] for row, values in found.items()} == {
        "softmax": [1.0, 1.0, 1.0],
        "gelu": [0.99, 0.99, 0.99],
        "layernorm": [0.92, 0.91, 0.91],
        "all": [0.86, 0.86, 0.86],
    }


def test_bad_requests_to_the_model(scales):
    with pytest.raises(ValueError, match=r"^entries must be 8, 16 or None, not 12$"):
        integer_model.integer(scales, 12)
    with pytest.raises(ValueError, match=r"^an operation must be one of softmax, gelu, layernorm, not 'linear'$"):
        integer_model.integer(scales, 8, ("linear",))
    with pytest.raises(ValueError, match=r"^there are no scales for layer\.9\.feed_forward\.gelu$"):
        integer_model.integer(scales).gelu("layer.9.feed_forward.gelu", np.zeros((1, 1), np.float32))


def test_command(monkeypatch, tmp_path):
    row, loss = {"exact": 0.99991, "8": 0.5, "16": 0.25}, {"8": 0.99414, "16": 0.99466}
    scales = {"layer.0.attention.softmax": integer_model.Scales("softmax", 4, 8)}
    monkeypatch.setattr(integer_model, "compare", lambda *arguments: ({"softmax": row, "all": row}, scales))
    monkeypatch.setattr(machine_losses, "compare", lambda *arguments: {"linear": loss, "all": loss})
    folder, file = toy_encoder.write(tmp_path / "model"), tmp_path / "found.json"
    words = ["evaluate", "integer-ops", "--model", str(folder), "--json", str(file)]
    result = CliRunner().invoke(cli.bitloom, words)
    assert result.output.splitlines() == [
        "Mean cosine similarity of 24 sentence embeddings with those of FP32",
        "replaced  exact   8       16",
        "softmax   0.9999  0.5000  0.2500",
        "all       0.9999  0.5000  0.2500",
        "",
        "The integer encoder: one operation more a row",
        "added   8       16",
        "linear  0.9941  0.9947",
        "all     0.9941  0.9947",
    ]
    assert json.loads(file.read_text()) == {
        "calibration_sentences": 8,
        "sentences": 24,
        "cosine": {"softmax": row, "all": row},
        "scales": {"layer.0.attention.softmax": {"kind": "softmax", "input": 4, "output": 8, "gamma": None}},
        "encoder": {"linear": loss, "all": loss},
    }
    assert integer_ops.__all__ == sorted(integer_ops.__all__)
    with pytest.raises(cli.click.UsageError):
        CliRunner().invoke(cli.bitloom, ["evaluate", "other"], standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({}, "no such folder, expected one with config.json and model.safetensors"),
        ({"hidden": 36}, "hidden_size must be a multiple of 8 up to 65536, not 36"),
    ],
)
def test_command_refuses_other_models_in_one_line(tmp_path, sizes, message):
    folder, file = tmp_path / "model", tmp_path / "found.json"
    if sizes:
        toy_encoder.write(folder, **sizes)
    words = ["evaluate", "integer-ops", "--model", str(folder), "--json", str(file)]
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(cli.bitloom, words, standalone_mode=False, catch_exceptions=False)
    assert not file.exists()
