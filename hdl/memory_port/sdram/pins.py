"""The pins of an SDRAM, its commands, and its mode register."""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ALL_BANKS", "Command", "SdramPins", "mode", "pins_of_address"]

#: The address pin that makes PRECHARGE one of all banks, and READ and WRITE precharge by themselves.
ALL_BANKS = 10


class Command(enum.Enum, shape=3):
    """Levels of RAS#, CAS# and WE#, from the highest bit down, while CS# is low (JESD21-C 3.11.5)."""

    MODE_REGISTER_SET = 0b000
    REFRESH = 0b001
    PRECHARGE = 0b010
    ACTIVATE = 0b011
    WRITE = 0b100
    READ = 0b101
    BURST_TERMINATE = 0b110
    NOP = 0b111


def pins_of_address(timing):
    """Number of address pins: for a row, and never without `ALL_BANKS`."""
    return max((timing.rows - 1).bit_length(), ALL_BANKS + 1)


def mode(timing):
    """What a controller writes into the mode register: full pages, sequential, writes of one column, CAS latency."""
    return 1 << 9 | timing.cas_latency << 4 | 0b111


class SdramPins(wiring.Signature):
    """Pins of an SDRAM as its controller sees them; levels are those of the pins, so `cs_n` low is active.

    Parameters
    ----------
    timing : SdramTiming
        Decides how many there are.

    Attributes
    ----------
    cke, cs_n, ras_n, cas_n, we_n : out 1
    ba : out
        Bank.
    a : out
        Row, column or mode.
    dqm : out
        High masks a byte; one bit for each byte begun. High from reset on.
    dq : signature of `o`, out, `oe`, out 1, and `i`, in
        Data pins: what to drive, whether to, and what they have.
    """

    def __init__(self, timing):
        self.timing = timing
        dq = wiring.Signature({"o": Out(timing.data_bits), "oe": Out(1), "i": In(timing.data_bits)})
        one = dict.fromkeys(("cke", "cs_n", "ras_n", "cas_n", "we_n"), Out(1))
        wide = {
            "ba": Out(range(timing.banks)),
            "a": Out(pins_of_address(timing)),
            "dqm": Out(masks := -(-timing.data_bits // 8), init=(1 << masks) - 1),
            "dq": Out(dq),
        }
        super().__init__(one | wide)
