"""A design that is kept is the one that is generated, and is used only where nothing that decides it has changed."""

import dataclasses

import pytest

from bitloom.cores import kept
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import generate


@pytest.fixture
def generated(monkeypatch, tmp_path):
    """An empty cache, and a list of what was generated."""
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))
    calls = []
    monkeypatch.setattr(kept, "generate", lambda core, config: calls.append(core.name) or generate(core, config))
    return calls


def small(core):
    return core.config.parse(core.small)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_same_design_comes_back(name, generated):
    core = lookup(name)
    first, again = (kept.kept_design(core, small(core)) for _ in range(2))
    assert generated == [name]
    assert first == again
    want = generate(core, small(core))
    # JSON has no tuples, in parameters for one.
    assert dataclasses.replace(first, manifest=want.manifest) == want
    assert first.manifest.keys() == want.manifest.keys()
    assert first.manifest["sha256"] == want.manifest["sha256"]


def test_other_code_tools_or_parameters_are_another_design(monkeypatch, generated):
    core = lookup("ovp-decoder")
    kept.kept_design(core, small(core))
    kept.kept_design(core, core.config())
    monkeypatch.setattr(kept.sources, "digest", lambda *rooms: "another")
    kept.kept_design(core, small(core))
    monkeypatch.setattr(kept.importlib.metadata, "version", lambda name: "another")
    kept.kept_design(core, small(core))
    assert len(generated) == 4


def test_a_core_that_is_not_in_the_catalogue_is_not_kept(generated):
    core = dataclasses.replace(lookup("ovp-decoder"), summary="mine")
    for _ in range(2):
        kept.kept_design(core, small(core))
    assert len(generated) == 2
