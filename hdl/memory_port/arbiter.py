"""Several askers at one memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out, connect

from ..stream.stages import PipelineRegister
from .port import LONGEST, MemoryPort

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Give one memory to several askers, a whole request at a time, in turns (round robin).

    Of those who ask, the next one behind the last one served has its turn, so nobody waits for more than one request of
    each other. What order requests are granted in is kept, and words are led to and from their asker in this order,
    without a gap between them. Ready of `read` and `write` passes through, as payloads do.

    Parameters
    ----------
    count : int
        Askers, 2 or more.
    address_bits, width : int
        As of `MemoryPort`.
    outstanding : int
        Requests of each direction whose words have not all gone, at most; 2 or more.

    Attributes
    ----------
    askers : array of `count` in `MemoryPort(address_bits, width)`
    memory : out `MemoryPort(address_bits, width)`
    """

    def __init__(self, count, address_bits, width, outstanding=8):
        for name, value in (("count", count), ("outstanding", outstanding)):
            if value < 2:
                raise ValueError(f"{name} must be 2 or more, not {value}")
        self.count, self.outstanding = count, outstanding
        port = MemoryPort(address_bits, width)
        super().__init__({"askers": In(port).array(count), "memory": Out(port)})

    def elaborate(self, platform):
        m = Module()
        turn = data.StructLayout({"asker": range(self.count), "words": range(LONGEST)})
        m.submodules.request = request = PipelineRegister(self.memory.request.payload.shape())
        connect(m, request.o, wiring.flipped(self.memory.request))
        reads, writes = (fifo.SyncFIFO(width=turn.size, depth=self.outstanding) for _ in ("reads", "writes"))
        m.submodules.reads, m.submodules.writes = reads, writes
        granted = self._grant(m, request.i, reads.w_rdy & writes.w_rdy)
        for queue, write in ((reads, 0), (writes, 1)):
            m.d.comb += [
                turn(queue.w_data).asker.eq(granted),
                turn(queue.w_data).words.eq(request.i.payload.words),
                queue.w_en.eq(request.i.valid & request.i.ready & (request.i.payload.write == write)),
            ]
        self._lead(m, "read", turn, reads)
        self._lead(m, "write", turn, writes)
        return m

    def _grant(self, m, request, room):
        """Lead the request whose turn it is on, while there is room to remember it; gives the asker's number."""
        last, granted = Signal(range(self.count)), Signal(range(self.count))
        with m.Switch(last):
            for number in range(self.count):
                with m.Case(number):
                    # The last statement that holds decides: the nearest behind `number`.
                    for step in reversed(range(1, self.count + 1)):
                        asker = (number + step) % self.count
                        with m.If(self.askers[asker].request.valid):
                            m.d.comb += granted.eq(asker)
        with m.Switch(granted):
            for number, asker in enumerate(self.askers):
                with m.Case(number):
                    m.d.comb += [
                        request.payload.eq(asker.request.payload),
                        request.valid.eq(asker.request.valid & room),
                        asker.request.ready.eq(request.ready & room),
                    ]
        with m.If(request.valid & request.ready):
            m.d.sync += last.eq(granted)
        return granted

    def _lead(self, m, name, turn, queue):
        """Connect the asker at a queue's head with the memory, until its words have gone."""
        writer = name == "write"
        gone = Signal(range(LONGEST), name=f"{name}_gone")
        head = turn(queue.r_data)
        memory = getattr(self.memory, name)
        with m.If(queue.r_rdy), m.Switch(head.asker):
            for number, port in enumerate(self.askers):
                asker = getattr(port, name)
                source, sink = (asker, memory) if writer else (memory, asker)
                with m.Case(number):
                    m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
                    if writer:
                        m.d.comb += sink.payload.eq(source.payload)
        if not writer:
            m.d.comb += [getattr(port, name).payload.eq(memory.payload) for port in self.askers]
        last = gone == head.words
        m.d.comb += queue.r_en.eq(memory.valid & memory.ready & last)
        with m.If(memory.valid & memory.ready):
            m.d.sync += gone.eq(Mux(last, 0, gone + 1))
