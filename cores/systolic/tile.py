"""The systolic tile: rows x cols processing elements for many operand formats (OliVe, ISCA 2023, Section 4.4).

Output-stationary: each processing element keeps one result. Operands enter at two edges, every cycle one step of the
reduction, and move on by one block of processing elements a cycle; finished sums move down a drain, row by row, while
the next reduction runs. Nothing but the operands of a block is registered on the way, so blocks larger than 1 x 1 save
registers and skew where a multiplier has operand registers of its own.

Weight-stationary: each row of processing elements keeps one step of the reduction, each processing element one weight
of it. Activations enter on the left, every cycle those of one row of results, and the sums move down, one row a cycle.
A reduction that is longer than the array has rows goes through in blocks of `rows` steps: partial sums that come out
below wait in a memory and go in again above, so that they grow in the order of the steps and the flags are those of the
other dataflow. Weights of the next block go in while this one runs. Our choice; OliVe's array is output-stationary.

Formats are chosen when the tile is generated (our choice); OliVe's array switches between 4 and 8 bits at run time.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.systolic import tile as golden
from ...hdl.emission.replicate import Replica
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.stages import Stage
from ..config import param
from .array import SystolicArray
from .block import OutputBlock, WeightBlock
from .config import TileConfig, pipeline_param, target_param
from .feed import IntegerFeed, PairFeed
from .processing_element import operand_shape, settled
from .sequence import output_stationary, weight_stationary
from .weight_feed import IntegerWeightFeed, PairWeightFeed

__all__ = ["SystolicConfig", "SystolicTile", "assemble"]

#: Places of the results' queue beyond those of the rows that are on their way and of the reduction that ends.
_QUEUE = 3


@dataclass(frozen=True)
class SystolicConfig(TileConfig):
    """Parameters of `SystolicTile`."""

    rows: int = param(8, "rows of results; weight-stationary: steps of the reduction at a time", low=1, high=256)
    dataflow: str = param("output-stationary", "what stays in the array", choices=golden.DATAFLOWS)
    partials: int = param(64, "weight-stationary: rows of results of a reduction longer than `rows`", low=2, high=65536)
    target: str = target_param()
    pipeline: str = pipeline_param()

    def __post_init__(self):
        super().__post_init__()
        if self.weight_stationary and self.rows % self.operands[0].steps:
            raise ValueError(f"rows must be even for weight-stationary pairs, not {self.rows}")
        if self.weight_stationary and self.free_running:
            raise ValueError("pipeline must be auto or stalling for weight-stationary, not free-running")

    @property
    def a_shape(self):
        """An activation inside the array."""
        return operand_shape(self.operands[0])

    @property
    def w_shape(self):
        """A weight inside the array."""
        return operand_shape(self.operands[1])

    @property
    def a_layout(self):
        """Payload of the stream `a`.

        Output-stationary: `lanes`, one operand or packed pair a row, row 0 lowest; `last`, the end of the reduction.
        Weight-stationary: `lanes`, the operands or packed pairs of `rows` steps, the first step lowest; `last` row of
        results. A packed pair has the value of its first step in the low half.
        """
        steps = self.operands[0].steps if self.weight_stationary else 1
        return _edge_layout(self.operands[0], self.rows // steps)

    @property
    def w_layout(self):
        """Payload of the stream `w`: `lanes`, one operand or packed pair a column; `last`, the end of the reduction.

        Column 0 is lowest. A packed pair has the value of its first step in the low half.
        """
        return _edge_layout(self.operands[1], self.cols)


def _edge_layout(operand, lanes):
    lane = operand.lane_bits if operand.pairs else signed(operand.bits)
    return data.StructLayout({"lanes": data.ArrayLayout(lane, lanes), "last": 1})


class SystolicTile(wiring.Component):
    """Systolic array with its edges.

    Output-stationary: a step is one activation for each row and one weight for each column; a transfer on `a` and `w`
    is one step, or two where the operands are packed pairs. The two streams advance together; `last` on either ends
    the reduction, and the next one may begin in the next cycle. Results come one row a transfer, row 0 first. A
    reduction that would end fewer than `rows` steps after the one before it waits until the drain is free. `a.ready`
    depends on `w.valid` and on `last` where either side offers it, and the other way round.

    Weight-stationary: a transfer on `w` is one step, or two, of one weight for each column; `last` ends the reduction.
    A transfer on `a` is one row of results: its activations of one block of `rows` steps; `last` marks the last row.
    The blocks of a reduction come one after the other, the last of them with as many steps as are left: activations
    beyond these count as zeros. All have the same number of rows, any if there is one block, else at most
    `config.partials`; what comes of others is undefined until reset. Results come one row a transfer, in the order of
    the activations. A block's activations wait for its last weight, its weights for the first activations of the block
    before it, and a partial sum can go in again `rows + 2` cycles after it began: nothing idles between blocks of
    `rows + 2` rows of results, nor between reductions of one block with `rows` of them. `w.ready` depends on `a.valid`
    for plain integers.

    A blocked output freezes the array, or where this is free-running, makes the next reductions wait before they end;
    missing operands leave the multipliers idle. Latency as `golden.systolic.tile.latency`; one transfer per cycle, one
    per two cycles for packed pairs whose values go in one after the other. No combinational path from `o.ready` to
    `a.ready` or `w.ready`.

    Parameters
    ----------
    config : SystolicConfig

    Attributes
    ----------
    a : in stream of `config.a_layout`
        Activations. Output-stationary: of one step of the reduction a transfer, for packed pairs of two, in the order
        of the steps. Weight-stationary: of `rows` steps and one row of results a transfer; all rows of results of the
        first `rows` steps, then of the next ones.
    w : in stream of `config.w_layout`
        Weights of one step of the reduction a transfer, for packed pairs of two, in the order of the steps.
    o : out stream of `config.o_layout`
        Results, one row a transfer: row 0 first, or weight-stationary in the order of the activations. Equal to
        `golden.systolic.tile.matmul`.
    illegal : out 1
        Only for packed pairs: high from the first illegal pair on, until reset.
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "a": In(stream.Signature(config.a_layout)),
            "w": In(stream.Signature(config.w_layout)),
            "o": Out(stream.Signature(config.o_layout)),
        }
        if config.operands[0].pairs:
            ports["illegal"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        feeds = (IntegerWeightFeed, PairWeightFeed) if config.weight_stationary else (IntegerFeed, PairFeed)
        feed = feeds[bool(config.operands[0].pairs)](config)
        if config.weight_stationary:
            assemble(m, self, feed, WeightBlock, weight_stationary)
        else:
            assemble(m, self, feed, OutputBlock, output_stationary)
        return m


def assemble(m, tile, feed, kind, sequence):
    """Put a tile together: its streams `a` and `w`, the feed, the array with its control, the stream `o`.

    Parameters
    ----------
    m : Module
        Of the tile.
    tile : wiring.Component
        With the three streams, a `config` and, for packed pairs, `illegal`.
    feed : systolic_feed.Feed
        Operands of the array from the streams.
    kind : type
        Class of the array's blocks.
    sequence : callable
        Of `systolic_sequence`.
    """
    config = tile.config
    m.submodules.feed = feed
    connect(m, flipped(tile.a), feed.a)
    connect(m, flipped(tile.w), feed.w)
    if config.operands[0].pairs:
        m.d.comb += tile.illegal.eq(feed.illegal)

    m.submodules.array = Replica(array := SystolicArray(config, kind))
    valid, last = sequence(m, config, feed, array)
    row = Signal(config.o_layout)
    results = [settled(moving, config) if config.weight_stationary else moving for moving in array.drain]
    m.d.comb += [row.sums.eq(Cat(result["sum"] for result in results)), row.last.eq(last)]
    if config.overflow:
        m.d.comb += row.overflow.eq(Cat(result["overflow"] for result in results))
    en = (_queued if config.free_running else _stalling)(m, tile.o, feed, valid, row)
    m.d.comb += [feed.en.eq(en), array.en.eq(en), array.w.eq(feed.weights)]


def _stalling(m, o, feed, valid, row):
    """Rows of results to the output; the array advances while the output's spare register can take one."""
    m.submodules.egress = Replica(egress := Stage(row.shape()))
    connect(m, egress.o, flipped(o))
    m.d.comb += [egress.i.valid.eq(valid), egress.i.payload.eq(row)]
    return egress.i.ready


def _queued(m, o, feed, valid, row):
    """Rows of results to a queue; the array always advances, as no reduction ends before there is room for its rows."""
    config = feed.config
    depth = golden.latency(config) + config.rows + _QUEUE
    m.submodules.results = results = CreditQueue(row.shape(), depth, batch=config.rows)
    connect(m, results.o, flipped(o))
    m.d.comb += [
        feed.room.eq(results.room),
        results.begin.eq(feed.last),
        results.valid.eq(valid),
        results.payload.eq(row),
    ]
    return Const(1)
