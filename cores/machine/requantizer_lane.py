"""One lane of the requantizer: its part of the tables, and the arithmetic of one channel a cycle.

33 bits times 16 are two products of 16 x 16 bits without sign, which is what one DSP block of any family takes, and a
correction of the upper half for the sign. Of the product's lowest bits only the carry into the half of the least shift
is of use, which is why the shifts begin at 8.
"""

from amaranth import Cat, Module, Mux, signed, unsigned
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from ...golden.machine.requantizer import SHIFTS
from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.floating.formats import stage, take
from ...hdl.integer.rounding import round_saturate, shift_noting
from ...hdl.primitives import FAMILIES

__all__ = ["ENTRY", "RequantizerLane"]

#: What a table has of a channel: `bias`, `multiplier`; `shift`, less the least one.
ENTRY = data.StructLayout({"bias": signed(32), "multiplier": 16, "shift": range(len(SHIFTS))})

_HALF = 16  # bits of the lower half of a biased sum


class RequantizerLane(Replicable):
    """Scale a sum by the entry of its channel, in 7 cycles, or in 8.

    Parameters
    ----------
    bits : int
        Of a code.
    words : int
        Entries that the memory holds.
    residual : bool
        Whether codes of 16 bits are added.
    halved : bool
        Whether there is a register in the middle of the shifter: a cycle more.
    target : str
        Name of the FPGA family whose multipliers it has, with 17 bits or more.

    Attributes
    ----------
    write : in 1
        Keep `entry` at `write_address`.
    write_address : in
    entry : in, `ENTRY`
    en : in 1
        All registers load where it is high.
    read : in 1
        Fetch the entry at `address`; only with `en`, and never from where `write` is.
    address : in
    sum : in signed(32)
        For that entry.
    residual : in signed(16)
        For the sum of 6 enabled cycles before, of 7 if it is `halved`. Only with `residual`.
    code : out
        Of the sum of a cycle before that.
    """

    def __init__(self, bits, words, residual, halved=False, target="generic"):
        self.bits, self.words, self.adds, self.halved, self.target = bits, words, residual, halved, target
        ports = {
            "write": In(1),
            "write_address": In(range(words)),
            "entry": In(ENTRY),
            "en": In(1),
            "read": In(1),
            "address": In(range(words)),
            "sum": In(signed(32)),
            "code": Out(signed(bits)),
        }
        super().__init__(ports | ({"residual": In(signed(16))} if residual else {}))

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = memory.Memory(shape=ENTRY, depth=self.words, init=[])
        write, read = table.write_port(), table.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.entry),
            read.en.eq(self.read),
            read.addr.eq(self.address),
        ]
        taken = stage(m, "taken", self.en, sum=self.sum)
        # A memory of an ECP5 takes half a cycle of 100 MHz to read.
        entry = stage(m, "entry", self.en, sum=taken.sum, **{name: read.data[name] for name, _ in ENTRY})
        value = entry.sum + entry.bias
        multiply = FAMILIES[self.target].multiplier(unsigned(_HALF), unsigned(_HALF), 2)
        m.submodules.multiply = Replica(multiply)
        m.d.comb += [
            multiply.en.eq(self.en),
            multiply.a[0].eq(value[:_HALF]),
            multiply.a[1].eq(value[_HALF : 2 * _HALF]),
            multiply.b[0].eq(entry.multiplier),
        ]
        # Of the leading bit, which counts below zero, the product is the multiplier itself.
        biased = stage(m, "biased", self.en, negative=value[-1], **take(entry, "multiplier", "shift"))
        products = stage(
            m, "products", self.en, leading=Mux(biased.negative, -biased.multiplier, 0), **take(biased, "shift")
        )
        low, high = (multiply.products[half][0] for half in range(2))
        # The lowest bit is the half of the least shift.
        lowest = SHIFTS[0] - 1
        upper = (Cat(low[_HALF:], products.leading).as_signed() + high)[: 49 - _HALF]
        scaled = stage(m, "scaled", self.en, value=Cat(low[lowest:_HALF], upper).as_signed(), **take(products, "shift"))
        # What is beyond 17 bits no residual code brings back into the range.
        whole = 17 if self.adds else self.bits
        signs = [scaled.value[-1]]

        def between(**values):
            half = stage(m, "half", self.en, sign=signs[0], **values)
            signs.append(half.sign)
            return half

        moved, beyond = shift_noting(
            m, "shifted", scaled.value, scaled.shift, whole, between=between if self.halved else None
        )
        shifted = stage(m, "moved", self.en, value=moved, beyond=beyond, sign=signs[-1])
        total = shifted.value + (self.residual << 1) if self.adds else shifted.value
        code = round_saturate(m, "code", total, shifted.beyond, shifted.sign, signed(self.bits))
        m.d.comb += self.code.eq(stage(m, "output", self.en, code=code).code)
        return m
