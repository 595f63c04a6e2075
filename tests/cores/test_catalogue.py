"""The catalogue and the house: every entry is whole, and every name stands in every room."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import data, stream, wiring

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.config import Config
from bitloom.cores.olive import ovp

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools")
#: Cores whose golden model has another name than they have: that of the format which several of them share.
STATED_MODELS = {
    "anda/buffer": "planes",
    "anda/compressor": "planes",
    "anda/decompressor": "planes",
    "machine/core": "executor",
    "sevedo/hgq_dequantizer": "hgq",
    "sevedo/hgq_quantizer": "hgq",
}


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
    file = ROOT / "testbench" / f"{module.replace('.', '/')}.py"
    assert file.is_file()
    assert f"async def {coroutine}(" in file.read_text()


@pytest.mark.parametrize("name", CATALOGUE)
def test_one_name_in_every_room(name):
    system, module = CATALOGUE[name].component.__module__.removeprefix("bitloom.cores.").split(".")
    model = STATED_MODELS.get(f"{system}/{module}", module)
    for file in (
        f"cores/{system}/{module}",
        f"testbench/{system}/{module}",
        f"tests/{system}/test_{module}",
        f"golden/{system}/{model}",
    ):
        assert (ROOT / f"{file}.py").is_file(), file


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
    folders = sorted(
        path.parent.relative_to(ROOT).parts for name in PACKAGES for path in ROOT.glob(f"{name}/**/__init__.py")
    )
    assert sorted(path.parent.name for path in ROOT.glob("*/__init__.py")) == sorted(PACKAGES)
    assert listed == ["bitloom", *(".".join(["bitloom", *parts]) for parts in folders)]


def test_every_module_imports_and_documents_itself():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(["bitloom", *path.relative_to(ROOT).with_suffix("").parts])
            assert importlib.import_module(module.removesuffix(".__init__")).__doc__, path


def _unflipped(signature):
    return signature.flip() if isinstance(signature, wiring.FlippedSignature) else signature
