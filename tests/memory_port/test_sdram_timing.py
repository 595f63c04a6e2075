"""Times of data sheets in cycles, and what is refused."""

import math
from dataclasses import fields, replace
from fractions import Fraction

import pytest

from bitloom.hdl.memory_port.sdram.timing import ULX3S, Duration, SdramTiming

TIMES = [field.name for field in fields(SdramTiming) if field.type is Duration and field.name != "t_refi"]


def test_at_100_mhz():
    counted = {name: ULX3S.cycles(name) for name in TIMES}
    assert counted == {
        "t_rcd": 3,
        "t_rp": 3,
        "t_ras": 5,
        "t_rc": 7,
        "t_wr": 2,
        "t_rrd": 2,
        "t_rfc": 7,
        "t_mrd": 2,
        "power_up": 20_000,
    }
    assert ULX3S.refresh_interval == 780
    assert ULX3S.bits == 8 * 32 << 20


@pytest.mark.parametrize("clock", [1, 16.5, 33.3, 50, 66.6, 90, 99.9])
def test_waits_are_never_shorter_and_less_than_a_cycle_longer(clock):
    timing, cycle = replace(ULX3S, clock=clock), 1000 / Fraction(str(clock))
    for name in TIMES:
        wanted = getattr(timing, name)
        shortest = max(1, wanted.cycles, Fraction(str(wanted.ns)) / cycle)
        assert shortest <= timing.cycles(name) < shortest + 1
    assert timing.refresh_interval == math.floor(7800 / cycle)


def test_8192_refreshes_take_less_than_64_ms_with_the_longest_burst_before_each():
    assert (8192 * ULX3S.refresh_interval + 200) * 10 <= 64_000_000


@pytest.mark.parametrize(
    "change, message",
    [
        ({"columns": 12}, "columns must be a power of two from 8 to 1024, not 12"),
        ({"columns": 2048}, "columns must be a power of two from 8 to 1024, not 2048"),
        ({"rows": 1}, "rows must be a power of two from 2 to 8192, not 1"),
        ({"banks": 8}, "banks must be a power of two from 2 to 4, not 8"),
        ({"data_bits": 1.0}, "data_bits must be a power of two from 1 to 64, not 1.0"),
        ({"cas_latency": 1}, "cas_latency must be 2 or 3, not 1"),
        ({"clock": 101}, "clock must be above 0 and at most 100 MHz at a CAS latency of 2, not 101"),
        ({"clock": 0}, "clock must be above 0 and at most 100 MHz at a CAS latency of 2, not 0"),
        (
            {"clock": 134, "cas_latency": 3},
            "clock must be above 0 and at most 133.333 MHz at a CAS latency of 3, not 134",
        ),
        ({"first_refreshes": 0}, "first_refreshes must be 1 to 31, not 0"),
        ({"t_rp": Duration(ns=-1)}, r"t_rp must not be negative, not Duration\(ns=-1, cycles=0\)"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        replace(ULX3S, **change)
