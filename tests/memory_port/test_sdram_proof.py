"""No rule of the SDRAM is broken, whatever is asked and whatever stalls: proved on a part of 32 columns.

What is proved for all times is the scheduler: any bursts, any room, any words. That the controller's registers at the
data pins follow it by a cycle is part of the specification. That refreshes are not owed for too long (`STARVED`) is no
part of it, but is tested by simulation.
"""

from dataclasses import replace

import pytest
from amaranth import Cat, Module
from amaranth.hdl import Assert, Assume
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, connect, flipped
from sdram_parts import TOY, cycles

from bitloom.hdl.memory_port.port import MemoryPort
from bitloom.hdl.memory_port.sdram.bursts import burst_layout
from bitloom.hdl.memory_port.sdram.controller import SdramController
from bitloom.hdl.memory_port.sdram.scheduler import Scheduler
from bitloom.testbench.formal import ProofFailed, held, prove
from bitloom.testbench.memory_port.sdram_model import SdramChip
from bitloom.testbench.memory_port.sdram_rules import Rule

TINY = replace(
    TOY,
    rows=2,
    data_bits=1,
    t_rcd=cycles(2),
    t_rp=cycles(2),
    t_ras=cycles(3),
    t_rc=cycles(5),
    t_rrd=cycles(2),
    t_rfc=cycles(3),
    t_refi=cycles(33),
    power_up=cycles(2),
    first_refreshes=1,
)


class Keeps(wiring.Component):
    """The scheduler, as `controlled` has the times, keeps the rules of an SDRAM with those of `timing`."""

    def __init__(self, timing, controlled):
        self.timing, self.controlled = timing, controlled
        burst = stream.Signature(burst_layout(timing, 2))
        super().__init__({"i": In(burst), "room": In(1), "loaded": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.scheduler = scheduler = Scheduler(self.controlled, 2)
        m.submodules.chip = chip = SdramChip(self.timing)
        connect(m, flipped(self.i), scheduler.i)
        held(m, self.i, Assume)
        pins = chip.pins
        m.d.sync += pins.dq.oe.eq(scheduler.write)
        broken = chip.broken
        m.d.comb += [
            scheduler.room.eq(self.room),
            scheduler.loaded.eq(self.loaded),
            pins.cke.eq(1),
            Cat(pins.we_n, pins.cas_n, pins.ras_n).eq(scheduler.command),
            pins.ba.eq(scheduler.ba),
            pins.a.eq(scheduler.a),
            pins.dqm.eq(scheduler.mask),
            Assume(broken != Rule.STARVED, "refreshes are not owed for too long"),
            Assert(broken == Rule.KEPT, "no rule is broken"),
        ]
        return m


@pytest.mark.long
def test_scheduler_breaks_no_rule():
    prove(Keeps(TINY, TINY), "Scheduler", timeout=1200)


@pytest.mark.parametrize("name", ["t_rp", pytest.param("t_rfc", marks=pytest.mark.long)])
def test_proof_can_fail(name):
    # In the first cycles: with the shortest of all intervals, which the scheduler alone does not refuse.
    controlled = replace(TINY, t_refi=cycles(4))
    slower = replace(TINY, t_refi=cycles(4), **{name: cycles(TINY.cycles(name) + 2)})
    with pytest.raises(ProofFailed, match=r"no[ _]rule[ _]is[ _]broken"):
        prove(Keeps(slower, controlled), "slower", mode="bmc", depth=18)


class Port(wiring.Component):
    """Words that are read hold still, for a controller of any SDRAM, also one that gives what it likes."""

    def __init__(self, controller):
        self.controller = controller
        super().__init__({"port": In(MemoryPort(4, 2)), "dq": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = self.controller
        connect(m, flipped(self.port), controller.port)
        held(m, self.port.request, Assume)
        held(m, self.port.write, Assume)
        held(m, self.port.read, Assert)
        m.d.comb += controller.pins.dq.i.eq(self.dq)
        return m


def test_what_is_read_keeps_the_contract():
    prove(Port(SdramController(TINY, 4, 2, buffer=8)), "SdramController")
