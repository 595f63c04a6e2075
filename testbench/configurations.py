"""Configurations drawn at random: legal ones over a core's whole legal space, most of them at its edges, and others.

Nothing here knows a core. What a field may be stands in its `Config`; what several fields may be together, the
configuration itself decides, which refuses what is wrong: drawing goes on until one is accepted.
"""

import dataclasses
import math

from amaranth.hdl import Fragment, Instance, Shape

from ..hdl.emission.private import assigned_signals, memory_shape, unwarned
from ..hdl.emission.replicate import Modules
from ..hdl.emission.verilog import signature_ports

__all__ = ["draw", "draw_illegal", "legal", "propose", "signal_bits"]

#: What makes a design too large to be compiled and simulated in seconds: bits of its ports, of the signals that its
#: statements assign, and of its memories.
MOST_PORT_BITS, MOST_SIGNAL_BITS, MOST_MEMORY_BITS = 512, 24_000, 1 << 20

#: Ends of a range, as often as they are drawn: the upper one makes most designs too large.
_ENDS = (0, 0, 0, 0, 1, 1, -2, -1, -1)

#: Values that are refused one after another before a configuration is drawn anew.
_PATIENCE = 100


def draw(core, rng, most=MOST_SIGNAL_BITS):
    """A legal configuration of a core, small enough to be simulated in seconds.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    rng : numpy.random.Generator
        The only source of chance.
    most : int
        Bits of signals that it may have; the time that its design takes grows with them.

    Returns
    -------
    Config
        Of the type `core.config`.
    """
    while True:
        config = legal(core.config, rng)
        if config is not None and _is_small(core.component(config), most):
            return config


def signal_bits(component):
    """Bits of the signals that the statements of a component and of all inside assign."""
    return _bits(Fragment.get(unwarned(component), _Sizes()))[0]


def draw_illegal(core, rng):
    """Values of a core's configuration that it must refuse, because of one field.

    Parameters
    ----------
    core, rng
        As for `draw`.

    Returns
    -------
    name : str
        The field's name: its value is of another type than it allows, or outside its range.
    values : dict
        Name of every field to its value.
    """
    values = propose(core.config, rng)
    field = rng.choice(dataclasses.fields(core.config))
    data, wrong = field.metadata, [3.0, "", f" {field.default}", str(field.default).upper() + "_", 10**30, -1 << 70]
    wrong += [] if data["optional"] else [None]
    wrong += [1] if isinstance(field.default, bool) else [True]
    wrong += [data["low"] - 1] if data["low"] is not None else []
    wrong += [data["high"] + 1] if data["high"] is not None else []
    return field.name, values | {field.name: wrong[rng.integers(len(wrong))]}


def propose(config, rng):
    """Values of a configuration's fields, each of them legal by itself.

    Parameters
    ----------
    config : type
        A `Config`.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    dict
        Field name to value. Integers are the ends of their ranges, or near another integer of the same configuration,
        its multiple or its divisor, or of any size; how often they are ends is drawn first.
    """
    ends, values = rng.random(), {}
    for field in rng.permutation(dataclasses.fields(config)):
        values[field.name] = _value(field, values, ends, rng)
    return values


def legal(config, rng):
    """A configuration of that type, of any size, or None where none was found in a while.

    Parameters
    ----------
    config : type
        A `Config`.
    rng : numpy.random.Generator
        The only source of chance.
    """
    values, fields = propose(config, rng), {field.name: field for field in dataclasses.fields(config)}
    for _ in range(_PATIENCE):
        try:
            return config(**values)
        except ValueError as error:
            # It begins with the name of what does not go with the others: another value of that one alone.
            name = str(error).split()[0]
            if name not in fields:
                return None
            values[name] = _value(fields[name], values, rng.random(), rng)
    return None


def _value(field, values, ends, rng):
    """A value that a field allows, beside the `values` of others: see `propose`."""
    data = field.metadata
    if rng.random() < 1 / 8:
        return field.default
    if data["optional"] and rng.random() < 1 / 3:
        return None
    if isinstance(field.default, bool):
        return bool(rng.integers(2))
    if data["choices"]:
        return data["choices"][rng.integers(len(data["choices"]))]
    others = [value for name, value in values.items() if type(value) is int and name != field.name]
    return _integer(data["low"], data["high"], others, ends, rng)


def _integer(low, high, others, ends, rng):
    """An integer of a range: see `propose`."""
    kind = rng.random()
    if kind < ends / 2:
        step = _ENDS[rng.integers(len(_ENDS))]
        value = low + step if step >= 0 else high + 1 + step
    elif others and kind < 2 / 3:
        value = int(others[rng.integers(len(others))] * 2.0 ** rng.integers(-2, 3))
        value += rng.integers(-1, 2) if rng.random() < 1 / 4 else 0
    else:
        size = rng.uniform(0, math.log2(high - low + 2))
        value = low - 1 + 2.0**size if rng.random() < 1 / 2 else 2 ** round(size)
    return min(max(int(value), low), high)


def _is_small(component, most):
    """Whether a component is small enough to be simulated in seconds."""
    # These first: elaboration takes long where they are many.
    if sum(len(value) for value, _ in signature_ports(unwarned(component)).values()) > MOST_PORT_BITS:
        return False
    signals, memories = _bits(Fragment.get(component, _Sizes()))
    return signals <= most and memories <= MOST_MEMORY_BITS


class _Part(Instance):
    """Stands for a replica of which the bits are known."""

    def __init__(self, bits):
        super().__init__("part")
        self.bits = bits


class _Sizes(Modules):
    """Counts the bits of what is built alike once."""

    def __init__(self):
        super().__init__("", None, None)
        self._bits = {}

    def instance(self, component):
        key = unwarned(component).replication_key()
        if key not in self._bits:
            self._bits[key] = _bits(Fragment.get(component, self))
        return _Part(self._bits[key])


def _bits(fragment):
    """Bits of the signals that a fragment and those inside assign, and of their memories."""
    if isinstance(fragment, _Part):
        return fragment.bits
    if memory := memory_shape(fragment):
        depth, word = memory
        return 0, depth * Shape.cast(word).width
    assigned = {
        id(signal): len(signal)
        for statements in fragment.statements.values()
        for statement in statements
        for signal in assigned_signals(statement)
    }
    parts = [_bits(inside) for inside, *_ in fragment.subfragments]
    return sum(assigned.values()) + sum(signals for signals, _ in parts), sum(memories for _, memories in parts)
