"""The machine's multiplying unit, second half: sums of the array, through requantizers and GELU, into the memories."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine import jobs
from ...golden.machine.parts import WIDE
from ...hdl.integer.rounding import saturate
from ..gqa_lut.pwl_unit import PwlUnit
from .requantizer import Requantizer

__all__ = ["Destination", "Drain", "code_layout", "write_layout"]

# Results between the array and the memories: 8 in the requantizer, and what waits in front of and behind it.
_INSIDE = 16
# Words of GELU on their way, of `lanes` codes each.
_GELU = 4


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
    read : out 1
        Read the residual at `place`.
    place : out
    residual : in, codes of all lanes
        What was read, from the next cycle on.
    o : out stream of `write_layout`
    done, signal : out 1
        The last result of a job is written in this cycle; its job gives a signal.
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
                "read": Out(1),
                "place": Out(write["place"].shape),
                "residual": In(data.ArrayLayout(signed(WIDE), config.lanes)),
                "o": Out(stream.Signature(write)),
                "done": Out(1),
                "signal": Out(1),
                "error": Out(1),
            }
        )
        #: What is known of a word of results: `row` of its panel, `release` of the table with it; `last` of its job.
        self._word = data.StructLayout(
            {
                "to": Destination,
                "place": write["place"].shape,
                "row": range(config.lanes),
                "release": 1,
                "last": 1,
                "signal": 1,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.requantizer = requantizer = Requantizer(config.requantizer)
        m.submodules.words = words = fifo.SyncFIFOBuffered(width=self._word.size, depth=_INSIDE)
        m.submodules.reads = reads = fifo.SyncFIFOBuffered(width=len(self.place) + 1, depth=_INSIDE)
        self._results(m, requantizer, words, reads)
        self._residual(m, requantizer, reads)
        codes, behind, following = self._gelu(m, requantizer, words)
        self._tables(m, requantizer, following)
        self._write(m, requantizer, words, codes, behind)
        return m

    def _results(self, m, requantizer, words, reads):
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
        inner_step = Mux(columns_outer, lanes, work.stride)
        outer_step = Mux(columns_outer, work.stride, lanes)
        row_last, inner_last, outer_last = row == lanes - 1, inner == 1, outer == 1
        whole = work.to == Destination.LOGITS.value
        table_ends = row_last & inner_last & (outer_last | ~whole)
        following, outer_following = (start + inner_step)[: len(place)], (outer_start + outer_step)[: len(place)]
        room = busy & words.w_rdy & reads.w_rdy
        word = data.View(self._word, words.w_data)
        m.d.comb += [
            columns_outer.eq(work.outer),
            takes.eq(self.results.valid & room & requantizer.i.ready),
            requantizer.i.valid.eq(self.results.valid & room),
            self.results.ready.eq(room & requantizer.i.ready),
            Cat(requantizer.i.payload.sums).eq(Cat(self.results.payload.sums)),
            requantizer.i.payload.word.eq(Mux(whole | columns_outer, 0, row)),
            requantizer.i.payload.release.eq(table_ends),
            words.w_en.eq(takes),
            word.to.eq(work.to),
            word.place.eq(place),
            word.row.eq(row),
            word.release.eq(table_ends),
            word.last.eq(row_last & inner_last & outer_last),
            word.signal.eq(work.signal),
            reads.w_en.eq(takes),
            reads.w_data.eq(Cat(place, work.to == Destination.RESIDUAL.value)),
            self.work.ready.eq(takes & word.last),
        ]
        with m.If(~busy & self.work.valid):
            m.d.sync += [busy.eq(1), inner.eq(inner_panels), outer.eq(outer_panels)]
            m.d.sync += [signal.eq(work.base) for signal in (place, start, outer_start)]
        with m.Elif(takes):
            m.d.sync += [row.eq(Mux(row_last, 0, row + 1)), place.eq(place + 1)]
            with m.If(row_last & ~inner_last):
                m.d.sync += [inner.eq(inner - 1), start.eq(following), place.eq(following)]
            with m.Elif(row_last):
                m.d.sync += [inner.eq(inner_panels), outer.eq(outer - 1), outer_start.eq(outer_following)]
                m.d.sync += [start.eq(outer_following), place.eq(outer_following), busy.eq(~outer_last)]

    def _residual(self, m, requantizer, reads):
        """The codes that are added: those of the residual, or zeros."""
        place, adds = reads.r_data[:-1], reads.r_data[-1]
        known, added = Signal(), Signal()
        free = requantizer.residual.ready | ~known
        m.d.comb += [
            self.place.eq(place),
            self.read.eq(reads.r_rdy & free & adds),
            reads.r_en.eq(free),
            requantizer.residual.valid.eq(known),
        ]
        with m.If(free):
            m.d.sync += [known.eq(reads.r_rdy), added.eq(adds)]
        with m.If(added):
            m.d.comb += requantizer.residual.payload.eq(self.residual)

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

    def _gelu(self, m, requantizer, words):
        """Words of GELU lane by lane through its unit and a requantizer, and together again.

        Returns
        -------
        codes : stream
            `codes` of the lanes.
        behind : FIFO
            Of `self._word`, for each of them.
        following : Requantizer
        """
        config, lanes = self.config, self.config.lanes
        m.submodules.unit = unit = PwlUnit(config.gelu)
        m.submodules.following = following = Requantizer(config.hidden_requantizer)
        m.submodules.before = before = fifo.SyncFIFOBuffered(width=self._word.size, depth=_GELU)
        m.submodules.behind = behind = fifo.SyncFIFOBuffered(width=self._word.size, depth=_GELU)
        word = data.View(self._word, words.r_data)
        mine = requantizer.o.valid & words.r_rdy & (word.to == Destination.GELU)
        # Lane by lane; what is known of the word stands in both queues from the first lane on.
        lane, room = Signal(range(lanes)), Signal()
        m.d.comb += room.eq((before.w_rdy & behind.w_rdy) | (lane != 0))
        goes = mine & room & unit.i.ready & ~self.gelu.valid
        self._gelu_taken = goes & (lane == lanes - 1)
        m.d.comb += [
            unit.i.valid.eq(self.gelu.valid | (mine & room)),
            unit.i.payload.load.eq(self.gelu.valid),
            unit.i.payload.last.eq(self.gelu.payload.last),
            unit.i.payload.data.eq(
                Mux(self.gelu.valid, self.gelu.payload.data, Cat(requantizer.o.payload.codes).word_select(lane, WIDE))
            ),
            self.gelu.ready.eq(unit.i.ready),
            self.error.eq(unit.error),
            self.up.valid.eq(goes),
            self.up.code.eq(unit.i.payload.data),
        ]
        for queue in (before, behind):
            m.d.comb += [queue.w_data.eq(words.r_data), queue.w_en.eq(goes & (lane == 0))]
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
        lanes = self.config.lanes
        together = stream.Signature(data.ArrayLayout(signed(8), lanes)).create()
        held, count = Signal(8 * lanes), Signal(range(lanes + 1))
        m.d.comb += [
            together.valid.eq(count == lanes),
            together.payload.eq(held),
            codes.ready.eq((count != lanes) | together.ready),
        ]
        with m.If(codes.valid & codes.ready):
            m.d.sync += [held.eq(Cat(held[8:], codes.payload.codes[0])), count.eq(Mux(count == lanes, 1, count + 1))]
        with m.Elif(together.ready & together.valid):
            m.d.sync += count.eq(0)
        return together

    def _write(self, m, requantizer, words, codes, behind):
        """Words of both ways in their order: behind the last word of GELU, the other way goes on."""
        word, after = data.View(self._word, words.r_data), data.View(self._word, behind.r_data)
        wide = requantizer.o.payload.codes
        gelu, out = word.to == Destination.GELU, self.o.payload
        # A word of GELU leaves both queues together with its last lane, and is in `behind` until it is written.
        direct = requantizer.o.valid & words.r_rdy & ~gelu & ~behind.r_rdy
        late = codes.valid & behind.r_rdy
        taken = self.o.ready & direct
        m.d.comb += [
            self.o.valid.eq(direct | late),
            out.to.eq(Mux(late, Destination.B, word.to)),
            out.place.eq(Mux(late, after.place, word.place)),
            codes.ready.eq(self.o.ready & behind.r_rdy),
            behind.r_en.eq(self.o.ready & codes.valid),
            words.r_en.eq(taken | self._gelu_taken),
            requantizer.o.ready.eq(taken | self._gelu_taken),
            self.done.eq(self.o.valid & self.o.ready & Mux(late, after.last, word.last)),
            self.signal.eq(self.done & Mux(late, after.signal, word.signal)),
        ]
        for lane in range(self.config.lanes):
            narrow = saturate(wide[lane], signed(8))
            code = Mux(word.to == Destination.RESIDUAL, wide[lane], narrow)
            m.d.comb += out.codes[lane].eq(Mux(late, codes.payload[lane], code))
