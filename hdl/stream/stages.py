"""Stream stages: where a valid/ready stream crosses a register.

Three components with the same two ports, `i` and `o`, and the same payload on both:

===================  =======  ==========================  ==========================  =======================
component            latency  path from `i` to `o`        path from `o` to `i`        registers
===================  =======  ==========================  ==========================  =======================
`PipelineRegister`   1        cut                         `o.ready` to `i.ready`      payload + 1
`SkidBuffer`         0        one multiplexer             cut                         payload + 1
`Stage`              1        cut                         cut                         2 payloads + 2
===================  =======  ==========================  ==========================  =======================

All move one payload per cycle, keep order, and hold the payload still while `o.valid` is high and `o.ready` is low.
A core that cuts both paths with the fewest flip-flops puts a `SkidBuffer` where its payload is narrowest and a
`PipelineRegister` at its output.
"""

from amaranth import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from ..emission.replicate import Replicable

__all__ = ["PipelineRegister", "SkidBuffer", "Stage", "offered_last"]


def offered_last(stream):
    """A stream's `last`, or 0 while nothing is offered.

    For what decides about `ready`: in a simulator with four states, an unknown payload that is not offered would make
    `ready` unknown, which checkers of AXI4-Stream do not permit.
    """
    return stream.valid & stream.payload.last


class _Link(Replicable):
    """One stream in, one stream out, of the same payload.

    Parameters
    ----------
    payload : ShapeLike
        Shape of the payload.

    Attributes
    ----------
    i, o : stream
        Input and output.
    """

    def __init__(self, payload):
        self.payload = payload
        super().__init__({"i": In(stream.Signature(payload)), "o": Out(stream.Signature(payload))})


class PipelineRegister(_Link):
    """Register on payload and valid; ready passes through. Latency 1, one payload per cycle."""

    def elaborate(self, platform):
        m = Module()
        payload = Signal(self.payload, reset_less=True)
        valid = Signal()
        m.d.comb += [self.o.payload.eq(payload), self.o.valid.eq(valid), self.i.ready.eq(self.o.ready | ~valid)]
        with m.If(self.i.ready):
            m.d.sync += [payload.eq(self.i.payload), valid.eq(self.i.valid)]
        return m


class SkidBuffer(_Link):
    """Register on ready; payload and valid pass through while it is empty. Latency 0, one payload per cycle.

    While `i.ready` is high, the spare register samples every payload, so that its enable is one flip-flop's output.
    """

    def elaborate(self, platform):
        m = Module()
        spare = Signal(self.payload, reset_less=True)
        empty = Signal(init=1)
        m.d.comb += [self.i.ready.eq(empty), self.o.valid.eq(self.i.valid | ~empty)]
        with m.If(empty):
            m.d.comb += self.o.payload.eq(self.i.payload)
            m.d.sync += spare.eq(self.i.payload)
        with m.Else():
            m.d.comb += self.o.payload.eq(spare)
        m.d.sync += empty.eq(self.o.ready | ~self.o.valid)
        return m


class Stage(_Link):
    """A `SkidBuffer` and a `PipelineRegister`: both directions registered. Latency 1, one payload per cycle."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(self.payload)
        m.submodules.register = register = PipelineRegister(self.payload)
        connect(m, flipped(self.i), skid.i)
        connect(m, skid.o, register.i)
        connect(m, register.o, flipped(self.o))
        return m
