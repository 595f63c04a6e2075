"""Every program in examples/ runs as its own process, as a user would run it, and prints what it found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

#: Each program: its arguments, and what its output must have in it.
PROGRAMS = {
    "product.py": ([], r"700 multiply-accumulates in 187 cycles, as the model says: 187"),
    "amaranth_design.py": ([], r"12 results of 10 steps each equal the golden model"),
    "verilog_top/run.py": ([], r"8 sums equal the golden model"),
    "own_format.py": (["log.v"], r"log4: 16 codes equal .*\n(.*\n)*module log_decoder: \d+ lines, 8 ports"),
    "own_board.py": ([], r"^systolic-tile on icesugar: rows=4 .*\nopenFPGALoader -b ice40_generic build/\S+\.bin"),
}


def run(program, folder, *arguments):
    return subprocess.run([sys.executable, EXAMPLES / program, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program, tmp_path, request):
    if program == "verilog_top/run.py":
        request.getfixturevalue("icarus")
    arguments, printed = PROGRAMS[program]
    done = run(program, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert re.search(printed, done.stdout), done.stdout


def test_all_programs_are_run():
    programs = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    assert programs == set(PROGRAMS)


def test_the_format_of_ones_own_rounds_as_it_says():
    """The nearest value for every number; at a tie the smaller magnitude; zero has one code."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from own_format import LogFormat, decode, encode
    finally:
        sys.path.remove(str(EXAMPLES))
    fmt = LogFormat()
    assert encode([0, -0.25, 0.5, 0.75, 3, -3, 6.5, 1000, -1000], fmt).tolist() == [0, 0, 0, 1, 2, 10, 4, 7, 15]
    assert decode(range(16), fmt).tolist() == [0, 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64]
    assert fmt.width == 8


@pytest.mark.long
def test_the_board_of_ones_own_takes_a_core(tmp_path):
    done = run("own_board.py", tmp_path, "--build")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/ovp-decoder-icesugar.bin").stat().st_size > 100_000
