"""Memories that stay memories in a netlist of cells, against Amaranth's simulator."""

from types import SimpleNamespace

import liberty_files
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.hdl.emission.verilog import emit
from bitloom.synth import asic, liberty, macros
from bitloom.synth.energy import Netlist, merge, read_cells, slices

WORDS, WIDTH, PART = 80, 20, 5
RUNS, CYCLES = 67, 60
#: Widths of the inputs.
INPUTS = {"rst": 1, "store": 7, "word": WIDTH, "parts": WIDTH // PART, "load": 7, "look": 7, "en": 1}
OUTPUTS = ("earlier", "later", "few")


class Store(wiring.Component):
    """A memory of 1,600 bits with every kind of port that is a macro's, and a small one.

    Attributes
    ----------
    store, word, parts : in
        Address, word and enables of a port that writes.
    load, look, en : in
        Addresses and enable of the ports that read.
    earlier, later, few : out
        What the memory had at `load` before the edge, what it has at `look` after it, and a word of the small one.
    """

    store: In(7)
    word: In(WIDTH)
    parts: In(WIDTH // PART)
    load: In(7)
    look: In(7)
    en: In(1)
    earlier: Out(WIDTH)
    later: Out(WIDTH)
    few: Out(WIDTH)

    def elaborate(self, platform):
        m = Module()
        init = [7919 * address % (1 << WIDTH) for address in range(WORDS // 2)]
        m.submodules.words = words = memory.Memory(shape=WIDTH, depth=WORDS, init=init)
        write = words.write_port(granularity=PART)
        earlier, later = words.read_port(), words.read_port(transparent_for=[write])
        m.submodules.small = small = memory.Memory(shape=WIDTH, depth=4, init=[])
        into, few = small.write_port(), small.read_port()
        m.d.comb += [
            write.addr.eq(self.store),
            write.data.eq(self.word),
            write.en.eq(self.parts),
            into.addr.eq(self.store),
            into.data.eq(self.word),
            into.en.eq(self.parts[0]),
            self.earlier.eq(earlier.data),
            self.later.eq(later.data),
            self.few.eq(few.data),
        ]
        for port, address in ((earlier, self.load), (later, self.look), (few, self.load)):
            m.d.comb += [port.addr.eq(address), port.en.eq(self.en)]
        return m


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """The netlist, its memories as they are told, and the library's text."""
    library = liberty.read(liberty_files.write(tmp_path_factory.mktemp("memories")))
    design = SimpleNamespace(top="store", verilog=emit(Store(), "store"))
    result = asic.map_to_library(design, library, keep=True)
    assert set(result["cells"]) <= set(read_cells(library.text))
    return result, library


def stimuli():
    """Inputs of all cycles and runs; many read where they write, or where they wrote in the cycle before."""
    rng = np.random.default_rng(5)
    inputs = {name: rng.integers(0, 1 << width, (CYCLES, RUNS)) for name, width in INPUTS.items()}
    inputs["store"] = rng.integers(0, WORDS, (CYCLES, RUNS))
    for name in ("load", "look"):
        choices = [inputs["store"], np.roll(inputs["store"], 1, axis=0), rng.integers(0, WORDS, (CYCLES, RUNS))]
        inputs[name] = np.choose(rng.integers(0, 3, (CYCLES, RUNS)), choices)
    inputs["rst"][:] = 0
    return inputs


def simulated(inputs, run):
    """The outputs of a run in Amaranth's simulator, cycle by cycle."""
    component, seen = Store(), []

    async def bench(context):
        for cycle in range(CYCLES):
            seen.append([context.get(getattr(component, name)) for name in OUTPUTS])
            for name in [*INPUTS][1:]:
                context.set(getattr(component, name), int(inputs[name][cycle, run]))
            await context.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def test_a_memory_is_that_of_amaranths_simulator(mapped):
    result, library = mapped
    netlist, inputs = Netlist(result["netlist"], read_cells(library.text)), stimuli()
    cycles = [{name: slices(values[cycle], INPUTS[name]) for name, values in inputs.items()} for cycle in range(CYCLES)]
    outputs = [netlist.run(cycles, RUNS, 2.0, name).outputs for name in OUTPUTS]
    got = np.array([[merge(bits, RUNS) for bits in each] for each in outputs])
    for run in (0, 1, 63, 64, 66):
        assert got[:, :, run].T.tolist() == simulated(inputs, run), run


def test_what_is_told_of_a_memory(mapped):
    result, _ = mapped
    memories = result["netlist"]["memories"]
    assert [macros.tell(each) for each in memories] == [{"words": WORDS, "width": WIDTH, "reads": 2, "writes": 1}]
    # Of 40 words, all but the first.
    assert [address for address, _ in memories[0]["init"]] == [*range(1, WORDS // 2)]
    # The small one has become flip-flops, with a register for what is read. For a transparent port Amaranth makes
    # registers, too: of the word that is written, and for each of its parts of whether it is.
    assert result["cells"]["DFF"] == (4 + 1) * WIDTH + WIDTH + WIDTH // PART


def design(memory_bits, read):
    """A memory of so many words of a bit, with a read port as told."""
    text = f"""
module bits(input clk, input write, input [6:0] store, input [6:0] load, input word, output out);
  reg words [{memory_bits - 1}:0];
  always @(posedge clk) if (write) words[store] <= word;
  {read}
endmodule
"""
    return SimpleNamespace(top="bits", verilog=text)


CLOCKED = "reg read; always @(posedge clk) read <= words[load]; assign out = read;"
AHEAD = "reg [6:0] at; always @(posedge clk) at <= load; assign out = words[at];"
OPEN = "assign out = words[load];"


@pytest.mark.parametrize(
    ("bits", "read", "keep", "through"),
    [
        (33, CLOCKED, True, []),
        (33, AHEAD, True, [0]),
        (32, CLOCKED, True, None),
        (33, OPEN, True, None),
        (33, CLOCKED, False, None),
    ],
    ids=["large", "its address in a register", "small", "read without a clock", "not asked for"],
)
def test_which_memories_stay(bits, read, keep, through, monkeypatch, tmp_path):
    monkeypatch.setattr(macros, "LIMIT", 32)
    library = liberty.read(liberty_files.write(tmp_path))
    result = asic.map_to_library(design(bits, read), library, keep)
    memories = result["netlist"]["memories"]
    assert [port["through"] for memory in memories for port in memory["reads"]] == [through] * len(memories)
    assert len(memories) == (through is not None)
    registers = 0 if memories else bits + (read == CLOCKED)
    assert result["cells"].get("DFF", 0) == registers


def test_a_read_port_with_a_reset_is_refused():
    cell = {
        "parameters": dict.fromkeys(("SIZE", "WIDTH", "ABITS", "RD_PORTS", "WR_PORTS"), "1"),
        "connections": {"RD_SRST": [7], "RD_ARST": ["0"]},
    }
    with pytest.raises(ValueError, match="the memory a must have read ports without a reset, to stay a memory"):
        macros.describe("a", cell)


def test_a_memory_costs_nothing_but_drives_what_it_drives():
    """A word of one bit behind an exclusive or, whose other input is low: the toggles can be counted by hand."""
    nets = {"clk": 2, "write": 3, "word": 4, "out": 6, "passed": 7, "other": 8}
    reads = [
        {"address": [address], "enable": ["1"], "data": [data], "through": through}
        for address, data, through in (("0", 5, []), ("0", 7, [0]), ("1", 8, [0]))
    ]
    write = {"address": ["0"], "enables": [3], "data": [4]}
    words = {"name": "a", "words": 2, "width": 1, "init": [[0, 1], [1, 1]], "reads": reads, "writes": [write]}
    cells = [{"type": "XR2", "connections": {"A": [5], "B": ["0"], "Y": [6]}}]
    ports = {name: {"bits": [net]} for name, net in nets.items()}
    netlist = Netlist({"ports": ports, "cells": cells, "memories": [words]}, read_cells(liberty_files.LIBRARY))
    asked = [(1, 0), (0, 1), (1, 1), (0, 0)]
    sent = [{"write": slices([write], 1), "word": slices([word], 1)} for write, word in asked]
    outputs, passed, other = (netlist.run(sent, 1, 2.0, name) for name in ("out", "passed", "other"))
    # It has 1 at first, 0 behind the second edge and 1 behind the fourth one, and is read an edge later.
    assert [merge(bits, 1).tolist() for bits in outputs.outputs] == [[1], [1], [0], [0]]
    assert [merge(bits, 1).tolist() for bits in passed.outputs] == [[1], [0], [0], [1]]
    assert [merge(bits, 1).tolist() for bits in other.outputs] == [[1]] * 4
    # Its data rise and fall on a pin of 1 fF; its address, its enables and its clock are on none.
    assert outputs.data == pytest.approx(2 * 1 * 2.0**2 / 2) and outputs.clock == 0
