"""The private parts of Amaranth 0.5 that we use: all of them, here alone, each with what there is no public way to.

Amaranth may change any of them in any version, so `pyproject.toml` admits the one that they were read in.
"""

from contextlib import contextmanager

from amaranth.hdl import MemoryInstance

# `rtlil.convert_fragment`, which is public, makes a netlist and writes it; between the two we name the ports.
from amaranth.hdl._ast import SignalDict

# `Fragment.prepare` and `rtlil.convert_fragment`, which are public, take each port with its direction, which is not.
from amaranth.hdl._ir import PortDirection, build_netlist

__all__ = [
    "PortDirection",
    "SignalDict",
    "assigned_signals",
    "build_netlist",
    "memory_shape",
    "unwarned",
    "without_zeros",
]


def unwarned(component):
    """Keep Amaranth from warning that this component is never elaborated; give it back.

    There is no public way to say so of one object: the comment `# amaranth: UnusedElaboratable=no` is for a file.
    """
    component._MustUse__used = True
    return component


def assigned_signals(statement):
    """The signals that a statement of a `Fragment` assigns; a statement has no public parts."""
    return statement._lhs_signals()


def memory_shape(fragment):
    """Depth of a memory and the shape of its words, or None for a fragment that is no memory.

    A `MemoryInstance`, what a memory becomes inside a `Fragment`, has no public way back to the memory.
    """
    return (fragment._data.depth, fragment._data.shape) if isinstance(fragment, MemoryInstance) else None


@contextmanager
def without_zeros(fragment):
    """The memories below a fragment that are full of zeros, without contents for a while.

    Amaranth would take seconds to write them bit by bit, and takes public contents only by checking each word again.
    """
    fragments = [fragment]
    for part in fragments:
        fragments += [inner for inner, *_ in part.subfragments]
    contents = [part._data._init for part in fragments if isinstance(part, MemoryInstance)]
    kept = [(init, init._raw) for init in contents if len(init._raw) > 1 and not any(init._raw)]
    for init, _ in kept:
        init._raw = []
    try:
        yield
    finally:
        for init, raw in kept:
            init._raw = raw
