"""Rows of the comparison on a toy encoder: what a record holds, what is kept, what is refused."""

import json
from dataclasses import replace

import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import kept as keeping
from bitloom.compare import measure as measuring
from bitloom.compare.measure import measure
from bitloom.golden.workloads.comparison.rows import ROWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "model"
    toy_encoder.write(path)
    return str(path)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A row on a small core, and nothing kept."""
    monkeypatch.setitem(ROWS, "ovp-int4", replace(ROWS["ovp-int4"], size={"rows": 4, "cols": 2}))
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(keeping.caches, "cache_dir", lambda *parts: kept if parts == ("compare",) else usual(*parts))
    return "ovp-int4"


usual = keeping.caches.cache_dir


def test_a_row_through_its_core(folder, small, monkeypatch):
    record = measure(folder, small, 2, way="rtl")
    places = [place["place"] for place in record["places"]]
    assert len(places) == 2 * (6 + 2) and places[:5] == [
        *(f"layer.0.attention.{part}" for part in ("query", "key", "value", "scores", "context"))
    ]
    # Two sentences, two heads.
    assert record["rtl"]["products"] == 2 * (6 + 2 * 2 * 2)
    assert record["rtl"]["failures"] == [] and record["rtl"]["cycles"] == record["cycles"]
    assert record["weight_bits"] == record["activation_bits"] == 4
    assert record["products"] == sum(place["products"] for place in record["places"])
    # What stands on the way is told, too: every weight's code, and the noise of every place.
    layers = sum(place["weights"] for place in record["places"])
    assert layers == sum(count for _, count in record["weight_codes"]) == 2 * (4 * 32 * 32 + 2 * 32 * 48)
    assert all(5 < place["sqnr_db"] < 60 for place in record["places"])
    assert 0 < record["utilization"] <= 1 and 0.3 < record["scores"]["cosine"] < 1
    # It is kept, and for another way or number of inputs it is not.
    monkeypatch.setattr(measuring, "_measured", lambda *arguments: {"again": 1})
    assert measure(folder, small, 2, way="rtl") == record
    assert measure(folder, small, 2)["again"] == measure(folder, small, 3, way="rtl")["again"] == 1


def test_a_core_that_differs_is_told(folder, small, monkeypatch):
    scheme = ROWS[small].scheme()
    monkeypatch.setattr(type(scheme), "cycles", lambda self, config, m, w: 7)
    failures = measure(folder, small, 1, way="rtl")["rtl"]["failures"]
    assert failures[0].startswith("layer.0.attention.query: it took ") and failures[0].endswith(" cycles, expected 7")


def test_command(folder, tmp_path):
    told, _ = bitloom("compare", folder, "--rows", "int8,mxfp4,fp16", "--inputs", "2", "--json", tmp_path / "rows.json")
    assert "mx-tile" in told and "attention is outside of the core, in floating point: fp16" in told
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [record["row"] for record in found["rows"]] == ["int8", "mxfp4", "fp16"] and found["inputs"] == 2
    assert found["rows"][1]["weight_bits"] == 4.25


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["minilm", "--rows", "int8,int5"], "unknown row 'int5': there are fp16, int8"),
        (["gpt"], "no model 'gpt': give minilm, smollm2, vit-s, a folder with config.json, a .gguf or"),
        (["minilm", "--inputs", "25"], "inputs must be 1 to 24, not 25"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(words, message, tmp_path):
    assert message in complaint("compare", *words, cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_an_unknown_row_in_python():
    with pytest.raises(ValueError, match=r"^unknown row 'int5': there are fp16, "):
        measure("minilm", "int5")
