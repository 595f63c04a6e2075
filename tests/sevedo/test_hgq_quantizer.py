"""The HGQ quantizer against its golden model, by the million, and the cases of the specification by name."""

import dataclasses
import functools

import numpy as np
import pytest
from benches import passes, rehearse

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.sevedo.hgq import GroupConfig
from bitloom.cores.sevedo.hgq_quantizer import HgqQuantizer, HgqQuantizerConfig
from bitloom.golden.sevedo import hgq
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove_no_path

CORE = lookup("hgq-quantizer")
EXAMPLE = HgqQuantizerConfig(coarse=8, fine=4, lanes=4)
# A coarse group in every cycle: the fastest way through many scales and shifts.
GROUPS = HgqQuantizerConfig(coarse=4, fine=2, lanes=2)
SINGLE = HgqQuantizerConfig(coarse=2, fine=2, lanes=2)


@functools.cache
def design(config):
    return generate(CORE, config)


def run(config, rows, **options):
    """Rows of FP16 codes, shape (N, K), through the Verilated core: an `HgqTensor`, and what the driver says."""
    rows = np.asarray(rows, np.uint16)
    count, k = rows.shape
    transfers, groups = -(-k // config.lanes), -(-k // config.coarse)
    beats = np.zeros((count, transfers * config.lanes), np.uint16)
    beats[:, :k] = rows
    last = np.zeros((count, transfers), np.uint8)
    last[:, -1] = 1
    payloads = np.hstack([beats.reshape(-1, config.lanes).view(np.uint8), last.reshape(-1, 1)])
    fine = count * groups * config.groups
    driven = drive(design(config), {"i": payloads}, {"o": fine}, **options)
    assert driven.failure is None
    bits = np.unpackbits(driven.outputs["o"], axis=1, bitorder="little")

    def field(start, width):
        return bits[:, start : start + width] @ (1 << np.arange(width))

    above = 4 * config.fine
    codes = np.stack([field(4 * index, 4) for index in range(config.fine)], axis=1)
    codes = np.where(codes > 7, codes - 16, codes).astype(np.int8).reshape(count, -1)
    shifts = field(above, config.shift_bits).astype(np.uint8).reshape(count, -1)
    scales = field(above + config.shift_bits, 16).reshape(count, groups, config.groups)
    # Every fine group has the scale of its coarse group, and the last one of a row says so.
    assert (scales == scales[..., :1]).all()
    ends = field(above + config.shift_bits + 16, 1).reshape(count, -1)
    assert (ends == (np.arange(ends.shape[1]) == ends.shape[1] - 1)).all()
    scales = scales[..., 0].astype(np.uint16).view(np.float16)
    flag = bool(driven.status["nonfinite"])
    return hgq.HgqTensor(codes, shifts, scales, k, config.shift_bits, flag), driven


def golden(config, rows):
    rows = np.asarray(rows, np.uint16).view(np.float16)
    return hgq.quantize(rows, config.coarse, config.fine, config.shift_bits, config.threshold)


def same(found, wanted):
    assert found.nonfinite == wanted.nonfinite
    for name in ("scales", "shifts", "codes"):
        a, b = getattr(found, name), getattr(wanted, name)
        wrong = np.argwhere(a != b)
        assert not len(wrong), f"{name}{wrong[0].tolist()}: {a[tuple(wrong[0])]}, not {b[tuple(wrong[0])]}"


def check(config, rows, **options):
    found, driven = run(config, rows, **options)
    same(found, golden(config, rows))
    return found, driven


# -- by the million ----------------------------------------------------------------------------------------------------


def test_every_largest_magnitude():
    """All 2**15 magnitudes as the largest one, beside a zero: scale and code."""
    magnitudes = np.arange(1 << 15)
    found, _ = check(SINGLE, np.stack([magnitudes, np.zeros_like(magnitudes)], axis=1))
    # Another oracle: the division by 7 of the specification's gate-level form.
    normal = (magnitudes >= 0x400) & (magnitudes < 0x7C00)
    m, x = 1024 | magnitudes & 1023, magnitudes >> 10
    high = m >= 1792
    exponent = x - 3 + high
    scale = exponent << 10 | (np.where(high, 4 * m + 3, 8 * m + 3) * 18725 >> 17) - 1024
    scale = np.where(exponent < 1, 0x400, scale)
    assert (found.scales[normal, 0].view(np.uint16) == scale[normal]).all()


def test_every_significand_with_every_distance():
    """Codes for random scales: every significand, at every distance of exponents that there is."""
    rng = np.random.default_rng(1)
    count = 1 << 19
    wide = rng.integers(0x400, 0x7C00, count)
    value = np.maximum(wide - rng.integers(0, 7 << 10, count), 0)
    check(SINGLE, np.stack([value, wide], axis=1))
    # And the significands alone: each with each of some scales, the exponent from 0 to 4 below.
    fractions = np.arange(1 << 10)
    wide = (14 + np.arange(6) << 10)[:, None] + rng.permutation(1 << 10)[:64]
    rows = np.stack(np.broadcast_arrays(14 << 10 | fractions[:, None, None], wide), axis=-1).reshape(-1, 2)
    check(SINGLE, rows ^ rng.integers(0, 2, rows.shape) << 15)


@pytest.mark.parametrize("shift_bits, threshold", [(2, 5), (3, 7), (1, 4), (2, 6)])
def test_every_class_of_shift(shift_bits, threshold):
    """Pairs of a narrow and a wide fine group: around each threshold, and any."""
    config = dataclasses.replace(GROUPS, shift_bits=shift_bits, threshold=threshold)
    rng = np.random.default_rng(shift_bits)
    count = 1 << 18
    wide = rng.integers(0x400, 0x7C00, count)
    narrow = wide.astype(np.uint16).view(np.float16).astype(np.float64) * threshold / 4
    narrow = (narrow / (1 << rng.integers(0, (1 << shift_bits) + 1, count))).clip(0, 65504).astype(np.float16)
    near = np.clip(narrow.view(np.uint16).astype(np.int64) + rng.integers(-2, 3, count), 0, 0x7BFF)
    near = np.where(rng.random(count) < 1 / 4, np.maximum(wide - rng.integers(0, 10 << 10, count), 0), near)
    other = rng.integers(0, 1 << 15, count) * (near + 1) >> 15
    rows = np.stack([near, other, wide, rng.integers(0, 1 << 15, count) * (wide + 1) >> 15], axis=1)
    found, _ = check(config, rows ^ rng.integers(0, 2, rows.shape) << 15)
    pairs = found.shifts[:, :1].repeat(2, 1) * 16 + found.codes[:, :2]
    assert len(np.unique(pairs)) == 15 << shift_bits


def test_any_codes_under_stalls():
    """Groups of 128, special values and all, with stalls; the flag is that of the model."""
    rng = np.random.default_rng(3)
    config = HgqQuantizerConfig()
    normal = (rng.normal(size=(500, 300)) * np.exp2(rng.integers(-8, 8, (500, 300)))).astype(np.float16)
    check(config, normal.view(np.uint16), stall_in=30, stall_out=30, seed=1)
    check(config, rng.integers(0, 1 << 16, (200, 129)), stall_in=20, stall_out=60, seed=2)


def test_cycles_are_exact():
    """One transfer per cycle, without a bubble between coarse groups; 10 cycles and the other fine groups behind it."""
    for config, rows in (
        (HgqQuantizerConfig(), 40),
        (EXAMPLE, 200),
        (SINGLE, 500),
        (HgqQuantizerConfig(coarse=64), 40),
    ):
        _, driven = check(config, np.full((rows, 3 * config.coarse), 0x3C00))
        transfers = 3 * rows * config.load
        assert driven.last["i"] == transfers - 1
        assert driven.first["o"] == config.load - 1 + config.latency
        assert driven.cycles == transfers + config.latency + (config.groups - 1) * config.parts
    assert HgqQuantizerConfig().latency == 10


# -- cases of the specification, sections 7 and 8 ----------------------------------------------------------------------


def half(*values):
    return np.array(values, np.float16).view(np.uint16)


def quantized(*values, config=EXAMPLE):
    """(scale's code, shifts, codes, flag) of one row."""
    row = np.array(values, np.uint16)[None]
    found, _ = check(config, row)
    scales = [int(code) for code in found.scales[0].view(np.uint16)]
    return scales, found.shifts[0].tolist(), found.codes[0].tolist(), found.nonfinite


def test_the_worked_example():
    x = half(7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0)
    scales, shifts, codes, flag = quantized(*x)
    assert scales == [0x3C00, 0x36DB]
    assert shifts == [3, 0, 3, 0]
    assert codes == [7, -4, 0, 2, 7, -2, 2, 0, -2, 7, 1, -6, 0, 0, 0, 0]
    assert not flag
    r1 = half(-1, 0.3, 0.6, -0.2, 0.05, -0.1, 0.12, 0.02, 2, -1.5, 0.7, 0.1, 0.3, 0.2, -0.4, 0.25)
    assert quantized(*r1) == (
        [0x3092, 0x3492],
        [3, 0, 3, 1],
        [-7, 2, 4, -1, 3, -6, 7, 1, 7, -5, 2, 0, 4, 3, -6, 4],
        False,
    )


ONE, SEVEN = 0x3C00, 0x4700
CASES = {
    "NaN is +0, and tells": ((SEVEN, 0x7E00, 0xFC01, ONE), [0x3C00], [3, 0], [7, 0, 0, 1, 0, 0, 0, 0], True),
    "Inf is 65504, and tells": ((0x7C00, 0xFC00, ONE, 0), [0x7092], [3, 0], [7, -7, 0, 0, 0, 0, 0, 0], True),
    "subnormal numbers and -0": ((0x03FF, 0x8000, 0x83FF, 0), [0x0400], [0, 0], [0] * 8, False),
    "all zero": ((0,) * 8, [0x0400], [0, 0], [0] * 8, False),
    "a fine group of zeros": ((0, 0, 0, 0, SEVEN), [0x3C00], [0, 3], [0, 0, 0, 0, 7, 0, 0, 0], False),
    "a very small group": ((0x0400, 0x8600, 0x0A00, 0x0E00), [0x0400], [3, 0], [1, -2, 3, 6, 0, 0, 0, 0], False),
    "the largest scale": ((0x7BFF, 0xFBFF), [0x7092], [3, 0], [7, -7, 0, 0, 0, 0, 0, 0], False),
    "ties go to even": (
        (SEVEN, *half(0.5, -1.5, 2.5, -3.5, 4.5, -5.5, 6.5)),
        [0x3C00],
        [3, 3],
        [7, 0, -2, 2, -4, 4, -6, 6],
        False,
    ),
    "clipped by the threshold": ((SEVEN, 0, 0, 0, *half(4.375, -4.3, 4, 3.7)), [0x3C00], [3, 2], None, False),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name):
    values, scales, shifts, codes, flag = CASES[name]
    found = quantized(*values, *[0] * (8 - len(values)))
    assert (found[0], found[1], found[3]) == (scales, shifts, flag)
    # Steps of a half: 8.75, -8.6 and 8 are clipped.
    assert found[2] == (codes or [7, 0, 0, 0, 7, -7, 7, 7])


def test_a_row_that_is_no_multiple_of_the_group_is_padded():
    rows = half(*range(1, 14))[None]
    found, driven = check(EXAMPLE, np.repeat(rows, 3, axis=0))
    assert found.codes.shape == (3, 16)
    assert driven.transfers == {"i": 12, "o": 12}


# -- the bench, the stream contract, the parameters --------------------------------------------------------------------


def test_no_path_from_ready_to_ready():
    config = CORE.config.parse(CORE.small)
    targets = ["i__ready", "o__valid", "o__payload", "nonfinite"]
    prove_no_path(HgqQuantizer(config), "o__ready", targets, "hgq_quantizer")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"^lanes must divide the fine group of 16, not be 32$"):
        HgqQuantizerConfig(lanes=32)
    with pytest.raises(ValueError, match=r"^coarse must be a multiple of the fine group of 16, not 24$"):
        HgqQuantizerConfig(coarse=24)
    with pytest.raises(ValueError, match=r"^shift_bits must be 0 to 3, not 4$"):
        GroupConfig(shift_bits=4)
    with pytest.raises(ValueError, match=r"^threshold must be 4 to 7, not 3$"):
        HgqQuantizerConfig(threshold=3)


def check_bench(parameters, vectors):
    config, result = passes(CORE.name, parameters, vectors)
    assert (result.latency, result.interval) == (config.latency, 1)
    assert result.coverage["codes"] == [1 << 16, 1 << 16]


@pytest.mark.parametrize(
    "parameters",
    [
        ("coarse=32", "lanes=8"),
        ("coarse=4", "fine=2", "lanes=1"),
        # The memory holds no whole number of groups: beside whole ones there are some words of another.
        ("coarse=13", "fine=13", "lanes=1"),
    ],
    ids=" ".join,
)
def test_quantizer_matches_its_golden_model(parameters):
    check_bench(parameters, 1000)


@pytest.mark.parametrize("vectors", [1, 2])
def test_rehearsal(vectors):
    rehearse(CORE.name, ("coarse=1", "fine=1", "lanes=1", "shift_bits=0"), vectors)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    [
        ("coarse=1", "fine=1", "lanes=1", "shift_bits=0"),
        (),
        ("coarse=64", "shift_bits=3", "threshold=7"),
        ("coarse=26", "fine=13", "lanes=1"),
        ("coarse=58", "fine=58", "lanes=2", "shift_bits=1", "threshold=4"),
        ("coarse=16", "shift_bits=1", "threshold=4"),
        ("coarse=16", "shift_bits=0"),
        ("coarse=48", "fine=12", "lanes=4", "threshold=6"),
        ("coarse=3", "fine=1", "lanes=1"),
        ("coarse=256", "fine=32", "lanes=32"),
    ],
    ids=" ".join,
)
def test_quantizer_matches_its_golden_model_long(parameters):
    check_bench(parameters, 5000)
