"""The clock of a design on a board: the oscillator itself, or another frequency from it through the part's PLL."""

import math
from dataclasses import dataclass
from fractions import Fraction

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from ...hdl.primitives import FAMILIES
from ...hdl.primitives.pll import Setting

__all__ = ["Clock", "PllDomain", "choose"]

#: Seconds that the reset lasts from the lock on, where the part has no global reset. Block RAM of an iCE40 reads as
#: zeros for 3 us after configuration; the margin is that of Amaranth's platform.
HOLD = 15e-6


@dataclass(frozen=True)
class Clock:
    """What a board's design runs with.

    Attributes
    ----------
    hz : int
        Its frequency, rounded.
    setting : Setting or None
        Of the PLL; None for the oscillator itself.
    """

    hz: int
    setting: Setting | None = None

    def to_dict(self):
        """What a bitstream's description says of the PLL, or nothing."""
        if self.setting is None:
            return {}
        late = {} if self.setting.late is None else {"late_degrees": float(self.setting.late)}
        told = {"vco_mhz": float(self.setting.vco_hz / 10**6), **late, **dict(self.setting.parameters)}
        return {"pll": {"oscillator_mhz": float(self.setting.input_hz / 10**6), **told}}


def choose(board, mhz=None, late=None):
    """A board's clock at the frequency that is asked for, or as near to it as its PLL comes.

    Parameters
    ----------
    board : Board
        One of `boards.BOARDS`.
    mhz : float or None
        MHz, above 0; None, or the frequency of the board's oscillator, takes the oscillator without a PLL.
    late : int or None
        Degrees by which a second clock is behind, 0 up to but not 360: then there is always a PLL. None for no other.

    Returns
    -------
    Clock

    Raises
    ------
    ValueError
        If the PLL makes nothing within `hdl.primitives.pll.TOLERANCE` of it; the message has the nearest frequencies.
        If the family's PLL has no second output.
    """
    if mhz is None:
        mhz = board.clock_hz / 1e6
    if not 0 < mhz < math.inf:
        raise ValueError(f"clock must be a number of MHz above 0, not {mhz}")
    # What was written, not what a float makes of it.
    hz = Fraction(str(mhz)) * 10**6
    if hz == board.clock_hz and late is None:
        return Clock(board.clock_hz)
    setting = FAMILIES[board.flow.family].pll.choose(board.clock_hz, hz, board.device, late)
    return Clock(round(setting.output_hz), setting)


class PllDomain(Elaboratable):
    """The clock domain `sync` of a board, from its oscillator through a PLL.

    The domain is in reset until the PLL is locked, and again when it loses its lock; where the part has no global
    reset, for `HOLD` seconds more.

    Parameters
    ----------
    board : Board
        The platform it is elaborated for must be the board's.
    setting : Setting
        As from `choose`.

    Attributes
    ----------
    domain : ClockDomain
        `sync`; who uses this component adds it to its own domains.
    late : ClockDomain or None
        `late`, likewise, without a reset: where the setting has a second output.
    """

    def __init__(self, board, setting):
        self.board, self.setting = board, setting
        self.kind = FAMILIES[board.flow.family].pll
        self.domain = ClockDomain("sync", reset_less=self.kind.resets_globally)
        self.late = None if setting.late is None else ClockDomain("late", reset_less=True)

    def elaborate(self, platform):
        m = Module()
        oscillator = platform.request(platform.default_clk, dir="-")
        if self.board.pll_pad:
            m.submodules.pll = pll = self.kind(self.setting, oscillator.io)
        else:
            m.submodules.oscillator = buffer = io.Buffer("i", oscillator)
            m.submodules.pll = pll = self.kind(self.setting)
            m.d.comb += pll.i.eq(buffer.i)
        platform.add_clock_constraint(pll.clk, float(self.setting.output_hz))

        m.d.comb += ClockSignal("sync").eq(pll.clk)
        if self.late is not None:
            platform.add_clock_constraint(pll.late, float(self.setting.output_hz))
            m.d.comb += ClockSignal("late").eq(pll.late)
        if self.domain.rst is None:
            m.submodules += self.kind.global_reset(pll.clk, pll.locked)
        else:
            self._hold(m, pll)
        return m

    def _hold(self, m, pll):
        """Drive the reset of `sync`."""
        m.domains.locked = ClockDomain(local=True)
        m.submodules.lock = ResetSynchronizer(~pll.locked, domain="locked")
        cycles = int(HOLD * self.setting.output_hz)
        timer, ready = Signal(range(cycles + 1)), Signal()
        with m.If(timer == cycles):
            m.d.locked += ready.eq(1)
        with m.Else():
            m.d.locked += timer.eq(timer + 1)
        m.d.comb += [ClockSignal("locked").eq(pll.clk), ResetSignal("sync").eq(~ready)]
