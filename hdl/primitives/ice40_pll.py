"""Lattice iCE40: the PLL, SB_PLL40_PAD where the oscillator is at the PLL's own pad, else SB_PLL40_CORE."""

from amaranth import Const, Instance, Module

from ..simulated import simulated
from .pll import Limits, Pll, Range, Setting

__all__ = ["Ice40Pll"]

# Feedback without the output's divider (SIMPLE): the VCO is the detector's frequency times DIVF + 1, the output the VCO
# divided by 2 ** DIVQ (iCE40 sysCLOCK PLL Design and Usage Guide, FPGA-TN-02052).
_DIVR, _DIVF, _DIVQ = range(16), range(128), range(1, 7)
_WIDTHS = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}

# Lowest frequencies at the phase detector, in MHz, for FILTER_RANGE 2 to 6; below the first it is 1. As in icepll.
_FILTERS = (17, 26, 44, 66, 101)


class Ice40Pll(Pll):
    """`Pll` in the PLL of an iCE40 LP, HX or UP. The clock goes to a global net."""

    limits = {
        None: Limits(
            source="iCE40 UltraPlus Family Data Sheet, FPGA-DS-02008, sysCLOCK PLL Timing (LP and HX, FPGA-DS-02029, "
            "have the same)",
            input=Range.mhz(10, 133),
            detector=Range.mhz(10, 133),
            vco=Range.mhz(533, 1066),
            output=Range.mhz(16, 275),
        )
    }

    @classmethod
    def dividers(cls, input_hz, limits):
        for divr in _DIVR:
            detector = input_hz / (divr + 1)
            for divf in _DIVF:
                vco = detector * (divf + 1)
                for divq in _DIVQ:
                    parameters = {"DIVR": divr, "DIVF": divf, "DIVQ": divq, "FILTER_RANGE": _filter(detector)}
                    yield Setting(input_hz, detector, vco, vco / 2**divq, tuple(parameters.items()))

    def elaborate(self, platform):
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        m.submodules.pll = Instance(
            "SB_PLL40_CORE" if self.pad is None else "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_PLLOUT_SELECT="GENCLK",
            **{f"p_{name}": Const(value, _WIDTHS[name]) for name, value in self.setting.parameters},
            **({"i_REFERENCECLK": self.i} if self.pad is None else {"i_PACKAGEPIN": self.pad}),
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=self.clk,
            o_LOCK=self.locked,
        )
        return m


def _filter(detector_hz):
    return 1 + sum(detector_hz >= limit * 10**6 for limit in _FILTERS)
