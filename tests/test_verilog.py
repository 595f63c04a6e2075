"""The emitted Verilog: every core and interface passes three tools without a warning.

That it does what Amaranth's own output does is proved in test_formal; test_generate shows that it is always the same.
"""

import functools
import hashlib
import json
import os
import re
import subprocess

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.generate import INTERFACES, generate
from bitloom.hdl import tools
from bitloom.hdl.stream import Stage
from bitloom.hdl.verilog import emit, emit_rtlil

#: Configurations beside each core's default.
MORE = {
    "ovp-decoder": [{"normal": "flint4", "pairs": 2}, {"normal": "int8", "bias_port": True}],
    "ovp-encoder": [{"normal": "flint4", "width": 9, "fraction": 1}, {"normal": "int8", "pairs": 2}],
    "systolic-tile": [
        {"rows": 3, "cols": 5, "block": 2, "a_format": "ovp-int4", "w_format": "ovp-flint4"},
        {"rows": 2, "cols": 2, "a_format": "ovp-int8", "w_format": "ovp-int8", "overflow": False},
        {"rows": 5, "cols": 3, "block": 2, "dataflow": "weight-stationary"},
    ],
}
#: Each core's small configuration, which is what is put behind AXI4-Stream.
SMALL = {name: core.config.parse(core.small).to_dict() for name, core in CATALOGUE.items()}
#: Each core's default, but of those that take seconds to make and minutes to check.
BASE = {name: SMALL[name] if name in ("anda-decompressor", "lvc", "sevedo-core") else {} for name in CATALOGUE}
REQUESTS = [
    (name, interface, parameters)
    for name in CATALOGUE
    for interface in INTERFACES
    for parameters in ((SMALL if interface == "axis" else BASE)[name], *MORE.get(name, ()))
]
IDS = [f"{name}-{interface}-{'-'.join(map(str, parameters.values()))}" for name, interface, parameters in REQUESTS]


def design_of(request):
    name, interface, parameters = request
    core = CATALOGUE[name]
    return generate(core, core.config(**parameters), interface)


@functools.cache
def made(index):
    return design_of(REQUESTS[index])


@pytest.fixture(params=range(len(REQUESTS)), ids=IDS)
def design(request):
    return made(request.param)


@pytest.fixture
def file(design, tmp_path):
    (tmp_path / "design.v").write_text(design.verilog)
    return tmp_path / "design.v"


def run(command, folder):
    """Status and output, standard and error together, of a tool in a folder."""
    done = subprocess.run(
        command, cwd=folder, env=tools.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def test_verilator_has_nothing_to_say(file):
    status, output = run([*tools.find("verilator").command, "--lint-only", file.name], file.parent)
    # Its report on what it read is no warning.
    assert (status, [line for line in output.splitlines() if not line.startswith("- ")]) == (0, [])


def test_icarus_has_nothing_to_say(file, icarus):
    status, output = run([*icarus, "-Wall", "-o", "design.vvp", file.name], file.parent)
    assert (status, output) == (0, "")


def test_yosys_has_nothing_to_say_and_sees_the_ports_of_the_manifest(design, file):
    script = f"read_verilog design.v; hierarchy -check -top {design.top}; proc; check -assert; write_json design.json"
    status, output = run([*tools.find("yosys").command, "-l", "log.txt", "-p", script], file.parent)
    assert status == 0, output
    assert "warning" not in (file.parent / "log.txt").read_text().lower()
    modules = json.loads((file.parent / "design.json").read_text())["modules"]
    seen = {name: (port["direction"], len(port["bits"])) for name, port in modules[design.top]["ports"].items()}
    assert seen == {port["name"]: (port["direction"], port["width"]) for port in design.manifest["ports"]}
    assert seen == {port.name: (port.direction, port.width) for port in design.ports}
    assert design.manifest["modules"] == len(modules)


def test_manifest_fits_the_text(design):
    manifest = design.manifest
    assert manifest["sha256"] == hashlib.sha256(design.verilog.encode()).hexdigest()
    assert manifest["top"] == design.top
    assert {design.clock, design.reset} <= {port.name for port in design.ports}
    assert design.verilog.endswith("endmodule\n")
    # Whoever uses another name shares no module with this design.
    first, *inner = re.findall(r"^module (\w+)", design.verilog, flags=re.MULTILINE)
    assert first == design.top and all(name.startswith(f"{design.top}__") for name in inner)
    assert len({first, *inner}) == manifest["modules"]
    assert design.verilog.isascii() and "\r" not in design.verilog
    # Nothing of the machine that made it.
    assert os.sep + "hdl" + os.sep not in design.verilog and ".py" not in design.verilog
    # No names that Verilog has to escape: they end at a blank, which text tools do not know.
    assert "\\" not in design.verilog


def test_submodules_have_plain_names():
    text = emit_rtlil(Stage(3), "top")
    assert set(re.findall(r"^module \\(\S+)$", text, flags=re.MULTILINE)) == {"top", "top__skid", "top__register"}


class Renamed(wiring.Component):
    """One input, one output, and a signal that is neither."""

    def __init__(self):
        super().__init__({"a": In(2), "b": Out(2)})
        self.aside = Signal(2)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.b.eq(self.a)
        m.d.comb += self.aside.eq(~self.b)
        return m


def test_ports_can_be_given():
    component = Renamed()
    text = emit(component, "top", ports={"left": (component.a, None), "right": (component.aside, None)})
    header = re.search(r"^module top\((.*?)\);", text, flags=re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r"\w+", header)) == {"clk", "rst", "left", "right"}


def test_yosys_refusal_is_one_line(monkeypatch):
    monkeypatch.setattr("bitloom.hdl.verilog.emit_rtlil", lambda component, name, **options: "nonsense")
    with pytest.raises(tools.ToolFailed, match=r"^Yosys could not write the Verilog of top: ERROR: [^\n]*$"):
        emit(None, "top")
