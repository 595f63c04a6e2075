"""The command line as a person meets it: exit status, one-line errors, no half-written file."""

import contextlib
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy_encoder
from click.testing import CliRunner
from command_line import bitloom, complaint

from bitloom.cli import program as cli
from bitloom.cores.catalogue import CATALOGUE
from bitloom.golden.workloads import safetensors
from bitloom.tools import installation

COMMANDS = sorted(cli.bitloom.commands)


def test_list():
    output, _ = bitloom("list")
    assert [line.split()[0] for line in output.splitlines()[1:]] == list(CATALOGUE)
    assert "\x1b" not in output and "│" not in output and "┃" not in output
    listed = json.loads(bitloom("list", "--json")[0])
    assert [core["name"] for core in listed] == list(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_info(name):
    output, _ = bitloom("info", name)
    for word in ("parameter", "port", "latency", CATALOGUE[name].paper):
        assert word in output
    small = [word for parameter in CATALOGUE[name].small for word in ("-p", parameter)]
    told = json.loads(bitloom("info", name, *small, "--json")[0])
    assert told["core"] == name and told["config"] and told["ports"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name):
    output = CliRunner().invoke(cli.bitloom, [name, "--help"]).output
    assert re.search(rf"Example:\n  +bitloom {name}\b", output)


#: Commands whose examples take minutes.
SLOW = ("build", "compare", "demo", "evaluate", "mutate", "quantize", "search", "train")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n in SLOW)) for n in COMMANDS])
def test_the_example_in_the_help_works_when_pasted(name, tmp_path):
    output = CliRunner().invoke(cli.bitloom, [name, "--help"]).output
    example = re.search(r"Example:\n((?:  .*\n?)+)", output)[1].split()
    for file in ("A.npy", "W.npy"):
        np.save(tmp_path / file, np.arange(-18, 18).reshape(6, 6))
    done = subprocess.run([sys.executable, "-m", *example], cwd=tmp_path, capture_output=True, text=True)
    missing_board_tool = name == "flash" and "bitstream" in done.stderr
    assert done.returncode == 0 or missing_board_tool, done.stderr


def test_evaluate_tells_every_operation_of_a_small_encoder(tmp_path):
    folder, report = toy_encoder.write(tmp_path / "model", layers=1), tmp_path / "e.json"
    output, _ = bitloom("evaluate", "integer-ops", "--model", folder, "--json", report)
    told = json.loads(report.read_text())
    assert told["sentences"] > told["calibration_sentences"] > 0 and told["scales"]
    for row, cosines in {**told["cosine"], **told["encoder"]}.items():
        assert row in output and all(f"{value:.4f}" in output and value > 0.8 for value in cosines.values())


def test_generate_makes_missing_folders_and_names_what_it_wrote(tmp_path):
    output, _ = bitloom("generate", "ovp-decoder", "-o", tmp_path / "a" / "b" / "x.v")
    assert [line.split()[-1] for line in output.splitlines()] == [
        str(tmp_path / "a" / "b" / f"x.{e}") for e in ("v", "json", "core")
    ]


@pytest.mark.parametrize(
    "words, message",
    [
        (["info", "nothing"], "unknown core 'nothing': there are ovp-decoder"),
        (["generate", "ovp-decoder", "-p", "pears=1"], "unknown parameter 'pears': allowed are normal, pairs"),
        (["generate", "ovp-decoder", "-p", "pairs=33"], "pairs must be 1 to 32, not 33"),
        (["generate", "ovp-decoder", "-p", "pairs=many"], "pairs must be 1 to 32, not 'many'"),
        (["generate", "ovp-decoder", "--interface", "wire"], "'wire' is not one of 'stream', 'axis'"),
        (["generate", "ovp-decoder", "-o", "/proc/nowhere/x.v"], "/proc/nowhere"),
        (["sim", "ovp-decoder", "--vectors", "0"], "0 is not in the range x>=1"),
        (["sim", "ovp-decoder", "--seed", "-1"], "-1 is not in the range 0<=x"),
        (["synth", "ovp-decoder", "--target", "vax"], "unknown target 'vax'"),
        (["synth", "ovp-decoder"], "target"),
        (["synth", "ovp-decoder", "--liberty", "no.lib"], "'no.lib' does not exist"),
        (["build", "ovp-decoder", "--board", "toaster"], "unknown board 'toaster'"),
        (["flash", "ovp-decoder", "--board", "toaster"], "unknown board 'toaster'"),
        (["quantize", "no.safetensors", "--format", "int4"], "no file 'no.safetensors'"),
        (["quantize", "minilm", "--format", "int3"], "unknown format 'int3': there are ovp-int4"),
        (["demo", "--weights", "no.safetensors"], "no file 'no.safetensors'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["list", "--colour"], "No such option '--colour'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_request_prints_one_line_and_leaves_nothing(words, message, tmp_path):
    assert message in complaint(*words, cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_foreign_truncated_and_unusable_weights(tmp_path):
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"not a safetensors file at all")
    assert "w.safetensors" in complaint("quantize", file, "--format", "int4")
    safetensors.save(file, {"a.weight": np.ones((4, 8), np.float32)})
    file.write_bytes(file.read_bytes()[:-9])
    assert "w.safetensors" in complaint("quantize", file, "--format", "int4")
    safetensors.save(file, {"a.weight": np.full((4, 8), np.nan, np.float32)})
    assert "tensor 'a.weight': x must be finite, not nan at index (0, 0)" in complaint(
        "quantize", file, "--format", "int4"
    )
    safetensors.save(file, {"a.bias": np.ones(4, np.float32)})
    assert "holds no weight matrix" in complaint("quantize", file, "--format", "int4")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_quantize_writes_codes_and_steps(tmp_path):
    weight = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    file = tmp_path / "w.safetensors"
    safetensors.save(file, {"a.weight": weight})
    output, _ = bitloom(
        "quantize",
        file,
        "--format",
        "ovp-int4",
        "-o",
        tmp_path / "new" / "q.safetensors",
        "--json",
        tmp_path / "q.json",
    )
    assert "a.weight" in output
    stored = safetensors.load(tmp_path / "new" / "q.safetensors")
    assert stored["a.weight.codes"].shape == (4, 5) and stored["a.weight.steps"].shape == (4,)
    report = json.loads((tmp_path / "q.json").read_text())
    assert report["format"] == "ovp-int4" and report["tensors"][0]["sqnr_db"] > 10


def test_quantize_says_what_was_taken_and_obeys_patterns(tmp_path):
    rng = np.random.default_rng(1)
    file, output, report = tmp_path / "w.safetensors", tmp_path / "q.safetensors", tmp_path / "q.json"
    names = ("wte.weight", "h.0.attn.c_attn.weight", "lm_head.weight")
    tensors = {name: rng.normal(size=(4, 12)).astype(np.float32) for name in names}
    safetensors.save(file, tensors | {"ln_f.weight": np.ones(4, np.float32), "empty.weight": np.ones((3, 0))})
    words = ["quantize", file, "--format", "int4", "-o", output, "--json", report]
    lines = {line.split()[0]: line for line in bitloom(*words)[0].splitlines()}
    assert "left: table of embeddings" in lines["wte.weight"] and "left: empty" in lines["empty.weight"]
    assert "Conv1D, in x out" in lines["h.0.attn.c_attn.weight"] and "output head" in lines["lm_head.weight"]
    assert lines["left:"] == "left: 1 tensor of other than two axes"
    told = json.loads(report.read_text())
    assert {row["name"]: row["why"] for row in told["left"]} == {
        "empty.weight": "empty",
        "ln_f.weight": "of 1 axis",
        "wte.weight": "table of embeddings",
    }
    stored = safetensors.load(output)
    assert {name: array.shape for name, array in stored.items()} == {
        "h.0.attn.c_attn.weight.codes": (12, 4),
        "h.0.attn.c_attn.weight.steps": (12,),
        "lm_head.weight.codes": (4, 12),
        "lm_head.weight.steps": (4,),
    }
    bitloom(*words, "--take", "wte*", "--take", "h.*", "--skip", "lm_head.weight", "--transposed", "wte.weight")
    stored = safetensors.load(output)
    assert {name: array.shape[0] for name, array in stored.items() if name.endswith("steps")} == {
        "h.0.attn.c_attn.weight.steps": 4,
        "wte.weight.steps": 12,
    }
    message = complaint(*words, "--skip", "head")
    assert message == f"bitloom: {file}: --skip 'head' matches no matrix of floating-point numbers"
    assert "--take is not for --format sevedo" in complaint("quantize", file, "--format", "sevedo", "--take", "*")


def test_quantize_reads_a_pipe_and_asks_where_to_write(tmp_path):
    safetensors.save(tmp_path / "w", {"a.weight": np.eye(4, 8)})
    content = (tmp_path / "w").read_bytes()
    command = [sys.executable, "-m", "bitloom", "quantize", "/dev/stdin", "--format", "int8"]
    done = subprocess.run(command, input=content, capture_output=True, cwd=tmp_path)
    wanted = b"bitloom: /dev/stdin is no plain file: name the output with -o (see bitloom quantize --help)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", wanted)
    done = subprocess.run([*command, "-o", "piped"], input=content, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bitloom("quantize", "w", "--format", "int8", "-o", "plain", cwd=tmp_path)
    assert (tmp_path / "piped").read_bytes() == (tmp_path / "plain").read_bytes()


def test_an_exact_tensor_has_no_infinite_ratio(tmp_path):
    file, report = tmp_path / "w.safetensors", tmp_path / "q.json"
    safetensors.save(file, {"a.weight": np.array([[7.0, -7.0, 3.0, 0.0]])})
    output, _ = bitloom("quantize", file, "--format", "int4", "--json", report)
    assert output.splitlines()[2].split()[-3:] == ["0", "exact", "0"]
    strict = json.loads(report.read_text(), parse_constant=lambda constant: pytest.fail(constant))
    assert strict["tensors"][0]["sqnr_db"] is None and strict["tensors"][0]["mse"] == 0


def test_demo_tells_its_story_on_any_weights(tmp_path):
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(16, 64)) * np.where(rng.random((16, 64)) < 0.01, 30, 1)
    file = tmp_path / "w.safetensors"
    safetensors.save(file, {"a.weight": weight.astype(np.float32), "b.weight": np.eye(8, dtype=np.float32)})
    output, _ = bitloom("demo", "--weights", file, "-o", tmp_path / "out", "--json", tmp_path / "out" / "demo.json")
    assert "512 bytes of a.weight through the Verilated decoder: every one equals the golden model" in output
    assert "no known model" in output
    told = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert [row["name"] for row in told["layers"]] == ["a.weight", "b.weight"]
    assert told["simulation"]["passed"] and told["simulation"]["transfers"] == 512
    assert [report["target"] for report in told["synthesis"]] == ["ice40-up5k", "ecp5-25k"]
    assert (tmp_path / "out" / "histogram.png").read_bytes().startswith(b"\x89PNG")


def test_a_reader_that_leaves_early_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "bitloom", "list"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def processes_with(text):
    """Command lines of the processes that have a text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "words",
    [
        ["synth", "ovp-encoder", "--target", "ecp5-25k", "--json", "report.json"],
        ["sim", "ovp-encoder", "--vectors", "10000000", "--waves", "w.vcd"],
        ["build", "ovp-encoder", "--board", "icebreaker", "-o", "core.bin"],
    ],
    ids=lambda words: words[0],
)
def test_an_interrupt_leaves_no_process_and_no_file(words, number, tmp_path):
    cache, work = tmp_path / "cache", tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "BITLOOM_CACHE": str(cache)}
    command = [sys.executable, "-m", "bitloom", *words]
    process = subprocess.Popen(command, cwd=work, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while len(processes_with(str(cache))) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(processes_with(str(cache))) >= 2, "no tool was ever started"
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, error.splitlines()[-1]) == (130, "bitloom: interrupted")
    assert processes_with(str(cache)) == []
    assert [*work.iterdir()] == []


def test_doctor_lists_every_tool_and_where_it_is():
    rows = json.loads(
        subprocess.run([sys.executable, "-m", "bitloom", "doctor", "--json"], capture_output=True, text=True).stdout
    )
    found = {row["tool"]: row for row in rows}
    assert {"yosys", "verilator", "nextpnr-ice40", "openFPGALoader"} <= found.keys()
    assert all(bool(row["path"]) == row["found"] for row in rows)
    shown = CliRunner().invoke(cli.bitloom, ["doctor"]).output
    for row in rows:
        assert row["path"] in shown
    assert 'eval "$(bitloom doctor --shell)"' in shown


def test_a_shell_that_doctor_sets_up_finds_verilator_and_amaranth_finds_yosys(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m bitloom doctor --shell"
    convert = (
        "from amaranth.back import verilog; from bitloom.cores.catalogue import lookup; "
        "core = lookup('ovp-decoder'); print(verilog.convert(core.component(core.config())).count('endmodule') > 0)"
    )
    (tmp_path / "a.v").write_text("module a(input x, output y); assign y = x; endmodule\n")
    script = f'eval "$({command})" && verilator --lint-only a.v && {shlex.quote(sys.executable)} -c "{convert}"'
    # Perl, for Verilator's script; no Yosys is there.
    system = {"PATH": os.pathsep.join({os.path.dirname(shutil.which(name)) for name in ("perl", "sh")})}
    kept = {name: os.environ[name] for name in ("HOME", "YOWASP_CACHE_DIR") if name in os.environ}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=system | kept, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True"]), done.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_doctor_warns_of_the_other_project_of_that_name(installed, monkeypatch):
    def version(name):
        if name == "bitloom" and not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1.0"

    monkeypatch.setattr(installation.importlib.metadata, "version", version)
    warned = [line for line in installation.warnings() if "bitloom-rtl: pip uninstall bitloom" in line]
    assert len(warned) == installed
    monkeypatch.setattr(installation, "rows", list)
    assert ("warning: the distribution bitloom" in CliRunner().invoke(cli.bitloom, ["doctor"]).output) == installed


def test_the_package_is_where_the_checkout_is():
    assert Path(cli.__file__).parents[1] == Path(__file__).parents[2]
