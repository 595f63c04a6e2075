"""A package that is not installed: one line, whichever command needs it."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bitloom.tools import missing

ROOT = Path(missing.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported():
    """Top-level names of all that bitloom's modules import, but for the standard library and bitloom itself."""
    folders = ("cli", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools")
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0]


def test_every_import_is_known():
    # One is the board files': imported by a name that is put together.
    assert {*imported(), "amaranth_boards"} - sys.stdlib_module_names == set(missing.PACKAGES)


def test_what_is_to_be_installed_is_what_the_project_asks_for():
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]]
    assert {requirement for found in missing.PACKAGES.values() for requirement in found} <= set(declared)


def run(package, *words, start="from bitloom.__main__ import main; main()", cwd=None):
    """The command line of a Python that lacks a package, whatever was installed."""
    code = f"import sys; sys.modules[{package!r}] = None; {start}"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("rich", ["list"]),
        ("click", ["list"]),
        ("numpy", ["list"]),
        ("amaranth", ["list"]),
        ("platformdirs", ["list"]),
        ("cocotb_tools", ["sim", "ovp-decoder"]),
        ("cocotb_tools.config", ["run", "ovp-decoder", "--in", "a.npy", "-o", "b.npy"]),
        ("find_libpython", ["sim", "ovp-decoder", "--vectors", "10"]),
        ("amaranth_boards", ["build", "ovp-decoder", "--board", "icebreaker"]),
        ("serial", ["run", "ovp-decoder", "--on", "/dev/null", "--in", "a.npy", "-o", "b.npy"]),
        ("matplotlib", ["search", "pwl", "--function", "gelu", "--plot", "a.png", "-o", "a.json"]),
        ("torch", ["train", "bdwp"]),
    ],
)
def test_a_missing_package_is_one_line(package, words, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 1), np.uint8))
    done = run(package, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    top = package.partition(".")[0]
    pattern = rf"^bitloom: the package {top} is not installed; install it with: pip install \S.*\n$"
    assert re.search(pattern, done.stderr), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
