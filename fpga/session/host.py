"""The host's side of the link: a serial port, requests that are repeated until they are answered, streams of payloads.

Nothing here knows what is at the other end: a board, or its Verilated twin behind a pseudo-terminal.
"""

import json
import secrets
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field

import serial

from ..link import protocol
from ..link.protocol import Frame

__all__ = ["BAUD", "Exchanged", "Link", "LinkError", "check_identity", "open_port"]

#: Rate of a serial port that nobody named.
BAUD = 115_200

_LINE_BITS = 10  # start bit, data, stop bit
_POLL = 0.02  # seconds that one read waits at the most
_LONGEST = 2 * (protocol.HEADER + protocol.MAX_PAYLOAD + protocol.CHECK) + 2  # bytes of a frame, all escaped
_DEAF = 3  # attempts without a single byte after which nobody is there
_STILL = 64  # requests that moved no byte before a core hangs
_LEAST = 16  # bytes that are offered to a stream that took none
_AHEAD = 32  # requests of `send` that wait for their answers: 60 ms of a line of 3 Mbaud
#: Bytes of the line between two requests of `send`. While a board answers it is deaf; two flags in a row are no frame.
#: It takes a payload in the time of 4 bytes, or of 14 with the fewest clock cycles a bit, and answers with about 20.
_PAUSE = bytes([protocol.FLAG]) * 48


class LinkError(OSError):
    """The port, the line or the board failed; the message is one line."""


def open_port(name, baud=BAUD):
    """Open a serial port for this process alone, and forget what was in it.

    Parameters
    ----------
    name : str
        Such as /dev/ttyUSB0 or COM3, or the path of a twin.
    baud : int
        Bits a second.

    Returns
    -------
    serial.Serial

    Raises
    ------
    LinkError
        If there is no such port, it may not be used, is in use, or does not have this rate.
    """
    try:
        return serial.Serial(name, baud, timeout=_POLL, write_timeout=5, exclusive=True)
    except FileNotFoundError:
        raise LinkError(f"there is no port {name}: is the board plugged in?") from None
    except (OSError, ValueError) as error:
        raise LinkError(_refusal(name, baud, error)) from None


def _refusal(name, baud, error):
    """Why a port could not be opened."""
    # pyserial keeps the number of the system's error, or the text only.
    number, text = getattr(error, "errno", None), str(error)
    if number == 2 or "FileNotFoundError" in text:
        return f"there is no port {name}: is the board plugged in?"
    if number == 13 or "PermissionError" in text:
        return f"no permission for {name}: add yourself to the group that owns it, dialout on most systems"
    if "lock" in text or number in (11, 16, 35):
        return f"{name} is in use by another program: close it first"
    if isinstance(error, ValueError):
        return f"{name} does not have the rate of {baud} baud: {text}"
    return f"{name} cannot be used as a serial port: {text}"


def check_identity(identity, expected, where="the board"):
    """Refuse a board that holds something else.

    Parameters
    ----------
    identity : dict
        As the board told; see `Link.hello`.
    expected : dict
        `core`, `parameters` and `build`, as `protocol.identity` takes them; what is not in it is not compared.
    where : str
        What the message calls the board.

    Raises
    ------
    LinkError
        Names what differs, and what would help.
    """
    core, parameters = identity["core"], identity["parameters"]
    if (wanted := expected.get("core", core)) != core:
        raise LinkError(
            f"{where} holds {core}, not {wanted}: flash that first, with `bitloom flash {wanted} --board B`"
        )
    if (wanted := expected.get("parameters", parameters)) != parameters:
        raise LinkError(
            f"{where} holds {core} with {_listed(parameters)}, not with {_listed(wanted)}: give these parameters, or "
            "build and flash again"
        )
    if (wanted := expected.get("build", identity["build"])) != identity["build"]:
        raise LinkError(
            f"{where} holds a build of {core} that is not this one's ({identity['build']}, here it is {wanted}): build "
            "and flash again"
        )


def _listed(parameters):
    return " ".join(parameters) or "its default parameters"


@dataclass(frozen=True)
class Exchanged:
    """What came out of a core.

    Attributes
    ----------
    outputs : dict of str to bytes
        Of each output stream; not all of it after a failure.
    failure : str or None
        One line, where the core hung, or gave more than was expected.
    """

    outputs: dict = field(repr=False)
    failure: str | None


class Link:
    """One session with a board.

    Parameters
    ----------
    port : serial.Serial
        Open, as from `open_port`.
    channels : LinkMap
        Streams, settings and flags of the core that is expected there; see `link_map.link_map`. None is enough for
        `hello`.
    margin : float
        Seconds that an answer may take beyond the time on the line, in the first attempt; later ones wait up to four
        times as long.
    retries : int
        How often a request is repeated.
    patience : float
        Seconds without a byte from or to the core after which it hangs.

    Attributes
    ----------
    flags : dict of str to bool
        The core's flags, as the last answer of a stream told them.
    repeated : int
        Requests that were sent again.
    """

    def __init__(self, port, channels=None, *, margin=0.25, retries=8, patience=2.0):
        for name, value, least in (("margin", margin, 0), ("retries", retries, 0), ("patience", patience, 0)):
            if value < least:
                raise ValueError(f"{name} must be {least} or more, not {value}")
        self.channels = channels
        self.flags = {}
        self.repeated = 0
        self._port = port
        self._margin, self._retries, self._patience = margin, retries, patience
        self._reader = protocol.Reader()
        self._session = self._sequence = 0
        self._heard = False

    @property
    def name(self):
        """The port's."""
        return self._port.port

    def close(self):
        """Give the port back. The board needs no farewell: the next session's first request resets it."""
        self._port.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def hello(self, expected=None):
        """Begin a session: the core, the settings and all that is under way are reset.

        Parameters
        ----------
        expected : dict, optional
            As `check_identity` takes it.

        Returns
        -------
        dict
            The identity: `link`, `core`, `parameters`, `build`.

        Raises
        ------
        LinkError
            If nobody answers, or the board is not the one that is expected.
        """
        self._session, self._sequence = secrets.randbelow((1 << 32) - 1) + 1, 0
        payload = self._ask(protocol.HELLO, protocol.MAX_PAYLOAD)
        identity = _parsed(payload)
        if identity is None:
            raise LinkError(f"{self.name} answers, but not with an identity: {payload[:40]!r}")
        if identity["link"] != protocol.VERSION:
            raise LinkError(
                f"{self.name} speaks version {identity['link']} of the link, this bitloom version {protocol.VERSION}: "
                "build and flash again"
            )
        check_identity(identity, expected or {}, self.name)
        self.flags = {}
        return identity

    def set(self, **settings):
        """Set the core's inputs that belong to no stream; those that are not named are 0.

        Raises
        ------
        ValueError
            For a name that the core has not, and a value out of range.
        """
        known = self.channels.settings
        for name, value in settings.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}: the core has {', '.join(known) or 'none'}")
            if not 0 <= value < 1 << known[name]:
                raise ValueError(f"{name} must be 0 to {(1 << known[name]) - 1}, not {value}")
        number, at = 0, 0
        for name, bits in known.items():
            number |= int(settings.get(name, 0)) << at
            at += bits
        if known:
            self._ask(protocol.SET, 0, payload=number.to_bytes(self.channels.settings_bytes, "little"))

    def send(self, name, data, progress=None):
        """Send bytes into one input stream as fast as the line can, for a core that takes them as fast.

        Requests go out before the answers to those before them have come, so a slow way there and back costs nothing.
        None is repeated: after whatever goes wrong nobody knows which bytes the core has, and only `hello` helps.

        Parameters
        ----------
        name : str
            Of the stream.
        data : bytes
        progress : callable, optional
            Called with (done, total) bytes.

        Returns
        -------
        bool
            Whether every request was answered, and every byte taken.

        Raises
        ------
        LinkError
            If the port fails.
        """
        channels, waiting = self.channels.inputs[name].channel | protocol.NO_CHANNEL << 4, deque()
        with _port_errors(self.name):
            for at in range(0, len(data), protocol.MAX_PAYLOAD):
                payload = data[at : at + protocol.MAX_PAYLOAD]
                request = Frame(protocol.MOVE, self._sequence, channels, self._session, payload)
                self._sequence = (self._sequence + 1) % 256
                self._port.write(request.to_bytes() + _PAUSE)
                waiting.append(request)
                if not self._settled(waiting, _AHEAD - 1):
                    return False
                if progress:
                    progress(at + len(payload), len(data))
            return self._settled(waiting, 0)

    def exchange(self, inputs, outputs, progress=None, late=False, *, patience=None, until=None):
        """Send bytes into input streams, take bytes from output streams, both at the same time.

        No more is sent than the board takes, and nothing twice.

        Parameters
        ----------
        inputs : dict of str to bytes
            For some of the core's input streams, payloads of whole bytes.
        outputs : dict of str to (int or None)
            For some of the output streams, how many bytes come; None: all that come until nothing moves any more.
        progress : callable, optional
            Called with (done, total) bytes of the outputs, or of the inputs where the outputs are not known.
        late : bool
            Take nothing as long as an input is taken: the board's FIFOs fill up, and the core stalls.
        patience : float, optional
            In place of the link's.
        until : callable, optional
            Whether to give up, asked when nothing moves; `flags` may tell.

        Returns
        -------
        Exchanged

        Raises
        ------
        LinkError
            If the line or the board fails.
        """
        transfer = _Transfer(self.channels, inputs, outputs, late)
        patience = self._patience if patience is None else patience
        still, since = 0, time.monotonic()
        while True:
            source, sink = transfer.next()
            chunk = transfer.chunk(source)
            taken, came = self._move(source, chunk, sink)
            transfer.account(source, taken, sink, came)
            if surplus := transfer.surplus():
                return Exchanged(transfer.received, surplus)
            if taken or came:
                still, since = 0, time.monotonic()
                if progress:
                    progress(*transfer.progress())
                continue
            still += 1
            quiet = still > _STILL and (time.monotonic() - since > patience or (until is not None and until()))
            # Nothing came when each output was asked again after its last byte: there is no surplus.
            if transfer.complete and (quiet or (still > len(outputs) and not transfer.open)):
                return Exchanged(transfer.received, None)
            if quiet:
                return Exchanged(transfer.received, f"the core hangs: {transfer.told()}")

    def feed(self, inputs, requests=1):
        """Send what the board takes of some streams in a few requests, and take nothing: to leave the core busy."""
        for name, data in inputs.items():
            at = 0
            for _ in range(requests):
                at += self._move(name, data[at : at + protocol.MAX_PAYLOAD], None)[0]

    def _move(self, source, chunk, sink):
        """One request: how many bytes of `chunk` were taken, and the bytes that came."""
        into, out = (
            protocol.NO_CHANNEL if name is None else streams[name].channel
            for name, streams in ((source, self.channels.inputs), (sink, self.channels.outputs))
        )
        room = protocol.MAX_PAYLOAD if sink is not None else protocol.MOVE_HEADER
        answer = self._ask(protocol.MOVE, room, into | out << 4, chunk)
        if len(answer) < protocol.MOVE_HEADER:
            raise LinkError(f"{self.name} answers a stream with {len(answer)} bytes")
        taken, flags = int.from_bytes(answer[:2], "little"), answer[2]
        self.flags = {name: bool(flags >> bit & 1) for bit, name in enumerate(self.channels.flags)}
        if taken > len(chunk):
            raise LinkError(f"{self.name} took {taken} of {len(chunk)} bytes")
        return taken, answer[protocol.MOVE_HEADER :]

    def _settled(self, waiting, most):
        """Take answers of `send` until no more than `most` requests wait; whether all of these were taken whole."""
        patience = self._margin + (protocol.MAX_PAYLOAD + len(_PAUSE)) * _LINE_BITS / self._port.baudrate
        deadline = time.monotonic() + patience
        while len(waiting) > most:
            data = self._port.read(1)
            if not data and time.monotonic() > deadline:
                return False
            for frame in self._reader.feed(data + self._port.read(self._port.in_waiting)):
                if frame is None or not self._is_whole(frame, waiting):
                    return False
                deadline = time.monotonic() + patience
        return True

    def _is_whole(self, answer, waiting):
        """Whether this is the answer to the first one that waits, which is taken off; or one of an earlier time."""
        ours = [request.sequence for request in waiting]
        if answer.session and (answer.session != self._session or answer.sequence not in ours):
            return True
        request = waiting.popleft()
        wanted = protocol.MOVE | protocol.ANSWER, request.sequence, len(request.payload)
        taken = int.from_bytes(answer.payload[:2], "little")
        return (answer.kind, answer.sequence, taken) == wanted

    def _ask(self, kind, room, channels=protocol.NO_CHANNEL << 4 | protocol.NO_CHANNEL, payload=b""):
        """Send a request until its answer comes; the answer's payload, of which `room` is the longest."""
        request = Frame(kind, self._sequence, channels, self._session, payload)
        data = request.to_bytes()
        longest = 2 * (protocol.HEADER + room + protocol.CHECK) + 2
        line = (len(data) + longest) * _LINE_BITS / self._port.baudrate
        with _port_errors(self.name):
            for attempt in range(self._retries + 1):
                if attempt >= _DEAF and not self._heard:
                    break
                self.repeated += attempt > 0
                self._port.write(data)
                wait = line + self._margin * min(1 << attempt, 4)
                answer = self._answer(request, time.monotonic() + wait)
                if answer is not None:
                    self._sequence = (self._sequence + 1) % 256
                    return answer
        if not self._heard:
            raise LinkError(
                f"nobody answers on {self.name} at {self._port.baudrate} baud: is a bitstream of bitloom on the board, "
                "and is this its port and its rate?"
            )
        raise LinkError(f"{self.name} gave no whole answer in {self._retries + 1} attempts: is the line good?")

    def _answer(self, request, deadline):
        """The payload of the answer to a request; None if it was damaged on its way there or back, or is late."""
        while (left := deadline - time.monotonic()) > 0:
            data = self._port.read(1)
            if not data:
                if left < _POLL:
                    break
                continue
            self._heard = True
            damaged = False
            for frame in self._reader.feed(data + self._port.read(self._port.in_waiting)):
                if frame is None or frame.kind & ~protocol.ANSWER == protocol.DAMAGED:
                    damaged = True
                elif (frame.session, frame.sequence) != (request.session, request.sequence):
                    continue  # An answer that was given up, or another session's.
                elif frame.kind & ~protocol.ANSWER == protocol.FAULT:
                    reason = frame.payload[0] if frame.payload else 0
                    raise LinkError(f"{self.name}: {protocol.REASONS.get(reason, f'fault {reason}')}")
                elif (frame.kind, frame.channels) == (request.kind | protocol.ANSWER, request.channels):
                    return frame.payload
            if damaged:
                return None
        return None


class _Transfer:
    """What is left to send and to take of one exchange, and whose turn it is."""

    def __init__(self, channels, inputs, outputs, late=False):
        for direction, given, known in (("input", inputs, channels.inputs), ("output", outputs, channels.outputs)):
            for name in given:
                if name not in known:
                    raise ValueError(f"unknown {direction} stream {name!r}: the core has {', '.join(known) or 'none'}")
        self.inputs, self.outputs, self._late = inputs, outputs, late
        self._refused = 0
        self._parts = {name: bytearray() for name in outputs}
        self._sent = dict.fromkeys(inputs, 0)
        self._size = dict.fromkeys(inputs, protocol.MAX_PAYLOAD)
        self._sources, self._sinks = list(inputs), list(outputs)

    @property
    def open(self):
        """Whether the length of an output is not known."""
        return None in self.outputs.values()

    @property
    def complete(self):
        """Whether all that is known of has been sent and taken."""
        known = all(len(self._parts[name]) >= count for name, count in self.outputs.items() if count is not None)
        return known and all(self._sent[name] == len(data) for name, data in self.inputs.items())

    @property
    def received(self):
        """What came, by stream."""
        return {name: bytes(part) for name, part in self._parts.items()}

    def next(self):
        """The input stream and the output stream whose turn it is, or None."""
        waiting = [name for name in self._sources if self._sent[name] < len(self.inputs[name])]
        source = waiting[0] if waiting else None
        if source is not None:
            self._sources.remove(source)
            self._sources.append(source)
        if self._late and self._refused < len(waiting):
            return source, None
        # Those that are complete take their turns too: they must not give any more.
        sink = self._sinks[0] if self._sinks else None
        self._sinks = self._sinks[1:] + self._sinks[:1]
        return source, sink

    def chunk(self, source):
        """The bytes to offer; as many as the stream seems to have room for."""
        if source is None:
            return b""
        at = self._sent[source]
        return bytes(self.inputs[source][at : at + self._size[source]])

    def account(self, source, taken, sink, came):
        """Note what moved."""
        if source is not None:
            self._refused = 0 if taken else self._refused + 1
            self._sent[source] += taken
            self._size[source] = min(max(2 * taken, _LEAST), protocol.MAX_PAYLOAD)
        if sink is not None:
            self._parts[sink] += came

    def surplus(self):
        """What came and must not have, or nothing."""
        for name, count in self.outputs.items():
            if count is not None and len(self._parts[name]) > count:
                return f"the core gave more than the {count:,} bytes of stream {name} that must come"
        return ""

    def progress(self):
        """Done and total bytes."""
        if self.open:
            return sum(self._sent.values()), sum(map(len, self.inputs.values()))
        return sum(map(len, self._parts.values())), sum(self.outputs.values())

    def told(self):
        """How far it came."""
        parts = [f"{name} took {self._sent[name]:,} of {len(data):,} bytes" for name, data in self.inputs.items()]
        for name, count in self.outputs.items():
            parts.append(f"{name} gave {len(self._parts[name]):,}" + ("" if count is None else f" of {count:,}"))
        return ", ".join(parts)


def _parsed(payload):
    """The identity in a payload, or None; of another version of the link only the version is known."""
    try:
        identity = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(identity, dict) or "link" not in identity:
        return None
    if identity["link"] != protocol.VERSION:
        return identity
    kinds = {"core": str, "parameters": list, "build": str}
    return identity if all(isinstance(identity.get(name), kind) for name, kind in kinds.items()) else None


@contextmanager
def _port_errors(name):
    """A port that is gone in the middle, as one line."""
    try:
        yield
    except LinkError:
        raise
    except serial.SerialTimeoutException:
        raise LinkError(f"{name} takes no more bytes") from None
    except OSError:
        raise LinkError(f"{name} is gone in the middle: was the board unplugged?") from None
