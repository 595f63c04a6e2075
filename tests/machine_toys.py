"""Programs of toy encoders."""

import toy_encoder

from bitloom.golden.workloads import machine_program
from bitloom.golden.workloads.transformer import Encoder

__all__ = ["SENTENCES", "compiled", "toy"]

SENTENCES = [[3, 5, 60, 7, 1], [9, 4], [11]]
_TEXTS = ["red light", "a blue", "old or new"]


def toy(folder, sizes, seed=0, **shape):
    """An integer encoder of random weights for a machine."""
    toy_encoder.write(folder, seed, hidden=sizes.channels, up=sizes.hidden, longest=sizes.tokens, **shape)
    return machine_program.integer_encoder(Encoder.load(folder), sizes, _TEXTS)


def compiled(folder, config, heads=1, layers=1):
    """The program of one."""
    from bitloom.golden.machine.compiler import compile_encoder

    return compile_encoder(toy(folder, config.sizes, heads=heads, layers=layers), config.sizes)
