"""The systolic tile: rows x cols processing elements for many operand formats (OliVe, ISCA 2023, Section 4.4).

Output-stationary: each processing element keeps one result. Operands enter at two edges, every cycle one step of the
reduction, and move on by one block of processing elements a cycle; finished sums move down a drain, row by row, while
the next reduction runs. Nothing but the operands of a block is registered on the way, so blocks larger than 1 x 1 save
registers and skew where a multiplier has operand registers of its own.
"""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..golden import systolic as golden
from ..hdl.replicate import Replica
from ..hdl.stream import Stage
from .config import Config, param
from .processing_element import operand_shape
from .systolic_array import SystolicArray
from .systolic_feed import IntegerFeed, PairFeed

__all__ = ["SystolicConfig", "SystolicTile"]


@dataclass(frozen=True)
class SystolicConfig(Config):
    """Parameters of `SystolicTile`."""

    rows: int = param(8, "rows of results, one activation each", low=1, high=256)
    cols: int = param(8, "columns of results, one weight each", low=1, high=256)
    a_format: str = param("int8", "format of the activations", choices=tuple(golden.FORMATS))
    w_format: str = param("int8", "format of the weights", choices=tuple(golden.FORMATS))
    accumulator: int = param(32, "bits of an accumulator, at least those of a product", low=8, high=48)
    overflow: bool = param(True, "give a flag with each result whose running sum left the accumulator's range")
    block: int = param(4, "rows and columns of processing elements that share one operand register", low=1, high=16)
    target: str = param(
        "generic", "part whose primitives are named; generic: none", choices=("generic", "ecp5", "ice40")
    )

    def __post_init__(self):
        super().__post_init__()
        needed = golden.term_bits(self)
        if self.accumulator < needed:
            formats = f"{self.a_format} x {self.w_format}"
            raise ValueError(f"accumulator must be {needed} or more for {formats}, not {self.accumulator}")

    @property
    def operands(self):
        """Formats of activations and weights, two `Operand`."""
        return golden.check_formats(self.a_format, self.w_format)

    @property
    def a_shape(self):
        """An activation inside the array."""
        return operand_shape(self.operands[0])

    @property
    def w_shape(self):
        """A weight inside the array."""
        return operand_shape(self.operands[1])

    @property
    def term_bits(self):
        """Bits of a product: what any two codes can give, wrapped to the accumulator; all that a DSP block has."""
        if self.target == "ecp5" and not self.operands[0].pairs:
            return min(self.accumulator + self.overflow, 36)
        return min(golden.term_bits(self, legal=False), self.accumulator)

    @property
    def a_layout(self):
        """Payload of the stream `a`: `lanes`, one operand or packed pair a row; `last`, the end of the reduction."""
        return _edge_layout(self.operands[0], self.rows)

    @property
    def w_layout(self):
        """Payload of the stream `w`: `lanes`, one operand or packed pair a column; `last`."""
        return _edge_layout(self.operands[1], self.cols)

    @property
    def o_layout(self):
        """Payload of the stream `o`: `sums`, one a column; `overflow`, one flag a column, if any; `last` row."""
        fields = {"sums": data.ArrayLayout(signed(self.accumulator), self.cols)}
        if self.overflow:
            fields["overflow"] = self.cols
        return data.StructLayout(fields | {"last": 1})

    @property
    def row_blocks(self):
        """Rows of each block, top down."""
        return _blocks(self.rows, self.block)

    @property
    def col_blocks(self):
        """Columns of each block, left to right."""
        return _blocks(self.cols, self.block)


def _blocks(lanes, size):
    return [min(size, lanes - start) for start in range(0, lanes, size)]


def _edge_layout(operand, lanes):
    lane = operand.lane_bits if operand.pairs else signed(operand.bits)
    return data.StructLayout({"lanes": data.ArrayLayout(lane, lanes), "last": 1})


class SystolicTile(wiring.Component):
    """Output-stationary systolic array.

    A step is one activation for each row and one weight for each column; a transfer on `a` and `w` is one step, or two
    where the operands are packed pairs. The two streams advance together; `last` on either ends the reduction, and the
    next one may begin in the next cycle. Results come one row a transfer, row 0 first. A blocked output freezes the
    array; missing operands do not, they leave the multipliers idle. A reduction that would end fewer than `rows` steps
    after the one before it waits until the drain is free.

    Latency as `golden.systolic.latency`; one transfer per cycle, one per two cycles for packed pairs. `a.ready` depends
    on `w.valid` and on both payloads' `last`, and the other way round; no combinational path from `o.ready` to either.

    Parameters
    ----------
    config : SystolicConfig

    Attributes
    ----------
    a : in stream of `config.a_layout`
        Activations.
    w : in stream of `config.w_layout`
        Weights.
    o : out stream of `config.o_layout`
        Results, equal to `golden.systolic.matmul`.
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
        m.submodules.egress = Replica(egress := Stage(config.o_layout), config.o_layout)
        connect(m, egress.o, flipped(self.o))
        # The array advances while the output's spare register can take what is at the array's lower edge.
        en = egress.i.ready

        m.submodules.feed = feed = (PairFeed if config.operands[0].pairs else IntegerFeed)(config)
        connect(m, flipped(self.a), feed.a)
        connect(m, flipped(self.w), feed.w)
        m.d.comb += feed.en.eq(en)
        if config.operands[0].pairs:
            m.d.comb += self.illegal.eq(feed.illegal)

        blocks = len(config.row_blocks)
        latency = golden.term_latency(config)
        m.submodules.array = Replica(array := SystolicArray(config))
        keep = Signal(latency + blocks - 1, reset_less=True)
        ended = Signal(latency + blocks)
        moving = Signal(blocks)
        load = ended[latency:]
        # The drain moves from the cycle after the last row has loaded it; each row until it loads again.
        with m.If(en):
            m.d.sync += [
                keep.eq(Cat(~feed.first, keep)),
                ended.eq(Cat(feed.last, ended)),
                moving.eq(Mux(load[-1], ~0, moving & ~load)),
            ]
        for index, control in enumerate(array.control):
            m.d.comb += [
                control.keep.eq(keep[latency - 1 + index]),
                control.load.eq(load[index]),
                control.move.eq(load[index] | moving[index]),
            ]
        # The drain gives the lowest row first: row 0 of the operands enters there.
        lanes = Cat(feed.activations[lane] for lane in reversed(range(config.rows)))
        m.d.comb += [
            array.en.eq(en),
            array.a.as_value().eq(lanes),
            array.w.eq(feed.weights),
            egress.i.payload.sums.eq(Cat(result.sum for result in array.drain)),
        ]
        if config.overflow:
            m.d.comb += egress.i.payload.overflow.eq(Cat(result.overflow for result in array.drain))

        complete = Signal(len(config.col_blocks))
        with m.If(en):
            m.d.sync += complete.eq(Cat(load[-1], complete))
        remaining = Signal(range(config.rows + 1))
        m.d.comb += [egress.i.valid.eq(remaining != 0), egress.i.payload.last.eq(remaining == 1)]
        with m.If(en & complete[-1]):
            m.d.sync += remaining.eq(config.rows)
        with m.Elif(en & (remaining != 0)):
            m.d.sync += remaining.eq(remaining - 1)
        return m
