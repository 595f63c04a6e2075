"""Faults between host and board: a proxy that makes them on the way, and the count of what became of them.

    python tests/link_faults.py [FAULTS]

prints the table for the twin of a decoder.
"""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from dataclasses import dataclass, fields

import numpy as np

from bitloom.cores.catalogue import lookup
from bitloom.fpga.session import held_core, host, twin
from bitloom.golden.olive import ovp

CORE = lookup("ovp-decoder")
#: Kinds of faults that come several times in a job.
LINE = ("flipped", "dropped", "duplicated", "inserted", "noise")
KINDS = (*LINE, "board reset", "host stopped", "host killed", "port gone", "port busy", "wrong bitstream")
BAUD = held_core.TWIN_BAUD

# A host that never ends, for a process of its own.
_HOST = """
import sys
from bitloom.fpga.session.host import Link, open_port
from bitloom.fpga.link.map import LinkMap, LinkStream
channels = LinkMap({"i": LinkStream(0, 9, 2)}, {"o": LinkStream(0, 17, 3)}, {}, ("illegal",))
with Link(open_port(sys.argv[1], int(sys.argv[2])), channels) as link:
    while True:
        link.hello()
        print("begun", flush=True)
        for _ in range(20):
            link.exchange({"i": bytes(range(200))}, {"o": 300})
"""


@dataclass
class Count:
    """Of one kind of fault: how many, in how many jobs, and how these ended."""

    injected: int = 0
    jobs: int = 0
    right: int = 0
    errors: int = 0
    wrong: int = 0
    stopped: int = 0
    repeated: int = 0
    unusable: int = 0

    def __add__(self, other):
        return Count(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Proxy:
    """A pseudo-terminal in front of another one, with faults in between.

    Attributes
    ----------
    path : str
        Of the pseudo-terminal for the host.
    injected : int
        Faults up to now.
    """

    def __init__(self, board, rng):
        self._board, self._rng = board, rng
        self._kind, self._gap, self._left, self._once = None, 0, 0, False
        self._gone = False
        self._lock = threading.Lock()
        self.injected = 0
        self._far = os.open(board.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._stop, self._stopper = os.pipe()
        self._open()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _open(self):
        self._near, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def make(self, kind, gap=0, once=False):
        """Make faults of a kind from now on, about one in `gap` bytes; None: none any more."""
        with self._lock:
            self._kind, self._gap, self._once = kind, gap, once
            self._left = self._distance() if kind else 0

    def _distance(self):
        """Bytes to the next fault."""
        return 1 + int(self._rng.expovariate(1 / self._gap))

    def replug(self):
        """Another port in place of one that is gone."""
        with self._lock:
            os.close(self._slave)
            self._open()
            self._gone = False

    def close(self):
        os.close(self._stopper)
        self._thread.join()
        for handle in (self._far, self._stop, self._slave, *([] if self._gone else [self._near])):
            os.close(handle)

    def _serve(self):
        while True:
            with self._lock:
                near = [] if self._gone else [self._near]
            ready, _, _ = select.select([self._far, self._stop, *near], [], [], 0.05)
            if self._stop in ready:
                return
            with self._lock:
                for source, target in ((self._far, self._near), (self._near, self._far)):
                    if source not in ready or (self._gone and source == self._near):
                        continue
                    data = self._mangled(os.read(source, 4096))
                    if not self._gone:
                        with contextlib.suppress(BlockingIOError):
                            os.write(target, data)

    def _mangled(self, data):
        """Bytes with the faults that are due in them."""
        if not self._kind:
            return data
        out = bytearray()
        for byte in data:
            self._left -= 1
            if self._left:
                out.append(byte)
                continue
            self.injected += 1
            self._left = 1 << 60 if self._once else self._distance()
            out += self._fault(byte)
        return bytes(out)

    def _fault(self, byte):
        rng = self._rng
        match self._kind:
            case "flipped":
                return bytes([byte ^ 1 << rng.randrange(8)])
            case "dropped":
                return b""
            case "duplicated":
                return bytes([byte, byte])
            case "inserted":
                return bytes([byte, rng.choice([rng.randrange(256), 0x7E, 0x7D])])
            case "noise":
                return bytes(rng.randrange(256) for _ in range(rng.randint(2, 40)))
            case "board reset":
                self._board.reset()
                return bytes([byte])
            case "port gone":
                self._gone = True
                os.close(self._near)
                return b""
        raise ValueError(f"unknown kind of fault {self._kind!r}")


class Campaign:
    """Jobs through a twin of the decoder, with faults, and clean ones after them.

    Parameters
    ----------
    board : Twin
        Running.
    channels : LinkMap
        Of the decoder.
    identity : dict
        What the board must say of itself.
    seed : int
        Decides jobs and faults; when they come depends on the machine too.

    Attributes
    ----------
    host : str
        A program that talks to the board until it is killed.
    """

    host = _HOST

    def __init__(self, board, channels, identity, seed=1):
        self.rng = random.Random(seed)
        self.board, self.channels, self.identity = board, channels, identity
        self.proxy = Proxy(board, self.rng)
        self.counts = {kind: Count() for kind in KINDS}
        self.errors = {}

    def job(self, items, stop=None, identity=None):
        """Codes through the decoder: "right", "wrong", or the line that says why not; and requests repeated."""
        codes = np.frombuffer(self.rng.randbytes(items), np.uint8)
        last = np.frombuffer(self.rng.randbytes(items), np.uint8) & 1
        data = np.stack([codes, last], axis=1).tobytes()
        fmt = CORE.config().format
        integers, exponents = ovp.decode(codes[:, None], fmt)
        bits = fmt.exponent_bits + fmt.integer_bits
        values = (exponents | integers << fmt.exponent_bits) & ((1 << bits) - 1)
        words = values[:, 0] | values[:, 1] << bits | last.astype(int) << 2 * bits
        want = b"".join(int(word).to_bytes(3, "little") for word in words)
        repeated = 0
        try:
            with host.Link(
                host.open_port(self.proxy.path, BAUD), self.channels, margin=0.05, patience=0.5, retries=12
            ) as session:
                try:
                    session.hello(identity or self.identity)
                    moved = session.exchange({"i": data}, {"o": len(want)}, progress=stop)
                finally:
                    repeated = session.repeated
        except host.LinkError as error:
            assert "\n" not in str(error)
            return str(error), repeated
        if moved.failure:
            return moved.failure, repeated
        illegal = bool(ovp.illegal(codes[:, None], fmt).any())
        same = moved.outputs["o"] == want and session.flags["illegal"] == illegal
        return "right" if same else "wrong", repeated

    def run(self, kind, faults, gap=200):
        """Jobs until so many faults of a kind were made."""
        count = self.counts[kind]
        while count.injected < faults:
            getattr(self, f"_{kind.replace(' ', '_')}", self._on_the_line)(kind, count, gap)
            self.proxy.make(None)
            # The next run must work, whatever has been.
            ended, _ = self.job(20)
            if ended != "right":
                count.unusable += 1
                count.wrong += ended == "wrong"
                self._note(kind, f"in the next run: {ended}")

    def _ended(self, kind, count, how, repeated=0):
        count.jobs += 1
        count.repeated += repeated
        if how in ("right", "wrong", "stopped"):
            setattr(count, how, getattr(count, how) + 1)
        else:
            count.errors += 1
            self._note(kind, how)

    def _note(self, kind, line):
        line = line.replace(self.proxy.path, "PORT")
        self.errors[kind, line] = self.errors.get((kind, line), 0) + 1

    def _on_the_line(self, kind, count, gap):
        before = self.proxy.injected
        # Often short frames with dense faults, which cost little time, and some long ones.
        longest, sparser = self.rng.choice([(30, 1), (30, 1), (300, 4)])
        self.proxy.make(kind, gap * sparser, once=kind not in LINE)
        how, repeated = self.job(self.rng.randint(1, longest))
        self.proxy.make(None)
        made = self.proxy.injected - before
        count.injected += made
        if made:
            self._ended(kind, count, how, repeated)

    def _board_reset(self, kind, count, gap):
        self._on_the_line(kind, count, 400)

    def _port_gone(self, kind, count, gap):
        before = self.proxy.injected
        self._on_the_line(kind, count, 400)
        if self.proxy.injected > before:
            self.proxy.replug()

    def _host_stopped(self, kind, count, gap):
        """The host leaves in the middle, without a farewell."""
        left = self.rng.randint(1, 4)

        def stop(done, total):
            nonlocal left
            left -= 1
            if not left:
                raise host.LinkError("stopped")

        how, repeated = self.job(600, stop)
        count.injected += how == "stopped"
        self._ended(kind, count, how, repeated)

    def _host_killed(self, kind, count, gap):
        command = [sys.executable, "-c", self.host, self.proxy.path, str(BAUD)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(self.rng.random() * 0.1)
            process.send_signal(signal.SIGKILL)
        count.injected += 1
        self._ended(kind, count, "stopped")

    def _port_busy(self, kind, count, gap):
        with host.Link(host.open_port(self.proxy.path, BAUD), self.channels) as session:
            session.hello()
            count.injected += 1
            self._ended(kind, count, *self.job(10))
            # The one that has it goes on.
            assert session.exchange({"i": bytes(2)}, {"o": 3}).outputs["o"] == bytes(3)

    def _wrong_bitstream(self, kind, count, gap):
        name, value = self.rng.choice([("core", "systolic-tile"), ("parameters", ["pairs=4"]), ("build", "0" * 16)])
        count.injected += 1
        self._ended(kind, count, *self.job(10, identity=self.identity | {name: value}))

    def table(self):
        """Lines for people."""
        names = ("faults", "jobs", "right", "clear error", "wrong", "stopped", "repeated", "then broken")
        rows = [(kind, *(getattr(count, f.name) for f in fields(Count))) for kind, count in self.counts.items()]
        rows.append(("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))))
        lines = ["".join([f"{'':<17}", *(f"{name:>14}" for name in names)])]
        lines += ["".join([f"{row[0]:<17}", *(f"{cell:>14,}" for cell in row[1:])]) for row in rows]
        lines += ["", "what the errors say:"]
        lines += [f"{number:>7,}  {kind}: {line}" for (kind, line), number in sorted(self.errors.items())]
        return "\n".join(lines)

    @property
    def total(self):
        """All kinds together."""
        return sum(self.counts.values(), Count())


@contextlib.contextmanager
def campaign(seed=1):
    """A campaign on a twin."""
    there = held_core.expected(CORE, CORE.config())
    program = twin.build(*held_core.twin_top(CORE, there.config), held_core.TWIN_DIVISOR)
    with twin.start(program, seed) as board:
        made = Campaign(board, there.channels, there.identity, seed)
        try:
            yield made
        finally:
            made.proxy.close()


#: Of the faults, how many are of which kind; those on the line are the rest.
SHARES = {"board reset": 0.05, "host stopped": 0.02, "host killed": 0.01, "port gone": 0.02, "port busy": 0.005}
SHARES["wrong bitstream"] = 0.005


def run(made, faults):
    """A campaign of so many faults."""
    for kind, share in SHARES.items():
        made.run(kind, max(1, round(faults * share)))
    left = faults - made.total.injected
    for number, kind in enumerate(LINE):
        made.run(kind, (left + number) // len(LINE))


def main():
    with campaign() as made:
        start = time.monotonic()
        run(made, int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
        print(made.table())
        print(f"\n{time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    main()
