# amaranth: UnusedElaboratable=no
"""Several askers at one memory: each reads what it would alone, without gaps, in turns."""

import pytest
from amaranth import Module
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from askers import Asker, Request, drawn, expected, run

from bitloom.hdl.memory_port.arbiter import Arbiter
from bitloom.hdl.memory_port.block_ram import BlockRam
from bitloom.hdl.memory_port.port import MemoryPort
from bitloom.testbench.formal import ProofFailed, held, prove

SIZE, SHARE = 64, 16


def shared(count, **options):
    """An arbiter in front of a block RAM, and the arbiter."""
    m = Module()
    m.submodules.memory = memory = BlockRam(6, 16, SIZE)
    m.submodules.arbiter = arbiter = Arbiter(count, 6, 16, **options)
    connect(m, arbiter.memory, memory.port)
    return m, arbiter


@pytest.mark.parametrize("stalls", [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.8, 0.2), (0.9, 0, 0.9)])
@pytest.mark.parametrize("count", [2, 3])
def test_each_asker_reads_what_it_would_alone(count, stalls):
    design, arbiter = shared(count, outstanding=2)
    traffic = [[*drawn(number, 12, number * SHARE, SHARE, 16)] for number in range(count)]
    askers = [Asker(arbiter.askers[number], traffic[number], stalls, number) for number in range(count)]
    run(design, askers, 20_000)
    for asker, requests in zip(askers, traffic, strict=True):
        assert asker.read == expected(requests, [0] * SIZE)


def test_no_gap_between_the_words_of_two_askers():
    design, arbiter = shared(2)
    askers = [Asker(port, [Request(0, 4)] * 8) for port in arbiter.askers]
    run(design, askers, 200)
    moved = sorted(askers[0].cycles["read"] + askers[1].cycles["read"])
    assert moved == [*range(moved[0], moved[0] + 64)]


def test_askers_take_turns():
    design, arbiter = shared(3)
    askers = [Asker(port, [Request(0, 2)] * 10) for port in arbiter.askers]
    run(design, askers, 200)
    order = sorted((cycle, number) for number, asker in enumerate(askers) for cycle in asker.cycles["request"])
    turns = [number for _, number in order]
    assert all(sorted(turns[place : place + 3]) == [0, 1, 2] for place in range(0, 30, 3))


def test_who_asks_alone_does_not_wait():
    design, arbiter = shared(3)
    asker = Asker(arbiter.askers[1], [Request(0, 1)] * 20)
    run(design, [asker], 100)
    read = asker.cycles["read"]
    assert read == [*range(read[0], read[0] + 20)]


@pytest.mark.parametrize("arguments, message", [((1, 4, 4), "count must be 2 or more, not 1")])
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Arbiter(*arguments)


class Routes(wiring.Component):
    """Streams keep their contract, words of writes go to the memory only for requests that it has, reads come back.

    For any askers and any memory that keep theirs.
    """

    def __init__(self, arbiter):
        self.arbiter = arbiter
        memory = arbiter.memory.signature
        super().__init__({"askers": In(memory).array(arbiter.count), "memory": Out(memory)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        connect(m, arbiter.memory, flipped(self.memory))
        for mine, its in zip(self.askers, arbiter.askers, strict=True):
            connect(m, flipped(mine), its)
            held(m, mine.request, Assume)
            held(m, mine.write, Assume)
            held(m, mine.read, Assert)
        held(m, self.memory.request, Assert)
        held(m, self.memory.write, Assert)
        held(m, self.memory.read, Assume)
        valid = [port.read.valid for port in self.askers]
        m.d.comb += [
            Assert(sum(valid) <= 1, "a word goes to one asker"),
            Assert(~sum(valid).any() | self.memory.read.valid, "a word comes from the memory"),
            Cover(valid[1] & self.askers[1].read.ready, "a word comes back"),
        ]
        return m


def test_contract_is_proved_for_the_first_cycles():
    prove(Routes(Arbiter(2, 1, 1, outstanding=2)), "Arbiter", mode="bmc", depth=8)
    prove(Routes(Arbiter(2, 1, 1, outstanding=2)), "Arbiter", mode="cover", depth=8)


@pytest.mark.long
def test_contract_is_proved():
    prove(Routes(Arbiter(2, 1, 1, outstanding=2)), "Arbiter")


class Hasty(Arbiter):
    """Whoever asks is led through at once, without a register that keeps the request."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.memory.request.payload.eq(self.askers[0].request.payload)
        return m


def test_proof_can_fail():
    with pytest.raises(ProofFailed, match=r"payload[ _]holds"):
        prove(Routes(Hasty(2, 1, 1, outstanding=2)), "hasty", mode="bmc", depth=6)


def test_memory_is_a_port_as_any_other():
    assert Arbiter(2, 6, 16).memory.signature == MemoryPort(6, 16)
