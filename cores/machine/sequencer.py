"""The machine's sequencer: jobs out of the memory, to the units that do them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine import jobs
from ...hdl.memory_port.port import request_layout
from .drain import Destination
from .intake import sentence_layout
from .loader import BURST
from .operands import Source
from .row_work import RowOperation
from .row_work import work_layout as row_work_layout

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Give each unit its jobs, in the order of the list; what depends on the tokens is filled in.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    run : in 1
        A pass is under way.
    changed : in 1
        The memory was written: the jobs are read again before the next pass.
    idle : in 1
        No unit has a job.
    ended : out 1
        All jobs are done.
    told : in 1
        So are the counters.
    over : out 1
        The pass is over.
    sentences, tokens, groups : in
        Of the pass.
    sentence : out
        Which sentence is asked for.
    place : in of `sentence_layout`
        That sentence, a cycle later.
    request : out stream
        For the memory's port.
    read : in stream of words
    copying : out 1
        The words that the memory gives are jobs.
    load, product, row : out stream
        Jobs of the three units. `product`: `Product`, nothing in which depends on the tokens; `row`: `work_layout` and
        `wait`; `load`: as of `Loader`.
    job : out
        Number of the job that is given out.
    illegal : out 1
        It is none, and none is given out behind it; until reset.
    """

    def __init__(self, config):
        self.config = config
        groups = config.sizes.groups
        fields = max(config.job(kind).size for kind in (jobs.Load, jobs.Fetch))
        super().__init__(
            {
                "run": In(1),
                "changed": In(1),
                "idle": In(1),
                "ended": Out(1),
                "told": In(1),
                "over": Out(1),
                "sentences": In(range(groups + 1)),
                "tokens": In(range(config.tokens + 1)),
                "groups": In(range(groups + 1)),
                "sentence": Out(range(groups)),
                "place": In(sentence_layout(config)),
                "request": Out(stream.Signature(request_layout(config.address_bits))),
                "read": In(stream.Signature(config.word)),
                "copying": Out(1),
                "load": Out(stream.Signature(data.StructLayout({"fetch": 1, "fields": fields}))),
                "product": Out(stream.Signature(config.job(jobs.Product))),
                "row": Out(stream.Signature(data.StructLayout({"work": row_work_layout(config), "wait": 1}))),
                "job": Out(range(config.jobs)),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        parts = jobs.BITS // config.word
        write, code = self._list(m)
        stale = Signal(init=1)
        with m.If(self.changed):
            m.d.sync += stale.eq(1)
        operation = code[: jobs.OPERATION]

        # Words that are asked for, and those that came.
        words = config.jobs * parts
        asked, came = Signal(range(words + 1)), Signal(range(words + 1))
        m.d.comb += [
            self.request.payload.address.eq(asked),
            self.request.payload.words.eq(min(BURST, words) - 1),
            write.addr.eq(came >> (parts.bit_length() - 1)),
            write.data.eq(Cat(*[self.read.payload] * parts)),
        ]
        following, again = Signal(range(config.jobs)), Signal(range(config.jobs))
        loop = self._view(code, jobs.Loop)
        m.d.comb += [following.eq(self.job + 1), again.eq(self.job - loop.jobs)]
        product, row = Signal(self.product.payload.shape()), Signal(self.row.payload.shape())
        m.d.comb += [self.product.payload.eq(product), self.row.payload.eq(row)]
        first, moved = self._moved(m, code)
        with m.FSM(name="jobs"):
            with m.State("IDLE"):
                m.d.sync += [asked.eq(0), came.eq(0), self.job.eq(0), self.sentence.eq(0)]
                with m.If(self.run):
                    m.next = "READ"
                    with m.If(stale):
                        m.next = "COPY"
            with m.State("COPY"):
                m.d.comb += [self.copying.eq(1), self.request.valid.eq(asked != words), self.read.ready.eq(1)]
                m.d.comb += [
                    write.en[index].eq(self.read.valid & (came[: (parts - 1).bit_length()] == index))
                    for index in range(parts)
                ]
                with m.If(self.request.valid & self.request.ready):
                    m.d.sync += asked.eq(asked + min(BURST, words))
                m.d.sync += came.eq(came + self.read.valid)
                with m.If(came == words):
                    m.d.sync += stale.eq(self.changed)
                    m.next = "READ"
            with m.State("READ"):
                m.next = "SHOWN"
            with m.State("SHOWN"):
                m.next = "GIVE"
            with m.State("GIVE"):
                self._give(m, operation, following, again)
            with m.State("PRODUCT"):
                # How far the sentence's places are is multiplied, then added.
                m.next = "PLACES"
            with m.State("PLACES"):
                self._product(m, code, product, first, moved)
                m.next = "PRODUCT_GIVEN"
            with m.State("PRODUCT_GIVEN"):
                m.d.comb += self.product.valid.eq(1)
                with m.If(self.product.ready):
                    self._next(m, following)
            with m.State("ROW"):
                self._row(m, code, row)
                m.next = "ROW_GIVEN"
            with m.State("ROW_GIVEN"):
                m.d.comb += self.row.valid.eq(1)
                with m.If(self.row.ready):
                    self._next(m, following)
            with m.State("END"):
                m.d.comb += self.ended.eq(self.idle)
                with m.If(self.told):
                    m.d.comb += self.over.eq(1)
                    m.next = "OVER"
            with m.State("OVER"):
                m.next = "IDLE"
        m.d.comb += self.load.payload.fetch.eq(operation == jobs.KINDS.index(jobs.Fetch))
        m.d.comb += self.load.payload.fields.eq(code[jobs.OPERATION :])
        return m

    def _list(self, m):
        """The memory of the jobs: its port to write, and the job of the number of two cycles before."""
        config = self.config
        m.submodules.jobs = kept = memory.Memory(shape=jobs.BITS, depth=config.jobs, init=[])
        write, read = kept.write_port(granularity=config.word), kept.read_port()
        # A block RAM is slow: nothing looks at a job in the cycle in which it comes out.
        code = Signal(jobs.BITS, reset_less=True)
        m.d.comb += read.addr.eq(self.job)
        m.d.sync += code.eq(read.data)
        return write, code

    def _view(self, code, kind):
        layout = self.config.job(kind)
        return data.View(layout, code[jobs.OPERATION : jobs.OPERATION + layout.size])

    def _next(self, m, job):
        m.d.sync += self.job.eq(job)
        m.next = "READ"

    def _give(self, m, operation, following, again):
        """A job to its unit; loops and the end are the sequencer's own."""
        at = jobs.KINDS.index
        with m.Switch(operation):
            with m.Case(at(jobs.End)):
                m.next = "END"
            with m.Case(at(jobs.Loop)):
                with m.If(self.sentence + 1 < self.sentences):
                    m.d.sync += self.sentence.eq(self.sentence + 1)
                    self._next(m, again)
                with m.Else():
                    m.d.sync += self.sentence.eq(0)
                    self._next(m, following)
            with m.Case(at(jobs.Load), at(jobs.Fetch)):
                m.d.comb += self.load.valid.eq(1)
                with m.If(self.load.ready):
                    self._next(m, following)
            with m.Case(at(jobs.Product)):
                m.next = "PRODUCT"
            with m.Case(at(jobs.Embed), at(jobs.Normalize), at(jobs.Softmax), at(jobs.Sum)):
                m.next = "ROW"
            with m.Default():
                m.d.sync += self.illegal.eq(1)
                m.next = "END"

    def _moved(self, m, code):
        """How far the places of a `Product` are from those of the first sentence.

        Returns
        -------
        first : Signal
            Group in which its sentence begins: of the cycle before.
        moved : dict of str to Signal
            The same in words, by the name of the stride: of two cycles before, as a multiplier is slow.
        """
        job, moved = self._view(code, jobs.Product), {}
        first = Signal.like(self.place.first, reset_less=True)
        m.d.sync += first.eq(Mux(job.single, self.place.first, 0))
        for name in ("row_stride", "column_stride", "stride"):
            moved[name] = Signal((first * job[name]).shape(), name=f"{name}_moved", reset_less=True)
            m.d.sync += moved[name].eq(first * job[name])
        return first, moved

    def _product(self, m, code, given, first, moved):
        """A `Product` with numbers for what are tokens."""
        config, job = self.config, self._view(code, jobs.Product)
        tokens = self.place.tokens
        groups = Mux(job.single, (tokens + config.lanes - 1) >> (config.lanes.bit_length() - 1), self.groups)
        m.d.sync += [given[name].eq(job[name]) for name in config.job(jobs.Product).members]
        m.d.sync += given.steps.eq(Mux(job.steps == 0, tokens, job.steps))
        for side, source in (("row", job.rows), ("column", job.columns)):
            panels, base = job[f"{side}_panels"], job[f"{side}_base"]
            by = Mux(panels == 0, moved[f"{side}_stride"], Mux(job.steps == 0, first * config.lanes, 0))
            bank = (source == Source.A.value) | (source == Source.B.value)
            m.d.sync += given[f"{side}_panels"].eq(Mux(panels == 0, groups, panels))
            m.d.sync += given[f"{side}_base"].eq(base + Mux(bank, by, 0))
        moves = (job.column_panels == 0) & (job.to != Destination.LOGITS.value)
        m.d.sync += given.base.eq(job.base + Mux(moves, moved["stride"], 0))

    def _row(self, m, code, given):
        """A job of the unit of rows with numbers for what are tokens."""
        config, work, place = self.config, given.work, self.place
        embed, norm, softmax, total = (
            self._view(code, kind) for kind in (jobs.Embed, jobs.Normalize, jobs.Softmax, jobs.Sum)
        )
        m.d.sync += [given.eq(0), work.tokens.eq(self.tokens)]
        with m.Switch(code[: jobs.OPERATION]):
            with m.Case(jobs.KINDS.index(jobs.Embed)):
                m.d.sync += [work.operation.eq(RowOperation.EMBED), work.shift.eq(embed.shift)]
                m.d.sync += [work.length.eq(embed.channels), work.step.eq(embed.channels)]
            with m.Case(jobs.KINDS.index(jobs.Normalize)):
                m.d.sync += [work.operation.eq(RowOperation.NORM), work.codes.eq(norm.codes)]
                m.d.sync += [work.length.eq(norm.channels), work.step.eq(norm.channels)]
                m.d.sync += [work.base.eq(norm.base), work.stride.eq(norm.stride)]
                m.d.sync += [given.wait.eq(norm.wait), work.signal.eq(norm.signal)]
            with m.Case(jobs.KINDS.index(jobs.Softmax)):
                m.d.sync += [work.operation.eq(RowOperation.SOFTMAX), work.length.eq(place.tokens)]
                m.d.sync += [work.place.eq(softmax.base), work.step.eq(config.tokens), work.tokens.eq(place.tokens)]
                m.d.sync += [given.wait.eq(softmax.wait), work.signal.eq(softmax.signal)]
            with m.Case(jobs.KINDS.index(jobs.Sum)):
                m.d.sync += [work.operation.eq(RowOperation.SUM), work.tokens.eq(place.tokens)]
                m.d.sync += [work.length.eq(total.channels), work.step.eq(total.channels)]
                m.d.sync += work.place.eq(place.first * total.channels)
