"""Multipliers with a register on the operands and one on the product.

Every DSP block has both, and without them none reaches its speed. `OuterProduct` is the portable description: Yosys
finds the blocks in it, and where multipliers are made of LUTs, the equal operand registers of neighbours merge. Two
things Yosys does not find: the registers of an ECP5's MULT18X18D (it places the bare multiplier), and that an SB_MAC16
of an iCE40 makes two 8-bit products. `Ecp5OuterProduct` and `Ice40OuterProduct` name the blocks; they have the same
ports and the same latency.
"""

from amaranth import ClockSignal, Const, Instance, Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ecp5OuterProduct", "Ice40OuterProduct", "OuterProduct"]


class OuterProduct(wiring.Component):
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

    def __init__(self, a_shape, b_shape, rows=1, cols=1, width=None):
        self.a_shape, self.b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
        self.rows, self.cols = rows, cols
        width = width or self.a_shape.width + self.b_shape.width
        self.product_shape = Shape(width, self.a_shape.signed or self.b_shape.signed)
        self.config = (self.a_shape, self.b_shape, rows, cols, width)
        super().__init__(
            {
                "en": In(1),
                "a": In(data.ArrayLayout(self.a_shape, rows)),
                "b": In(data.ArrayLayout(self.b_shape, cols)),
                "products": Out(data.ArrayLayout(data.ArrayLayout(self.product_shape, cols), rows)),
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


class Ecp5OuterProduct(OuterProduct):
    """`OuterProduct` in MULT18X18D blocks of an ECP5, with the blocks' own registers."""

    def elaborate(self, platform):
        for shape in (self.a_shape, self.b_shape):
            # Both sides are two's complement in the block: an unsigned operand gets a zero above it.
            if shape.width + (not shape.signed) > 18:
                raise ValueError(f"operands of a MULT18X18D must have up to 18 bits with sign, not {shape!r}")
        m = Module()
        for row in range(self.rows):
            for col in range(self.cols):
                m.submodules += _mult18x18d(m, self.en, self.a[row], self.b[col], self.products[row][col])
        return m


def _mult18x18d(m, en, a, b, product):
    """One block: `product` is a * b, two cycles later."""
    operands = []
    for name, operand in (("A", a), ("B", b)):
        # Vectors without sign: Yosys stumbles over slices of signed ones at an instance's ports.
        wide = Signal(18, name=f"{name.lower()}_wide")
        m.d.comb += wide.eq(operand)
        operands.append(wide)
    result = Signal(36)
    m.d.comb += product.eq(result)
    ports = _bits("i_A", operands[0]) | _bits("i_B", operands[1]) | _bits("o_P", result)
    ports |= {"i_CLK0": ClockSignal(), "i_CE0": en, "i_RST0": Const(0)}
    ports |= {f"i_SIGNED{side}": Const(1) for side in "AB"} | {f"i_SOURCE{side}": Const(0) for side in "AB"}
    registers = {"INPUTA": "CLK0", "INPUTB": "CLK0", "PIPELINE": "NONE", "OUTPUT": "CLK0"}
    return Instance("MULT18X18D", **{f"p_REG_{stage}_CLK": clock for stage, clock in registers.items()}, **ports)


def _bits(prefix, value):
    """Port name to bit, for a primitive that has one port a bit."""
    return {f"{prefix}{index}": value[index] for index in range(len(value))}


class Ice40OuterProduct(OuterProduct):
    """`OuterProduct` in SB_MAC16 blocks of an iCE40 UP5K, two 8-bit products a block, with the blocks' own registers.

    Operands have up to 8 bits; the block has one sign setting for each side.
    """

    def elaborate(self, platform):
        for shape in (self.a_shape, self.b_shape):
            if shape.width > 8:
                raise ValueError(f"operands of half an SB_MAC16 must have up to 8 bits, not {shape!r}")
        m = Module()
        places = [(row, col) for row in range(self.rows) for col in range(self.cols)]
        for first in range(0, len(places), 2):
            a, b, result = Signal(16, name=f"a_{first}"), Signal(16, name=f"b_{first}"), Signal(32, name=f"o_{first}")
            for half, (row, col) in enumerate(places[first : first + 2]):
                product = result.word_select(half, 16)
                m.d.comb += [
                    a.word_select(half, 8).eq(self.a[row]),
                    b.word_select(half, 8).eq(self.b[col]),
                    self.products[row][col].eq(product.as_signed() if self.product_shape.signed else product),
                ]
            m.submodules += self._block(a, b, result)
        return m

    def _block(self, a, b, result):
        parameters = {
            "A_REG": 1,
            "B_REG": 1,
            "TOP_8x8_MULT_REG": 1,
            "BOT_8x8_MULT_REG": 1,
            "TOPOUTPUT_SELECT": 2,  # the 8 x 8 product, from its register
            "BOTOUTPUT_SELECT": 2,
            "MODE_8x8": 1,
            "A_SIGNED": int(self.a_shape.signed),
            "B_SIGNED": int(self.b_shape.signed),
        }
        zeros = [f"{port}HOLD" for port in "ABCD"] + [f"{port}{half}" for port in _SB_MAC16 for half in ("TOP", "BOT")]
        ports = {f"i_{port}": Const(0, 1) for port in (*zeros, "CI", "ACCUMCI", "SIGNEXTIN")}
        ports |= {"i_CLK": ClockSignal(), "i_CE": self.en, "i_A": a, "i_B": b, "i_C": Const(0, 16), "i_D": Const(0, 16)}
        return Instance(
            "SB_MAC16",
            **{f"p_{name}": Const(value, 2 if "SELECT" in name else 1) for name, value in parameters.items()},
            **ports,
            o_O=result,
        )


# Ports of which an SB_MAC16 has one for each half.
_SB_MAC16 = ("IRST", "ORST", "OLOAD", "ADDSUB", "OHOLD")
