"""Units whose registers never hold: the values of the golden models, whatever the two sides do."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from bitloom.cores.gqa_lut.layernorm_unit import LayernormUnit, LayernormUnitConfig
from bitloom.cores.gqa_lut.pwl_unit import PwlUnit, PwlUnitConfig
from bitloom.cores.gqa_lut.softmax_unit import SoftmaxUnit, SoftmaxUnitConfig
from bitloom.golden.gqa_lut import integer_ops, pwl, pwl_unit


def through(unit, sent, count, rng, stalls):
    """Payloads as dicts through a unit; what comes out. Each side waits in a cycle with a chance of `stalls`."""
    taken = []

    async def feed(ctx):
        for fields in sent:
            while rng["in"].random() < stalls:
                await ctx.tick()
            for name, value in fields.items():
                ctx.set(unit.i.payload[name], value)
            ctx.set(unit.i.valid, 1)
            while True:
                *_, ready = await ctx.tick().sample(unit.i.ready)
                if ready:
                    break
            ctx.set(unit.i.valid, 0)

    async def take(ctx):
        while len(taken) < count:
            ctx.set(unit.o.ready, int(rng["out"].random() >= stalls))
            *_, valid, ready, payload = await ctx.tick().sample(unit.o.valid, unit.o.ready, unit.o.payload)
            if valid and ready:
                taken.append(payload)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(take)
    simulator.run_until(1e-6 * (40 * count + 4000))
    assert len(taken) == count
    return taken


def seeds(number):
    return {side: np.random.default_rng([number, index]) for index, side in enumerate(("in", "out"))}


def rows(rng, longest, bits):
    """Rows of all lengths, short ones behind long ones, of values at the ends of the range among them."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    lengths = [longest, *[1] * 12, longest, 2, *rng.integers(1, longest + 1, 3)]
    made = [rng.integers(low, high + 1, length) for length in lengths]
    return [*made, np.full(longest, high), np.full(3, low), np.where(np.arange(longest) % 2, low, high)]


@pytest.mark.parametrize(("stalls", "wide"), ((0, False), (0.4, True)))
def test_layernorm(stalls, wide):
    bits = {"input_bits": 16, "output_bits": 16} if wide else {}
    config = LayernormUnitConfig(max_length=20, entries=16 if wide else 8, out_shift=11 if wide else 5, **bits)
    drawn = rows(np.random.default_rng(1), 20, config.input_bits)
    sent = [{"element": int(q), "last": int(n == len(row) - 1)} for row in drawn for n, q in enumerate(row)]
    made = through(LayernormUnit(config, free_running=True), sent, len(sent), seeds(2), stalls)
    expected = np.concatenate(
        [integer_ops.layernorm(row, config.out_shift, epsilon=1, table=config.table, **bits) for row in drawn]
    )
    assert [int(p.element) for p in made] == expected.tolist()
    assert [int(p.last) for p in made] == [fields["last"] for fields in sent]


@pytest.mark.parametrize(("stalls", "entries"), ((0.4, 8), (0, 16)))
def test_softmax(stalls, entries):
    config = SoftmaxUnitConfig(max_length=20, scale=3, entries=entries)
    drawn = rows(np.random.default_rng(1), 20, 8)
    sent = [{"logit": int(q), "last": int(n == len(row) - 1)} for row in drawn for n, q in enumerate(row)]
    made = through(SoftmaxUnit(config, free_running=True), sent, len(sent), seeds(3), stalls)
    exponential, reciprocal = config.tables
    expected = [integer_ops.softmax(row, 3, table=exponential, reciprocals=reciprocal) for row in drawn]
    assert [int(p.probability) for p in made] == np.concatenate(expected).tolist()
    assert [int(p.last) for p in made] == [fields["last"] for fields in sent]


@pytest.mark.parametrize("stalls", (0, 0.4))
def test_tables_of_the_piecewise_linear_unit_follow_each_other(stalls):
    config = PwlUnitConfig(kind="int16", entries=16)
    rng = np.random.default_rng(4)
    sent, expected = [], []
    for _ in range(2):
        thresholds = np.sort(rng.integers(-(1 << 15), 1 << 15, 15))
        slopes, intercepts = rng.integers(-(1 << 15), 1 << 15, (2, 16))
        table = pwl.PwlTable(*(tuple(part.tolist()) for part in (thresholds, slopes, intercepts)), 8, width=16)
        s, shift = int(rng.integers(16)), int(rng.integers(32))
        words = pwl_unit.words(config, table, s, shift)
        sent += [{"data": word, "load": 1, "last": int(n == len(words) - 1)} for n, word in enumerate(words)]
        codes = np.concatenate([rng.integers(-(1 << 15), 1 << 15, 20), thresholds, [-(1 << 15), (1 << 15) - 1]])
        sent += [{"data": int(code), "load": 0, "last": 0} for code in codes]
        expected += pwl_unit.outputs(codes, config, table, s, shift).tolist()
    unit = PwlUnit(config, free_running=True)
    made = through(unit, sent, len(expected), seeds(5), stalls)
    assert [int(p.data) for p in made] == expected
