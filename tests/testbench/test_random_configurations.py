"""Configurations drawn at random: what is drawn, that the cores refuse the others, and that they work in each.

A run's seed is in its header and in the message of each failure: `BITLOOM_SEED=N make test` repeats it.
"""

import dataclasses
import functools
import os

import numpy as np
import pytest
import random_configurations
from benches import rehearse
from random_configurations import STEPS, check

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import INTERFACES
from bitloom.testbench.configurations import MOST_SIGNAL_BITS, draw_illegal, propose, signal_bits

SEED = int(os.environ["BITLOOM_SEED"])

each_core = pytest.mark.parametrize("name", CATALOGUE)


def seed_of(name, *more):
    return [SEED, list(CATALOGUE).index(name), *more]


def moderate(core):
    """Bits of signals of what is drawn for `make test`: half as many again as the small configuration has, or 4,000."""
    return max(4_000, signal_bits(core.component(core.config.parse(core.small))) * 3 // 2)


@functools.cache
def drawn(name, number):
    """The first one is moderate, the others are of any size that can be simulated in seconds."""
    least = moderate(lookup(name))
    most = max(MOST_SIGNAL_BITS, least) if number else least
    return random_configurations.drawn(name, seed_of(name, number), most)


@each_core
def test_proposals_reach_the_ends_of_every_field(name):
    core, rng = lookup(name), np.random.default_rng(seed_of(name))
    proposals = [propose(core.config, rng) for _ in range(1000)]
    for field in dataclasses.fields(core.config):
        data, found = field.metadata, {proposal[field.name] for proposal in proposals}
        ends = data["choices"] or ((False, True) if isinstance(field.default, bool) else (data["low"], data["high"]))
        assert found >= {*ends, field.default}, f"{field.name}, seed {SEED}"


@each_core
def test_the_same_seed_draws_the_same(name):
    core = lookup(name)
    for number in range(20):
        once, again = (propose(core.config, np.random.default_rng(seed_of(name, number))) for _ in range(2))
        assert once == again
    config, _ = drawn(name, 0)
    assert config == core.config.parse(config.assignments())
    assert signal_bits(core.component(config)) <= moderate(core)


@each_core
def test_illegal_values_are_refused_by_name(name):
    core, rng = lookup(name), np.random.default_rng(seed_of(name))
    for _ in range(100):
        wrong, values = draw_illegal(core, rng)
        with pytest.raises((TypeError, ValueError)) as error:
            core.config(**values)
        assert str(error.value).startswith(f"{wrong} must be "), f"{values}, seed {SEED}"
        assert str(error.value).endswith(f", not {values[wrong]!r}")


@each_core
def test_fields_that_do_not_go_together_are_refused_by_name(name):
    core, rng = lookup(name), np.random.default_rng(seed_of(name))
    for _ in range(200):
        values = propose(core.config, rng)
        try:
            core.config(**values)
        except ValueError as error:
            words = str(error).replace(",", " ").split()
            named = [field for field, value in values.items() if field in words and str(value).lower() in words]
            assert named, f"{error}: {values}, seed {SEED}"


def rehearse_drawn(name, number, vectors):
    config, seed = drawn(name, number)
    rehearse(name, config.assignments(), vectors, seed)


def check_drawn(name, number, steps=STEPS):
    config, seed = drawn(name, number)
    failures = check(lookup(name), config, seed, steps)
    assert not failures, f"{config}, seed {SEED}: {failures}"


@each_core
def test_benches_can_reach_their_goals_with_one_vector(name):
    rehearse_drawn(name, 0, 1)


@each_core
def test_a_drawn_configuration_works(name):
    """In one of the interfaces, drawn too; of small configurations, all are linted in both."""
    _, seed = drawn(name, 0)
    check_drawn(name, 0, [INTERFACES[seed % 2], "sim"])


@pytest.mark.long
@pytest.mark.parametrize("vectors", [1, 2, 7, 100])
@each_core
def test_benches_can_reach_their_goals_with_any_number_of_vectors(name, vectors):
    for number in range(1, 21):
        rehearse_drawn(name, number, vectors)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, 21))
@each_core
def test_drawn_configurations_work(name, number):
    check_drawn(name, number)
