"""Programs of toy encoders."""

import numpy as np
import toy_encoder

from bitloom.golden.machine import compiler
from bitloom.golden.machine.executor import Executor
from bitloom.golden.workloads import machine_program
from bitloom.golden.workloads.transformer import Encoder

__all__ = ["SENTENCES", "check_sums", "compiled", "toy"]

SENTENCES = [[3, 5, 60, 7, 1], [9, 4], [11]]
_TEXTS = ["red light", "a blue", "old or new"]


def toy(folder, sizes, seed=0, **shape):
    """An integer encoder of random weights for a machine."""
    toy_encoder.write(folder, seed, hidden=sizes.channels, up=sizes.hidden, longest=sizes.tokens, **shape)
    return machine_program.integer_encoder(Encoder.load(folder), sizes, _TEXTS)


def compiled(folder, config, heads=1, layers=1):
    """The program of one."""
    return compiler.compile_encoder(toy(folder, config.sizes, heads=heads, layers=layers), config.sizes)


def check_sums(encoder, sizes):
    """Passes of an encoder's program on the executor give the encoder's sums."""
    executor = Executor(compiler.compile_encoder(encoder, sizes))
    rng = np.random.default_rng(1)
    # The memories hold what the passes before left in them.
    for counts in ([1], [sizes.tokens], [5, 2], [4, 1, 3]):
        ids = [rng.integers(0, len(encoder.words), count) for count in counts]
        assert (executor(ids) == [encoder(each) for each in ids]).all()
