"""What ties a top level to a board's pins."""

from amaranth import Elaboratable, Module
from amaranth.lib import io

from .clock import PllDomain
from .sdram import SdramPads

__all__ = ["OnBoard"]


class OnBoard(Elaboratable):
    """Tie a top level to the pins of a board.

    Parameters
    ----------
    top : wiring.Component
        With the ports of `link.LinkTop`; those of an SDRAM where it has the port `sdram_a`.
    board : Board
        Which LEDs to light; the platform it is elaborated for must be the board's.
    setting : Setting or None
        Of the PLL that makes the clock; None for the oscillator itself.
    """

    def __init__(self, top, board, setting=None):
        self.top, self.board, self.setting = top, board, setting

    def elaborate(self, platform):
        m = Module()
        if self.setting is not None:
            m.submodules.clock = clock = PllDomain(self.board, self.setting)
            m.domains += [clock.domain, *([clock.late] if clock.late else [])]
        m.submodules.top = self.top
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.d.comb += self.top.rx.eq(rx.i)
        outputs = {
            "tx": (uart.tx, self.top.tx),
            "heartbeat": (platform.request("led", self.board.heartbeat, dir="-"), self.top.heartbeat),
            "alarm": (platform.request("led", self.board.alarm, dir="-"), self.top.alarm),
        }
        for name, (port, value) in outputs.items():
            m.submodules[name] = buffer = io.Buffer("o", port)
            m.d.comb += buffer.o.eq(value)
        if hasattr(self.top, "sdram_a"):
            m.submodules.sdram = SdramPads(self.top)
        return m
