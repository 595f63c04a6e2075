"""A phase-locked loop (PLL): from a board's oscillator to another frequency.

Every family has the same loop inside: the input, divided, is compared with an oscillator of the part's own (VCO),
divided, which follows it; the output is the VCO, divided once more. What differs are the names of the dividers, which
values they take, and in which ranges the parts of the loop work. `ecp5_pll`, `gowin_pll` and `ice40_pll` say it.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth import ClockDomain, ClockSignal, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LOCK_CYCLES", "TOLERANCE", "Limits", "Pll", "Range", "Setting", "between", "megahertz"]

#: How far the output may be from the frequency that was asked for, as a part of that. Our choice.
TOLERANCE = Fraction(1, 100)

#: Cycles of its input after which the model of the simulator is locked. Our choice; real ones take up to 15 ms.
LOCK_CYCLES = 16

_MHZ = 10**6


@dataclass(frozen=True)
class Range:
    """Frequencies from `low` to `high`, in Hz, both among them."""

    low: Fraction
    high: Fraction

    def __contains__(self, hz):
        return self.low <= hz <= self.high

    @classmethod
    def mhz(cls, low, high):
        """From whole numbers or decimal texts, in MHz."""
        return cls(Fraction(low) * _MHZ, Fraction(high) * _MHZ)


@dataclass(frozen=True)
class Limits:
    """In which ranges the parts of a loop work.

    Attributes
    ----------
    source : str
        The vendor's document.
    input, detector, vco, output : Range
        Frequencies of the input, at the phase detector, of the VCO, and of the output.
    """

    source: str
    input: Range
    detector: Range
    vco: Range
    output: Range


@dataclass(frozen=True)
class Setting:
    """One legal setting of a PLL.

    Attributes
    ----------
    input_hz : Fraction
        Frequency that it is for.
    detector_hz, vco_hz, output_hz : Fraction
        Frequencies at the phase detector, of the VCO, and of the output, exactly.
    parameters : tuple of (str, int)
        Dividers and phases, under the names of the family's cell.
    late : Fraction or None
        Degrees that the second output is behind the first one; None where there is no second output.
    """

    input_hz: Fraction
    detector_hz: Fraction
    vco_hz: Fraction
    output_hz: Fraction
    parameters: tuple[tuple[str, int], ...]
    late: Fraction | None = None


def megahertz(hz):
    """A frequency as a text for people: MHz, to a Hz, without zeros at the end."""
    return f"{float(hz) / _MHZ:.6f}".rstrip("0").rstrip(".")


class Pll(wiring.Component):
    """A PLL. This class is the model for the simulator; the families' classes name their cells.

    In the simulator cycles count and not time: the outputs run with the input, the second one inverted when it is late
    by 90 degrees or more, and `locked` comes after `LOCK_CYCLES` cycles.

    Parameters
    ----------
    setting : Setting
        As from `choose`.
    pad : IOPort or None
        The oscillator's pin, in place of `i`, where the cell takes its input from its own pad.

    Attributes
    ----------
    i : in 1
        The oscillator.
    clk : out 1
        The clock that was asked for.
    late : out 1
        The same clock, later by `setting.late` degrees; only where that is not None.
    locked : out 1
        High while the outputs follow the input; asynchronous.
    """

    #: By nextpnr's name of a part; a family whose parts are all alike has one entry, None.
    limits: dict[str | None, Limits] = {}
    #: Whether the part has a reset of all its registers beside those of the clock domains.
    resets_globally = False

    def __init__(self, setting, pad=None):
        self.setting, self.pad = setting, pad
        second = {} if setting.late is None else {"late": Out(1)}
        super().__init__({"i": In(1), "clk": Out(1), "locked": Out(1), **second})

    @classmethod
    def limits_of(cls, device):
        """The `Limits` of a part, by nextpnr's name.

        Raises
        ------
        ValueError
            If they are not known.
        """
        try:
            return cls.limits[None if None in cls.limits else device]
        except KeyError:
            raise ValueError(f"no PLL is known for {device!r}: there are {', '.join(map(str, cls.limits))}") from None

    @classmethod
    @functools.cache
    def settings(cls, input_hz, device) -> tuple[Setting, ...]:
        """All legal settings for an input frequency, without a second output.

        Parameters
        ----------
        input_hz : Fraction
            Frequency of the oscillator.
        device : str
            What nextpnr calls the part.
        """
        limits = cls.limits_of(device)
        if input_hz not in limits.input:
            return ()
        return tuple(
            setting
            for setting in cls.dividers(input_hz, limits)
            if setting.detector_hz in limits.detector
            and setting.vco_hz in limits.vco
            and setting.output_hz in limits.output
        )

    @classmethod
    def dividers(cls, input_hz, limits) -> Iterator[Setting]:
        """Settings that the cell can hold; not all of them need be within the limits."""
        raise NotImplementedError

    @classmethod
    def shifted(cls, setting, late):
        """The same setting with a second output, `late` degrees behind or as near to it as the cell comes.

        Raises
        ------
        ValueError
            If the cell has no second output.
        """
        raise ValueError(f"{cls.__name__} has no second output")

    @classmethod
    def choose(cls, input_hz, wanted_hz, device, late=None):
        """The setting whose output is nearest to what is wanted.

        Of several, the one with the highest frequency at the phase detector, which has the least jitter; of these the
        one whose VCO is nearest to the middle of its range.

        Parameters
        ----------
        input_hz : int or Fraction
            Frequency of the oscillator.
        wanted_hz : int or Fraction
            Frequency that is asked for, above 0.
        device : str
            What nextpnr calls the part.
        late : int, Fraction or None
            Degrees that a second output is to be behind, 0 up to but not 360; None for no second output.

        Returns
        -------
        Setting

        Raises
        ------
        ValueError
            If none is within `TOLERANCE`; the message has the nearest frequencies below and above. If the family has
            no second output.
        """
        if late is not None and not 0 <= late < 360:
            raise ValueError(f"late must be 0 up to but not 360 degrees, not {late}")
        input_hz, wanted_hz = Fraction(input_hz), Fraction(wanted_hz)
        middle = (cls.limits_of(device).vco.low + cls.limits_of(device).vco.high) / 2
        settings = cls.settings(input_hz, device)
        if not settings:
            raise ValueError(f"a PLL of {device} takes no oscillator of {megahertz(input_hz)} MHz")
        best = min(settings, key=lambda s: (abs(s.output_hz - wanted_hz), -s.detector_hz, abs(s.vco_hz - middle)))
        if abs(best.output_hz - wanted_hz) > TOLERANCE * wanted_hz:
            raise ValueError(
                f"clock must be within {float(TOLERANCE):.0%} of what the PLL makes of {megahertz(input_hz)} MHz, "
                f"not {megahertz(wanted_hz)} MHz: {_nearest(settings, wanted_hz)}"
            )
        return best if late is None else cls.shifted(best, Fraction(late))

    @staticmethod
    def global_reset(clk, ready):
        """Instances that reset the whole part while `ready` is low, as `clk` sees it; only with `resets_globally`."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        m.domains.input = ClockDomain(local=True, reset_less=True)
        timer = Signal(range(LOCK_CYCLES + 1))
        with m.If(timer != LOCK_CYCLES):
            m.d.input += timer.eq(timer + 1)
        m.d.comb += [ClockSignal("input").eq(self.i), self.clk.eq(self.i), self.locked.eq(timer == LOCK_CYCLES)]
        if self.setting.late is not None:
            m.d.comb += self.late.eq(~self.i if self.setting.late >= 90 else self.i)
        return m


def _nearest(settings, wanted_hz):
    """In words, the nearest frequencies below and above."""
    outputs = {setting.output_hz for setting in settings}
    below = [hz for hz in outputs if hz < wanted_hz]
    above = [hz for hz in outputs if hz > wanted_hz]
    nearest = [megahertz(hz) for hz in ([max(below)] if below else []) + ([min(above)] if above else [])]
    return f"the nearest {'are' if len(nearest) > 1 else 'is'} {' and '.join(nearest)} MHz"


def between(low, high, first, last):
    """Whole numbers from `low` to `high`, as fractions, that are from `first` to `last`."""
    return range(max(math.ceil(low), first), min(math.floor(high), last) + 1)
