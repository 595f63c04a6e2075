"""Every tensor of an encoder, and every memory behind each job, as the simulated machine writes them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from machine_toys import SENTENCES, toy

from bitloom.cores.machine.config import MachineConfig
from bitloom.cores.machine.core import MachineCoreConfig
from bitloom.golden.machine.compiler import compile_encoder
from bitloom.golden.machine.sizes import FORMATS
from bitloom.golden.workloads import machine_program, sentences
from bitloom.testbench.machine import drawn, tensors

CONFIG = MachineCoreConfig()


@pytest.fixture(scope="module")
def made():
    return tensors.design(CONFIG)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("toy") / "model", CONFIG.sizes, heads=2, layers=2)


def test_every_tensor_of_a_toy_is_the_encoders(made, encoder):
    ids = [np.array(SENTENCES[0]), np.array(SENTENCES[2]), np.arange(CONFIG.tokens)]
    checked = tensors.check_encoder(CONFIG, compile_encoder(encoder, CONFIG.sizes), encoder, ids, made=made)
    assert checked.failure is None and checked.wrong == 0
    # Those that `golden.machine.encoder` lists: 15 a layer, and 3.
    assert len(checked.names) == 33 and checked.tensors == 3 * 33
    names = []
    encoder(ids[0], lambda name, tensor: names.append(name))
    assert set(names) == checked.names


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"logit_scale": 4}, "layer.0.attention.softmax"),
        pytest.param({"epsilon": 1 << 32}, "embeddings.norm", marks=pytest.mark.long),
    ],
)
def test_a_machine_with_a_fault_is_told_by_the_tensors_name(encoder, fault, name):
    program = compile_encoder(encoder, CONFIG.sizes)
    made = tensors.design(replace(CONFIG, **fault))
    checked = tensors.check_encoder(CONFIG, program, encoder, [np.arange(9)], made=made)
    assert checked.failure.startswith(f"{name}: ") and "expected" in checked.failure
    # In a list of jobs, by the job.
    program = drawn.draw(np.random.default_rng(1), CONFIG, ("attention",), stages=1)
    checked = tensors.check(CONFIG, program, [[np.arange(7)]], made=made)
    job = {"logit_scale": "probabilities behind job .*, softmax", "epsilon": "residual behind job .*, normalize"}
    assert re.match(job[next(iter(fault))], checked.failure)


def lists(made, number, stages=8):
    """Check a drawn list of jobs, in some passes; its numbers are printed where it fails."""
    rng = np.random.default_rng([number, 2026])
    program = drawn.draw(rng, CONFIG, stages=stages)
    passes = [drawn.draw_sentences(rng, program) for _ in range(3)]
    stall = int(rng.choice([0, 40]))
    checked = tensors.check(CONFIG, program, passes, made=made, stall_in=stall, seed=number)
    assert checked.failure is None and checked.wrong == 0, f"list {number}: {checked.failure}"
    return program, checked


@pytest.mark.parametrize("number", range(6))
def test_memories_behind_each_job_of_drawn_lists_are_the_executors(made, number):
    program, checked = lists(made, number)
    assert checked.tensors > len(program.jobs)


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 1100, 100))
def test_memories_behind_each_job_of_many_drawn_lists(made, first):
    for number in range(first, first + 100):
        lists(made, number)


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_every_tensor_of_minilm_is_the_encoders(name):
    """Of 24 sentences, the longest of 70 tokens: some minutes on two cores."""
    config = MachineConfig(tokens=72, format=name)
    model = machine_program.load("minilm")
    encoder = machine_program.integer_encoder(model, config.sizes)
    ids, mask = model.tokenizer.encode(list(sentences.SENTENCES), model.max_length)
    rows = [row[kept == 1] for row, kept in zip(ids, mask, strict=True)]
    checked = tensors.check_encoder(config, compile_encoder(encoder, config.sizes), encoder, rows)
    assert checked.failure is None and checked.wrong == 0
    assert len(checked.names) == 93 and checked.tensors == 93 * len(rows)
