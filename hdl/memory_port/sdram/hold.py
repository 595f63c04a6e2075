"""Times between commands, as ones that are shifted out."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Hold"]


class Hold(wiring.Component):
    """Say when the times that some commands take are over.

    A time of n cycles is n - 1 ones in a shift register: two times that overlap need no comparison, and `free` is one
    flip-flop's output.

    Parameters
    ----------
    **cycles : int
        For each command its cycles, 1 or more.

    Attributes
    ----------
    free : out 1
        What waits may be given in this cycle: n cycles after each command at the earliest.
    <command> : in 1
        The command is given in this cycle; one port for each.
    """

    def __init__(self, **cycles):
        self.cycles = cycles
        super().__init__({"free": Out(1)} | dict.fromkeys(cycles, In(1)))

    def elaborate(self, platform):
        m = Module()
        ones = Signal(max(1, max(self.cycles.values()) - 1))
        following = ones >> 1
        for command, cycles in self.cycles.items():
            following |= Mux(getattr(self, command), (1 << cycles - 1) - 1, 0)
        m.d.sync += ones.eq(following)
        m.d.comb += self.free.eq(~ones[0])
        return m
