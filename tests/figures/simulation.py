"""How fast the cores' benches run, and a product on the tile."""

import numpy as np

from bitloom.cores.catalogue import lookup
from bitloom.golden.systolic import tile as systolic
from bitloom.golden.workloads.product import prepare
from bitloom.testbench import runner
from bitloom.testbench.systolic import product as gemm_run

from .rows import configurations
from .tables import Table


def simulation(names):
    """What the benches measure."""
    for core, name, config in configurations(names):
        result = runner.simulate(core, config, seed=1)
        yield (
            name,
            "pass" if result.passed else "FAIL",
            result.transfers,
            result.cycles,
            f"{result.cycles / result.seconds:,.0f}",
        )


def tile_runs():
    """A matrix product through the Verilated tile, as `bitloom run matmul` does it."""
    rng = np.random.default_rng(0)
    m, k, n = 128, 384, 384
    core = lookup("systolic-tile")
    for dataflow in systolic.DATAFLOWS:
        for formats in (["a_format=int8", "w_format=int8"], ["a_format=ovp-int4", "w_format=ovp-flint4"]):
            tile = ["rows=16", "cols=16", "partials=128", f"dataflow={dataflow}"]
            problem = prepare(
                rng.integers(-8, 8, (m, k)), rng.integers(-8, 8, (k, n)), core.config.parse([*tile, *formats])
            )
            result = gemm_run.run(problem.a, problem.w, core.config.parse([*tile, *formats]), k=k)
            name = f"16x16 {dataflow}, {formats[0].partition('=')[2]}"
            verdict = "pass" if result.passed else "FAIL"
            yield name, verdict, result.cycles, f"{result.utilization:.2%}", f"{result.macs_per_second / 1e6:.1f}"


SIMULATION = Table(
    "simulation",
    "simulation",
    ("core", "result", "transfers", "cycles", "cycles/s"),
    simulation,
    tools=("verilator",),
    timed=("cycles/s",),
    by_core=True,
)
PRODUCT = Table(
    "product",
    "bitloom run matmul",
    ("tile, 128x384x384", "result", "cycles", "utilization", "million MAC/s"),
    tile_runs,
    units={"utilization": "%"},
    tools=("verilator",),
    timed=("million MAC/s",),
)
