"""What nextpnr's timing model of Gowin does not see, and how it is made to see it.

In nextpnr-himbaechel-gowin 0.11 only the cell type LUT4 has delays. Paths through LUT1, LUT2 and LUT3 are left out of
Fmax without a word, and so are those from one flip-flop straight to the next, for which nextpnr makes a LUT of its own
after placement, as the D input of a Gowin flip-flop can only be reached through one. A chain of eight LUT1 has no Fmax
at all; as eight LUT4 it has 81 MHz on the GW1N-9.
"""

__all__ = ["make_timed"]

_LUTS = ("LUT1", "LUT2", "LUT3")
_DIRECT = ("LUT", "ALU", "MUX2_", "GND", "VCC")


def make_timed(module: dict) -> dict:
    """Write every LUT as a LUT4, and put the LUT in front of every flip-flop that has none.

    The function and, once placed, the number of LUTs stay the same.

    Parameters
    ----------
    module : dict
        One module of a Yosys JSON netlist, flat; it is left as it is.

    Returns
    -------
    dict
        The module for nextpnr.
    """
    drivers = {
        bit: cell["type"]
        for cell in module["cells"].values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"].get(port) == "output"
        for bit in bits
    }
    number = max(bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int))
    cells, nets = {}, dict(module["netnames"])
    for name, cell in module["cells"].items():
        if cell["type"] in _LUTS:
            table = cell["parameters"]["INIT"]
            cell = {**cell, "type": "LUT4", "parameters": {"INIT": table * (16 // len(table))}}
        # A constant, or what is the flip-flop's own LUT already, needs none.
        elif cell["type"].startswith("DFF") and not drivers.get(cell["connections"]["D"][0], "GND").startswith(_DIRECT):
            bit = cell["connections"]["D"][0]
            number += 1
            cells[f"{name}$through"] = {
                "hide_name": 1,
                "type": "LUT4",
                "parameters": {"INIT": "1010" * 4},
                "attributes": {},
                "port_directions": {"I0": "input", "F": "output"},
                "connections": {"I0": [bit], "F": [number]},
            }
            nets[f"{name}$through"] = {"hide_name": 1, "bits": [number], "attributes": {}}
            cell = {**cell, "connections": {**cell["connections"], "D": [number]}}
        cells[name] = cell
    return {**module, "cells": cells, "netnames": nets}
