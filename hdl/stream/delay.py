"""Delays of wide buses, and the skew at the edges of an array."""

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..emission.structure import Chain, Place, Structure

__all__ = ["Delay", "Register", "Skew"]


class Register(Replicable):
    """`o` is `i` as it was one enabled cycle before; no reset.

    Parameters
    ----------
    width : int
        Bits.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({"en": In(1), "i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        register = Signal(self.width, reset_less=True)
        m.d.comb += self.o.eq(register)
        with m.If(self.en):
            m.d.sync += register.eq(self.i)
        return m


class Delay(Chain):
    """`o` is `i` as it was `steps` enabled cycles before, 1 or more; ports and width as of `Register`."""

    def __init__(self, width, steps):
        super().__init__(
            {"en": In(1), "i": In(width), "o": Out(width)}, [(Register, width)] * steps, {"o": "i"}, ["en"]
        )


class Skew(Structure):
    """Delay lane n by n enabled cycles: what makes a wave front of a row of operands.

    Built by halves: the half that comes later waits, as a whole, for as many cycles as the other half has lanes. Equal
    halves are one module, so the text grows with the logarithm of the lanes.

    Parameters
    ----------
    width : int
        Bits of a lane.
    lanes : int
        1 or more.
    falling : bool
        The other way round: delay lane n by `lanes - 1 - n` cycles, which undoes the skew.

    Attributes
    ----------
    en : in 1
    i, o : in, out, `lanes * width` bits
        Lane 0 in the lowest bits.
    """

    def __init__(self, width, lanes, falling=False):
        low = lanes // 2
        # Name, first lane, lanes, cycles to wait.
        halves = [("low", 0, low, lanes - low if falling else 0), ("high", low, lanes - low, 0 if falling else low)]
        places, links = [], []
        for name, first, count, wait in halves:
            source, start = "i", first * width
            if wait and count:
                delay = (Delay, width * count, wait)
                target = (f"{name}_waited", 0) if count > 1 else ("o", start)
                places.append(Place(f"{name}_wait", delay, {"en": ("en", 0), "i": (source, start), "o": target}))
                source, start = target
            if count > 1:
                half = (Skew, width, count, falling)
                ports = {"en": ("en", 0), "i": (source, start), "o": ("o", first * width)}
                places.append(Place(name, half, ports))
            elif count and source == "i":
                links.append(("o", first * width, "i", start, width))
        super().__init__({"en": In(1), "i": In(width * lanes), "o": Out(width * lanes)}, places, links)
