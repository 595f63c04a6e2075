"""The HGQ tile (Hierarchical Group Quantization, SeVeDo 2025): rows x cols processing elements, INT4 by INT4.

Output-stationary: a row is a token, a column is an output channel. Every cycle each processing element takes a fine
group, whose dot product is shifted and added to its integer; `lanes` rows of a column share the floating-point unit
that each of them needs once in a coarse group. Results come in turn too, so they need no memory.

Beside it, at the same rate and with the same dot products, two baselines: `flat`, a scale for each fine group, for
which every processing element needs a floating-point unit of its own, and a register for its results; and `channel`,
plain INT4 with one scale for a row and one for a column. Sizes and dataflow are our choice.
"""

from dataclasses import dataclass

from amaranth.lib import data

from ...golden.sevedo import hgq_tile as golden
from ...hdl.floating.formats import FP32
from ...hdl.reduction.tile import ReductionTile
from ..config import param
from .hgq import fine_group
from .hgq_dequantizer import DequantizerConfig
from .hgq_pe import MAGNITUDE, DotProduct, magnitudes
from .hgq_scaler import Scaler

__all__ = ["HgqTile", "HgqTileConfig"]


@dataclass(frozen=True)
class HgqTileConfig(DequantizerConfig):
    """Parameters of `HgqTile`."""

    rows: int = param(4, "tokens", low=1, high=64)
    cols: int = param(4, "output channels", low=1, high=64)
    dot: int = param(1, "cycles of a dot product: 1, full adders, for cells; 2, carry chains, for FPGAs", low=1, high=2)

    def __post_init__(self):
        super().__post_init__()
        if self.rows % self.unit_lanes:
            raise ValueError(f"lanes must divide the {self.rows} rows, not be {self.lanes}")

    @property
    def most_lanes(self):
        """The largest divisor of the rows that a unit serves at full rate."""
        return max(lanes for lanes in range(1, self.groups + 1) if self.rows % lanes == 0)

    @property
    def drain(self):
        """Cycles in which the results of a reduction leave, where they come all at once."""
        return self.rows

    @property
    def units(self):
        """Floating-point units of a column."""
        return self.rows // self.unit_lanes

    @property
    def o_rows(self):
        """Rows of results in a transfer."""
        return self.rows // self.schedule.results

    @property
    def schedule(self):
        """Of the units, with operands and dot products in front of them, and the drain of `flat` behind."""
        return golden.schedule(self, edges=self.dot + (self.scheme == "flat"))

    @property
    def group_layout(self):
        """One fine group, as `hgq.fine_group`."""
        return fine_group(self.fine, self.shift_width)

    @property
    def x_layout(self):
        """Payload of the stream `x`: `groups`, a fine group a row; `last`, the end of the reduction.

        Row 0 is lowest; in a group `codes`, the first one lowest, `shift`, and `scale`, an FP16 code, that of its
        coarse group. An element is ``code * scale * 2**(shift - (2**shift_bits - 1))``.
        """
        return data.StructLayout({"groups": data.ArrayLayout(self.group_layout, self.rows), "last": 1})

    @property
    def w_layout(self):
        """Payload of the stream `w`: `groups`, a fine group a column; `last`, the end of the reduction.

        Column 0 is lowest; in a group `codes`, the first one lowest, `shift`, and `scale`, as on `x`.
        """
        return data.StructLayout({"groups": data.ArrayLayout(self.group_layout, self.cols), "last": 1})

    @property
    def o_layout(self):
        """Payload of the stream `o`: `values`, FP32 codes of some rows' results; `last` ones of the reduction.

        The first row is lowest, in a row column 0.
        """
        row = data.ArrayLayout(FP32.width, self.cols)
        return data.StructLayout({"values": data.ArrayLayout(row, self.o_rows), "last": 1})


class HgqTile(ReductionTile):
    """Matrix products of activations and weights in fine and coarse groups.

    A transfer on `x` and `w` is one fine group of each row and column. The two streams advance together; `last` on
    either ends the reduction, and its coarse group, however few fine groups that has: the others count as zeros. The
    next reduction may begin in the next cycle. Scales count in the last fine group of each coarse one, with `channel`
    in the last one of the reduction.

    Results come `units` rows a transfer, row 0 first, in `lanes` transfers; with `flat` one row a transfer.

    One transfer a cycle, also between coarse groups and between reductions. A coarse group that would end fewer than
    `lanes` cycles after the one before it, or fewer than an addition takes and one, waits; so does, with `channel`, a
    reduction of fewer than `lanes` transfers, and with `flat` one of fewer than `rows`. A blocked output freezes the
    tile. Latency as `config.schedule.latency`. `x.ready` depends on `w.valid` and on `last` where either side
    offers it, and the other way round; there is no combinational path from `o.ready` to either.

    Shifts up to ``2**shift_bits - 1``, scales positive and normal, codes from -7 to 7; what comes of others is
    undefined, up to the next reduction. `channel`: reductions of up to 342,392 steps.

    Parameters
    ----------
    config : HgqTileConfig

    Attributes
    ----------
    x : in stream of `config.x_layout`
        Activations, one fine group of all rows a transfer, in their order along the reduction.
    w : in stream of `config.w_layout`
        Weights, one fine group of all columns a transfer, in their order along the reduction.
    o : out stream of `config.o_layout`
        Results, rows that follow each other a transfer, row 0 in the first one. Equal to `golden.sevedo.hgq.matmul`.
    """

    def __init__(self, config):
        operands = data.ArrayLayout(MAGNITUDE, config.fine)
        super().__init__(config, operands, magnitudes, DotProduct, Scaler)
