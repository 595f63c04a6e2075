"""What the Anda cores have in common: bit planes and values as payloads, mantissa lengths, the largest exponent."""

from dataclasses import dataclass

from amaranth import Const, Mux, Signal, Value
from amaranth.lib import data

from ...golden.anda import planes as golden
from ..config import Config, param

__all__ = ["EXPONENT", "AndaPlanesConfig", "clamped", "largest", "mantissa_bits", "planes_layout"]

#: Bits of an exponent.
EXPONENT = 5


def planes_layout(lanes, group):
    """Payload of a stream of bit planes: one mantissa plane of one group of each lane a transfer.

    Fields, lane 0 lowest in each: `plane`, one bit a value, those of the most significant bits first; `signs` and
    `exponents` of the groups, which stay the same for all planes of a set; `first` and `last` plane of the set.

    Parameters
    ----------
    lanes : int
        Groups side by side.
    group : int
        Values in a group.
    """
    return data.StructLayout(
        {
            "plane": data.ArrayLayout(group, lanes),
            "signs": data.ArrayLayout(group, lanes),
            "exponents": data.ArrayLayout(EXPONENT, lanes),
            "first": 1,
            "last": 1,
        }
    )


@dataclass(frozen=True)
class AndaPlanesConfig(Config):
    """Parameters of the cores between FP16 values and bit planes."""

    lanes: int = param(4, "groups side by side; 16 in the paper's compressor", low=1, high=64)
    group: int = param(64, "values that share an exponent; 64 in the paper", choices=(16, 32, 64))
    width: int = param(16, "FP16 values per transfer, a divisor of the group; 64 in the paper", low=1, high=64)
    max_mantissa: int = param(
        golden.MAX_MANTISSA, "longest mantissa in bits, the leading one counted", low=1, high=golden.MAX_MANTISSA
    )

    def __post_init__(self):
        super().__post_init__()
        if self.group % self.width:
            raise ValueError(f"width must divide the group of {self.group}, not be {self.width}")

    @property
    def load(self):
        """Transfers of values that fill, or empty, all lanes."""
        return self.lanes * self.group // self.width

    @property
    def value_layout(self):
        """Payload of the stream of values: `values`, FP16 codes, the first one lowest; `last` ones of the set."""
        return data.StructLayout({"values": data.ArrayLayout(16, self.width), "last": 1})

    @property
    def planes_layout(self):
        """Payload of a stream of bit planes, lane 0 lowest in each field.

        Fields: `plane`, one bit for each value of a lane's group, value 0 in bit 0; `signs` of the groups, likewise,
        and their `exponents`, which stay the same for all planes of a set; `first` and `last` plane of the set.
        """
        return planes_layout(self.lanes, self.group)


def mantissa_bits(longest=golden.MAX_MANTISSA):
    """Bits of a mantissa length up to `longest`."""
    return longest.bit_length()


def clamped(length, longest):
    """The legal mantissa length, 1 to `longest`, that is nearest to a value."""
    length = Value.cast(length)
    high = Mux(length > longest, longest, length) if longest + 1 < 1 << len(length) else length
    return Mux(length == 0, 1, high)[: mantissa_bits(longest)]


def largest(m, values, name):
    """Largest of some unsigned values: a tree of compares, each level in signals of its own.

    Parameters
    ----------
    m : Module
        Takes the statements.
    values : list of Value
        Of equal widths.
    name : str
        Begins the names of the signals.
    """
    level = 0
    while len(values) > 1:
        winners = []
        for index in range(0, len(values) - 1, 2):
            winner = Signal(len(values[index]), name=f"{name}_{level}_{index // 2}")
            a, b = values[index : index + 2]
            m.d.comb += winner.eq(Mux(a > b, a, b))
            winners.append(winner)
        values = winners + values[len(values) // 2 * 2 :]
        level += 1
    return values[0] if values else Const(0, EXPONENT)
