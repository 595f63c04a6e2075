"""GELU's way from sums to codes: a requantizer of 16 bits, the table unit, a requantizer of 8 bits a channel."""

import numpy as np
import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from bitloom.cores.gqa_lut.pwl_unit import PwlUnit, PwlUnitConfig
from bitloom.cores.machine.requantizer import Requantizer, RequantizerConfig
from bitloom.golden import machine
from bitloom.golden.gqa_lut import pwl_unit
from bitloom.golden.machine import parts
from bitloom.golden.machine import requantizer as golden

RNG = np.random.default_rng(31)
CHANNELS, ROWS, SCALE = 5, 12, 9


class Activation(wiring.Component):
    """One lane. The words of GELU's table go into its unit first, then codes."""

    def __init__(self, entries):
        self.before = RequantizerConfig(lanes=1, depth=8, output_bits=16)
        self.unit = PwlUnitConfig(kind="int16", entries=entries)
        self.after = RequantizerConfig(lanes=1, depth=8)
        super().__init__(
            {
                "i": In(stream.Signature(self.before.sum_layout)),
                "first": In(stream.Signature(self.before.table_layout)),
                "words": In(stream.Signature(self.unit.in_layout)),
                "second": In(stream.Signature(self.after.table_layout)),
                "o": Out(stream.Signature(self.after.out_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.before = before = Requantizer(self.before)
        m.submodules.gelu = gelu = PwlUnit(self.unit)
        m.submodules.after = after = Requantizer(self.after)
        for name, inner in (("i", before.i), ("first", before.table), ("second", after.table)):
            connect(m, flipped(getattr(self, name)), inner)
        connect(m, after.o, flipped(self.o))
        loaded, word = Signal(), Signal(range(CHANNELS))
        codes = before.o
        with m.If(self.words.valid & self.words.ready & self.words.payload.last):
            m.d.sync += loaded.eq(1)
        m.d.comb += [
            gelu.i.valid.eq(Mux(loaded, codes.valid, self.words.valid)),
            gelu.i.payload.eq(self.words.payload),
            self.words.ready.eq(gelu.i.ready & ~loaded),
            codes.ready.eq(gelu.i.ready & loaded),
            after.i.valid.eq(gelu.o.valid),
            gelu.o.ready.eq(after.i.ready),
            after.i.payload.sums[0].eq(gelu.o.payload.data),
            after.i.payload.word.eq(word),
        ]
        with m.If(loaded):
            m.d.comb += [gelu.i.payload.data.eq(codes.payload.codes[0]), gelu.i.payload.load.eq(0)]
        with m.If(gelu.o.valid & gelu.o.ready):
            m.d.sync += word.eq(Mux(word == CHANNELS - 1, 0, word + 1))
        return m


def channels(scales, bias):
    """A requantizer's entries: what `machine.requantize` takes, and the payloads that load them."""
    multiplier, shift = machine.dyadic(scales)
    payloads = [
        {"bias": b, "multiplier": m, "shift": s - golden.SHIFTS[0], "last": index == len(bias) - 1}
        for index, (b, m, s) in enumerate(zip(bias.tolist(), multiplier.tolist(), shift.tolist(), strict=True))
    ]
    return (bias, multiplier, shift), payloads


@pytest.mark.parametrize("entries", [8, 16])
def test_sums_go_through_gelu_to_codes_without_a_gap(entries):
    """Rows of channels; the cycles are one a sum and the latency of the three parts, in whatever is negative, too."""
    core = Activation(entries)
    sums = RNG.integers(-30_000, 30_000, (ROWS, CHANNELS))
    first, before = channels(np.full(CHANNELS, 0.08), RNG.integers(-2000, 2000, CHANNELS))
    second, after = channels(RNG.uniform(0.02, 0.1, CHANNELS), np.zeros(CHANNELS, np.int64))
    table = parts.gelu_table(SCALE, entries)
    codes = parts.gelu(machine.requantize(sums, *first, bits=16), SCALE, entries)
    wanted = machine.requantize(codes, *second)
    assert np.ptp(wanted, axis=0).all() and (codes < 0).any()
    words = pwl_unit.words(core.unit, table, SCALE, table.fraction_bits)
    words = [{"data": word, "load": 1, "last": index == len(words) - 1} for index, word in enumerate(words)]
    places = np.tile(np.arange(CHANNELS), ROWS).tolist()
    sent = [
        {"sums": [s], "word": w, "release": 0, "last": 0} for s, w in zip(sums.ravel().tolist(), places, strict=True)
    ]
    seen, got = [], []

    async def send(ctx, port, payloads):
        ctx.set(port.valid, 1)
        for payload in payloads:
            ctx.set(port.payload, payload)
            await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def feed(ctx):
        for port, payloads in ((core.first, before), (core.second, after), (core.words, words), (core.i, sent)):
            await send(ctx, port, payloads)

    async def watch(ctx):
        ctx.set(core.o.ready, 1)
        async for _, _, taken, valid, payload in ctx.tick().sample(
            core.i.valid & core.i.ready, core.o.valid, core.o.payload
        ):
            seen.append((taken, valid))
            if valid:
                got.append(payload.codes[0])
            if len(got) == sums.size:
                return

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    assert got == wanted.ravel().tolist()
    taken, given = ([cycle for cycle, both in enumerate(seen) if both[side]] for side in (0, 1))
    assert np.ptp(taken) == np.ptp(given) == sums.size - 1
    assert given[0] - taken[0] == 2 * golden.LATENCY + pwl_unit.latency(core.unit)
