"""The end of a pipeline that never holds: a queue that has room for all that is inside.

Where registers hold when the next one does, a `ready` goes through all of them in one cycle, and to the enable of each.
A pipeline whose beginning waits for room at its end has no such path, and its registers have no enable.
"""

from amaranth import Module, Shape, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect

__all__ = ["CreditQueue", "admitted", "bounded"]


class CreditQueue(wiring.Component):
    """A queue at a pipeline's end. Who begins something takes a place of it, and leaves it with the output.

    A place is free again two cycles after its payload was taken. Latency 2 cycles.

    Parameters
    ----------
    payload : ShapeLike
    depth : int
        Places, 3 or more. For a payload a cycle, those of all that is inside the pipeline, and 4 more.

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

    def __init__(self, payload, depth):
        self.shape, self.depth = payload, depth
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
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=Shape.cast(self.shape).width, depth=self.depth)
        free, taken = Signal(range(self.depth + 1), init=self.depth), self.o.valid & self.o.ready
        m.d.comb += [
            queue.w_data.eq(self.payload),
            queue.w_en.eq(self.valid),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        m.d.sync += [
            free.eq(free - self.begin + taken),
            # Nothing but a flag comes in late; what is taken in this cycle counts in the next one.
            self.room.eq((free > 1) | ((free == 1) & ~self.begin)),
            self.idle.eq((free == self.depth) & ~self.begin),
        ]
        return m


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
