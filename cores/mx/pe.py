"""The MX tile's processing element: the integer dot product of elements of a block, in one cycle or in two.

An element is a sign and a significand that is shifted to the left, by 2 at the most for E2M1 and E2M3, and by 6 for
E3M2. So a product is one of short significands, 2 bits for E2M1, and one shift by the sum of both shifts: with sky130
cells 206 um2 for E2M1, where a table of the 6 bits takes 264 and a multiplier of its 4-bit integers 275. INT8 has no
shift. There is no `*`, as in the HGQ tile.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.mx import tile as golden
from ...hdl.emission.replicate import Replicable
from ...hdl.integer.columns import add_columns
from ...hdl.reduction.signed_sum import signed_sum

__all__ = ["DotProduct", "decode", "operand_layout"]


def _shift_bits(element):
    """Bits of the shift of an element's significand."""
    return (element.exponent_bits and (1 << element.exponent_bits) - 2).bit_length()


def operand_layout(element):
    """An element as the dot product takes it: `significand << shift`, and whether it is `negative`."""
    width = element.mantissa_bits + 1
    return data.StructLayout({"significand": width, "shift": _shift_bits(element), "negative": 1})


def decode(element, codes):
    """Codes as operands: a value of as many bits as an array of `operand_layout` has.

    Parameters
    ----------
    element : Element
    codes : iterable of Value
        Any codes; those of INT8 in two's complement.
    """
    return Cat(_operand(element, code) for code in codes)


def _operand(element, code):
    magnitude, negative = code[:-1], code[-1]
    if not element.exponent_bits:
        return Cat(Mux(negative, -code.as_signed(), code)[: len(code)], negative)
    field, mantissa = magnitude[element.mantissa_bits :], magnitude[: element.mantissa_bits]
    # Subnormal numbers have the exponent of the field 1.
    normal = field.any()
    return Cat(mantissa, normal, (field - normal)[: _shift_bits(element)], negative)


class DotProduct(Replicable):
    """Sum of `config.lanes` products of elements, as integers: `config.dot` cycles.

    Parameters
    ----------
    config : MxTileConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    x, w : in, arrays of `config.lanes` of `operand_layout`
    o : out, `config.dot_shape`
        In units of ``2**(-2 * fraction_bits)`` of the element.
    """

    def __init__(self, config):
        self.config = config
        operands = data.ArrayLayout(operand_layout(config.fmt.element), config.lanes)
        super().__init__({"en": In(1), "x": In(operands), "w": In(operands), "o": Out(config.dot_shape)})

    def elaborate(self, platform):
        m = Module()
        element = self.config.fmt.element
        negative = Signal(self.config.lanes)
        m.d.comb += negative.eq(Cat(a.negative ^ b.negative for a, b in zip(self.x, self.w, strict=True)))
        products = self._significands(m, element)
        if element.exponent_bits:
            products = self._shifted(m, element, products)
        # What is above is never set.
        signed_sum(m, self.en, products[: golden.product_bits(element)], negative, self.o, self.config.dot)
        return m

    def _significands(self, m, element):
        """Products of significands, all lanes side by side: for each weight a word."""
        width = element.mantissa_bits + 1
        x, w = (
            [Cat(operand.significand[bit] for operand in operands) for bit in range(width)]
            for operands in (self.x, self.w)
        )
        partials = [[x[bit] & w[at - bit] for bit in range(width) if 0 <= at - bit < width] for at in range(2 * width)]
        return add_columns(m, "product", partials, 2 * width)

    def _shifted(self, m, element, products):
        """Products to the left by the sum of both shifts."""
        left = 2 * ((1 << element.exponent_bits) - 2)
        shifts = []
        for index, (a, b) in enumerate(zip(self.x, self.w, strict=True)):
            shifts.append(Signal(range(left + 1), name=f"shift_{index}"))
            m.d.comb += shifts[-1].eq(a.shift + b.shift)
        none = Const(0, self.config.lanes)
        for position in range(left.bit_length()):
            by = 1 << position
            # The sum is never above this, so the widest result has as many bits more.
            grown = min(by, left)
            left -= grown
            select = Signal(self.config.lanes, name=f"by_{by}")
            m.d.comb += select.eq(Cat(shift[position] for shift in shifts))
            before = [*products, *[none] * grown]
            products = []
            for at, bit in enumerate(before):
                lower = before[at - by] if at >= by else none
                products.append(Signal(self.config.lanes, name=f"by_{by}_bit_{at}"))
                m.d.comb += products[-1].eq((select & lower) | (~select & bit))
        return products
