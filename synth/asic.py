"""A core in the cells of a Liberty file, by Yosys: its netlist, and its area."""

import functools
import json
import re
from pathlib import Path

from ..golden import strict_json
from ..tools import finding, running
from . import macros
from .jobs import Progress, begin, count_cells, kept, run_yosys
from .liberty import Library
from .report import Area, Report

__all__ = ["map_to_library", "measure_area"]


def _mapped(design, library: Library, keep: bool, work: Path, log: Path) -> str:
    """Yosys' statistics and netlist of the core mapped to the library, as JSON."""
    verilog = macros.mark(design.verilog) if keep else design.verilog
    (work / "core.v").write_text(verilog)
    (work / "cells.lib").write_text(library.text, encoding="utf-8")
    arguments = " ".join(["-liberty cells.lib", *(f"-dont_use {name}" for name in library.reserved)])
    script = [
        "read_verilog core.v",
        *_synthesis(design.top, verilog != design.verilog),
        f"dfflibmap {arguments}",
        f"abc {arguments}",
        "opt_clean",
        "delete t:$scopeinfo",
        "tee -q -o stat.json stat -json -liberty cells.lib",
        "write_json netlist.json",
    ]
    run_yosys(script, work, log)
    area = json.loads((work / "stat.json").read_text())["design"].get("area", 0.0)
    module = json.loads((work / "netlist.json").read_text())["modules"][design.top]
    ports = {name: {"bits": port["bits"]} for name, port in module["ports"].items()}
    placed = [
        {"type": cell["type"], "connections": cell["connections"]}
        for cell in module["cells"].values()
        if cell["type"] != macros.TYPE
    ]
    memories = [
        macros.describe(name, cell) for name, cell in sorted(module["cells"].items()) if cell["type"] == macros.TYPE
    ]
    cells = {cell: count for cell, count in count_cells(work).items() if cell != macros.TYPE}
    netlist = {"ports": ports, "cells": placed, "memories": memories}
    return strict_json.dumps({"cells": cells, "area": area, "netlist": netlist})


def _synthesis(top, keep):
    """Synthesis; with memories to keep it is the same, in two parts, without a check that each cell is known."""
    if not keep:
        return [f"synth -flatten -top {top}"]
    return [f"synth -flatten -top {top} -run begin:fine", macros.keep(), "synth -run fine:check"]


def map_to_library(design, library: Library, keep: bool = False) -> dict:
    """A design in the cells of a library, flat; kept by content.

    Parameters
    ----------
    design : Design
        As of `flow.synthesize`.
    library : Library
    keep : bool
        Whether memories of more than `macros.LIMIT` bits with synchronous ports stay memories; all others become
        flip-flops.

    Returns
    -------
    dict
        `cells`, how many there are of each type; `area`, in the library's unit; `netlist`: `ports` by name, each with
        its `bits`, and `cells`, a list, each with `type` and `connections`, as Yosys' JSON has them, and `memories`,
        as `macros.describe` gives them, which are among no cells and no area.

    Raises
    ------
    ValueError
        Yosys cannot use the library.
    ToolMissing, ToolFailed
        As `flow.synthesize`.
    """
    yosys = finding.find("yosys", override=True)
    make = functools.partial(_mapped, design, library, keep)
    try:
        return json.loads(kept(make, "library", design.verilog, design.top, library.text, keep, yosys.key))
    except running.ToolFailed as error:
        if re.search(r"libert|\.lib\b|ABC|legalized", str(error), re.IGNORECASE):
            raise ValueError(f"{library.path} cannot be used: {error}") from None
        raise


def measure_area(design, library: Library, progress: Progress = None, keep: bool = False) -> Report:
    """Area of a design with the cells of a library; see `flow.synthesize`, and `map_to_library` of `keep`."""
    yosys = finding.find("yosys", override=True)
    begin(progress, f"mapping to {library.name} (Yosys {yosys.version})")
    result = map_to_library(design, library, keep)
    cells = result["cells"]
    unknown = [cell for cell in cells if cell not in library.cells]
    if unknown:
        raise ValueError(f"{library.path} has no cells for {', '.join(unknown)}, which {design.name} needs")
    area = float(result["area"])
    memories = f"memories of more than {macros.LIMIT:,} bits are left out" if keep else "memories become flip-flops"
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
        notes=(f"cell area after mapping, without wires, clock tree and fill; {memories}",),
    )
