"""A flat netlist of library cells, as a graph of gates that runs."""

import functools

import numpy as np

from ..asic import map_to_library
from ..liberty import read
from .cells import read_cells, voltage
from .gates import FALSE, TRUE, Graph
from .memories import Memory, ReadPort, WritePort
from .simulation import Simulation

__all__ = ["Netlist", "switching"]


class Netlist:
    """A flat netlist.

    Parameters
    ----------
    module : dict
        `ports`, each with its `bits`, and `cells`, each with `type` and `connections`, as of `asic.map_to_library`; it
        may have `memories`, as of `macros.describe`, which work but cost nothing.
    cells : dict of str to Cell

    Attributes
    ----------
    cell_count, flip_flop_count : int
    clock_load : float
        Capacitance of all clock pins, fF.
    graph : Arranged
        All of it but the flip-flops and memories.
    states, following : Taps
        What each flip-flop holds, and what it takes at an edge.
    memories : list of Memory
    ports : dict of str to Taps
    loaded, loads : ndarray
        Where what drives pins is among all values, and the capacitance of its pins, fF.

    Raises
    ------
    ValueError
        If it has a cell that is not among `cells`, or a loop of gates.
    """

    def __init__(self, module, cells):
        wiring = _Wiring(module, cells)
        self.cell_count, self.flip_flop_count = len(module["cells"]), len(wiring.flip_flops)
        self.clock_load = wiring.clock_load
        nets, states, following, graph = wiring.literals()
        self.graph = graph.arranged()
        self.states, self.following = self.graph.taps(states), self.graph.taps(following)
        self.ports = {name: self._taps(nets, port["bits"]) for name, port in module["ports"].items()}
        self.memories = [self._memory(nets, memory) for memory in wiring.memories]
        loads = np.zeros(len(self.graph.positions))
        for net, capacitance in wiring.load.items():
            loads[self.graph.positions[nets.get(net, FALSE).node]] += capacitance
        self.loaded = np.flatnonzero(loads)
        self.loads = loads[self.loaded]

    def _taps(self, nets, bits):
        return self.graph.taps([nets.get(net, FALSE) for net in bits])

    def _memory(self, nets, memory):
        def taps(port, *keys):
            return (self._taps(nets, port[key]) for key in keys)

        reads = [ReadPort(*taps(port, "address", "enable", "data"), tuple(port["through"])) for port in memory["reads"]]
        writes = [WritePort(*taps(port, "address", "enables", "data")) for port in memory["writes"]]
        return Memory(memory["words"], memory["width"], memory["init"], reads, writes)

    def run(self, stimuli, runs, volts, watch=None, warm_up=0):
        """Run it from a state of zeros, its memories from what they hold at first.

        Parameters
        ----------
        stimuli : iterable of dict
            For each cycle the input ports' bits, as `slices` gives them; those that are missing keep their values.
        runs : int
            How many go side by side.
        volts : float
        watch : str, optional
            Output port to give.
        warm_up : int
            Cycles whose toggles do not count.

        Returns
        -------
        Switching
        """
        simulation, seen = Simulation(self, runs), []
        for cycle, ports in enumerate(stimuli):
            simulation.cycle(ports, counted=cycle >= warm_up)
            if watch:
                seen.append(simulation.read(watch))
        return simulation.switching(volts, seen)


class _Wiring:
    """What drives and what loads each net."""

    def __init__(self, module, cells):
        self.ports, self.clock_load = module["ports"], 0.0
        self.memories = module.get("memories", [])
        self.drivers, self.flip_flops, self.load = {}, [], {}
        for instance in module["cells"]:
            cell = cells.get(instance["type"])
            if cell is None:
                raise ValueError(f"the netlist must be of gates and plain flip-flops, not {instance['type']}")
            at = {pin: bits[0] for pin, bits in instance["connections"].items()}
            for pin, capacitance in cell.inputs.items():
                if pin == cell.clock:
                    self.clock_load += capacitance
                elif isinstance(at.get(pin), int):
                    self.load[at[pin]] = self.load.get(at[pin], 0.0) + capacitance
            if cell.state:
                self.flip_flops.append((cell, at))
            else:
                self.drivers |= {at[pin]: (cell, at, text) for pin, text in cell.outputs.items() if pin in at}

    def literals(self):
        """Literals of all nets, of the flip-flops' states and of what follows these, and their graph.

        Data of memories come from outside of the graph, as inputs do.
        """
        graph, nets = Graph(), {"1": TRUE}
        states = [graph.source() for _ in self.flip_flops]
        kept = [(cell, at, {cell.state: state}) for (cell, at), state in zip(self.flip_flops, states, strict=True)]
        for cell, at, state in kept:
            for pin, function in cell.outputs.items():
                if pin in at:
                    nets[at[pin]] = _literal(function, {}, state)
        read = [net for memory in self.memories for port in memory["reads"] for net in port["data"]]
        nets |= {net: graph.source() for net in read}
        inputs = {net for port in self.ports.values() for net in port["bits"] if isinstance(net, int)}
        nets |= {net: graph.source() for net in sorted(inputs - self.drivers.keys() - nets.keys())}
        for net, at, function in _ordered(self.drivers, set(nets)):
            nets[net] = _literal(function, {pin: nets.get(source, FALSE) for pin, source in at.items()})
        following = [
            _literal(cell.next_state, {pin: nets.get(source, FALSE) for pin, source in at.items()}, state)
            for cell, at, state in kept
        ]
        return nets, states, following, graph


@functools.cache
def _code(function):
    return compile(function, "cell", "eval")


def _literal(function, pins, state=None):
    """A cell's function, a Python expression, of literals; a pin that is not connected is low."""
    code = _code(function)
    known = {"M": TRUE, **pins, **(state or {})}
    return eval(code, {"__builtins__": {}}, {name: known.get(name, FALSE) for name in code.co_names})


def _ordered(drivers, sources):
    """The gates' nets, cells' connections and functions, each after what it reads."""
    placed, order = set(sources), []
    for start in drivers:
        stack = [(start, False)]
        while stack:
            net, ready = stack.pop()
            if net in placed:
                continue
            cell, at, text = drivers[net]
            if ready:
                placed.add(net)
                order.append((net, at, text))
                continue
            stack.append((net, True))
            reads = (at[pin] for pin in cell.inputs if isinstance(at.get(pin), int))
            waiting = [(read, False) for read in reads if read not in placed]
            if len(stack) > len(drivers) + 1:
                raise ValueError("the netlist must have no loop of gates")
            stack += waiting
    return order


def switching(design, path, stimuli, runs, watch=None, warm_up=0):
    """`Netlist.run` of a design in the cells of a Liberty file, at the file's voltage."""
    library = read(path)
    netlist = Netlist(map_to_library(design, library)["netlist"], read_cells(library.text))
    return netlist.run(stimuli, runs, voltage(library), watch, warm_up)
