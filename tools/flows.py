"""The open tool flow of each FPGA family: which programs take a design there, and with which options.

What the parts have inside is not said here: `hdl/primitives` knows the cells, `synth/parts.py` how many there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ECP5", "FLOWS", "GOWIN", "ICE40", "Flow"]


@dataclass(frozen=True)
class Flow:
    """From Verilog to a bitstream for one family.

    Attributes
    ----------
    family : str
        Name, as `hdl.primitives` has it.
    synthesis : str
        Yosys' command.
    devices : mapping of str to str
        nextpnr's name of a device to the options of `synthesis` for it.
    no_pads : str
        Option of `synthesis` for a design that stays inside of the part, where it would give it pads.
    models : str
        Yosys' models of the cells, of which a netlist is made.
    library : str
        What `read_verilog -lib` takes to know every primitive that a design may name.
    place_and_route, packer : str
        Names of the programs in `tools.inventory.TOOLS`.
    suffix : str
        Of a bitstream's file name.
    note : str
        What has to be said when nextpnr's Fmax is quoted, or nothing.
    """

    family: str
    synthesis: str
    devices: Mapping[str, str] = field(hash=False)
    models: str
    library: str
    place_and_route: str
    packer: str
    suffix: str
    no_pads: str = ""
    note: str = ""

    def synthesize(self, device):
        """Yosys' command with its options for a device."""
        return f"{self.synthesis} {self.devices[device]}".strip()


ICE40 = Flow(
    family="ice40",
    synthesis="synth_ice40",
    devices={"up5k": "-device u -dsp -spram", "hx8k": "-device hx"},
    models="+/ice40/cells_sim.v",
    library="-D ICE40_HX +/ice40/cells_sim.v",
    place_and_route="nextpnr-ice40",
    packer="icepack",
    suffix=".bin",
)

ECP5 = Flow(
    family="ecp5",
    synthesis="synth_ecp5",
    devices={"25k": "", "45k": "", "85k": ""},
    models="+/ecp5/cells_sim.v",
    library="+/ecp5/cells_sim.v +/ecp5/cells_bb.v",
    place_and_route="nextpnr-ecp5",
    packer="ecppack",
    suffix=".bit",
)

GOWIN = Flow(
    family="gowin",
    synthesis="synth_gowin",
    # Yosys feeds MUX2_LUT5 and wider from LUTs that only pass a bit on: without them cores take as little as half of
    # the LUTs, and are up to a third slower.
    devices={"GW1N-9C": "-family gw1n -nowidelut", "GW2A-18C": "-family gw2a -nowidelut"},
    models="+/gowin/cells_sim.v",
    library="+/gowin/cells_sim.v +/gowin/cells_xtra_gw1n.v",
    place_and_route="nextpnr-himbaechel-gowin",
    packer="gowin_pack",
    suffix=".fs",
    no_pads="-noiopads",
    note="nextpnr's Gowin model has delays for LUT4 only: paths through smaller LUTs, block RAM and multipliers are "
    "not in this Fmax (`bitloom synth` works around the LUTs)",
)

#: By family.
FLOWS = {flow.family: flow for flow in (ICE40, ECP5, GOWIN)}
