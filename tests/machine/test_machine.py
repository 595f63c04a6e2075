"""The machine against its golden model: toy encoders, Verilated, with stalls on both sides."""

from dataclasses import replace

import numpy as np
import pytest
from machine_toys import SENTENCES, compiled

from bitloom.cores.machine.config import MachineConfig
from bitloom.cores.machine.drain import Destination
from bitloom.cores.machine.entry import Item
from bitloom.cores.machine.operands import Source
from bitloom.golden.machine import cycles, host, jobs
from bitloom.golden.machine.executor import Executor
from bitloom.golden.machine.sizes import FORMATS
from bitloom.testbench.machine import simulated

SMALL = MachineConfig(
    lanes=4, tokens=16, channels=16, hidden=24, panels=64, jobs=64, address_bits=12, id_bits=8, entries=8
)


def check(config, program, passes, **stalls):
    """Run passes on both; give the machine's outcomes."""
    ran = simulated.run(config, program, passes, **stalls)
    executor = Executor(program)
    ran.check(np.concatenate([executor(each) for each in passes]))
    assert ran.failure is None
    return ran.outcomes


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        pytest.param(replace(SMALL, format="ovp-int4"), marks=pytest.mark.long),
        pytest.param(replace(SMALL, lanes=8, entries=16, panels=32), marks=pytest.mark.long),
        pytest.param(replace(SMALL, lanes=8, panels=32, format="ovp-int4"), marks=pytest.mark.long),
        pytest.param(replace(SMALL, channels=8, hidden=8, tokens=12, panels=16), marks=pytest.mark.long),
    ],
)
def test_sums_are_those_of_the_golden_machine(tmp_path, config):
    program = compiled(tmp_path / "model", config)
    rng = np.random.default_rng(1)
    lengths = [[1], [config.tokens], [5, 2], [config.lanes, 1, 3]]
    passes = [[rng.integers(0, program.vocabulary, n) for n in counts if n <= config.tokens] for counts in lengths]
    passes = [each for each in passes if sum(-(-len(ids) // config.lanes) for ids in each) <= config.sizes.groups]
    made = check(config, program, passes)
    # Counters are the passes' own, and the model of cycles is near them.
    for each, outcome in zip(passes, made, strict=True):
        time = cycles.timeline(program, [len(ids) for ids in each], config.word / 16 / 0.98)
        told = outcome.counters
        # The first pass waits until the SDRAM is ready, and reads the jobs.
        if each is passes[0]:
            time = replace(time, cycles=time.cycles + 20_000, words=time.words + config.jobs * 128 // config.word)
        assert abs(told["cycles"] - time.cycles) < 0.1 * time.cycles + 1500, (told, time.cycles)
        assert told["words"] == time.words and told["rows"] < told["cycles"]
    # What was done before changes nothing, nor do stalls.
    again = check(config, program, passes[::-1], stall_in=40, stall_out=60, seed=3)
    assert [a.counters["steps"] for a in again[::-1]] == [m.counters["steps"] for m in made]


def test_a_wrong_weight_is_seen(tmp_path):
    """The image that the machine has is not the one of the golden machine."""
    program = compiled(tmp_path / "model", SMALL)
    executor = Executor(program)
    words = program.words.copy()
    words[-1] ^= 1
    at = [i for i in range(len(words)) if i >= 4 * len(program.jobs)]
    for place in at[600:900:50]:
        words[place] ^= np.uint64(1 << 3)
    ran = simulated.run(SMALL, replace(program, words=words), [SENTENCES])
    ran.check(executor(SENTENCES))
    assert "expected" in ran.failure


def broken(program, index, code):
    """The program with another number for a job."""
    words = program.words.copy()
    parts = 128 // program.sizes.word_bits
    words[index * parts : (index + 1) * parts] = [code >> 32 * part & 0xFFFFFFFF for part in range(parts)]
    return replace(program, words=words)


def test_a_wrong_job_list_ends_in_an_error(tmp_path):
    program = compiled(tmp_path / "model", SMALL)
    first = next(i for i, job in enumerate(program.jobs) if isinstance(job, jobs.Product))
    ran = simulated.run(SMALL, broken(program, first, 15), [SENTENCES], patience=100_000)
    # What was loaded for it stays where it is, and nothing moves any more.
    assert ran.failure == f"error 0x12 at job {first}"
    # Nobody gives that signal.
    job = next(i for i, job in enumerate(program.jobs) if isinstance(job, jobs.Product) and job.to == "b")
    waiting = jobs.encode(replace(program.jobs[job], wait=True), SMALL.sizes)
    ran = simulated.run(SMALL, broken(program, job, waiting), [SENTENCES], patience=100_000)
    assert ran.failure.startswith("error 0x10 at job ")


def drawn(rng):
    """A small machine, and the heads and layers of an encoder for it."""
    lanes = int(rng.choice([4, 8]))
    heads = int(rng.integers(1, 4))
    channels = lanes * heads * int(rng.integers(1, 3))
    hidden = 8 * int(rng.integers(1, 6))
    channels += channels % 8
    longest = max(channels, hidden)
    config = MachineConfig(
        lanes=lanes,
        tokens=lanes * int(rng.integers(1, 5)),
        channels=channels,
        hidden=hidden,
        panels=max(16, 1 << (longest - 1).bit_length() << int(rng.integers(2))),
        jobs=128,
        address_bits=14,
        id_bits=7,
        logit_scale=int(rng.integers(8)),
        entries=int(rng.choice([8, 16])),
        block=int(rng.integers(1, 5)),
        # Of few channels a pair's step may be too large for a requantizer.
        format=str(rng.choice(FORMATS)) if channels >= 32 else "int8",
    )
    heads = heads if channels % (heads * lanes) == 0 else 1
    return config, heads, int(rng.integers(1, 3))


@pytest.mark.long
@pytest.mark.parametrize("number", range(8))
def test_any_machine_runs_any_encoder(tmp_path, number):
    rng = np.random.default_rng([number, 77])
    config, heads, layers = drawn(rng)
    program = compiled(tmp_path / "model", config, heads, layers)
    passes = []
    for _ in range(4):
        sentences, groups = [], config.sizes.groups
        while groups and (not sentences or rng.random() < 0.6):
            length = int(rng.integers(1, groups * config.lanes + 1))
            sentences.append(rng.integers(0, program.vocabulary, length))
            groups -= -(-length // config.lanes)
        passes.append(sentences)
    check(config, program, passes, stall_in=int(rng.choice([0, 50])), stall_out=int(rng.choice([0, 50])), seed=number)


def test_hardware_and_golden_model_number_alike():
    for names, enumeration in (
        (jobs.SOURCES, Source),
        (jobs.DESTINATIONS, Destination),
        (host.ITEMS, Item),
    ):
        assert [member.name.lower() for member in enumeration] == list(names)
