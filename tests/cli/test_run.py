"""`run` and its subcommands: what each takes, the old spellings, and what is told where."""

import json

import click
import numpy as np
import pytest
from command_line import bitloom, complaint

from bitloom.cli.program import bitloom as program
from bitloom.cores.catalogue import CATALOGUE

RUN = program.commands["run"]
TILE = [word for text in CATALOGUE["systolic-tile"].small for word in ("-p", text)]


def resolved(*words):
    """The subcommand that words lead to, and the new spelling of an old one."""
    with click.Context(RUN, info_name="run") as context:
        name, command, rest = RUN.resolve_command(context, [*words])
        return name, command.name, rest, context.meta.get("bitloom.new_spelling")


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_name_of_every_core_is_a_command(name):
    words = ["--in", "a.npy", "-o", "y.npy"]
    assert resolved(name, *words) == (name, "CORE", words, None)


@pytest.mark.parametrize("words", [["--in", "job=j.npy"], ["--in=job=j.npy"], ["--help"], ["-h"]])
def test_gemm_with_streams_is_the_core(words):
    assert resolved("gemm", *words) == ("gemm", "CORE", words, None)


def test_old_spellings_lead_to_the_new_commands():
    words = ["--on", "twin", "--format", "int8", "-p", "a_depth=2048", "A.npy", "my W.npy", "-o", "Y.npy"]
    new = "bitloom run matmul --on twin --format int8 -p a_depth=2048 A.npy 'my W.npy' -o Y.npy"
    assert resolved("gemm", *words) == ("matmul", "matmul", words, new)
    words = ["l.npz", "X.npy", "--layer", "a", "-o", "Y.npy"]
    assert resolved("sevedo", *words) == ("layer", "layer", words, "bitloom run layer l.npz X.npy --layer a -o Y.npy")
    for name in ("matmul", "layer"):
        assert resolved(name, *words) == (name, name, words, None)


def test_an_unknown_core_is_told_before_its_options():
    with pytest.raises(ValueError, match="unknown core 'toaster': there are ovp-decoder"):
        resolved("toaster", "--whatever")
    assert "unknown core 'CORE'" in complaint("run", "CORE", "-o", "Y.npy")


def test_fields_of_payloads_go_in_and_come_out(tmp_path):
    """A weight and its negative, the larger one of four kept; what comes out is an array a field."""
    weights = np.int8([[1], [-128], [5], [0], [0], [0], [7], [0]])
    np.savez(tmp_path / "w.npz", lanes=weights, last=np.arange(8) == 7)
    words = ["run", "nm-selector", "--in", "w.npz", "--set", "slots=1", "-p", "lanes=1", "-p", "group=4", "-o", "s.npz"]
    assert "wrote s.npz" in bitloom(*words, cwd=tmp_path)[0]
    with np.load(tmp_path / "s.npz") as found:
        assert {name: found[name].tolist() for name in found.files} == {
            "lanes.value": [[-128], [7]],
            "lanes.index": [[1], [2]],
            "last": [0, 1],
        }
    np.savez(tmp_path / "w.npz", lanes=weights.astype(int) * 2, last=0)
    message = "'w.npz', stream i: field 'lanes' must be -128 to 127, not -256 in transfer 1, at [0]"
    (tmp_path / "s.npz").unlink()
    assert message in bitloom(*words, cwd=tmp_path, status=2)[1]
    assert not (tmp_path / "s.npz").exists()


def options(name):
    return {word for option in RUN.commands[name].params for word in (*option.opts, *option.secondary_opts)}


def test_each_has_its_own_options():
    shared = {"--on", "-p", "--parameter", "-o", "--out", "--output", "--json"}
    link = {"--baud", "--no-check"}
    assert options("CORE") == shared | link | {"--in", "--set"}
    assert options("matmul") == shared | link | {"--format", "a", "w"}
    assert options("layer") == shared | {"--layer", "layers", "x"}


def test_an_old_spelling_does_the_same_and_ends_in_one_line(tmp_path):
    np.save(tmp_path / "A.npy", np.arange(-18, 18).reshape(6, 6))
    words = ["--format", "int8", *TILE, "A.npy", "A.npy", "--json", "r.json", "-o"]
    output, error = bitloom("run", "matmul", *words, "new.npy", cwd=tmp_path)
    assert output.startswith("matmul  ") and "now spelled" not in error
    output, error = bitloom("run", "gemm", *words, "old.npy", cwd=tmp_path)
    new = " ".join(["bitloom run matmul", *words, "old.npy"])
    assert error.splitlines()[-1] == f"bitloom: this is now spelled: {new}" and output.endswith("wrote old.npy\n")
    assert (tmp_path / "old.npy").read_bytes() == (tmp_path / "new.npy").read_bytes()
    assert json.loads((tmp_path / "r.json").read_text())["checked"] == "golden model"


def test_a_wrong_request_in_an_old_spelling_is_one_line_too(tmp_path):
    message = complaint("run", "gemm", "A.npy", "W.npy", "-o", "Y.npy", cwd=tmp_path)
    assert message == "bitloom: --format must be given on rtl (see bitloom run matmul --help)"


def test_a_product_on_rtl_need_not_be_checked(tmp_path):
    np.save(tmp_path / "A.npy", np.arange(-18, 18).reshape(6, 6))
    words = ["run", "matmul", "--format", "int8", *TILE, "A.npy", "A.npy", "-o", "Y.npy", "--json", "r.json"]
    lines = bitloom(*words, "--no-check", cwd=tmp_path)[0].splitlines()
    assert ["check", "none"] in [line.split() for line in lines]
    told = json.loads((tmp_path / "r.json").read_text())
    assert (told["passed"], told["checked"], told["mismatches"]) == (True, None, 0)
    a = np.arange(-18, 18).reshape(6, 6)
    assert (np.load(tmp_path / "Y.npy") == a @ a).all()
