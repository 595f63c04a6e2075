"""The machine's multiplying unit: jobs `Product`, from the memories through the array and back."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ...golden.machine import jobs
from ...golden.machine.parts import WIDE
from ...hdl.stream.pipeline import queued, staged
from ...hdl.stream.stages import PipelineRegister, Stage
from ..systolic.tile import SystolicTile
from .drain import Drain, write_layout
from .operands import Operands

__all__ = ["Multiplier"]

#: Jobs whose results are not all written.
_JOBS = 4
#: Entries of tables that wait, at least.
_ENTRIES = 512


class Multiplier(wiring.Component):
    """Do jobs `Product`; the next one begins while results of the last ones drain.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    work : in stream of `Product`
        In which nothing depends on the tokens any more.
    entries, gelu : in streams
        As of `Drain`.
    signal : in 1
        The unit of rows gives a signal.
    read, stepped, row, column, row_source, ring, available, again, release, weights, a, b, probabilities
        As of `Operands`.
    residual_place, residual
        As of `Drain`.
    valid, o : out
        As of `Drain`.
    done : out 1
        A job is done, and gives a signal.
    idle : out 1
        No job is under way.
    error : out 1
        GELU had no table.
    drain : Drain
    """

    def __init__(self, config):
        self.config = config
        self._operands, self.drain = Operands(config), Drain(config)
        shared = (
            "read",
            "stepped",
            "row",
            "column",
            "row_source",
            "ring",
            "available",
            "again",
            "release",
            "weights",
            "a",
            "b",
            "probabilities",
        )
        members = self._operands.signature.members
        write = write_layout(config)
        super().__init__(
            {
                "work": In(stream.Signature(config.job(jobs.Product))),
                "entries": In(stream.Signature(config.entry)),
                "gelu": In(stream.Signature(data.StructLayout({"data": 16, "last": 1}))),
                "signal": In(1),
                **{name: members[name] for name in shared},
                "residual_place": Out(write["place"].shape),
                "residual": In(data.ArrayLayout(signed(WIDE), config.lanes)),
                "valid": Out(1),
                "o": Out(write),
                "done": Out(1),
                "idle": Out(1),
                "error": Out(1),
            }
        )
        self._shared = shared

    def elaborate(self, platform):
        m = Module()
        config, operands = self.config, self._operands
        m.submodules.operands = operands
        m.submodules.tile = tile = SystolicTile(config.tile)
        m.submodules.drain = drain = self.drain
        for name in self._shared:
            inner, outer = getattr(operands, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if self.signature.members[name].flow is Out else inner.eq(outer)
        step = operands.o
        for side, lanes in ((tile.a, step.payload.rows), (tile.w, step.payload.columns)):
            m.d.comb += [
                side.valid.eq(step.valid),
                side.payload.lanes.eq(lanes),
                side.payload.last.eq(step.payload.last),
            ]
        m.d.comb += [
            step.ready.eq(tile.a.ready),
            self.residual_place.eq(drain.place),
            drain.residual.eq(self.residual),
            self.done.eq(drain.signal),
            self.error.eq(drain.error),
        ]
        connect(m, tile.o, drain.results)
        m.d.comb += [self.valid.eq(drain.valid), self.o.eq(drain.o)]
        # A block RAM is slow: nothing but a register looks at an entry in the cycle in which it comes out.
        m.submodules.shown = shown = PipelineRegister(config.entry)
        connect(m, queued(m, "entries", self.entries, _ENTRIES), shown.i)
        connect(m, staged(m, "entry", shown.o), drain.entries)
        self._start(m, operands, drain)
        return m

    def _start(self, m, operands, drain):
        """Begin a job when what it waits for is there."""
        layout = self.config.job(jobs.Product)
        m.submodules.current = current = Stage(layout)
        m.submodules.started = started = fifo.SyncFIFOBuffered(width=layout.size, depth=_JOBS)
        connect(m, current.o, operands.work)
        work = self.work.payload
        outstanding, signals = Signal(range(_JOBS + 2)), Signal(8)
        # GELU's next table goes into its unit, before the job that needs it begins.
        loaded, loading, waited = Signal(), Signal(), Signal()
        free = (outstanding == 0) | ~work.drained
        room = started.w_rdy & (outstanding != _JOBS)
        waits = work.wait & (signals == 0)
        # What a job waits for comes, and does not go before it begins: a register may look at it.
        may, begins, done = Signal(), Signal(), Signal()
        m.d.comb += [
            loading.eq(waited & ~loaded),
            drain.gelu.valid.eq(self.gelu.valid & loading),
            drain.gelu.payload.eq(self.gelu.payload),
            self.gelu.ready.eq(drain.gelu.ready & loading),
            current.i.valid.eq(may),
            current.i.payload.eq(work),
            begins.eq(current.i.valid & current.i.ready),
            self.work.ready.eq(begins),
            started.w_en.eq(begins),
            started.w_data.eq(work),
            drain.work.valid.eq(started.r_rdy),
            drain.work.payload.eq(started.r_data),
            started.r_en.eq(drain.work.ready),
            done.eq(drain.done),
            self.idle.eq(~self.work.valid & (outstanding == 0)),
        ]
        m.d.sync += [
            may.eq(self.work.valid & free & room & ~waits & (loaded | ~work.fresh) & ~begins),
            outstanding.eq(outstanding + begins - done),
            waited.eq(self.work.valid & work.fresh & (outstanding == 0) & ~begins),
        ]
        # A signal comes late in its cycle: it only enables.
        used = begins & work.wait
        with m.If(self.signal ^ used):
            m.d.sync += signals.eq(Mux(used, signals - 1, signals + 1))
        with m.If(begins):
            m.d.sync += loaded.eq(0)
        with m.Elif(self.gelu.valid & self.gelu.ready & self.gelu.payload.last):
            m.d.sync += loaded.eq(1)
