"""A toy machine behind the link: its program, what it must give, and its twin."""

from contextlib import contextmanager

import numpy as np
from machine_toys import toy

from bitloom.cores.catalogue import lookup
from bitloom.cores.machine.config import MachineConfig
from bitloom.fpga.session import held_core, twin
from bitloom.fpga.session.host import Link, open_port
from bitloom.fpga.session.machine import LinkedMachine, twin_parameters
from bitloom.golden.machine.compiler import compile_encoder
from bitloom.golden.machine.executor import Executor

__all__ = ["CONFIG", "HELD", "Toy", "linked", "running"]

CORE = lookup("machine")
CONFIG = MachineConfig(
    lanes=4, tokens=12, channels=8, hidden=8, panels=16, jobs=64, address_bits=11, id_bits=7, entries=8
)
#: As a twin holds it.
HELD = held_core.expected(CORE, CORE.config.parse(twin_parameters(CONFIG.to_dict())))


class Toy:
    """A program of random weights.

    Parameters
    ----------
    folder : Path
        For its encoder.

    Attributes
    ----------
    folder : Path
        Of the encoder in float32.
    encoder : machine.Encoder
        In integers.
    program : Program
    """

    def __init__(self, folder):
        self.folder = folder / "model"
        self.encoder = toy(self.folder, CONFIG.sizes, heads=1, layers=1)
        self.program = compile_encoder(self.encoder, CONFIG.sizes)
        self._executor = Executor(self.program)

    def passes(self, rng, count):
        """Passes of random sentences."""
        ids = range(self.program.vocabulary)
        return [
            [rng.choices(ids, k=rng.randint(1, CONFIG.lanes)) for _ in range(rng.randint(1, CONFIG.sizes.groups))]
            for _ in range(count)
        ]

    def sums(self, passes):
        """What must come of passes."""
        return np.concatenate([self._executor(each) for each in passes])


@contextmanager
def running(seed=1):
    """The twin, while the block runs."""
    program = twin.build(
        *held_core.twin_top(CORE, HELD.config),
        held_core.TWIN_DIVISOR,
        storage=held_core.twin_storage(HELD.config),
    )
    with twin.start(program, seed) as board:
        yield board


@contextmanager
def linked(path, **options):
    """The machine at a port, while the block runs."""
    with Link(open_port(path, held_core.TWIN_BAUD), HELD.channels, **{"margin": 1.0} | options) as link:
        yield LinkedMachine(link, HELD.config, HELD.identity)
