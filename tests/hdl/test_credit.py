"""A queue with room for all that is in the pipeline before it."""

import random

import pytest
from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from bitloom.hdl.stream.credit import CreditQueue
from bitloom.hdl.stream.pipeline import free_registered
from bitloom.testbench.formal import ProofFailed, held, prove


class Pipeline(wiring.Component):
    """Registers that never hold, and a queue of some places."""

    def __init__(self, steps, depth):
        self.steps, self.depth = steps, depth
        super().__init__({"i": In(stream.Signature(16)), "o": Out(stream.Signature(16)), "idle": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = CreditQueue(16, self.depth)
        connect(m, queue.o, flipped(self.o))
        entering = stream.Signature(16).create()
        begins = self.i.valid & queue.room
        m.d.comb += [
            self.i.ready.eq(queue.room),
            queue.begin.eq(begins),
            entering.valid.eq(begins),
            self.idle.eq(queue.idle),
        ]
        source = free_registered(m, "step_0", entering, value=self.i.payload)
        for step in range(1, self.steps):
            source = free_registered(m, f"step_{step}", source, value=source.payload.value)
        m.d.comb += [queue.valid.eq(source.valid), queue.payload.eq(source.payload.value)]
        return m


def run(dut, cycles, pause, stall, seed=1):
    """Count up through the pipeline; cycles in which a number was taken, and given."""
    generator, taken, given = random.Random(seed), [], []

    async def bench(ctx):
        sent, valid = 0, False
        for cycle in range(cycles):
            valid = valid or generator.random() >= pause
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, sent)
            ctx.set(dut.o.ready, generator.random() >= stall)
            if valid and ctx.get(dut.i.ready):
                taken.append(cycle)
                sent, valid = sent + 1, False
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                assert ctx.get(dut.o.payload) == len(given)
                given.append(cycle)
            assert len(taken) - len(given) <= dut.depth
            # Idle is not said while something is inside.
            assert not ctx.get(dut.idle) or len(taken) - len(given) <= (taken[-1:] == [cycle])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return taken, given


@pytest.mark.parametrize("steps", (1, 5))
def test_nothing_is_lost_whatever_the_sides_do(steps):
    for depth in (3, steps + 4):
        for pause, stall in ((0, 0), (0.5, 0), (0, 0.5), (0.3, 0.9), (0.9, 0.3)):
            taken, given = run(Pipeline(steps, depth), 300, pause, stall)
            assert 10 < len(given) <= len(taken)


@pytest.mark.parametrize("steps", (1, 5))
def test_one_a_cycle(steps):
    taken, given = run(Pipeline(steps, steps + 4), 60, 0, 0)
    assert taken == list(range(60))
    assert given == list(range(steps + 2, 60))
    # With a place less there are gaps.
    assert len(run(Pipeline(steps, steps + 3), 60, 0, 0)[0]) < 60


def test_all_places_are_used():
    taken, _ = run(Pipeline(2, 6), 40, 0, 1)
    assert taken == list(range(6))


class Contract(wiring.Component):
    """What a queue owes to who begins where there is room, and gives as many payloads for it at any later time.

    Payloads count what was given, so that none is lost, repeated, or before its time.
    """

    def __init__(self, queue, batch):
        self.queue, self.batch = queue, batch
        super().__init__({name: In(1) for name in ("begin", "valid", "ready")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        given, taken = (Signal(queue.shape, name=name) for name in ("given", "taken"))
        inside, owed = (Signal(range(queue.depth + 1), name=name) for name in ("inside", "owed"))
        leaves, waited = queue.o.valid & queue.o.ready, Signal(range(4))
        m.d.comb += [
            queue.begin.eq(self.begin & queue.room),
            queue.valid.eq(self.valid & (owed != 0)),
            queue.payload.eq(given),
            queue.o.ready.eq(self.ready),
        ]
        m.d.sync += [
            owed.eq(owed + Mux(queue.begin, self.batch, 0) - queue.valid),
            inside.eq(inside + queue.valid - leaves),
            given.eq(given + queue.valid),
            taken.eq(taken + leaves),
            waited.eq(Mux((inside != 0) & ~queue.o.valid, waited + 1, 0)),
        ]
        held(m, queue.o, Assert)
        m.d.comb += [
            Assert(inside + owed + Mux(queue.begin, self.batch, 0) <= queue.depth, "there is a place for all of it"),
            Assert(~queue.o.valid | (inside != 0), "valid only with a payload inside"),
            Assert(~queue.o.valid | (queue.o.payload == taken), "in their order, each once"),
            Assert(waited < 2, "what is inside comes out two cycles later"),
            Assert(~queue.idle | (owed + inside + queue.begin == 0) | queue.begin, "idle only with nothing inside"),
            Cover(inside == queue.depth, "all places are used"),
        ]
        return m


@pytest.mark.parametrize("batch, depth", ((1, 3), (2, 5)))
def test_a_queue_keeps_its_contract(batch, depth):
    prove(Contract(CreditQueue(3, depth, batch), batch), f"credit-queue-{batch}")


def test_more_than_a_batch_has_no_place():
    with pytest.raises(ProofFailed, match="there is a place for all of it"):
        prove(Contract(CreditQueue(3, 4), 2), "credit-queue-wrong", mode="bmc", depth=6)


def test_a_queue_fills():
    prove(Contract(CreditQueue(3, 4, 2), 2), "credit-queue", mode="cover", depth=12)
