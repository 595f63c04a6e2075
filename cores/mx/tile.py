"""The MX tile: rows x cols dot products of MX or NVFP4 blocks, with FP32 sums.

The elements are those of the OCP Microscaling Formats (MX v1.0) and of NVFP4, and so is the FP32 sum of blocks (6.2
there). Sizes, dataflow, the order of the sum, and what comes of numbers beyond FP32 are our choice.
"""

from dataclasses import dataclass
from functools import partial

from amaranth import signed
from amaranth.lib import data

from ...golden.mx import tile as golden
from ...golden.mx.formats import FORMATS
from ...hdl.floating.formats import FP32
from ...hdl.reduction.tile import ReductionTile
from ..config import Config, param
from .pe import DotProduct, decode, operand_layout
from .scaler import Scaler

__all__ = ["MxTile", "MxTileConfig"]


@dataclass(frozen=True)
class MxTileConfig(Config):
    """Parameters of `MxTile`.

    Raises
    ------
    ValueError
        Also if `lanes` does not divide the block, `share` not the rows, or `adder` is more than there is time for.
    """

    format: str = param("mxfp4", "elements and their scales", choices=tuple(FORMATS))
    rows: int = param(4, "tokens", low=1, high=64)
    cols: int = param(4, "output channels", low=1, high=64)
    lanes: int = param(16, "elements of a block in a transfer, a divisor of the block of 32, nvfp4: 16", low=1, high=32)
    share: int = param(
        None,
        "rows that share a floating-point unit, a divisor of the rows; none: as many as it serves at full rate",
        low=1,
        high=64,
        optional=True,
    )
    adder: int = param(
        None, "cycles of an FP32 addition; none: up to 3 that blocks need not wait for", low=1, high=5, optional=True
    )
    dot: int = param(1, "cycles of a dot product: 1, full adders, for cells; 2, carry chains, for FPGAs", low=1, high=2)

    def __post_init__(self):
        super().__post_init__()
        if self.fmt.block % self.lanes:
            raise ValueError(f"lanes must divide the block of {self.fmt.block}, not be {self.lanes}")
        if self.rows % self.unit_lanes:
            raise ValueError(f"share must divide the {self.rows} rows, not be {self.share}")
        if self.immediate and self.adder not in (None, 1):
            raise ValueError(
                f"adder must be 1 or none where each transfer is a block of {self.lanes} lanes and no unit is shared, "
                f"not {self.adder}"
            )

    @property
    def fmt(self):
        """The format, of `golden.mx.FORMATS`."""
        return FORMATS[self.format]

    @property
    def steps(self):
        """Transfers of a block."""
        return self.fmt.block // self.lanes

    @property
    def unit_lanes(self):
        """Rows that share a floating-point unit."""
        if self.share is not None:
            return self.share
        return max(lanes for lanes in range(1, self.steps + 1) if self.rows % lanes == 0)

    @property
    def adder_cycles(self):
        """Cycles of an FP32 addition."""
        return self.adder if self.adder is not None else max(1, min(3, self.steps - 1))

    @property
    def immediate(self):
        """Whether a block is one transfer, and each row has a unit for itself."""
        return self.steps == 1 and self.unit_lanes == 1

    @property
    def units(self):
        """Floating-point units of a column."""
        return self.rows // self.unit_lanes

    @property
    def schedule(self):
        """Of the units, with operands and dot products in front of them, and the drain of immediate ones behind."""
        return golden.schedule(self)

    @property
    def shift_width(self):
        """Parts of a block have no shifts."""
        return 0

    @property
    def scale_width(self):
        """Bits of a scale's code."""
        return 8

    @property
    def dot_shape(self):
        """The dot product of a transfer."""
        return signed(golden.dot_bits(self.fmt.element, self.lanes))

    @property
    def integer_shape(self):
        """What is scaled: the dot product of a block."""
        return signed(golden.accumulator_bits(self.fmt))

    @property
    def o_rows(self):
        """Rows of results in a transfer."""
        return self.rows // self.schedule.results

    @property
    def group_layout(self):
        """A part of a block: `codes` of `lanes` elements, the first one lowest; `scale`, that of the block."""
        codes = data.ArrayLayout(self.fmt.element.bits, self.lanes)
        return data.StructLayout({"codes": codes, "scale": self.scale_width})

    @property
    def x_layout(self):
        """Payload of the stream `x`: `groups`, a part of a block a row; `last`, the end of the reduction.

        Row 0 is lowest; in a group `codes`, the first one lowest, and `scale`, E8M0 or E4M3, that of its block.
        """
        return data.StructLayout({"groups": data.ArrayLayout(self.group_layout, self.rows), "last": 1})

    @property
    def w_layout(self):
        """Payload of the stream `w`: `groups`, a part of a block a column; `last`, the end of the reduction.

        Column 0 is lowest; in a group `codes`, the first one lowest, and `scale`, as on `x`.
        """
        return data.StructLayout({"groups": data.ArrayLayout(self.group_layout, self.cols), "last": 1})

    @property
    def o_layout(self):
        """Payload of the stream `o`: `values`, FP32 codes of some rows' results; `last` ones of the reduction.

        The first row is lowest, in a row column 0.
        """
        row = data.ArrayLayout(FP32.width, self.cols)
        return data.StructLayout({"values": data.ArrayLayout(row, self.o_rows), "last": 1})


class MxTile(ReductionTile):
    """Matrix products of activations and weights in MX or NVFP4 blocks.

    A transfer on `x` and `w` is `lanes` elements of a block of each row and column. The two streams advance together;
    `last` on either ends the reduction, and its block, however few elements that has: the others count as zeros. The
    next reduction may begin in the next cycle. Scales count in the last transfer of each block.

    For each block, in their order: the dot product of its elements, exact, times both scales, is rounded to FP32 and
    added to the sum of its reduction, which is rounded to FP32, ties to even. What is below 2**-126 becomes +0, what is
    beyond FP32 infinity, and infinity less infinity NaN. A scale that is NaN, 255 for E8M0 and 127 for E4M3, makes the
    result NaN, 0x7FC00000. Results are those of `golden.mx.matmul` with tensor scales of 1: those of NVFP4 are still to
    be multiplied with the product of both tensors' scales, once for each result, by who takes them.

    Results come `units` rows a transfer, row 0 first, in `share` transfers; one row a transfer where a block is one
    transfer and no unit is shared.

    One transfer a cycle, also between blocks and between reductions. A block that would end fewer than `share` cycles
    after the one before it, or fewer than an addition takes and one, waits; so does a reduction of fewer than `rows`
    transfers where a block is one transfer and no unit is shared. A blocked output freezes the tile. Latency as
    `config.schedule.latency`. `x.ready` depends on `w.valid` and on `last` where either side offers it, and the other
    way round; there is no combinational path from `o.ready` to either.

    All codes are legal; -128 of mxint8 is -2. The highest bit of an E4M3 scale is ignored.

    Parameters
    ----------
    config : MxTileConfig

    Attributes
    ----------
    x : in stream of `config.x_layout`
        Activations, `lanes` elements of all rows a transfer, in their order along the reduction.
    w : in stream of `config.w_layout`
        Weights, `lanes` elements of all columns a transfer, in their order along the reduction.
    o : out stream of `config.o_layout`
        Results, rows that follow each other a transfer, row 0 in the first one.
    """

    def __init__(self, config):
        element = config.fmt.element
        operands = data.ArrayLayout(operand_layout(element), config.lanes)
        super().__init__(config, operands, partial(decode, element), DotProduct, Scaler)
