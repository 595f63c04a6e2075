"""What stands behind the machine in its bench, where its memory is outside: a memory at the port, or an SDRAM.

Both are plain Python that is called once a cycle. Whether the controller keeps an SDRAM's times is not their matter:
`testbench.memory_port` has a model that watches them.
"""

from collections import deque

from ...cores.machine.core import MachineCoreConfig
from ...hdl.memory_port.sdram.pins import ALL_BANKS, Command
from ..private import Wire
from ..stream import Stream

__all__ = ["beside"]

#: Requests that the memory takes before the words of the first one have gone.
_AHEAD = 3
#: Shares of cycles in which a stream of the memory goes; another one now and then.
_SHARES, _PERIOD = (1.0, 0.9, 0.3), 256


def beside(config: MachineCoreConfig):
    """What a bench needs beside the core, for `Bench.run`, or None."""
    made = {"port": PortMemory, "sdram": SdramCells}.get(config.memory)
    return made and (lambda dut, bench: made(dut, bench, config))


class PortMemory:
    """A memory at the streams `request`, `write` and `read`, each of which stalls by itself.

    It holds the streams' producer to its promises, too.
    """

    def __init__(self, dut, bench, config):
        self._bench, self._size = bench, 1 << config.address_bits
        self._request, self._write, self._read = (Stream(dut, name) for name in ("request", "write", "read"))
        self._words, self._bits = [0] * self._size, config.address_bits
        self._share = dict.fromkeys(("request", "write", "read"), 1.0)
        self.reset()

    def reset(self):
        """Forget what was asked for; the words stay."""
        self._queue, self._offers, self._held = deque(), False, {}
        self._ready = {"request": 0, "write": 0}
        for stream in (self._request, self._write):
            stream.ready.set(0)
        self._read.valid.set(0)

    def step(self):
        if self._bench.cycle % _PERIOD == 0:
            self._share = {name: self._bench.rng.choice(_SHARES) for name in self._share}
        for stream in (self._request, self._write):
            self._watch(stream)
        if self._request.valid.get() and self._ready["request"]:
            self._take(self._request.payload.get())
        if self._write.valid.get() and self._ready["write"]:
            head = self._queue[0]
            self._words[head[0] % self._size] = self._write.payload.get()
            self._move(head)
        if self._offers and self._read.ready.get():
            self._offers = False
            self._move(self._queue[0])
        self._offer()

    def _watch(self, stream):
        """Valid and payload hold until ready."""
        held, now = self._held.get(stream.name), (stream.valid.get(), stream.payload.get())
        if held is not None and now != held:
            self._bench.mismatch(f"{stream.name}__valid", 0, "valid and payload held until ready", str(now))
        self._held[stream.name] = now if now[0] and not self._ready[stream.name] else None

    def _take(self, payload):
        address, words = payload & self._size - 1, payload >> self._bits & 0xFF
        self._queue.append([address, words + 1, payload >> self._bits + 8])

    def _move(self, head):
        head[0] += 1
        head[1] -= 1
        if not head[1]:
            self._queue.popleft()

    def _goes(self, name):
        share = self._share[name]
        return share == 1.0 or self._bench.rng.random() < share

    def _offer(self):
        head = self._queue[0] if self._queue else None
        ready = {
            "request": int(len(self._queue) < _AHEAD and self._goes("request")),
            "write": int(head is not None and head[2] and self._goes("write")),
        }
        for stream in (self._request, self._write):
            if ready[stream.name] != self._ready[stream.name]:
                stream.ready.set(ready[stream.name])
        self._ready = ready
        if not self._offers and head is not None and not head[2] and self._goes("read"):
            self._offers = True
            self._read.payload.set(self._words[head[0] % self._size])
        self._read.valid.set(int(self._offers))


class SdramCells:
    """The cells of an SDRAM: what bursts of full pages and writes of single columns do with them."""

    def __init__(self, dut, bench, config):
        timing = config.timing
        self._pins = {name: Wire(getattr(dut, f"sdram_{name}")) for name in ("ras_n", "cas_n", "we_n", "ba", "a")}
        self._out, self._in = Wire(dut.sdram_dq_o), Wire(dut.sdram_dq_i)
        self._columns, self._banks = timing.columns, timing.banks
        self._cells, self._rows = {}, [0] * timing.banks
        self._reading, self._late = None, deque([0] * (timing.cas_latency - 1 + config.delay))

    def reset(self):
        """Its cells know no reset."""

    def step(self):
        ras, cas, we, bank, address = (wire.get() for wire in self._pins.values())
        command = Command(ras << 2 | cas << 1 | we)
        if command == Command.ACTIVATE:
            self._rows[bank] = address
        elif command == Command.READ:
            self._reading = bank, address % self._columns
        elif command == Command.WRITE:
            self._cells[bank, self._rows[bank], address % self._columns] = self._out.get()
        ends = command == Command.PRECHARGE and (address >> ALL_BANKS & 1 or (self._reading or (bank,))[0] == bank)
        if ends or command in (Command.BURST_TERMINATE, Command.WRITE):
            self._reading = None
        column = 0
        if self._reading:
            bank, at = self._reading
            column = self._cells.get((bank, self._rows[bank], at), 0)
            self._reading = bank, (at + 1) % self._columns
        self._late.append(column)
        self._in.set(self._late.popleft())
