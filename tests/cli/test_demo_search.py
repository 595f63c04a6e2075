"""`demo search` on a toy encoder, with the sentences that it searches embedded by the golden machine."""

import importlib
import io
import json
import sys

import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.golden.workloads import machine_search, topics

TOPICS = topics.TOPICS[:10]

SIZES = {"lanes": 4, "tokens": 96, "channels": 8, "hidden": 8, "panels": 16, "jobs": 64, "address_bits": 12}
WORDS = [word for name, value in SIZES.items() for word in ("-p", f"{name}={value}")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    toy_encoder.write(folder / "toy", layers=1, heads=1, hidden=8, up=8, longest=128)
    bitloom("compile", "toy", *WORDS, "-p", "entries=8", "-p", "id_bits=8", "-o", "toy.npz", cwd=folder)
    return folder / "toy.npz"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A tenth of the sentences, for the time's sake."""
    monkeypatch.setattr(topics, "TOPICS", TOPICS)


def test_a_sentence_of_the_hundred_is_nearest_to_itself(program):
    report = program.parent / "s.json"
    output, _ = bitloom("demo", "search", *TOPICS[7].split(), "--program", program, "--limit", 2, "--json", report)
    (told,) = json.loads(report.read_text())
    assert told["query"] == TOPICS[7] and len(told["nearest"]) == 2
    assert told["nearest"][0] == {"sentence": TOPICS[7], "similarity": pytest.approx(1)}
    assert told["energy_joules"] == pytest.approx(told["bytes"] * 162.5e-12 + told["products"] * 0.3e-12)
    assert "of the model of cycles" in output and "by estimate" in output and TOPICS[7] in output


def test_lines_are_queries_until_an_empty_one(program, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"red light\n{'a ' * 100}\nold blue\n\nnever\n"))
    output, _ = bitloom("demo", "search", "--program", program)
    assert "red light (4 tokens)" in output and "old blue (4 tokens)" in output
    assert "tokens of a sentence must be 1 to 96, not 102" in output and "never" not in output


def test_a_wrong_request_is_one_line(program):
    assert "'a a a a" in complaint("demo", "search", "a " * 100, "--program", program)
    assert "nowhere" in complaint("demo", "search", "a", "--program", "nowhere.npz")
    assert "limit" in complaint("demo", "search", "a", "--program", program, "--limit", 0)


def test_topics_differ_and_the_nearest_come_first():
    every = importlib.reload(topics).TOPICS
    assert len(every) == len(set(every)) == 100
    assert machine_search.nearest([[1, 0], [0, 2], [3, 3], [0, 1]], [0, 5], 3) == [
        (1, 1.0),
        (3, 1.0),
        (2, pytest.approx(0.5**0.5)),
    ]
    assert machine_search.nearest([[0, 0]], [0, 5], 3) == [(0, 0.0)]
