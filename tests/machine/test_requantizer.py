"""The requantizer: its model against Python's integers, its cycles and streams, and behind it a softmax unit."""

import re
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator
from benches import passes, rehearse
from contracts import OutputsHold

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.gqa_lut.softmax_unit import SoftmaxUnit, SoftmaxUnitConfig
from bitloom.cores.machine.config import MachineConfig
from bitloom.cores.machine.requantizer import Requantizer, RequantizerConfig
from bitloom.golden import gqa_lut, machine
from bitloom.golden.gqa_lut import softmax_unit
from bitloom.golden.machine import requantizer as golden
from bitloom.hdl.stream import codec
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove, prove_no_path

CORE = lookup("requantizer")
RNG = np.random.default_rng(23)

# -- the model ---------------------------------------------------------------------------------------------------------


def half_up(value):
    return floor(value + Fraction(1, 2))


def oracle(total, bias, multiplier, shift, bits, residual=0):
    """One result, in Python's own integers and fractions."""
    exact = half_up(Fraction((total + bias) * multiplier, 1 << shift)) + residual
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, exact))


def drawn(count):
    """Sums, biases, multipliers, shifts and residual codes of all magnitudes, extremes among them."""
    sums, bias = (RNG.integers(-(1 << 31), 1 << 31, count) >> RNG.integers(0, 32, count) for _ in range(2))
    sums[::7], bias[::5] = (1 << 31) - 1, -(1 << 31)
    multiplier = RNG.integers(0, 1 << 16, count) >> RNG.integers(0, 16, count)
    multiplier[::11] = (1 << 16) - 1
    return sums, bias, multiplier, RNG.integers(8, 40, count), RNG.integers(-(1 << 15), 1 << 15, count)


@pytest.mark.parametrize("bits", [8, 9, 16])
def test_results_against_fractions(bits):
    sums, bias, multiplier, shift, residual = drawn(4000)
    plain = machine.requantize(sums, bias, multiplier, shift, bits)
    added = machine.requantize(sums, bias, multiplier, shift, bits, residual=residual)
    numbers = zip(*(values.tolist() for values in (sums, bias, multiplier, shift)), strict=True)
    for each, r, without, with_it in zip(numbers, residual.tolist(), plain.tolist(), added.tolist(), strict=True):
        assert without == oracle(*each, bits), each
        assert with_it == oracle(*each, bits, r), (each, r)


def test_ties_go_up_and_the_residual_comes_before_saturation():
    half = {"bias": 0, "multiplier": 1 << 15, "shift": 16}
    assert machine.requantize([-3, -1, 1, 3, 5], **half).tolist() == [-1, 0, 1, 2, 3]
    assert machine.requantize([600, -600], **half, residual=[-250, 250]).tolist() == [50, -50]
    assert machine.requantize([600, -600], **half).tolist() == [127, -128]


def test_sums_of_two_32_bit_numbers_are_exact():
    least, most = -(1 << 31), (1 << 31) - 1
    assert machine.requantize([most, least], [most, least], 1, 39).tolist() == [0, 0]
    assert machine.requantize([most, least], [most, least], 1 << 8, 39, 16).tolist() == [2, -2]
    assert machine.requantize([most, least], [least, most], (1 << 16) - 1, 16, 16).tolist() == [-1, -1]


def test_dyadic_scales_are_the_nearest():
    scales = np.exp2(RNG.uniform(-24, 7.9, 2000))
    multiplier, shift = machine.dyadic(scales)
    assert (multiplier >= 1 << 15).all() and (multiplier < 1 << 16).all()
    for scale, m, s in zip(scales.tolist(), multiplier.tolist(), shift.tolist(), strict=True):
        assert abs(Fraction(scale) * 2**s - m) <= Fraction(1, 2)
    # 2**16 is 2**15 of the next power of two; small scales have what the largest shift leaves; 0 is 0.
    assert [array.tolist() for array in machine.dyadic([1 - 2.0**-18, 2.0**-31, 0])] == [
        [1 << 15, 256, 0],
        [15, 39, 16],
    ]


@pytest.mark.parametrize(
    ("kind", "message", "values"),
    [
        (ValueError, r"^sums must be -2147483648 to 2147483647, they are 0 to 2147483648$", {"sums": [0, 1 << 31]}),
        (TypeError, r"^bias must be integers, not float64$", {"bias": 0.5}),
        (ValueError, r"^multiplier must be 0 to 65535, they are -1 to -1$", {"multiplier": -1}),
        (ValueError, r"^shift must be 8 to 39, they are 40 to 40$", {"shift": 40}),
        (ValueError, r"^bits must be 8 to 16, not 7$", {"bits": 7}),
        (ValueError, r"^residual must be -32768 to 32767, they are 32768 to 32768$", {"residual": 1 << 15}),
    ],
)
def test_wrong_numbers_are_refused(kind, message, values):
    with pytest.raises(kind, match=message):
        machine.requantize(**{"sums": 0, "bias": 0, "multiplier": 1, "shift": 8} | values)


@pytest.mark.parametrize("scale", [-1e-9, 256, np.nan, np.inf])
def test_wrong_scales_are_refused(scale):
    with pytest.raises(ValueError, match=rf"^a scale must be 0 to 255\.996, not {scale:.6g}$"):
        machine.dyadic([1, scale])


# -- the core ----------------------------------------------------------------------------------------------------------


def test_cycles():
    assert golden.cycles([8], [1]) == 8 + 1 + golden.LATENCY
    # A table is loaded while the one before it is in use; the one after that waits for its work.
    assert golden.cycles([8, 8], [100, 100]) == 8 + 200 + golden.LATENCY
    assert golden.cycles([8, 30], [10, 1]) == 38 + 1 + golden.LATENCY
    assert golden.cycles([1, 1, 50], [20, 1, 1]) == 21 + 50 + 1 + golden.LATENCY


def work(config, words, transfers):
    """Payloads of a table, and of the transfers that use it; the codes that must come."""
    table = [values.reshape(words, -1) for values in drawn(words * config.lanes)[1:4]]
    sums, _, _, _, residual = (values.reshape(transfers, -1) for values in drawn(transfers * config.lanes))
    word, ends = RNG.integers(0, words, transfers), np.arange(transfers) == transfers - 1
    bias, multiplier, shift = (values.ravel() for values in table)
    last = np.arange(len(shift)) == len(shift) - 1
    payloads = {
        "i": codec.pack(config.sum_layout, sums=sums, word=word, release=ends, last=word & 1),
        "table": codec.pack(config.table_layout, bias=bias, multiplier=multiplier, shift=shift - 8, last=last),
        "residual": codec.pack(config.residual_layout, payload=residual),
    }
    entries = (values[word] for values in table)
    return payloads, machine.requantize(sums, *entries, config.output_bits, residual=residual)


def test_results_depend_on_the_streams_alone():
    """Works of different sizes, each with its table, under stalls of any side."""
    config = RequantizerConfig(lanes=3, depth=8, output_bits=12, residual=True)
    payloads, codes = zip(*(work(config, *sizes) for sizes in ((8, 5), (1, 60), (3, 200), (8, 1))), strict=True)
    inputs = {name: np.concatenate([each[name] for each in payloads]) for name in payloads[0]}
    wanted = np.concatenate(codes)
    for stall_in, stall_out, seed in ((0, 0, 0), (60, 0, 1), (0, 60, 2), (30, 30, 3)):
        options = {"stall_in": stall_in, "stall_out": stall_out, "seed": seed}
        driven = drive(generate(CORE, config), inputs, {"o": len(wanted)}, **options)
        assert driven.failure is None
        assert (codec.unpack(config.out_layout, driven.outputs["o"])["codes"] == wanted).all()


class Attention(wiring.Component):
    """A requantizer of one lane, and a softmax unit that takes its codes as logits."""

    def __init__(self, softmax):
        self.softmax, self.config = softmax, RequantizerConfig(lanes=1, depth=2)
        layouts = {"i": self.config.sum_layout, "table": self.config.table_layout}
        ports = {name: In(stream.Signature(layout)) for name, layout in layouts.items()}
        super().__init__(ports | {"o": Out(stream.Signature(softmax.out_layout))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.requantizer = requantizer = Requantizer(self.config)
        m.submodules.softmax = softmax = SoftmaxUnit(self.softmax)
        connect(m, flipped(self.i), requantizer.i)
        connect(m, flipped(self.table), requantizer.table)
        connect(m, softmax.o, flipped(self.o))
        m.d.comb += [
            softmax.i.valid.eq(requantizer.o.valid),
            requantizer.o.ready.eq(softmax.i.ready),
            softmax.i.payload.logit.eq(requantizer.o.payload.codes[0]),
            softmax.i.payload.last.eq(requantizer.o.payload.last),
        ]
        return m


def test_a_softmax_unit_is_fed_without_a_gap():
    """Rows of logits from 32-bit sums: the cycles are those of the softmax unit alone, and the latency once."""
    config = SoftmaxUnitConfig(max_length=32)
    core, count, length = Attention(config), 6, 20
    sums = RNG.integers(-30_000, 30_000, (count, length))
    multiplier, shift = (int(number) for number in machine.dyadic(1 / 250))
    wanted = gqa_lut.softmax(machine.requantize(sums, -70, multiplier, shift), config.scale)
    times, got = [], []

    async def feed(ctx):
        ctx.set(core.table.payload, {"bias": -70, "multiplier": multiplier, "shift": shift - 8, "last": 1})
        ctx.set(core.table.valid, 1)
        await ctx.tick().until(core.table.ready)
        ctx.set(core.table.valid, 0)
        ctx.set(core.i.valid, 1)
        for index, total in enumerate(sums.ravel().tolist()):
            ctx.set(core.i.payload, {"sums": [total], "word": 0, "release": 0, "last": index % length == length - 1})
            await ctx.tick().until(core.i.ready)
        ctx.set(core.i.valid, 0)

    async def watch(ctx):
        ctx.set(core.o.ready, 1)
        seen = core.i.valid & core.i.ready, core.o.valid, core.o.payload
        async for _, _, taken, valid, payload in ctx.tick().sample(*seen):
            times.append((taken, valid))
            if valid:
                got.append(payload.probability)
            if len(got) == sums.size:
                return

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    assert got == wanted.ravel().tolist()
    taken, given = ([cycle for cycle, both in enumerate(times) if both[side]] for side in (0, 1))
    assert np.ptp(taken) == np.ptp(given) == sums.size - 1
    assert given[-1] - taken[0] + 1 == golden.LATENCY + softmax_unit.cycles(config, [length] * count)


INPUTS = ("i", "table", "residual")


def test_outputs_hold_until_ready():
    config = RequantizerConfig(lanes=1, depth=2, residual=True)
    prove(OutputsHold(INPUTS, Requantizer(config)), "requantizer")
    prove(OutputsHold(INPUTS, Requantizer(config)), "requantizer-cover", mode="cover")


@pytest.mark.parametrize("residual", [False, True])
def test_no_path_from_ready_to_ready(residual):
    core = Requantizer(RequantizerConfig(lanes=1, depth=2, residual=residual))
    inputs = INPUTS if residual else INPUTS[:2]
    targets = [*(f"{name}__ready" for name in inputs), "o__valid", "o__payload"]
    prove_no_path(core, "o__ready", targets, f"requantizer-{residual}")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"^depth must be a power of two, not 6$"):
        RequantizerConfig(depth=6)
    with pytest.raises(ValueError, match=r"^output_bits must be 8 to 16, not 7$"):
        RequantizerConfig(output_bits=7)
    # A block of a Gowin part takes 9 bits.
    with pytest.raises(ValueError, match=r"^target must be one of generic, ecp5, not 'gowin'$"):
        RequantizerConfig(target="gowin")


@pytest.mark.parametrize("target, blocks", [("generic", 0), ("ecp5", 2), ("gowin", 0)])
def test_a_machine_has_the_multipliers_of_its_family_that_are_wide_enough(target, blocks):
    config = MachineConfig(target=target).hidden_requantizer
    assert config.family.name == ("ecp5" if blocks else "generic")
    assert len(re.findall(r"^  MULT18X18D #", generate(CORE, config).verilog, flags=re.M)) == blocks


def check(parameters, vectors, seed=1):
    _, result = passes(CORE.name, parameters, vectors, seed)
    assert (result.latency, result.interval) == (golden.LATENCY, 1)


@pytest.mark.parametrize("parameters", [CORE.small, ("lanes=1", "output_bits=16", "depth=2")], ids=" ".join)
def test_core_matches_its_golden_model(parameters):
    check(parameters, 1000)


@pytest.mark.parametrize("bits", [8, 11, 16])
@pytest.mark.parametrize("residual", ["false", "true"])
def test_rehearsal(bits, residual):
    rehearse(CORE.name, (f"output_bits={bits}", f"residual={residual}", "lanes=1", "depth=2"), 1)


@pytest.mark.long
@pytest.mark.parametrize("parameters", [(), ("residual=true", "output_bits=16"), ("lanes=32", "depth=1024")], ids=str)
def test_core_matches_its_golden_model_long(parameters):
    check(parameters, 20_000, seed=2)
