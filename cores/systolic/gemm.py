"""Matrix products from operands that are sent once: the output-stationary systolic tile behind two memories.

A panel of A is the operands of `rows` rows of results, all of K; a panel of W those of `cols` columns. A job runs each
of some panels of A against each of some panels of W: p + q panels are sent, p q reductions run, and the panels stay for
the jobs that follow. Behind a slow link that is what a product costs. All of this is our choice.
"""

from dataclasses import dataclass

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.systolic import gemm as golden
from ..config import param
from .config import TileConfig, pipeline_param, target_param
from .gemm_buffer import GemmBuffer
from .tile import SystolicConfig, SystolicTile

__all__ = ["Gemm", "GemmConfig"]


@dataclass(frozen=True)
class GemmConfig(TileConfig):
    """Parameters of `Gemm`: those of its tile, and the memories'."""

    target: str = target_param()
    a_depth: int = param(1024, "transfers of activations that are kept, a power of two", low=2, high=1 << 20)
    w_depth: int = param(1024, "transfers of weights that are kept, a power of two", low=2, high=1 << 20)
    pipeline: str = pipeline_param()

    def __post_init__(self):
        super().__post_init__()
        for name in ("a_depth", "w_depth"):
            depth = getattr(self, name)
            if depth & (depth - 1):
                raise ValueError(f"{name} must be a power of two, not {depth}")

    @property
    def tile(self):
        """The `SystolicConfig` of the tile."""
        return SystolicConfig(**self.shared())

    @property
    def job_layout(self):
        """Payload of the stream `job`.

        Fields: `steps`, transfers of a panel, less 1; `a_panels`, `w_panels`, panels, less 1; `load_a`, `load_w`,
        whether they come on `a`, `w`, or are those of an earlier job.
        """
        return data.StructLayout(golden.job_fields(self))

    @property
    def a_transfer(self):
        """Payload of the stream `a`: `lanes`, one operand or packed pair a row, row 0 lowest.

        A packed pair has the value of its first step in the low half.
        """
        return data.StructLayout({"lanes": self.tile.a_layout["lanes"].shape})

    @property
    def w_transfer(self):
        """Payload of the stream `w`: `lanes`, one operand or packed pair a column, column 0 lowest.

        A packed pair has the value of its first step in the low half.
        """
        return data.StructLayout({"lanes": self.tile.w_layout["lanes"].shape})


class Gemm(wiring.Component):
    """A systolic tile with a memory for each operand.

    A job takes a cycle, its loads one for each transfer, both at the same time; then the panels go into the tile, one
    transfer a cycle without gaps (for packed pairs one in two cycles): each panel of A against all those of W, before
    the next one of A. Results come one row a transfer, as from the tile, and drain while the next job runs; it is taken
    when the last transfer of this one has been read. Latency as `golden.systolic.gemm.latency`, cycles as
    `golden.systolic.gemm.cycles`. No combinational path from `o.ready` to any other `ready`.

    Parameters
    ----------
    config : GemmConfig

    Attributes
    ----------
    job : in stream of `config.job_layout`
        What to do, one transfer a job, done one after the other. Reset ends the job that is under way; it leaves the
        memories as they are.
    a : in stream of `config.a_transfer`
        Activations, for each job that loads them: of each of `a_panels + 1` panels `steps + 1` transfers, in the order
        of the steps of the reduction; into the memory from its first word on.
    w : in stream of `config.w_transfer`
        Weights, for each job that loads them: of each of `w_panels + 1` panels `steps + 1` transfers, likewise.
    o : out stream of `config.o_layout`
        Results of each job: for each panel of A, the first one first, those with each panel of W; of two panels one row
        a transfer, row 0 first. Equal to `golden.systolic.gemm.Model`.
    overrun : out 1
        High from the first job on whose panels did not fit into a memory, until reset. Addresses wrap: of what is
        loaded the last transfers stay, and are read as any others.
    illegal : out 1
        Only for packed pairs: high from the first illegal pair on that goes into the tile, until reset.
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "job": In(stream.Signature(config.job_layout)),
            "a": In(stream.Signature(config.a_transfer)),
            "w": In(stream.Signature(config.w_transfer)),
            "o": Out(stream.Signature(config.o_layout)),
            "overrun": Out(1),
        }
        if config.operands[0].pairs:
            ports["illegal"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config, job = self.config, self.job.payload
        m.submodules.tile = tile = SystolicTile(config.tile)
        connect(m, tile.o, flipped(self.o))
        if config.operands[0].pairs:
            m.d.comb += self.illegal.eq(tile.illegal)

        bits = len(job.steps)
        m.submodules.a_buffer = a = GemmBuffer(config.a_transfer, config.a_depth, bits)
        m.submodules.w_buffer = w = GemmBuffer(config.w_transfer, config.w_depth, bits)
        busy, start, step, move = Signal(), Signal(), Signal(), Signal()
        # For the transfers that are between the memories and the tile.
        valid, last = Signal(), Signal(reset_less=True)
        m.d.comb += [
            self.job.ready.eq(~busy),
            start.eq(self.job.valid & ~busy),
            move.eq(tile.a.ready | ~valid),
            step.eq(busy & ~a.loading & ~w.loading & move),
            a.panels.eq(job.a_panels),
            a.load.eq(job.load_a),
            a.again.eq(~a.loading & ~w.last_panel),
            w.panels.eq(job.w_panels),
            w.load.eq(job.load_w),
            self.overrun.eq(a.overrun | w.overrun),
        ]
        for buffer, source, sink in ((a, self.a, tile.a), (w, self.w, tile.w)):
            connect(m, flipped(source), buffer.i)
            m.d.comb += [
                buffer.start.eq(start),
                buffer.steps.eq(job.steps),
                buffer.step.eq(step),
                sink.payload.lanes.eq(buffer.o.lanes),
                sink.payload.last.eq(last),
                sink.valid.eq(valid),
            ]
        with m.If(start):
            m.d.sync += busy.eq(1)
        with m.Elif(step & a.panel_end & a.last_panel & w.last_panel):
            m.d.sync += busy.eq(0)
        with m.If(move):
            m.d.sync += [valid.eq(step), last.eq(a.panel_end)]
        return m
