"""The catalogue and the house: every entry is whole, and every name stands in every room."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import data, stream, wiring

from bitloom.cores import ovp
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.config import Config

ROOT = Path(__file__).parents[1]
PACKAGES = ("cores", "fpga", "golden", "hdl", "synth", "testbench")


@pytest.mark.parametrize("name", CATALOGUE)
def test_entry_is_whole(name):
    core = lookup(name)
    assert core.name == name
    assert core.summary and core.paper
    assert issubclass(core.config, Config)
    assert all(field["doc"] for field in core.config.describe())
    config = core.config()
    component = core.component(config)
    assert isinstance(component, wiring.Component)
    Fragment.get(component, None)
    assert component.__doc__ and "Latency" in component.__doc__
    members = component.signature.members
    streams = [member for member in members.values() if member.is_signature]
    assert streams and all(isinstance(_unflipped(member.signature), stream.Signature) for member in streams)
    assert core.latency(config) >= 1 and core.interval(config) >= 1


@pytest.mark.parametrize("name", CATALOGUE)
def test_layouts_name_their_fields_in_order(name):
    """A docstring of a layout names all its fields, the lowest first, or none where it refers to another one."""
    core = lookup(name)
    for config in (core.config(), core.config.parse(core.small)):
        for what, prop in inspect.getmembers(core.config, lambda member: isinstance(member, property)):
            layout = getattr(config, what)
            if isinstance(layout, data.StructLayout):
                named = [word for word in re.findall(r"`(\w+)`", prop.__doc__) if word in layout.members]
                assert list(dict.fromkeys(named)) in ([], list(layout.members)), what


@pytest.mark.parametrize("name", CATALOGUE)
def test_bench_exists(name):
    module, _, coroutine = CATALOGUE[name].bench.partition(":")
    assert (ROOT / "testbench" / f"{module}.py").is_file()
    assert f"async def {coroutine}(" in (ROOT / "testbench" / f"{module}.py").read_text()


@pytest.mark.parametrize("name", CATALOGUE)
def test_one_name_in_every_room(name):
    module = CATALOGUE[name].component.__module__.rpartition(".")[2]
    for file in (f"cores/{module}.py", f"testbench/{module}.py", f"tests/test_{module}.py"):
        assert (ROOT / file).is_file(), file
    # Several cores of one paper share its model: golden/anda.py serves cores/anda_compressor.py.
    words = module.split("_")
    models = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    assert any((ROOT / "golden" / f"{model}.py").is_file() for model in models), models


def test_unknown_core_lists_those_there_are():
    with pytest.raises(ValueError, match="unknown core 'ovp': there are ovp-decoder, ovp-encoder"):
        lookup("ovp")


def test_configs_hold_their_own_rules():
    with pytest.raises(ValueError, match="bias of int8 must be 0 to 8, not 9"):
        ovp.OvpDecoderConfig(normal="int8", bias=9)
    with pytest.raises(ValueError, match="bias must be none where bias_port is true, not 3"):
        ovp.OvpDecoderConfig(bias=3, bias_port=True)
    with pytest.raises(ValueError, match="fraction must be 1 to 6 for a width of 8, not 7"):
        ovp.OvpEncoderConfig(width=8, fraction=7)
    with pytest.raises(ValueError, match="bias must be 3 or more for flint4, not 2"):
        ovp.OvpEncoderConfig(normal="flint4", bias=2)


def test_packages_of_the_project_file_are_the_folders():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
    assert folders == sorted(PACKAGES)
    assert listed == ["bitloom", *(f"bitloom.{name}" for name in folders)]


# What each package may import of the others: arrows run one way.
ARROWS = {
    "golden": set(),
    "hdl": set(),
    "cores": {"golden", "hdl"},
    "testbench": {"cores", "golden", "hdl"},
    "synth": {"cores", "golden", "hdl"},
    "fpga": {"cores", "golden", "hdl"},
}


@pytest.mark.parametrize("package", ARROWS)
def test_arrows_run_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["from"] and words[1].startswith(".."):
                first = words[1].lstrip(".").partition(".")[0] or words[3].rstrip(",")
                assert first in ARROWS[package] | {"__version__"}, f"{path}: {line}"
            assert not (package == "golden" and words[:2] in (["import", "amaranth"], ["from", "amaranth"])), path
            assert "bitloom." not in line.partition("import")[0] or words[:1] not in (["from"], ["import"]), path


def test_every_module_imports_and_documents_itself():
    for package in PACKAGES:
        for path in (ROOT / package).glob("*.py"):
            assert importlib.import_module(f"bitloom.{package}.{path.stem}".removesuffix(".__init__")).__doc__, path


def _unflipped(signature):
    return signature.flip() if isinstance(signature, wiring.FlippedSignature) else signature
