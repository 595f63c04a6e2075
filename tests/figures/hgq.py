"""The HGQ tile: where its area and its energy go."""

import numpy as np

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import Design
from bitloom.cores.sevedo.hgq_tile import HgqTile
from bitloom.golden.sevedo import hgq, hgq_tile
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.emission.verilog import emit
from bitloom.synth import energy, flow
from bitloom.testbench.sevedo import hgq_stimuli

from .tables import Table


def hgq_areas(liberty):
    """HGQ tiles of one size and rate: where their area is, dequantization in it, and all of it over the flat one's."""
    tile = lookup("hgq-tile").config
    k = 384

    def area(component):
        design = Design("part", "part", emit(component, "part"), (), "clk", "rst", False, {})
        return flow.synthesize(design, liberty=liberty).area.area

    flat = None
    for scheme in ("flat", "hgq", "channel"):
        config = tile(rows=8, cols=8, scheme=scheme)
        parts = unwarned(HgqTile(config))
        places = config.rows * config.cols
        dots = places * area(parts.dot_product())
        dequantization = places // config.unit_lanes * area(parts.unit())
        rest = area(parts.feed()) + area(parts.drain())
        whole = dots + dequantization + rest
        flat = flat or (dequantization, whole)
        yield (
            f"{scheme}, {config.unit_lanes} share",
            *(f"{part:.0f}" for part in (dots, dequantization, rest, whole)),
            f"{dequantization / whole:.1%}",
            f"{hgq_tile.float_operations(config, k):.5f}",
            f"{dequantization / flat[0]:.3f}",
            f"{whole / flat[1]:.3f}",
        )


def hgq_energies(liberty):
    """Switching energy of a product in an HGQ tile's processing element and in its share of a dequantization unit.

    Estimates, with what `synth.energy` leaves out. The netlists' results are held against the golden model.
    """
    rows, cols, steps, warm_up = 8, 32, 512, 24
    whole = None
    for scheme in ("flat", "hgq"):
        config = lookup("hgq-tile").config(rows=rows, cols=8, scheme=scheme)
        parts = unwarned(HgqTile(config))
        x, w = hgq_stimuli.operands(config, rows, cols, steps)
        cycles, results = hgq_stimuli.unit_fields(config, x, w)
        energies = []
        for component, fields, each in (
            (parts.dot_product(), list(hgq_stimuli.dot_fields(config, x, w)), 1),
            (parts.unit(), cycles, config.unit_lanes),
        ):
            runs = len(fields[0]["en"][0][0])
            stimuli = [
                {name: [bits for part in parts for bits in energy.slices(*part)] for name, parts in ports.items()}
                for ports in fields
            ]
            design = Design("part", "part", emit(component, "part"), (), "clk", "rst", False, {})
            found = energy.switching(design, liberty, stimuli, runs, "o", warm_up)
            products = (len(fields) - warm_up) * runs * each * config.fine
            energies += [found.data / products, found.clock / products]
        expected = hgq.matmul(x, w).view(np.uint32)
        for row, (cycle, first) in enumerate(results):
            values = energy.merge(found.outputs[cycle], runs)[first : first + cols]
            if not np.array_equal(values, expected[row]):
                raise ValueError(f"the netlist of {scheme} differs from the golden model in row {row}")
        whole = whole or (sum(energies[2:]), sum(energies))
        ratios = sum(energies[2:]) / whole[0], sum(energies) / whole[1]
        yield scheme, *(f"{part:.1f}" for part in energies), *(f"{ratio:.3f}" for ratio in ratios)


AREAS = Table(
    "hgq-areas",
    "hgq-tile 8x8, K = 384",
    (
        "scheme",
        "dot products",
        "dequantization",
        "rest",
        "tile",
        "its share",
        "FP ops/MAC",
        "dequant. ratio",
        "tile ratio",
    ),
    hgq_areas,
    units=dict.fromkeys(("dot products", "dequantization", "rest", "tile"), "the library's unit") | {"its share": "%"},
    tools=("yosys",),
    estimates=True,
    liberty=True,
)
ENERGIES = Table(
    "hgq-energies",
    "hgq-tile, fJ a product (estimates)",
    ("scheme", "dot product", "dot's clock", "dequantization", "deq.'s clock", "dequant. ratio", "both, ratio"),
    hgq_energies,
    units=dict.fromkeys(("dot product", "dot's clock", "dequantization", "deq.'s clock"), "fJ"),
    tools=("yosys",),
    estimates=True,
    liberty=True,
)
