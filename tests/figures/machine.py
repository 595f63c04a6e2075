"""MiniLM on the machine beside what its array and its memory allow."""

from bitloom.cli.machine import WORD_CYCLES
from bitloom.cores.machine.config import MachineConfig
from bitloom.golden.machine import cycles
from bitloom.golden.workloads import machine_program

from .tables import Table

#: MHz that the times are for, a goal; the longest sentence of a machine, the sentences of passes.
CLOCK, SENTENCES = 95, ((64, 1, 16), (64, 4, 16), (64, 1, 64), (128, 1, 128))
#: Cycles of a word of 64 bits over 16 wires, at least.
WORD = 4


def passes():
    """Passes by the model of cycles, and their roofline: all products, or all words, without a gap."""
    encoder = machine_program.load("minilm")
    for format_name in ("int8", "ovp-int4"):
        for most, sentences, tokens in SENTENCES:
            config = MachineConfig(tokens=most, format=format_name)
            time = cycles.timeline(machine_program.program(encoder, config.sizes), [tokens] * sentences, WORD_CYCLES)
            bounds = {"array": time.macs / config.lanes**2, "memory": time.words * WORD}
            bound = max(bounds, key=bounds.get)
            rate, roof = (CLOCK * 1e6 * sentences / each for each in (time.cycles, bounds[bound]))
            name = f"{format_name}, {sentences} x {tokens} tokens"
            share = f"{rate / roof:.1%}"
            yield name, f"{time.cycles:.0f}", f"{rate:.1f}", f"{roof:.1f}", bound, share


PASSES = Table(
    "machine-passes",
    f"MiniLM on the 8x8 machine at {CLOCK} MHz, by the model of cycles",
    ("a pass", "cycles", "sentences/s", "roofline", "of the", "share"),
    passes,
    units={"sentences/s": "1/s", "roofline": "1/s"},
)
