"""One operand of a matrix product on its way into the systolic tile: a memory of panels, filled once, read often."""

from amaranth import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["GemmBuffer"]


class GemmBuffer(wiring.Component):
    """Fill a memory with the panels of a job, then read them in order, each as often as it is asked for.

    One address serves both, as the memory is either filled or read: one port is enough. A count of places and one of
    panels stand in for a multiplier. Addresses wrap.

    Parameters
    ----------
    payload : ShapeLike
        A transfer.
    depth : int
        Transfers that the memory holds, a power of two.
    steps_bits : int
        Bits of `steps`.

    Attributes
    ----------
    start : in 1
        Take `steps`, `panels` and `load` of a job; not while the last one is under way.
    steps : in
        Transfers of a panel, less 1.
    panels : in
        Panels, less 1.
    load : in 1
        Fill the memory first.
    i : in stream of `payload`
        Transfers of all panels, one after the other; ready while the memory is being filled.
    loading : out 1
        It is being filled.
    step : in 1
        Read the next transfer; not while the memory is being filled.
    again : in 1
        With the last transfer of a panel: it comes once more.
    panel_end, last_panel : out 1
        The next transfer ends its panel; that is the last one.
    o : out `payload`
        The transfer that was read, from the next cycle on until one is read again.
    overrun : out 1
        High from the first transfer on that is not the job's last and lies at the memory's end, until reset.
    """

    def __init__(self, payload, depth, steps_bits):
        self.payload, self.depth = payload, depth
        super().__init__(
            {
                "start": In(1),
                "steps": In(steps_bits),
                "panels": In(range(depth)),
                "load": In(1),
                "i": In(stream.Signature(payload)),
                "loading": Out(1),
                "step": In(1),
                "again": In(1),
                "panel_end": Out(1),
                "last_panel": Out(1),
                "o": Out(payload),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.transfers = transfers = memory.Memory(shape=self.payload, depth=self.depth, init=[])
        write, read = transfers.write_port(), transfers.read_port()
        address, base = (Signal(range(self.depth), name=name, reset_less=True) for name in ("address", "base"))
        steps, place = (Signal.like(self.steps, name=name, reset_less=True) for name in ("steps_q", "place"))
        panels, left = (Signal.like(self.panels, name=name, reset_less=True) for name in ("panels_q", "left"))
        advance = Signal()
        m.d.comb += [
            self.i.ready.eq(self.loading),
            write.addr.eq(address),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.loading),
            read.addr.eq(address),
            read.en.eq(self.step),
            self.o.eq(read.data),
            advance.eq(write.en | self.step),
            self.panel_end.eq(place == 0),
            self.last_panel.eq(left == 0),
        ]
        with m.If(advance):
            m.d.sync += [address.eq(address + 1), place.eq(place - 1)]
            with m.If(self.panel_end):
                m.d.sync += place.eq(steps)
                with m.If(self.again):
                    m.d.sync += address.eq(base)
                with m.Elif(self.last_panel):
                    m.d.sync += [address.eq(0), base.eq(0), left.eq(panels), self.loading.eq(0)]
                with m.Else():
                    m.d.sync += [base.eq(address + 1), left.eq(left - 1)]
            with m.If(address.all() & ~(self.panel_end & self.last_panel)):
                m.d.sync += self.overrun.eq(1)
        with m.If(self.start):
            m.d.sync += [
                address.eq(0),
                base.eq(0),
                steps.eq(self.steps),
                place.eq(self.steps),
                panels.eq(self.panels),
                left.eq(self.panels),
                self.loading.eq(self.load),
            ]
        return m
