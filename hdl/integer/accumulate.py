"""An adder whose first operand can be gated: the heart of an accumulator that starts again without losing a cycle.

`GatedAdder` is the portable description, one LUT a bit for the gate beside the adder. On ECP5 the gate fits into the
adder's own LUT, whose carry needs no gate because nothing is carried where one operand is zero; Yosys does not find
that, `Ecp5GatedAdder` names the cells. Same ports.
"""

from amaranth import Const, Instance, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..simulated import simulated

__all__ = ["Ecp5GatedAdder", "GatedAdder"]


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
