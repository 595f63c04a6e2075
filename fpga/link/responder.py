"""The board's side of a request: it acts and answers."""

from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .protocol import ANSWER, DAMAGED, FAULT, HEADER, HELLO, MAX_PAYLOAD, MOVE, MOVE_HEADER, NO_CHANNEL, SET
from .receiver import REQUEST
from .sender import BODY

__all__ = ["Responder"]

_UNKNOWN_SESSION, _NOT_UNDERSTOOD, _WRONG_SEQUENCE = 1, 2, 3
_KIND_BITS = 3


class _Head(NamedTuple):
    """What an answer has before its payload: three signals."""

    kind: Signal
    channels: Signal
    length: Signal


class Responder(wiring.Component):
    """Carries out requests, one at a time, and keeps the last answer.

    A request is checked in this order: damaged; HELLO; its session; its sequence; whether it is understood. HELLO is
    always obeyed, also where its sequence is that of the last request, but must have the sequence 0, no payload and a
    session. FAULT and DAMAGED change nothing: the last answer stays, and the same sequence is expected.

    Parameters
    ----------
    inputs, outputs : int
        How many streams go to the core and come from it, at most 15 each.
    settings_bytes : int
        Length of the payload of SET.
    identity : bytes
        Payload of the answer to HELLO, at most `MAX_PAYLOAD`.

    Attributes
    ----------
    i : in stream of `REQUEST`
        A request; it is taken when its answer's last byte has been given away.
    address : out, data : in 8
        The request's payload, a memory whose data come in the next cycle.
    o : out stream of `BODY`
        Answers.
    restart : out 1
        High for the cycle in which all behind the link is to be reset.
    settings : out stream of 8 bits
        Payloads of SET.
    to_core, from_core : streams of 8 bits
        The core's, by channel.
    flags : in 8
        The core's; taken after the bytes of the output stream, so that an answer tells what its bytes gave rise to.
    """

    def __init__(self, inputs, outputs, settings_bytes, identity):
        self.inputs, self.outputs = inputs, outputs
        self.settings_bytes, self.identity = settings_bytes, bytes(identity)
        if not 1 <= len(self.identity) <= MAX_PAYLOAD:
            raise ValueError(f"identity must have 1 to {MAX_PAYLOAD} bytes, not {len(self.identity)}")
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST)),
                "address": Out(range(MAX_PAYLOAD)),
                "data": In(8),
                "o": Out(stream.Signature(BODY)),
                "restart": Out(1),
                "settings": Out(stream.Signature(8)),
                "to_core": Out(stream.Signature(8)).array(inputs),
                "from_core": In(stream.Signature(8)).array(outputs),
                "flags": In(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        request = self.i.payload
        m.submodules.identity = identity = memory.Memory(
            shape=8, depth=len(self.identity), init=self.identity, attrs={"rom_style": "block"}
        )
        m.submodules.answer = kept_payload = memory.Memory(shape=8, depth=MAX_PAYLOAD, init=[])
        told, kept, keep = identity.read_port(), kept_payload.read_port(), kept_payload.write_port()

        # The session, and the last request that was carried out.
        session, sequence = Signal(32), Signal(8, name="last_sequence")  # `sequence` is a word of SystemVerilog
        last_kind, last_channels = Signal(_KIND_BITS), Signal(8)
        last_length = Signal(range(MAX_PAYLOAD + 1))
        last = _Head(last_kind, last_channels, last_length)
        # The answer that is under way.
        kind, channels, length = Signal(_KIND_BITS), Signal(8), Signal(range(MAX_PAYLOAD + 1))
        answer = _Head(kind, channels, length)
        reason = Signal(2)

        # A byte's place in a payload; the memories look up the next one.
        place, following = Signal(range(MAX_PAYLOAD + 1)), Signal(range(MAX_PAYLOAD + 1))
        m.d.comb += following.eq(place)
        m.d.sync += place.eq(following)
        m.d.comb += [port.eq(following) for port in (self.address, told.addr, kept.addr)]

        source, sink, understood = Signal(4), Signal(4), Signal()
        m.d.comb += Cat(sink, source).eq(request.channels)
        self._understand(m, source, sink, understood)
        offered = Signal()
        taken, given = self._route(m, request.kind == SET, sink, source, offered)

        with m.FSM():
            with m.State("DECIDE"), m.If(self.i.valid):
                m.d.comb += following.eq(0)
                self._decide(m, understood, session, sequence, last, answer, reason)
            with m.State("TO_CORE"):
                m.d.comb += offered.eq(place != request.length)
                with m.If(offered & taken):
                    m.d.comb += following.eq(place + 1)
                with m.Elif(last_kind == MOVE):
                    m.next = "COUNT_LOW"
                with m.Else():
                    m.d.comb += following.eq(0)
                    m.next = "RECALL"
            self._keep(m, keep, given, place, following, last_length)
            with m.State("RECALL"):
                m.d.sync += [field.eq(of_last) for field, of_last in zip(answer, last, strict=True)]
                m.next = "HEADER"
            payload = Mux(kind == HELLO, told.data, Mux(kind == FAULT, reason, kept.data))
            self._send(m, kind, channels, length, place, following, payload)
        return m

    def _understand(self, m, source, sink, understood):
        """Whether the length and the channels of a SET or a MOVE are legal."""
        request = self.i.payload
        with m.Switch(request.kind):
            with m.Case(SET):
                m.d.comb += understood.eq(request.length == self.settings_bytes)
            with m.Case(MOVE):
                to_none, from_none = sink == NO_CHANNEL, source == NO_CHANNEL
                m.d.comb += understood.eq(
                    ((sink < self.inputs) | (to_none & (request.length == 0))) & ((source < self.outputs) | from_none)
                )

    def _decide(self, m, understood, session, sequence, last, answer, reason):
        """What becomes of a request: it is carried out, answered as before, or refused."""
        request = self.i.payload
        m.d.sync += [answer.kind.eq(FAULT), answer.channels.eq(request.channels), answer.length.eq(1)]
        m.next = "HEADER"
        with m.If(request.damaged):
            m.d.sync += [
                answer.kind.eq(DAMAGED),
                answer.channels.eq(NO_CHANNEL << 4 | NO_CHANNEL),
                answer.length.eq(0),
            ]
        with m.Elif(request.kind == HELLO):
            with m.If((request.sequence == 0) & (request.length == 0) & (request.session != 0)):
                m.d.comb += self.restart.eq(1)
                m.d.sync += [session.eq(request.session), sequence.eq(0)]
                m.d.sync += [last.kind.eq(HELLO), last.channels.eq(request.channels)]
                m.d.sync += last.length.eq(len(self.identity))
                m.next = "RECALL"
            with m.Else():
                m.d.sync += reason.eq(_NOT_UNDERSTOOD)
        with m.Elif((session == 0) | (request.session != session)):
            m.d.sync += reason.eq(_UNKNOWN_SESSION)
        with m.Elif(request.sequence == sequence):
            m.next = "RECALL"
        with m.Elif(request.sequence != (sequence + 1)[:8]):
            m.d.sync += reason.eq(_WRONG_SEQUENCE)
        with m.Elif(~understood):
            m.d.sync += reason.eq(_NOT_UNDERSTOOD)
        with m.Else():
            m.d.sync += [sequence.eq(request.sequence), last.length.eq(0)]
            m.d.sync += [last.kind.eq(request.kind), last.channels.eq(request.channels)]
            m.next = "TO_CORE"

    def _keep(self, m, keep, given, place, following, length):
        """The states in which the answer to MOVE is kept: how many bytes went in, those that come out, the flags."""
        with m.State("COUNT_LOW"):
            m.d.comb += [keep.en.eq(1), keep.addr.eq(0), keep.data.eq(place[:8])]
            m.next = "COUNT_HIGH"
        with m.State("COUNT_HIGH"):
            m.d.comb += [keep.en.eq(1), keep.addr.eq(1), keep.data.eq(place[8:])]
            m.d.comb += following.eq(MOVE_HEADER)
            m.next = "FROM_CORE"
        with m.State("FROM_CORE"):
            m.d.comb += [keep.addr.eq(place), keep.data.eq(given.payload)]
            with m.If(given.valid & (place != MAX_PAYLOAD)):
                m.d.comb += [keep.en.eq(1), given.ready.eq(1), following.eq(place + 1)]
            with m.Else():
                m.next = "FLAGS"
        with m.State("FLAGS"):
            m.d.comb += [keep.en.eq(1), keep.addr.eq(MOVE_HEADER - 1), keep.data.eq(self.flags)]
            m.d.comb += following.eq(0)
            m.d.sync += length.eq(place)
            m.next = "RECALL"

    def _route(self, m, is_set, sink, source, offered):
        """Whether the byte of the request's payload can be taken; the stream from the core."""
        taken, given = Signal(), stream.Signature(8).create()
        for index, port in enumerate([*self.to_core, self.settings]):
            chosen = is_set if index == self.inputs else ~is_set & (sink == index)
            m.d.comb += [port.payload.eq(self.data), port.valid.eq(chosen & offered)]
            with m.If(chosen):
                m.d.comb += taken.eq(port.ready)
        for index, port in enumerate(self.from_core):
            with m.If(source == index):
                m.d.comb += [given.payload.eq(port.payload), given.valid.eq(port.valid), port.ready.eq(given.ready)]
        return taken, given

    def _send(self, m, kind, channels, length, place, following, payload):
        """The states in which an answer leaves, `payload` the byte at `place`."""
        damaged, after = kind == DAMAGED, Signal(len(place))
        m.d.comb += [after.eq(place + 1), self.i.ready.eq(self.o.valid & self.o.ready & self.o.payload.last)]
        header = Cat(
            kind,
            Const(ANSWER >> len(kind), 8 - len(kind)),
            Mux(damaged, 0, self.i.payload.sequence),
            channels,
            Mux(damaged, 0, self.i.payload.session),
            length,
            Const(0, 16 - len(length)),
        )
        with m.State("HEADER"):
            last = place == HEADER - 1
            m.d.comb += [self.o.valid.eq(1), self.o.payload.last.eq(last & (length == 0))]
            m.d.comb += self.o.payload.data.eq(header.word_select(place[:4], 8))
            with m.If(self.o.ready):
                m.d.comb += following.eq(Mux(last, 0, after))
                with m.If(last):
                    m.next = "PAYLOAD"
                with m.If(self.o.payload.last):
                    m.next = "DECIDE"
        with m.State("PAYLOAD"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.last.eq(after == length), self.o.payload.data.eq(payload)]
            with m.If(self.o.ready):
                m.d.comb += following.eq(after)
                with m.If(self.o.payload.last):
                    m.next = "DECIDE"
