"""A matrix product in Python: the golden model, and the generated Verilog in Verilator, give the same bits.

Run it: python examples/product.py
"""

import numpy as np

import bitloom
from bitloom.golden import systolic
from bitloom.testbench.systolic import product


def main():
    tile = bitloom.core("systolic-tile", rows=2, cols=3, a_format="int8", w_format="int4")
    random = np.random.default_rng(1)
    activations = random.integers(-128, 128, (5, 20))  # (M, K)
    weights = random.integers(-8, 8, (7, 20))  # (N, K), as a linear layer stores them

    expected, overflow = systolic.matmul(activations, weights, tile.config)
    assert np.array_equal(expected, activations @ weights.T) and not overflow.any()

    # Generates the Verilog, compiles it once (the program is kept), cuts the product into tiles and runs them.
    run = product.run(activations, weights, tile.config)
    assert run.passed, run.failure
    assert np.array_equal(run.product, expected)
    print(f"{run.macs:,} multiply-accumulates in {run.cycles:,} cycles, as the model says: {run.expected_cycles:,}")


if __name__ == "__main__":
    main()
