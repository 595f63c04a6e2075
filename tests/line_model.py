"""A serial line and a board that takes all that comes, as slow as they are and as deaf: how long an image takes.

    python tests/line_model.py [BYTES] [MILLISECONDS]

prints it for a line of 3 Mbaud whose answers come that much late, as USB's do.
"""

import os
import select
import sys
import time
from collections import deque

from link_model import Board, terminal

from bitloom.fpga.link import protocol
from bitloom.fpga.link.map import LinkMap, LinkStream
from bitloom.fpga.session.host import Link, open_port

#: A core with a stream that it always takes.
SINK = LinkMap({"i": LinkStream(0, 8, 1)}, {}, {}, ())
_BUSY = 4  # bytes of the line in which a board takes a payload of 512 bytes, at 16 clock cycles a bit
_IDENTITY = protocol.identity("sink", [], "0" * 16)


class Sink:
    """That core."""

    channels = SINK

    def reset(self):
        self.settings, self.flags = {}, 0

    def step(self, queues, give):
        return False


class Deaf(Board):
    """A board that hears nothing until its answer is on the line, and whose core takes every byte.

    Attributes
    ----------
    taken : bytearray
        What the core took.
    heard, told : int
        Bytes on the line.
    """

    def __init__(self):
        super().__init__(Sink(), _IDENTITY)
        self.taken = bytearray()
        self.heard = self.told = self.deaf = 0
        self.lost = False

    def _move(self, source, sink, data):
        self.taken += data
        return len(data).to_bytes(2, "little") + b"\0"

    def feed(self, data):
        answers = b""
        for byte in data:
            self.heard += 1
            if self.heard <= self.deaf or self.lost:
                self.lost = byte != protocol.FLAG
                continue
            if answer := super().feed(bytes([byte])):
                self.deaf = self.heard + _BUSY + len(answer)
                answers += answer
        self.told += len(answers)
        return answers


def line(board, rate=None, late=0.0):
    """A board behind a `terminal` that carries `rate` bytes a second, with answers `late` seconds late."""

    def serve(master, stop):
        begin, waiting = time.monotonic(), deque()
        while stop not in (ready := select.select([master, stop], [], [], 0.0005)[0]):
            now = time.monotonic()
            allowed = 4096 if rate is None else int((now - begin) * rate) - board.heard
            if master not in ready:
                # An idle line: the answer is out, and the bytes that could have come do not come later.
                board.deaf = 0
                begin += max(allowed, 0) / rate if rate else 0
            if master in ready and allowed > 0 and (answers := board.feed(os.read(master, min(allowed, 4096)))):
                waiting.append((now + late, answers))
            while waiting and waiting[0][0] <= now:
                if not select.select([master], [], [], 0)[0]:
                    board.deaf = 0  # The host waits for it.
                os.write(master, waiting.popleft()[1])

    return terminal(serve)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    late = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.016
    data, baud = os.urandom(count), 3_000_000
    for name in ("send", "exchange"):
        board = Deaf()
        with line(board, baud / 10, late) as path, Link(open_port(path, baud), SINK) as link:
            link.hello()
            start = time.monotonic()
            whole = link.send("i", data) if name == "send" else link.exchange({"i": data}, {}).failure is None
            seconds = time.monotonic() - start
        assert whole and board.taken == data
        print(
            f"{name}: {count:,} bytes in {seconds:.2f} s, {board.heard:,} bytes on the line: "
            f"{seconds / (count * 10 / baud):.2f} times what the bytes alone take"
        )


if __name__ == "__main__":
    main()
