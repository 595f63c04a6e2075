"""What cores take of a part or of a cell library, and how fast they are: estimates of the tools."""

import itertools

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.golden.systolic import tile as systolic
from bitloom.synth import flow
from bitloom.synth.parts import lookup as lookup_part
from bitloom.synth.room import TooSmall
from bitloom.tools.flows import FLOWS

from .kept import tools, versions
from .rows import configurations
from .tables import Table

#: One of each size of each family.
PARTS = ("ice40-up5k", "ice40-hx8k", "ecp5-25k", "ecp5-85k", "gowin-gw1n-9")


def synthesis(names):
    """Area and Fmax of some cores on some parts."""
    for core, _, config in configurations(names, parts=True):
        design = generate(core, config)
        # Primitives that a configuration names are those of one family.
        family = None if config.family.portable else FLOWS[config.family.name]
        for part in (part for part in PARTS if family in (None, lookup_part(part).flow)):
            row = {"core": core.name, "parameters": list(config.assignments()), "target": part}
            try:
                report = flow.synthesize(design, part)
            except TooSmall as error:
                found = {"uses": {}, "why": str(error), "fmax_mhz": None, "tools": tools("yosys", override=True)}
            else:
                uses = {use.name: use.used for use in report.uses}
                found = {"uses": uses, "fmax_mhz": round(report.fmax_mhz, 1), "tools": versions(report.tools)}
            yield row | found


def synthesis_cells(row):
    """What is printed of a core on a part."""
    name = " ".join([row["core"], *row["parameters"]])
    if not row["uses"]:
        return name, row["target"], *["-"] * 3, "too small"
    return name, row["target"], *(row["uses"].get(kind, 0) for kind in ("LUT4", "FF", "DSP")), f"{row['fmax_mhz']:.0f}"


def processing_elements():
    """What a processing element of each pair of formats takes, its share of edges and control included."""
    core = lookup("systolic-tile")
    for a, w in itertools.product(systolic.FORMATS, repeat=2):
        try:
            systolic.check_formats(a, w)
        except ValueError:
            continue  # not defined
        for side, family, part in ((2, "generic", "ice40-hx8k"), (4, "ecp5", "ecp5-85k")):
            fields = {"rows": side, "cols": side, "a_format": a, "w_format": w, "target": family}
            report = flow.synthesize(generate(core, core.config(**fields)), part)
            use = {item.name: item.used / side**2 for item in report.uses}
            figures = (f"{use.get(kind, 0):.2f}" for kind in ("LUT4", "FF", "DSP"))
            yield f"{a} x {w}, {side}x{side}", part, *figures, f"{report.fmax_mhz:.0f}"


def area(names, liberty):
    """Area in a cell library."""
    for core, _, config in configurations(names):
        report = flow.synthesize(generate(core, config), liberty=liberty)
        found = report.area
        row = {"core": core.name, "parameters": list(config.assignments()), "library": found.library}
        row |= {"area": round(found.area, 1), "nand2": round(found.nand2_equivalents), "flip_flops": found.flip_flops}
        yield row | {"tools": versions(report.tools)}


def area_cells(row):
    """What is printed of a core in a cell library."""
    return " ".join([row["core"], *row["parameters"]]), row["area"], row["nand2"], row["flip_flops"]


ELEMENTS = Table(
    "elements",
    "a processing element (estimates)",
    ("systolic-tile", "part", "LUT4/PE", "FF/PE", "DSP/PE", "Fmax MHz"),
    processing_elements,
    key=("systolic-tile", "part"),
    tools=("yosys", "nextpnr-ice40", "nextpnr-ecp5"),
    estimates=True,
)
SYNTHESIS = Table(
    "synth",
    "synthesis (estimates)",
    ("core", "part", "LUT4", "FF", "DSP", "Fmax MHz"),
    synthesis,
    synthesis_cells,
    key=("core", "parameters", "target"),
    units={"fmax_mhz": "MHz"},
    estimates=True,
    by_core=True,
)
AREA = Table(
    "area",
    "area",
    ("core", "area", "NAND2", "FF"),
    area,
    area_cells,
    key=("core", "parameters"),
    units={"area": "the library's unit"},
    estimates=True,
    by_core=True,
    liberty=True,
)
