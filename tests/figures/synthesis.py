"""What cores take of a part or of a cell library, and how fast they are: estimates of the tools."""

import itertools

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.golden.systolic import tile as systolic
from bitloom.synth import flow
from bitloom.synth.room import TooSmall

from .rows import configurations
from .tables import Table

#: One of each size of each family.
PARTS = ("ice40-up5k", "ice40-hx8k", "ecp5-25k", "ecp5-85k", "gowin-gw1n-9")


def synthesis(names):
    """Area and Fmax of some cores on some parts."""
    for core, name, config in configurations(names):
        design = generate(core, config)
        for part in PARTS:
            try:
                report = flow.synthesize(design, part)
            except TooSmall:
                yield name, part, *["-"] * 3, "too small"
                continue
            use = {item.name: item.used for item in report.uses}
            yield name, part, *(use.get(kind, 0) for kind in ("LUT4", "FF", "DSP")), f"{report.fmax_mhz:.0f}"


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
    for core, name, config in configurations(names):
        found = flow.synthesize(generate(core, config), liberty=liberty).area
        yield name, f"{found.area:.1f}", f"{found.nand2_equivalents:.0f}", found.flip_flops


ELEMENTS = Table(
    "elements",
    "a processing element (estimates)",
    ("systolic-tile", "part", "LUT4/PE", "FF/PE", "DSP/PE", "Fmax MHz"),
    processing_elements,
)
SYNTHESIS = Table(
    "synth", "synthesis (estimates)", ("core", "part", "LUT4", "FF", "DSP", "Fmax MHz"), synthesis, by_core=True
)
AREA = Table("area", "area", ("core", "area", "NAND2", "FF"), area, by_core=True, liberty=True)
