"""cores.generate: what is written, and that the header's own command writes it again."""

import hashlib
import json
import os
import shlex
import subprocess
import sys

import pytest

from bitloom import __version__
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import INTERFACES, generate, write

#: Of every core its AXI4-Stream wrapper, which holds the core with plain streams; of one also the core alone.
REQUESTS = [
    pytest.param(name, interface, marks=[pytest.mark.long] * (interface == "stream" and name != "systolic-tile"))
    for name in CATALOGUE
    for interface in INTERFACES
]


@pytest.mark.parametrize(("name", "interface"), REQUESTS)
def test_the_command_in_the_header_writes_the_same_bytes(name, interface, tmp_path):
    core = lookup(name)
    design = generate(core, core.config.parse(core.small), interface)
    # What an earlier generation leaves behind would show here for both: this interface wraps the other.
    if interface == "axis":
        assert generate(core, core.config.parse(core.small), interface) == design
    header = design.verilog.splitlines()[:3]
    assert header[1].startswith(f"// bitloom {__version__}")
    command = shlex.split(header[2].removeprefix("//"))
    assert command == shlex.split(design.manifest["command"])
    # What order or language may depend on is another one.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "COLUMNS": "40"}
    done = subprocess.run(
        [sys.executable, "-m", *command, "-o", "again.v"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.v").read_text() == design.verilog
    assert json.loads((tmp_path / "again.json").read_text()) == design.manifest


def test_manifest_tells_what_a_user_must_know():
    core = lookup("ovp-decoder")
    manifest = generate(core, core.config(pairs=3, bias_port=True), "axis").manifest
    assert manifest["parameters"] == {"normal": "int4", "pairs": 3, "bias": None, "bias_port": True}
    ports = {port["name"]: (port["direction"], port["width"]) for port in manifest["ports"]}
    assert ports == {
        "aclk": ("input", 1),
        "aresetn": ("input", 1),
        "s_axis_tdata": ("input", 24),
        "s_axis_tvalid": ("input", 1),
        "s_axis_tready": ("output", 1),
        "s_axis_tlast": ("input", 1),
        "m_axis_tdata": ("output", 48),
        "m_axis_tvalid": ("output", 1),
        "m_axis_tready": ("input", 1),
        "m_axis_tlast": ("output", 1),
        "illegal": ("output", 1),
        "bias": ("input", 4),
    }
    assert (manifest["clock"], manifest["reset"]["name"], manifest["reset"]["active"]) == ("aclk", "aresetn", "low")
    assert (manifest["latency"], manifest["initiation_interval"]) == (1, 1)
    assert set(manifest["tools"]) == {"bitloom", "amaranth", "yosys"}


def test_files_beside_the_verilog(tmp_path):
    core = lookup("ovp-encoder")
    design = generate(core, core.config())
    files = write(design, tmp_path / "deep" / "folder" / "encoder.v")
    assert [path.name for path in files] == ["encoder.v", "encoder.json", "encoder.core"]
    manifest = json.loads(files[1].read_text())
    assert manifest["sha256"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    description = files[2].read_text().splitlines()
    assert description[0] == "CAPI=2:"
    assert '      - "encoder.v"' in description
    assert "    toplevel: ovp_encoder" in description
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["encoder.core", "encoder.json", "encoder.v"]


def test_wrong_requests():
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match="interface must be one of stream, axis, not 'wishbone'"):
        generate(core, core.config(), "wishbone")
    with pytest.raises(ValueError, match=r"must not end in \.json"):
        write(generate(core, core.config()), "decoder.json")
