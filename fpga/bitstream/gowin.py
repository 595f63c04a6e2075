"""Gowin platforms of amaranth-boards, placed and routed by nextpnr-himbaechel.

Amaranth 0.5 calls nextpnr-gowin, which nextpnr has dropped; its wheel wants another Apycula than the one that knows the
present parts. Synthesis stays as Amaranth writes it: only the two commands after it differ.
"""

from ...tools.flows import GOWIN

__all__ = ["with_himbaechel"]

# A template of Amaranth's; PROGRAM and DEVICE are ours.
_PLACE_AND_ROUTE = r"""
    {{invoke_tool("PROGRAM")}}
        {{quiet("--quiet")}}
        {{get_override("nextpnr_opts")|options}}
        --log {{name}}.tim
        --device {{platform.part}}
        --vopt family=DEVICE
        --vopt cst={{name}}.cst
        --freq {{platform.clock_mhz}}
        --json {{name}}.syn.json
        --write {{name}}.pnr.json
"""


def with_himbaechel(platform, device):
    """The platform class `platform`, of `GowinPlatform`, with nextpnr-himbaechel in the place of nextpnr-gowin.

    Parameters
    ----------
    platform : type
        Of amaranth-boards.
    device : str
        What nextpnr calls the part.
    """

    class HimbaechelPlatform(platform):
        required_tools = ["yosys", GOWIN.place_and_route, GOWIN.packer]

        @property
        def clock_mhz(self):
            # One frequency is all that this program is told: that of the PLL, where there is one.
            constraints = [frequency for _, frequency in self.iter_signal_clock_constraints()]
            return max(constraints, default=self.default_clk_frequency) / 1000000

        @property
        def command_templates(self):
            synthesis, _, pack = super().command_templates
            place = _PLACE_AND_ROUTE.replace("PROGRAM", GOWIN.place_and_route).replace("DEVICE", device)
            return [synthesis, place, pack]

    return HimbaechelPlatform
