"""Gowin GW1N and GW2A: the registers of a MULT9X9, which Yosys does not find: it places the bare multiplier."""

from amaranth import ClockSignal, Const, Instance, Module, Signal

from ..simulated import simulated
from .family import Family
from .gowin_pll import GowinPll
from .portable import OuterProduct

__all__ = ["GOWIN", "GowinOuterProduct"]


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


GOWIN = Family(
    name="gowin",
    cells=("MULT9X9",),
    multiplier=GowinOuterProduct,
    operand_bits=9,
    free_running=True,
    pll=GowinPll,
)
