"""The arithmetic of the HGQ quantizer (Hierarchical Group Quantization), without a division (our choice).

A magnitude is an FP16 code without its sign: zero, or normal and finite. With significands m of 11 bits and exponent
fields x, of a value, of the largest of its fine and coarse group (f, c), and of the scale s:

- The scale is ``8 m_c / 7`` or ``4 m_c / 7``, rounded. A seventh is no tie, so that is ``floor((8 m_c + 3) / 7)``; and
  ``floor(n / 7)`` is the sum of ``n >> 3``, ``n >> 6``, … and of a seventh of the sum of n's octal digits.
- A fine group is narrower by as many powers of two as ``x_c - x_f``, less one, plus what two compares add.
- A code is the number of k in 1 to 7 with ``m << d`` above ``(2 k - 1) m_s``, d being ``x - x_s + e + 1``. Each k is
  certain for all d but two that follow each other, so it takes one compare of 12 bits with a bound that all values
  share. A tie goes to the even code: for an even k it must be enough to be equal.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import hgq as golden
from ...hdl.emission.replicate import Replicable
from ...hdl.integer.bits import resize
from .hgq import CODE

__all__ = [
    "BASE",
    "BOUNDS",
    "MAGNITUDE",
    "HgqLane",
    "below",
    "bounds",
    "larger",
    "narrower",
    "sanitized",
    "scale_exponent",
    "scale_parts",
    "scale_significand",
]

#: Bits of a magnitude, and of its fraction.
MAGNITUDE, _FRACTION = 15, 10
#: Exponent from which a value is shifted.
BASE = signed(6)
#: What a value is compared with, for codes of 1 to 7.
BOUNDS = data.ArrayLayout(12, golden.LARGEST_CODE)


def sanitized(value, keep):
    """A value as `golden.sevedo.hgq.sanitize` gives it, but for the sign of zero.

    Parameters
    ----------
    value : Value
        FP16 code.
    keep : Value
        If not set, the value counts as +0.

    Returns
    -------
    clean : Value
        FP16 code.
    nonfinite : Value
        Whether it was NaN or Inf and is kept.
    """
    fraction, exponent, sign = value[:_FRACTION], value[_FRACTION:MAGNITUDE], value[MAGNITUDE]
    special, infinite = keep & exponent.all(), exponent.all() & ~fraction.any()
    kept = keep & exponent.any() & (~exponent.all() | infinite)
    magnitude = Cat(fraction | infinite.replicate(_FRACTION), exponent[0] & ~infinite, exponent[1:])
    return Cat(magnitude & kept.replicate(MAGNITUDE), sign), special


def below(a, b):
    """Whether one unsigned number is below another one, as the sign of a difference.

    Yosys swaps the sides of a compare as it likes, and adds a test for zero where the carry alone does not tell.
    """
    return (a - b)[-1]


def larger(a, b):
    """The larger one of two magnitudes."""
    return Mux(below(a, b), b, a)


def scale_exponent(largest):
    """Of the largest magnitude of a coarse group.

    Returns
    -------
    exponent : Value
        Exponent field of the scale.
    least : Value
        Whether the scale is the least one, 2**-14, whatever its significand.
    """
    exponent, high = largest[_FRACTION:], largest[8:_FRACTION].all()
    least = exponent + high < 4
    return Mux(least, 1, exponent + high - 3)[:5], least


def scale_parts(largest):
    """Three numbers for `scale_significand`: two sums, and the sum of octal digits."""
    high = largest[8:_FRACTION].all()
    significand = Cat(largest[:_FRACTION], 1)
    # 8 m + 3, or 4 m + 3 from 1792 on, without and with its lowest octal digit.
    upper, lowest = Mux(high, significand[1:], significand), Cat(Const(3, 2), high & significand[0])
    digits = sum((upper[at : at + 3] for at in range(0, len(upper), 3)), lowest)
    return (upper + (upper >> 3))[:12], ((upper >> 6) + (upper >> 9))[:6], digits[:5]


def scale_significand(first, second, digits, least):
    """Fraction of the scale, 10 bits, from `scale_parts`."""
    seventh = sum((digits >= count for count in (14, 21, 28)), digits >= 7)
    return Mux(least, 0, (first + second + seventh)[:_FRACTION])


def narrower(largest, narrow, threshold):
    """By how many powers of two, and one, a fine group is narrower, not limited: the sum of the three numbers returned.

    Parameters
    ----------
    largest, narrow : Value
        Largest magnitudes of the coarse and the fine group, the latter not zero.
    threshold : int
        4 to 7: quarters of its range that the fine group may take up.
    """
    wide, fine = (Cat(value[:_FRACTION], 1) for value in (largest, narrow))
    # No multiplication, for which tools would take a multiplier.
    limit = sum((wide << bit for bit in range(3) if threshold >> bit & 1), Const(0, 1))
    # Below twice the range one compare is enough.
    much = ~below(limit, fine << 3) if threshold > 4 else Const(0, 1)
    return largest[_FRACTION:] - narrow[_FRACTION:], ~below(limit, fine << 2), much


def bounds(fraction):
    """For each code 1 to 7 what the significand, or twice it, must be above; of the scale's fraction."""
    one = Cat(fraction, 1)
    # Halves, quarters and eighths of odd multiples; those less one for codes that are even, as `2 m - m / 2 - 1`.
    three, seven = ((one << 1) + ~resize(one >> by, 12) for by in (1, 2))
    five = one + (one >> 2)
    eighths = (one + (one >> 3), one + (three[:12] >> 2), one + (five >> 1))
    return [resize(bound, 12) for bound in (one, three, five, seven, *eighths)]


class HgqLane(Replicable):
    """Code of a value, after one enabled cycle.

    Attributes
    ----------
    en : in 1
        The registers load where it is high.
    value : in 16
        FP16 code, sanitized.
    base : in, `BASE`
        ``x_s - e - 1``.
    bounds : in, `BOUNDS`
        As `bounds` gives, one cycle later than the value that they belong to.
    code : out signed 4
        -7 to 7; combinational of the registers and of `bounds`.
    """

    config = ()

    def __init__(self):
        super().__init__({"en": In(1), "value": In(16), "base": In(BASE), "bounds": In(BOUNDS), "code": Out(CODE)})

    def elaborate(self, platform):
        m = Module()
        significand, exponent = Cat(self.value[:_FRACTION], 1), self.value[_FRACTION:MAGNITUDE]
        left = Signal(signed(7))
        m.d.comb += left.eq(exponent - self.base)
        # By how much the significand is to be shifted, 0 to 5, as a thermometer: `reach[n]` is n or more.
        reach, negative = Signal(6, reset_less=True), Signal(reset_less=True)
        # The significand, or twice it: for an even and for an odd shift.
        even, odd = Signal(12, reset_less=True), Signal(12, reset_less=True)
        live = exponent.any() & ~left[-1]
        with m.If(self.en):
            m.d.sync += [
                reach.eq(Cat(live, *(live & (left[:3] >= shift) for shift in range(1, 6)))),
                negative.eq(self.value[-1]),
                even.eq(Mux(left[0], significand, significand << 1)),
                odd.eq(Mux(left[0], significand << 1, significand)),
            ]
        above = {code: Signal(name=f"above_{code}") for code in range(1, golden.LARGEST_CODE + 1)}
        # For each code the shift from which on it is possible, that from which on it is certain, and what to compare.
        rules = ((0, 1, odd), (1, 3, even), (2, 4, odd), (2, 4, odd), (3, 5, even), (3, 5, even), (3, 5, even))
        for code, (possible, certain, operand) in enumerate(rules, 1):
            m.d.comb += above[code].eq(reach[certain] | (reach[possible] & below(self.bounds[code - 1], operand)))
        magnitude = Signal(3)
        m.d.comb += [
            magnitude.eq(
                Cat(
                    Mux(above[4], Mux(above[6], above[7], above[5]), Mux(above[2], above[3], above[1])),
                    Mux(above[4], above[6], above[2]),
                    above[4],
                )
            ),
            self.code.eq(Mux(negative, -magnitude, magnitude)),
        ]
        return m
