# amaranth: UnusedElaboratable=no
"""Block RAM behind the port: against an array, cycle by cycle, and proved."""

import pytest
from amaranth import Module, Signal
from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped
from askers import Asker, Request, drawn, expected, run

from bitloom.hdl.memory_port.block_ram import BlockRam
from bitloom.hdl.memory_port.port import MemoryPort
from bitloom.testbench.formal import ProofFailed, held, prove, prove_no_path

STALLS = [(0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5), (0.3, 0.6, 0.9)]


@pytest.mark.parametrize("stalls", STALLS)
def test_reads_what_an_array_reads(stalls):
    memory = BlockRam(5, 16, 32, init=range(7))
    requests = [*drawn(1, 30, 0, 32, 16)]
    asker = Asker(memory.port, requests, stalls)
    run(memory, [asker], 20_000)
    assert asker.read == expected(requests, [*range(7), *[0] * 25])


def test_a_word_a_cycle_without_a_gap_between_requests():
    memory = BlockRam(6, 16, 64)
    words = tuple(range(100, 140))
    writes = [Request(3 * place, 3, words[3 * place : 3 * place + 3]) for place in range(12)]
    asker = Asker(memory.port, [*writes, Request(0, 36), *[Request(place, 1) for place in range(36)]])
    run(memory, [asker], 300)
    assert asker.read == [*words[:36], *words[:36]]
    write, read = asker.cycles["write"], asker.cycles["read"]
    assert write == [*range(write[0], write[0] + 36)]
    assert read == [*range(read[0], read[0] + 72)]


def test_first_word_comes_after_three_cycles():
    memory = BlockRam(3, 8, 8, init=[5])
    asker = Asker(memory.port, [Request(0, 1)])
    run(memory, [asker], 20)
    assert asker.cycles["read"][0] - asker.cycles["request"][0] == 3


@pytest.mark.parametrize(
    "request_, broken",
    [
        (Request(0, 8), 0),
        (Request(7, 1), 0),
        (Request(7, 2), 1),
        (Request(8, 1), 1),
        (Request(31, 2), 1),
        (Request(1, 8), 1),
        (Request(6, 3, (1, 2, 3)), 1),
    ],
)
def test_beyond_the_end_it_wraps_and_says_so(request_, broken):
    memory = BlockRam(5, 8, 8, init=range(10, 18))
    requests = [request_, Request(0, 8)]
    asker, errors = Asker(memory.port, requests), []

    async def watch(ctx):
        async for _, _, error in ctx.tick().sample(memory.error):
            errors.append(error)

    run(memory, [asker], 100, watch)
    assert asker.read == expected(requests, [*range(10, 18)])
    assert errors[-1] == broken and errors == sorted(errors)


@pytest.mark.parametrize("size", [0, 1, 12, 64])
def test_refuses_sizes(size):
    with pytest.raises(ValueError, match=rf"memory must have a power of two from 2 to 2\*\*5 words, not {size}"):
        BlockRam(5, 8, size)


class Remembers(wiring.Component):
    """A read gives what was last written to its address before, and the streams keep their contract.

    One address, any one, is watched, and one read of it: counts of words say when its word comes.
    """

    def __init__(self, memory, address_bits, width):
        self.memory = memory
        super().__init__({"port": In(MemoryPort(address_bits, width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        port = self.port
        connect(m, flipped(port), memory.port)
        held(m, port.request, Assume)
        held(m, port.write, Assume)
        held(m, port.read, Assert)
        # One request at a time is enough: the model takes no second one before the first has gone.
        active, address, left = Signal(), Signal(len(port.request.payload.address)), Signal(8)
        writes, known = Signal(), Signal()
        watched, value = Signal.like(address), Signal(len(port.write.payload))
        moved = Signal()
        m.d.comb += [
            watched.eq(AnyConst(len(watched))),
            Assume(~(active & port.request.valid), "one request at a time"),
            Assume(port.request.payload.words < 4, "short requests"),
            moved.eq((port.read.valid & port.read.ready) | (port.write.valid & port.write.ready)),
            Assert(~port.read.valid | (active & ~writes), "words only for a read"),
            Assert(~port.write.ready | (active & writes), "words are taken only for a write"),
        ]
        with m.If(port.request.valid & port.request.ready):
            m.d.sync += [
                active.eq(1),
                address.eq(port.request.payload.address),
                left.eq(port.request.payload.words),
                writes.eq(port.request.payload.write),
            ]
        with m.If(moved):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), active.eq(left != 0)]
        with m.If(active & (address == watched)):
            with m.If(port.write.valid & port.write.ready):
                m.d.sync += [known.eq(1), value.eq(port.write.payload)]
            m.d.comb += [
                Assert(~(known & port.read.valid) | (port.read.payload == value), "what was written is read"),
                Cover(known & port.read.valid, "a word comes back"),
            ]
        return m


def test_memory_is_proved():
    prove(Remembers(BlockRam(2, 2, 4), 2, 2), "BlockRam")
    prove(Remembers(BlockRam(2, 2, 4), 2, 2), "BlockRam", mode="cover", depth=12)


class Forgets(BlockRam):
    """Its reads are of another memory."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.port.read.payload.eq(0)
        return m


class Waits(BlockRam):
    """It drops a word that is not taken at once."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        stalled = Signal()
        m.d.sync += stalled.eq(~self.port.read.ready)
        with m.If(stalled):
            m.d.comb += self.port.read.valid.eq(0)
        return m


@pytest.mark.parametrize("broken, message", [(Forgets, "what was written is read"), (Waits, "valid stays high")])
def test_proof_can_fail(broken, message):
    with pytest.raises(ProofFailed, match=message.replace(" ", "[ _]")):
        prove(Remembers(broken(2, 2, 4), 2, 2), "broken")


def test_no_stall_reaches_other_streams():
    memory = BlockRam(2, 2, 4)
    prove_no_path(memory, "port__read__ready", ["port__request__ready", "port__write__ready"], "BlockRam")
    with pytest.raises(ProofFailed, match="from port__write__valid to"):
        # The check sees a path where one is: none of ours is there, so one is made.
        prove_no_path(Through(2, 2, 4), "port__write__valid", ["port__request__ready"], "through")


class Through(BlockRam):
    """It takes requests only with words."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.port.request.ready.eq(self.port.write.valid)
        return m
