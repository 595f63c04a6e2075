"""What every run of a core's bench must show, and a rehearsal of it that needs no simulator."""

import asyncio
import importlib

import numpy as np

from bitloom.cores.catalogue import lookup
from bitloom.testbench.bench import described_input
from bitloom.testbench.runner import simulate


def passes(name, parameters, vectors, seed=1):
    """A run of the bench of the core `name` that passed, with all its random vectors.

    Returns
    -------
    tuple of Config and Result
    """
    core = lookup(name)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=vectors, seed=seed)
    assert result.passed, result.summary()
    assert result.vectors == vectors
    return config, result


def rehearse(name, parameters, vectors, seed=1):
    """The phases of the bench of the core `name`: all must be legal and whole, and have all that it must see."""
    core = lookup(name)
    bench = _Rehearsal(core, core.config.parse(parameters), vectors, seed)
    module, _, coroutine = core.bench.partition(":")
    asyncio.run(getattr(importlib.import_module(f"bitloom.testbench.{module}"), coroutine)(bench))
    assert sum(phase.vectors for phase in bench.phases) >= vectors
    return bench.phases


class _Rehearsal:
    """Stands for `testbench.bench.Bench`: takes the phases, and no core computes anything."""

    def __init__(self, core, config, vectors, seed):
        self.core, self.config, self.vectors, self.codes = core, config, vectors, None
        self.rng, self.phases = np.random.default_rng(seed), []

    async def run(self, phases, *, describe, flag=None, beside=None):
        self.phases = phases
        # Something must show the latency, and the interval where there is any.
        assert any(phase.measured and len(phase.outputs) > phase.warm_up for phase in phases)
        for phase in phases:
            assert phase.outputs and all(phase.inputs.values()), phase.name
            assert len(phase.after) == len(phase.outputs), phase.name
            assert max(phase.after) < len(phase.inputs[phase.leading]), phase.name
            assert phase.delay is None or len(phase.delay) == len(phase.outputs), phase.name
            assert len(phase.flags) in (0, len(phase.outputs)), phase.name
            # Of a core that is full, the next item must be refused: there must be one.
            assert (phase.capacity or 0) < len(phase.inputs[phase.leading]), phase.name
            describe_input, describe_output = describe
            described_input(describe_input, phase)(phase.inputs[phase.leading][0])
            describe_output(phase.outputs[0])

    def cover(self, name, covered, total):
        assert covered == total, name

    def figure(self, name, value):
        pass
