"""The machine's unit of rows: embeddings, LayerNorm, softmax and the sum over the tokens, an element a cycle."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine.parts import WIDE
from ...hdl.stream.pipeline import queued, staged
from ..gqa_lut.softmax_unit import SoftmaxUnit
from .embedding import Embedding
from .loader import token_layout
from .norm_rows import NormRows
from .row_reader import RowReader
from .row_work import RowOperation, element_layout, place_shape, residual_layout, row_layout, work_layout
from .token_sum import TokenSum

__all__ = ["RowUnit"]

_ROWS = 8


class RowUnit(wiring.Component):
    """Do jobs of rows, one after the other; each begins when all results of the one before are written.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    work : in stream of `work_layout`
        Taken when the job is done.
    token, record, rows
        As of `RowReader` and `Embedding`.
    read : out 1
        Read residual and logits at `place`; from registers.
    place : out
    residual, logits : in, words
        What was read, two cycles later.
    entries : in stream of `config.entry`
        As of `NormRows`.
    to_residual, to_a, to_probabilities : out stream
        Of `residual_layout` and `element_layout`.
    o : out stream
        As of `TokenSum`.
    signal : out 1
        A job is done, and gives a signal.
    error : out 1
        A row was too long.
    """

    def __init__(self, config):
        self.config = config
        lanes, sizes = config.lanes, config.sizes
        work = work_layout(config)
        super().__init__(
            {
                "work": In(stream.Signature(work)),
                "token": Out(range(config.tokens + 1)),
                "record": In(token_layout(config)),
                "rows": In(stream.Signature(data.StructLayout({"word": config.word, "position": 1}))),
                "entries": In(stream.Signature(config.entry)),
                "read": Out(1),
                "place": Out(place_shape(config)),
                "residual": In(data.ArrayLayout(signed(WIDE), lanes)),
                "logits": In(data.ArrayLayout(signed(8), lanes)),
                "to_residual": Out(stream.Signature(residual_layout(config))),
                "to_a": Out(stream.Signature(element_layout(config, work["base"].shape))),
                "to_probabilities": Out(stream.Signature(element_layout(config, range(sizes.scores)))),
                "o": Out(stream.Signature(data.StructLayout({"value": signed(32), "last": 1}))),
                "signal": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, work = self.config, self.work.payload
        m.submodules.reader = reader = RowReader(config)
        m.submodules.embedding = embedding = Embedding(config)
        m.submodules.norm = norm = NormRows(config)
        m.submodules.sum = total = TokenSum(config)
        m.submodules.softmax = softmax = SoftmaxUnit(config.softmax, free_running=True)
        connect(m, staged(m, "row_words", flipped(self.rows)), embedding.rows)
        connect(m, staged(m, "norm_entries", flipped(self.entries)), norm.entries)
        connect(m, staged(m, "codes", norm.codes), flipped(self.to_a))
        connect(m, total.o, flipped(self.o))
        connect(m, reader.coded, norm.coded)

        is_norm, embeds = work.operation == RowOperation.NORM, work.operation == RowOperation.EMBED
        busy, done = Signal(), Signal()
        starts = self.work.valid & ~busy
        self._softmax(m, reader, softmax, norm, is_norm)
        parts = {
            RowOperation.EMBED: embedding,
            RowOperation.NORM: reader,
            RowOperation.SOFTMAX: reader,
            RowOperation.SUM: total,
        }
        with m.Switch(work.operation):
            for operation, part in parts.items():
                with m.Case(operation):
                    m.d.comb += part.start.eq(starts)
                    m.d.sync += [self.read.eq(part.read), self.place.eq(part.place)]
        written = (self.to_residual, self.to_a, self.to_probabilities)
        ends = [to.valid & to.ready & to.payload.end for to in written]
        m.d.comb += done.eq(Cat(*ends, total.done).any())
        for part in (reader, embedding, norm, total):
            m.d.comb += part.work.eq(work)
        for part in (reader, embedding):
            m.d.comb += part.record.eq(self.record)
        for part in (reader, embedding, total):
            m.d.comb += part.residual.eq(self.residual)
        m.d.comb += [
            reader.logits.eq(self.logits),
            self.token.eq(Mux(embeds, embedding.token, reader.token)),
            self.work.ready.eq(busy & done),
            self.signal.eq(self.work.valid & self.work.ready & work.signal),
            self.error.eq(norm.error | softmax.error),
        ]
        m.d.sync += busy.eq(self.work.valid & ~self.work.ready)

        # Rows go to the unit that works; so does the way to the residual.
        residual = stream.Signature(residual_layout(config)).create(path=("residual_code",))
        connect(m, staged(m, "residual_codes", residual), flipped(self.to_residual))
        m.d.comb += [
            norm.i.valid.eq(reader.o.valid & is_norm),
            norm.i.payload.eq(reader.o.payload),
            norm.begun.valid.eq(reader.begun.valid & is_norm),
            norm.begun.payload.eq(reader.begun.payload),
            residual.valid.eq(Mux(embeds, embedding.o.valid, norm.o.valid)),
            residual.payload.eq(Mux(embeds, embedding.o.payload, norm.o.payload)),
            embedding.o.ready.eq(residual.ready & embeds),
            norm.o.ready.eq(residual.ready & ~embeds),
            reader.o.ready.eq(Mux(is_norm, norm.i.ready, softmax.i.ready)),
        ]
        return m

    def _softmax(self, m, reader, softmax, norm, is_norm):
        """Rows of logits through the unit, to the probabilities."""
        config = self.config
        rows = stream.Signature(row_layout(config)).create(path=("rows",))
        begun = queued(m, "begun", rows, _ROWS)
        row, token, out = begun.payload, Signal(range(config.tokens)), softmax.o.payload
        probability = stream.Signature(self.to_probabilities.payload.shape()).create(path=("probability",))
        connect(m, staged(m, "probabilities", probability), flipped(self.to_probabilities))
        taken = softmax.o.valid & softmax.o.ready
        m.d.comb += [
            softmax.i.valid.eq(reader.o.valid & ~is_norm),
            softmax.i.payload.logit.eq(reader.o.payload.element),
            softmax.i.payload.last.eq(reader.o.payload.last),
            rows.payload.eq(reader.begun.payload),
            rows.valid.eq(reader.begun.valid & ~is_norm),
            reader.begun.ready.eq(Mux(is_norm, norm.begun.ready, rows.ready)),
            probability.valid.eq(softmax.o.valid & begun.valid),
            probability.payload.place.eq(row.place + token),
            probability.payload.lane.eq(row.lane),
            probability.payload.code.eq(out.probability),
            probability.payload.end.eq(out.last & row.end),
            softmax.o.ready.eq(probability.ready & begun.valid),
            begun.ready.eq(taken & out.last),
        ]
        with m.If(taken):
            m.d.sync += token.eq(Mux(out.last, 0, token + 1))
