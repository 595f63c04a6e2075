"""Lattice ECP5: several products in a MULT18X18D, an accumulator's gate in its carry chain, wide multiplexers.

Block RAM with its own output register is in `ecp5_memory`.

What Yosys does not find: the registers of a MULT18X18D (it places the bare multiplier), and that one block makes two
products of a 4-bit operand with one of up to 8 bits, or four of 3-bit magnitudes. A product may come in two parts.

The gate of a gated adder fits into the adder's own LUT, whose carry needs no gate because nothing is carried where one
operand is zero.

Of a bit of a multiplexer of eight words Yosys makes about six LUT4, as its LUT5 to LUT7 have the same few inputs in all
their halves. The slice's own multiplexers choose between LUT4 of any inputs, and take four.
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Out

from ..integer.bits import resize
from ..simulated import simulated
from .ecp5_memory import Ecp5RegisteredMemory
from .ecp5_pll import Ecp5Pll
from .family import Family
from .portable import GatedAdder, OuterProduct, Select

__all__ = ["ECP5", "Ecp5GatedAdder", "Ecp5OuterProduct", "Ecp5Select", "packing"]


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
        return packing(self.a_shape, self.b_shape, self.rows, self.cols)

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


def packing(a_shape, b_shape, rows, cols):
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


class Ecp5GatedAdder(GatedAdder):
    """`GatedAdder` in CCU2C cells: two bits a cell, the gate in the cells' LUTs, half a cell for the carry in."""

    # Inputs A = b, B = a, C = keep, D = 1. The upper half of the table is the sum without carry, keep ? a ^ b : b; the
    # lowest four bits, b, are the carry out where the sum without carry is 0, else the carry passes through.
    _TABLE = 0x6AAA
    # Input A = carry: no sum, so that the carry out is the lowest four bits, A.
    _CARRY_TABLE = 0x000A

    def elaborate(self, platform):
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        # Table, inputs A and B, and sum of every half of a cell, lowest first; what fills the last cell adds zeros.
        halves = [(self._CARRY_TABLE, self.carry, Const(0), Signal(name="no_sum"))] if self.carries else []
        halves += [(self._TABLE, self.b[bit], self.a[bit], self.sum[bit]) for bit in range(self.width)]
        if len(halves) % 2:
            halves.append((self._TABLE, Const(0), Const(0), Signal(name="beyond")))
        carry = Signal(len(halves) // 2 + 1, name="carries")
        for cell, pair in enumerate(zip(halves[::2], halves[1::2], strict=True)):
            ports = {"i_CIN": carry[cell], "o_COUT": carry[cell + 1]}
            for half, (table, a, b, total) in enumerate(pair):
                ports |= {f"p_INIT{half}": Const(table, 16), f"p_INJECT1_{half}": "NO", f"o_S{half}": total}
                ports |= {f"i_A{half}": a, f"i_B{half}": b, f"i_C{half}": self.keep, f"i_D{half}": Const(1)}
            m.submodules += Instance("CCU2C", **ports)
        return m


class Ecp5Select(Select):
    """`Select` of 4 or 8 words in LUT4, PFUMX and L6MUX21 cells: half as many LUT4 a bit as there are words."""

    _MUX2 = 0xCACA  # C ? B : A

    def elaborate(self, platform):
        if self.count not in (4, 8):
            raise ValueError(f"cells choose one of 4 or 8 words, not of {self.count}")
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        for bit in range(self.width):
            fields = [word[bit] for word in self.i]
            pairs = [
                self._cell(
                    m,
                    "LUT4",
                    f"pair_{bit}_{at}",
                    "Z",
                    p_INIT=Const(self._MUX2, 16),
                    i_A=low,
                    i_B=high,
                    i_C=self.index[0],
                    i_D=Const(0),
                )
                for at, (low, high) in enumerate(zip(fields[::2], fields[1::2], strict=True))
            ]
            fours = [
                self._cell(m, "PFUMX", f"four_{bit}_{at}", "Z", i_BLUT=low, i_ALUT=high, i_C0=self.index[1])
                for at, (low, high) in enumerate(zip(pairs[::2], pairs[1::2], strict=True))
            ]
            if len(fours) == 2:
                low, high = fours
                fours = [self._cell(m, "L6MUX21", f"eight_{bit}", "Z", i_D0=low, i_D1=high, i_SD=self.index[2])]
            m.d.comb += self.o[bit].eq(fours[0])
        return m

    def _cell(self, m, kind, name, output, **ports):
        """Output of a new cell."""
        given = Signal(name=name)
        m.submodules[f"{name}_cell"] = Instance(kind, **ports, **{f"o_{output}": given})
        return given


def _has_carry(a_shape, b_shape):
    # Where products share a block, what is below one of them may be negative.
    return packing(a_shape, b_shape, 2, 2) != (1, 1)


ECP5 = Family(
    name="ecp5",
    cells=("MULT18X18D", "CCU2C", "LUT4", "PFUMX", "L6MUX21", "DP16KD"),
    multiplier=Ecp5OuterProduct,
    adder=Ecp5GatedAdder,
    select=Ecp5Select,
    memory=Ecp5RegisteredMemory,
    packing=packing,
    has_carry=_has_carry,
    product_bits=36,
    packs_magnitudes=True,
    free_running=True,
    pll=Ecp5Pll,
)
