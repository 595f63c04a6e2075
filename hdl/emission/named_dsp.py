"""Blocks that a design names, through a synthesis that would rewrite them.

`ice40_dsp`, which `synth_ice40 -dsp` calls, takes every SB_MAC16 for a product of 16 x 16 bits, those that a design
names itself too, and replaces their parameters and clocks: two products of 8 x 8 bits come out wrong (seen in Yosys
0.70). Under another name a block goes through as it is.
"""

__all__ = ["HIDE", "SHOW", "WARNING", "is_named"]

#: Yosys commands before `synth_ice40`, and after it.
HIDE = (
    "read_verilog -lib +/ice40/cells_sim.v",
    "copy SB_MAC16 NAMED_SB_MAC16",
    "chtype -set NAMED_SB_MAC16 t:SB_MAC16",
)
SHOW = ("chtype -set SB_MAC16 t:NAMED_SB_MAC16",)

#: For who synthesizes a design that names such blocks.
WARNING = "SB_MAC16 blocks are named here: run synth_ice40 without -dsp, which would rewrite them (Yosys 0.70)"


def is_named(verilog):
    """Whether a design names such a block."""
    return "SB_MAC16" in verilog
