"""Pipelines of streams: registers between the steps of a computation, each of which holds when the next one does."""

from amaranth import Value
from amaranth.lib import data

from .stages import PipelineRegister

__all__ = ["registered"]


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
