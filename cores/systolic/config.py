"""What the configurations of all tiles with the systolic tile's processing elements share."""

from dataclasses import dataclass

from amaranth import signed
from amaranth.lib import data

from ...golden.systolic import tile as golden
from ...hdl.primitives import FAMILIES
from ..config import Config, param

__all__ = ["SidesConfig", "TileConfig", "pipeline_param", "target_param"]


def target_param():
    """The field `target`, which each kind of tile declares behind those of its own."""
    return param("generic", "FPGA family whose primitives are named; generic: none", choices=tuple(FAMILIES))


def pipeline_param():
    """The field `pipeline`, which each kind of tile declares as its last one."""
    doc = "whether a blocked output stalls the array; auto: free-running where the target is faster so"
    return param("auto", doc, choices=golden.PIPELINES)


@dataclass(frozen=True)
class SidesConfig(Config):
    """Size of an array of processing elements."""

    rows: int = param(8, "rows of results", low=1, high=256)
    cols: int = param(8, "columns of results, one weight each", low=1, high=256)


@dataclass(frozen=True)
class TileConfig(SidesConfig):
    """Size, formats and accumulators of an array. Each kind of tile adds `target`, fields of its own, and `pipeline`.

    Raises
    ------
    ValueError
        Also if the accumulator is too narrow for a product.
    """

    a_format: str = param("int8", "format of the activations", choices=tuple(golden.FORMATS))
    w_format: str = param("int8", "format of the weights", choices=tuple(golden.FORMATS))
    accumulator: int = param(32, "bits of an accumulator, at least those of a product", low=8, high=48)
    overflow: bool = param(True, "give a flag with each result whose running sum left the accumulator's range")
    block: int = param(4, "rows and columns of processing elements that share one operand register", low=1, high=16)

    #: What stays in the array; a field of `SystolicConfig` alone.
    dataflow = "output-stationary"

    def __post_init__(self):
        super().__post_init__()
        needed = golden.term_bits(self)
        if self.accumulator < needed:
            formats = f"{self.a_format} x {self.w_format}"
            raise ValueError(f"accumulator must be {needed} or more for {formats}, not {self.accumulator}")

    def shared(self):
        """Name to value of the fields that all tiles have."""
        return {name: getattr(self, name) for name in (*TileConfig.__dataclass_fields__, "target", "pipeline")}

    @property
    def weight_stationary(self):
        """Whether the weights stay in the array."""
        return self.dataflow == "weight-stationary"

    @property
    def free_running(self):
        """Whether no register of the array holds: a reduction waits for room for its results before it ends.

        Without enables the array is faster in an FPGA. It takes a register for each product, and a queue for the
        results.
        """
        return self.decided().get("pipeline", self.pipeline) == "free-running"

    def decided(self):
        """What `pipeline` is where it is `auto`."""
        if self.pipeline != "auto":
            return {}
        runs = self.family.free_running and not self.weight_stationary
        return {"pipeline": "free-running" if runs else "stalling"}

    @property
    def operands(self):
        """Formats of activations and weights, two `Operand`."""
        return golden.check_formats(self.a_format, self.w_format)

    @property
    def term_bits(self):
        """Bits of a product: what any two codes can give, wrapped to the accumulator.

        All that a DSP block has, where no register is between the block and the adder.
        """
        if self.family.product_bits and not self.operands[0].pairs and not self.free_running:
            return min(self.accumulator + self.overflow, self.family.product_bits)
        return min(golden.term_bits(self, legal=False), self.accumulator)

    @property
    def o_layout(self):
        """Payload of the stream `o`: `sums`, one a column; `overflow`, one flag a column, if any; `last` row.

        Column 0 is lowest in each.
        """
        fields = {"sums": data.ArrayLayout(signed(self.accumulator), self.cols)}
        if self.overflow:
            fields["overflow"] = data.ArrayLayout(1, self.cols)
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
