"""LayerNorm of rows, with scale and shift of channels, and the codes of what comes next."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine.parts import WIDE
from ...hdl.stream.pipeline import queued, registered, staged
from ..gqa_lut.layernorm_unit import LayernormUnit
from .pair_words import PairElements
from .requantizer import Requantizer
from .row_work import element_layout, residual_layout, row_layout, work_layout

__all__ = ["NormRows"]

#: Rows that are read and not all written.
_ROWS = 8


class NormRows(wiring.Component):
    """Normalize the rows of a job `NORM`.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    work : in, `work_layout`
    i : in stream
        `element`; `last` of a row.
    begun, coded : in stream of `row_layout`
        Where each row is written.
    entries : in stream of `config.entry`
        For each job the table behind LayerNorm, then, with codes, that of the codes.
    o : out stream of `residual_layout`
    codes : out stream of `element_layout`
        For bank a.
    error : out 1
        A row was too long.
    """

    def __init__(self, config):
        self.config = config
        base = work_layout(config)["base"].shape
        super().__init__(
            {
                "work": In(work_layout(config)),
                "i": In(stream.Signature(StructLayout({"element": signed(WIDE), "last": 1}))),
                "begun": In(stream.Signature(row_layout(config))),
                "coded": In(stream.Signature(row_layout(config))),
                "entries": In(stream.Signature(config.entry)),
                "o": Out(stream.Signature(residual_layout(config))),
                "codes": Out(stream.Signature(element_layout(config, base))),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.unit = unit = LayernormUnit(config.norm, free_running=True, family=config.family)
        m.submodules.scale = scale = Requantizer(config.norm_requantizer(WIDE), halved=True)
        m.submodules.recode = recode = Requantizer(config.norm_requantizer(config.input_bits), halved=True)
        row, coded = (queued(m, name, getattr(self, name), _ROWS) for name in ("begun", "coded"))
        connect_fields(m, self.i, unit.i)
        m.d.comb += self.error.eq(unit.error)
        self._tables(m, scale, recode)

        # The row that leaves the unit: the last one of the job lets go of the table, which takes a place in a queue.
        ends = self._ends(m, unit.o.valid & unit.o.ready & unit.o.payload.last)
        channel = self._channel(m, "unit", unit.o)
        negative = self._signs(m, scale, channel, unit.o.valid & unit.o.ready & unit.o.payload.last & ends)
        last = unit.o.payload.last
        sign_known = registered(
            m,
            "signed",
            unit.o,
            element=unit.o.payload.element,
            negative=negative,
            channel=channel,
            release=last & ends,
            last=last,
        )
        # The first register is that of the signs' block RAM, which shows them late: only another register takes them.
        steady = registered(m, "steady", sign_known)
        signed_element = staged(m, "to_scale", steady)
        fields = signed_element.payload
        m.d.comb += [
            scale.i.valid.eq(signed_element.valid),
            signed_element.ready.eq(scale.i.ready),
            scale.i.payload.sums[0].eq(Mux(fields.negative, -fields.element, fields.element)),
            scale.i.payload.word.eq(fields.channel),
            scale.i.payload.release.eq(fields.release),
            scale.i.payload.last.eq(fields.last),
        ]
        # To the residual and to the codes in one step.
        scaled, place = scale.o.payload, self._channel(m, "scaled", scale.o)
        both = scale.o.valid & row.valid
        begun = row.payload
        m.d.comb += [
            self.o.valid.eq(both & (recode.i.ready | ~self.work.codes)),
            self.o.payload.place.eq(begun.place + place),
            self.o.payload.lane.eq(begun.lane),
            self.o.payload.code.eq(scaled.codes[0]),
            self.o.payload.end.eq(scaled.last & begun.end & ~self.work.codes),
            recode.i.valid.eq(both & self.o.ready & self.work.codes),
            recode.i.payload.sums[0].eq(scaled.codes[0]),
            recode.i.payload.word.eq(place),
            recode.i.payload.release.eq(scaled.last & begun.end),
            recode.i.payload.last.eq(scaled.last),
            scale.o.ready.eq(self.o.ready & row.valid & (recode.i.ready | ~self.work.codes)),
            row.ready.eq(scale.o.valid & scale.o.ready & scaled.last),
        ]
        channel, behind = self._channel(m, "recoded", recode.o), coded.payload
        codes, word = self._codes(m, channel)
        m.d.comb += [
            codes.valid.eq(recode.o.valid & coded.valid),
            codes.payload.place.eq(behind.a + word),
            codes.payload.lane.eq(behind.lane),
            codes.payload.code.eq(recode.o.payload.codes[0]),
            codes.payload.end.eq(recode.o.payload.last & behind.end),
            recode.o.ready.eq(codes.ready & coded.valid),
            coded.ready.eq(recode.o.valid & recode.o.ready & recode.o.payload.last),
        ]
        return m

    def _codes(self, m, channel):
        """Where codes go, to bank a, or into pairs first; and the word of a channel in its row."""
        if not self.config.sizes.pairs:
            return self.codes, channel
        m.submodules.pairs = pairs = PairElements(self.codes.payload.shape())
        connect(m, pairs.o, flipped(self.codes))
        m.d.comb += pairs.i.payload.odd.eq(channel[0])
        return pairs.i, channel[1:]

    def _ends(self, m, row_ends):
        """Whether the row that leaves the unit is the job's last one: they are counted."""
        left, busy = Signal(self.work.tokens.shape()), Signal()
        count = Mux(busy, left, self.work.tokens)
        with m.If(row_ends):
            m.d.sync += [left.eq(count - 1), busy.eq(count != 1)]
        return count == 1

    def _channel(self, m, name, source):
        """Channel of the element that a stream of rows shows."""
        channel = Signal(range(self.config.channels), name=f"{name}_channel")
        with m.If(source.valid & source.ready):
            m.d.sync += channel.eq(Mux(source.payload.last, 0, channel + 1))
        return channel

    def _tables(self, m, scale, recode):
        """Entries to the requantizer that they are for."""
        entry = self.entries.payload
        for sink, mine in ((scale.table, ~entry.second), (recode.table, entry.second)):
            m.d.comb += [sink.payload[name].eq(entry[name]) for name in ("bias", "multiplier", "shift")]
            m.d.comb += [sink.valid.eq(self.entries.valid & mine), sink.payload.last.eq(entry.last)]
        m.d.comb += self.entries.ready.eq(Mux(entry.second, recode.table.ready, scale.table.ready))

    def _signs(self, m, scale, channel, released):
        """Sign of a channel: of the table in use, while the next one is loaded."""
        depth = self.config.norm_requantizer(WIDE).depth
        m.submodules.signs = signs = memory.Memory(shape=1, depth=2 * depth, init=[])
        write, read = signs.write_port(), signs.read_port(domain="comb")
        place, loading, using = Signal(range(depth)), Signal(), Signal()
        taken = scale.table.valid & scale.table.ready
        m.d.comb += [
            write.addr.eq(place + (loading << (depth.bit_length() - 1))),
            write.data.eq(self.entries.payload.negative),
            write.en.eq(taken),
            read.addr.eq(channel + (using << (depth.bit_length() - 1))),
        ]
        with m.If(taken):
            m.d.sync += [place.eq(Mux(self.entries.payload.last, 0, place + 1))]
            m.d.sync += loading.eq(loading ^ self.entries.payload.last)
        m.d.sync += using.eq(using ^ released)
        return read.data


def connect_fields(m, source, sink):
    """A stream to another one whose payload has the same fields."""
    m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
    m.d.comb += [sink.payload[name].eq(source.payload[name]) for name in sink.payload.shape().members]
