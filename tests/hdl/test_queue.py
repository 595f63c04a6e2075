"""The queue in a block RAM: it is a queue, and its memory needs no bypass."""

import re
from collections import deque

import numpy as np
import pytest
from amaranth import Signal
from amaranth.sim import Simulator

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.hdl.stream.queue import Queue


class Watched(Queue):
    """A queue that says when it reads the word that it writes."""

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.collides = Signal()

    def elaborate(self, platform):
        m = super().elaborate(platform)
        (read,), (write,) = m.submodules.storage.read_ports, m.submodules.storage.write_ports
        m.d.comb += self.collides.eq(read.en & write.en & (read.addr == write.addr))
        return m


@pytest.mark.parametrize("depth", (2, 3, 5))
def test_no_word_is_read_while_it_is_written(depth):
    queue, rng, inside, seen = Watched(width=8, depth=depth), np.random.default_rng(depth), deque(), set()

    async def bench(ctx):
        for word in range(2000):
            # Now and then full, and now and then empty.
            ctx.set(queue.w_en, rng.random() < (0.2, 0.9)[word // 100 % 2])
            ctx.set(queue.r_en, rng.random() < (0.9, 0.2)[word // 100 % 2])
            ctx.set(queue.w_data, word % 256)
            assert not ctx.get(queue.collides)
            seen.add(ctx.get(queue.level))
            taken, given = ctx.get(queue.w_en & queue.w_rdy), ctx.get(queue.r_en & queue.r_rdy)
            if given:
                assert ctx.get(queue.r_data) == inside.popleft()
            if taken:
                inside.append(word % 256)
            await ctx.tick()

    simulator = Simulator(queue)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == set(range(depth + 1))


def test_a_core_tells_the_tools():
    core = lookup("layernorm-unit")
    text = generate(core, core.config(max_length=40)).verilog
    assert re.search(r"\(\* no_rw_check \*\)\n  reg \[8:0\] \w+ \[54:0\];", text)
