"""The machine's multiplying unit, first half: operands out of the memories, into the array."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine import jobs
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import delayed, registered
from .bank import Bank
from .pair_words import pair_value

__all__ = ["Operands", "Source"]

#: Cycles from the request of words to those that a bank gives: its address comes from a register.
_READ = 1 + Bank.latency
#: Steps on their way from the memories, and in front of the array.
_STEPS = 16


class Source(enum.Enum, shape=2):
    """Where an operand comes from, as `jobs.SOURCES`."""

    WEIGHTS = 0
    A = 1
    B = 2
    PROBABILITIES = 3


class _Side:
    """Counters of one side: the place of its next word."""

    def __init__(self, name, base, panels):
        self.start, self.place = (Signal(base, name=f"{name}_{part}", reset_less=True) for part in ("start", "place"))
        self.left = Signal(panels, name=f"{name}_left", reset_less=True)


class Operands(wiring.Component):
    """Walk through the panels of a job's two sides, a step a cycle.

    Each panel of the outer side meets all of the inner side. Words come three cycles after they are asked for, from
    registers, and go into a queue in front of the array: the way from the memories never holds. Pairs are decoded
    behind the queue: a word of them makes two steps.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    work : in stream of `Product`
        In which nothing depends on the tokens any more.
    read : out 1
        Read the words at `row` and `column`; those of the ring, if the job needs it, are held.
    stepped : out 1
        A step is made: with each word that is read, of pairs two.
    row, column : out
        Places in the memories of both sides; of the ring, none.
    row_source : out `Source`
        The memory of the rows.
    ring : out 1
        The job needs a word of the ring.
    available : in 1
        It is held.
    again, release : out 1
        As of `PanelRing`.
    a, b, probabilities, weights : in, words
        What was read, three cycles later.
    o : out stream
        `rows`, `columns`, a step of the reduction; `last` step.
    """

    def __init__(self, config):
        self.config = config
        lanes, product = config.lanes, config.job(jobs.Product)
        place = product["row_base"].shape
        word = config.word
        step = {
            "rows": data.ArrayLayout(signed(8), lanes),
            "columns": data.ArrayLayout(signed(9), lanes),
            "last": 1,
        }
        super().__init__(
            {
                "work": In(stream.Signature(product)),
                "read": Out(1),
                "stepped": Out(1),
                "row": Out(place),
                "column": Out(place),
                "row_source": Out(Source),
                "ring": Out(1),
                "available": In(1),
                "again": Out(1),
                "release": Out(1),
                **{name: In(word) for name in ("weights", "a", "b", "probabilities")},
                "o": Out(stream.Signature(data.StructLayout(step))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        work = self.work.payload
        busy = Signal()
        pairs = {"pairs": 1} if self.config.sizes.pairs else {}
        m.submodules.queue = queue = CreditQueue(data.StructLayout(self.o.payload.shape().members | pairs), _STEPS)
        if pairs:
            self._unpack(m, queue.o)
        else:
            m.d.comb += self.stepped.eq(self.read)
            connect(m, queue.o, flipped(self.o))
        steps = Signal(work.steps.shape(), reset_less=True)
        rows, columns = (_Side(n, work.row_base.shape(), work.row_panels.shape()) for n in ("row", "column"))
        columns_outer = Signal()
        m.d.comb += [
            columns_outer.eq(work.outer),
            self.ring.eq(busy & ((work.rows == Source.WEIGHTS.value) | (work.columns == Source.WEIGHTS.value))),
            self.read.eq(busy & queue.room & (self.available | ~self.ring)),
            self.row.eq(rows.place),
            self.column.eq(columns.place),
            self.row_source.eq(work.rows),
        ]
        ends = steps == 1
        row_last, column_last = rows.left == 1, columns.left == 1
        inner_last = Mux(columns_outer, row_last, column_last)
        outer_last = Mux(columns_outer, column_last, row_last)
        m.d.comb += [
            self.again.eq(ends & ~inner_last),
            self.release.eq(ends & inner_last),
            # Taken with its last step, it stays where it is until then.
            self.work.ready.eq(self.read & ends & inner_last & outer_last),
        ]
        with m.If(~busy & self.work.valid):
            m.d.sync += [busy.eq(1), steps.eq(work.steps)]
            for side, name in ((rows, "row"), (columns, "column")):
                base = work[f"{name}_base"]
                m.d.sync += [side.start.eq(base), side.place.eq(base), side.left.eq(work[f"{name}_panels"])]
        with m.Elif(self.read):
            m.d.sync += [steps.eq(steps - 1), rows.place.eq(rows.place + 1), columns.place.eq(columns.place + 1)]
            with m.If(ends):
                m.d.sync += steps.eq(work.steps)
                with m.If(inner_last & outer_last):
                    m.d.sync += busy.eq(0)
                self._panel(m, rows, work.row_base, work.row_stride, work.row_panels, ~columns_outer, inner_last)
                self._panel(
                    m, columns, work.column_base, work.column_stride, work.column_panels, columns_outer, inner_last
                )
        self._steps(m, queue, ends)
        return m

    def _panel(self, m, side, base, stride, panels, outer, inner_last):
        """Go on to a side's next panel: the outer side with each round of the inner one."""
        following = (side.start + stride)[: len(side.start)]
        with m.If(~outer & inner_last):
            m.d.sync += [side.start.eq(base), side.place.eq(base), side.left.eq(panels)]
        with m.Elif(~outer | inner_last):
            m.d.sync += [side.start.eq(following), side.place.eq(following), side.left.eq(side.left - 1)]
        with m.Else():
            m.d.sync += side.place.eq(side.start)

    def _unpack(self, m, words):
        """Two steps of a word of pairs, one of another; through a register."""
        lanes, coming, second = self.config.lanes, words.payload, Signal()
        whole = second | ~coming.pairs
        step = stream.Signature(1).create(path=("step",))
        m.d.comb += [
            step.valid.eq(words.valid),
            words.ready.eq(step.ready & whole),
            self.stepped.eq(step.valid & step.ready),
        ]
        with m.If(self.stepped):
            m.d.sync += second.eq(~whole)
        sides = {}
        for name in ("rows", "columns"):
            sides[name] = Signal(coming[name].shape(), name=f"{name}_step")
            for lane in range(lanes):
                value = pair_value(m, coming[name][lane][:8], second)
                m.d.comb += sides[name][lane].eq(Mux(coming.pairs, value, coming[name][lane]))
        unpacked = registered(m, "unpacked", step, **sides, last=coming.last & whole)
        m.d.comb += [self.o.valid.eq(unpacked.valid), unpacked.ready.eq(self.o.ready)]
        m.d.comb += [self.o.payload[name].eq(unpacked.payload[name]) for name in (*sides, "last")]

    def _steps(self, m, queue, ends):
        """What was read, into the queue."""
        config, work = self.config, self.work.payload
        flags = data.StructLayout({"valid": 1, "last": 1, "rows": Source, "columns": Source})
        along = delayed(m, "read_step", flags, _READ)
        asked, held = along[0], along[-1]
        m.d.comb += [
            asked.valid.eq(self.read),
            asked.last.eq(ends),
            asked.rows.eq(work.rows),
            asked.columns.eq(work.columns),
            queue.begin.eq(self.read),
            queue.valid.eq(held.valid),
            queue.payload.last.eq(held.last),
        ]
        if config.sizes.pairs:
            # In linear layers alone: one side are weights.
            m.d.comb += queue.payload.pairs.eq((held.rows == Source.WEIGHTS) | (held.columns == Source.WEIGHTS))
        words = {source: getattr(self, source.name.lower()) for source in Source}
        for selected, lanes in ((held.rows, queue.payload.rows), (held.columns, queue.payload.columns)):
            with m.Switch(selected):
                for source, word in words.items():
                    with m.Case(source):
                        for lane in range(config.lanes):
                            code = word.word_select(lane, 8)
                            m.d.comb += lanes[lane].eq(code if source is Source.PROBABILITIES else code.as_signed())
