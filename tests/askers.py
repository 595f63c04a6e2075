"""Askers at memory ports, with random stalls, and a plain array that says what they must read."""

import random
from dataclasses import dataclass

from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator


@dataclass(frozen=True)
class Request:
    """Words to be written, or a number of words to be read, from an address on."""

    address: int
    count: int
    written: tuple[int, ...] | None = None

    @property
    def payload(self):
        return {"address": self.address, "words": self.count - 1, "write": self.written is not None}


def drawn(seed, requests, first, size, width, longest=256, writes=0.5):
    """Random requests within `size` words from `first` on."""
    generator = random.Random(seed)
    for _ in range(requests):
        count = generator.randint(1, generator.choice([1, 4, min(size, longest)]))
        address = first + generator.randrange(size - count + 1)
        if generator.random() < writes:
            yield Request(address, count, tuple(generator.getrandbits(width) for _ in range(count)))
        else:
            yield Request(address, count)


def expected(requests, cells):
    """What requests read, one after the other, from an array, which they change; it wraps."""
    words = []
    for request in requests:
        for place in range(request.count):
            address = (request.address + place) % len(cells)
            if request.written is None:
                words.append(cells[address])
            else:
                cells[address] = request.written[place]
    return words


class Asker:
    """One asker: its three streams go on by themselves, each with its chance of a stall in a cycle."""

    def __init__(self, port, requests, stalls=(0, 0, 0), seed=0):
        self.port, self.requests, self.stalls = port, list(requests), stalls
        self.generator = random.Random(seed)
        self.read, self.cycles = [], {"request": [], "write": [], "read": []}

    def add_to(self, simulator, clock):
        written = [word for request in self.requests for word in request.written or ()]
        for name, payloads in (("request", [request.payload for request in self.requests]), ("write", written)):
            simulator.add_testbench(self._giver(name, payloads, clock))
        simulator.add_testbench(self._taker(clock))

    def _stalls(self, number):
        return self.generator.random() < self.stalls[number]

    def _giver(self, name, payloads, clock):
        async def give(ctx):
            link = getattr(self.port, name)
            for payload in payloads:
                while self._stalls(("request", "write").index(name)):
                    await ctx.tick()
                ctx.set(link.payload, payload)
                ctx.set(link.valid, 1)
                await ctx.tick().until(link.ready)
                self.cycles[name].append(clock[0])
                ctx.set(link.valid, 0)

        return give

    def _taker(self, clock):
        async def take(ctx):
            link, held = self.port.read, None
            wanted = sum(request.count for request in self.requests if request.written is None)
            while len(self.read) < wanted:
                ready = not self._stalls(2)
                ctx.set(link.ready, ready)
                _, _, valid, word = await ctx.tick().sample(link.valid, link.payload)
                assert held is None or (valid and word == held), "payload holds still until ready"
                held = word if valid and not ready else None
                if valid and ready:
                    self.read.append(word)
                    self.cycles["read"].append(clock[0])
            ctx.set(link.ready, 0)

        return take


def run(design, askers, patience, watch=None, reset=None):
    """Simulate until all askers have got what they want; `patience` is the most cycles. Gives the cycles it took.

    `watch` is a background process; `reset` says in which cycles the design is reset.
    """
    line, clock = Signal(), [0]
    simulator = Simulator(ResetInserter(line)(design) if reset else design)
    simulator.add_clock(1e-8)

    async def count(ctx):
        async for _ in ctx.tick():
            clock[0] += 1
            if reset:
                ctx.set(line, clock[0] in reset)
            assert clock[0] < patience, f"not done after {patience} cycles"

    simulator.add_testbench(count, background=True)
    if watch:
        simulator.add_testbench(watch, background=True)
    for asker in askers:
        asker.add_to(simulator, clock)
    simulator.run()
    return clock[0]
