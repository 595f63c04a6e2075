"""hdl.stream in simulation, with random stalls on both sides; the proofs for all stall patterns are in test_formal."""

import random
from collections import deque

import pytest
from amaranth import ResetInserter, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from bitloom.hdl.stream.stages import PipelineRegister, SkidBuffer, Stage

LAYOUT = data.StructLayout({"codes": 8, "last": 1})
STAGES = [(PipelineRegister, 1, 1), (SkidBuffer, 1, 0), (Stage, 2, 1)]  # capacity, latency

# Chances of a stall before the input's valid, and of the output's ready being low.
STALLS = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.1, 0.9), (0.9, 0.1)]


def simulate(component, bench):
    """Run `bench` on the component with a reset of its own."""
    reset = Signal()
    simulator = Simulator(ResetInserter(reset)(component))
    simulator.add_clock(1e-6)

    async def testbench(ctx):
        await bench(ctx, reset)

    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("stage", "capacity", "latency"), STAGES)
def test_random_stalls(stage, capacity, latency):
    generator = random.Random(2)
    dut = stage(LAYOUT)
    seen = dict.fromkeys(STALLS, 0)

    async def bench(ctx, reset):
        for pause, stall in STALLS:
            inside, offered, waiting, fullest = deque(), None, None, 0
            ctx.set(reset, 1)
            ctx.set(dut.i.valid, 0)
            await ctx.tick()
            ctx.set(reset, 0)
            for cycle in range(400):
                if offered is None and generator.random() >= pause:
                    offered = {"codes": generator.getrandbits(8), "last": generator.getrandbits(1)}
                    ctx.set(dut.i.payload, offered)
                ctx.set(dut.i.valid, offered is not None)
                ctx.set(dut.o.ready, generator.random() >= stall)
                if ctx.get(dut.i.valid) and ctx.get(dut.i.ready):
                    # An item that is alone comes out after exactly the latency.
                    inside.append((offered, cycle + latency, not inside))
                    offered = None
                if ctx.get(dut.o.valid):
                    expected, earliest, alone = inside[0]
                    shown = {name: ctx.get(getattr(dut.o.payload, name)) for name in expected}
                    assert shown == expected
                    assert cycle >= earliest
                    assert waiting is None or shown == waiting
                    waiting = shown
                    if ctx.get(dut.o.ready):
                        assert not alone or stall or cycle == earliest
                        inside.popleft()
                        seen[pause, stall] += 1
                        waiting = None
                else:
                    assert waiting is None
                    assert not inside or cycle < inside[0][1]
                fullest = max(fullest, len(inside))
                assert fullest <= capacity
                await ctx.tick()
            if stall > pause:
                assert fullest == capacity

    simulate(dut, bench)
    assert seen[0.0, 0.0] == 400 - latency
    assert all(count > 20 for count in seen.values())


@pytest.mark.parametrize(("stage", "capacity", "latency"), STAGES)
def test_latency_and_throughput(stage, capacity, latency):
    dut = stage(8)
    shown = []

    async def bench(ctx, reset):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for cycle in range(8):
            ctx.set(dut.i.payload, cycle)
            assert ctx.get(dut.i.ready)
            shown.append(ctx.get(dut.o.payload) if ctx.get(dut.o.valid) else None)
            await ctx.tick()

    simulate(dut, bench)
    assert shown == [None] * latency + list(range(8 - latency))


@pytest.mark.parametrize(("stage", "capacity", "latency"), STAGES)
def test_valid_does_not_wait_for_ready_and_capacity_is_used(stage, capacity, latency):
    dut = stage(8)

    async def bench(ctx, reset):
        ctx.set(dut.i.valid, 1)
        for cycle in range(6):
            ctx.set(dut.i.payload, cycle)
            assert ctx.get(dut.i.ready) == (cycle < capacity)
            assert ctx.get(dut.o.valid) == (cycle >= latency)
            if cycle >= latency:
                assert ctx.get(dut.o.payload) == 0
            await ctx.tick()

    simulate(dut, bench)


@pytest.mark.parametrize(("stage", "capacity", "latency"), STAGES)
def test_reset_empties(stage, capacity, latency):
    dut = stage(8)

    async def bench(ctx, reset):
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.o.valid) and not ctx.get(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        assert ctx.get(dut.i.ready) and not ctx.get(dut.o.valid)

    simulate(dut, bench)
