"""A systolic tile in a design of one's own: packed outlier-victim pairs are decoded on their way into an int8 tile.

Run it: python examples/amaranth_design.py
"""

import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

import bitloom
from bitloom.golden import olive, systolic


class PackedTile(wiring.Component):
    """Products of packed activations and int8 weights: two rows of results a pair.

    An int4 pair decodes to values of at most 96, so `integer << exponent` fits the tile's int8.
    """

    def __init__(self, rows=4, cols=3):
        self.decoder = bitloom.core("ovp-decoder", pairs=rows // 2).component()
        self.tile = bitloom.core("systolic-tile", rows=rows, cols=cols).component()
        super().__init__(
            {
                "a": In(stream.Signature(self.decoder.config.packed_layout)),
                "w": In(stream.Signature(self.tile.config.w_layout)),
                "o": Out(stream.Signature(self.tile.config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder, m.submodules.tile = decoder, tile = self.decoder, self.tile
        connect(m, flipped(self.a), decoder.i)
        connect(m, flipped(self.w), tile.w)
        connect(m, tile.o, flipped(self.o))
        # Between the two: from exponent and integer to one number a row.
        m.d.comb += [
            tile.a.valid.eq(decoder.o.valid),
            decoder.o.ready.eq(tile.a.ready),
            tile.a.payload.last.eq(decoder.o.payload.last),
        ]
        for row in range(tile.config.rows):
            value = decoder.o.payload.values[row]
            m.d.comb += tile.a.payload.lanes[row].eq(value.integer << value.exponent)
        return m


def simulate(design, packed, weights):
    """Send one reduction through the design: packed (steps, bytes), weights (steps, columns). Gives the results."""
    results = []

    async def feed(ctx, port, payloads):
        for payload in payloads:
            ctx.set(port.payload, payload)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def activations(ctx):
        rows = packed.tolist()
        await feed(ctx, design.a, [{"codes": row, "last": k == len(rows) - 1} for k, row in enumerate(rows)])

    async def columns(ctx):
        rows = weights.tolist()
        await feed(ctx, design.w, [{"lanes": row, "last": k == len(rows) - 1} for k, row in enumerate(rows)])

    async def collect(ctx):
        ctx.set(design.o.ready, 1)
        while not results or not results[-1][1]:
            (payload,) = await ctx.tick().sample(design.o.payload).until(design.o.valid)
            results.append(([*payload.sums], payload.last))

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    for bench in (activations, columns, collect):
        simulator.add_testbench(bench)
    simulator.run()
    return np.array([sums for sums, _ in results])


def main():
    random = np.random.default_rng(1)
    design = PackedTile(rows=4, cols=3)
    x = random.normal(0, 3, (10, 4)) * np.where(random.random((10, 4)) < 0.1, 10, 1)  # (K, M), some outliers
    weights = random.integers(-128, 128, (10, 3))  # (K, N)
    packed = olive.encode(x, olive.INT4)
    expected, _ = systolic.matmul(olive.values(packed, olive.INT4).T, weights.T, design.tile.config)
    results = simulate(design, packed, weights)
    assert np.array_equal(results, expected), (results, expected)
    print(f"{results.size} results of {len(x)} steps each equal the golden model")


if __name__ == "__main__":
    main()
