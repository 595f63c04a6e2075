"""Components that consist of instances only: how an array is put together in time and text that grow with its side.

Amaranth's net list holds every bit of every bus, which makes large arrays slow to generate. A `Structure` is a table:
which instances there are, and which part of which bus each of their ports is. When Verilog is emitted it writes one
line for each port; in Amaranth's simulator it is plain Amaranth. Both come from the same table.
"""

from typing import NamedTuple

from amaranth import Module, Signal, Value
from amaranth.lib.wiring import In, Out

from .private import unwarned
from .replicate import Replicable

__all__ = ["Chain", "Place", "Structure"]


class Place(NamedTuple):
    """An instance: its name, what it is, and for each port the (bus, first bit).

    What it is: the class of a `Replicable`, and its hashable arguments by position.
    """

    name: str
    kind: tuple
    ports: dict


class Structure(Replicable):
    """A component that consists of instances.

    Parameters
    ----------
    ports : dict
        Members of the signature.
    places : sequence of Place
        The instances. A bus is a port of the structure or, by any other name, a wire; None is zero for an input and no
        connection for an output, and so is what lies beyond the end of a bus.
    links : sequence of (str, int, str, int, int), optional
        Outputs that are inputs: bus and first bit, input and first bit, number of bits.
    """

    def __init__(self, ports, places, links=()):
        super().__init__(ports)
        self.places, self.links = places, links
        self._kinds = _built(place.kind for place in places)
        self._widths = {
            kind: {port: len(Value.cast(getattr(component, port))) for port in component.signature.members}
            for kind, component in self._kinds.items()
        }
        self._buses = {}
        for place in places:
            for port, (bus, first) in place.ports.items():
                is_output = self._kinds[place.kind].signature.members[port].flow == Out
                if is_output and bus is not None and bus not in self.signature.members:
                    self._buses[bus] = max(self._buses.get(bus, 0), first + self._widths[place.kind][port])

    def elaborate(self, platform):
        m = Module()
        buses = {bus: Signal(width, name=bus) for bus, width in self._buses.items()}
        buses |= {port: Value.cast(getattr(self, port)) for port in self.signature.members}
        unused = dict(self._kinds)
        for place in self.places:
            component = unused.pop(place.kind, None) or place.kind[0](*place.kind[1:])
            m.submodules[place.name] = component
            for port, (bus, first) in place.ports.items():
                if bus is None:
                    continue
                inner = Value.cast(getattr(component, port))
                outer = buses[bus][first : first + len(inner)]
                if component.signature.members[port].flow == In:
                    m.d.comb += inner.eq(outer)
                else:
                    m.d.comb += outer.eq(inner[: len(outer)])
        for bus, first, source, start, width in self.links:
            m.d.comb += buses[bus][first : first + width].eq(buses[source][start : start + width])
        return m

    def rtlil(self, name, modules):
        """RTLIL text of the structure, its instances being of `modules`; what has no bits is left out."""
        emitted = {kind: modules.module(component) for kind, component in self._kinds.items()}
        text = [f"module \\{name}\n"]
        ports = {"clk": (In, 1), "rst": (In, 1)}
        for port, member in self.signature.members.items():
            if width := len(Value.cast(getattr(self, port))):
                ports[port] = (member.flow, width)
        for index, (port, (flow, width)) in enumerate(ports.items()):
            text.append(f"  wire width {width} {'input' if flow == In else 'output'} {index} \\{port}\n")
        text += [f"  wire width {width} \\{bus}\n" for bus, width in self._buses.items() if width]
        widths = self._buses | {port: width for port, (_, width) in ports.items()}
        for place in self.places:
            text.append(f"  cell \\{emitted[place.kind].name} \\{place.name}\n")
            text += [f"    connect \\{port} \\{port}\n" for port in emitted[place.kind].clocking]
            for port, (bus, first) in place.ports.items():
                width = self._widths[place.kind][port]
                if not width:
                    continue
                is_input = self._kinds[place.kind].signature.members[port].flow == In
                inside = 0 if bus is None else min(width, widths.get(bus, 0) - first)
                parts = [_bits(bus, first, inside)] if inside else []
                if inside < width and is_input:
                    parts.insert(0, f"{width - inside}'{'0' * (width - inside)}")
                elif inside < width:
                    unused = f"{place.name}_{port}_unused"
                    text.insert(1, f"  wire width {width - inside} \\{unused}\n")
                    parts.insert(0, f"\\{unused}")
                text.append(f"    connect \\{port} {{ {' '.join(parts)} }}\n")
            text.append("  end\n")
        text += [
            f"  connect {_bits(bus, first, width)} {_bits(source, start, width)}\n"
            for bus, first, source, start, width in self.links
            if width
        ]
        return "".join([*text, "end\n"])


def _bits(bus, first, width):
    return f"\\{bus} [{first + width - 1}:{first}]"


def _built(kinds):
    """Each kind of component once."""
    return {kind: unwarned(kind[0](*kind[1:])) for kind in dict.fromkeys(kinds)}


class Chain(Structure):
    """Components of like ports in a line, each feeding the next one.

    Parameters
    ----------
    ports : dict
        Members of the signature. A port with the name of a stage's port is
        one of `links`: the start of the line for an input, the end of it for an output;
        one of `shared`: connected to every stage;
        else a lane: the stages' ports side by side, the first one in the lowest bits.
    stages : list of tuple
        The first to the last, each as `Place.kind`.
    links : dict of str to str
        Output of a stage to input of the next one. The first stage's is zero where it is not in `ports`.
    shared : sequence of str
        Inputs that all stages share.
    """

    def __init__(self, ports, stages, links, shared):
        inputs = {target: source for source, target in links.items()}
        kinds = _built(stages)
        at = dict.fromkeys(ports, 0)
        places = []
        for index, kind in enumerate(stages):
            table = {}
            for port in kinds[kind].signature.members:
                if port in shared:
                    table[port] = (port, 0)
                elif port in inputs and index:
                    table[port] = (f"{inputs[port]}_{index - 1}", 0)
                elif port in inputs:
                    table[port] = (port if port in ports else None, 0)
                elif port in links:
                    end = index == len(stages) - 1
                    table[port] = (f"{port}_{index}" if not end else port if port in ports else None, 0)
                else:
                    table[port] = (port, at[port])
                    at[port] += len(Value.cast(getattr(kinds[kind], port)))
            places.append(Place(f"stage_{index}", kind, table))
        super().__init__(ports, places)
        for port, width in at.items():
            own = len(Value.cast(getattr(self, port)))
            single = port in (*links, *inputs, *shared)
            needed = len(Value.cast(getattr(kinds[stages[0]], port))) if single else width
            if own != needed:
                unwarned(self)
                raise ValueError(f"port {port!r} of the chain must have {needed} bits, not {own}")
