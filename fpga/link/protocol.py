"""The host link's frames: what goes over the serial line, the same for the hardware and for the host (our choice).

The host asks, the board answers; the board never speaks on its own. A frame is a flag byte, the escaped body and
another flag byte. Inside the body a flag or an escape is sent as an escape and the byte with bit 5 inverted, so a flag
always ends a frame, and whatever came before it cannot harm the next one. Two flags in a row are no frame. The body,
little-endian:

======  ==================================================================================
bytes   field
======  ==================================================================================
1       kind: what is asked; its answer has bit 7 set
1       sequence: 0 for HELLO, one more for each request after it, modulo 256
1       channels: input stream in the low half, output stream in the high half, 15 for none
4       session: drawn by the host, never 0
2       length of the payload, 0 to `MAX_PAYLOAD`
length  payload
4       CRC-32 (that of zlib) of all before
======  ==================================================================================

Requests:

- HELLO, no payload: resets the core, all that is under way and the settings, and takes over the session. Answer: the
  identity, as `identity` makes it.
- SET, payload: the core's inputs that are not streams, as `settings`: one number, lowest input first. Answer: nothing.
- MOVE, payload: bytes for an input stream. Answer: two bytes, how many of them were taken; one byte, the core's flags;
  then bytes of an output stream, as many as were there and fit. A payload of a stream is a whole number of bytes, the
  lowest bits first; see `payload`.

A request whose sequence is that of the last one gets the last answer again and does nothing, so a request that was not
answered can be repeated. One with another session, as after the board was reset, with a wrong sequence, or that is not
understood, gets FAULT with a reason and does nothing. A frame that is damaged gets DAMAGED, with session and sequence
0, which says only: ask again.
"""

import zlib
from dataclasses import dataclass

from ...golden import strict_json

__all__ = [
    "ANSWER",
    "CHECK",
    "DAMAGED",
    "ESCAPE",
    "FAULT",
    "FLAG",
    "HEADER",
    "HELLO",
    "MAX_PAYLOAD",
    "MOVE",
    "MOVE_HEADER",
    "NO_CHANNEL",
    "REASONS",
    "SET",
    "VERSION",
    "Frame",
    "Reader",
    "identity",
]

VERSION = 1
FLAG, ESCAPE, INVERTED = 0x7E, 0x7D, 0x20
HELLO, SET, MOVE, FAULT, DAMAGED = 1, 2, 3, 4, 5
#: Bit of an answer's kind.
ANSWER = 0x80
#: Most bytes of a payload: with the answer to MOVE one block RAM on every part.
MAX_PAYLOAD = 512
#: Bytes of a frame before the payload, and after it.
HEADER, CHECK = 9, 4
#: Bytes of the answer to MOVE before those of the stream.
MOVE_HEADER = 3
NO_CHANNEL = 15
#: The byte in FAULT's payload.
REASONS = {
    1: "the board does not know this session: it was reset",
    2: "the board does not understand the request",
    3: "the board expected another sequence number",
}


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    kind, sequence, channels : int
        0 to 255.
    session : int
        0 to 2**32 - 1.
    payload : bytes
        At most `MAX_PAYLOAD`.
    """

    kind: int
    sequence: int = 0
    channels: int = NO_CHANNEL << 4 | NO_CHANNEL
    session: int = 0
    payload: bytes = b""

    def to_bytes(self):
        """The frame as it goes over the line, flags included."""
        if len(self.payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload must have at most {MAX_PAYLOAD} bytes, not {len(self.payload)}")
        body = bytes((self.kind, self.sequence, self.channels))
        body += self.session.to_bytes(4, "little") + len(self.payload).to_bytes(2, "little") + self.payload
        body += zlib.crc32(body).to_bytes(4, "little")
        escaped = bytearray()
        for byte in body:
            escaped += bytes((ESCAPE, byte ^ INVERTED)) if byte in (FLAG, ESCAPE) else bytes((byte,))
        return bytes((FLAG, *escaped, FLAG))

    @classmethod
    def from_body(cls, body):
        """The frame of an unescaped body, or None if it is damaged."""
        if not HEADER + CHECK <= len(body) <= HEADER + MAX_PAYLOAD + CHECK:
            return None
        body, check = bytes(body[:-CHECK]), int.from_bytes(body[-CHECK:], "little")
        payload = body[HEADER:]
        if zlib.crc32(body) != check or int.from_bytes(body[7:9], "little") != len(payload):
            return None
        return cls(body[0], body[1], body[2], int.from_bytes(body[3:7], "little"), payload)


class Reader:
    """Frames out of bytes as they come."""

    def __init__(self):
        self._body = bytearray()
        self._escaped = False

    def feed(self, data):
        """Take some bytes.

        Returns
        -------
        list of (Frame or None)
            What they ended: frames, and None for each damaged one.
        """
        frames = []
        for byte in data:
            if byte == FLAG:
                # A flag after an escape is damage as well.
                if self._body or self._escaped:
                    frames.append(None if self._escaped else Frame.from_body(self._body))
                self._body.clear()
                self._escaped = False
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            elif len(self._body) <= HEADER + MAX_PAYLOAD + CHECK:
                # What is longer than any frame is damage, however long: no need to keep it.
                self._body.append(byte ^ INVERTED if self._escaped else byte)
                self._escaped = False
            else:
                self._escaped = False
        return frames


def identity(core, assignments, build):
    """The identity: what a board says of itself.

    Parameters
    ----------
    core : str
        Name in the catalogue.
    assignments : list of str
        `NAME=VALUE` texts of the parameters that are not the default.
    build : str
        Hash of the core's Verilog, 16 hexadecimal digits.

    Returns
    -------
    bytes
        JSON.

    Raises
    ------
    ValueError
        If it is longer than a payload.
    """
    text = {"link": VERSION, "core": core, "parameters": assignments, "build": build}
    data = strict_json.dumps(text, separators=(",", ":")).encode()
    if len(data) > MAX_PAYLOAD:
        raise ValueError(f"the identity of {core} has {len(data)} bytes, at most {MAX_PAYLOAD} are possible")
    return data
