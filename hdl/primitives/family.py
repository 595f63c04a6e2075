"""What a family of FPGAs has in place of the portable blocks."""

from collections.abc import Callable
from dataclasses import dataclass

from .pll import Pll
from .portable import GatedAdder, OuterProduct, RegisteredMemory, Select

__all__ = ["Family", "Guard"]


@dataclass(frozen=True)
class Guard:
    """What takes named primitives through a synthesis that would rewrite them.

    Attributes
    ----------
    before, after : tuple of str
        Yosys commands before and after the family's `synth_*`.
    warning : str
        One line for who synthesizes the design without them.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    warning: str = ""


def _one(a_shape, b_shape, rows, cols):
    return 1, 1


def _never(a_shape, b_shape):
    return False


@dataclass(frozen=True)
class Family:
    """The blocks that a core builds on, as one family of parts has them.

    A core asks for a block here and never for a family by its name. Whatever the family, a block has the ports and the
    latency of the portable one, and in Amaranth's simulator the portable one stands for it (`hdl/simulated.py`).

    Attributes
    ----------
    name : str
        Value of a configuration's field `target`.
    cells : tuple of str
        Primitives that a design may name; none where all blocks are portable.
    multiplier : type
        `OuterProduct`, or a class with its parameters, ports and latency; with the port `carries` beside where
        `has_carry` says so of any operands.
    adder, select, memory : type
        `GatedAdder`, `Select` and `RegisteredMemory`, or classes with their parameters, ports and latency.
    packing : callable
        Takes the shapes of the operands of both sides, and how many rows and columns of products there are; gives how
        many operands of each side one block of the multiplier takes.
    has_carry : callable
        Takes the shapes of the operands of both sides; says whether a product comes with a carry that is to be added.
    operand_bits : int or None
        Most bits of an operand that the multiplier takes; None for any.
    product_bits : int or None
        Bits in which a block gives a product, its sign extended to all of them; None where it is extended outside.
    packs_magnitudes : bool
        Whether one block makes four products of 3-bit magnitudes.
    free_running : bool
        Whether an array is faster in it whose registers never hold: enables that reach far cost much there.
    guard : Guard
        What a design that names `cells` needs from synthesis.
    pll : type or None
        The `Pll` of the family. No core has one: boards make their clock with it.
    """

    name: str
    cells: tuple[str, ...] = ()
    multiplier: type = OuterProduct
    adder: type = GatedAdder
    select: type = Select
    memory: type = RegisteredMemory
    packing: Callable = _one
    has_carry: Callable = _never
    operand_bits: int | None = None
    product_bits: int | None = None
    packs_magnitudes: bool = False
    free_running: bool = False
    guard: Guard = Guard()
    pll: type[Pll] | None = None

    def takes(self, bits):
        """Whether the multiplier takes operands of so many bits, sign included."""
        return self.operand_bits is None or bits <= self.operand_bits

    @property
    def portable(self):
        """Whether a design names no primitive, so that every tool takes it."""
        return not self.cells
