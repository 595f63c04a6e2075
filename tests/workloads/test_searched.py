"""Anda's mantissas for a model: what the search may see, and what it must keep."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import toy_causal
import toy_encoder

from bitloom.golden.workloads import anda_search
from bitloom.golden.workloads.causal import CausalModel
from bitloom.golden.workloads.comparison import apply, rows
from bitloom.golden.workloads.comparison.causal_subject import CausalSubject
from bitloom.golden.workloads.comparison.floats import AndaScheme
from bitloom.golden.workloads.comparison.searched import SearchedAnda
from bitloom.golden.workloads.comparison.sentence_subject import Sentences
from bitloom.golden.workloads.transformer import Encoder

TEXTS = ("red green old light", "the newest and", "blue or greener .")


class Unseen(Sentences):
    """A subject whose inputs to measure on may not be looked at."""

    def scores(self, ops):
        raise AssertionError("measured")


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    toy_encoder.write(folder)
    return Unseen(Encoder.load(folder), TEXTS[:1], TEXTS)


def lost(subject, mantissas):
    """Share of the cosine that mantissas lose on the calibration inputs, against FP16 activations."""
    tried, scores = subject.on_calibration(), []
    for scheme in (rows.ROWS["fp16"].scheme(), AndaScheme(mantissas)):
        scores.append(tried.scores(apply.operations(tried, apply.prepare(tried, scheme)))["cosine"])
    return 1 - scores[1] / scores[0]


def test_the_search_keeps_the_quality_and_goes_no_further(subject):
    costs = []
    for tolerance in (0.0005, 0.01):
        chosen = SearchedAnda(tolerance).fitted(subject).chosen
        assert [*chosen] == [*anda_search.MODULES]
        assert lost(subject, chosen) <= tolerance
        costs.append(sum(chosen.values()))
        # The cheapest uniform combination is dearer, or it loses too much.
        assert lost(subject, dict.fromkeys(chosen, min(chosen.values()) - 1)) > tolerance
    assert costs[0] > costs[1]


def test_a_prepared_model_has_the_chosen_mantissas(subject):
    prepared = apply.prepare(subject, rows.ROWS["anda"].scheme())
    chosen = prepared.scheme.chosen
    assert chosen and {n: w.mantissa for n, w in prepared.weights.items()} == {
        name: chosen[layer.kind] for name, layer in subject.linears.items()
    }


def test_nothing_good_enough_is_said(subject, monkeypatch):
    monkeypatch.setattr(Unseen, "kept", lambda *scores: 0.98)
    with pytest.raises(ValueError, match=r"^no mantissas up to 13 bits lose 0\.01 or less$"):
        SearchedAnda().fitted(subject)


def test_a_language_model_keeps_less_as_its_perplexity_grows(tmp_path):
    path = tmp_path / "toy.gguf"
    toy_causal.write(path, toy_causal.tensors())
    text = np.arange(30) % 9
    subject = CausalSubject(CausalModel.load(path), 1, 20, text)
    subject.calibration = text[:12]
    assert subject.kept({"perplexity": 20.0}, {"perplexity": 20.2}) == pytest.approx(0.99)
    tried = subject.on_calibration()
    assert tried.text is subject.calibration and (tried.windows, tried.length) == (1, 12)
    assert subject.limited(None, 10).text is text


def test_a_file_of_codes_is_a_baseline_that_says_so(tmp_path):
    model = CausalModel.load(toy_causal.write(tmp_path / "toy.gguf", toy_causal.tensors()))
    assert CausalSubject(model, 1, 20, [1, 2]).baseline == "FP32"
    kinds = {"a": SimpleNamespace(kind="Q8_0"), "b": SimpleNamespace(kind="F32"), "c": SimpleNamespace(kind="Q4_1")}
    model = replace(model, file=replace(model.file, tensors=kinds))
    told = "FP32 with the file's own weights, dequantized Q4_1 and Q8_0"
    assert CausalSubject(model, 1, 20, [1, 2]).baseline == told
