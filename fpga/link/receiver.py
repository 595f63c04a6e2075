"""Frames from the host: escapes, check and length, and the memory in which a payload waits until its check is right."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .crc import CRC32
from .protocol import CHECK, ESCAPE, FLAG, HEADER, INVERTED, MAX_PAYLOAD

__all__ = ["REQUEST", "FrameReceiver"]

#: A frame's header, and whether the frame is damaged; then the rest has no meaning.
REQUEST = data.StructLayout({"kind": 8, "sequence": 8, "channels": 8, "session": 32, "length": 16, "damaged": 1})

_LONGEST = HEADER + MAX_PAYLOAD + CHECK


class FrameReceiver(wiring.Component):
    """Bytes of the line to requests; what `protocol.Reader` does, for one frame at a time.

    While a request is on offer, it and its payload hold still, and what comes is lost: the frame that a lost byte
    belongs to is passed over, up to the flag that ends it. So a request is on offer until it has been answered.

    Attributes
    ----------
    i : in stream of 8 bits
        Bytes of the line, one a cycle; always ready.
    o : out stream of `REQUEST`
        Requests, and damaged frames, in the cycle after the flag that ends them.
    address : in
        Of a byte of the payload.
    data : out 8
        That byte, in the next cycle.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(REQUEST)),
                "address": In(range(MAX_PAYLOAD)),
                "data": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32.create()
        m.submodules.payload = payload = memory.Memory(shape=8, depth=MAX_PAYLOAD, init=[])
        write, read = payload.write_port(), payload.read_port()

        # Bytes of the body so far; one more than the longest frame has stands for any more.
        count = Signal(range(_LONGEST + 2))
        header = Signal(8 * HEADER, reset_less=True)
        escaped, lost = Signal(), Signal()
        flag, byte, taken = Signal(), Signal(8), Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            flag.eq(self.i.valid & (self.i.payload == FLAG)),
            byte.eq(self.i.payload ^ escaped.replicate(8) & INVERTED),
            taken.eq(self.i.valid & ~flag & ~self.o.valid & ~lost & (escaped | (self.i.payload != ESCAPE))),
            crc.start.eq(flag),
            crc.valid.eq(taken),
            crc.data.eq(byte),
            write.addr.eq(count - HEADER),
            write.data.eq(byte),
            # The check of the longest frame would come round to the first bytes.
            write.en.eq(taken & (count >= HEADER) & (count < HEADER + MAX_PAYLOAD)),
            read.addr.eq(self.address),
            self.data.eq(read.data),
        ]
        damaged = Signal(reset_less=True)
        m.d.comb += self.o.payload.eq(Cat(header, damaged))

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(taken):
            m.d.sync += escaped.eq(0)
            with m.If(count < HEADER):
                m.d.sync += header.eq(Cat(header[8:], byte))
            with m.If(count <= _LONGEST):
                m.d.sync += count.eq(count + 1)
        with m.Elif(flag):
            m.d.sync += [count.eq(0), escaped.eq(0), lost.eq(0)]
            with m.If(~self.o.valid & ((count != 0) | escaped)):
                whole = (count == self.o.payload.length + HEADER + CHECK) & (count <= _LONGEST)
                m.d.sync += [self.o.valid.eq(1), damaged.eq(escaped | ~whole | ~crc.match_detected)]
        with m.Elif(self.i.valid):
            m.d.sync += [lost.eq(self.o.valid | lost), escaped.eq(~self.o.valid & ~lost)]
        return m
