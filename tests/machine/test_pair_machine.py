"""The machine whose linear layers have pairs, Verilated: every tensor of an encoder, and memories behind each job."""

import numpy as np
import pytest
from machine_toys import SENTENCES, toy

from bitloom.cores.machine.core import MachineCoreConfig
from bitloom.golden.machine import jobs
from bitloom.golden.machine.compiler import compile_encoder
from bitloom.testbench.machine import drawn, tensors

CONFIG = MachineCoreConfig(format="ovp-int4")


@pytest.fixture(scope="module")
def made():
    return tensors.design(CONFIG)


def test_every_tensor_of_a_toy_is_the_encoders(made, tmp_path):
    encoder = toy(tmp_path / "model", CONFIG.sizes, heads=2, layers=2)
    ids = [np.array(SENTENCES[0]), np.array(SENTENCES[2]), np.arange(CONFIG.tokens)]
    checked = tensors.check_encoder(CONFIG, compile_encoder(encoder, CONFIG.sizes), encoder, ids, made=made)
    assert checked.failure is None and checked.wrong == 0
    # Those that `golden.machine.encoder` lists: 15 a layer, and 3.
    assert len(checked.names) == 33 and checked.tensors == 3 * 33


@pytest.mark.parametrize("numbers", [range(3), pytest.param(range(100, 200), marks=pytest.mark.long)], ids=str)
def test_memories_behind_each_job_of_drawn_lists_are_the_executors(made, numbers):
    results = set()
    for number in numbers:
        rng = np.random.default_rng([number, 2026])
        program = drawn.draw(rng, CONFIG, drawn.STAGES[number % len(drawn.STAGES) :])
        passes = [drawn.draw_sentences(rng, program) for _ in range(3)]
        stall = int(rng.choice([0, 40]))
        checked = tensors.check(CONFIG, program, passes, made=made, stall_in=stall, seed=number)
        assert checked.failure is None and checked.wrong == 0, f"list {number}: {checked.failure}"
        results |= {job.to for job in program.jobs if isinstance(job, jobs.Product) and job.pairs}
    assert results == {"a", "b", "gelu"}
