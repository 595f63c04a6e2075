"""Blocks that the families of FPGAs have primitives for: one interface, and a file for each family.

`portable` describes the blocks in plain Amaranth; `ecp5`, `gowin` and `ice40` name the family's cells where Yosys does
not find them by itself. A core takes its blocks from `config.family`.
"""

from .ecp5 import ECP5
from .family import Family, Guard
from .gowin import GOWIN
from .ice40 import ICE40

__all__ = ["FAMILIES", "Family", "Guard", "guard", "taking"]

#: By the value of a configuration's field `target`. `generic` names no primitive, for any part and for simulators.
FAMILIES = {family.name: family for family in (Family("generic"), ECP5, GOWIN, ICE40)}


def taking(bits):
    """Names of the families whose multipliers take operands of so many bits, sign included: a tuple of str."""
    return tuple(name for name, family in FAMILIES.items() if family.takes(bits))


def guard(verilog):
    """What the primitives that a design names need from synthesis; an empty `Guard` for most designs.

    Parameters
    ----------
    verilog : str
        Text of the design. It decides, not the configuration, which may ask for primitives where there is no use for
        them, and of which a design by hand has none.
    """
    named = (family for family in FAMILIES.values() if family.guard != Guard())
    return next((family.guard for family in named if any(cell in verilog for cell in family.cells)), Guard())
