"""Integer LayerNorm of rows of any length, with the piecewise-linear 1/sqrt(x) of GQA-LUT (DAC 2024) inside.

Two passes over a row, each one element a cycle, while a memory of a little more than the longest row holds it. Nothing
is divided by the length C: of a row with the sum s1 and the sum of squares s2, ``(C q - s1) / sqrt(C s2 - s1**2)`` is
the same. Nor is anything that wide multiplied: C s2 - s1**2 is the sum of the squared differences of all pairs, and
element n adds ``s2 + q (n q - 2 s1)`` of those before it. The composition is our choice.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, flipped

from ...golden.gqa_lut import fine_root, pwl
from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import stage
from ...hdl.integer.bits import resize
from ...hdl.integer.leading_one import align_counted, count_leading
from ...hdl.integer.rounding import saturate
from ...hdl.primitives import FAMILIES
from ...hdl.primitives.portable import OuterProduct
from ...hdl.stream.credit import bounded
from ...hdl.stream.pipeline import free_registered, queued, registered, skidded
from ..config import Config, param
from .fine_root import FineRoot
from .pwl_datapath import PwlDatapath
from .row_buffer import FreeRowBuffer, RowBuffer

__all__ = ["LayernormUnit", "LayernormUnitConfig"]

#: Scale of the table: the leading pair of bits with a one, and six bits.
_ROOT = 6
#: Places behind free-running registers: those of the second pass, and four for the queue's own way.
_PLACES = 16
#: Places for what is known of rows whose roots are in registers, of which there are half as many.
_ALONG = 16
#: Bits without sign that the lower of two multipliers takes of a wide operand.
_LOW = 15


@dataclass(frozen=True)
class LayernormUnitConfig(Config):
    """Parameters of `LayernormUnit`."""

    max_length: int = param(1008, "longest row; the memory has 16 words more", low=1, high=1 << 16)
    out_shift: int = param(5, "fraction bits of the output; 5 cover 4 standard deviations", low=0, high=15)
    epsilon: int = param(1, "added to C**2 times the variance", low=1, high=1 << 32)
    entries: int = param(
        8, "of the table of 1/sqrt(x); 192 of equal width for 16 bits", choices=(8, 16, fine_root.ENTRIES)
    )
    input_bits: int = param(8, "of an element", low=8, high=16)
    output_bits: int = param(8, "of a normalized element", low=8, high=16)

    def __post_init__(self):
        super().__post_init__()
        if self.out_shift >= self.output_bits:
            raise ValueError(f"out_shift must be 0 to {self.output_bits - 1}, not {self.out_shift}")

    @property
    def fine(self):
        """Whether the table has segments of one width."""
        return self.entries == fine_root.ENTRIES

    @property
    def table(self):
        """The table of 1/sqrt(x) of GQA-LUT, or None."""
        return None if self.fine else pwl.shipped(f"rsqrt-normalized-{self.entries}")[_ROOT]

    @property
    def root_code_bits(self):
        """Of what is looked up: the leading pair of bits with a one, and what follows."""
        return fine_root.CODE_BITS if self.fine else _ROOT + 2

    @property
    def root_fraction(self):
        """Fraction bits of 1/sqrt."""
        return fine_root.ROOT_FRACTION if self.fine else self.table.fraction_bits + _ROOT

    @property
    def in_layout(self):
        """Payload of the input: `element`; `last` one of the row."""
        return data.StructLayout({"element": signed(self.input_bits), "last": 1})

    @property
    def out_layout(self):
        """Payload of the output: `element`, in units of ``2**-out_shift``; `last` one of the row."""
        return data.StructLayout({"element": signed(self.output_bits), "last": 1})

    @property
    def sum_shape(self):
        """Bits of the sum of a row."""
        half = self.max_length << (self.input_bits - 1)
        return Shape.cast(range(-half, half))

    @property
    def spread_bits(self):
        """Of C**2 times the variance, and epsilon: elements are within half of their range from the middle."""
        reach = ((1 << self.input_bits) - 1) * self.max_length
        return ((reach**2 >> 2) + self.epsilon).bit_length()

    @property
    def row_layout(self):
        """What the second pass knows of a row: `places` to shift by; `count`; `sum`; `root`, of 1/sqrt."""
        root = fine_root.ROOT_FRACTION
        if not self.fine:
            root = int(pwl.accumulate(np.arange(64, 256), self.table, _ROOT).max()).bit_length()
        places = max(1, (-(-max(self.spread_bits, self.root_code_bits) // 2) - 1).bit_length())
        count = self.max_length.bit_length()
        return data.StructLayout({"places": places, "count": count, "sum": self.sum_shape, "root": root})


class LayernormUnit(wiring.Component):
    """LayerNorm of rows of codes of 8 to 16 bits without scale and shift of channels, bit for bit
    `golden.gqa_lut.integer_ops.layernorm`.

    Latency 24 cycles from the last element of a row to its first output. One element per cycle, of rows of equal and of
    other lengths, but while twelve wait behind a longer one, no further one comes in. No combinational path from
    `o.ready` to `i.ready`.

    Parameters
    ----------
    config : LayernormUnitConfig
    free_running : bool
        Not with 192 entries: registers that never hold, and queues with room for what is inside. Faster, with a
        longer latency.
    family : Family
        Of FPGAs, whose multipliers a free-running unit has, where they are wide enough.

    Attributes
    ----------
    i : in stream of `config.in_layout`
        Elements, one a transfer, row after row. A row ends with the element number `max_length`, marked or not.
    o : out stream of `config.out_layout`
        Elements of the normalized row, in order.
    error : out 1
        High after a row that is too long, until reset.
    """

    def __init__(self, config, free_running=False, family=FAMILIES["generic"]):
        self.config, self.free_running, self.family = config, free_running, family
        self.step = free_registered if free_running else registered
        super().__init__(
            {
                "i": In(stream.Signature(config.in_layout)),
                "o": Out(stream.Signature(config.out_layout)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        row = config.row_layout
        kind = FreeRowBuffer if self.free_running else RowBuffer
        m.submodules.elements = elements = kind(signed(config.input_bits), row, config.max_length)
        tag = row["places"].width
        m.submodules.root = root = (
            FineRoot(tag)
            if config.fine
            else PwlDatapath(config.table, _ROOT, unsigned_codes=True, tag=tag, free_running=self.free_running)
        )
        along = self._spread(m, self._elements(m, elements), root.i)
        rows = elements.row if self.free_running else elements.rows
        m.d.comb += [
            rows.valid.eq(root.o.valid),
            rows.payload.places.eq(root.o.payload.tag),
            rows.payload.count.eq(along.payload.count),
            rows.payload.sum.eq(along.payload.sum),
            rows.payload.root.eq(root.o.payload.value),
            root.o.ready.eq(1 if self.free_running else rows.ready),
            along.ready.eq(root.o.valid & root.o.ready),
        ]
        self._normalize(m, elements.o)
        return m

    def _elements(self, m, buffer):
        """First pass: elements into the memory, and with their places into what comes out here."""
        config, coming = self.config, self.i.payload
        place, last, taken = Signal(range(config.max_length)), Signal(), Signal()
        full = place == config.max_length - 1
        both = stream.Signature(1).create()
        elements = buffer.element if self.free_running else buffer.i
        element = self.step(m, "element", both, element=coming.element, place=place, last=last)
        m.d.comb += [
            last.eq(coming.last | full),
            self.i.ready.eq(buffer.room if self.free_running else elements.ready & both.ready),
            taken.eq(self.i.valid & self.i.ready),
            elements.valid.eq(taken),
            elements.payload.element.eq(coming.element),
            elements.payload.last.eq(last),
            both.valid.eq(taken),
        ]
        if self.free_running:
            m.d.comb += [buffer.begin.eq(taken), buffer.begin_row.eq(taken & last)]
        with m.If(taken):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
            with m.If(full & ~coming.last):
                m.d.sync += self.error.eq(1)
        return element

    def _spread(self, m, element, codes):
        """Still the first pass: the sum of squared differences, and of each row, its leading one."""
        config, fields = self.config, element.payload
        before = self._running(m, "sum", element, fields.place == 0, fields.element, config.sum_shape)
        sums = self.step(
            m, "sums", element, element=fields.element, place=fields.place, last=fields.last, before=before
        )
        fields = sums.payload
        multiplied = self._multiplied(
            m,
            "products",
            sums,
            {"counted": (fields.element, fields.place), "square": (fields.element, fields.element)},
            **_fields(fields, "element", "place", "last", "before"),
        )
        products = self._cut(m, "multiplied", multiplied)
        fields = products.payload
        square = fields.square[: 2 * config.input_bits - 1].as_unsigned()
        distances = self.step(
            m,
            "distances",
            products,
            distance=fields.counted - (fields.before << 1),
            sum=resize(fields.before + fields.element, config.sum_shape.width),
            square=square,
            **_fields(fields, "element", "place", "last"),
        )
        fields = distances.payload
        most = config.max_length << (2 * config.input_bits - 2)
        squares = self._running(m, "squares", distances, fields.place == 0, fields.square, unsigned(most.bit_length()))
        crossed = self._product(
            m,
            "crossed",
            distances,
            fields.distance,
            fields.element,
            squares=squares,
            **_fields(fields, "place", "last", "sum"),
        )
        fields = crossed.payload
        increments = self.step(
            m,
            "increments",
            crossed,
            # Never below zero: of each element before this one, the squared difference.
            increment=(fields.product + fields.squares)[: config.spread_bits].as_unsigned(),
            first=fields.place == 0,
            **_fields(fields, "place", "last", "sum"),
        )
        fields = increments.payload
        spread, whole = Signal(config.spread_bits, reset_less=True), Signal(config.spread_bits)
        row_end = stream.Signature(1).create()
        m.d.comb += [
            whole.eq(Mux(fields.first, config.epsilon, spread) + fields.increment),
            row_end.valid.eq(increments.valid & fields.last),
            increments.ready.eq(row_end.ready | ~fields.last),
        ]
        with m.If(increments.valid & increments.ready):
            m.d.sync += spread.eq(whole)

        spreads = self._cut(m, "spreads", self.step(m, "spread", row_end, spread=whole))
        normalized = self._leading(m, spreads)
        m.d.comb += [
            codes.valid.eq(normalized.valid),
            normalized.ready.eq(codes.ready),
            codes.payload.code.eq(normalized.payload.code),
            codes.payload.tag.eq(normalized.payload.tag),
        ]
        return self._along(m, row_end, fields)

    def _cut(self, m, name, source):
        """A stream; where registers hold, those before here see from a spare one that those behind here do."""
        return source if self.free_running else skidded(m, name, source)

    def _along(self, m, row_end, fields):
        """What else is known of a row, beside the registers of its root."""
        row = self.config.row_layout
        source = stream.Signature(data.StructLayout({name: row[name].shape for name in ("count", "sum")})).create()
        m.d.comb += [
            # There are more places than registers.
            source.valid.eq(row_end.valid & row_end.ready),
            source.payload.count.eq(fields.place + 1),
            source.payload.sum.eq(fields.sum),
        ]
        return queued(m, "along", source, _ALONG)

    def _leading(self, m, spread):
        """A row's spread from its leading pair of bits on, and where it is."""
        row, bits = self.config.row_layout, self.config.root_code_bits
        padded, zeros = count_leading(m, "spread", spread.payload.spread, bits, step=2)
        counted = self.step(m, "counted_spread", spread, padded=padded, zeros=zeros)
        aligned, places = align_counted(m, "spread", counted.payload.padded, counted.payload.zeros, bits, step=2)
        return self.step(m, "normalized", counted, code=aligned, tag=places[: row["places"].width])

    def _product(self, m, name, source, wide, factor, **values):
        """A product, with what goes along: two halves behind a register, added behind one more."""
        # The upper half of a narrow operand is its sign.
        cut = min(_LOW, len(wide) - 1)
        low, high = wide[:cut], wide[cut:].as_signed()
        pairs = {"low": (low, factor), "high": (high, factor)}
        halves = self._multiplied(m, f"{name}_halves", source, pairs, **values)
        fields = halves.payload
        product = (fields.low + (fields.high << cut))[: len(wide) + len(factor)].as_signed()
        return self.step(m, name, halves, product=product, **_fields(fields, *values))

    def _multiplied(self, m, name, source, pairs, **values):
        """Products of pairs of operands by name, with what goes along: behind a register, or those of a block."""
        if not self.free_running:
            return self.step(m, name, source, **{key: a * b for key, (a, b) in pairs.items()}, **values)
        inside = self.step(m, f"{name}_operands", source, **values)
        held = self.step(m, f"{name}_held", inside, **_fields(inside.payload, *values))
        products = {}
        for key, (a, b) in pairs.items():
            # With a sign, as a block takes operands.
            bits = max(len(side) + (not side.shape().signed) for side in (a, b))
            kind = self.family.multiplier if self.family.takes(bits) else OuterProduct
            m.submodules[f"{name}_{key}"] = Replica(made := kind(a.shape(), b.shape()))
            m.d.comb += [made.en.eq(1), made.a[0].eq(a), made.b[0].eq(b)]
            products[key] = made.products[0][0]
        fields = {key: Value.cast(value).shape() for key, value in products.items()}
        fields |= {key: Value.cast(held.payload[key]).shape() for key in values}
        out = stream.Signature(data.StructLayout(fields)).create(path=(name,))
        m.d.comb += [out.valid.eq(held.valid), held.ready.eq(1)]
        m.d.comb += [out.payload[key].eq(value) for key, value in products.items()]
        m.d.comb += [out.payload[key].eq(held.payload[key]) for key in values]
        return out

    def _running(self, m, name, source, first, value, shape):
        """Sum of the values of a row before the one that `source` shows."""
        held = Signal(shape, name=f"{name}_held", reset_less=True)
        before = stage(m, f"{name}_before", None, value=Mux(first, 0, held)).value
        before = before.as_signed() if shape.signed else before
        with m.If(source.valid & source.ready):
            m.d.sync += held.eq(before + value)
        return before

    def _normalize(self, m, elements):
        """Second pass: deviations from the mean over the standard deviation."""
        out, elements = self._out(m, elements)
        row = elements.payload.row
        operands = self.step(
            m,
            "operands",
            elements,
            element=elements.payload.element,
            last=elements.payload.last,
            **_fields(row, "places", "count", "sum", "root"),
        )
        fields = operands.payload
        counted = self._multiplied(
            m,
            "counted",
            operands,
            {"counted": (fields.element, fields.count)},
            **_fields(fields, "places", "sum", "root", "last"),
        )
        fields = counted.payload
        deviation = self.step(
            m,
            "deviation",
            counted,
            deviation=(fields.counted - fields.sum)[: self.config.sum_shape.width + 1].as_signed(),
            **_fields(fields, "places", "root", "last"),
        )
        fields = deviation.payload
        product = self._product(
            m, "product", deviation, fields.deviation, fields.root, **_fields(fields, "places", "last")
        )
        output = self._rounded(m, product)
        m.d.comb += [
            out.valid.eq(output.valid),
            out.payload.element.eq(output.payload.element),
            out.payload.last.eq(output.payload.last),
        ]
        if not self.free_running:
            m.d.comb += output.ready.eq(self.o.ready)

    def _out(self, m, elements):
        """Where the second pass ends, and what enters it: free-running, no more than a queue has room for."""
        if not self.free_running:
            return self.o, elements
        return bounded(m, elements, flipped(self.o), _PLACES)

    def _rounded(self, m, product):
        """Quotients on the output's scale."""
        config, last = self.config, product.payload.last
        # One bit below the last one, for the half.
        drop = config.root_fraction - config.out_shift - 1
        shifted = product.payload.product
        shifted = (shifted[drop:] if drop >= 0 else Cat(Const(0, -drop), shifted)).as_signed()
        for index, bit in enumerate(product.payload.places):
            value = Mux(bit, shifted.shift_right(1 << index), shifted)
            shifted = stage(m, f"product_by_{1 << index}", None, value=value).value
        shifted = self.step(m, "shifted", product, value=shifted, last=last)
        rounded = stage(m, "rounded", None, value=(shifted.payload.value + 1).shift_right(1)).value
        added = self.step(m, "added", shifted, value=rounded, last=shifted.payload.last)
        element = saturate(added.payload.value, signed(config.output_bits))
        return self.step(m, "output", added, element=element, last=added.payload.last)


def _fields(payload, *names):
    """Fields of a payload by name."""
    return {name: payload[name] for name in names}
