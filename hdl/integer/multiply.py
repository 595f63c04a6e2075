"""Multipliers with a register on the operands and one on the product.

Every DSP block has both, and without them none reaches its speed. `OuterProduct` is the portable description: Yosys
finds the blocks in it, and where multipliers are made of LUTs, the equal operand registers of neighbours merge. What
Yosys does not find: the registers of an ECP5's MULT18X18D and of a Gowin MULT9X9 (it places the bare multiplier), and
that one block makes several narrow products, an SB_MAC16 of an iCE40 two of 8 bits, a MULT18X18D two of a 4-bit operand
with one of up to 8 bits, or four of 3-bit magnitudes. `Ecp5OuterProduct`, `GowinOuterProduct` and `Ice40OuterProduct`
name the blocks; they have the same ports and the same latency, but on ECP5 a product may come in two parts. In
Amaranth's simulator the portable description stands for each block.
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..simulated import simulated
from .bits import resize

__all__ = ["Ecp5OuterProduct", "GowinOuterProduct", "Ice40OuterProduct", "OuterProduct", "ecp5_packing"]


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


class Ecp5OuterProduct(OuterProduct):
    """`OuterProduct` in MULT18X18D blocks of an ECP5, with the blocks' own registers and several products in a block.

    Narrow operands of one side are one number for the block, so far apart that the products do not meet:
    `(a0 + (a1 << x)) * (b0 + (b1 << y))`. A product below zero takes one from the product above it. Its sign says so;
    it is given with the product above, to be added: an adder that follows has a carry input for that, so nothing else
    comes between the block's register and the next one.

    Attributes
    ----------
    carries : out, array of `rows` arrays of `cols` of 1
        To be added to the products; zero where a block has one product, or no sign.
    """

    def __init__(self, a_shape, b_shape, rows=1, cols=1, width=None):
        carries = Out(data.ArrayLayout(data.ArrayLayout(1, cols), rows))
        super().__init__(a_shape, b_shape, rows, cols, width, carries=carries)

    @property
    def packing(self):
        """Operands of each side that share a block."""
        return ecp5_packing(self.a_shape, self.b_shape, self.rows, self.cols)

    def elaborate(self, platform):
        down, across = self.packing
        m = Module()
        field = self.a_shape.width + self.b_shape.width
        sides = []
        for name, operands, count, distance in (("a", self.a, down, field), ("b", self.b, across, field * down)):
            groups = [list(operands)[first : first + count] for first in range(0, len(operands), count)]
            # Vectors without sign: Yosys stumbles over slices of signed ones at an instance's ports.
            sides.append([Signal(18, name=f"{name}_wide_{index}") for index in range(len(groups))])
            m.d.comb += [wide.eq(_packed(group, distance)) for wide, group in zip(sides[-1], groups, strict=True)]
        for block_row, a in enumerate(sides[0]):
            for block_col, b in enumerate(sides[1]):
                rows = range(block_row * down, min((block_row + 1) * down, self.rows))
                cols = range(block_col * across, min((block_col + 1) * across, self.cols))
                result = Signal(36, name=f"result_{block_row}_{block_col}")
                if simulated(platform):
                    m.submodules += (block := OuterProduct(signed(18), signed(18)))
                    m.d.comb += [block.en.eq(self.en), block.a[0].eq(a), block.b[0].eq(b)]
                    m.d.comb += result.eq(block.products[0][0])
                else:
                    m.submodules += _mult18x18d(self.en, a, b, result)
                for row in rows:
                    for col in cols:
                        at = field * (row - rows[0] + down * (col - cols[0]))
                        highest = row == rows[-1] and col == cols[-1]
                        product = result[at:] if highest else result[at : at + field]
                        if self.product_shape.signed:
                            product = product.as_signed()
                            if at:
                                m.d.comb += self.carries[row][col].eq(result[at - 1])
                        m.d.comb += self.products[row][col].eq(product)
        return m


def ecp5_packing(a_shape, b_shape, rows, cols):
    """How many operands of each side share a MULT18X18D so that `rows` x `cols` products take the fewest blocks.

    Raises
    ------
    ValueError
        If a single operand does not fit.
    """
    a_shape, b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
    for shape in (a_shape, b_shape):
        if not _fits(shape, 1, 0):
            raise ValueError(f"operands of a MULT18X18D must have up to 18 bits with sign, not {shape!r}")
    field = a_shape.width + b_shape.width
    choices = [
        (-(-rows // down) * -(-cols // across), down, across)
        for down in range(1, rows + 1)
        for across in range(1, cols + 1)
        if _fits(a_shape, down, field) and _fits(b_shape, across, field * down)
    ]
    return min(choices)[1:]


def _fits(shape, count, distance):
    # Both sides are two's complement in the block: an unsigned number gets a zero above it. The highest of several
    # signed operands may be the least one, and pay for the sign of the one below.
    return distance * (count - 1) + shape.width + (count > 1 or not shape.signed) <= 18


def _packed(operands, distance):
    """18 bits: the sum of the operands, each `distance` bits above the one before it."""
    bits, borrow = Cat(), Const(0, 1)
    for index, operand in enumerate(operands):
        if index and operand.shape().signed:
            # Less one if what is below is negative; in LUTs, a carry chain would be longer than the operand.
            operand = resize(operand, len(operand) + 1)
            operand = Cat(bit ^ (borrow & ~operand[:at].any()) for at, bit in enumerate(operand)).as_signed()
        borrow = operand[-1] if operand.shape().signed else Const(0, 1)
        bits = Cat(bits, resize(operand, distance if index < len(operands) - 1 else 18 - len(bits)))
    return bits


def _mult18x18d(en, a, b, result):
    """One block: `result` is a * b, two cycles later."""
    ports = _bits("i_A", a) | _bits("i_B", b) | _bits("o_P", result)
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
        if simulated(platform):
            return super().elaborate(platform)
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


class GowinOuterProduct(OuterProduct):
    """`OuterProduct` in MULT9X9 blocks of a Gowin GW1N or GW2A, with the blocks' own registers.

    Operands have up to 9 bits; Yosys places the bare multiplier and makes its registers of flip-flops.
    """

    def elaborate(self, platform):
        for shape in (self.a_shape, self.b_shape):
            if shape.width > 9:
                raise ValueError(f"operands of a MULT9X9 must have up to 9 bits, not {shape!r}")
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        for row in range(self.rows):
            for col in range(self.cols):
                place = f"{row}_{col}"
                a, b, result = Signal(9, name=f"a_{place}"), Signal(9, name=f"b_{place}"), Signal(18, name=f"o_{place}")
                product = result.as_signed() if self.product_shape.signed else result
                m.d.comb += [a.eq(self.a[row]), b.eq(self.b[col]), self.products[row][col].eq(product)]
                m.submodules += self._block(a, b, result)
        return m

    def _block(self, a, b, result):
        zeros = {f"i_{port}": Const(0, width) for port, width in _MULT9X9.items()}
        return Instance(
            "MULT9X9",
            **{f"p_{name}": Const(1, 1) for name in ("AREG", "BREG", "OUT_REG")},
            **zeros,
            i_ASIGN=Const(self.a_shape.signed, 1),
            i_BSIGN=Const(self.b_shape.signed, 1),
            i_CLK=ClockSignal(),
            i_CE=self.en,
            i_A=a,
            i_B=b,
            o_DOUT=result,
        )


# Unused inputs of a MULT9X9, and their bits: the cascade's operands, what chooses them, reset.
_MULT9X9 = {"SIA": 9, "SIB": 9, "ASEL": 1, "BSEL": 1, "RESET": 1}
