"""Integer softmax of rows of any length, with the piecewise-linear exp and 1/x of GQA-LUT (DAC 2024) inside.

Three passes over a row, each one element a cycle, and three rows at a time on their way: the maximum is found while a
row comes in; the exponentials of the distances from it are added up; each is multiplied by the sum's reciprocal. Two
memories of a little more than the longest row hold logits and exponentials. The composition is our choice.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, flipped

from ...golden.gqa_lut import pwl
from ...hdl.floating.formats import stage
from ...hdl.integer.bits import resize
from ...hdl.integer.leading_one import align_counted, count_leading
from ...hdl.integer.rounding import saturate
from ...hdl.stream.credit import admitted, bounded
from ...hdl.stream.pipeline import free_registered, registered, skidded
from ..config import Config, param
from .pwl_datapath import PwlDatapath
from .row_buffer import FreeRowBuffer, RowBuffer

__all__ = ["SoftmaxUnit", "SoftmaxUnitConfig", "sum_width"]

#: Fraction bits of an exponential.
_EXPONENTIAL = 8
#: Scale of the reciprocal's table: the sum's leading one and seven bits.
_RECIPROCAL = 7
#: Places behind free-running registers: those of the third pass, and four for the queue's own way.
_PLACES = 8


@dataclass(frozen=True)
class SoftmaxUnitConfig(Config):
    """Parameters of `SoftmaxUnit`."""

    max_length: int = param(1008, "longest row; the memories have 16 words more", low=1, high=1 << 16)
    scale: int = param(5, "a logit q stands for q * 2**-scale", low=0, high=7)
    out_bits: int = param(8, "fraction bits of the output; of 8, 1024 equal logits become 0", low=1, high=15)
    entries: int = param(8, "of the tables of exp and 1/x", choices=(8, 16))
    mask: bool = param(False, "logits come with a bit `mask`: 1 keeps a logit, 0 takes it out of the row")

    @property
    def tables(self):
        """The tables of exp and of 1/x."""
        exponential, reciprocal = (pwl.shipped(f"{name}-{self.entries}") for name in ("exp", "div-normalized"))
        return exponential[self.scale], reciprocal[_RECIPROCAL]

    @property
    def in_layout(self):
        """Payload of the input: `logit`, `mask` where there is one (1 keeps the logit); `last` one of the row."""
        mask = {"mask": 1} if self.mask else {}
        return data.StructLayout({"logit": signed(8), **mask, "last": 1})

    @property
    def out_layout(self):
        """Payload of the output: `probability`, in units of ``2**-out_bits``; `last` one of the row."""
        return data.StructLayout({"probability": self.out_bits, "last": 1})


def sum_width(config):
    """Bits of the sum of a row's exponentials."""
    return (255 * config.max_length).bit_length()


class SoftmaxUnit(wiring.Component):
    """Softmax of rows of INT8 logits, bit for bit `golden.gqa_lut.integer_ops.softmax`.

    Latency 22 cycles of a row of one; a row of length L begins to leave L + 21 cycles after its last logit came. One
    logit per cycle, of rows of equal and of other lengths, but while four wait behind a longer one, no further one
    comes in. No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : SoftmaxUnitConfig
    free_running : bool
        Registers that never hold, and queues with room for what is inside: faster, with a longer latency.

    Attributes
    ----------
    i : in stream of `config.in_layout`
        Logits, one a transfer, row after row. A bit `mask` of 1 keeps the logit, 0 takes it out, as in the model and as
        in an attention mask. What is taken out counts neither for the maximum nor for the sum, and its probability is
        0, also in a row where nothing is kept. A row ends with the element number `max_length`, whether `last` is set
        there or not.
    o : out stream of `config.out_layout`
        Probabilities of the logits, in order.
    error : out 1
        High after a row that is too long, until reset.
    """

    def __init__(self, config, free_running=False):
        self.config, self.free_running, self.step = (
            config,
            free_running,
            free_registered if free_running else registered,
        )
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
        exponential, reciprocal = config.tables
        sums = data.StructLayout({"reciprocal": _bits(reciprocal), "places": _places(config)})
        logit = data.StructLayout({"logit": signed(8), **({"masked": 1} if config.mask else {})})
        kind = FreeRowBuffer if self.free_running else RowBuffer
        m.submodules.logits = logits = kind(logit, signed(8), config.max_length)
        m.submodules.exponentials = exponentials = kind(8, sums, config.max_length)
        m.submodules.exp = exp = PwlDatapath(
            exponential,
            config.scale,
            unsigned_codes=True,
            negate=True,
            shift=exponential.fraction_bits + config.scale - _EXPONENTIAL,
            out=unsigned(8),
            tag=2,
            free_running=self.free_running,
        )
        m.submodules.reciprocal = inverse = PwlDatapath(
            reciprocal, _RECIPROCAL, unsigned_codes=True, tag=_places(config), free_running=self.free_running
        )
        self._maximum(m, logits)
        self._distances(m, self._admitted(m, logits.o, exponentials), exp.i)
        self._sums(m, self._cut(m, "results", exp.o), exponentials, inverse.i)
        rows = exponentials.row if self.free_running else exponentials.rows
        m.d.comb += [
            rows.valid.eq(inverse.o.valid),
            rows.payload.reciprocal.eq(inverse.o.payload.value),
            rows.payload.places.eq(inverse.o.payload.tag),
        ]
        if not self.free_running:
            m.d.comb += inverse.o.ready.eq(rows.ready)
        self._products(m, exponentials.o, reciprocal.fraction_bits + _RECIPROCAL)
        return m

    def _maximum(self, m, logits):
        """First pass: the largest logit that is kept."""
        place, top = Signal(range(self.config.max_length)), Signal(signed(8), reset_less=True)
        coming = self.i.payload
        masked = ~coming.mask if self.config.mask else Const(0, 1)
        full = place == self.config.max_length - 1
        logit = stage(m, "counted", None, logit=Mux(masked, -128, coming.logit)).logit.as_signed()
        largest = stage(m, "largest", None, top=Mux((place == 0) | (logit > top), logit, top)).top.as_signed()
        taken, last = Signal(), Signal()
        elements, rows = (logits.element, logits.row) if self.free_running else (logits.i, logits.rows)
        row_end = stream.Signature(1).create()
        highest = self.step(m, "highest", row_end, top=largest)
        m.d.comb += [
            last.eq(coming.last | full),
            self.i.ready.eq(logits.room if self.free_running else elements.ready & row_end.ready),
            taken.eq(self.i.valid & self.i.ready),
            elements.valid.eq(taken),
            elements.payload.element.logit.eq(coming.logit),
            elements.payload.last.eq(last),
            row_end.valid.eq(taken & last),
            rows.valid.eq(highest.valid),
            rows.payload.eq(highest.payload.top),
        ]
        if self.free_running:
            m.d.comb += [logits.begin.eq(taken), logits.begin_row.eq(taken & last)]
        else:
            m.d.comb += highest.ready.eq(rows.ready)
        if self.config.mask:
            m.d.comb += elements.payload.element.masked.eq(masked)
        with m.If(taken):
            m.d.sync += [top.eq(largest), place.eq(Mux(last, 0, place + 1))]
            with m.If(full & ~coming.last):
                m.d.sync += self.error.eq(1)

    def _admitted(self, m, logits, exponentials):
        """Logits for the second pass: free-running, only while there is room behind it."""
        if not self.free_running:
            return logits
        entering = admitted(m, "admitted", logits, exponentials)
        m.d.comb += exponentials.begin_row.eq(entering.valid & logits.payload.last)
        return entering

    def _distances(self, m, logits, codes):
        """Second pass: distances from the maximum to the table of exp; of logits that are taken out, anything."""
        element = logits.payload.element
        distance = self.step(
            m,
            "distance",
            logits,
            code=(logits.payload.row - element.logit)[:8],
            tag=Cat(element.masked if self.config.mask else Const(0, 1), logits.payload.last),
        )
        m.d.comb += [
            codes.valid.eq(distance.valid),
            distance.ready.eq(codes.ready),
            codes.payload.code.eq(distance.payload.code),
            codes.payload.tag.eq(distance.payload.tag),
        ]

    def _cut(self, m, name, source):
        """A stream; where registers hold, those before here see from a spare one that those behind here do."""
        return source if self.free_running else skidded(m, name, source)

    def _sums(self, m, results, exponentials, codes):
        """Still the second pass: keep the exponentials, add them up, give the sum to the table of 1/x."""
        elements = exponentials.element if self.free_running else exponentials.i
        masked, last = results.payload.tag
        exponential = stage(m, "kept", None, value=results.payload.value & ~masked.replicate(8)).value
        total, begins = Signal(sum_width(self.config), reset_less=True), Signal(init=1)
        whole = stage(m, "whole", None, total=(Mux(begins, 0, total) + exponential)[: len(total)]).total
        whole_row = stream.Signature(1).create()
        normalized = self._leading(m, self.step(m, "sum", whole_row, total=whole))
        taken, room = Signal(), Const(1, 1) if self.free_running else elements.ready
        m.d.comb += [
            taken.eq(results.valid & room & (~last | whole_row.ready)),
            results.ready.eq(room & (~last | whole_row.ready)),
            elements.valid.eq(taken),
            elements.payload.element.eq(exponential),
            elements.payload.last.eq(last),
            whole_row.valid.eq(results.valid & room & last),
            codes.valid.eq(normalized.valid),
            normalized.ready.eq(codes.ready),
            codes.payload.code.eq(normalized.payload.code),
            codes.payload.tag.eq(normalized.payload.tag),
        ]
        with m.If(taken):
            m.d.sync += [total.eq(whole), begins.eq(last)]

    def _leading(self, m, whole):
        """The bits of a row's sum from its leading one on, and where that is."""
        width = _RECIPROCAL + 1
        padded, zeros = count_leading(m, "sum", whole.payload.total, width)
        counted = self.step(m, "counted_sum", whole, padded=padded, zeros=zeros)
        aligned, position = align_counted(m, "sum", counted.payload.padded, counted.payload.zeros, width)
        # A sum of any logits has 255 in it; of none, the product with the reciprocal is 0.
        places = (position - _RECIPROCAL)[: _places(self.config)].as_unsigned()
        return self.step(m, "normalized", counted, code=aligned, tag=places)

    def _products(self, m, elements, fraction):
        """Third pass: exponentials times the sum's reciprocal."""
        out, elements = self._out(m, elements)
        row, bits = elements.payload.row, self.config.out_bits
        operands = self.step(
            m,
            "operands",
            elements,
            exponential=elements.payload.element,
            reciprocal=row.reciprocal,
            places=row.places,
            last=elements.payload.last,
        )
        fields = operands.payload
        product = self.step(
            m,
            "product",
            operands,
            product=fields.exponential * fields.reciprocal,
            places=fields.places,
            last=fields.last,
        )
        # One bit below the last one, for the half.
        shifted = product.payload.product[fraction + _RECIPROCAL - bits - 1 :]
        for index, bit in enumerate(product.payload.places):
            shifted = stage(m, f"product_by_{1 << index}", None, value=Mux(bit, shifted[1 << index :], shifted)).value
        shifted = self.step(m, "shifted", product, value=shifted, last=product.payload.last)
        rounded = (shifted.payload.value + 1)[1:]
        output = self.step(
            m, "output", shifted, probability=saturate(rounded, unsigned(bits)), last=shifted.payload.last
        )
        m.d.comb += [
            out.valid.eq(output.valid),
            out.payload.probability.eq(resize(output.payload.probability, bits)),
            out.payload.last.eq(output.payload.last),
        ]
        if not self.free_running:
            m.d.comb += output.ready.eq(self.o.ready)

    def _out(self, m, elements):
        """Where the third pass ends, and what enters it: free-running, no more than a queue has room for."""
        if not self.free_running:
            return self.o, elements
        return bounded(m, elements, flipped(self.o), _PLACES)


def _bits(table):
    """Bits of what the table gives."""
    return int(pwl.accumulate(np.arange(128, 256), table, _RECIPROCAL).max()).bit_length()


def _places(config):
    """Bits of the number of places that the leading one of a sum is above that of 255."""
    return max(1, (sum_width(config) - 1 - _RECIPROCAL).bit_length())
