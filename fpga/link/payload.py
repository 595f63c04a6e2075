"""Payloads as bytes: gather bytes into a payload, scatter a payload into bytes.

A payload of n bits is ceil(n / 8) bytes, the lowest bits first; the last byte is filled up with zeros, which `Gather`
does not look at. Both hold one payload and give one cycle away between two of them: a serial line is slower than that.
"""

from amaranth import Cat, Module, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Gather", "Scatter", "byte_count"]


def byte_count(payload):
    """Bytes of one payload of shape `payload`.

    Raises
    ------
    ValueError
        For a payload without bits.
    """
    width = Shape.cast(payload).width
    if width == 0:
        raise ValueError("a payload must have 1 bit or more, not 0")
    return -(-width // 8)


class Gather(wiring.Component):
    """Bytes to payloads. One payload each `byte_count(payload)` + 1 cycles; no path from `o.ready` to `i.ready`.

    Parameters
    ----------
    payload : ShapeLike
        Shape of the payload.

    Attributes
    ----------
    i : stream of 8 bits
        Bytes.
    o : stream of `payload`
        Payloads, valid in the cycle after their last byte.
    """

    def __init__(self, payload):
        self.bytes = byte_count(payload)
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(payload))})

    def elaborate(self, platform):
        m = Module()
        gathered = Signal(8 * self.bytes, reset_less=True)
        count = Signal(range(self.bytes + 1))
        full = count == self.bytes
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(full),
            Value.cast(self.o.payload).eq(gathered),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [gathered.eq(Cat(gathered[8:], self.i.payload)), count.eq(count + 1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += count.eq(0)
        return m


class Scatter(wiring.Component):
    """Payloads to bytes. One payload each `byte_count(payload)` + 1 cycles; no path from `o.ready` to `i.ready`.

    Parameters
    ----------
    payload : ShapeLike
        Shape of the payload.

    Attributes
    ----------
    i : stream of `payload`
        Payloads.
    o : stream of 8 bits
        Bytes, the first one valid in the cycle after the payload.
    """

    def __init__(self, payload):
        self.bytes = byte_count(payload)
        super().__init__({"i": In(stream.Signature(payload)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self.bytes + 1))
        rest = Signal(8 * self.bytes, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(left == 0),
            self.o.valid.eq(left != 0),
            self.o.payload.eq(rest[:8]),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [rest.eq(Value.cast(self.i.payload)), left.eq(self.bytes)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [rest.eq(rest[8:]), left.eq(left - 1)]
        return m
