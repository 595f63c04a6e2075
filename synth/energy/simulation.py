"""Runs of a netlist side by side, without delays, and what their toggles cost."""

from dataclasses import dataclass, field

import numpy as np

from .bits import pack, word_count
from .memories import Contents

__all__ = ["Simulation", "Switching"]


@dataclass(frozen=True)
class Switching:
    """Energy of all runs and cycles together, fJ.

    Attributes
    ----------
    data : float
        Of all nets but the clock.
    clock : float
        Of the flip-flops' clock pins, two toggles a cycle.
    outputs : list of ndarray
        In each cycle the bits of the port that was asked for, as `slices` gives them.
    """

    data: float
    clock: float
    outputs: list = field(default_factory=list, repr=False)


class Simulation:
    """Runs of a netlist, side by side, from a state of zeros, and from what its memories hold at first.

    Parameters
    ----------
    netlist : Netlist
    runs : int
        1 or more.
    """

    def __init__(self, netlist, runs):
        self._netlist, self._runs = netlist, runs
        # Bits of the last words that belong to no run do not count.
        self._mask = pack(np.ones(runs))
        self._values = np.zeros((len(netlist.graph.positions), word_count(runs)), np.uint64)
        self._toggles = np.zeros(len(netlist.loaded), np.int64)
        self._counted = 0
        self._memories = [(memory.reads, Contents(memory, runs)) for memory in netlist.memories]
        netlist.graph.settle(self._values)

    def cycle(self, ports, counted=True):
        """A rising edge of the clock; behind it inputs change, as flip-flops do, and all settles.

        Parameters
        ----------
        ports : dict of str to ndarray
            As of `Netlist.run`.
        counted : bool
            Whether its toggles count.
        """
        netlist, values = self._netlist, self._values
        before = values.take(netlist.loaded, axis=0)
        following = netlist.following.read(values)
        read = [(reads, contents.edge(values)) for reads, contents in self._memories]
        values[netlist.states.positions] = following
        for reads, data in read:
            for port, bits in zip(reads, data, strict=True):
                values[port.data.positions] = bits
        for name, bits in ports.items():
            values[netlist.ports[name].positions] = bits
        netlist.graph.settle(values)
        if counted:
            before ^= values.take(netlist.loaded, axis=0)
            self._toggles += np.bitwise_count(before & self._mask).sum(axis=1, dtype=np.int64)
            self._counted += 1

    def read(self, port):
        """Bits of a port, as `slices` gives them."""
        return self._netlist.ports[port].read(self._values) & self._mask

    def switching(self, volts, outputs=()):
        """What was counted, as `Switching`."""
        half = volts**2 / 2
        clock = half * self._netlist.clock_load * 2 * self._counted * self._runs
        return Switching(half * float(self._toggles @ self._netlist.loads), clock, [*outputs])
