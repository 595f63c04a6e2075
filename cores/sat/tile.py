"""The N:M sparse tile: rows x cols unified processing elements for N:M sparse and dense weights (SAT/BDWP, TCAD 2023).

The systolic tile, output-stationary, in which a step is one slot of a group: an activation's place is taken by a group
of M, a weight's by a kept value and its index. A reduction of G groups takes G * N cycles on the same hardware, with N
set at run time; dense weights are N = M, their indices counted instead of stored. So 2:8 takes a quarter of the dense
cycles, and the multipliers are busy in every one of them.

The pattern is the paper's. The processing element, the streams and the schedule are our reconstruction, as the inside
of SAT's is not public; nothing here is a claim about it.
"""

from dataclasses import dataclass

from amaranth import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.sat import tile as golden
from ..config import param
from ..systolic.block import OutputBlock
from ..systolic.config import SidesConfig, TileConfig, pipeline_param, target_param
from ..systolic.sequence import output_stationary
from ..systolic.tile import SystolicConfig, assemble
from .feed import GroupFeed
from .pe import GroupTerms
from .slots import count_bits, slot_layout, slots_layout

__all__ = ["NmTile", "NmTileConfig"]


@dataclass(frozen=True)
class _GroupConfig(SidesConfig):
    """Of the fields of a tile, `group` stands behind the size."""

    group: int = param(8, "M, weights of which N are kept; 4: multiplexers of half the size", choices=golden.GROUPS)


@dataclass(frozen=True)
class NmTileConfig(TileConfig, _GroupConfig):
    """Parameters of `NmTile`."""

    rows: int = param(8, "rows of results, tokens", low=1, high=256)
    cols: int = param(8, "columns of results, output channels, one weight each", low=1, high=256)
    a_format: str = param("int8", "format of the activations", choices=("int8", "int4"))
    w_format: str = param("int8", "format of the weights", choices=("int8", "int4"))
    target: str = target_param()
    pipeline: str = pipeline_param()

    @property
    def dense(self):
        """The `SystolicConfig` of a dense tile of this size and these formats."""
        return SystolicConfig(**self.shared())

    @property
    def a_shape(self):
        """What a row passes on inside the array: a group of activations."""
        return data.ArrayLayout(signed(self.operands[0].bits), self.group)

    @property
    def w_shape(self):
        """What a column passes on inside the array: a weight and its index."""
        return slot_layout(self.operands[1].bits, self.group)

    @property
    def a_layout(self):
        """Payload of the stream `a`: `lanes`, a group of `group` activations a row; `last`, the reduction ends.

        Row 0 is lowest, in a row the group's activation 0.
        """
        return data.StructLayout({"lanes": data.ArrayLayout(self.a_shape, self.rows), "last": 1})

    @property
    def w_layout(self):
        """Payload of the stream `w`: `lanes`, a `value` and its `index` a column; `last`, the reduction ends.

        Column 0 is lowest; an index is the weight's place in its group, from 0.
        """
        return slots_layout(self.operands[1].bits, self.group, self.cols)


class GroupBlock(OutputBlock):
    """Each row's group of activations meets each column's weight, all of one slot."""

    _terms = GroupTerms


class NmTile(wiring.Component):
    """Systolic array of N:M processing elements, with its edges.

    A transfer on `a` is a group of M activations for each row. A transfer on `w` is a slot for each column: a weight
    and the index of its activation in the group. The N slots of a group, any indices in any order, go in with it one a
    cycle; the group is taken together with its last slot. With N = M, dense, the k-th slot meets activation k and
    `index` does not count. `last` with a group of activations ends the reduction with the group; `last` on `w` ends it
    with that slot, also within a group, of which then no more slots come. The next reduction may begin in the next
    cycle, with another N. Results come one row a transfer, row 0 first. A reduction that would end fewer than `rows`
    slots after the one before it waits until the drain is free.

    A blocked output freezes the array, or where this is free-running, makes the next reductions wait before they end;
    missing operands leave the multipliers idle. Latency as `golden.sat.tile.latency`; one transfer on `w` per cycle, on
    `a` every N cycles. `a.ready` depends on `w.valid`, `last` where either side offers it, and `slots`, and `w.ready`
    on `a.valid` and these. No combinational path from `o.ready` to either.

    Parameters
    ----------
    config : NmTileConfig

    Attributes
    ----------
    slots : in
        N of N:M, the slots of a group, 1 to M, taken with the group's first one. Of another number only the residue
        modulo M counts, and 0 is M (our choice).
    a : in stream of `config.a_layout`
        Activations, one group of all rows a transfer, in their order along the reduction.
    w : in stream of `config.w_layout`
        Weights, one slot of all columns a transfer, the N slots of a group together, groups in their order along the
        reduction: as the selector gives them.
    o : out stream of `config.o_layout`
        Results, one row a transfer, row 0 first. Equal to `golden.sat.tile.matmul`.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "slots": In(count_bits(config.group)),
                "a": In(stream.Signature(config.a_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        feed = GroupFeed(self.config)
        assemble(m, self, feed, GroupBlock, output_stationary)
        m.d.comb += feed.slots.eq(self.slots)
        return m
