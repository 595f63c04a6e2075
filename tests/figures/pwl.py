"""Piecewise-linear units of several kinds."""

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.synth import flow

from .tables import Table


def pwl_areas(liberty):
    """Piecewise-linear units with tables that are loaded, and what the INT8 one saves of the others."""
    core = lookup("pwl-unit")
    kinds = {"int8": {}, "int32": {"kind": "int32"}, "fp32": {"kind": "fp32"}}
    kinds["fp32, normal numbers only"] = {"kind": "fp32", "specials": False}
    for entries in (8, 16):
        areas = {}
        for name, fields in kinds.items():
            found = flow.synthesize(generate(core, core.config(entries=entries, **fields)), liberty=liberty).area
            areas[name] = found.area
            saved = f"{1 - areas['int8'] / found.area:.1%}"
            yield f"{entries} entries, {name}", f"{found.area:.0f}", found.flip_flops, saved


AREAS = Table(
    "pwl-areas",
    "piecewise-linear units",
    ("pwl-unit", "area", "FF", "saved by INT8"),
    pwl_areas,
    units={"area": "the library's unit", "saved by INT8": "%"},
    tools=("yosys",),
    estimates=True,
    liberty=True,
)
