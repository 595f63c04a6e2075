"""Lattice ECP5: the PLL, EHXPLLL.

CLKOP does nothing but close the loop, inside of the block: its divider is what multiplies, and the phase detector's
frequency is its own. So the VCO is any multiple of that, and the clock that leaves, CLKOS, any divisor of the VCO. With
CLKOP as the clock, as the vendor's tool has it, outputs would be multiples of the phase detector's frequency only.
"""

from fractions import Fraction

from amaranth import Const, Instance, Module, Signal

from ..simulated import simulated
from .pll import Limits, Pll, Range, Setting, between

__all__ = ["Ecp5Pll"]

_DIVIDERS = 1, 128  # CLKI_DIV and CLKOx_DIV (FPGA-TN-02200)
_LATEST = 127  # CLKOx_CPHASE
_EIGHTHS = 8  # steps of CLKOx_FPHASE in a cycle of the VCO

# Charge pump and loop filter, which no document gives in numbers: as ecppll of Project Trellis writes them.
_ANALOGUE = {"ICP_CURRENT": "12", "LPF_RESISTOR": "8", "MFG_ENABLE_FILTEROPAMP": "1", "MFG_GMCREF_SEL": "2"}


class Ecp5Pll(Pll):
    """`Pll` in an EHXPLLL of an ECP5, of any size and speed grade, with a second, late output where it is asked for.

    The second output has the divider of the first one and starts later: by whole cycles of the VCO, and by eighths.
    """

    resets_globally = True
    limits = {
        None: Limits(
            source="ECP5 and ECP5-5G Family Data Sheet, FPGA-DS-02012, sysCLOCK PLL Timing",
            input=Range.mhz(8, 400),
            detector=Range.mhz(10, 400),
            vco=Range.mhz(400, 800),
            output=Range.mhz("3.125", 400),
        )
    }

    @classmethod
    def dividers(cls, input_hz, limits):
        for divided in between(1, input_hz / limits.detector.low, *_DIVIDERS):
            detector = input_hz / divided
            for multiplied in between(limits.vco.low / detector, limits.vco.high / detector, *_DIVIDERS):
                vco = detector * multiplied
                for output in between(vco / limits.output.high, vco / limits.output.low, *_DIVIDERS):
                    parameters = {
                        "CLKI_DIV": divided,
                        "CLKFB_DIV": 1,
                        "CLKOP_DIV": multiplied,
                        "CLKOP_CPHASE": multiplied - 1,
                        "CLKOS_DIV": output,
                        # The counter's first edge comes after as many cycles as it counts: phase 0 (FPGA-TN-02200).
                        "CLKOS_CPHASE": output - 1,
                        "CLKOS_FPHASE": 0,
                    }
                    yield Setting(input_hz, detector, vco, vco / output, tuple(parameters.items()))

    @classmethod
    def shifted(cls, setting, late):
        parameters = dict(setting.parameters)
        divider = parameters["CLKOS_DIV"]
        eighths = round(late / 360 * divider * _EIGHTHS) % (divider * _EIGHTHS)
        start = divider - 1 + eighths // _EIGHTHS
        if start > _LATEST:
            most = 360 * (_LATEST - divider + 1) // divider
            raise ValueError(
                f"late must be {most} degrees or less where the VCO is divided by {divider}, not {float(late):g}"
            )
        parameters |= {
            "CLKOS2_DIV": divider,
            "CLKOS2_CPHASE": start,
            "CLKOS2_FPHASE": eighths % _EIGHTHS,
        }
        made = Fraction(360 * eighths, divider * _EIGHTHS)
        return Setting(
            setting.input_hz, setting.detector_hz, setting.vco_hz, setting.output_hz, tuple(parameters.items()), made
        )

    @staticmethod
    def global_reset(clk, ready):
        # As Amaranth's platform has it for the oscillator: cells without reset of their own are the faster ones.
        first, second = Signal(name="gsr_first"), Signal(name="gsr_second")
        return [
            Instance("FD1S3AX", p_GSR="DISABLED", i_CK=clk, i_D=ready, o_Q=first),
            Instance("FD1S3AX", p_GSR="DISABLED", i_CK=clk, i_D=first, o_Q=second),
            Instance("SGSR", i_CLK=clk, i_GSR=second),
        ]

    def elaborate(self, platform):
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        loop = Signal()
        ports = {f"i_{name}": Const(0) for name in _UNUSED}
        ports |= {"i_CLKI": self.i, "i_CLKFB": loop, "o_CLKINTFB": loop, "o_CLKOS": self.clk, "o_LOCK": self.locked}
        enabled = {"CLKOP": True, "CLKOS": True, "CLKOS2": self.setting.late is not None, "CLKOS3": False}
        if enabled["CLKOS2"]:
            ports["o_CLKOS2"] = self.late
        m.submodules.ehxplll = Instance(
            "EHXPLLL",
            p_FEEDBK_PATH="INT_OP",
            **{f"p_{output}_ENABLE": "ENABLED" if used else "DISABLED" for output, used in enabled.items()},
            **{f"p_{name}": value for name, value in self.setting.parameters},
            **{f"a_{name}": value for name, value in _ANALOGUE.items()},
            **ports,
        )
        return m


# Inputs that turn a phase, stop an output or reset the loop while it runs.
_UNUSED = (
    "RST",
    "STDBY",
    "PHASESEL0",
    "PHASESEL1",
    "PHASEDIR",
    "PHASESTEP",
    "PHASELOADREG",
    "PLLWAKESYNC",
    "ENCLKOP",
    "ENCLKOS",
    "ENCLKOS2",
    "ENCLKOS3",
)
