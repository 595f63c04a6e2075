"""The blocks that have a better form in some family of parts, in plain Amaranth.

`OuterProduct`: multipliers with a register on the operands and one on the product. Every DSP block has both, and
without them none reaches its speed. Yosys finds the blocks in it, and where multipliers are made of LUTs, the equal
operand registers of neighbours merge.

`GatedAdder`: an adder whose first operand can be gated, the heart of an accumulator that starts again without losing a
cycle. One LUT a bit for the gate beside the adder.

`Select`: one of several words by its index, a binary tree of multiplexers.

`RegisteredMemory`: a memory with a register behind it. Block RAMs have one of their own, without which what they show
is late.
"""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from .block_ram import NO_BYPASS

__all__ = ["GatedAdder", "OuterProduct", "RegisteredMemory", "Select"]


class OuterProduct(Replicable):
    """Multiply each of some operands with each of some others, in 2 cycles.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Integer shapes of the operands, signed or not.
    rows, cols : int
        Number of operands on either side.
    width : int, optional
        Bits of a product; by default as many as it can need. A block gives the sign in as many bits as its output has,
        so products that are to be extended are best asked for in full.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `rows`
    b : in, array of `cols`
        Operands.
    products : out, array of `rows` arrays of `cols`
        Products of the operands of two enabled cycles before; signed if either operand is.
    """

    latency = 2

    def __init__(self, a_shape, b_shape, rows=1, cols=1, width=None, **ports):
        self.a_shape, self.b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
        self.rows, self.cols = rows, cols
        width = width or self.a_shape.width + self.b_shape.width
        self.product_shape = Shape(width, self.a_shape.signed or self.b_shape.signed)
        super().__init__(
            {
                "en": In(1),
                "a": In(data.ArrayLayout(self.a_shape, rows)),
                "b": In(data.ArrayLayout(self.b_shape, cols)),
                "products": Out(data.ArrayLayout(data.ArrayLayout(self.product_shape, cols), rows)),
                **ports,
            }
        )

    def elaborate(self, platform):
        m = Module()
        a, b = (
            Signal(port.shape(), name=f"{name}_q", reset_less=True) for name, port in (("a", self.a), ("b", self.b))
        )
        width = min(self.product_shape.width, self.a_shape.width + self.b_shape.width)
        needed = Shape(width, self.product_shape.signed)
        products = Signal(data.ArrayLayout(data.ArrayLayout(needed, self.cols), self.rows), reset_less=True)
        with m.If(self.en):
            m.d.sync += [a.eq(self.a), b.eq(self.b)]
        for row in range(self.rows):
            for col in range(self.cols):
                m.d.comb += self.products[row][col].eq(products[row][col])
                with m.If(self.en):
                    m.d.sync += products[row][col].eq(a[row] * b[col])
        return m


class GatedAdder(Replicable):
    """Combinational `(a if keep else 0) + b + carry`, wrapped to the width.

    Parameters
    ----------
    width : int
        Bits of operands and sum.
    carry : bool
        Whether there is a carry in.

    Attributes
    ----------
    a, b : in
    keep : in 1
    carry : in 1
        Only with `carry`.
    sum : out
        Two's complement or unsigned. No signed ports: Yosys reads slices of signed vectors at an instance's ports in a
        way that ends in an error.
    """

    def __init__(self, width, carry=False):
        self.width, self.carries = width, carry
        ports = {"a": In(width), "b": In(width), "keep": In(1), "sum": Out(width)}
        super().__init__(ports | ({"carry": In(1)} if carry else {}))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.sum.eq(Mux(self.keep, self.a, 0) + self.b + (self.carry if self.carries else 0))
        return m


class Select(Replicable):
    """Combinational `o = i[index]`.

    Parameters
    ----------
    width : int
        Bits of a word.
    count : int
        Number of words, a power of two from 2 on.

    Attributes
    ----------
    i : in, array of `count` of `width` bits
    index : in
    o : out, `width` bits
    """

    def __init__(self, width, count):
        self.width, self.count = width, count
        super().__init__({"i": In(data.ArrayLayout(width, count)), "index": In(range(count)), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        words = list(self.i)
        for bit in self.index:
            words = [Mux(bit, high, low) for low, high in zip(words[::2], words[1::2], strict=True)]
        m.d.comb += self.o.eq(words[0])
        return m


class RegisteredMemory(Replicable):
    """A memory with a place to write and one to read in each cycle, of zeros at first.

    Parameters
    ----------
    bits : int
        Of a part of a word, which is written alone or with others.
    parts : int
        Of a word.
    depth : int
        Words, 1 to 16,384.

    Attributes
    ----------
    place, word : in
    en : in, a bit for each part
        Write these parts of the word at `place`.
    address : in
        What is read there has been written in a cycle before, or does not matter.
    o : out
        What `address` of two cycles before had then.
    """

    latency = 2

    def __init__(self, bits, parts, depth):
        self.bits, self.parts, self.depth = bits, parts, depth
        super().__init__(
            {
                "place": In(range(depth)),
                "word": In(bits * parts),
                "en": In(parts),
                "address": In(range(depth)),
                "o": Out(bits * parts),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=len(self.word), depth=self.depth, init=[], attrs=NO_BYPASS)
        write, read = words.write_port(granularity=self.bits), words.read_port()
        shown = Signal(len(self.word), reset_less=True)
        m.d.comb += [
            write.addr.eq(self.place),
            write.data.eq(self.word),
            write.en.eq(self.en),
            read.addr.eq(self.address),
            self.o.eq(shown),
        ]
        m.d.sync += shown.eq(read.data)
        return m
