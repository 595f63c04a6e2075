"""Pipelines of streams: registers between the steps of a computation, each of which holds when the next one does, and
queues where a step may be late."""

from amaranth import Shape, Value
from amaranth.lib import data, fifo, stream

from .stages import PipelineRegister

__all__ = ["queued", "registered"]


def registered(m, name, source, **values):
    """Put a `PipelineRegister` behind a stream, with fields of its own.

    Parameters
    ----------
    m : Module
    name : str
        Of the submodule.
    source : stream
        Its valid and ready count, and its payload where `values` use it.
    **values : ValueLike
        What each field holds.

    Returns
    -------
    stream
        The register's output.
    """
    shapes = {key: Value.cast(value).shape() for key, value in values.items()}
    m.submodules[name] = register = PipelineRegister(data.StructLayout(shapes))
    m.d.comb += [register.i.valid.eq(source.valid), source.ready.eq(register.i.ready)]
    m.d.comb += [register.i.payload[key].eq(value) for key, value in values.items()]
    return register.o


def queued(m, name, source, depth):
    """Put a queue behind a stream.

    Parameters
    ----------
    m : Module
    name : str
        Of the submodule.
    source : stream
        What goes in.
    depth : int
        Payloads that wait, at most.

    Returns
    -------
    stream
        The queue's output, of the same payload.
    """
    shape = source.payload.shape()
    out = stream.Signature(shape).create(path=(name,))
    m.submodules[name] = queue = fifo.SyncFIFOBuffered(width=Shape.cast(shape).width, depth=depth)
    m.d.comb += [
        queue.w_data.eq(source.payload),
        queue.w_en.eq(source.valid),
        source.ready.eq(queue.w_rdy),
        out.payload.eq(queue.r_data),
        out.valid.eq(queue.r_rdy),
        queue.r_en.eq(out.ready),
    ]
    return out
