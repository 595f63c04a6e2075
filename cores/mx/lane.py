"""From an FP16 value to an element of a block whose scale is a power of two (MX v1.0, 6.3; hardware: our choice).

All values of a block are shifted until the largest one's leading bit has its place, so that they are fixed-point
numbers of one scale. An element's exponent is where the leading one stands then, or the smallest exponent; its mantissa
is what follows; and one addition rounds both, because a carry out of the mantissa belongs to the exponent.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from ...golden.mx.formats import FORMATS
from ...hdl.emission.replicate import Replicable
from ...hdl.floating.formats import stage, take
from ...hdl.integer.bits import shift_right_sticky

__all__ = ["FRACTION", "SPECIAL", "MxLane"]

#: Bits of an FP16 number's fraction, and the exponent field of NaN and Inf.
FRACTION, SPECIAL = 10, 31


class MxLane(Replicable):
    """Code of a value, after three enabled cycles.

    Parameters
    ----------
    format : str
        Name of a format whose scales are powers of two.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    value : in 16
        FP16 code.
    largest : in 5
        Exponent field of the block's largest magnitude; 31 makes all codes 0.
    zeros : in 4
        Of a block of subnormal numbers, places from the leading bit of a normal number down to that of the largest one,
        1 to 10; 0 for another block.
    code : out, bits of the element
        As `golden.mx.quantize` gives; from a register.
    """

    def __init__(self, format):
        self.element = FORMATS[format].element
        ports = {"en": In(1), "value": In(16), "largest": In(5), "zeros": In(4)}
        super().__init__({**ports, "code": Out(self.element.bits)})

    def elaborate(self, platform):
        m = Module()
        fraction, field, sign = self.value[:FRACTION], self.value[FRACTION:15], self.value[15]
        number = self.largest != SPECIAL
        # Subnormal numbers have the exponent of the field 1. At most 29 places apart, and 10 below.
        distance = Signal(6)
        m.d.comb += distance.eq(Mux(self.largest == 0, 1, self.largest) - Mux(field == 0, 1, field))
        placed = stage(
            m,
            "placed",
            self.en,
            significand=Cat(fraction, field.any()) & number.replicate(FRACTION + 1),
            sign=sign & number,
            right=(distance + (FRACTION - self.zeros))[:6],
        )
        # The largest value's leading bit comes to the place of number FRACTION. Below the smallest element's place are
        # the one that decides about rounding, and all others together.
        window, smallest = Signal(2 * FRACTION + 1), FRACTION + 1 - _places(self.element)
        m.d.comb += window.eq(Cat(Const(0, FRACTION), placed.significand))
        moved, lost = shift_right_sticky(window, placed.right)
        fixed = Cat(lost | moved[: smallest - 1].any(), moved[smallest - 1 : FRACTION + 1])
        shifted = stage(m, "shifted", self.en, fixed=fixed, **take(placed, "sign"))
        encode = _float_code if self.element.exponent_bits else _integer_code
        m.d.comb += self.code.eq(stage(m, "rounded", self.en, code=encode(m, shifted, self.element)).code)
        return m


def _places(element):
    """Bits of the largest element as a multiple of the smallest one."""
    return int(element.integers.max()).bit_length()


def _float_code(m, shifted, element):
    """Sign, exponent and mantissa of a fixed-point number with two more bits."""
    width, mantissa = len(shifted.fixed), element.mantissa_bits
    binades = (1 << element.exponent_bits) - 1
    # Leading one in the topmost binade, in the one below, …; the lowest one has the subnormal numbers, too.
    aligned, above = Signal(width), Signal(element.exponent_bits)
    cases = [(binades - 1 - down, Cat(Const(0, down), shifted.fixed[: width - down])) for down in range(binades)]
    chosen = Cat(Const(cases[-1][0], element.exponent_bits), cases[-1][1])
    for down, (exponent, word) in reversed([*enumerate(cases[:-1])]):
        chosen = Mux(shifted.fixed[width - 1 - down], Cat(Const(exponent, element.exponent_bits), word), chosen)
    m.d.comb += Cat(above, aligned).eq(chosen)
    head, tail = aligned[-mantissa - 1 :], aligned[: -mantissa - 1]
    up = tail[-1] & (head[0] | tail[:-1].any())
    # The bit of the leading one counts as one more of the exponent.
    magnitude = Signal(element.bits)
    m.d.comb += magnitude.eq((above << mantissa) + head + up)
    # All codes are numbers, so that what is too large is the one code that is one bit too long.
    return Cat(magnitude[:-1] | magnitude[-1].replicate(element.bits - 1), shifted.sign)


def _integer_code(m, shifted, element):
    """Two's complement of a fixed-point number with two more bits, without the least number."""
    whole, half, rest = shifted.fixed[2:], shifted.fixed[1], shifted.fixed[0]
    magnitude = Signal(element.bits)
    m.d.comb += magnitude.eq(whole + (half & (whole[0] | rest)))
    largest = magnitude[:-1] | magnitude[-1].replicate(element.bits - 1)
    return Mux(shifted.sign, -largest, largest)[: element.bits]
