"""The low-rank vector core of SeVeDo (2025): two integer matrix products with operands of 8 and of 16 bits.

That low-rank components which are sensitive get more bits, statically, is the paper's (SVD-MP). That the datapath is
made of bit slices is known from a review only. We could not read more of it: formats, widths of the slices, roundings,
sizes and the order of work are our choice; the arithmetic is that of `golden.sevedo.lvc`.

Tokens come one after the other. While one is multiplied, the next one comes in, and its largest exponent is found. The
multipliers take `lanes` channels by `columns` ranks in a cycle, then `lanes` ranks by `columns` outputs; a block with
a wide operand takes two cycles, if operands go in slices.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.sevedo.lvc_cycles import FRONT
from ...hdl.floating.formats import FP16
from .lvc_input import InputQuantizer, TokenBuffer
from .lvc_layer import DIGIT, LvcConfig
from .lvc_output import EXPONENT, OutputScaler
from .lvc_rank import RankStore
from .lvc_sequence import Sequence
from .lvc_sums import Sums

__all__ = ["LowRankVectorCore", "LvcConfig"]

#: A token's exponent is stored as kx + 20, so that it is never negative.
_BIAS = 20


class LowRankVectorCore(wiring.Component):
    """For each token ``t = float32(u) * scales * 2**(kx + gain)``, `golden.sevedo.lvc.product`, for all outputs.

    A transfer on `layer` says what the next `tokens` tokens are: it is taken when the last output of those before has
    left. All sizes are those of the layer; operands of lanes and columns behind the last channel, rank or output have
    no effect. A size of 0 is illegal but for rank 0, whose outputs are +0, and `tokens` 0, which has no effect; tables
    that `golden.sevedo.lvc.LowRank` refuses are illegal, too. What comes of anything illegal is undefined until reset.

    A token takes ``ceil(K / lanes)`` transfers on `x`; on `w`, for each `columns` ranks ``ceil(K / lanes)`` transfers,
    then, for each `columns` outputs, ``ceil(r / lanes)``, none if the rank is 0; on `scales`, one for each output. A
    blocked output, or a missing scale, stops all but the input of tokens.

    Latency `golden.sevedo.lvc_cycles.latency`, from the last weights of a group of outputs to the first of them; cycles
    as `golden.sevedo.lvc_cycles.cycles`, one output a cycle at most. Every ready comes from registers alone: no
    combinational path leads there from `o.ready`, nor from any valid.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    layer : in stream of `config.layer_layout`
        What the next tokens are multiplied with, one transfer a layer; the first rank is lowest in `rank_shifts`.
    x : in stream of `config.x_layout`
        Activations, `lanes` channels a transfer, token after token: finite, wide channels first. Subnormal ones and -0
        count as 0.
    w : in stream of `config.w_layout`
        Weights, for each column those of the lanes. L1, channels by ranks: for `columns` ranks a time all channels,
        `lanes` a transfer; then L2, ranks by outputs: for `columns` outputs a time all ranks, `lanes` a transfer. Again
        for each token.
    scales : in stream of FP16
        Scales of the outputs, one FP16 code a transfer, normal and positive; again for each token.
    o : out stream of `config.o_layout`
        Outputs, one a transfer, in order, token after token.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(stream.Signature(config.layer_layout)),
                "x": In(stream.Signature(config.x_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "scales": In(stream.Signature(FP16.width)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.tokens = tokens = TokenBuffer(config)
        m.submodules.schedule = sequence = Sequence(config)
        m.submodules.quantizer = quantizer = InputQuantizer(config)
        m.submodules.sums = sums = Sums(config)
        m.submodules.rank_store = ranks = RankStore(config)
        m.submodules.scaler = scaler = OutputScaler(config)
        connect(m, flipped(self.x), tokens.x)
        connect(m, flipped(self.scales), scaler.scales)
        connect(m, scaler.o, flipped(self.o))

        layer = self._keep_layer(m, tokens, sequence, ranks, sums, scaler)
        slot, fire = self._send_slots(m, tokens, sequence, quantizer, ranks, scaler.en)
        for lane in range(config.lanes):
            operand, shift = self._operand(m, lane, slot, quantizer.o[lane], ranks.ranks[lane])
            m.d.comb += [sums.operands[lane].eq(operand), sums.shifts[lane].eq(shift)]

        exponent = Signal(EXPONENT, reset_less=True)
        with m.If(fire & slot.second):
            # Of this token: what is left of the one before has been converted, as its ranks came behind it.
            m.d.sync += exponent.eq(slot.base + layer.gain - _BIAS)
        m.d.comb += [
            sums.en.eq(scaler.en),
            sums.add.eq(fire),
            *(sums.group[key].eq(slot[key]) for key in ("first", "last", "second", "end")),
            sums.weights.eq(self.w.payload),
            ranks.en.eq(scaler.en),
            ranks.write.eq(sums.valid & ~sums.second),
            ranks.last.eq(sums.last),
            ranks.sum.eq(sums.sum),
            ranks.block.eq(slot.block),
            ranks.clear.eq(fire & slot.second & slot.last & slot.end),
            scaler.valid.eq(sums.valid & sums.second),
            scaler.last.eq(sums.last),
            scaler.sum.eq(sums.sum),
            scaler.exponent.eq(exponent),
        ]
        return m

    def _keep_layer(self, m, tokens, sequence, ranks, sums, scaler):
        """The layer whose tokens go through, in a register, until the last output of the last one has left."""
        layer = Signal(self.config.layer_layout, reset_less=True)
        unfinished, start = Signal(layer.tokens.shape()), Signal()
        m.d.comb += [
            self.layer.ready.eq(unfinished == 0),
            start.eq(self.layer.valid & self.layer.ready),
            tokens.start.eq(start),
            tokens.expected.eq(self.layer.payload.tokens),
            *(part.layer.eq(layer) for part in (tokens, sequence, ranks)),
            sums.outputs.eq(layer.outputs),
        ]
        with m.If(start):
            m.d.sync += [layer.eq(self.layer.payload), unfinished.eq(self.layer.payload.tokens)]
        with m.Elif(scaler.finished):
            m.d.sync += unfinished.eq(unfinished - 1)
        return layer

    def _send_slots(self, m, tokens, sequence, quantizer, ranks, en):
        """From a slot to the operands of the multipliers; all that is behind them advances with `en`.

        Returns the slot that is there, and whether its weights are there too, so that it is multiplied.
        """
        config = self.config
        slots = [Signal(config.slot_layout, name=f"slot_{step}", reset_less=True) for step in range(FRONT)]
        valids = [Signal(name=f"slot_valid_{step}") for step in range(FRONT)]
        slot, move, fire, goes, weightless = slots[-1], Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            tokens.begin.eq(sequence.begin),
            tokens.vacate.eq(sequence.vacate),
            tokens.word.eq(sequence.word),
            tokens.en.eq(move),
            sequence.available.eq(tokens.available),
            sequence.base.eq(tokens.base),
            sequence.en.eq(move),
            quantizer.en.eq(move),
            quantizer.x.eq(tokens.data),
            quantizer.base.eq(slots[0].base),
            quantizer.wide.eq(slots[-2].wide),
            # No rank: nothing is added, and nothing waits for ranks.
            weightless.eq(slot.lanes == 0),
            goes.eq(en & valids[-1] & (~slot.second | ranks.complete | weightless)),
            fire.eq(goes & (self.w.valid | weightless)),
            self.w.ready.eq(goes & slot.take & ~weightless),
            move.eq(en & (~valids[-1] | fire)),
        ]
        with m.If(move):
            m.d.sync += [
                *(after.eq(before) for before, after in zip([sequence.slot, *slots[:-1]], slots, strict=True)),
                *(after.eq(before) for before, after in zip([sequence.valid, *valids[:-1]], valids, strict=True)),
            ]
        return slot, fire

    def _operand(self, m, lane, slot, x, rank):
        """What a lane multiplies in a slot, and how far its product shifts."""
        config = self.config
        kept = Signal(16, name=f"kept_{lane}")
        m.d.comb += kept.eq(rank.value.as_unsigned() & (lane < slot.lanes).replicate(16))
        value = Signal(16, name=f"value_{lane}")
        m.d.comb += value.eq(Mux(slot.second, kept, x))
        if not config.sliced:
            return value.as_signed(), 0
        operand, shift = Signal(config.operand_shape, name=f"operand_{lane}"), Signal(3, name=f"shift_{lane}")
        digits = 2 * DIGIT
        wide = lane < slot.wide
        with m.If(~slot.high):
            # The low digits of a wide operand have no sign, a narrow operand has these only.
            m.d.comb += [
                operand.eq(Mux(wide, value[:digits], value[: digits + 1].as_signed())),
                shift.eq(Mux(slot.second, rank.shift, 0)),
            ]
        with m.Elif(wide):
            m.d.comb += [operand.eq(value[digits:].as_signed()), shift.eq(digits // 2)]
        return operand, shift
