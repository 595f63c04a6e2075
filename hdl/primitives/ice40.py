"""Lattice iCE40 UP5K: two products of up to 8 bits in an SB_MAC16, which Yosys does not find."""

from amaranth import ClockSignal, Const, Instance, Module, Signal

from ..simulated import simulated
from .family import Family, Guard
from .ice40_pll import Ice40Pll
from .portable import OuterProduct

__all__ = ["ICE40", "Ice40OuterProduct"]


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


def _packing(a_shape, b_shape, rows, cols):
    # Two products a block, whichever operand they share.
    return (1, 2) if cols > 1 else (2, 1)


# `ice40_dsp`, which `synth_ice40 -dsp` calls, takes every SB_MAC16 for a product of 16 x 16 bits, those that a design
# names itself too, and replaces their parameters and clocks: two products of 8 x 8 bits come out wrong (seen in Yosys
# 0.70). Under another name a block goes through as it is.
_HIDDEN = "NAMED_SB_MAC16"

ICE40 = Family(
    name="ice40",
    cells=("SB_MAC16",),
    multiplier=Ice40OuterProduct,
    packing=_packing,
    operand_bits=8,
    guard=Guard(
        before=(
            "read_verilog -lib +/ice40/cells_sim.v",
            f"copy SB_MAC16 {_HIDDEN}",
            f"chtype -set {_HIDDEN} t:SB_MAC16",
        ),
        after=(f"chtype -set SB_MAC16 t:{_HIDDEN}",),
        warning="SB_MAC16 blocks are named here: run synth_ice40 without -dsp, which would rewrite them (Yosys 0.70)",
    ),
    pll=Ice40Pll,
)
