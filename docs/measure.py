"""Measure what the data sheets show: area and speed of every core, bitstreams of the boards, mutation scores.

    python docs/measure.py synthesis [CORE ...]       default configurations on the parts, seconds to minutes each
    python docs/measure.py boards [CORE ...]          every board's configuration with the host link, minutes each
    python docs/measure.py area FILE.lib [CORE ...]   default configurations in a cell library
    python docs/measure.py mutation [CORE ...]        60 mutants of the small configurations, minutes each

Each writes its file in `docs/measurements`, row by row as they come; rows of other cores stay as they are.
"""

import argparse
import json
import tempfile
from datetime import date

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import generate
from bitloom.cores.sheet.measured import FOLDER, TARGETS
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.bitstream.build import build
from bitloom.synth import flow
from bitloom.synth.room import TooSmall
from bitloom.testbench.mutate import mutate
from bitloom.tools import finding
from bitloom.tools.files import atomic_write

#: What identifies a row of each file.
KEYS = {
    "synthesis": ("core", "target", "parameters"),
    "boards": ("core", "board"),
    "area": ("core", "library", "parameters"),
    "mutation": ("core", "parameters"),
}
#: Resources of a bitstream as a sheet names them, and nextpnr's names for them.
RESOURCES = {
    "LC": ("ICESTORM_LC",),
    "LUT": ("TRELLIS_COMB", "LUT4", "ALU"),
    "FF": ("TRELLIS_FF", "DFF"),
    "block RAM": ("ICESTORM_RAM", "DP16KD", "BSRAM"),
    "DSP": ("ICESTORM_DSP", "MULT18X18D", "MULT9X9", "MULT18X18", "MULT36X36"),
}


def synthesis(cores):
    """A row for each core on each part."""
    for core in cores:
        design = generate(core, core.config())
        for target in TARGETS:
            row = {"core": core.name, "target": target, "parameters": []}
            try:
                report = flow.synthesize(design, target)
            except TooSmall as error:
                yield row | {"uses": {}, "why": str(error), "fmax_mhz": None, "tools": tools("yosys")}
                continue
            uses = {use.name: use.used for use in report.uses}
            yield row | {"uses": uses, "fmax_mhz": rounded(report.fmax_mhz), "tools": versions(report.tools)}


def boards(cores):
    """A row for each core on each board."""
    with tempfile.TemporaryDirectory() as folder:
        for core in cores:
            for board in BOARDS.values():
                row = {"core": core.name, "board": board.name, "clock_mhz": board.clock_hz / 1e6}
                row["parameters"] = list(board.parameters.get(core.name, ()))
                if core.name in board.unfit:
                    yield row | {"uses": {}, "why": board.unfit[core.name], "fmax_mhz": None, "tools": ""}
                    continue
                result = build(core, None, board, folder)
                used = {
                    name: sum(result.utilization.get(kind, (0, 0))[0] for kind in kinds)
                    for name, kinds in RESOURCES.items()
                }
                yield row | {"uses": used, "fmax_mhz": rounded(result.fmax_mhz), "tools": versions(result.tools)}


def area(cores, liberty):
    """A row for each core in a cell library."""
    for core in cores:
        report = flow.synthesize(generate(core, core.config()), liberty=liberty)
        found = report.area
        row = {"core": core.name, "library": found.library, "parameters": [], "area": round(found.area)}
        yield row | {"flip_flops": found.flip_flops, "tools": versions(report.tools)}


def mutation(cores):
    """A row for each core, of its small configuration."""
    for core in cores:
        result = mutate(core, core.config.parse(core.small))
        counts = {verdict: len(result.of(verdict)) for verdict in ("killed", "equivalent", "survived")}
        row = {"core": core.name, "parameters": list(core.small), "mutants": len(result.mutants)}
        yield row | counts | {"score": result.score, "seed": result.seed, "tools": tools("yosys", "verilator")}


def rounded(mhz):
    return None if mhz is None else round(mhz, 1)


def tools(*names):
    return versions({name: finding.find(name).version for name in names})


def versions(found):
    """Tools and their versions in words."""
    return ", ".join(f"{'Yosys' if name == 'yosys' else name} {version}" for name, version in found.items())


def keep(kind, row):
    """Put a row into its file, in place of the one that it replaces."""
    path = FOLDER / f"{kind}.json"
    kept = json.loads(path.read_text()) if path.is_file() else []
    names = list(CATALOGUE)
    same = [row[key] for key in KEYS[kind]]
    kept = [each for each in kept if [each[key] for key in KEYS[kind]] != same]
    kept = sorted([*kept, row | {"date": date.today().isoformat()}], key=lambda each: names.index(each["core"]))
    lines = ",\n".join(f"  {json.dumps(each)}" for each in kept)
    atomic_write(path, f"[\n{lines}\n]\n")


def main():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KEYS)
    parser.add_argument("words", nargs="*", metavar="CORE")
    given = parser.parse_args()
    words, more = given.words, []
    if given.kind == "area":
        if not words:
            parser.error("area needs a Liberty file")
        more, words = words[:1], words[1:]
    cores = [lookup(name) for name in words or CATALOGUE]
    for row in globals()[given.kind](cores, *more):
        keep(given.kind, row)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
