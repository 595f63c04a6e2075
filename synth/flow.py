"""From Verilog to a report: Yosys and nextpnr for an FPGA, Yosys and a Liberty file for an ASIC.

The core is synthesized once, alone, and that netlist is counted. The same netlist is then placed and routed inside the
harness, so area and Fmax are of the same cells. nextpnr's result does not depend on the frequency that is asked for
(measured: 12 to 500 MHz give the same Fmax), so a frequency is compared with the result and never given to nextpnr.

Results are kept by content: the same Verilog, part, tools and seed are never run twice.
"""

import functools
import json
import math
import os
import re
from pathlib import Path

from ..golden import strict_json
from ..hdl.primitives import guard
from ..tools import finding, running
from .asic import measure_area
from .harness import PINS, harness
from .jobs import Progress, begin, count_cells, kept, run_yosys
from .liberty import Library, read
from .parts import Part, lookup
from .paths import longest_path, read_path
from .report import Report, Use
from .room import TooSmall, check_room, is_full, overfull

__all__ = ["check_request", "synthesize"]


def _harness_name(design) -> str:
    return f"{design.top}_harness"


def _synthesize_core(design, part: Part, verilog: str, around: str, work: Path, log: Path) -> str:
    """Cells of the core by type, and the netlist of core and harness, as JSON."""
    top, whole = design.top, _harness_name(design)
    (work / "core.v").write_text(verilog)
    (work / "harness.v").write_text(around)
    named = guard(verilog)
    script = [
        "read_verilog core.v",
        *named.before,
        f"{part.synthesize} {part.flow.no_pads} -top {top}",
        *named.after,
        "delete t:$scopeinfo",
        "tee -q -o stat.json stat -json",
        "design -stash core",
        # The harness is mapped around an empty core and takes the counted netlist in afterwards.
        "read_verilog core.v",
        f"hierarchy -top {top}",
        f"blackbox {top}",
        "read_verilog harness.v",
        f"{part.synthesize} -top {whole}",
        f"delete {top}",
        f"design -copy-from core {top}",
        f"hierarchy -top {whole}",
        "flatten",
        "opt_clean",
        "write_json netlist.json",
    ]
    run_yosys(script, work, log)
    netlist = json.loads((work / "netlist.json").read_text())
    netlist["modules"] = {whole: netlist["modules"][whole]}
    return strict_json.dumps({"cells": count_cells(work), "netlist": netlist})


def _place_and_route(netlist: dict, design, part: Part, uses: tuple[Use, ...], seed: int, work: Path, log: Path) -> str:
    """Fmax and the longest path with the nets at its two ends, as JSON."""
    (work / "netlist.json").write_text(strict_json.dumps(netlist))
    pins = zip(PINS, part.pins, strict=False)
    (work / "pins.cst").write_text("".join(f'IO_LOC "{name}" {pin};\n' for name, pin in pins))
    program = part.flow.place_and_route
    command = [*finding.find(program).command, *part.arguments, "--json", "netlist.json", "--seed", str(seed)]
    command += ["--report", "report.json", "--write", "placed.json", "--timing-allow-fail"]
    try:
        running.run(command, work, log=log)
    except running.ToolFailed as error:
        if not is_full(str(error)):
            raise
        lacking = overfull(log.read_text(errors="replace"))
        log.unlink()
        raise TooSmall(design.name, part.name, uses, lacking, placed=True) from None
    report = json.loads((work / "report.json").read_text())
    if not report["fmax"]:
        raise running.ToolFailed(f"{program} found no path from register to register")
    (placed,) = json.loads((work / "placed.json").read_text())["modules"].values()
    fmax = min(clock["achieved"] for clock in report["fmax"].values())
    return strict_json.dumps({"fmax": fmax, **read_path(report, placed)})


def _fpga(design, part: Part, freq: float | None, seed: int, progress: Progress) -> Report:
    yosys = finding.find("yosys", override=True)
    program = part.flow.place_and_route
    nextpnr = finding.find(program)
    verilog, around = design.verilog, harness(design, _harness_name(design))
    begin(progress, f"synthesis for {part.name} (Yosys {yosys.version})")
    make = functools.partial(_synthesize_core, design, part, verilog, around)
    synthesized = json.loads(
        kept(make, "core", verilog, around, design.top, part.synthesize, part.flow.no_pads, yosys.key)
    )
    cells, netlist = synthesized["cells"], synthesized["netlist"]
    uses = tuple(Use(resource.name, resource.used(cells), resource.available) for resource in part.resources)
    check_room(design, part, uses)
    begin(progress, f"place and route on {part.name} ({program} {nextpnr.version})")
    whole = _harness_name(design)
    placed = {**netlist, "modules": {whole: part.timed(netlist["modules"][whole])}}
    make = functools.partial(_place_and_route, placed, design, part, uses, seed)
    text = kept(make, "placed", placed, program, part.arguments, part.pins, seed, nextpnr.key)
    result = json.loads(text)
    path = longest_path(result, netlist["modules"][whole], design)
    notes = [note for name, note in part.notes if any(use.name == name and use.used for use in uses)]
    # What feeds an input is fed by the harness, and what catches an output feeds nothing else.
    if re.match(r"harness |.*\(output\)$", path.start) or re.match(r"harness |.*\((input|reset)\)$", path.end):
        notes.append("the longest path is inside the harness: the core alone may be faster")
    return Report(
        design=design.name,
        target=part.name,
        part=part.product,
        uses=uses,
        fmax_mhz=round(result["fmax"], 2),
        freq_mhz=freq,
        path=path,
        area=None,
        cells=cells,
        tools={"yosys": yosys.version, program: nextpnr.version},
        seed=seed,
        notes=tuple(notes),
    )


def check_request(
    part: str | None, liberty: str | os.PathLike | Library | None, freq: float | None, seed: int
) -> Part | None:
    """Check what `synthesize` is asked for, parameters as there, and look up the part.

    Raises
    ------
    ValueError
        A wrong argument.
    """
    if (part is None) == (liberty is None):
        raise ValueError("give either a target or a Liberty file" + (", not both" if part is not None else ""))
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be an integer from 0 to {2**31 - 1}, not {seed!r}")
    if freq is not None and not (isinstance(freq, int | float) and math.isfinite(freq) and freq > 0):
        raise ValueError(f"freq must be a number of MHz above 0, not {freq!r}")
    if liberty is None:
        return lookup(part)
    if freq is not None:
        raise ValueError("freq needs an FPGA target: with a Liberty file only area is estimated")
    return None


def synthesize(
    design,
    part: str | None = None,
    liberty: str | os.PathLike | Library | None = None,
    freq: float | None = None,
    seed: int = 1,
    progress: Progress = None,
) -> Report:
    """Measure a design on an FPGA or with a cell library.

    One call is one job; with arguments that can be pickled it can be mapped over a process pool.

    Parameters
    ----------
    design : Design
        Its `name`, `top`, `verilog`, `ports`, `clock` and `reset` are read.
    part : str or None
        A key of `parts.PARTS`. Exactly one of `part` and `liberty` is given.
    liberty : path, Library or None
        A Liberty file, packed or not, or what `liberty.read` gave: area only.
    freq : float or None
        MHz to be reached, above 0; FPGA only. It decides `Report.met` and nothing else.
    seed : int
        Seed of place and route, 0 to 2**31 - 1.
    progress : callable or None
        Called with the name of each step when it begins.

    Returns
    -------
    Report
        Counts are those of the core alone, Fmax is that of the core in the harness after place and route.

    Raises
    ------
    ValueError
        A wrong argument, a Liberty file that cannot be used.
    TooSmall
        A ValueError: the core does not fit on the part.
    ToolMissing, ToolFailed
        A tool is not there, or it failed.
    """
    fpga = check_request(part, liberty, freq, seed)
    if fpga is None:
        return measure_area(design, liberty if isinstance(liberty, Library) else read(liberty), progress)
    return _fpga(design, fpga, freq, seed, progress)
