"""Programs on the Verilated machine and its SDRAM."""

from dataclasses import dataclass, field, replace

import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...cores.generate import bare
from ...cores.machine.entry import in_layout
from ...cores.machine.machine import ERRORS, Engine, out_layout
from ...golden.machine import host, image
from ...hdl.memory_port.sdram.timing import ULX3S
from ...hdl.stream import codec
from ..drive import drive
from ..memory_port.sdram_memory import SdramMemory
from ..memory_port.sdram_model import SdramChip
from ..memory_port.sdram_rules import Rule

__all__ = ["Ran", "SimulatedMachine", "design", "drive_passes", "run", "timing"]

#: Cycles without any transfer: a pass of the longest sentences of a large model takes some tens of millions.
_PATIENCE = 1 << 30


def timing(config):
    """The ULX3S' SDRAM with as many rows as the machine has addresses for.

    Parameters
    ----------
    config : MachineConfig

    Returns
    -------
    SdramTiming
    """
    return ULX3S.holding(config.word << config.address_bits)


class SimulatedMachine(wiring.Component):
    """The machine, an SDRAM controller, and an SDRAM that watches its rules; its cells are outside.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i, o, job, error
        As of `Engine`.
    storage : out `Storage`
    broken : out `Rule`
        The first rule of the SDRAM that was violated.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(in_layout(config))),
                "o": Out(stream.Signature(out_layout())),
                "job": Out(range(config.jobs)),
                "error": Out(ERRORS),
                "storage": Out(SdramChip.storage_of(timing(config))),
                "broken": Out(Rule, init=Rule.KEPT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.engine = engine = Engine(config)
        m.submodules.memory = memory = SdramMemory(timing(config), config.address_bits, config.word)
        connect(m, engine.memory, memory.port)
        connect(m, memory.storage, flipped(self.storage))
        connect(m, flipped(self.i), engine.i)
        connect(m, engine.o, flipped(self.o))
        m.d.comb += [self.job.eq(engine.job), self.error.eq(engine.error), self.broken.eq(memory.broken)]
        return m


@dataclass
class Ran:
    """What some passes gave.

    Attributes
    ----------
    outcomes : list of Outcome
    failure : str or None
        One line.
    seconds : float
        Of the simulation.
    """

    outcomes: list = field(repr=False)
    failure: str | None
    seconds: float

    @property
    def sums(self):
        """Of all sentences, (sentences, channels)."""
        return np.concatenate([outcome.sums for outcome in self.outcomes])

    def check(self, sums):
        """Hold the sums against those of the golden machine."""
        wrong = np.argwhere(self.sums != sums)
        if self.failure is None and len(wrong):
            sentence, channel = wrong[0]
            got, expected = self.sums[sentence, channel], sums[sentence, channel]
            self.failure = f"channel {channel} of sentence {sentence} is {got}, expected {expected}"


def design(config):
    """The machine's Verilog.

    Parameters
    ----------
    config : MachineConfig

    Returns
    -------
    Design
    """
    return bare(SimulatedMachine(config), "machine")


def drive_passes(made, config, program, sentences, counts, *, cell, counted=True, **more):
    """Put an image into the memory behind a simulated machine, and send passes through it.

    Parameters
    ----------
    made : Design
        With the machine's streams `i` and `o` and its `error` and `job`, and the memory's `storage`.
    config : MachineConfig
    program : Program
    sentences : list of list of array_like of int
        For each pass its sentences.
    counts : dict of str to int
        Payloads of each stream that come out.
    cell : int
        Bits of a word of `storage`.
    counted : bool
        Whether each pass tells its counters.
    **more
        As of `drive`.

    Returns
    -------
    Driven
        Its failure names an error of the machine, and the job.
    """
    parts = host.image(program.words[:1]), host.passes(sentences, counted)
    fields = {name: np.concatenate([part[name] for part in parts]) for name in ("data", "item")}
    driven = drive(
        made,
        {"i": codec.pack(in_layout(config), **fields)},
        counts,
        memories={"storage": image.octets(program.words, config.word).reshape(-1, cell // 8)},
        **{"patience": _PATIENCE, "quiet": 1000} | more,
    )
    if driven.status["error"]:
        driven = replace(driven, failure=f"error {driven.status['error']:#x} at job {driven.status['job']}")
    return driven


def run(config, program, sentences, *, made=None, progress=None, patience=_PATIENCE, **stalls):
    """Put an image into the memory, and send passes through the machine.

    In the first pass the SDRAM is initialized, some 20,000 cycles.

    Parameters
    ----------
    config : MachineConfig
    program : Program
        For that machine.
    sentences : list of list of array_like of int
        For each pass its sentences.
    made : Design, optional
        In place of `design`'s.
    progress, patience, **stalls
        As of `drive`.

    Returns
    -------
    Ran

    Raises
    ------
    ToolMissing, ToolFailed
        As `drive`.
    """
    count = host.result_count(sentences, program.channels)
    more = {"progress": progress, "patience": patience, **stalls}
    driven = drive_passes(
        made or design(config), config, program, sentences, {"o": count}, cell=ULX3S.data_bits, **more
    )
    failure = driven.failure
    if driven.status["broken"]:
        failure = f"the SDRAM's rule {Rule(driven.status['broken']).name} was broken"
    values = codec.unpack(out_layout(), driven.outputs["o"])["value"]
    whole = np.zeros(count, np.int64)
    whole[: len(values)] = values
    return Ran(host.outcomes(whole, sentences, program.channels), failure, driven.seconds)
