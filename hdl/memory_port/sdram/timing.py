"""What a controller must know of an SDRAM: its size, and the times between its commands."""

import math
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import NamedTuple

__all__ = ["ULX3S", "Duration", "SdramTiming"]


class Duration(NamedTuple):
    """A time as data sheets state it: nanoseconds, cycles of the clock, or the longer of both."""

    ns: float = 0
    cycles: int = 0

    def at(self, clock):
        """Whole cycles that are at least as long, at a clock of `clock` MHz."""
        return max(self.cycles, math.ceil(Fraction(str(self.ns)) * Fraction(str(clock)) / 1000))


#: Legal values: of sizes, powers of two in this range.
_SIZES = {"columns": (8, 1024), "rows": (2, 8192), "banks": (2, 4), "data_bits": (1, 64)}


@dataclass(frozen=True)
class SdramTiming:
    """Size and times of an SDRAM of single data rate, under the names of JEDEC's JESD21-C and of all data sheets.

    Parameters
    ----------
    clock : float
        MHz, above 0; not faster than `t_ck2` or `t_ck3` allows.
    columns, rows, banks, data_bits : int
        Powers of two: 8 to 1024 columns of a row, 2 to 8192 rows of a bank, 2 or 4 banks, 1 to 64 bits of a column.
    cas_latency : int
        Cycles from READ to its first column: 2 or 3.
    t_ck2, t_ck3 : float
        Shortest cycle of the clock in ns at a CAS latency of 2 and 3.
    t_rcd : Duration
        From ACTIVATE to READ or WRITE, as all others up to `t_rrd` in the same bank.
    t_rp : Duration
        From PRECHARGE to ACTIVATE, REFRESH or MODE REGISTER SET.
    t_ras : Duration
        From ACTIVATE to PRECHARGE.
    t_rc : Duration
        From ACTIVATE to ACTIVATE or REFRESH.
    t_wr : Duration
        From the last column written to PRECHARGE; also called tDPL and tRDL.
    t_rrd : Duration
        From ACTIVATE to ACTIVATE in another bank.
    t_rfc : Duration
        From REFRESH to ACTIVATE or REFRESH.
    t_mrd : Duration
        From MODE REGISTER SET to any command.
    t_refi : Duration
        From REFRESH to REFRESH, on average at most; the only one that is rounded down.
    power_up : Duration
        From a stable clock to the first command.
    first_refreshes : int
        REFRESH commands between `power_up` and MODE REGISTER SET, 1 to 31.

    Raises
    ------
    ValueError
        For a value out of range, with the value and what is allowed.
    """

    clock: float
    columns: int
    rows: int
    banks: int
    data_bits: int
    cas_latency: int
    t_ck2: float
    t_ck3: float
    t_rcd: Duration
    t_rp: Duration
    t_ras: Duration
    t_rc: Duration
    t_wr: Duration
    t_rrd: Duration
    t_rfc: Duration
    t_mrd: Duration
    t_refi: Duration
    power_up: Duration
    first_refreshes: int

    def __post_init__(self):
        for name, (low, high) in _SIZES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high or value & (value - 1):
                raise ValueError(f"{name} must be a power of two from {low} to {high}, not {value!r}")
        if self.cas_latency not in (2, 3):
            raise ValueError(f"cas_latency must be 2 or 3, not {self.cas_latency!r}")
        shortest = self.t_ck2 if self.cas_latency == 2 else self.t_ck3
        if not 0 < self.clock * shortest <= 1000:
            raise ValueError(
                f"clock must be above 0 and at most {1000 / shortest:g} MHz at a CAS latency of {self.cas_latency}, "
                f"not {self.clock:g}"
            )
        if not 1 <= self.first_refreshes <= 31:
            raise ValueError(f"first_refreshes must be 1 to 31, not {self.first_refreshes!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is Duration and (value.ns < 0 or value.cycles < 0):
                raise ValueError(f"{field.name} must not be negative, not {value}")

    def holding(self, bits):
        """The same with as many rows as so many bits take, 2 at least.

        Raises
        ------
        ValueError
            For more than 8,192 of them.
        """
        return replace(self, rows=max(2, bits * self.rows // self.bits))

    def cycles(self, name):
        """Cycles of the clock that a command must wait for, 1 or more; `name` is that of a field, as `t_rcd`."""
        return max(1, getattr(self, name).at(self.clock))

    @property
    def refresh_interval(self):
        """Cycles from one REFRESH to the next, rounded down."""
        return max(self.t_refi.cycles, math.floor(Fraction(str(self.t_refi.ns)) * Fraction(str(self.clock)) / 1000))

    @property
    def bits(self):
        """Size in bits."""
        return self.columns * self.rows * self.banks * self.data_bits


#: What the boards called ULX3S carry, by their maker's list (manual of github.com/emard/ulx3s, board versions):
#: MT48LC16M16A2, IS42S16160G-7, M12L2561616A-6 or AS4C32M16SB-7, each with 16 bits, 8192 rows and at least 512 columns.
#: No time is shorter than in the tables for AS4C32M16SB-7 (Alliance Memory, table 16: 21 ns for tRCD and tRP) and for
#: MT48LC16M16A2-75 (as LiteDRAM has it: 15 ns for tRRD and tWR, 44 for tRAS, 66 for tRFC). tRAS, tRC and tRFC are one
#: or two ns longer, tWR and tMRD are two cycles at least, and REFRESH comes 8 times at first, as others ask for that.
#: Only half of AS4C32M16SB-7 is used, 512 of its 1024 columns: no burst goes beyond the last of them.
ULX3S = SdramTiming(
    clock=100,
    columns=512,
    rows=8192,
    banks=4,
    data_bits=16,
    cas_latency=2,
    t_ck2=10,
    t_ck3=7.5,
    t_rcd=Duration(ns=21),
    t_rp=Duration(ns=21),
    t_ras=Duration(ns=45),
    t_rc=Duration(ns=67.5),
    t_wr=Duration(ns=15, cycles=2),
    t_rrd=Duration(ns=15),
    t_rfc=Duration(ns=67.5),
    t_mrd=Duration(ns=15, cycles=2),
    t_refi=Duration(ns=7800),
    power_up=Duration(ns=200_000),
    first_refreshes=8,
)
