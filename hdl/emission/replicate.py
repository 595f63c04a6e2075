"""Module replication: what is built alike is elaborated once and emitted once.

Amaranth gives every submodule a Verilog module of its own, so that text and time grow with the number of instances.
Two remedies, one for each cost:

- `Replica` stands for a submodule that is one of many. When Verilog is emitted it becomes an instance of a module that
  is elaborated and emitted on its first use; anywhere else, as in Amaranth's simulator, it is the plain submodule.
  What decides how it is built are the arguments of its constructor, which its base `Replicable` keeps.
- `merge` finds modules with the same text, whatever made them identical, and keeps the first of them.
"""

import inspect
import re
from functools import cache, partial
from typing import NamedTuple

from amaranth import ClockSignal, Instance, ResetSignal
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring

from .private import unwarned

__all__ = ["Emitted", "Modules", "Replica", "Replicable", "merge"]


class Replicable(wiring.Component):
    """A component of which there may be replicas: its class and its constructor's arguments decide how it is built.

    The arguments are kept as they were given, so that none can be forgotten. They must be hashable and must not change,
    and nothing else may change what is built: no attribute that is set from outside, no global.
    """

    def __new__(cls, *args, src_loc_at=0, **kwargs):
        made = super().__new__(cls, *args, src_loc_at=src_loc_at + 1, **kwargs)
        made._given = args, kwargs
        return made

    def replication_key(self):
        """What two components have in common that are built alike: the class, and each argument with its type.

        The same for an argument by position, by keyword, or left to its default.

        Raises
        ------
        TypeError
            For an argument that is not hashable.
        """
        args, kwargs = self._given
        bound = _constructor(type(self)).bind(self, *args, **kwargs)
        bound.apply_defaults()
        # With types, as 1 == True.
        given = [(name, type(value), value) for name, value in _flat(bound)]
        for name, _, value in given:
            try:
                hash(value)
            except TypeError:
                raise TypeError(
                    f"argument {name!r} of {type(self).__name__} must be hashable, as replicas are told apart by their "
                    f"arguments, not {value!r}"
                ) from None
        return type(self), *given


@cache
def _constructor(kind):
    return inspect.signature(kind.__init__)


def _flat(bound):
    """Name and value of all arguments but the first, which is the component; those of `**` sorted by name."""
    for name, value in [*bound.arguments.items()][1:]:
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from sorted(value.items())
        else:
            yield name, value


class Replica(Elaboratable):
    """A submodule that is emitted once for all replicas of the same class and arguments.

    Parameters
    ----------
    component : Replicable
        The submodule. Connect its ports, as of any submodule; it lives in the domain `sync`.

    Raises
    ------
    TypeError
        In `elaborate`, whatever the platform: for another component, or for an argument of it that is not hashable.
    """

    def __init__(self, component):
        self.component = component

    def elaborate(self, platform):
        _key(self.component)
        if isinstance(platform, Modules):
            return platform.instance(self.component)
        return self.component


def _key(component):
    if not isinstance(component, Replicable):
        raise TypeError(f"a replica must be of a Replicable, not of a {type(component).__name__}")
    return component.replication_key()


class Emitted(NamedTuple):
    """Name of an emitted module, and which of `clk` and `rst` it has."""

    name: str
    clocking: tuple[str, ...]


class Modules:
    """The modules that were emitted for replicas; `Fragment.get` hands it to `elaborate` as the platform.

    Parameters
    ----------
    prefix : str
        Begins every module's name, as that of no plain submodule does.
    convert : callable
        Takes a component, a name and a platform, gives RTLIL text.
    ports : callable
        Takes a component, gives its ports: name to (value, direction).
    """

    def __init__(self, prefix, convert, ports):
        self._prefix, self._convert, self._ports = prefix, convert, ports
        self._modules = {}
        self._names = set()
        self._texts = []

    @property
    def text(self):
        """RTLIL of the modules, each before those that use it."""
        return "".join(self._texts)

    def instance(self, component):
        """An instance of the component's module, connected to the component's own ports."""
        module = self.module(component)
        ports = [(direction.value[0], port, value) for port, (value, direction) in self._ports(component).items()]
        domain = {"clk": ClockSignal(), "rst": ResetSignal(allow_reset_less=True)}
        return Instance(module.name, *ports, *(("i", port, domain[port]) for port in module.clocking))

    def module(self, component):
        """The module of a `Replicable`; the first request emits it. One with a method `rtlil` writes its own text."""
        key = _key(component)
        if key not in self._modules:
            self._modules[key] = self._emit(component)
        unwarned(component)
        return self._modules[key]

    def _emit(self, component):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(component).__name__).lower()
        name, number = f"{self._prefix}_{words}", 1
        while name in self._names:
            number += 1
            name = f"{self._prefix}_{words}_{number}"
        self._names.add(name)
        if hasattr(component, "rtlil"):
            text = component.rtlil(name, self)
        else:
            text = self._convert(component, name, self)
        self._texts.append(text)
        own = re.search(rf"^module \\{name}\n(.*?)^end$", text, flags=re.M | re.S)[1]
        return Emitted(name, tuple(re.findall(r"^  wire width 1 input \d+ +\\(clk|rst)$", own, flags=re.M)))


def merge(text):
    """Keep one of each set of modules that have the same text.

    Parameters
    ----------
    text : str
        RTLIL, every module once.

    Returns
    -------
    str
        The same without the repeated modules; cells that used one of those use the first of its kind. Modules that
        become identical by that are merged too.
    """
    pieces = re.split(r"^((?:attribute [^\n]*\n)*module \\\S+\n.*?^end\n)", text, flags=re.M | re.S)
    modules = {re.search(r"^module \\(\S+)$", piece, flags=re.M)[1]: piece for piece in pieces[1::2]}
    while True:
        first, renamed = {}, {}
        for name, piece in modules.items():
            body = re.sub(r"^module \\\S+$", "module", piece, count=1, flags=re.M)
            kept = first.setdefault(body, name)
            if kept != name:
                renamed[name] = kept
        if not renamed:
            return pieces[0] + "\n".join(modules.values())
        modules = {
            name: re.sub(r"^  cell \\(\S+)", partial(_renamed_cell, renamed), piece, flags=re.M)
            for name, piece in modules.items()
            if name not in renamed
        }


def _renamed_cell(renamed, match):
    return f"  cell \\{renamed.get(match[1], match[1])}"
