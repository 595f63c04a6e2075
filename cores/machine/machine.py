"""The machine: a whole encoder behind one memory port, from token ids to the sum of its last hidden states.

Three units side by side, and a sequencer that gives each its jobs: one loads weights and tables in the order of use,
one multiplies, one works on rows. No host is in between. All of it is our choice; the arithmetic is that of
`golden.machine`.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine import host, jobs
from ...golden.machine.parts import WIDE
from ...hdl.memory_port.port import MemoryPort
from ...hdl.stream.pipeline import queued, staged
from ...hdl.stream.stages import Stage
from .bank import Bank
from .counters import Counters
from .drain import Destination
from .entry import Entry, in_layout
from .intake import Intake
from .loader import Loader
from .multiplier import Multiplier
from .operands import Source
from .panels import PanelRing
from .row_work import work_layout
from .rows import RowUnit
from .sequencer import Sequencer

__all__ = ["ERRORS", "STUCK", "Engine", "out_layout"]

#: Kinds of errors, and which one says that a pass stands still for good.
ERRORS, STUCK = len(host.ERRORS), host.ERRORS.index("nothing moves any more")

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
        m.submodules.panel_ring = ring = PanelRing(config.word, config.panels, config.family)
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
        moves = multiplier.read | multiplier.valid | rows.read | (port.read.valid & port.read.ready) | out.valid
        written = (rows.to_residual, rows.to_a, rows.to_probabilities)
        moves |= Cat(source.valid for source in written).any()
        moved = Signal()
        m.d.sync += moved.eq(moves)
        with m.If(~intake.running | moved):
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
        # Whether a job begins depends on much.
        connect(m, staged(m, "product_work", given["product"]), multiplier.work)
        # A job of rows that waits for a signal of the multiplying unit.
        m.submodules.row_work = work = Stage(work_layout(config))
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
        idle = Signal()
        m.d.sync += idle.eq(empty & loader.idle & multiplier.idle & ~work.o.valid)
        return idle

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
        words = staged(m, "words", flipped(port.read))
        m.d.comb += [
            sequencer.changed.eq(entry.changed),
            sequencer.read.payload.eq(words.payload),
            loader.read.payload.eq(words.payload),
            sequencer.read.valid.eq(words.valid & sequencer.copying),
            loader.read.valid.eq(words.valid & ~sequencer.copying),
            words.ready.eq(Mux(sequencer.copying, sequencer.read.ready, loader.read.ready)),
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
            "steps": multiplier.stepped,
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
        """The memories of activations, and who reads and writes them."""
        sizes = self.config.sizes
        banks = {
            "a": (8, sizes.bank_a, Destination.A, rows.to_a),
            "b": (8, sizes.bank_b, Destination.B, None),
            "logits": (8, sizes.scores, Destination.LOGITS, None),
            "probabilities": (8, sizes.scores, None, rows.to_probabilities),
            "residual": (WIDE, sizes.residual, Destination.RESIDUAL, rows.to_residual),
        }
        read = {name: self._bank(m, name, multiplier, *bank) for name, bank in banks.items()}
        for name, source in (("a", Source.A), ("b", Source.B), ("probabilities", Source.PROBABILITIES)):
            in_rows = multiplier.row_source == source
            m.d.sync += read[name].address.eq(Mux(in_rows, multiplier.row, multiplier.column))
            m.d.comb += getattr(multiplier, name).eq(read[name].o)
        residual, logits = read["residual"], read["logits"]
        m.d.comb += [
            ring.read.eq(multiplier.read & multiplier.ring),
            ring.again.eq(multiplier.again),
            ring.release.eq(multiplier.release),
            multiplier.available.eq(ring.available),
            multiplier.weights.eq(ring.o),
            logits.address.eq(rows.place),
            rows.logits.eq(logits.o),
            residual.address.eq(Mux(rows.read, rows.place, multiplier.residual_place)),
            multiplier.residual.eq(residual.o),
            rows.residual.eq(residual.o),
        ]

    def _bank(self, m, name, multiplier, bits, depth, destination, element):
        """A bank of codes of some bits, to be read.

        Words of products are written, and where there are none, elements of rows, through a register: a memory's way in
        is wide. Whoever reads what was written begins later than in the cycle behind that.
        """
        lanes, out = self.config.lanes, multiplier.o
        m.submodules[f"bank_{name}"] = bank = Bank(bits, lanes, depth, self.config.family)
        taken = Signal(name=f"{name}_taken")
        place, word = (Signal.like(signal, reset_less=True) for signal in (bank.place, bank.word))
        en = Signal.like(bank.en)
        m.d.comb += [bank.place.eq(place), bank.word.eq(word), bank.en.eq(en)]
        if destination is not None:
            m.d.comb += taken.eq(multiplier.valid & (out.to == destination))
        m.d.sync += [
            place.eq(out.place),
            word.eq(Cat(code[:bits] for code in out.codes)),
            en.eq(taken.replicate(lanes)),
        ]
        if element is not None:
            code = element.payload.code.as_unsigned()[:bits]
            m.d.comb += element.ready.eq(~taken)
            with m.If(~taken):
                m.d.sync += [place.eq(element.payload.place), word.eq(code.replicate(lanes))]
                m.d.sync += en.eq(Mux(element.valid, 1 << element.payload.lane, 0))
        return bank
