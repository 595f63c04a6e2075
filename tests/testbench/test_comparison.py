"""Products of every row through its Verilated core: the golden model's bits and cycles, whatever the shape."""

from dataclasses import replace

import numpy as np
import pytest

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.golden.workloads.comparison.rows import ROWS
from bitloom.testbench.comparison import Engine

#: Small cores.
SIZES = {
    "anda-tile": {"rows": 4, "cols": 2},
    "hgq-tile": {"rows": 2, "cols": 2},
    "mx-tile": {"rows": 2, "cols": 2},
    "nm-tile": {"rows": 4, "cols": 2},
    "sevedo-core": {"rows": 2, "cols": 2, "max_channels": 256, "max_outputs": 64},
    "systolic-tile": {"rows": 4, "cols": 2},
}
#: Shapes (M, K, N): not a whole tile, not a whole group; several tiles each way.
SHAPES = ((1, 3, 1), (5, 70, 6), (9, 160, 40))
#: One row for each core but SeVeDo's; the others are long.
CORES = [name for name, row in ROWS.items() if row.scheme().core]
QUICK = ("fp16", "hgq", "nvfp4", "2:4", "ovp-int4")


def configured(scheme):
    return lookup(scheme.core).config(**scheme.parameters | SIZES[scheme.core])


def products(name, design=None):
    """An engine that was given products of every shape, weights and activations as second operand."""
    rng, scheme = np.random.default_rng(5), ROWS[name].scheme()
    engine = Engine(scheme, configured(scheme), design)
    for m, k, n in SHAPES:
        x, weight = (rng.normal(size=(rows, k)).astype(np.float32) for rows in (m, n))
        a = scheme.encode(x, scheme.step(x))
        engine("layer", a, scheme.weights(weight, x, "qkv"))
        if scheme.attends:
            engine("attention", a, scheme.operand(weight, scheme.step(weight)))
    assert [product.shape for product in engine.products if product.place == "layer"] == [*SHAPES]
    return engine


# Anda's search chooses among the mantissas of its other rows; some rows have no core.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CORES if name != "anda"],
)
def test_products_and_cycles_are_those_of_the_model(name):
    assert products(name).failures == []


def test_a_wrong_core_is_found():
    scheme = ROWS["ovp-int4"].scheme()
    design = generate(lookup(scheme.core), configured(scheme))
    # The multipliers add.
    wrong = design.verilog.replace(" * ", " + ")
    assert wrong != design.verilog
    engine = products("ovp-int4", replace(design, verilog=wrong))
    assert engine.failures and "results differ, the first at" in engine.failures[0]
