"""MX and NVFP4: what of the standard holds here, and what a tile costs beside those of other formats."""

import json
from pathlib import Path

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import Design, generate
from bitloom.cores.mx.tile import MxTile
from bitloom.cores.sevedo.hgq_tile import HgqTile
from bitloom.golden.mx import FORMATS
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.emission.verilog import emit
from bitloom.synth import flow
from bitloom.synth.room import TooSmall

from .tables import Table

_CLAUSES = Path(__file__).parents[2] / "docs" / "systems" / "mx.json"

_GROUPS = {
    "hgq": {},
    "flat-16": {"scheme": "flat"},
    "int4, groups of 32": {"coarse": 32, "shift_bits": 0, "adder": 1},
}
_FIRST = "int4, groups of 32"
_PARTS = ("ice40-hx8k", "ecp5-25k")


def conformance():
    """Each clause of the standard, what it says, what holds here, and the test that shows it."""
    for row in json.loads(_CLAUSES.read_text()):
        yield row["clause"], row["word"], row["says"], row["here"], row["test"]


def tiles(**sizes):
    """Name, component and config of the tiles with INT4 or MX elements, 16 of which a row and column take a cycle."""
    hgq, mx = (lookup(name).config for name in ("hgq-tile", "mx-tile"))
    for name, fields in _GROUPS.items():
        yield name, HgqTile, hgq(**sizes, **fields)
    for name in FORMATS:
        yield name, MxTile, mx(**sizes, format=name)


def areas(liberty):
    """Cell areas of 8 x 8 processing elements of 16 products a cycle; of INT8 64 of one product a cycle."""

    def area(component):
        design = Design("part", "part", emit(component, "part"), (), "clk", "rst", False, {})
        return flow.synthesize(design, liberty=liberty).area.area

    rows = []
    for name, tile, config in tiles(rows=8, cols=8):
        parts = unwarned(tile(config))
        places = config.rows * config.cols
        dot, unit = area(parts.dot_product()), area(parts.unit()) / config.unit_lanes
        rest = (area(parts.feed()) + area(parts.drain())) / places
        rows.append((name, dot, unit, rest, (dot + unit + rest) / 16))
    core = lookup("systolic-tile")
    config = core.config(rows=8, cols=8)
    whole = flow.synthesize(generate(core, config), liberty=liberty).area.area
    rows.append(("int8", whole / 64, 0, 0, whole / 64))
    first = {name: each for name, *_, each in rows}[_FIRST]
    for name, *parts, each in rows:
        yield name, *(f"{part:.0f}" for part in parts), f"{each:.0f}", f"{each / first:.3f}"


def parts():
    """LUTs, registers, multipliers and clock of tiles with 32 products a cycle, out of context."""
    for part in _PARTS:
        for name, tile, config in tiles(rows=2, cols=1, dot=2):
            yield _synthesized(name, "hgq-tile" if tile is HgqTile else "mx-tile", config, part)
        yield _synthesized("int8", "systolic-tile", lookup("systolic-tile").config(rows=8, cols=4), part)


def _synthesized(name, core, config, part):
    try:
        report = flow.synthesize(generate(lookup(core), config), part)
    except TooSmall:
        return name, part, *["-"] * 3, "too small"
    use = {item.name: item.used for item in report.uses}
    return name, part, *(use.get(kind, 0) for kind in ("LUT4", "FF", "DSP")), f"{report.fmax_mhz:.0f}"


CONFORMANCE = Table(
    "mx",
    "OCP Microscaling Formats v1.0, clause by clause",
    ("clause", "word", "it says", "here", "test"),
    conformance,
    kept=False,
)
AREAS = Table(
    "mx-areas",
    "a processing element of 16 products a cycle in a tile of 8 x 8",
    ("format", "dot product", "unit", "rest", "a product", "ratio to int4"),
    areas,
    units=dict.fromkeys(("dot product", "unit", "rest", "a product"), "the library's unit"),
    tools=("yosys",),
    estimates=True,
    liberty=True,
)
SIZES = Table(
    "mx-sizes",
    "tiles of 32 products a cycle (estimates)",
    ("format", "part", "LUT4", "FF", "DSP", "Fmax MHz"),
    parts,
    key=("format", "part"),
    tools=("yosys", "nextpnr-ice40", "nextpnr-ecp5"),
    estimates=True,
)
