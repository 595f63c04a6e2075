"""Where the two paths of the SeVeDo core meet: residual, low-rank term and bias become one FP16 number."""

import itertools

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.sevedo.core import ADDER
from ...hdl.floating.add import FloatAdder
from ...hdl.floating.formats import FP16, FP32, stage
from ...hdl.floating.half import HalfRounder
from ...hdl.stream.stages import Stage
from .blocks import Blocks
from .terms import TermBuffer

__all__ = ["Merge"]


class Merge(wiring.Component):
    """``to_half((residual + term) + bias)``, each sum rounded to the nearest, ties to even; one number a cycle.

    A residual is a multiple of 2**-62 below 2**126, a term one of 2**-89 below 2**87, a bias one of 2**-24 below
    2**16: so FP32 needs neither subnormal numbers nor infinities. None of them is -0, and no sum is.

    Parameters
    ----------
    config : SevedoCoreConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while its tokens come.
    start : in 1
        They come from the next cycle on.
    residuals : in stream of `config.tile.o_layout`
        Block of tokens by block of tokens, in each block of output channels by block of output channels. What belongs
        to no token or to no channel has no effect.
    terms : in stream of `config.lvc.o_layout`
        Token by token.
    bias : in stream of `config.bias_layout`
        As of the core.
    o : out stream of `config.o_layout`
    done : out 1
        The layer's last result has left for the output register, and nothing of the layer is in the queue.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "start": In(1),
                "residuals": In(stream.Signature(config.tile.o_layout)),
                "terms": In(stream.Signature(config.lvc.o_layout)),
                "bias": In(stream.Signature(config.bias_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer, tile = self.config, self.layer, self.config.tile
        # The tile goes on with the next reduction while the results of one, which come together, are merged.
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=tile.o_layout.size, depth=tile.unit_lanes + 1)
        m.submodules.terms = terms = TermBuffer(config)
        m.submodules.tokens = tokens = Blocks(config.rows, layer.tokens.shape())
        m.submodules.outputs = outputs = Blocks(config.cols, layer.outputs.shape())
        m.submodules.egress = egress = Stage(config.o_layout)
        connect(m, flipped(self.terms), terms.i)
        connect(m, egress.o, flipped(self.o))
        en = egress.i.ready
        head = data.View(tile.o_layout, queue.r_data)
        unit, col = Signal(range(tile.units)), Signal(range(config.cols))
        # `over`: the rest of a reduction's results belongs to no token. `base`: first channel of the block.
        row, over, base = Signal.like(terms.row), Signal(), Signal.like(terms.output)
        take, row_ends, block_ends, pop = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            queue.w_data.eq(self.residuals.payload),
            queue.w_en.eq(self.residuals.valid),
            self.residuals.ready.eq(queue.w_rdy),
            queue.r_en.eq(pop),
            terms.layer.eq(layer),
            terms.start.eq(self.start),
            tokens.total.eq(layer.tokens),
            tokens.start.eq(self.start),
            outputs.total.eq(layer.outputs),
            outputs.start.eq(self.start),
            take.eq(en & queue.r_rdy & ~over & terms.available & self.bias.valid),
            row_ends.eq(take & (col == outputs.last)),
            pop.eq((row_ends & ((unit == tile.units - 1) | (row == tokens.last))) | (en & over & queue.r_rdy)),
            block_ends.eq(pop & head.last),
            self.bias.ready.eq(block_ends),
            outputs.next.eq(block_ends),
            tokens.next.eq(block_ends & outputs.ending),
            terms.free.eq(tokens.next),
            terms.en.eq(en),
            terms.row.eq(row),
            terms.output.eq(base + col),
        ]
        with m.If(take):
            m.d.sync += col.eq(Mux(row_ends, 0, col + 1))
        with m.If(row_ends):
            m.d.sync += [row.eq(row + 1), unit.eq(unit + 1), over.eq(row == tokens.last)]
        with m.If(pop):
            m.d.sync += unit.eq(0)
        with m.If(block_ends):
            m.d.sync += [row.eq(0), over.eq(0), base.eq(Mux(outputs.ending, 0, base + config.cols))]

        value = self._add(m, en, head["values"][unit][col], terms.data, self.bias.payload[col])
        last = row_ends & (row == tokens.last) & outputs.ending & tokens.ending
        self._leave(m, egress, value, take, last, tokens.next & tokens.ending)
        return m

    def _add(self, m, en, residual, term, bias):
        """The sum of the three in FP16; `term`, which comes out of a memory, a cycle after the others."""
        taken = stage(m, "taken", en, residual=residual, bias=bias)
        m.submodules.first = first = FloatAdder(FP32, specials=False, stages=ADDER)
        m.submodules.second = second = FloatAdder(FP32, specials=False, stages=ADDER)
        m.submodules.rounder = rounder = HalfRounder(FP32)
        bias = taken.bias
        for step in range(ADDER):
            bias = stage(m, f"bias_{step}", en, bias=bias).bias
        m.d.comb += [
            first.en.eq(en),
            first.a.eq(taken.residual),
            first.b.eq(term),
            second.en.eq(en),
            second.a.eq(first.o),
            second.b.eq(_single(bias)),
            rounder.en.eq(en),
            rounder.i.eq(second.o),
        ]
        return rounder.o

    def _leave(self, m, egress, value, take, last, emptied):
        """Sums leave, and tell whether they are the layer's last one, `last`; after `emptied`, `done` is told."""
        en = egress.i.ready
        steps = 1 + 2 * ADDER + HalfRounder.latency
        valids = [take, *(Signal(name=f"valid_{step}") for step in range(steps))]
        lasts = [last, *(Signal(name=f"last_{step}", reset_less=True) for step in range(steps))]
        with m.If(en):
            for flags in (valids, lasts):
                m.d.sync += [after.eq(before) for before, after in itertools.pairwise(flags)]
        m.d.comb += [
            egress.i.valid.eq(valids[-1]),
            egress.i.payload.value.eq(value),
            egress.i.payload.last.eq(lasts[-1]),
        ]
        # What belongs to no token may still be in the queue behind the last result.
        ends = [en & valids[-1] & lasts[-1], emptied]
        seen = [Signal(name=name) for name in ("result_gone", "queue_gone")]
        m.d.comb += self.done.eq(Cat(now | before for now, before in zip(ends, seen, strict=True)).all())
        for now, before in zip(ends, seen, strict=True):
            m.d.sync += before.eq((before | now) & ~self.done)


def _single(half):
    """The FP16 number +0 or normal, in FP32: another exponent."""
    fraction, exponent, sign = half[: FP16.fraction_bits], half[FP16.fraction_bits : FP16.width - 1], half[-1]
    wide = Cat(
        Const(0, FP32.fraction_bits - FP16.fraction_bits),
        fraction,
        (exponent + (FP32.bias - FP16.bias))[: FP32.exponent_bits],
        sign,
    )
    return wide & exponent.any().replicate(FP32.width)
