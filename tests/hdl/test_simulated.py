"""Designs for a part in Amaranth's simulator: in every cycle what the portable design gives."""

import random

import pytest
from amaranth import Module, Value
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from bitloom.cores.catalogue import lookup

TILE = "rows=2 cols=3 block=2 accumulator=20"
REQUESTS = [
    ("systolic-tile", "ecp5", TILE),
    ("systolic-tile", "ecp5", f"{TILE} a_format=int4 w_format=int4 dataflow=weight-stationary"),
    ("systolic-tile", "ecp5", f"{TILE} a_format=ovp-int4 w_format=ovp-flint4"),
    ("systolic-tile", "gowin", f"{TILE} dataflow=weight-stationary"),
    ("systolic-tile", "ice40", f"{TILE} a_format=int4"),
    ("gemm", "ecp5", f"{TILE} a_depth=16 w_depth=16"),
    ("nm-tile", "ecp5", f"{TILE} group=4"),
    ("nm-tile", "ecp5", f"{TILE} group=8"),
    ("nm-tile", "ice40", f"{TILE} group=4"),
]


@pytest.mark.parametrize("name, target, parameters", REQUESTS)
def test_a_design_for_a_part_is_the_portable_one(name, target, parameters):
    core = lookup(name)
    config = core.config.parse([*parameters.split(), f"target={target}"])
    portable, named = core.component(config.portable()), core.component(config)
    m = Module()
    m.submodules.portable, m.submodules.named = portable, named
    members = portable.signature.members
    inputs = [name for name, member in members.items() if not member.is_port and member.flow == In]
    generator = random.Random(7)
    given = set()

    async def bench(ctx):
        held = dict.fromkeys(inputs, False)
        for name, member in members.items():
            if member.is_port and member.flow == In:
                ctx.set(getattr(portable, name), 2)
                ctx.set(getattr(named, name), 2)
        for _ in range(120):
            ready = generator.random() < 0.8
            words = {}
            for name in inputs:
                bits = len(Value.cast(getattr(portable, name).payload))
                # The top bit is a tile's `last`. A job is of one step and one panel each, which are both loaded.
                last = (generator.random() < 0.5) << bits - 1
                words[name] = 3 << bits - 2 if name == "job" else generator.getrandbits(bits) | last
            valids = {name: held[name] or generator.random() < 0.9 for name in inputs}
            for design in (portable, named):
                ctx.set(design.o.ready, ready)
                for name in inputs:
                    ctx.set(getattr(design, name).valid, valids[name])
                    if not held[name]:
                        ctx.set(Value.cast(getattr(design, name).payload), words[name])
            for name in inputs:
                taken = ctx.get(getattr(portable, name).ready)
                assert ctx.get(getattr(named, name).ready) == taken
                held[name] = valids[name] and not taken
            valid = ctx.get(portable.o.valid)
            assert ctx.get(named.o.valid) == valid
            if valid:
                payload = ctx.get(Value.cast(portable.o.payload))
                assert ctx.get(Value.cast(named.o.payload)) == payload
                given.add(payload)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(given) > 5
