"""The configuration of the low-rank vector core, what a layer tells it, and what travels along its pipeline."""

from dataclasses import dataclass

from amaranth import Cat, signed, unsigned
from amaranth.lib import data

from ...golden.sevedo import lvc as golden
from ...hdl.floating.formats import FP16, FP32
from ..config import Config, param

__all__ = ["BASE", "DIGIT", "LvcConfig", "lowest_lanes"]

#: Bits of a digit: operands are in radix 16.
DIGIT = 4
#: A token's exponent, kx + 20: 0 to 29.
BASE = unsigned(5)

_COUNT = unsigned(16)  # of tokens and of outputs


@dataclass(frozen=True)
class LvcConfig(Config):
    """Parameters of `LowRankVectorCore`."""

    lanes: int = param(16, "input channels, or ranks, in a transfer", choices=(2, 4, 8, 16, 32))
    columns: int = param(4, "ranks, or outputs, that are computed at a time", choices=(2, 4, 8, 16))
    max_channels: int = param(4096, "most input channels of a layer, a power of two", low=2, high=1 << 16)
    max_rank: int = param(32, "highest rank of a layer", low=2, high=256)
    multiplier: str = param(
        "slices",
        "slices: four 5 x 5-bit digit products, twice for 16 bits; blocks: one 16 x 8-bit product for a DSP block",
        choices=("slices", "blocks"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.max_channels & (self.max_channels - 1) or self.max_channels < 2 * self.lanes:
            raise ValueError(
                f"max_channels must be a power of two from {2 * self.lanes} for {self.lanes} lanes, "
                f"not {self.max_channels}"
            )
        for name in ("lanes", "columns"):
            multiple = getattr(self, name)
            if self.max_rank % multiple:
                raise ValueError(f"max_rank must be a multiple of the {multiple} {name}, not {self.max_rank}")

    @property
    def sliced(self):
        """Whether 16-bit operands take two passes."""
        return self.multiplier == "slices"

    @property
    def operand_shape(self):
        """What a multiplier takes beside a weight: two digits and a sign, or all 16 bits."""
        return signed(2 * DIGIT + 1) if self.sliced else signed(16)

    @property
    def rank_layout(self):
        """A rank's second operand: `value`; `shift`, by how many pairs of places its products shift left, 0 to 4."""
        return data.StructLayout({"value": signed(16)} | ({"shift": unsigned(3)} if self.sliced else {}))

    @property
    def layer_layout(self):
        """Payload of the stream `layer`.

        Fields, the lowest first: `tokens`, how many follow; `channels` K, and `wide_channels`, how many of the first
        have 16 bits; `rank` r, and `wide_ranks`, likewise; `outputs` N; `shift`, places that the sum of every rank goes
        right; `gain`, the exponent of the outputs; `rank_shifts`, places that the sum of each of `max_rank` ranks goes
        further: `shift`, `gain` and `extra` of `golden.sevedo.lvc.LowRank`.
        """
        channels, rank = range(self.max_channels + 1), range(self.max_rank + 1)
        return data.StructLayout(
            {
                "tokens": _COUNT,
                "channels": channels,
                "wide_channels": channels,
                "rank": rank,
                "wide_ranks": rank,
                "outputs": _COUNT,
                "shift": range(golden.MAX_SHIFT + 1),
                "gain": signed(6),
                "rank_shifts": data.ArrayLayout(range(golden.MAX_EXTRA + 1), self.max_rank),
            }
        )

    @property
    def x_layout(self):
        """Payload of the stream `x`: FP16 codes of `lanes` channels, the first one lowest."""
        return data.ArrayLayout(FP16.width, self.lanes)

    @property
    def w_layout(self):
        """Payload of a stream of weights: for each column those of all lanes; column 0 and lane 0 are lowest."""
        return data.ArrayLayout(data.ArrayLayout(signed(8), self.lanes), self.columns)

    @property
    def o_layout(self):
        """Payload of the stream `o`: `value`, an FP32 code; `last` output of its token."""
        return data.StructLayout({"value": FP32.width, "last": 1})

    @property
    def slot_layout(self):
        """A cycle of the multipliers, as it is on its way to them.

        Fields: `second` product, of ranks, else of channels; `high` digits, of wide lanes only; `take` the
        weights, which only the first of two passes does not; `first` and `last` of a group of columns; `end`, of the
        last group; `wide`, so many first lanes are; `lanes`, so many count; `block` of ranks; `base` of the token.
        """
        lanes = range(self.lanes + 1)
        flags = dict.fromkeys(("second", "high", "take", "first", "last", "end"), 1)
        blocks = range(max(self.max_rank // self.lanes, 2))
        return data.StructLayout(flags | {"wide": lanes, "lanes": lanes, "block": blocks, "base": BASE})


def lowest_lanes(left, lanes):
    """How many of `lanes` lanes are among the first `left` ones: the lesser of both.

    Parameters
    ----------
    left : Value
        Unsigned.
    lanes : int
        A power of two.

    Returns
    -------
    Value
        Unsigned, in as many bits as 0 to `lanes` need.
    """
    bits = lanes.bit_length() - 1
    full = left[bits:].any()
    low = left[:bits] & (~full).replicate(bits)
    return Cat(low, full)
