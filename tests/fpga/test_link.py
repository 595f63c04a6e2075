# amaranth: UnusedElaboratable=no
"""The host link in hardware against `fpga.link.protocol` and `zlib`: frames, sessions, streams, memories, faults."""

import random
import re
import zlib

import numpy as np
import pytest
from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.fpga.link import protocol
from bitloom.fpga.link.core import FIFO_BYTES, Link, LinkTop
from bitloom.fpga.link.crc import CRC32
from bitloom.fpga.link.map import LinkStream, link_map
from bitloom.fpga.link.protocol import (
    ANSWER,
    CHECK,
    DAMAGED,
    ESCAPE,
    FAULT,
    FLAG,
    HEADER,
    HELLO,
    MAX_PAYLOAD,
    MOVE,
    MOVE_HEADER,
    SET,
    Frame,
    Reader,
)
from bitloom.fpga.link.receiver import FrameReceiver
from bitloom.fpga.link.responder import Responder
from bitloom.fpga.link.sender import FrameSender
from bitloom.golden.anda import planes as anda
from bitloom.golden.olive import ovp
from bitloom.golden.systolic import tile as systolic
from bitloom.hdl.emission.verilog import emit, emit_rtlil
from bitloom.testbench.formal import prove

SESSION = 0x7D7E0102
IDENTITY = protocol.identity("a core", ["size=3"], "0123456789abcdef")
UNKNOWN_SESSION, NOT_UNDERSTOOD, WRONG_SEQUENCE = b"\1", b"\2", b"\3"
NONE = 15


def simulate(dut, *benches, background=()):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for bench in benches:
        sim.add_testbench(bench)
    for bench in background:
        sim.add_testbench(bench, background=True)
    sim.run()


# The check


def test_crc_is_that_of_zlib():
    dut = CRC32.create()
    rng = random.Random(1)
    messages = [
        b"",
        b"123456789",
        bytes(300),
        bytes(range(256)),
        *(rng.randbytes(rng.randrange(1, 90)) for _ in range(20)),
    ]

    async def feed(ctx, octets):
        ctx.set(dut.valid, 1)
        for byte in octets:
            ctx.set(dut.data, byte)
            await ctx.tick()
        ctx.set(dut.valid, 0)

    async def bench(ctx):
        for message in messages:
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await feed(ctx, message)
            check = zlib.crc32(message)
            assert ctx.get(dut.crc) == check
            await feed(ctx, check.to_bytes(4, "little"))
            assert ctx.get(dut.match_detected) == 1
            await feed(ctx, b"\0")
            assert ctx.get(dut.match_detected) == 0

    simulate(dut, bench)


def test_crc_of_every_state_and_byte():
    """Four bytes make any state, the fifth is any byte: a function of 40 bits that must be affine.

    Such a function is known from zero and the 40 single bits. That no two bits meet is checked for all pairs, that no
    more do with random messages.
    """
    dut = CRC32.create()
    single = [1 << bit for bit in range(40)]
    rng = random.Random(2)
    numbers = [
        0,
        *single,
        *(a | b for a in single for b in single if a < b),
        *(rng.getrandbits(40) for _ in range(300)),
    ]

    async def bench(ctx):
        for number in numbers:
            message = number.to_bytes(5, "little")
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.valid, 1)
            for byte in message:
                ctx.set(dut.data, byte)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            assert ctx.get(dut.crc) == zlib.crc32(message)

    simulate(dut, bench)


# Frames out


async def put(ctx, port, values, rng=None):
    for value in values:
        while rng and rng.random() < 0.4:
            await ctx.tick()
        ctx.set(port.payload, value)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


def taker(port, received, rng=None):
    """Take bytes, with stalls where there is an `rng`; what is on offer must hold still."""

    async def bench(ctx):
        while True:
            ctx.set(port.ready, not (rng and rng.random() < 0.4))
            *_, valid, ready, payload = await ctx.tick().sample(port.valid, port.ready, port.payload)
            if valid and ready:
                received.append(payload)
            elif valid:
                assert (ctx.get(port.valid), ctx.get(port.payload)) == (1, payload)

    return bench


def body_bytes(frame):
    """Body of a frame without its check, as the sender takes it."""
    body = bytes((frame.kind, frame.sequence, frame.channels)) + frame.session.to_bytes(4, "little")
    body += len(frame.payload).to_bytes(2, "little") + frame.payload
    return [{"data": byte, "last": index == len(body) - 1} for index, byte in enumerate(body)]


def escaped_checks(count):
    """Frames whose checks have a flag or an escape in each of their places."""
    found, wanted = [], {(place, byte) for place in range(4) for byte in (FLAG, ESCAPE)}
    for number in range(100_000):
        frame = Frame(MOVE, number & 0xFF, 0, number)
        body = bytes(item["data"] for item in body_bytes(frame))
        hits = {(place, byte) for place, byte in enumerate(zlib.crc32(body).to_bytes(4, "little"))} & wanted
        if hits:
            found.append(frame)
            wanted -= hits
    assert not wanted
    return found


@pytest.mark.parametrize("stalls", [False, True])
def test_sender_makes_the_frames_of_the_protocol(stalls):
    dut, received, rng = FrameSender(), [], random.Random(7)
    frames = [Frame(*(byte,) * 3, byte * 0x01010101, bytes((byte, FLAG, byte, ESCAPE))) for byte in range(256)]
    frames += escaped_checks(4)
    frames += [
        Frame(HELLO),
        Frame(MOVE, 1, 2, 3, bytes((FLAG,)) * MAX_PAYLOAD),
        Frame(MOVE, payload=rng.randbytes(300)),
    ]
    expected = b"".join(frame.to_bytes() for frame in frames)

    async def bench(ctx):
        for frame in frames:
            await put(ctx, dut.i, body_bytes(frame), rng if stalls else None)
        for _ in range(50):
            await ctx.tick()

    simulate(dut, bench, background=[taker(dut.o, received, rng if stalls else None)])
    assert bytes(received) == expected


class SenderIsUndone(wiring.Component):
    """What the sender gives is flags around bytes that `Reader` turns into the sender's, whatever they are."""

    data: In(8)
    last: In(1)
    valid: In(1)
    ready: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.sender = sender = FrameSender()
        m.d.comb += [
            sender.i.payload.data.eq(self.data),
            sender.i.payload.last.eq(self.last),
            sender.i.valid.eq(self.valid),
            sender.o.ready.eq(self.ready),
        ]
        waiting, before = Signal(), Signal(9)
        m.d.sync += [waiting.eq(self.valid & ~sender.i.ready), before.eq(Cat(self.data, self.last))]
        m.d.comb += Assume(~waiting | (self.valid & (Cat(self.data, self.last) == before)))
        moved = sender.o.valid & sender.o.ready
        byte, flag, escape = sender.o.payload, sender.o.payload == FLAG, sender.o.payload == ESCAPE
        escaped, inside, checking = Signal(), Signal(), Signal(3)
        with m.If(moved):
            m.d.sync += escaped.eq(escape)
            with m.If(flag):
                m.d.sync += [inside.eq(~inside), checking.eq(0)]
            with m.Elif((checking != 0) & ~escape):
                m.d.sync += checking.eq(checking + 1)
        with m.If(sender.i.valid & sender.i.ready & self.last):
            m.d.sync += checking.eq(1)
        plain = byte ^ (escaped.replicate(8) & 0x20)
        taken = sender.i.valid & sender.i.ready
        m.d.comb += [
            Assert(~(moved & flag & escaped), "no flag after an escape"),
            Assert(~(moved & escape & escaped), "no escape after an escape"),
            # A frame ends with its check and not before.
            Assert(~(moved & flag & inside) | (checking == 5), "a flag only at the end"),
            # A byte of the body is taken when it, or the second byte of its escape, leaves; and no other leaves.
            Assert(~taken | (moved & inside & ~flag & ~escape & (plain == self.data)), "bytes leave as they came"),
            Assert(~(moved & inside & ~flag & ~escape & (checking == 0)) | taken, "nothing is added"),
        ]
        return m


def test_sender_is_proved_to_escape_whatever_it_is_given():
    prove(SenderIsUndone(), "link-sender")


# Frames in


def run_receiver(line, answered=True, read=True):
    """Requests and payloads that come out of the line's bytes; None for a damaged frame."""
    dut, found = FrameReceiver(), []

    async def host(ctx):
        await put(ctx, dut.i, line)
        for _ in range(2 * MAX_PAYLOAD):
            await ctx.tick()

    async def board(ctx):
        while True:
            await ctx.tick()
            if not ctx.get(dut.o.valid):
                continue
            request, octets = ctx.get(dut.o.payload), []
            if not request.damaged:
                for address in range(min(request.length, MAX_PAYLOAD)):
                    ctx.set(dut.address, address)
                    await ctx.tick()
                    octets.append(ctx.get(dut.data))
            fields = (request.kind, request.sequence, request.channels, request.session)
            found.append(None if request.damaged else Frame(*fields, bytes(octets)))
            ctx.set(dut.o.ready, 1)
            await ctx.tick()
            ctx.set(dut.o.ready, 0)

    simulate(dut, host, background=[board])
    return found


def raw(body):
    """Bytes of the line for a body, its check included."""
    escaped = b"".join(bytes((ESCAPE, b ^ 0x20)) if b in (FLAG, ESCAPE) else bytes((b,)) for b in body)
    return bytes((FLAG, *escaped, FLAG))


def checked(body):
    """The same with a right check added."""
    return raw(body + zlib.crc32(body).to_bytes(4, "little"))


def header(kind=MOVE, sequence=1, channels=0, session=SESSION, length=0):
    return bytes((kind, sequence, channels)) + session.to_bytes(4, "little") + length.to_bytes(2, "little")


WAIT = bytes((FLAG,)) * (MAX_PAYLOAD + 50)


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, MAX_PAYLOAD - 1, MAX_PAYLOAD])
def test_receiver_takes_frames_of_every_length(length):
    frame = Frame(MOVE, 3, 0x21, SESSION, random.Random(length).randbytes(length))
    assert run_receiver(frame.to_bytes() + WAIT + frame.to_bytes()) == [frame, frame]


def test_receiver_takes_every_byte_everywhere():
    frames = [Frame(*(byte,) * 3, byte * 0x01010101, bytes((byte,)) * 5) for byte in range(256)] + escaped_checks(4)
    # Thirty flags between two frames: time to look at the first one's payload. They are no frames.
    line = b"".join(frame.to_bytes() + bytes((FLAG,)) * 30 for frame in frames)
    assert run_receiver(line) == frames


GOOD = Frame(MOVE, 9, 0, SESSION, b"good")

DAMAGE = {
    "one byte": raw(b"x"),
    "shorter than a header and a check": raw(bytes(HEADER + CHECK - 1)),
    "wrong check": raw(header() + b"none"),
    "length too small": checked(header(length=3) + b"1234"),
    "length too large": checked(header(length=5) + b"1234"),
    "length of a frame that is too long": checked(header(length=MAX_PAYLOAD + 1) + bytes(MAX_PAYLOAD + 1)),
    "length of many times 65536": checked(header(length=0xFFFF) + bytes(MAX_PAYLOAD)),
    "as long as two bytes count": checked(header(length=MAX_PAYLOAD) + bytes(MAX_PAYLOAD + 512)),
    "far too long": checked(header() + bytes(3000)),
    "a flag after an escape": bytes((FLAG, *header(session=1), ESCAPE, FLAG)),
    "nothing but an escape": bytes((FLAG, ESCAPE, FLAG)),
    "cut short": Frame(MOVE, 1, 2, SESSION, b"0123456789").to_bytes()[:-3] + bytes((FLAG,)),
}


@pytest.mark.parametrize("line", DAMAGE.values(), ids=DAMAGE)
def test_receiver_says_that_a_frame_is_damaged_and_takes_the_next_one(line):
    assert Reader().feed(line) == [None]
    assert run_receiver(line + WAIT + GOOD.to_bytes()) == [None, GOOD]


def test_receiver_agrees_with_the_reader_about_every_flipped_dropped_doubled_and_inserted_byte():
    rng = random.Random(5)
    frame = Frame(MOVE, 0x7D, 0x7E, SESSION, b"\x7e\x00\x7d")
    clean, lines = frame.to_bytes(), []
    for place in range(len(clean)):
        before, byte, after = clean[:place], clean[place], clean[place + 1 :]
        lines += [before + bytes((byte ^ 1 << bit,)) + after for bit in range(8)]
        lines += [before + after, before + bytes((byte, byte)) + after]
        lines += [before + bytes((other, byte)) + after for other in (FLAG, ESCAPE, rng.randrange(256))]
    gap = bytes((FLAG,)) * 30
    line, expected = b"", []
    for faulty in lines:
        # A damaged frame may end in the middle, and what is left of it be another: one after the other.
        reader = Reader()
        for byte in (*faulty, *gap):
            found = reader.feed(bytes((byte,)))
            expected += found
            line += bytes((byte,)) + (gap if found else b"")
    assert expected.count(None) > 300
    assert set(expected) == {None, frame}
    assert run_receiver(line) == expected


@pytest.mark.parametrize("start", [0, 1, 10, 40])
def test_receiver_passes_over_a_frame_of_which_it_lost_a_byte(start):
    # The payload of the first one is looked at for `length` cycles; the second comes meanwhile, the third after that.
    first, second, third = (Frame(MOVE, n, 0, SESSION, bytes((n,)) * 50) for n in (1, 2, 3))
    line = first.to_bytes() + bytes((FLAG,)) * start + second.to_bytes() + bytes((FLAG,)) * 60 + third.to_bytes()
    assert run_receiver(line) == [first, third]
    # A frame whose flag only came too early has lost nothing.
    assert run_receiver(first.to_bytes() + bytes((FLAG,)) * 60 + second.to_bytes()) == [first, second]


# Requests. A core that adds: two inputs, two outputs, settings, flags; it can be held back.


class Adder(wiring.Component):
    """`sum` is a 12-bit `a` plus an 8-bit `b` plus `bias`; `echo` repeats `a`; nothing leaves while `hold` is set."""

    a: In(stream.Signature(12))
    b: In(stream.Signature(8))
    bias: In(9, init=5)
    hold: In(1)
    sum: Out(stream.Signature(14))
    echo: Out(stream.Signature(data.StructLayout({"low": 4, "high": 8})))
    carry: Out(1)
    count: Out(3)

    def elaborate(self, platform):
        m = Module()
        both = self.a.valid & self.b.valid & self.sum.ready & self.echo.ready & ~self.hold
        total = self.a.payload + self.b.payload + self.bias
        m.d.comb += [
            self.sum.payload.eq(total),
            self.echo.payload.eq(self.a.payload),
            *(port.eq(both) for port in (self.a.ready, self.b.ready, self.sum.valid, self.echo.valid)),
        ]
        with m.If(both):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(total > 0xFFF):
                m.d.sync += self.carry.eq(1)
        return m


class Host:
    """Asks a `Link`, or whatever has two streams of bytes, and reads its answers."""

    def __init__(self, ctx, link):
        self.ctx, self.link, self.reader, self.sequence = ctx, link, Reader(), 0

    async def line(self, octets, cycles=1300):
        """Send bytes; all frames that come until nothing has come for `cycles`."""
        ctx, link, found, quiet = self.ctx, self.link, [], 0
        octets = list(octets)
        ctx.set(link.o.ready, 1)
        while octets or quiet < cycles:
            ctx.set(link.i.valid, bool(octets))
            ctx.set(link.i.payload, octets.pop(0) if octets else 0)
            *_, taken, valid, byte = await ctx.tick().sample(link.i.ready, link.o.valid, link.o.payload)
            assert taken
            quiet = 0 if valid or octets else quiet + 1
            found += self.reader.feed(bytes((byte,))) if valid else []
            if found and not octets and byte == FLAG:
                cycles = 40
        return found

    async def ask(self, frame):
        """The one answer to a frame."""
        (answer,) = await self.line(frame.to_bytes())
        return answer

    async def hello(self, session=SESSION):
        self.sequence, self.session = 0, session
        answer = await self.ask(Frame(HELLO, session=session))
        assert answer == Frame(HELLO | ANSWER, session=session, payload=answer.payload)
        return answer.payload

    async def next(self, kind, payload=b"", sink=NONE, source=NONE):
        """The payload of the answer to the next request."""
        self.sequence = (self.sequence + 1) % 256
        request = Frame(kind, self.sequence, sink | source << 4, self.session, payload)
        answer = await self.ask(request)
        assert answer == Frame(kind | ANSWER, self.sequence, request.channels, self.session, answer.payload)
        return answer.payload

    async def move(self, payload=b"", sink=NONE, source=NONE):
        """Bytes taken, flags, bytes that came."""
        answer = await self.next(MOVE, payload, sink, source)
        return int.from_bytes(answer[:2], "little"), answer[2], answer[MOVE_HEADER:]


def talk(conversation, core=None):
    """Run a conversation with a link; the link."""
    link = Link(core or Adder(), IDENTITY)

    async def bench(ctx):
        await conversation(Host(ctx, link), ctx, link)

    simulate(link, bench)
    return link


def words(values, width):
    return b"".join(value.to_bytes(width, "little") for value in values)


def test_link_map_lists_streams_settings_and_flags_in_order():
    found = link_map(Adder())
    assert found.inputs == {"a": LinkStream(0, 12, 2), "b": LinkStream(1, 8, 1)}
    assert found.outputs == {"sum": LinkStream(0, 14, 2), "echo": LinkStream(1, 12, 2)}
    assert list(found.settings.items()) == [("bias", 9), ("hold", 1)]
    assert found.settings_bytes == 2
    assert found.flags == ("carry", "count[0]", "count[1]", "count[2]")


@pytest.mark.parametrize("core", CATALOGUE.values(), ids=CATALOGUE)
def test_every_core_of_the_catalogue_goes_behind_the_link(core):
    component = core.component(core.config.parse(core.small))
    found = link_map(component)
    assert found.inputs and found.outputs
    names = {*found.inputs, *found.outputs, *found.settings, *(flag.partition("[")[0] for flag in found.flags)}
    assert names == set(component.signature.members)
    text = emit_rtlil(LinkTop(component, IDENTITY, 1_000_000, 250_000), "top")
    assert "module \\top" in text


def test_link_map_refuses_what_does_not_go_over_the_link():
    def core(**members):
        return type("Odd", (wiring.Component,), {"__annotations__": members})()

    byte = stream.Signature(8)
    for members, message in (
        ({f"i{n}": In(byte) for n in range(16)}, "at most 15 input streams; Odd has 16"),
        ({f"o{n}": Out(byte) for n in range(16)}, "at most 15 output streams; Odd has 16"),
        ({"state": Out(9)}, "at most 8 bits of outputs beside its streams; Odd has 9"),
        ({"table": In(4097)}, "at most 512 bytes of inputs beside its streams; Odd has 513"),
        ({"i": In(byte).array(2)}, "must have streams and plain ports only; Odd has i"),
        ({"bus": In(wiring.Signature({"x": In(1)}))}, "must have streams and plain ports only; Odd has bus"),
    ):
        with pytest.raises(ValueError, match=f"^a core behind the host link must have .*{message.split('; ')[-1]}$"):
            link_map(core(**members))
    with pytest.raises(ValueError, match=r"^identity must have 1 to 512 bytes, not 513$"):
        Responder(1, 1, 0, bytes(513))


def test_before_hello_only_hello_is_answered():
    async def conversation(host, ctx, link):
        for kind in (SET, MOVE, FAULT, 0, 0x77):
            for session in (0, SESSION):
                asked = Frame(kind, 0, 0x12, session)
                assert await host.ask(asked) == Frame(FAULT | ANSWER, 0, 0x12, session, UNKNOWN_SESSION)
        for wrong in (Frame(HELLO, 1, session=SESSION), Frame(HELLO), Frame(HELLO, session=SESSION, payload=b"x")):
            asked = Frame(FAULT | ANSWER, wrong.sequence, wrong.channels, wrong.session, NOT_UNDERSTOOD)
            assert await host.ask(wrong) == asked
        assert await host.hello() == IDENTITY
        assert await host.hello() == IDENTITY

    talk(conversation)


def test_streams_settings_and_flags():
    a, b = [0, 1, 0xABC, 0xFFF], [7, 0xFF, 0x7E, 0x7D]

    async def conversation(host, ctx, link):
        await host.hello()
        assert ctx.get(link.core.bias) == 5
        assert await host.move(words(a, 2), sink=0) == (8, 0, b"")
        assert (await host.move(words(b, 1), sink=1))[0] == 4
        assert await host.move(source=1) == (0, 0b1001, words(a, 2))
        assert await host.move(source=0) == (0, 0b1001, words([x + y + 5 for x, y in zip(a, b, strict=True)], 2))
        assert await host.next(SET, (0x155 | 0 << 9).to_bytes(2, "little")) == b""
        assert (ctx.get(link.core.bias), ctx.get(link.core.hold)) == (0x155, 0)
        assert await host.move(words([2, 3], 1), sink=1) == (2, 0b1001, b"")
        assert (await host.move(words([4], 2), sink=0))[0] == 2
        assert await host.move(source=0) == (0, 1 | 5 << 1, words([6 + 0x155], 2))
        assert ctx.get(link.alarm) == 1
        # The first half of a payload, one of `b`, one of `echo`, settings and flags: HELLO forgets them all.
        assert await host.move(b"\1", sink=0) == (1, 11, b"")
        assert await host.hello(SESSION + 1) == IDENTITY
        assert (ctx.get(link.core.bias), ctx.get(link.alarm)) == (5, 0)
        assert await host.move(words([1], 2), sink=0) == (2, 0, b"")
        assert await host.move(source=1) == (0, 0, b"")
        assert (await host.move(words([1], 1), sink=1))[0] == 1
        assert await host.move(source=0) == (0, 2, words([7], 2))
        assert await host.move(source=1) == (0, 2, words([1], 2))

    talk(conversation)


def test_move_sends_and_takes_at_once_or_neither():
    async def conversation(host, ctx, link):
        await host.hello()
        assert await host.move() == (0, 0, b"")
        for sink, source in ((0, 0), (0, NONE), (NONE, 0), (1, 1)):
            assert await host.move(b"", sink, source) == (0, 0, b"")
        await host.move(words([1, 2, 3], 2), sink=0)
        await host.move(words([1, 2], 1), sink=1)
        # What the bytes of a request give rise to may come with its answer, and does while the core is fast.
        assert await host.move(words([3], 1), 1, 1) == (1, 6, words([1, 2, 3], 2))
        assert await host.move(words([4], 2), 0, 1) == (2, 6, b"")
        assert await host.move(words([4], 1), 1, 0) == (1, 8, words([7, 9, 11, 13], 2))

    talk(conversation)


def test_an_input_takes_what_its_fifo_has_room_for_and_an_output_waits():
    values = [random.Random(6).randrange(1 << 12) for _ in range(900)]

    async def conversation(host, ctx, link):
        await host.hello()
        line = words(values, 2)
        # Nothing takes the echo: it fills up, then the adder stands still, then its inputs fill up.
        sent, others = 0, 0
        while True:
            taken, _, came = await host.move(line[sent : sent + MAX_PAYLOAD], 0)
            assert came == b""
            sent += taken
            others += (await host.move(bytes(min(300, 900 - others)), 1, 0))[0]
            if not taken:
                break
        # All FIFOs of the way, a payload before and one behind the adder.
        assert 2 * FIFO_BYTES <= sent <= 2 * FIFO_BYTES + 4
        assert ctx.get(link.core.a.valid) == 1 and ctx.get(link.core.a.ready) == 0
        # As much as a payload holds, and then the rest.
        echo = b""
        for expected in (MAX_PAYLOAD - MOVE_HEADER, None):
            *_, came = await host.move(b"", NONE, 1)
            assert expected is None or len(came) == expected
            echo += came
        while len(echo) < len(line):
            taken, _, came = await host.move(line[sent : sent + MAX_PAYLOAD], 0, 1)
            sent, echo = sent + taken, echo + came
            if others < 900:
                others += (await host.move(bytes(min(300, 900 - others)), 1))[0]
            await host.move(b"", NONE, 0)
        assert (sent, echo) == (len(line), line)

    talk(conversation)


def test_a_full_payload_fills_an_empty_fifo_exactly():
    async def conversation(host, ctx, link):
        await host.hello()
        # The core takes nothing; one payload leaves the FIFO and waits before the core.
        taken = 0
        for size in (MAX_PAYLOAD, 5, 5):
            taken += (await host.move(bytes(size), 0))[0]
        assert taken == FIFO_BYTES + 2
        assert await host.move(b"\0" * 100, 0) == (0, 0, b"")

    talk(conversation)


def test_a_repeated_request_gets_the_last_answer_again_and_does_nothing():
    async def conversation(host, ctx, link):
        hello = Frame(HELLO, session=SESSION)
        first = await host.ask(hello)
        # The sequence of the last request is what counts.
        assert await host.ask(Frame(MOVE, 0, 0xF0, SESSION, b"12")) == first
        requests = [
            Frame(MOVE, 1, 0xF0, SESSION, words([1, 2], 2)),
            Frame(MOVE, 2, 0xF1, SESSION, words([1], 1)),
            Frame(MOVE, 3, 0x11, SESSION, words([1], 1)),
            Frame(SET, 4, 0xFF, SESSION, b"\1\0"),
            Frame(MOVE, 5, 0x1F, SESSION),
            Frame(MOVE, 6, 0x0F, SESSION),
            Frame(MOVE, 7, 0x10, SESSION, words([9], 2)),
            Frame(MOVE, 8, 0x0F, SESSION),
        ]
        answers = []
        for request in requests:
            answer = await host.ask(request)
            assert (answer.kind, answer.sequence) == (request.kind | ANSWER, request.sequence)
            # Also after what was refused, and after damage.
            for between in (b"", Frame(MOVE, 77, 0xF0, SESSION, b"12").to_bytes(), DAMAGE["wrong check"]):
                refused = await host.line(between)
                assert [frame.kind for frame in refused] == [
                    ANSWER | (DAMAGED if between == DAMAGE["wrong check"] else FAULT)
                ] * bool(between)
                assert await host.ask(request) == answer
                # A session's repeated request is answered by its sequence, not by what is in it.
                assert await host.ask(Frame(SET, request.sequence, 0x21, SESSION, b"123")) == answer
            answers.append(answer.payload)
        assert answers[0] == b"\4\0\0" and answers[1][:2] == b"\1\0"
        assert answers[2] == b"\1\0\4" + words([1, 2], 2)
        assert answers[4] == b"\0\0\4"
        assert answers[5] == b"\0\0\4" + words([7, 8], 2)
        assert answers[6] == b"\2\0\4"
        assert answers[7] == b"\0\0\4"

    talk(conversation)


def test_sequences_go_round_and_others_are_refused():
    async def conversation(host, ctx, link):
        await host.hello()
        for expected in [*range(1, 256), 0, 1, 2]:
            wrongs = [expected + 1, expected - 2, expected + 128] if expected % 32 < 2 else []
            for wrong in (number % 256 for number in wrongs):
                asked = Frame(MOVE, wrong, 0xF0, SESSION, b"12")
                assert await host.ask(asked) == Frame(FAULT | ANSWER, wrong, 0xF0, SESSION, WRONG_SEQUENCE)
            if expected % 64 == 0:
                other = Frame(MOVE, expected, 0xF0, SESSION ^ 1 << 31, b"12")
                assert await host.ask(other) == Frame(
                    FAULT | ANSWER, expected, 0xF0, SESSION ^ 1 << 31, UNKNOWN_SESSION
                )
            assert await host.move() == (0, 0, b"")
            assert host.sequence == expected
        # The link still has a sequence of 2; of a new session it has 0.
        await host.hello()
        asked = Frame(MOVE, 3, 0xF0, SESSION, b"12")
        assert await host.ask(asked) == Frame(FAULT | ANSWER, 3, 0xF0, SESSION, WRONG_SEQUENCE)

    talk(conversation)


@pytest.mark.parametrize("bit", [0, 7, 8, 19, 24, 31])
def test_a_session_is_all_of_its_bits(bit):
    async def conversation(host, ctx, link):
        await host.hello()
        other = Frame(MOVE, 1, 0xF0, SESSION ^ 1 << bit, b"12")
        assert await host.ask(other) == Frame(FAULT | ANSWER, 1, 0xF0, SESSION ^ 1 << bit, UNKNOWN_SESSION)

    talk(conversation)


def test_what_is_not_understood_does_nothing():
    async def conversation(host, ctx, link):
        await host.hello()
        refused = [
            *((kind, 0xFF, b"") for kind in (0, FAULT, DAMAGED, 6, 7, 9, 0x43, ANSWER | MOVE, ANSWER | HELLO, 0xFF)),
            *((MOVE, sink | 0xF0, b"1") for sink in (2, 3, 14, 15)),
            *((MOVE, 0x0F | source << 4, b"") for source in (2, 7, 14)),
            *((SET, 0xFF, bytes(size)) for size in (0, 1, 3, MAX_PAYLOAD)),
        ]
        for kind, channels, payload in refused:
            asked = Frame(kind, 1, channels, SESSION, payload)
            assert await host.ask(asked) == Frame(FAULT | ANSWER, 1, channels, SESSION, NOT_UNDERSTOOD)
        # The same sequence is still free.
        assert await host.next(SET, b"\7\0") == b""
        assert host.sequence == 1 and ctx.get(link.core.bias) == 7
        # An illegal HELLO leaves the session alone.
        for asked in (Frame(HELLO, 2, session=SESSION), Frame(HELLO), Frame(HELLO, session=9, payload=b"x")):
            answer = Frame(FAULT | ANSWER, asked.sequence, asked.channels, asked.session, NOT_UNDERSTOOD)
            assert await host.ask(asked) == answer
        assert await host.move() == (0, 0, b"") and ctx.get(link.core.bias) == 7

    talk(conversation)


@pytest.mark.parametrize("line", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_and_changes_nothing(line):
    async def conversation(host, ctx, link):
        assert await host.line(line) == [Frame(DAMAGED | ANSWER)]
        assert ctx.get(link.alarm) == 1
        await host.hello()
        assert ctx.get(link.alarm) == 0
        await host.move(words([1, 2], 2), 0)
        assert await host.line(line) == [Frame(DAMAGED | ANSWER)]
        assert ctx.get(link.alarm) == 1
        await host.move(words([3, 4], 1), 1)
        assert await host.move(b"", NONE, 0) == (0, 4, words([9, 11], 2))

    talk(conversation)


@pytest.mark.parametrize("gap", [0, 3, 20, 500])
def test_a_frame_that_comes_before_the_answer_is_complete_is_not_half_done(gap):
    """Frames on the heels of others: each is answered or passed over as a whole, and those in order act once."""
    requests = [Frame(MOVE, n, 0xF1, SESSION, bytes((n,)) * 20) for n in range(1, 9)]

    async def conversation(host, ctx, link):
        await host.hello()
        line = b"".join(request.to_bytes() + bytes((FLAG,)) * gap for request in requests)
        answers, done = await host.line(line), 0
        for answer in answers:
            assert answer.session == SESSION
            if answer.kind == FAULT | ANSWER:
                assert answer.payload == WRONG_SEQUENCE
            else:
                done += 1
                assert answer == Frame(MOVE | ANSWER, done, 0xF1, SESSION, b"\x14\0\0")
        # At least the first; with gaps as long as an answer every one.
        assert done >= 1 and (gap < 500 or done == 8)
        assert await host.ask(requests[done - 1]) == Frame(MOVE | ANSWER, done, 0xF1, SESSION, b"\x14\0\0")
        host.sequence = done
        await host.move(words(range(200), 2), 0)
        *_, came = await host.move(source=0)
        assert came == words([5 + number + number // 20 + 1 for number in range(20 * done)], 2)

    talk(conversation)


def test_hello_in_the_middle_of_the_cores_work():
    """A reset at every moment of a tile's work: what it gives afterwards is right."""
    core = lookup("systolic-tile")
    config = core.config(rows=2, cols=2)
    rng = np.random.default_rng(8)
    a, w = rng.integers(-128, 128, (2, 12)), rng.integers(-128, 128, (12, 2))

    async def conversation(host, ctx, link):
        for session in range(1, 25):
            await host.hello(session)
            # Some of the work, and some of a payload.
            await host.move(tile_bytes(rng.integers(-128, 128, (20, 2)))[: int(rng.integers(0, 61))], sink=0)
            await host.move(tile_bytes(rng.integers(-128, 128, (20, 2)))[: int(rng.integers(0, 61))], sink=1)
            if session % 2:
                await ctx.tick().repeat(int(rng.integers(0, 40)))
        await host.hello(99)
        await host.move(tile_bytes(a.T), sink=0)
        await host.move(tile_bytes(w), sink=1)
        *_, came = await host.move(source=0)
        assert tile_results(came, config) == systolic.matmul(a, w.T, config)[0].tolist()

    talk(conversation, core.component(config))


def test_hello_resets_modules_that_are_emitted_once_too():
    """In the Verilog a processing element is an instance with a reset: that of the board or HELLO's."""
    core = lookup("systolic-tile")
    top = LinkTop(core.component(core.config.parse(core.small)), IDENTITY, CLOCK_HZ, BAUD)
    text = emit(top, "top")
    wrapper = re.search(r"^module top__link__core\(.*?^endmodule", text, flags=re.M | re.S)[0]
    assert "assign core_rst = rst | restart;" in wrapper
    inner = re.search(r"^module top__link__core__core\(.*?^endmodule", text, flags=re.M | re.S)[0]
    resets = re.findall(r"\.rst\((\w+)\)", inner)
    assert len(resets) >= 2 and set(resets) == {"core_rst"}
    assert "restart" not in inner


# Cores of the catalogue


def tile_bytes(steps):
    """Payloads of a plain tile's stream: one step each, `last` with the last one."""
    width, octets = 8 * steps.shape[1] + 1, b""
    for index, step in enumerate(steps.tolist()):
        value = sum((lane & 0xFF) << 8 * place for place, lane in enumerate(step))
        octets += (value | (index == len(steps) - 1) << width - 1).to_bytes(-(-width // 8), "little")
    return octets


def tile_results(octets, config):
    """Rows of results of bytes that a tile gave."""
    bits = config.cols * config.accumulator + config.cols * config.overflow + 1
    size = -(-bits // 8)
    assert len(octets) == size * config.rows
    rows = []
    for row in range(config.rows):
        number = int.from_bytes(octets[row * size : (row + 1) * size], "little")
        lanes = [number >> col * config.accumulator & (1 << config.accumulator) - 1 for col in range(config.cols)]
        rows.append([lane - (lane >> config.accumulator - 1 << config.accumulator) for lane in lanes])
        assert number >> bits - 1 == (row == config.rows - 1)
    return rows


@pytest.mark.parametrize("mantissa", [1, 3, 4])
def test_compressor_takes_its_mantissa_length_from_settings(mantissa):
    core = lookup("anda-compressor")
    config = core.config.parse(core.small)
    rng = np.random.default_rng(mantissa)
    values = (rng.standard_t(2, (5, 2, 16)) * 3).astype(np.float16)
    tensor = anda.encode(values, mantissa, group=16)
    sent, expected = b"", b""
    for index in range(5):
        for lane in range(2):
            bits = int.from_bytes(values[index, lane].tobytes(), "little") | lane << 256
            sent += bits.to_bytes(33, "little")
        for plane in range(mantissa):
            fields = [(int(tensor.planes[index, lane, 0, plane]), 16) for lane in range(2)]
            fields += [(int(tensor.signs[index, lane, 0]), 16) for lane in range(2)]
            fields += [(int(tensor.exponents[index, lane, 0]), 5) for lane in range(2)]
            fields += [(plane == 0, 1), (plane == mantissa - 1, 1)]
            number, at = 0, 0
            for value, width in fields:
                number, at = number | value << at, at + width
            expected += number.to_bytes(10, "little")

    async def conversation(host, ctx, link):
        await host.hello()
        assert link.map.settings == {"mantissa": 3} and link.map.flags == ("nonfinite",)
        await host.next(SET, bytes((mantissa,)))
        assert await host.move(sent, 0) == (len(sent), 0, b"")
        assert await host.move(source=0) == (0, 0, expected)
        infinite = (0x7C00).to_bytes(2, "little") * 16 + b"\1"
        await host.move(infinite, 0)
        assert (await host.move(source=0))[1] == 1 and ctx.get(link.alarm) == 1

    talk(conversation, core.component(config))


def decoder_bytes(config, codes, lasts):
    """Bytes to send for packed codes, shape (transfers, bytes), and the bytes that must come back."""
    fmt = config.format
    sent, expected = b"", b""
    integers, exponents = ovp.decode(codes, fmt)
    width = fmt.exponent_bits + fmt.integer_bits
    for transfer, last in enumerate(lasts):
        packed = int.from_bytes(codes[transfer].tobytes(), "little") | last << 8 * codes.shape[1]
        sent += packed.to_bytes(codes.shape[1] + 1, "little")
        fields = 0
        for index, (integer, exponent) in enumerate(zip(integers[transfer], exponents[transfer], strict=True)):
            code = int(exponent) | (int(integer) % (1 << fmt.integer_bits)) << fmt.exponent_bits
            fields |= code << index * width
        bits = width * integers.shape[1]
        expected += (fields | last << bits).to_bytes(bits // 8 + 1, "little")
    return sent, expected


@pytest.mark.parametrize(
    "parameters",
    [{}, {"normal": "flint4", "pairs": 3}, {"normal": "int8", "pairs": 2}],
    ids=["default", "flint4", "int8"],
)
def test_decoder_decodes_what_comes_over_the_link(parameters):
    core = lookup("ovp-decoder")
    config = core.config(**parameters)
    rng = np.random.default_rng(3)
    values = rng.standard_t(2, (100, 2 * config.pairs)) * config.format.max_normal / 3
    codes = ovp.encode(values, config.format)
    sent, expected = decoder_bytes(config, codes, [int(last) for last in rng.integers(0, 2, len(codes))])
    illegal, answer = decoder_bytes(config, np.full((1, codes.shape[1]), 0x88, np.uint8), [0])
    assert len(set(expected)) > 10

    async def conversation(host, ctx, link):
        await host.hello()
        assert await exchange(host, sent) == expected
        assert ctx.get(link.alarm) == 0
        if not ovp.illegal(np.full((1, codes.shape[1]), 0x88, np.uint8), config.format).any():
            return
        await host.move(illegal, 0)
        assert await host.move(source=0) == (0, 1, answer)
        assert ctx.get(link.alarm) == 1

    talk(conversation, core.component(config))


def test_encoder_encodes_what_comes_over_the_link():
    core = lookup("ovp-encoder")
    config = core.config(width=20, fraction=4)
    rng = np.random.default_rng(4)
    fixed = np.clip(np.round(rng.standard_t(2, (40, 2)) * 60), -(1 << 19), (1 << 19) - 1).astype(int)
    codes = ovp.encode(fixed / 16, config.format)
    assert len(np.unique(codes)) > 10
    sent, expected = b"", b""
    for transfer, (first, second) in enumerate(fixed.tolist()):
        last = transfer == len(fixed) - 1
        sent += (first % (1 << 20) | second % (1 << 20) << 20 | last << 40).to_bytes(6, "little")
        expected += bytes((*codes[transfer].tolist(), last))

    async def conversation(host, ctx, link):
        await host.hello()
        assert await exchange(host, sent) == expected

    talk(conversation, core.component(config))


async def exchange(host, sent):
    """All that comes from output 0 for bytes to input 0."""
    received = b""
    while True:
        taken, _, came = await host.move(sent[:MAX_PAYLOAD], 0 if sent else NONE, 0)
        sent, received = sent[taken:], received + came
        if not sent and not came:
            return received


# The top level, through its pins. A bit lasts 4 clock cycles.

CLOCK_HZ, BAUD = 1_000_000, 250_000
BIT_S = 1 / BAUD


async def send(ctx, pin, sent):
    for byte in sent:
        for level in (0, *(byte >> position & 1 for position in range(8)), 1):
            ctx.set(pin, level)
            await ctx.delay(BIT_S)


def listener(pin, received):
    """Bytes of a serial line, sampled in the middle of the bits."""

    async def bench(ctx):
        while True:
            await ctx.negedge(pin)
            await ctx.delay(BIT_S / 2)
            frame = []
            for _ in range(10):
                frame.append(ctx.get(pin))
                await ctx.delay(BIT_S if len(frame) < 10 else BIT_S / 4)
            assert frame[0] == 0 and frame[9] == 1
            received.append(sum(bit << position for position, bit in enumerate(frame[1:9])))

    return bench


def test_top_speaks_the_protocol_through_its_pins():
    core = lookup("ovp-decoder")
    top = LinkTop(core.component(core.config()), IDENTITY, CLOCK_HZ, BAUD)
    codes = ovp.encode(np.random.default_rng(3).standard_t(2, (10, 2)), core.config().format)
    sent, expected = decoder_bytes(core.config(), codes, [0] * 10)
    received, reader = [], Reader()

    async def ask(ctx, frame):
        await send(ctx, top.rx, frame)
        found = []
        while not found:
            await ctx.delay(BIT_S)
            found = reader.feed(bytes(received))
            received.clear()
        return found[0]

    async def host(ctx):
        # A line that was low, and half a frame: the first answer is to damage.
        ctx.set(top.rx, 0)
        await ctx.delay(30 * BIT_S)
        ctx.set(top.rx, 1)
        await ctx.delay(3 * BIT_S)
        assert ctx.get(top.alarm) == 1
        assert await ask(ctx, b"abc" + bytes((FLAG,))) == Frame(DAMAGED | ANSWER)
        answer = Frame(HELLO | ANSWER, session=7, payload=IDENTITY)
        assert await ask(ctx, Frame(HELLO, session=7).to_bytes()) == answer
        assert ctx.get(top.alarm) == 0
        # At once behind the last stop bit.
        answer = await ask(ctx, Frame(MOVE, 1, 0xF0, 7, sent).to_bytes())
        assert answer == Frame(MOVE | ANSWER, 1, 0xF0, 7, len(sent).to_bytes(2, "little") + b"\0")
        answer = await ask(ctx, Frame(MOVE, 2, 0x0F, 7).to_bytes())
        assert answer == Frame(MOVE | ANSWER, 2, 0x0F, 7, b"\0\0\0" + expected)
        # A frame that comes while the answer to the first is on its way is passed over.
        doubled = Frame(MOVE, 3, 0xF0, 7, b"1").to_bytes() + Frame(MOVE, 4, 0xF0, 7, b"1").to_bytes()
        assert (await ask(ctx, doubled)).sequence == 3
        assert await ask(ctx, Frame(MOVE, 5, 0xF0, 7).to_bytes()) == Frame(FAULT | ANSWER, 5, 0xF0, 7, WRONG_SEQUENCE)
        assert (await ask(ctx, Frame(MOVE, 4, 0xF0, 7, b"2").to_bytes())).payload == b"\1\0\0"
        assert ctx.get(top.alarm) == 0

    simulate(top, host, background=[listener(top.tx, received)])


def test_top_has_a_heartbeat_of_about_a_second():
    core = lookup("ovp-decoder")
    top = LinkTop(core.component(core.config()), IDENTITY, 1000, 250)
    edges = []

    async def watch(ctx):
        before, cycle = 0, 0
        async for *_, level in ctx.tick().sample(top.heartbeat):
            if level != before:
                edges.append(cycle)
            before, cycle = level, cycle + 1

    async def wait(ctx):
        await ctx.tick().repeat(2100)

    simulate(top, wait, background=[watch])
    assert edges[:4] == [512, 1024, 1536, 2048]


def test_top_refuses_a_rate_that_the_clock_cannot_give():
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match=r"^baud must be 1 to 250000 for a clock of 1000000 Hz, not 1000000$"):
        LinkTop(core.component(core.config()), IDENTITY, CLOCK_HZ, CLOCK_HZ)
