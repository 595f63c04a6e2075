"""A second oracle of the host link: the board's side of `bitloom.fpga.link.protocol`, in plain Python behind a pty.

Written from the protocol's text alone. It knows no clock: a core is a function that moves payloads between queues.
"""

import contextlib
import os
import random
import select
import threading
import tty

from bitloom.fpga.link import protocol
from bitloom.fpga.link.map import LinkMap, LinkStream
from bitloom.fpga.link.protocol import Frame

FIFO_BYTES = 512

#: Streams, settings and flags of `Adder`, as `link_map` describes those of a core.
ADDER = LinkMap(
    inputs={"a": LinkStream(0, 12, 2), "w": LinkStream(1, 8, 1)},
    outputs={"o": LinkStream(0, 13, 2)},
    settings={"bias": 4, "invert": 1},
    flags=("carry",),
)


class Adder:
    """A core for tests: the sums of 12-bit and 8-bit numbers and the setting `bias`; `carry` is sticky."""

    channels = ADDER

    def __init__(self):
        self.reset()

    def reset(self):
        self.settings = {"bias": 0, "invert": 0}
        self.flags = 0

    def step(self, queues, give):
        """Move one payload, where there is one of each input and room; whether it did."""
        a, w = queues["a"], queues["w"]
        if len(a) < 2 or len(w) < 1:
            return False
        total = int.from_bytes(a[:2], "little") % 4096 + w[0] + self.settings["bias"]
        total = total ^ (8191 if self.settings["invert"] else 0)
        if not give("o", total.to_bytes(2, "little")):
            return False
        self.flags |= total >> 12 & 1
        del a[:2], w[:1]
        return True


def expected(a, w, bias=0, invert=0):
    """Bytes that `Adder` gives for numbers."""
    sums = [(x + y + bias) ^ (8191 if invert else 0) for x, y in zip(a, w, strict=True)]
    return b"".join(total.to_bytes(2, "little") for total in sums)


class Board:
    """The board's side.

    Parameters
    ----------
    core : object
        `channels`, `reset`, `step` as those of `Adder`.
    identity : bytes
        Answer to HELLO.
    seed : int
        Decides how many bytes are taken at a time.
    """

    def __init__(self, core, identity, seed=0):
        self.core, self.identity = core, identity
        self.rng = random.Random(seed)
        self.power_on()

    def power_on(self):
        """What a reset of the board does."""
        self.reader = protocol.Reader()
        self.session, self.sequence, self.last = 0, None, None
        self._clear()

    def _clear(self):
        self.core.reset()
        self.queues = {name: bytearray() for name in self.core.channels.inputs}
        self.ready = {name: bytearray() for name in self.core.channels.outputs}

    def feed(self, data):
        """Bytes from the host; those for it."""
        answers = b""
        for frame in self.reader.feed(data):
            answer = Frame(protocol.DAMAGED | protocol.ANSWER) if frame is None else self._answer(frame)
            answers += answer.to_bytes()
        return answers

    def _answer(self, frame):
        def answer(kind, payload=b""):
            return Frame(kind | protocol.ANSWER, frame.sequence, frame.channels, frame.session, payload)

        def fault(reason):
            return answer(protocol.FAULT, bytes([reason]))

        if frame.kind == protocol.HELLO:
            self._clear()
            self.session, self.sequence = frame.session, 0
            self.last = answer(protocol.HELLO, self.identity)
            return self.last
        if frame.session != self.session or self.sequence is None:
            return fault(1)
        if frame.sequence == self.sequence:
            return self.last
        if frame.sequence != (self.sequence + 1) % 256:
            return fault(3)
        source, sink = frame.channels & 15, frame.channels >> 4
        names = [[*queues, *[None] * 16] for queues in (self.queues, self.ready)]
        if frame.kind == protocol.SET:
            self._set(int.from_bytes(frame.payload, "little"))
            self.last = answer(protocol.SET)
        elif frame.kind == protocol.MOVE:
            self.last = answer(protocol.MOVE, self._move(names[0][source], names[1][sink], frame.payload))
        else:
            return fault(2)
        self.sequence = frame.sequence
        return self.last

    def _set(self, number):
        for name, bits in self.core.channels.settings.items():
            self.core.settings[name] = number & ((1 << bits) - 1)
            number >>= bits

    def _move(self, source, sink, data):
        taken = 0
        if source is not None:
            room = FIFO_BYTES - len(self.queues[source])
            taken = min(len(data), room, self.rng.choice([0, 1, 3, 40, FIFO_BYTES]))
            self.queues[source] += data[:taken]

        def give(name, payload):
            if len(self.ready[name]) + len(payload) > FIFO_BYTES:
                return False
            self.ready[name] += payload
            return True

        while self.core.step(self.queues, give):
            pass
        came = b""
        if sink is not None:
            count = min(len(self.ready[sink]), protocol.MAX_PAYLOAD - protocol.MOVE_HEADER)
            count = min(count, self.rng.choice([0, 1, 5, count]))
            came = bytes(self.ready[sink][:count])
            del self.ready[sink][:count]
        return taken.to_bytes(2, "little") + bytes([self.core.flags]) + came


@contextlib.contextmanager
def terminal(serve):
    """A pseudo-terminal, whose path this gives. `serve` runs beside with two descriptors: its other end, and one that
    can be read when it must return."""
    master, slave = os.openpty()
    tty.setraw(slave)
    stop, stopper = os.pipe()
    thread = threading.Thread(target=serve, args=(master, stop), daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(stopper)
        thread.join()
        for handle in (master, slave, stop):
            os.close(handle)


def served(board, mangle=lambda data: data):
    """A board behind a `terminal`; `mangle` changes its answers' bytes."""

    def serve(master, stop):
        while stop not in select.select([master, stop], [], [])[0]:
            os.write(master, mangle(board.feed(os.read(master, 4096))))

    return terminal(serve)
