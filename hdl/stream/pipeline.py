"""Pipelines of streams: registers between the steps of a computation, each of which holds when the next one does or
none of which ever does, and queues where a step may be late."""

import itertools

from amaranth import Shape, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import connect

from .queue import Queue
from .stages import PipelineRegister, SkidBuffer, Stage

__all__ = ["delayed", "free_registered", "queued", "registered", "skidded", "staged"]


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
        What each field holds; without any, the register holds the payload as it is.

    Returns
    -------
    stream
        The register's output.
    """
    if not values:
        return _behind(m, name, source, PipelineRegister)
    shapes = {key: Value.cast(value).shape() for key, value in values.items()}
    m.submodules[name] = register = PipelineRegister(data.StructLayout(shapes))
    m.d.comb += [register.i.valid.eq(source.valid), source.ready.eq(register.i.ready)]
    m.d.comb += [register.i.payload[key].eq(value) for key, value in values.items()]
    return register.o


def free_registered(m, name, source, **values):
    """Put registers behind a stream that never hold: their output is taken in the cycle in which it is offered.

    Parameters and result as of `registered`; the output's ready has no effect. What is behind such registers must have
    room before something goes in, as a `CreditQueue` has.
    """
    layout = data.StructLayout({key: Value.cast(value).shape() for key, value in values.items()})
    out = stream.Signature(layout).create(path=(name,))
    valid, payload = Signal(name=f"{name}_known"), Signal(layout, name=f"{name}_held", reset_less=True)
    m.d.sync += [valid.eq(source.valid), *(payload[key].eq(value) for key, value in values.items())]
    m.d.comb += [source.ready.eq(1), out.valid.eq(valid), out.payload.eq(payload)]
    return out


def delayed(m, name, shape, steps, *, reset_less=False):
    """Signals of which each is what the one before it was in the cycle before.

    Parameters
    ----------
    m : Module
    name : str
        Begins their names.
    shape : ShapeLike
    steps : int
        Registers.
    reset_less : bool
        Whether the registers have no reset.

    Returns
    -------
    list of Signal
        One more; whoever calls drives the first one.
    """
    signals = [Signal(shape, name=f"{name}_{step}", reset_less=reset_less) for step in range(steps + 1)]
    m.d.sync += [after.eq(before) for before, after in itertools.pairwise(signals)]
    return signals


def staged(m, name, source):
    """Put a `Stage` behind a stream, which cuts both directions; gives its output.

    Parameters
    ----------
    m : Module
    name : str
        Of the submodule.
    source : stream
    """
    return _behind(m, name, source, Stage)


def skidded(m, name, source):
    """Put a `SkidBuffer` behind a stream, which cuts the way back; gives its output.

    Parameters
    ----------
    m : Module
    name : str
        Of the submodule.
    source : stream
    """
    return _behind(m, name, source, SkidBuffer)


def _behind(m, name, source, kind):
    m.submodules[name] = link = kind(source.payload.shape())
    connect(m, source, link.i)
    return link.o


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
    m.submodules[name] = queue = Queue(width=Shape.cast(shape).width, depth=depth)
    m.d.comb += [
        queue.w_data.eq(source.payload),
        queue.w_en.eq(source.valid),
        source.ready.eq(queue.w_rdy),
        out.payload.eq(queue.r_data),
        out.valid.eq(queue.r_rdy),
        queue.r_en.eq(out.ready),
    ]
    return out
