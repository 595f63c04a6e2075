"""Small SDRAMs for tests, and how commands are given by hand."""

from dataclasses import replace

from amaranth.sim import Simulator

from bitloom.hdl.memory_port.sdram.pins import Command
from bitloom.hdl.memory_port.sdram.timing import ULX3S, Duration


def cycles(count):
    return Duration(cycles=count)


#: A part of 64 columns whose times are all different, so that none can stand for another.
TOY = replace(
    ULX3S,
    columns=8,
    rows=4,
    banks=2,
    data_bits=4,
    t_rcd=cycles(3),
    t_rp=cycles(4),
    t_ras=cycles(6),
    t_rc=cycles(11),
    t_wr=cycles(2),
    t_rrd=cycles(5),
    t_rfc=cycles(8),
    t_mrd=cycles(2),
    t_refi=cycles(100),
    power_up=cycles(12),
    first_refreshes=2,
)


def set_pins(ctx, pins, command=Command.NOP, ba=0, a=0, *, oe=None, **others):
    """Set all pins for one cycle; data are driven with WRITE."""
    code = Command(command).value
    levels = {"cke": 1, "cs_n": 0, "ras_n": code >> 2, "cas_n": code >> 1 & 1, "we_n": code & 1, "dqm": 0}
    for name, level in (levels | {"ba": ba, "a": a} | others).items():
        ctx.set(getattr(pins, name), level)
    ctx.set(pins.dq.oe, (command == Command.WRITE) if oe is None else oe)


def play(model, steps, after=8):
    """Give commands, each some cycles behind the one before; gives what `dq` has in each cycle, and the broken rule."""
    simulator, seen, broken = Simulator(model), [], []
    simulator.add_clock(1e-8)

    async def bench(ctx):
        async def cycle(count):
            for _ in range(count):
                _, _, dq = await ctx.tick().sample(model.pins.dq.i)
                seen.append(dq)
                set_pins(ctx, model.pins)

        set_pins(ctx, model.pins)
        for gap, *command in steps:
            options = command.pop() if isinstance(command[-1], dict) else {}
            data = options.pop("dq", None)
            await cycle(gap)
            set_pins(ctx, model.pins, *command, **options)
            if data is not None:
                ctx.set(model.pins.dq.o, data)
        await cycle(after)
        broken.append(ctx.get(model.broken))

    simulator.add_testbench(bench)
    simulator.run()
    return seen, broken[0]
