"""The machine's multiplying unit, second half: sums of the array, through requantizers and GELU, into the memories."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine import jobs
from ...golden.machine.parts import WIDE
from ...golden.machine.requantizer import LATENCY
from ...hdl.integer.rounding import saturate
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import delayed, registered
from ..gqa_lut.pwl_unit import PwlUnit
from .pair_words import PairWords
from .requantizer import FreeRequantizer, Requantizer

__all__ = ["Destination", "Drain", "code_layout", "write_layout"]

# Cycles of a word of results in the requantizer; in front of the last three of them its residual is read.
_STEPS, _READ = LATENCY, LATENCY - 4
# Words of GELU in the requantizer and behind it; on their way through GELU, of `lanes` codes each.
_WAITING, _GELU = 16, 4


class Destination(enum.Enum, shape=3):
    """Where results go, as `jobs.DESTINATIONS`."""

    A = 0
    B = 1
    LOGITS = 2
    RESIDUAL = 3
    GELU = 4


def write_layout(config):
    """Words for the memories: `to`, `place`, and `codes` of the lanes, of which banks take the lowest 8 bits."""
    place = config.job(jobs.Product)["base"].shape
    return data.StructLayout({"to": Destination, "place": place, "codes": data.ArrayLayout(signed(WIDE), config.lanes)})


def code_layout():
    """A code that somebody may watch: `valid`; `code`."""
    return data.StructLayout({"valid": 1, "code": signed(WIDE)})


class Drain(wiring.Component):
    """Results of jobs to where they belong, in their order.

    Between the array and the memories nothing holds, but words of GELU, which have room in a queue before they enter.
    So that the order is kept, other words enter when all of these have been written.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    work : in stream
        A `Product`, of which nothing depends on the tokens any more; taken with its last result.
    results : in stream of `config.tile.o_layout`
        Of all jobs, panel by panel as the operands went in.
    entries : in stream of `config.entry`
        Tables, in the order in which they are needed.
    gelu : in stream
        Words of GELU's table; only while there are no results of jobs before.
    place : out
        Of the residual; from a register.
    residual : in, codes of all lanes
        What is there, two cycles later; of use where results go to the residual.
    valid : out 1
    o : out of `write_layout`
        A word, from registers.
    done, signal : out 1
        It is the last one of a job; its job gives a signal.
    error : out 1
        GELU had no table.
    up, gelu_codes : `code_layout`
        What goes into GELU and comes out of it: no ports, but for who watches in a simulation.
    """

    def __init__(self, config):
        self.config = config
        self.up, self.gelu_codes = (Signal(code_layout(), name=name) for name in ("up", "gelu_codes"))
        write = write_layout(config)
        super().__init__(
            {
                "work": In(stream.Signature(config.job(jobs.Product))),
                "results": In(stream.Signature(config.tile.o_layout)),
                "entries": In(stream.Signature(config.entry)),
                "gelu": In(stream.Signature(data.StructLayout({"data": 16, "last": 1}))),
                "place": Out(write["place"].shape),
                "residual": In(data.ArrayLayout(signed(WIDE), config.lanes)),
                "valid": Out(1),
                "o": Out(write),
                "done": Out(1),
                "signal": Out(1),
                "error": Out(1),
            }
        )
        #: What is known of a word of results: `row` of its panel; whether it becomes half of `pairs`; `release` of the
        #: table with it; `last` of its job.
        self._word = data.StructLayout(
            {
                "to": Destination,
                "place": write["place"].shape,
                "row": range(config.lanes),
                "pairs": 1,
                "release": 1,
                "last": 1,
                "signal": 1,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.requantizer = requantizer = FreeRequantizer(config.requantizer)
        waiting = data.StructLayout({"word": self._word, "codes": config.requantizer.out_layout["codes"].shape})
        m.submodules.waiting_words = queue = CreditQueue(waiting, _WAITING)
        # What is known of a word goes along, a register for each of the requantizer's.
        along, written = delayed(m, "word", self._word, _STEPS, reset_less=True), Signal()
        self._results(m, requantizer, queue, along[0], written)
        self._residual(m, requantizer, along)
        late, behind, following = self._gelu(m, requantizer, along[-1], queue)
        self._tables(m, requantizer, following)
        m.d.comb += written.eq(late.valid)
        self._write(m, requantizer, along[-1], late, behind)
        return m

    def _results(self, m, requantizer, queue, word, written):
        """Results into the requantizer; what is known of them goes along."""
        work, lanes = self.work.payload, self.config.lanes
        row = Signal(range(lanes))
        place, start, outer_start = (
            Signal(self.place.shape(), name=name, reset_less=True) for name in ("next_place", "panel", "outer_panel")
        )
        inner, outer = (Signal(work.row_panels.shape(), name=name, reset_less=True) for name in ("inner", "outer"))
        columns_outer, busy, takes = Signal(), Signal(), Signal()
        inner_panels = Mux(columns_outer, work.row_panels, work.column_panels)
        outer_panels = Mux(columns_outer, work.column_panels, work.row_panels)
        pairs = work.pairs if self.config.sizes.pairs else Const(0, 1)
        # Words of a panel of rows: two rows of pairs are one.
        panel = Mux(pairs, lanes // 2, lanes)
        inner_step = Mux(columns_outer, panel, work.stride)
        outer_step = Mux(columns_outer, work.stride, panel)
        row_last, inner_last, outer_last = row == lanes - 1, inner == 1, outer == 1
        whole = Signal()
        table_ends = row_last & inner_last & (outer_last | ~whole)
        following, outer_following = (start + inner_step)[: len(place)], (outer_start + outer_step)[: len(place)]
        gelu, room = Signal(), Signal()
        enters = takes & gelu
        inside, clear = Signal(range(2 * _WAITING)), Signal(init=1)
        m.d.comb += [
            columns_outer.eq(work.outer),
            room.eq(busy & Mux(gelu, queue.room, clear)),
            takes.eq(self.results.valid & room & requantizer.i.ready),
            queue.begin.eq(enters),
            requantizer.i.valid.eq(self.results.valid & room),
            self.results.ready.eq(room & requantizer.i.ready),
            Cat(requantizer.i.payload.sums).eq(Cat(self.results.payload.sums)),
            requantizer.i.payload.word.eq(Mux(whole | columns_outer, 0, row)),
            requantizer.i.payload.release.eq(table_ends),
            word.to.eq(work.to),
            word.place.eq(place),
            word.row.eq(row),
            word.pairs.eq(pairs),
            word.release.eq(table_ends),
            word.last.eq(row_last & inner_last & outer_last),
            word.signal.eq(work.signal),
            self.work.ready.eq(takes & word.last),
        ]
        # Words of GELU that are not written yet.
        m.d.sync += [inside.eq(inside + enters - written), clear.eq((inside == 0) & ~enters)]
        with m.If(~busy & self.work.valid):
            m.d.sync += [busy.eq(1), inner.eq(inner_panels), outer.eq(outer_panels)]
            m.d.sync += [whole.eq(work.to == Destination.LOGITS.value), gelu.eq(work.to == Destination.GELU.value)]
            m.d.sync += [signal.eq(work.base) for signal in (place, start, outer_start)]
        with m.Elif(takes):
            m.d.sync += [row.eq(Mux(row_last, 0, row + 1)), place.eq(place + (row[0] | ~pairs))]
            with m.If(row_last & ~inner_last):
                m.d.sync += [inner.eq(inner - 1), start.eq(following), place.eq(following)]
            with m.Elif(row_last):
                m.d.sync += [inner.eq(inner_panels), outer.eq(outer - 1), outer_start.eq(outer_following)]
                m.d.sync += [start.eq(outer_following), place.eq(outer_following), busy.eq(~outer_last)]

    def _residual(self, m, requantizer, along):
        """The codes that are added: those of the residual, or zeros."""
        asked, shown = along[_READ], along[_READ + 2]
        added = Signal(requantizer.residual.shape(), reset_less=True)
        adds = shown.to == Destination.RESIDUAL
        m.d.comb += [
            self.place.eq(asked.place),
            requantizer.residual.eq(added),
        ]
        m.d.sync += Cat(added).eq(Cat(self.residual) & adds.replicate(WIDE * self.config.lanes))

    def _tables(self, m, requantizer, following):
        """Entries to the requantizer that they are for; what is spread comes once for each lane."""
        lanes, entry = self.config.lanes, self.entries.payload
        lane = Signal(range(lanes))
        ends = ~entry.spread | entry.second | (lane == lanes - 1)
        for sink, mine in ((requantizer.table, ~entry.second), (following.table, entry.second)):
            m.d.comb += [sink.payload[name].eq(entry[name]) for name in ("bias", "multiplier", "shift")]
            m.d.comb += [sink.valid.eq(self.entries.valid & mine), sink.payload.last.eq(entry.last & ends)]
        taken = Mux(entry.second, following.table.ready, requantizer.table.ready)
        m.d.comb += self.entries.ready.eq(taken & ends)
        with m.If(self.entries.valid & taken):
            m.d.sync += lane.eq(Mux(ends, 0, lane + 1))

    def _gelu(self, m, requantizer, word, queue):
        """Words of GELU lane by lane through its unit and a requantizer, and together again.

        Returns
        -------
        codes : View
            `valid`; the `codes` of all lanes of a word.
        behind : FIFO
            Of `self._word`, for each of them.
        following : Requantizer
        """
        config, lanes = self.config, self.config.lanes
        m.submodules.unit = unit = PwlUnit(config.gelu, free_running=True)
        m.submodules.following = following = Requantizer(config.hidden_requantizer, halved=True)
        m.submodules.before = before = fifo.SyncFIFOBuffered(width=self._word.size, depth=_GELU)
        m.submodules.behind = behind = fifo.SyncFIFOBuffered(width=self._word.size, depth=_GELU)
        m.d.comb += [
            queue.valid.eq(requantizer.valid & (word.to == Destination.GELU)),
            queue.payload.word.eq(word),
            queue.payload.codes.eq(requantizer.o.codes),
        ]
        # Lane by lane; what is known of the word stands in both queues from the first lane on.
        lane, room, waiting = Signal(range(lanes)), Signal(), queue.o
        coming = stream.Signature(1).create(path=("coming",))
        m.d.comb += room.eq((before.w_rdy & behind.w_rdy) | (lane != 0))
        goes = waiting.valid & room & coming.ready & ~self.gelu.valid
        codes = Cat(waiting.payload.codes).word_select(lane, WIDE)
        number = Mux(self.gelu.valid, self.gelu.payload.data, codes)
        code = registered(m, "code", coming, load=self.gelu.valid, last=self.gelu.payload.last, data=number)
        m.d.comb += [
            coming.valid.eq(self.gelu.valid | (waiting.valid & room)),
            waiting.ready.eq(goes & (lane == lanes - 1)),
            self.gelu.ready.eq(coming.ready),
            unit.i.valid.eq(code.valid),
            code.ready.eq(unit.i.ready),
            *(unit.i.payload[name].eq(code.payload[name]) for name in ("load", "last", "data")),
            self.error.eq(unit.error),
            self.up.valid.eq(goes),
            self.up.code.eq(number),
        ]
        for each in (before, behind):
            m.d.comb += [each.w_data.eq(waiting.payload.word), each.w_en.eq(goes & (lane == 0))]
        with m.If(goes):
            m.d.sync += lane.eq(lane + 1)

        count, seen = Signal(range(lanes)), data.View(self._word, before.r_data)
        passes = unit.o.valid & following.i.ready & before.r_rdy
        m.d.comb += [
            following.i.valid.eq(unit.o.valid & before.r_rdy),
            unit.o.ready.eq(following.i.ready & before.r_rdy),
            following.i.payload.sums[0].eq(unit.o.payload.data),
            following.i.payload.word.eq(seen.row),
            following.i.payload.release.eq(seen.release & (count == lanes - 1)),
            before.r_en.eq(passes & (count == lanes - 1)),
            self.gelu_codes.valid.eq(passes),
            self.gelu_codes.code.eq(unit.o.payload.data),
        ]
        with m.If(passes):
            m.d.sync += count.eq(count + 1)
        return self._collected(m, following.o), behind, following

    def _collected(self, m, codes):
        """Codes of one lane after the other, together."""
        lanes, bits = self.config.lanes, self.config.input_bits
        codes_layout = data.ArrayLayout(signed(bits), lanes)
        together = Signal(data.StructLayout({"valid": 1, "codes": codes_layout}))
        held, count = Signal(bits * lanes, reset_less=True), Signal(range(lanes))
        m.d.comb += [together.codes.eq(held), codes.ready.eq(1)]
        valid = Signal()
        m.d.comb += together.valid.eq(valid)
        m.d.sync += valid.eq(codes.valid & (count == lanes - 1))
        with m.If(codes.valid):
            m.d.sync += [held.eq(Cat(held[bits:], codes.payload.codes[0])), count.eq(count + 1)]
        return together

    def _write(self, m, requantizer, word, late, behind):
        """Words of both ways, which never come together: others than those of GELU wait until these are written."""
        after, wide = data.View(self._word, behind.r_data), requantizer.o.codes
        direct = requantizer.valid & (word.to != Destination.GELU)
        out, valid = Signal(data.StructLayout(self.o.shape().members | {"done": 1, "signal": 1})), Signal()
        m.d.comb += behind.r_en.eq(late.valid)
        m.d.sync += [
            valid.eq(direct | late.valid),
            out.to.eq(Mux(late.valid, Destination.B, word.to)),
            out.place.eq(Mux(late.valid, after.place, word.place)),
            out.done.eq(Mux(late.valid, after.last, direct & word.last)),
            out.signal.eq(Mux(late.valid, after.last & after.signal, direct & word.last & word.signal)),
        ]
        for lane in range(self.config.lanes):
            narrow = saturate(wide[lane], signed(8))
            code = Mux((word.to == Destination.RESIDUAL) | word.pairs, wide[lane], narrow)
            m.d.sync += out.codes[lane].eq(Mux(late.valid, late.codes[lane], code))
        if self.config.sizes.pairs:
            m.submodules.pairs = pairs = PairWords(out.shape())
            m.d.comb += [pairs.valid.eq(valid), pairs.i.eq(out)]
            m.d.sync += [
                pairs.pairs.eq(Mux(late.valid, after.pairs, word.pairs)),
                pairs.odd.eq(Mux(late.valid, after.row[0], word.row[0])),
            ]
            out, valid = pairs.o, pairs.written
        m.d.comb += [
            self.valid.eq(valid),
            *(self.o[name].eq(out[name]) for name in self.o.shape().members),
            self.done.eq(valid & out.done),
            self.signal.eq(valid & out.signal),
        ]
