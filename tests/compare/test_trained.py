"""Rows with weights that were trained for them: what they are measured by, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import kept as keeping
from bitloom.compare.measure import measure
from bitloom.golden.workloads import bdwp, distillation, safetensors, transformer
from bitloom.golden.workloads.comparison import models, rows
from bitloom.golden.workloads.comparison.causal_subject import CausalSubject
from bitloom.golden.workloads.evaluate import mean_cosine
from bitloom.golden.workloads.sentences import SENTENCES
from bitloom.golden.workloads.transformer import Encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_encoder.write(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """The same encoder with pruned weights."""
    place = tmp_path_factory.mktemp("trained") / "model"
    pruned = distillation.pruned(Encoder.load(folder), bdwp.Method.parse("bdwp-2:8"))
    return toy_encoder.write(place, change=lambda made: made.update(transformer.tensors(pruned)))


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(keeping.caches, "cache_dir", lambda *parts: tmp_path)


def test_the_measure_is_the_model_that_was_not_trained(folder, trained):
    subject = models.subject(str(folder), 3)
    other = subject.trained(trained)
    assert other.scores(other.ops())["cosine"] == pytest.approx(
        mean_cosine(Encoder.load(folder).embed(SENTENCES[:3]), Encoder.load(trained).embed(SENTENCES[:3]))
    )
    assert other.scores(other.ops())["cosine"] < 0.98 < subject.scores(subject.ops())["cosine"]
    assert other.judged() is other and other.limited(1, None).original is subject.encoder
    # What was kept is kept of both.
    assert len({x.fingerprint() for x in (subject, other, models.subject(str(trained), 3))}) == 3


def test_a_row_of_pruned_weights_is_the_row_that_prunes(folder, trained):
    """The largest of each group are those that are left, so pruning once more changes nothing."""
    plain, again = (measure(str(folder), name, 2) for name in ("2:8", f"2:8={trained}"))
    assert (plain["row"], again["row"]) == ("2:8", "2:8-trained") and again["summary"].endswith(f"trained: {trained}")
    assert plain["weight_codes"] == again["weight_codes"]
    # Steps of activations are those of another model.
    assert plain["scores"]["cosine"] == pytest.approx(again["scores"]["cosine"], abs=0.02)
    assert plain["cycles"] == again["cycles"]


@pytest.mark.long
def test_trained_weights_go_through_the_core(folder, trained, monkeypatch):
    monkeypatch.setitem(rows.ROWS, "2:8", replace(rows.ROWS["2:8"], size={"rows": 2, "cols": 2}))
    record = measure(str(folder), f"2:8={trained}", 1, way="rtl")
    assert record["rtl"]["failures"] == [] and record["rtl"]["products"] == 2 * (6 + 2 * 2)


def test_command(folder, trained):
    told, _ = bitloom("compare", folder, "--rows", "int8", "--inputs", "1", "--trained", f"2:8={trained}")
    assert [line.split()[0] for line in told.splitlines()[2:4]] == ["int8", "2:8-trained"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2:8"], "trained weights must be ROW=FOLDER, not '2:8'"),
        (["2:8="], "trained weights must be ROW=FOLDER, not '2:8='"),
        (["2:9=x"], "unknown row '2:9': there are fp16, int8"),
        (["2:8=nowhere"], "nowhere: no such folder, expected one with config.json and model.safetensors"),
        (["2:8=wide"], "wide: hidden_size must be 32, as the compared model's, not 48"),
        (["2:8=wide", "2:8=other"], "the row '2:8-trained' is given twice"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(words, message, folder, tmp_path):
    toy_encoder.write(tmp_path / "wide", hidden=48)
    options = [option for word in words for option in ("--trained", word)]
    assert message in complaint("compare", folder, *options, cwd=tmp_path)


def test_other_models_take_no_folder():
    with pytest.raises(ValueError, match=r"^trained weights, x, are for a sentence encoder$"):
        CausalSubject.trained(None, "x")


def test_pruned_weights_are_in_the_file(trained):
    weights = safetensors.load(trained / "model.safetensors")["encoder.layer.0.attention.self.query.weight"]
    assert np.count_nonzero(weights) == weights.size // 4
