# amaranth: UnusedElaboratable=no
"""The SDRAM on a board: its pins, its clock, and the numbers that must fit both."""

import re

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitloom.cores.catalogue import lookup
from bitloom.cores.machine.core import SDRAM_PINS, MachineCore
from bitloom.fpga.bitstream import build as bitstreams
from bitloom.fpga.bitstream import clock as clocks
from bitloom.fpga.bitstream import sdram
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.bitstream.top import OnBoard
from bitloom.fpga.link.core import LinkTop
from bitloom.fpga.link.map import link_map
from bitloom.hdl.primitives import Guard

MACHINE, ULX3S = lookup("machine"), BOARDS["ulx3s-85f"]
SMALL = MACHINE.config.parse(["memory=sdram"])


def test_pins_are_no_part_of_the_link():
    core = MachineCore(SMALL)
    channels = link_map(core)
    assert set(channels.pins) == set(SDRAM_PINS) and list(channels.settings) == []
    assert channels.flags == tuple(f"error[{bit}]" for bit in range(6))
    top = LinkTop(core, b"{}", 1_000_000, 250_000)
    assert set(SDRAM_PINS) < set(top.signature.members)
    assert link_map(MachineCore(MACHINE.config())).pins == ()


class Top(wiring.Component):
    """A board's top level with nothing but pins, each from a register."""

    def __init__(self):
        pins = {name: member for name, member in MachineCore(SMALL).signature.members.items() if name in SDRAM_PINS}
        super().__init__({"rx": In(1), "tx": Out(1), "alarm": Out(1), "heartbeat": Out(1), **pins})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.tx.eq(self.rx)
        for name, member in self.signature.members.items():
            if name.startswith("sdram_") and member.flow == Out:
                m.d.sync += getattr(self, name).eq(getattr(self, name) + self.rx + self.sdram_dq_i)
        return m


def test_the_board_has_registers_in_the_pads_and_a_late_clock():
    _, clock = sdram.clocked(MACHINE, SMALL, ULX3S, 50)
    files = bitstreams._plan(OnBoard(Top(), ULX3S, clock.setting), ULX3S, Guard()).files
    pins = dict(re.findall(r'LOCATE COMP "(sdram_0__[\w\[\]]+?)" SITE "(\w+)";', str(files["top.lpf"])))
    # Clock, enable, select, three of the command, two banks, 13 of the address, two masks, 16 of data.
    assert len(pins) == 1 + 1 + 1 + 3 + 2 + 13 + 2 + 16
    assert pins["sdram_0__clk__io"] == "F19" and pins["sdram_0__dq__io[0]"] == "J16"
    design = str(files["top.il"])
    # All outputs but the clock, and whether to drive them and it; the data.
    assert len(re.findall(r"cell \\OFS1P3DX", design)) == 38 + 39
    assert len(re.findall(r"cell \\IFS1P3DX", design)) == 16 and len(re.findall(r"cell \\ODDRX1F", design)) == 1
    assert str(files["top.lpf"]).count("50000000.0 HZ") == 2
    assert re.search(r"parameter \\CLKOS2_ENABLE \"ENABLED\"", design)


def test_the_clock_decides_the_times_and_how_late_the_chips_clock_is():
    default, clock = sdram.clocked(MACHINE, ULX3S.config(MACHINE), ULX3S)
    assert (default.clock, clock.hz, default.delay, clock.setting.late) == (45, 45_000_000, 1, 90)
    assert clock.to_dict()["pll"]["late_degrees"] == 90
    # The link's rate divides it.
    assert clock.hz % ULX3S.rate(MACHINE) == 0 and ULX3S.rate(MACHINE) == 3_000_000
    fast, clock = sdram.clocked(MACHINE, ULX3S.config(MACHINE), ULX3S, 95)
    assert (fast.clock, clock.hz, fast.delay, clock.setting.late) == (95, 95_000_000, 2, 270)
    assert fast.timing.refresh_interval == int(7.8 * 95) and fast.timing.cas_latency == 2
    # One that is not the board's SDRAM stays as it is.
    plain = MACHINE.config()
    assert sdram.clocked(MACHINE, plain, ULX3S) == (plain, clocks.choose(ULX3S))


@pytest.mark.parametrize(
    ("board", "mhz", "message"),
    [
        ("icebreaker", None, "icebreaker has no SDRAM that bitloom knows: machine needs another memory than sdram"),
        ("ulx3s-85f", 48.5, "clock of a core with an SDRAM must be a whole number of MHz, not 48."),
        ("ulx3s-85f", 30, "clock must be 40 to 133, not 30"),
    ],
)
def test_what_does_not_go_is_refused(board, mhz, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        sdram.clocked(MACHINE, SMALL, BOARDS[board], mhz)
