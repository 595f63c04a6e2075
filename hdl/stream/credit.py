"""The end of a pipeline that never holds: a queue that has room for all that is inside.

Where registers hold when the next one does, a `ready` goes through all of them in one cycle, and to the enable of each.
A pipeline whose beginning waits for room at its end has no such path, and its registers have no enable.
"""

from amaranth import Module, Mux, Shape, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..primitives.block_ram import NO_BYPASS

__all__ = ["CreditQueue", "admitted", "bounded"]


class CreditQueue(wiring.Component):
    """A queue at a pipeline's end. Who begins something takes places of it; one is left with each output.

    A place is free again two cycles after its payload was taken. Latency 2 cycles.

    Parameters
    ----------
    payload : ShapeLike
    depth : int
        Places, 3 or more, and `batch` at least. For a payload a cycle, those of all that is inside the pipeline, and 4
        more.
    batch : int
        Places that are taken at a time: payloads of what begins.

    Attributes
    ----------
    room : out 1
        Something may begin in this cycle; from a register.
    begin : in 1
        It does; only while there is `room`.
    valid, payload : in
        It comes out of the pipeline; there is room.
    o : out stream of `payload`
    idle : out 1
        All places are free; from a register.
    """

    def __init__(self, payload, depth, batch=1):
        self.shape, self.depth, self.batch = payload, depth, batch
        super().__init__(
            {
                "room": Out(1, init=1),
                "begin": In(1),
                "valid": In(1),
                "payload": In(payload),
                "o": Out(stream.Signature(payload)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._queue(m)
        free, taken = Signal(range(self.depth + 1), init=self.depth), self.o.valid & self.o.ready
        m.d.sync += [
            free.eq(free - Mux(self.begin, self.batch, 0) + taken),
            # Nothing but a flag comes in late; what is taken in this cycle counts in the next one.
            self.room.eq((free >= 2 * self.batch) | ((free >= self.batch) & ~self.begin)),
            self.idle.eq((free == self.depth) & ~self.begin),
        ]
        return m

    def _queue(self, m):
        """Keep what comes, and show it in its order: as there is room for it, nothing is asked before it is written."""
        width = Shape.cast(self.shape).width
        # A word is read a cycle after it was written, or later.
        m.submodules.queue = words = memory.Memory(shape=width, depth=self.depth, init=[], attrs=NO_BYPASS)
        write, read = words.write_port(), words.read_port()
        inside, waiting = Signal(range(self.depth + 1)), Signal()
        fetch = waiting & (~self.o.valid | self.o.ready)
        for port, moves in ((write, self.valid), (read, fetch)):
            place = Signal(range(self.depth), name=f"{'write' if port is write else 'read'}_place")
            m.d.comb += [port.addr.eq(place), port.en.eq(moves)]
            with m.If(moves):
                m.d.sync += place.eq(Mux(place == self.depth - 1, 0, place + 1))
        m.d.comb += [write.data.eq(self.payload), Value.cast(self.o.payload).eq(read.data)]
        m.d.sync += [
            inside.eq(inside + self.valid - fetch),
            waiting.eq(self.valid | (inside > 1) | ((inside == 1) & ~fetch)),
            self.o.valid.eq(fetch | (self.o.valid & ~self.o.ready)),
        ]


def admitted(m, name, source, queue):
    """What enters a pipeline that never holds: as much of a stream as there is room for at its end.

    Parameters
    ----------
    m : Module
    name : str
        Of what is given.
    source : stream
    queue : CreditQueue
        Or what has its `room` and `begin`.

    Returns
    -------
    stream
        Its `valid` is a transfer; it has no use for a `ready`.
    """
    entering = stream.Signature(source.payload.shape()).create(path=(name,))
    m.d.comb += [
        entering.payload.eq(source.payload),
        entering.valid.eq(source.valid & queue.room),
        source.ready.eq(queue.room),
        queue.begin.eq(entering.valid),
    ]
    return entering


def bounded(m, source, sink, places):
    """Put a `CreditQueue`, as the submodule `out`, between a pipeline that never holds and the stream at its end.

    Parameters
    ----------
    m : Module
    source, sink : stream
        What is to go into the pipeline; where the queue leads.
    places : int
        Of the queue.

    Returns
    -------
    out : CreditQueue
        Takes what comes out of the pipeline.
    entering : stream
        As of `admitted`.
    """
    m.submodules.out = out = CreditQueue(sink.payload.shape(), places)
    connect(m, out.o, sink)
    return out, admitted(m, "entering", source, out)
