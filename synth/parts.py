"""The parts that cores are measured on: how nextpnr is called for each, and what each part holds.

The numbers of resources are those that the open tools can use, as nextpnr reports them. The option `--target` of the
command line names a part.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..tools.flows import ECP5, GOWIN, ICE40, Flow
from .gowin import make_timed

__all__ = ["PARTS", "Part", "Resource", "lookup"]


@dataclass(frozen=True)
class Resource:
    """One kind of resource.

    Parameters
    ----------
    name : str
        What a report calls it.
    available : int or None
        How many the part holds; None for what comes with something else and cannot run out by itself.
    cells : tuple of (str, int)
        Pattern of the cell's type, and how many of the resource one such cell takes.
    """

    name: str
    available: int | None
    cells: tuple[tuple[str, int], ...]

    def used(self, counts: Mapping[str, int]) -> int:
        """Number in use, from the number of cells of each type."""
        return sum(
            weight * count
            for cell, count in counts.items()
            for pattern, weight in self.cells
            if re.fullmatch(pattern, cell)
        )


@dataclass(frozen=True)
class Part:
    """One part.

    Parameters
    ----------
    name : str
        What the command line calls it.
    product : str
        What the vendor calls it, with package and speed grade where the tools ask for them.
    flow : Flow
        The programs of its family.
    device : str
        What nextpnr calls it, a key of `flow.devices`.
    arguments : tuple of str
        Of `flow.place_and_route`.
    pins : tuple of int
        Locations of the four pins of the harness, where the tool does not choose them itself.
    resources : tuple of Resource
        What is counted.
    notes : tuple of (str, str)
        Name of a resource, and what has to be said when a design uses it.
    timed : callable
        Takes a flat module of a Yosys JSON netlist; gives the one that nextpnr's timing model sees all paths of.
    """

    name: str
    product: str
    flow: Flow
    device: str
    arguments: tuple[str, ...]
    resources: tuple[Resource, ...]
    pins: tuple[int, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    timed: Callable[[dict], dict] = dict

    @property
    def synthesize(self) -> str:
        """Yosys' synthesis command."""
        return self.flow.synthesize(self.device)


def _ice40(name: str, product: str, device: str, package: str, cells: int, dsp: int, ram: int, spram: int):
    resources = (
        Resource("LUT4", cells, (("SB_LUT4", 1),)),
        Resource("FF", cells, ((r"SB_DFF\w*", 1),)),
        Resource("carry", cells, (("SB_CARRY", 1),)),
        Resource("DSP", dsp, (("SB_MAC16", 1),)),
        Resource("block RAM", ram, ((r"SB_RAM40_4K\w*", 1),)),
        Resource("SPRAM", spram, (("SB_SPRAM256KA", 1),)),
    )
    arguments = (f"--{device}", "--package", package, "--pcf-allow-unconstrained")
    return Part(name, product, ICE40, device, arguments, resources)


def _ecp5(name: str, product: str, device: str, luts: int, multipliers: int, ram: int):
    resources = (
        # A carry cell takes two LUTs; a 16 x 4 LUT RAM four for its bits and two for its write port.
        Resource("LUT4", luts, (("LUT4", 1), ("CCU2C", 2), ("TRELLIS_DPR16X4", 6))),
        Resource("FF", luts, (("TRELLIS_FF", 1),)),
        Resource("carry", luts // 2, (("CCU2C", 1),)),
        Resource("DSP", multipliers, ((r"MULT18X18\w", 1),)),
        Resource("block RAM", ram, ((r"(DP|PDPW)16KD", 1),)),
        Resource("LUT RAM", luts // 8, (("TRELLIS_DPR16X4", 1),)),
        Resource("wide mux", None, (("PFUMX", 1), ("L6MUX21", 1))),
    )
    arguments = (f"--{device}", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained")
    return Part(name, product, ECP5, device, arguments, resources)


# nextpnr's chip database for Gowin has delays for LUT4s, carries, LUT RAM, flip-flops and wires, and none for the rest.
_GOWIN_UNTIMED = (
    "nextpnr's Gowin model has no delays for {}: paths that begin or end there are taken for too short, "
    "so this Fmax must not be quoted for them"
)


def _gowin(name, product, number, device, pins, luts, ffs, multipliers, ram, luts_ram):
    resources = (
        Resource("LUT4", luts, (("LUT[1-4]", 1), ("INV", 1), ("ALU", 1), (r"RAM16\w+", 4))),
        Resource("FF", ffs, ((r"DFF\w*", 1), (r"DL\w*", 1))),
        Resource("carry", ffs, (("ALU", 1),)),
        # Half a block is two 9 x 9 multipliers or one 18 x 18.
        Resource(
            "DSP 9x9",
            multipliers,
            (("MULT9X9", 1), ("MULT(ALU)?18X18", 2), ("MULTADDALU18X18", 4), ("MULT36X36", 8)),
        ),
        Resource("block RAM", ram, ((r"SPX?9?|SDPX?9?B|DPX?9?B|pROMX?9?", 1),)),
        Resource("LUT RAM", luts_ram, ((r"RAM16\w+", 1),)),
        Resource("wide mux", None, (("MUX2_LUT[5-8]", 1),)),
    )
    return Part(
        name,
        product,
        GOWIN,
        device,
        ("--device", number, "--vopt", f"family={device}", "--vopt", "cst=pins.cst"),
        resources,
        pins=pins,
        notes=(
            ("DSP 9x9", _GOWIN_UNTIMED.format("DSP blocks")),
            ("block RAM", _GOWIN_UNTIMED.format("block RAM")),
        ),
        timed=make_timed,
    )


#: By name.
PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        _ice40("ice40-up5k", "iCE40 UP5K-SG48", "up5k", "sg48", 5280, 8, 30, 4),
        _ice40("ice40-hx8k", "iCE40 HX8K-CT256", "hx8k", "ct256", 7680, 0, 32, 0),
        _ecp5("ecp5-25k", "ECP5 LFE5U-25F-6", "25k", 24288, 28, 56),
        _ecp5("ecp5-45k", "ECP5 LFE5U-45F-6", "45k", 43848, 72, 108),
        _ecp5("ecp5-85k", "ECP5 LFE5U-85F-6", "85k", 83640, 156, 208),
        _gowin(
            "gowin-gw1n-9",
            "Gowin GW1NR-9C C6/I5, Tang Nano 9K",
            number="GW1NR-LV9QN88PC6/I5",
            device="GW1N-9C",
            pins=(52, 25, 26, 27),
            luts=8640,
            ffs=6480,
            multipliers=40,
            ram=26,
            luts_ram=270,
        ),
        _gowin(
            "gowin-gw2a-18",
            "Gowin GW2AR-18C C8/I7, Tang Nano 20K",
            number="GW2AR-LV18QN88C8/I7",
            device="GW2A-18C",
            pins=(4, 25, 26, 27),
            luts=20736,
            ffs=15552,
            multipliers=96,
            ram=46,
            luts_ram=648,
        ),
    )
}


def lookup(name: str) -> Part:
    """Find a part.

    Parameters
    ----------
    name : str
        A key of `PARTS`, as the option `--target` names it.

    Raises
    ------
    ValueError
        Unknown name.
    """
    try:
        return PARTS[name]
    except KeyError:
        raise ValueError(f"unknown target {name!r}: there are {', '.join(PARTS)}") from None
