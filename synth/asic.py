"""A core in the cells of a Liberty file, by Yosys: its netlist, and its area."""

import functools
import json
import re
from pathlib import Path

from ..golden import strict_json
from ..tools import finding, running
from .jobs import Progress, begin, count_cells, kept, run_yosys
from .liberty import Library
from .report import Area, Report

__all__ = ["map_to_library", "measure_area"]


def _mapped(design, library: Library, work: Path, log: Path) -> str:
    """Yosys' statistics and netlist of the core mapped to the library, as JSON."""
    (work / "core.v").write_text(design.verilog)
    (work / "cells.lib").write_text(library.text, encoding="utf-8")
    cells = " ".join(["-liberty cells.lib", *(f"-dont_use {name}" for name in library.reserved)])
    script = [
        "read_verilog core.v",
        f"synth -flatten -top {design.top}",
        f"dfflibmap {cells}",
        f"abc {cells}",
        "opt_clean",
        "delete t:$scopeinfo",
        "tee -q -o stat.json stat -json -liberty cells.lib",
        "write_json netlist.json",
    ]
    run_yosys(script, work, log)
    area = json.loads((work / "stat.json").read_text())["design"].get("area", 0.0)
    module = json.loads((work / "netlist.json").read_text())["modules"][design.top]
    ports = {name: {"bits": port["bits"]} for name, port in module["ports"].items()}
    placed = [{"type": cell["type"], "connections": cell["connections"]} for cell in module["cells"].values()]
    return strict_json.dumps({"cells": count_cells(work), "area": area, "netlist": {"ports": ports, "cells": placed}})


def map_to_library(design, library: Library) -> dict:
    """A design in the cells of a library, flat, memories as flip-flops; kept by content.

    Parameters
    ----------
    design : Design
        As of `flow.synthesize`.
    library : Library

    Returns
    -------
    dict
        `cells`, how many there are of each type; `area`, in the library's unit; `netlist`: `ports` by name, each with
        its `bits`, and `cells`, a list, each with `type` and `connections`, as Yosys' JSON has them.

    Raises
    ------
    ValueError
        Yosys cannot use the library.
    ToolMissing, ToolFailed
        As `flow.synthesize`.
    """
    yosys = finding.find("yosys", override=True)
    make = functools.partial(_mapped, design, library)
    try:
        return json.loads(kept(make, "library", design.verilog, design.top, library.text, yosys.key))
    except running.ToolFailed as error:
        if re.search(r"libert|\.lib\b|ABC|legalized", str(error), re.IGNORECASE):
            raise ValueError(f"{library.path} cannot be used: {error}") from None
        raise


def measure_area(design, library: Library, progress: Progress) -> Report:
    """Area of a design with the cells of a library; see `flow.synthesize`."""
    yosys = finding.find("yosys", override=True)
    begin(progress, f"mapping to {library.name} (Yosys {yosys.version})")
    result = map_to_library(design, library)
    cells = result["cells"]
    unknown = [cell for cell in cells if cell not in library.cells]
    if unknown:
        raise ValueError(f"{library.path} has no cells for {', '.join(unknown)}, which {design.name} needs")
    area = float(result["area"])
    return Report(
        design=design.name,
        target=library.name,
        part="",
        uses=(),
        fmax_mhz=None,
        freq_mhz=None,
        path=None,
        area=Area(
            library=library.name,
            area=round(area, 4),
            cells=sum(cells.values()),
            flip_flops=sum(count for cell, count in cells.items() if cell in library.flip_flops),
            nand2=library.nand2,
            nand2_area=library.nand2_area,
            nand2_equivalents=round(area / library.nand2_area, 1),
        ),
        cells=cells,
        tools={"yosys": yosys.version},
        seed=None,
        notes=("cell area after mapping, without wires, clock tree and fill; memories become flip-flops",),
    )
