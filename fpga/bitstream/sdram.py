"""What ties the SDRAM controller of a core to the chip on a board: registers in the pads, and the chip's own clock.

All outputs change with the design's clock; the chip takes them with a clock that is later. What the chip drives comes
back later still, and a register in the pad takes it. Which of its clock's edges does so decides how late the clock may
be. With 3.5 ns from a clock to a pad, 6 ns from the chip's clock to its data, 0.5 ns from a pad to a register, and data
that hold for 2.7 ns, a period T in ns leaves at 90 degrees 0.75 T - 10 ns in front of the edge, and at 270 degrees, an
edge later, 1.25 T - 10 ns in front of it and 5 ns - T / 4 behind it: so the first one is for slow clocks. These are
numbers of data sheets; nobody has tried them on a board.
"""

from dataclasses import replace

from amaranth import Elaboratable, Module
from amaranth.lib import io

from . import clock as clocks

__all__ = ["SdramPads", "clocked", "late"]

_SLOW = 60  # MHz: up to there the chip's clock is late by a quarter of a period
_OFF = 0.0016  # of a clock: as much longer as 7.8 us, the time from refresh to refresh, may be (64 ms for 8,192 rows)


def clocked(core, config, board, mhz=None):
    """A core's clock on a board; of one with an SDRAM also the configuration for that clock.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the core.
    board : Board
    mhz : float or None
        As of `build`.

    Returns
    -------
    Config, Clock

    Raises
    ------
    ValueError
        For a core with an SDRAM on a board that has none, and a clock that its times are not for; else as
        `clock.choose`.
    """
    if getattr(config, "memory", None) != "sdram":
        return config, clocks.choose(board, mhz)
    if not board.sdram:
        raise ValueError(f"{board.name} has no SDRAM that bitloom knows: {core.name} needs another memory than sdram")
    config = config if mhz is None else replace(config, clock=round(mhz))
    degrees, delay = late(config.clock)
    clock = clocks.choose(board, config.clock if mhz is None else mhz, degrees)
    if abs(clock.hz / 1e6 - config.clock) > _OFF * config.clock:
        raise ValueError(f"clock of a core with an SDRAM must be a whole number of MHz, not {clock.hz / 1e6:g}")
    return replace(config, delay=delay), clock


def late(mhz):
    """How late the chip's clock is, and what that means for the controller.

    Parameters
    ----------
    mhz : float
        The design's clock.

    Returns
    -------
    degrees, delay : int
        Of the chip's clock; the parameter `delay` of `SdramController`.
    """
    return (90, 1) if mhz <= _SLOW else (270, 2)


class SdramPads(Elaboratable):
    """Tie the ports `sdram_...` of a top level to the pins of a board. The domain `late` is the clock of the chip.

    Parameters
    ----------
    top : wiring.Component
        With such ports, as of `cores.machine.core.MachineCore`; all but `sdram_dq_i` come from registers.
    """

    #: Of amaranth-boards: the name of a pin, and the port of which it has the level; `_n` where that is the inverse.
    PINS = {"clk_en": "cke", "cs": "cs_n", "we": "we_n", "ras": "ras_n", "cas": "cas_n", "ba": "ba", "dqm": "dqm"}

    def __init__(self, top):
        self.top = top

    def elaborate(self, platform):
        m = Module()
        top = self.top
        pins = platform.request("sdram", 0, dir="-")
        m.submodules.clk = clk = io.DDRBuffer("o", pins.clk, o_domain="late")
        m.d.comb += [clk.o[0].eq(1), clk.o[1].eq(0)]
        for pin, name in self.PINS.items():
            m.submodules[pin] = pad = io.FFBuffer("o", getattr(pins, pin))
            level = getattr(top, f"sdram_{name}")
            m.d.comb += pad.o.eq(~level if name.endswith("_n") else level)
        m.submodules.a = address = io.FFBuffer("o", pins.a)
        m.submodules.dq = dq = io.FFBuffer("io", pins.dq)
        m.d.comb += [
            address.o.eq(top.sdram_a),
            dq.o.eq(top.sdram_dq_o),
            dq.oe.eq(top.sdram_dq_oe),
            top.sdram_dq_i.eq(dq.i),
        ]
        return m
