"""Whole tiles with the vendors' primitives, in simulation models of these: they compute what the golden model says."""

import numpy as np
import pytest
from oracles import codes
from tile_bench import BENCH

from bitloom.cores.systolic.tile import SystolicConfig, SystolicTile
from bitloom.golden.systolic import tile as golden
from bitloom.hdl.emission.verilog import emit
from bitloom.tools import running

PAIRS = {
    "ecp5": [
        ("int8", "int8"),
        ("int8", "int4"),
        ("int4", "int8"),
        ("int4", "int4"),
        ("ovp-int4", "ovp-flint4"),
        ("ovp-flint4", "ovp-flint4"),
        ("ovp-int8", "ovp-int8"),
    ],
    "gowin": [("int8", "int8"), ("int4", "int8")],
    "ice40": [("int8", "int8"), ("int8", "int4"), ("int4", "int4"), ("ovp-flint4", "ovp-int4")],
    "generic": [("int8", "int4")],
}


@pytest.mark.parametrize("dataflow", golden.DATAFLOWS)
@pytest.mark.parametrize("target, a_format, w_format", [(target, *pair) for target in PAIRS for pair in PAIRS[target]])
def test_tile(target, a_format, w_format, dataflow, primitives, tmp_path, icarus):
    """Accumulators as narrow as a product allows, so that sums leave their range; blocks that do not divide."""
    rows, cols, block = (2, 2, 2) if a_format == "ovp-int8" else (4, 3, 2)
    this = SystolicConfig(
        rows, cols, a_format, w_format, accumulator=32, block=block, dataflow=dataflow, partials=5, target=target
    )
    narrow = max(golden.term_bits(this), 8)
    this = SystolicConfig(**{**this.to_dict(), "accumulator": narrow})
    rng = np.random.default_rng(narrow)
    operands = this.operands
    a, w, expected = [], [], []
    reductions = [(codes(rng, operands[0], rows, k), codes(rng, operands[1], cols, k)) for k in (1, 9, 2, 16, 4)]
    reductions.append((extremes(operands[0], rows, 8), extremes(operands[1], cols, 8)))
    for left, right in reductions:
        a += transfers(this, operands[0], left, dataflow == "weight-stationary")
        w += transfers(this, operands[1], right, False)
        product, overflow = golden.matmul(left, right, this)
        for row in range(rows):
            fields = {"sums": product[row].tolist(), "last": row == rows - 1}
            fields["overflow"] = overflow[row].astype(int).tolist()
            expected.append(this.o_layout.const(fields).as_value().value)
    assert any(fields >> (narrow * cols) & ((1 << cols) - 1) for fields in expected)

    tile = SystolicTile(this)
    bits = {port: len(getattr(tile, port).payload.as_value()) for port in "awo"}
    for name, layout, lines in (("a", this.a_layout, a), ("w", this.w_layout, w)):
        text = "".join(f"{layout.const(fields).as_value().value:x}\n" for fields in lines)
        (tmp_path / f"{name}.hex").write_text(text)
    bench = BENCH.format(
        a_transfers=len(a),
        w_transfers=len(w),
        rows=len(expected),
        **{f"{port}_bits": width for port, width in bits.items()},
    )
    (tmp_path / "bench.v").write_text("\n".join([emit(tile, "tile"), primitives.get(target, ""), bench]))
    running.run([*icarus, "-g2012", "-o", "bench.vvp", "bench.v"], tmp_path)
    given = running.run(["vvp", "-n", "bench.vvp"], tmp_path).stdout.split()
    assert [int(line, 16) for line in given] == expected


def extremes(operand, lanes, k):
    """The largest magnitude in all steps, or beside a victim; the lanes' signs alternate."""
    if not operand.pairs:
        return np.tile([[operand.limits[lane % 2]] for lane in range(lanes)], (1, k))
    top = len(operand.pairs.outlier_magnitudes)
    signs = [operand.pairs.identifier * (lane % 2) for lane in range(lanes)]
    if operand.bits == 4:
        return np.array([[operand.pairs.identifier << 4 | top | sign] * (k // 2) for sign in signs], np.uint8)
    return np.array([[top | sign, operand.pairs.identifier] * (k // 2) for sign in signs], np.uint8)


def transfers(config, operand, lanes, blocks):
    """Payloads of a reduction: a step each, or a row of a block of steps each."""
    if operand.pairs and operand.bits == 8:
        lanes = lanes[:, ::2].astype(int) | lanes[:, 1::2].astype(int) << 8
    if not blocks:
        columns = lanes.T.tolist()
        return [{"lanes": column, "last": at == len(columns) - 1} for at, column in enumerate(columns)]
    width = config.rows // operand.steps
    lanes = np.pad(lanes, ((0, 0), (0, -lanes.shape[1] % width)))
    return [
        {"lanes": row.tolist(), "last": at == len(lanes) - 1}
        for block in np.hsplit(lanes, lanes.shape[1] // width)
        for at, row in enumerate(block)
    ]
