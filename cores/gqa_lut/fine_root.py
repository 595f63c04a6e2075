"""1/sqrt(x) on 1 to 4 in segments of one width: a small memory, a narrow product, an adder."""

from amaranth import Cat, Const, Module
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.gqa_lut.fine_root import (
    CODE_BITS,
    DROP_BITS,
    ROOT_FRACTION,
    SEGMENT_BITS,
    VALUE_BITS,
    segments,
)
from ...hdl.stream.pipeline import registered

__all__ = ["FineRoot"]


class FineRoot(wiring.Component):
    """`golden.gqa_lut.fine_root` of a stream of codes, with tags that go along.

    Latency 4 cycles, one more than `PwlDatapath`; one code per cycle. `o.ready` has a path to `i.ready`.

    Parameters
    ----------
    tag : int
        Bits that go along.

    Attributes
    ----------
    i : in stream
        `code` and `tag`.
    o : out stream
        `value` and `tag`.
    """

    def __init__(self, tag):
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"code": CODE_BITS, "tag": tag}))),
                "o": Out(stream.Signature(data.StructLayout({"value": ROOT_FRACTION, "tag": tag}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = [
            value | drop << VALUE_BITS for value, drop in zip(*(part.tolist() for part in segments()), strict=True)
        ]
        m.submodules.segments = table = memory.Memory(shape=VALUE_BITS + DROP_BITS, depth=len(words), init=words)
        port, code = table.read_port(), self.i.payload.code
        m.d.comb += [port.addr.eq(code[SEGMENT_BITS:]), port.en.eq(self.i.ready)]
        read = registered(m, "read", self.i, place=code[:SEGMENT_BITS], tag=self.i.payload.tag)
        # Block RAM is slow: nothing is computed behind it in the same cycle.
        word = registered(
            m,
            "word",
            read,
            value=port.data[:VALUE_BITS],
            drop=port.data[VALUE_BITS:],
            place=read.payload.place,
            tag=read.payload.tag,
        )
        fields = word.payload
        product = registered(m, "product", word, product=fields.drop * fields.place, value=fields.value, tag=fields.tag)
        exact = Cat(Const(0, SEGMENT_BITS), product.payload.value) - product.payload.product
        dropped = SEGMENT_BITS + VALUE_BITS - ROOT_FRACTION
        rounded = (exact + (1 << (dropped - 1)))[dropped:][:ROOT_FRACTION]
        total = registered(m, "total", product, value=rounded, tag=product.payload.tag)
        m.d.comb += [
            self.o.valid.eq(total.valid),
            total.ready.eq(self.o.ready),
            self.o.payload.value.eq(total.payload.value),
            self.o.payload.tag.eq(total.payload.tag),
        ]
        return m
