"""The piecewise-linear unit: its model against fractions and plain floats, and the unit against its model."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth import Array, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from benches import passes

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.gqa_lut.pwl_datapath import select
from bitloom.cores.gqa_lut.pwl_unit import PwlUnit, PwlUnitConfig
from bitloom.golden.gqa_lut import pwl
from bitloom.golden.gqa_lut import pwl_unit as golden
from bitloom.golden.gqa_lut.pwl import PwlTable
from bitloom.hdl.integer.leading_one import align_leading_one
from bitloom.hdl.integer.rounding import round_shift_saturate
from bitloom.testbench.formal import StreamContract, prove, prove_emission, prove_no_path

CORE = lookup("pwl-unit")

# -- models ------------------------------------------------------------------------------------------------------------


def half_up(value):
    return math.floor(value + Fraction(1, 2))


@pytest.mark.parametrize("seed", range(6))
def test_outputs_against_fractions(seed):
    rng = np.random.default_rng(seed)
    config = PwlUnitConfig(unsigned_input=bool(seed & 1), negate_input=bool(seed & 2), unsigned_output=bool(seed & 4))
    low, high = (0, 255) if config.unsigned_output else (-128, 127)
    codes = range(256) if config.unsigned_input else range(-128, 128)
    parts = (rng.integers(-128, 128, 8).tolist() for _ in range(2))
    table = PwlTable(sorted(rng.integers(codes[0], codes[-1], 7).tolist()), *parts, 6, config.negate_input)
    for s in range(8):
        shift = int(rng.integers(-config.left, 16 - config.left))
        expected = []
        for q in codes:
            entry = sum(q > threshold for threshold in table.thresholds)
            total = table.slopes[entry] * (-q if config.negate_input else q) + table.intercepts[entry] * 2**s
            expected.append(min(max(half_up(Fraction(total) / Fraction(2) ** shift), low), high))
        assert golden.outputs(np.array(codes), config, table, s, shift).tolist() == expected


def test_words():
    table = PwlTable([-5, 1, 2, 3, 4, 5, 200], range(8), range(-8, 0), 6)
    words = golden.words(PwlUnitConfig(), table, 3, 9)
    # No signed code is beyond 127; the last word has the scale below, the shift above.
    assert words == [251, 1, 2, 3, 4, 5, 127, *range(8), *range(248, 256), 0x93]
    exp = PwlUnitConfig(unsigned_input=True, negate_input=True)
    words = golden.words(exp, pwl.shipped("exp-8")[0], 0, -2)
    assert len(words) == 24 and words[-1] == 0
    wide = PwlUnitConfig(kind="int32", entries=16)
    table = PwlTable([-(1 << 31)] * 15, [-1] * 16, [5] * 16, 6, width=32)
    assert golden.words(wide, table, 31, 63)[14:16] == [1 << 31, (1 << 32) - 1]
    assert golden.words(wide, table, 31, 63)[-1] == 31 | 63 << 16


def test_words_of_what_does_not_fit():
    table, config = pwl.shipped("gelu-8")[5], PwlUnitConfig()
    with pytest.raises(ValueError, match=r"^the table's entries must be 16, not 8$"):
        golden.words(PwlUnitConfig(entries=16), table, 5, 6)
    with pytest.raises(ValueError, match=r"^the table's negate_input must be False, not True$"):
        golden.words(config, pwl.shipped("exp-8")[5], 5, 6)
    with pytest.raises(ValueError, match=r"^thresholds must be 0 or more for the unit's codes, not -78$"):
        golden.words(PwlUnitConfig(unsigned_input=True), table, 5, 6)
    with pytest.raises(ValueError, match=r"^the scale s must be 0 to 7, not 8$"):
        golden.words(config, table, 8, 6)
    for shift in (-1, 16):
        with pytest.raises(ValueError, match=rf"^shift must be 0 to 15, not {shift}$"):
            golden.words(config, table, 5, shift)


def plain_float(x, points, slopes, intercepts):
    """By exact fractions, each operation rounded by NumPy once; finite numbers."""
    entry = sum(float(x) >= float(point) for point in points)
    product = np.float32(float(slopes[entry]) * float(x))  # 48 bits: exact in float64
    total = Fraction(float(product)) + Fraction(float(intercepts[entry]))
    near = np.float32(float(total))
    # The fraction may have been rounded twice, once to float64; the nearest of three it is anyway.
    around = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)] + [near]
    best = min(abs(Fraction(float(c)) - total) for c in around)
    return {int(c.view(np.uint32)) for c in around if abs(Fraction(float(c)) - total) == best}


def test_floats_against_fractions():
    rng = np.random.default_rng(1)
    points = np.sort(rng.normal(size=7)).astype(np.float32)
    slopes, intercepts = (rng.normal(size=8).astype(np.float32) for _ in range(2))
    x = np.concatenate([rng.normal(size=200), points]).astype(np.float32)
    found = golden.floats(x, points, slopes, intercepts)
    for value, code in zip(x, found.tolist(), strict=True):
        assert code in plain_float(value, points, slopes, intercepts)


def test_floats_of_specials():
    points = [-1, 0, 0, 1, 2, 3, 4]
    assert golden.float_words(points, range(8), range(8))[:3] == [0x407FFFFF, 1 << 31, 1 << 31]
    assert golden.float_words(np.float32([-0.0] * 7), range(8), range(8))[0] == 1 << 31
    # -0 is at the breakpoint 0, so right of it; infinity * 0 is NaN.
    assert golden.floats([-0.0], points, range(8), [0, 1, 2, 3, 4, 5, 6, 7]).tolist() == [0x40400000]
    assert golden.floats([-np.inf, np.nan], points, range(8), range(8)).tolist() == [0x7FC00000] * 2
    for points in ([1, 0], [np.nan, 1]):
        with pytest.raises(ValueError, match=r"^breakpoints must not decrease, nor be NaN$"):
            golden.float_words(points, range(3), range(3))


def test_contents_of_a_rom():
    found = golden.exact(PwlUnitConfig(kind="rom", table="gelu-8", out_scale=5))
    for code in range(256):
        q = (code ^ 128) - 128
        y = q * (1 + math.erf(q / 32 / math.sqrt(2))) / 2
        assert found[code] == min(math.floor(y + 0.5), 127)
    found = golden.exact(PwlUnitConfig(kind="rom", table="exp-8", scale=4, out_scale=8, unsigned_output=True))
    assert found.tolist() == [min(math.floor(256 * math.exp(-u / 16) + 0.5), 255) for u in range(256)]
    # Below 16, 1/x is that of 16.
    found = golden.exact(PwlUnitConfig(kind="rom", table="div-8", out_scale=6, unsigned_output=True))
    assert found[:17].tolist() == [128] * 17 and found[64] == 32 and found[127] == found[255] == 16


def test_a_rom_and_a_table_differ_by_one_at_most():
    for name, scale in (("gelu-8", 5), ("hswish-16", 4), ("silu-16", 5)):
        rom = golden.exact(PwlUnitConfig(kind="rom", table=name, scale=scale, out_scale=scale))
        table = pwl.shipped(name)[scale]
        codes = (np.arange(256) ^ 128) - 128
        found = golden.outputs(codes, PwlUnitConfig(), table, scale, table.fraction_bits)
        assert np.abs(found - rom).max() <= 1


# -- parts -------------------------------------------------------------------------------------------------------------


class Rounder(wiring.Component):
    """`round_shift_saturate` in one step."""

    def __init__(self, width, left, shape):
        self.left, self.shape = left, shape
        super().__init__({"value": In(signed(width)), "shift": In(4), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(round_shift_saturate(m, "output", self.value, self.shift, self.left, self.shape))
        return m


@pytest.mark.parametrize("left", (0, 2))
@pytest.mark.parametrize("shape", (signed(4), Const(0, 4).shape()))
def test_every_value_and_shift(left, shape):
    rounder, found = Rounder(9, left, shape), []
    cases = [(value, shift) for value in range(-256, 256) for shift in range(16)]

    async def drive(ctx):
        for value, shift in cases:
            ctx.set(rounder.value, value)
            ctx.set(rounder.shift, shift)
            found.append(ctx.get(rounder.o))

    simulator = Simulator(rounder)
    simulator.add_testbench(drive)
    simulator.run()
    low, high = (-8, 7) if shape.signed else (0, 15)
    for (value, shift), got in zip(cases, found, strict=True):
        assert got == min(max(half_up(Fraction(value * 2**left, 2**shift)), low), high)


def run_once(build, inputs, values):
    """Outputs of combinational logic; `build(m, *signals)` gives the outputs."""
    m = Module()
    outputs = build(m, *inputs)
    taken = [Signal.like(value) for value in outputs]
    m.d.comb += [signal.eq(value) for signal, value in zip(taken, outputs, strict=True)]
    found = []

    async def drive(ctx):
        for row in values:
            for signal, value in zip(inputs, row, strict=True):
                ctx.set(signal, value)
            found.append([ctx.get(signal) for signal in taken])

    simulator = Simulator(m)
    simulator.add_testbench(drive)
    simulator.run()
    return found


@pytest.mark.parametrize("entries", (8, 16))
def test_select_counts(entries):
    passed = Signal(entries - 1)
    rows = [Const(3 * n + 1, 8) for n in range(entries)]
    found = run_once(lambda m, p: [select(m, "s", list(p), rows)], [passed], [((1 << n) - 1,) for n in range(entries)])
    assert found == [[3 * n + 1] for n in range(entries)]


@pytest.mark.parametrize("step", (1, 2))
@pytest.mark.parametrize("bits, width", ((10, 8), (11, 4), (5, 8), (1, 8)))
def test_the_leading_one(step, bits, width):
    value = Signal(bits)
    found = run_once(
        lambda m, v: align_leading_one(m, "lead", v, width, step), [value], [(v,) for v in range(1, 1 << bits)]
    )
    for v, (aligned, position) in enumerate(found, 1):
        assert position == (v.bit_length() - 1) // step
        assert aligned == math.floor(Fraction(v) * Fraction(2) ** (width - step - step * position))


# -- the unit ----------------------------------------------------------------------------------------------------------


def test_wrong_requests_are_refused():
    for fields, message in (
        ({"kind": "rom"}, "table must be div-16, div-8, .* for the kind rom, which holds its function, not none"),
        ({"kind": "int32", "table": "gelu-8"}, "table must be none for the kind int32, not gelu-8"),
        (
            {"table": "exp-8", "negate_input": True},
            "negate_input must be false for the fixed table exp-8, which has its own, not true",
        ),
        (
            {"table": "exp-8", "unsigned_input": True},
            "unsigned_input must be false for the fixed table exp-8, which has its own, not true",
        ),
        ({"table": "exp-8", "entries": 16}, "entries must be 8 for the fixed table exp-8, which has its own, not 16"),
        ({"table": "div-8", "scale": 4}, "scale must be 5 for the fixed table div-8, not 4"),
        ({"kind": "fp32", "unsigned_output": True}, "unsigned_output must be false for the kind fp32, not true"),
        ({"specials": False}, "specials must be true for the kind int8, not false"),
        (
            {"table": "gelu-8", "wide": 20},
            "wide must be 0 for the kind int8 with the table gelu-8: it is for int8 with div or rsqrt, not 20",
        ),
        ({"table": "div-8", "wide": 5, "fraction": 3}, "wide must be 6 or more with a fraction of 3 bits, not 5"),
        ({"fraction": 3}, "fraction must be 0 without a wide input, not 3"),
        ({"kind": "int16", "table": "gelu-8"}, "table must be none for the kind int16, not gelu-8"),
        ({"kind": "int4"}, "kind must be one of int8, int16, rom, int32, fp32, not 'int4'"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            PwlUnitConfig(**fields)


@pytest.mark.parametrize(
    "parameters", (["kind=int8"], ["kind=fp32", "specials=false"], ["kind=rom", "table=gelu-8"]), ids=" ".join
)
def test_no_path_from_ready_to_ready(parameters):
    core = PwlUnit(PwlUnitConfig.parse(parameters))
    prove_no_path(core, "o__ready", ["i__ready", "o__valid", "o__payload"], "pwl_unit")


def contract(parameters):
    config = PwlUnitConfig.parse(parameters)
    if config.kind == "rom":
        found = golden.exact(config)
    else:
        codes = np.arange(256) if config.unsigned_codes else (np.arange(256) ^ 128) - 128
        table, s = config.fixed
        found = golden.outputs(codes, config, table, s, table.fraction_bits + s - config.out_scale)
    values = Array(Const(int(value), config.out_shape) for value in found)

    def relation(i, o):
        return values[i.data.as_unsigned()] == o.data

    latency = CORE.latency(config)
    return StreamContract(PwlUnit(config), capacity=latency + 1, latency=latency, relation=relation)


# Every code, every order, every stall pattern: what the unit gives is what the model says.
def test_rom_is_proved():
    prove(contract(["kind=rom", "table=gelu-8"]), "pwl_unit-rom")


@pytest.mark.long
def test_unit_is_proved():
    prove(contract(["table=gelu-8"]), "pwl_unit-gelu")


def test_unit_fills():
    prove(contract(["table=gelu-8"]), "pwl_unit-gelu", mode="cover", depth=18)


def test_verilog_is_what_amaranth_gives():
    config = CORE.config.parse(CORE.small)
    prove_emission(generate(CORE, config), CORE.component(config))


def check(parameters, vectors, seed=1):
    config, result = passes(CORE.name, parameters, vectors, seed)
    assert (result.latency, result.interval) == (golden.latency(config), 1)
    return result


@pytest.mark.parametrize(
    "parameters",
    (
        ["entries=8"],
        ["kind=int16"],
        ["kind=fp32"],
        ["kind=rom", "table=exp-8", "out_scale=8", "unsigned_output=true"],
        ["table=div-8", "wide=20", "fraction=4"],
    ),
    ids=" ".join,
)
def test_unit_matches_its_golden_model(parameters):
    result = check(parameters, 1000)
    if parameters == ["entries=8"]:
        # 6 functions but exp with 8 scales, the others with one: each with 256 codes.
        assert result.coverage == {"codes, shipped tables and scales": [36 * 256, 36 * 256]}


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    (
        ["entries=16"],
        ["unsigned_input=true", "negate_input=true", "unsigned_output=true"],
        ["unsigned_input=true", "entries=16"],
        ["negate_input=true"],
        ["kind=int16", "entries=16"],
        ["kind=int32"],
        ["kind=int32", "entries=16"],
        ["kind=fp32", "entries=16"],
        ["kind=fp32", "specials=false"],
        ["table=exp-16", "scale=0", "out_scale=8", "unsigned_output=true"],
        ["table=gelu-16", "scale=7", "out_scale=0"],
        ["table=rsqrt-16", "wide=40"],
        ["table=rsqrt-8", "wide=35", "fraction=32"],
        ["table=div-16", "wide=8"],
    ),
    ids=" ".join,
)
def test_unit_matches_its_golden_model_long(parameters):
    check(parameters, 5000, seed=2)


def test_loaded_tables_are_what_the_shipped_ones_are():
    """Shipped tables fit the units that they are made for, at every scale."""
    for name in pwl.SHIPPED:
        entries = int(name.rpartition("-")[2])
        for s, table in pwl.shipped(name).items():
            is_unsigned = table.negate_input or name.startswith(("div-n", "rsqrt-n"))
            config = SimpleNamespace(
                width=8, entries=entries, unsigned_input=is_unsigned, negate_input=table.negate_input, left=2
            )
            words = golden.words(config, table, s, table.fraction_bits + s - 8)
            assert len(words) == 3 * entries and words[: entries - 1] == [t & 255 for t in table.thresholds]
