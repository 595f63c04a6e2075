"""Rows of the comparison on a toy encoder: what a record holds, what is kept, what is refused."""

import csv
import json
import re
from dataclasses import replace

import made_up_rows as made_up
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import kept as keeping
from bitloom.compare import measure as measuring
from bitloom.compare import run
from bitloom.compare.measure import measure
from bitloom.golden.workloads.comparison.rows import ROWS
from bitloom.testbench.comparison_units import Run


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
    # Softmax and GELU of each of two layers, and LayerNorm, of which the embeddings have one.
    units = record["rtl"]["units"]
    assert {core: unit["runs"] for core, unit in units.items()} == {
        "layernorm-unit": 5,
        "softmax-unit": 4,
        "pwl-unit": 2,
    }
    assert not any(unit["failures"] for unit in units.values()) and measuring.failures(record) == []
    tokens = record["places"][0]["shape"][0]
    assert (
        units["layernorm-unit"]["operations"] == 5 * tokens * 32 and units["pwl-unit"]["operations"] == 2 * tokens * 48
    )
    assert all(unit["cycles"] > unit["operations"] for unit in units.values())
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


def printed(monkeypatch, records, *words, status=0):
    """Lines that the command prints of these records."""
    monkeypatch.setattr(run.Request, "run", lambda self, jobs, progress, scheduler: made_up.run(*records))
    return bitloom("compare", "minilm", "--rows", "int8", "--on", "rtl", *words, status=status)[0].splitlines()


SIMULATED = {"products": 9, "cycles": 5, "failures": [], "seconds": 1.0}
UNITS = {"pwl-unit": {"runs": 2, "operations": 7000, "cycles": 8000, "failures": []}}


def test_a_row_without_a_core(folder, small, tmp_path, monkeypatch):
    """Accuracy alone, beside a row that went through its core; nothing of it is drawn, counted or synthesized."""
    alone = measure(folder, "ovp-int4-g32", 1, way="rtl")
    assert (alone["core"], alone["cycles"], alone["utilization"]) == (None, None, None) and "rtl" not in alone
    assert alone["weight_bits"] == 4.5 and 0.3 < alone["scores"]["cosine"] < 1
    baseline = {"what": "FP32", "scores": {"cosine": 1.0}}
    beside = made_up.record(
        "int8", 0.9, baseline=baseline, integer_scores={"cosine": 0.8}, rtl=SIMULATED | {"units": UNITS}
    )
    lines = printed(monkeypatch, [beside, alone], "-o", tmp_path / "report")
    heads, first, second, told, note = (re.split(r"  +", line) for line in lines[1:6])
    assert told == ["baseline, FP32: cosine 1.0000"]
    assert measure(folder, "int8", 1)["baseline"] == {"what": "FP32", "scores": {"cosine": pytest.approx(1)}}
    assert heads[-4:] == ["cycles", "busy", "RTL", "units"] and first[-2:] == ["9 equal", "7,000 equal"]
    assert [second[1], *second[-4:]] == ["-"] * 5
    assert note == ["no core here takes these, so they have accuracy alone: ovp-int4-g32"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "No core here takes the codes of ovp-int4-g32" in page and "Cycles of ovp-int4-g32" not in page
    assert "through pwl-unit</dt><dd>7,000 results in 2 runs, 8,000 cycles<" in page
    cells = list(csv.DictReader((tmp_path / "report" / "rows.csv").read_text().splitlines()))
    assert [line["rtl_unit_operations"] for line in cells] == ["7000", ""]
    assert [line["cycles_per_pass"] for line in cells] == ["1000", ""]


def test_a_core_that_differs_is_told(folder, small, monkeypatch):
    scheme = ROWS[small].scheme()
    monkeypatch.setattr(type(scheme), "cycles", lambda self, config, m, w: 7)
    failures = measure(folder, small, 1, way="rtl")["rtl"]["failures"]
    assert failures[0].startswith("layer.0.attention.query: it took ") and failures[0].endswith(" cycles, expected 7")


def test_a_unit_that_differs_is_told(monkeypatch):
    runs = [Run("layer.0.gelu", "pwl-unit", 8, 20, 0.1, None), Run("layer.1.gelu", "pwl-unit", 8, 21, 0.1, "it hung")]
    units = measuring._units(runs)
    assert units == {"pwl-unit": {"runs": 2, "operations": 16, "cycles": 41, "failures": ["layer.1.gelu: it hung"]}}
    record = made_up.record("int8", 0.9, integer_scores={"cosine": 0.8}, rtl=SIMULATED | {"units": units})
    assert measuring.failures(record) == ["layer.1.gelu: it hung"]
    *table, failure = printed(monkeypatch, [record], status=1)
    assert table[2].endswith("  9 equal  differ") and failure == "int8: layer.1.gelu: it hung"


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
