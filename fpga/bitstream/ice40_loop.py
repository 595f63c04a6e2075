"""The PLL of an iCE40 that is read back: what it makes of its input, and a model that can be simulated.

`icebox_vlog` gives the block with its settings, and not the pin that feeds it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Loop", "with_model"]


@dataclass(frozen=True)
class Loop:
    """A PLL.

    Attributes
    ----------
    ratio : Fraction
        Output frequency as a multiple of the input's.
    nets : set of str
        Nets that it drives.
    """

    ratio: Fraction
    nets: frozenset[str]


_BLOCK = re.compile(r"^SB_PLL40_PAD #\(\n(?P<parameters>.*?)^\) \w+ \(\n(?P<ports>.*?)^\);\n", flags=re.M | re.S)

# Cycles count, not time: the outputs run with the input. A loop that is bypassed or held in reset never locks.
_MODEL = """reg [3:0] pll_cycles = 0;
always @(posedge {clock}) if ({bypass} || !{running}) pll_cycles <= 0;
  else if (!(&pll_cycles)) pll_cycles <= pll_cycles + 1;
assign {locked} = &pll_cycles;
{outputs}"""


def with_model(body, clock):
    """A listing with a model in the place of its SB_PLL40_PAD.

    Parameters
    ----------
    body : str
        As `icebox_vlog` prints it.
    clock : str
        The port that feeds it.

    Returns
    -------
    tuple of str and (Loop or None)
        The listing; what is known of the PLL, or None where there is none, or one whose settings are others than
        `hdl.primitives.ice40_pll` makes.
    """
    if not (block := _BLOCK.search(body)):
        return body, None
    parameters = dict(re.findall(r"\.(\w+)\(([^)]*)\)", block["parameters"]))
    if (parameters["FEEDBACK_PATH"], parameters["PLLOUT_SELECT"]) != ('"SIMPLE"', '"GENCLK"'):
        return body, None
    ports = dict(re.findall(r"\.(\w+)\(([^)]*)\)", block["ports"]))
    divr, divf, divq = (int(parameters[name].split("b")[1], 2) for name in ("DIVR", "DIVF", "DIVQ"))
    outputs = [ports[name] for name in ("PLLOUTCORE", "PLLOUTGLOBAL") if name in ports]
    model = _MODEL.format(
        clock=clock,
        bypass=ports["BYPASS"],
        running=ports["RESETB"],
        locked=ports["LOCK"],
        outputs="".join(f"assign {net} = {clock};\n" for net in outputs),
    )
    loop = Loop(Fraction(divf + 1, (divr + 1) << divq), frozenset([*outputs, ports["LOCK"]]))
    return body.replace(block[0], model), loop
