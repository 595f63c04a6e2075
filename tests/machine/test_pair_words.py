"""The machine's decoders and encoders of pairs against the golden ones."""

import numpy as np
import pytest
from amaranth import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.machine.pair_words import PairElements, PairWords, pair_value
from bitloom.golden.machine import pairs

LANES = 3


def fixed(rng, shape):
    """Numbers of all magnitudes, outliers next to each other and ties among them."""
    unit = rng.choice([1, 32], shape)
    return np.clip(np.rint(rng.normal(0, rng.choice([60, 400, 4000], shape)) / unit) * unit, -32768, 32767).astype(int)


class Value(wiring.Component):
    octet: In(8)
    second: In(1)
    value: Out(signed(8))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.value.eq(pair_value(m, self.octet, self.second))
        return m


def test_every_byte_has_its_two_values():
    dut = Value()
    expected = pairs.decoded(np.arange(256)[:, None])

    async def bench(ctx):
        for octet in range(256):
            ctx.set(dut.octet, octet)
            for second in (0, 1):
                ctx.set(dut.second, second)
                assert ctx.get(dut.value) == expected[octet, second], (octet, second)

    run(dut, bench, clocked=False)


def run(dut, *benches, clocked=True):
    simulator = Simulator(dut)
    if clocked:
        simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


def test_two_words_become_one_and_others_go_through():
    shape = data.StructLayout({"place": 8, "codes": data.ArrayLayout(signed(16), LANES)})
    dut, rng, given = PairWords(shape), np.random.default_rng(3), []
    panels = [(bool(rng.random() < 0.7), fixed(rng, (2, LANES))) for _ in range(150)]
    expected = []
    for number, (paired, rows) in enumerate(panels):
        if paired:
            expected.append((number % 256, pairs.encoded(rows.T).ravel().tolist()))
        else:
            expected += [(number % 256, row.tolist()) for row in rows]

    async def bench(ctx):
        async def tick():
            if ctx.get(dut.written):
                given.append((ctx.get(dut.o.place), [ctx.get(dut.o.codes[lane]) for lane in range(LANES)]))
            await ctx.tick()

        for number, (paired, rows) in enumerate(panels):
            for odd, row in enumerate(rows.tolist()):
                ctx.set(dut.valid, 0)
                while rng.random() < 0.3:
                    await tick()
                ctx.set(dut.valid, 1)
                ctx.set(dut.pairs, paired)
                ctx.set(dut.odd, odd)
                ctx.set(dut.i, {"place": number % 256, "codes": row})
                await tick()
        ctx.set(dut.valid, 0)
        for _ in range(3):
            await tick()

    run(dut, bench)
    assert given == expected


@pytest.mark.parametrize("stall", [0, 0.6])
def test_two_elements_become_one(stall):
    dut = PairElements(data.StructLayout({"place": 6, "lane": 2, "code": 8, "end": 1}))
    rng, given = np.random.default_rng(4), []
    rows = fixed(rng, (200, 2))
    fields = [{"place": int(rng.integers(64)), "lane": int(rng.integers(4)), "end": at % 7 == 0} for at in range(200)]

    async def give(ctx):
        for row, along in zip(rows.tolist(), fields, strict=True):
            for odd, code in enumerate(row):
                while rng.random() < 0.2:
                    await ctx.tick()
                ctx.set(dut.i.valid, 1)
                ctx.set(dut.i.payload, along | {"code": code, "odd": odd})
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def take(ctx):
        while len(given) < len(fields):
            ctx.set(dut.o.ready, rng.random() >= stall)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                payload = dut.o.payload
                given.append({name: ctx.get(payload[name]) for name in ("place", "lane", "end", "code")})
            await ctx.tick()

    run(dut, give, take)
    codes = (pairs.encoded(rows)[:, 0] % 256).tolist()
    assert given == [along | {"code": code} for along, code in zip(fields, codes, strict=True)]
