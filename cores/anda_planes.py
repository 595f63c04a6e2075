"""What the Anda cores have in common: the payload of bit planes, mantissa lengths, and the largest exponent."""

from amaranth import Const, Mux, Signal, Value
from amaranth.lib import data

from ..golden import anda as golden

__all__ = ["EXPONENT", "clamped", "largest", "mantissa_bits", "planes_layout"]

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
