"""`compile`, `info FILE` and `run model` on toy encoders."""

import json

import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.cli.machine import _machine
from bitloom.cores.machine.config import MachineConfig

PARAMETERS = {
    **{"lanes": 4, "tokens": 16, "channels": 32, "hidden": 48, "panels": 64},
    **{"jobs": 128, "address_bits": 14, "id_bits": 8, "entries": 8},
}


def words_of(**changed):
    return [word for name, value in (PARAMETERS | changed).items() for word in ("-p", f"{name}={value}")]


WORDS = words_of()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    toy_encoder.write(folder / "toy")
    return folder


@pytest.fixture(scope="module")
def program(folder):
    bitloom("compile", "toy", *WORDS, "--tokens", 8, "--json", "c.json", "-o", "toy.npz", cwd=folder)
    return folder / "toy.npz"


def test_compile_tells_each_part(folder, program):
    told = json.loads((folder / "c.json").read_text())
    assert told["parameters"] | PARAMETERS == told["parameters"]
    parts = {part["part"]: part for part in told["parts"]}
    assert [parts[name]["jobs"] for name in ("query, key, value", "logits", "softmax", "LayerNorm")] == [6, 4, 4, 5]
    assert 0 < told["busy"] < 1 and told["sentences_per_second"] == pytest.approx(95e6 / told["cycles"])
    output, _ = bitloom("info", program)
    title, *lines = output.splitlines()
    assert title.startswith("toy.npz: ") and lines[-1].split() == [str(len(lines) - 1), "end"]
    assert sum("softmax" in line for line in lines) == 4


def test_linear_layers_in_pairs(folder, program):
    words = ["compile", "toy", *WORDS, "--tokens", 8, "--format", "ovp-int4", "--json", "p.json", "-o", "pairs.npz"]
    bitloom(*words, cwd=folder)
    told, before = (json.loads((folder / name).read_text()) for name in ("p.json", "c.json"))
    assert told["parameters"]["format"] == "ovp-int4" and told["words"] < before["words"]
    output, _ = bitloom("info", folder / "pairs.npz")
    assert sum(line.endswith("pairs") for line in output.splitlines()) == 6
    output, _ = bitloom("run", "model", folder / "pairs.npz", "--on", "golden", "red light", "old blue")
    assert "old blue" in output


def test_the_same_request_gives_the_same_bytes(folder, program):
    before = program.read_bytes()
    bitloom("compile", "toy", *WORDS, "-o", "again.npz", cwd=folder)
    assert (folder / "again.npz").read_bytes() == before


def test_a_board_says_what_machine_it_has():
    given = _machine((), "ulx3s-85f")
    assert given == MachineConfig() and given.target == "generic"


def test_sentences_are_embedded(program):
    report = program.parent / "r.json"
    output, _ = bitloom("run", "model", program, "--on", "golden", "red light", "old blue", "--json", report)
    told = json.loads(report.read_text())
    assert [row["nearest"] for row in told["sentences"]] == ["old blue", "red light"]
    assert told["mean_cosine"] > 0.95 and "old blue" in output


@pytest.mark.long
def test_the_simulated_machine_embeds_them_too(program):
    words = ["run", "model", program, "red light", "old blue", "green", "--batch", 2]
    output, _ = bitloom(*words, "--json", program.parent / "s.json")
    assert "every sum is that of the golden machine" in output
    told = json.loads((program.parent / "s.json").read_text())
    assert len(told["passes"]) == 2 and told["failure"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compile", "nowhere"], "nowhere"),
        (["compile", "toy", "-p", "lanes=5"], "lanes must be one of 4, 8, not 5"),
        (["compile", "toy", "--format", "int4"], "format must be one of int8, ovp-int4, not 'int4'"),
        (["compile", "toy", "--format", "int8", "-p", "format=int8"], "parameter 'format' is given twice"),
        (["compile", "toy", *words_of(channels=16)], "channels must be a multiple of 4 up to the machine's 16, not 32"),
        (["compile", "toy", *words_of(address_bits=10)], "more than the machine's memory"),
        (["compile", "toy", "--board", "icebreaker"], "machine does not fit icebreaker: the smallest array, 4 x 4"),
        (["compile", "toy", "--board", "arty"], "unknown board 'arty'"),
        (["compile", "toy", "--board", "ulx3s-85f", *WORDS], "--board has parameters of its own: give it or -p"),
        (["run", "model", "toy.npz", "--on", "/dev/ttyNONE", "red"], "there is no port /dev/ttyNONE"),
        (["compile", "toy", *WORDS, "--tokens", "17"], "tokens of a sentence must be 1 to 16, not 17"),
        (["compile", "toy", *WORDS, "--batch", "5", "--tokens", "4"], "sentences must have at most 4 groups"),
        (["run", "model", "toy.npz", "--on", "golden", "a " * 20], "tokens of a sentence must be 1 to 16, not 22"),
        (["run", "model", "toy/config.json", "--on", "golden", "a"], "it is no program of the machine"),
        (["run", "model", "toy.npz", "--on", "golden"], "Missing argument"),
        (["run", "model", "toy.npz", "--check", "tensors", "--on", "golden", "a"], "must be with --on rtl"),
        (["info", "toy.npz", "--json"], "no option is for it"),
    ],
)
def test_a_wrong_request_is_one_line(folder, program, words, message):
    assert message in complaint(*words, *(["-o", "x.npz"] if words[0] == "compile" else []), cwd=folder)
    assert not (folder / "x.npz").exists()


@pytest.mark.long
def test_every_tensor_is_held_against_the_golden_encoder(program):
    report = program.parent / "t.json"
    output, _ = bitloom("run", "model", program, "red light", "a car", "--check", "tensors", "--json", report)
    assert output.splitlines()[-1] == "check: every tensor is that of the golden encoder"
    told = json.loads(report.read_text())
    assert (told["wrong"], told["failure"]) == (0, None) and told["tensors"] == 2 * len(told["names"]) == 66
