"""Gowin platforms of amaranth-boards, placed and routed by nextpnr-himbaechel.

Amaranth 0.5 calls nextpnr-gowin, which nextpnr has dropped; its wheel wants another Apycula than the one that knows the
present parts. Synthesis stays as Amaranth writes it: only the two commands after it differ.
"""

__all__ = ["with_himbaechel"]

_PLACE_AND_ROUTE = r"""
    {{invoke_tool("nextpnr-himbaechel-gowin")}}
        {{quiet("--quiet")}}
        {{get_override("nextpnr_opts")|options}}
        --log {{name}}.tim
        --device {{platform.part}}
        --vopt family={{platform._chipdb_device}}
        --vopt cst={{name}}.cst
        --freq {{platform.default_clk_frequency/1000000}}
        --json {{name}}.syn.json
        --write {{name}}.pnr.json
"""


def with_himbaechel(platform):
    """The platform class `platform`, of `GowinPlatform`, with nextpnr-himbaechel in the place of nextpnr-gowin."""

    class HimbaechelPlatform(platform):
        required_tools = ["yosys", "nextpnr-himbaechel-gowin", "gowin_pack"]

        @property
        def command_templates(self):
            synthesis, _, pack = super().command_templates
            return [synthesis, _PLACE_AND_ROUTE, pack]

    return HimbaechelPlatform
