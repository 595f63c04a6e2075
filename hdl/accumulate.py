"""An adder whose first operand can be gated: the heart of an accumulator that starts again without losing a cycle.

`GatedAdder` is the portable description, one LUT a bit for the gate beside the adder. On ECP5 the gate fits into the
adder's own LUT, whose carry needs no gate because nothing is carried where one operand is zero; Yosys does not find
that, `Ecp5GatedAdder` names the cells. Same ports.
"""

from amaranth import Const, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Ecp5GatedAdder", "GatedAdder"]


class GatedAdder(wiring.Component):
    """Combinational `(a if keep else 0) + b`, wrapped to the width.

    Parameters
    ----------
    width : int
        Bits of operands and sum.

    Attributes
    ----------
    a, b : in
    keep : in 1
    sum : out
        Two's complement or unsigned. No signed ports: Yosys reads slices of signed vectors at an instance's ports in a
        way that ends in an error.
    """

    def __init__(self, width):
        self.width = self.config = width
        super().__init__({"a": In(width), "b": In(width), "keep": In(1), "sum": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.sum.eq(Mux(self.keep, self.a, 0) + self.b)
        return m


class Ecp5GatedAdder(GatedAdder):
    """`GatedAdder` in CCU2C cells: two bits a cell, the gate in the cells' LUTs."""

    # Inputs A = b, B = a, C = keep, D = 1. The upper half of the table is the sum without carry, keep ? a ^ b : b; the
    # lowest four bits, b, are the carry out where the sum without carry is 0, else the carry passes through.
    _TABLE = 0x6AAA

    def elaborate(self, platform):
        m = Module()
        cells = -(-self.width // 2)
        a, b, total = (Signal(2 * cells, name=name) for name in ("a_even", "b_even", "sum_even"))
        m.d.comb += [a.eq(self.a), b.eq(self.b), self.sum.eq(total)]
        carry = Signal(cells + 1)
        for cell in range(cells):
            ports = {}
            for half in range(2):
                bit = 2 * cell + half
                ports |= {f"p_INIT{half}": Const(self._TABLE, 16), f"p_INJECT1_{half}": "NO"}
                ports |= {f"i_A{half}": b[bit], f"i_B{half}": a[bit], f"i_C{half}": self.keep, f"i_D{half}": Const(1)}
                ports |= {f"o_S{half}": total[bit]}
            m.submodules += Instance("CCU2C", i_CIN=carry[cell], o_COUT=carry[cell + 1], **ports)
        return m
