"""Frames to the host: flags, escapes and check around the bytes of a body."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .crc import CRC32
from .protocol import CHECK, ESCAPE, FLAG, INVERTED

__all__ = ["BODY", "FrameSender"]

#: A byte of a frame's body without its check, and whether it is the last one.
BODY = data.StructLayout({"data": 8, "last": 1})


class FrameSender(wiring.Component):
    """Bytes of bodies to bytes of the line.

    A byte a cycle. `o.valid` and `o.payload` follow `i` in the same cycle, and `i.ready` follows `o.ready`: the line's
    end is a register.

    Attributes
    ----------
    i : in stream of `BODY`
        Header and payload of a frame.
    o : out stream of 8 bits
        The frame as `protocol.Frame.to_bytes` gives it.
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BODY)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32.create()
        byte, valid, done = Signal(8), Signal(), Signal()
        escaped, place = Signal(), Signal(range(CHECK))
        m.d.comb += crc.data.eq(self.i.payload.data)

        # A byte that has to be escaped takes two transfers; `done` with the second.
        special = Signal()
        m.d.comb += special.eq(((byte == FLAG) | (byte == ESCAPE)) & ~escaped)
        with m.If(valid):
            m.d.comb += [
                self.o.valid.eq(1),
                self.o.payload.eq(byte ^ escaped.replicate(8) & INVERTED),
                done.eq(self.o.ready & ~special),
            ]
            with m.If(special):
                m.d.comb += self.o.payload.eq(ESCAPE)
            with m.If(self.o.ready):
                m.d.sync += escaped.eq(special)

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [crc.start.eq(1), self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid)]
                with m.If(self.o.valid & self.o.ready):
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [byte.eq(self.i.payload.data), valid.eq(self.i.valid)]
                m.d.comb += [self.i.ready.eq(done), crc.valid.eq(done)]
                with m.If(done & self.i.payload.last):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [byte.eq(crc.crc.word_select(place, 8)), valid.eq(1)]
                with m.If(done):
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == CHECK - 1):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BEGIN"
        return m
