"""The machine: a whole encoder behind one memory port, from token ids to the sum of its last hidden states.

Three units side by side, and a sequencer that gives each its jobs: one loads weights and tables in the order of use,
one multiplies, one works on rows. No host is in between. All of it is our choice; the arithmetic is that of
`golden.machine`.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine import jobs
from ...golden.machine.parts import WIDE
from ...hdl.memory_port.port import MemoryPort
from ...hdl.stream.pipeline import queued
from ...hdl.stream.stages import PipelineRegister
from .counters import Counters
from .drain import Destination
from .entry import Entry, Item, in_layout
from .intake import Intake
from .loader import Loader
from .multiplier import Multiplier
from .operands import Source
from .panels import PanelRing
from .row_work import work_layout
from .rows import RowUnit
from .sequencer import Sequencer

__all__ = ["ERRORS", "STUCK", "Engine", "Item", "in_layout", "out_layout"]

#: Kinds of errors, and which one says that a pass stands still for good.
ERRORS, STUCK = 6, 4

#: Jobs that wait in front of a unit; words of GELU's tables.
_WAITING, _GELU = 4, 64
#: Bits of a count of cycles without any movement, after which there will be none.
_QUIET = 16


def out_layout():
    """A channel's sum over the tokens of a sentence: `value`; `last` channel. With `counter`, one of the pass, or the
    state that was asked for: errors, and from bit 8 on the number of a job, as of `Engine`."""
    return data.StructLayout({"value": signed(32), "counter": 1, "last": 1})


class Engine(wiring.Component):
    """The machine without its memory.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i : in stream of `in_layout`
        Words for the memory, and the sentences of a pass, one after the other; they wait while a pass is under way.
    o : out stream of `out_layout`
        For each sentence the sums of its channels; behind the last one of a pass its counters,
        `golden.machine.jobs.COUNTERS`.
    memory : out `MemoryPort`
    job : out
        Number of the job that is given out; after an error, of the one when it came.
    error : out 6
        Sticky, until reset: bit 0, more tokens than there are places for; 1, a job that is none; 2, a row that is too
        long; 3, GELU without a table; 4, nothing has moved for 65,536 cycles of a pass, as when a job waits for what no
        other one gives: only a reset ends that, and until then items are taken and forgotten, but for `ASK`; 5, words
        beyond the last address.
    multiplier : Multiplier
    rows : RowUnit
        All results: no ports, but for who watches in a simulation.
    """

    def __init__(self, config):
        self.config = config
        self.multiplier, self.rows = Multiplier(config), RowUnit(config)
        super().__init__(
            {
                "i": In(stream.Signature(in_layout(config))),
                "o": Out(stream.Signature(out_layout())),
                "memory": Out(MemoryPort(config.address_bits, config.word)),
                "job": Out(range(config.jobs)),
                "error": Out(ERRORS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.entry = entry = Entry(config)
        m.submodules.intake = intake = Intake(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.loader = loader = Loader(config)
        m.submodules.multiplier = multiplier = self.multiplier
        m.submodules.rows = rows = self.rows
        m.submodules.ring = ring = PanelRing(config.word, config.panels)
        connect(m, loader.panels, ring.i)
        connect(m, loader.product, multiplier.entries)
        connect(m, loader.norm, rows.entries)
        connect(m, loader.rows, rows.rows)
        connect(m, queued(m, "gelu", loader.gelu, _GELU), multiplier.gelu)
        idle = self._jobs(m, sequencer, loader, multiplier, rows)
        self._pass(m, intake, sequencer, loader, rows, idle)
        stuck = self._stuck(m, intake, rows, multiplier)
        connect(m, flipped(self.i), entry.i)
        connect(m, entry.tokens, intake.i)
        m.d.comb += [entry.running.eq(intake.running), entry.stands.eq(stuck)]
        beyond = self._port(m, entry, sequencer, loader, intake.running)
        self._out(m, entry, intake, sequencer, loader, multiplier, rows)
        self._banks(m, multiplier, rows, ring)
        errors = intake.overrun, sequencer.illegal, rows.error, multiplier.error, stuck, beyond
        m.d.comb += self.error.eq(Cat(errors))
        with m.If(~self.error.any()):
            m.d.sync += self.job.eq(sequencer.job)
        return m

    def _stuck(self, m, intake, rows, multiplier):
        """Whether a pass goes on no more; while the host does not take what it is given, it may stand."""
        quiet, stuck = Signal(_QUIET), Signal()
        port, out = self.memory, self.o
        moves = multiplier.read | multiplier.o.valid | rows.read | (port.read.valid & port.read.ready) | out.valid
        written = (rows.to_residual, rows.to_a, rows.to_probabilities)
        moves |= Cat(source.valid for source in written).any()
        with m.If(~intake.running | moves):
            m.d.sync += quiet.eq(0)
        with m.Else():
            m.d.sync += [quiet.eq(quiet + 1), stuck.eq(stuck | quiet.all())]
        return stuck

    def _jobs(self, m, sequencer, loader, multiplier, rows):
        """Jobs wait in front of each unit; whether there are none."""
        config = self.config
        sources = {"load": sequencer.load, "product": sequencer.product, "row": sequencer.row}
        given = {name: queued(m, f"{name}_jobs", source, _WAITING) for name, source in sources.items()}
        connect(m, given["load"], loader.job)
        connect(m, given["product"], multiplier.work)
        # A job of rows that waits for a signal of the multiplying unit.
        m.submodules.row_work = work = PipelineRegister(work_layout(config))
        connect(m, work.o, rows.work)
        row, signals = given["row"], Signal(8)
        job = row.payload
        begins = work.i.valid & work.i.ready
        m.d.comb += [
            work.i.payload.eq(job.work),
            work.i.valid.eq(row.valid & ~(job.wait & (signals == 0))),
            row.ready.eq(begins),
            multiplier.signal.eq(rows.signal),
        ]
        m.d.sync += signals.eq(signals + multiplier.done - (begins & job.wait))
        empty = ~Cat(queue.valid for queue in given.values()).any()
        return empty & loader.idle & multiplier.idle & ~work.o.valid

    def _pass(self, m, intake, sequencer, loader, rows, idle):
        m.d.comb += [
            sequencer.run.eq(intake.running),
            intake.over.eq(sequencer.over),
            sequencer.idle.eq(idle),
            sequencer.sentences.eq(intake.sentences),
            sequencer.tokens.eq(intake.tokens),
            sequencer.groups.eq(intake.groups),
            intake.sentence.eq(sequencer.sentence),
            sequencer.place.eq(intake.place),
            loader.sentences.eq(intake.sentences),
            loader.tokens.eq(intake.tokens),
            intake.loading.eq(loader.token),
            loader.record.eq(intake.loaded),
            intake.reading.eq(rows.token),
            rows.record.eq(intake.record),
        ]

    def _port(self, m, entry, sequencer, loader, running):
        """Words are stored between passes; in a pass the jobs are read first. Whether some lie beyond the memory."""
        port, beyond = self.memory, Signal()
        with m.If(running):
            asker = Mux(sequencer.copying, sequencer.request.payload, loader.request.payload)
            m.d.comb += [
                port.request.payload.eq(asker),
                port.request.valid.eq(Mux(sequencer.copying, sequencer.request.valid, loader.request.valid)),
                sequencer.request.ready.eq(port.request.ready & sequencer.copying),
                loader.request.ready.eq(port.request.ready & ~sequencer.copying),
            ]
        with m.Else():
            connect(m, entry.request, flipped(port.request))
        connect(m, entry.write, flipped(port.write))
        m.d.comb += [
            sequencer.changed.eq(entry.changed),
            sequencer.read.payload.eq(port.read.payload),
            loader.read.payload.eq(port.read.payload),
            sequencer.read.valid.eq(port.read.valid & sequencer.copying),
            loader.read.valid.eq(port.read.valid & ~sequencer.copying),
            port.read.ready.eq(Mux(sequencer.copying, sequencer.read.ready, loader.read.ready)),
        ]
        request = port.request.payload
        with m.If(port.request.valid & ((request.address + request.words) >> len(request.address)).any()):
            m.d.sync += beyond.eq(1)
        return beyond | entry.beyond

    def _out(self, m, entry, intake, sequencer, loader, multiplier, rows):
        """Sums; behind them what was counted. Between passes, and when nothing goes on, the state."""
        m.submodules.counters = counters = Counters()
        read, out = self.memory.read, self.o
        events = {
            "cycles": 1,
            "steps": multiplier.read,
            "waiting": multiplier.ring & ~multiplier.available,
            "rows": rows.work.valid,
            "words": read.valid & read.ready,
        }
        m.d.comb += [
            counters.running.eq(intake.running),
            counters.ended.eq(sequencer.ended),
            counters.events.eq(Cat(events[name] for name in jobs.COUNTERS)),
            counters.quiet.eq(entry.quiet),
            sequencer.told.eq(counters.told),
        ]
        with m.If(entry.asked):
            m.d.comb += [
                out.valid.eq(1),
                out.payload.value.eq(Cat(self.error, Const(0, 8 - ERRORS), self.job)),
                out.payload.last.eq(1),
                out.payload.counter.eq(1),
                entry.told.eq(out.ready),
            ]
        with m.Elif(~entry.stands):
            m.d.comb += [
                out.valid.eq(rows.o.valid | counters.o.valid),
                out.payload.value.eq(Mux(sequencer.ended, counters.o.payload, rows.o.payload.value)),
                out.payload.last.eq(Mux(sequencer.ended, counters.last, rows.o.payload.last)),
                out.payload.counter.eq(sequencer.ended),
                rows.o.ready.eq(out.ready & ~sequencer.ended),
                counters.o.ready.eq(out.ready & sequencer.ended),
            ]

    def _banks(self, m, multiplier, rows, ring):
        """The memories of activations, and who reads and writes them; results of products go first."""
        config, sizes, lanes = self.config, self.config.sizes, self.config.lanes
        out = multiplier.o
        narrow = Cat(code[:8] for code in out.payload.codes)
        depths = {"a": sizes.bank_a, "b": sizes.bank_b, "logits": sizes.scores, "probabilities": sizes.scores}
        ports = {}
        for name, depth in depths.items():
            m.submodules[name] = bank = memory.Memory(shape=config.word, depth=depth, init=[])
            ports[name] = bank.write_port(granularity=8), bank.read_port()
        m.submodules.residual = residual = memory.Memory(shape=WIDE * lanes, depth=sizes.residual, init=[])
        ports["residual"] = residual.write_port(granularity=WIDE), residual.read_port()

        # Products.
        m.d.comb += out.ready.eq(1)
        for name, to in (("a", Destination.A), ("b", Destination.B), ("logits", Destination.LOGITS)):
            write, _ = ports[name]
            m.d.comb += [write.addr.eq(out.payload.place), write.data.eq(narrow)]
            m.d.comb += write.en.eq((out.valid & (out.payload.to == to)).replicate(lanes))
        write, read = ports["residual"]
        m.d.comb += [write.addr.eq(out.payload.place), write.data.eq(Cat(out.payload.codes))]
        m.d.comb += write.en.eq((out.valid & (out.payload.to == Destination.RESIDUAL)).replicate(lanes))

        # Elements of rows, where products leave the memory alone.
        self._element(m, rows.to_a, ports["a"][0], 8, out.valid & (out.payload.to == Destination.A))
        self._element(m, rows.to_residual, write, WIDE, out.valid & (out.payload.to == Destination.RESIDUAL))
        self._element(m, rows.to_probabilities, ports["probabilities"][0], 8, Const(0, 1))

        # What is read.
        for name, source in (("a", Source.A), ("b", Source.B), ("probabilities", Source.PROBABILITIES)):
            _, port = ports[name]
            in_rows = multiplier.row_source == source
            m.d.comb += [
                port.addr.eq(Mux(in_rows, multiplier.row, multiplier.column)),
                port.en.eq(multiplier.read),
                getattr(multiplier, name).eq(port.data),
            ]
        m.d.comb += [
            ring.read.eq(multiplier.read & multiplier.ring),
            ring.again.eq(multiplier.again),
            ring.release.eq(multiplier.release),
            multiplier.available.eq(ring.available),
            multiplier.weights.eq(ring.o),
            ports["logits"][1].addr.eq(rows.place),
            ports["logits"][1].en.eq(rows.read),
            rows.logits.eq(ports["logits"][1].data),
            read.addr.eq(Mux(multiplier.residual_read, multiplier.residual_place, rows.place)),
            read.en.eq(multiplier.residual_read | rows.read),
            multiplier.residual.eq(read.data),
            rows.residual.eq(read.data),
        ]

    def _element(self, m, source, port, bits, taken):
        """One lane of a word is written, unless the port is taken."""
        lanes = self.config.lanes
        m.d.comb += source.ready.eq(~taken)
        with m.If(source.valid & ~taken):
            m.d.comb += [
                port.addr.eq(source.payload.place),
                port.data.eq(source.payload.code.as_unsigned()[:bits].replicate(lanes)),
                port.en.eq(1 << source.payload.lane),
            ]
