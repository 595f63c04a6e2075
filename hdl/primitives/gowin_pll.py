"""Gowin GW1N and GW2A: the PLL, rPLL.

The loop is closed behind the output's divider: the output is the input times FBDIV_SEL + 1, divided by IDIV_SEL + 1,
and the VCO is ODIV_SEL times as fast (Gowin Clock User Guide, UG286).
"""

from amaranth import Const, Instance, Module

from ..simulated import simulated
from .pll import Limits, Pll, Range, Setting, between, megahertz

__all__ = ["GowinPll"]

_IDIV, _FBDIV = (1, 64), (1, 64)
_ODIV = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


class GowinPll(Pll):
    """`Pll` in an rPLL of a Gowin part."""

    limits = {
        "GW1N-9C": Limits(
            source="GW1NR series of FPGA Products Data Sheet, DS117, PLL Switching Characteristic, GW1NR-9 C6/I5",
            input=Range.mhz(3, 400),
            detector=Range.mhz(3, 400),
            vco=Range.mhz(400, 1200),
            output=Range.mhz("3.125", 600),
        ),
        "GW2A-18C": Limits(
            source="GW2AR series of FPGA Products Data Sheet, DS226, PLL Switching Characteristic, C8/I7",
            input=Range.mhz(3, 500),
            detector=Range.mhz(3, 500),
            vco=Range.mhz(500, 1250),
            output=Range.mhz("3.90625", 625),
        ),
    }

    @classmethod
    def dividers(cls, input_hz, limits):
        for divided in between(1, input_hz / limits.detector.low, *_IDIV):
            detector = input_hz / divided
            for multiplied in between(1, limits.output.high / detector, *_FBDIV):
                output = detector * multiplied
                for odiv in _ODIV:
                    parameters = {"IDIV_SEL": divided - 1, "FBDIV_SEL": multiplied - 1, "ODIV_SEL": odiv}
                    yield Setting(input_hz, detector, output * odiv, output, tuple(parameters.items()))

    def elaborate(self, platform):
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        m.submodules.rpll = Instance(
            "rPLL",
            p_FCLKIN=megahertz(self.setting.input_hz),
            p_CLKFB_SEL="internal",
            **{f"p_DYN_{name}": "false" for name in ("IDIV_SEL", "FBDIV_SEL", "ODIV_SEL")},
            **{f"p_{name}": value for name, value in self.setting.parameters},
            **{f"i_{name}": Const(0, width) for name, width in _UNUSED.items()},
            i_CLKIN=self.i,
            o_CLKOUT=self.clk,
            o_LOCK=self.locked,
        )
        return m


# Inputs, and their bits, that reset the loop or set it while it runs.
_UNUSED = {
    "RESET": 1,
    "RESET_P": 1,
    "CLKFB": 1,
    "FBDSEL": 6,
    "IDSEL": 6,
    "ODSEL": 6,
    "PSDA": 4,
    "DUTYDA": 4,
    "FDLY": 4,
}
