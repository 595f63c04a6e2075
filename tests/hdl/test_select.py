"""Multiplexers: the portable one, and that of named cells against it."""

import subprocess

import pytest
from amaranth.sim import Simulator

from bitloom.hdl.emission.verilog import emit
from bitloom.hdl.integer.select import Ecp5Select, Select
from bitloom.tools import external


@pytest.mark.parametrize("width, count", [(1, 2), (3, 4), (8, 8), (2, 16)])
def test_select(width, count):
    dut = Select(width, count)

    async def bench(ctx):
        words = [(5 * at + 3) % (1 << width) for at in range(count)]
        for flip in (0, (1 << width) - 1):
            ctx.set(dut.i, [word ^ flip for word in words])
            for index, word in enumerate(words):
                ctx.set(dut.index, index)
                assert ctx.get(dut.o) == word ^ flip

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("width, count", [(1, 4), (1, 8), (3, 8)])
def test_ecp5_select(width, count, tmp_path):
    """For all inputs: proved."""
    for name, kind in (("gold", Select), ("gate", Ecp5Select)):
        (tmp_path / f"{name}.v").write_text(emit(kind(width, count), name))
    script = (
        "read_verilog -overwrite +/ecp5/cells_sim.v; read_verilog gold.v gate.v; hierarchy -top gate; proc; flatten; "
        "clean; read_verilog gold.v; proc; miter -equiv -flatten -make_assert gold gate miter; hierarchy -top miter; "
        "opt; tee -o proof sat -verify -prove-asserts miter"
    )
    run = subprocess.run([*external.find("yosys").command, "-p", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "SAT proof finished - no model found: SUCCESS!" in (tmp_path / "proof").read_text()
    verilog = (tmp_path / "gate.v").read_text()
    assert verilog.count(" LUT4 #(") == width * count // 2


def test_what_there_are_no_cells_for_is_refused():
    with pytest.raises(ValueError, match="cells choose one of 4 or 8 words, not of 16"):
        emit(Ecp5Select(1, 16), "wide")
