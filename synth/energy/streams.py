"""Streams of many runs through one netlist: payloads go in as they are taken, and what comes out is kept.

What is valid or ready must not depend on payloads: then all runs keep step, and one simulation has them side by side.
"""

from dataclasses import dataclass, field

import numpy as np

from .bits import from_octets, octets, pack
from .simulation import Simulation, Switching

__all__ = ["Streamed", "stream"]

#: Cycles without a transfer after which the netlist hangs.
_PATIENCE = 10_000
_RESET_CYCLES = 2


@dataclass(frozen=True)
class Streamed:
    """What came of streams.

    Attributes
    ----------
    switching : Switching
        From the first cycle behind reset to the last result, both included.
    outputs : dict of str to ndarray of uint8, shape (runs, transfers, bytes)
    cycles : int
        That were counted.
    failure : str or None
        One line, where runs did not keep step, or no transfer came any more.
    """

    switching: Switching
    outputs: dict = field(repr=False)
    cycles: int
    failure: str | None = None


def stream(netlist, inputs, outputs, volts, *, reset, constants=None):
    """Send payloads through a netlist, every output always ready, every input valid as long as it has any.

    Parameters
    ----------
    netlist : Netlist
        A core with the interface `stream`.
    inputs : dict of str to ndarray of uint8, shape (runs, transfers, bytes)
        Payloads of each input stream, the lowest byte first.
    outputs : dict of str to int
        Payloads that each output stream gives.
    volts : float
    reset : str
        Its reset input, active high.
    constants : dict of str to int, optional
        Values of the inputs that belong to no stream.

    Returns
    -------
    Streamed
    """
    flow = _Flow(netlist, inputs, outputs)
    flow.begin(reset, constants or {})
    failure, waited = None, 0
    while not failure and flow.left():
        moved, failure = flow.cycle()
        waited = 0 if moved else waited + 1
        if waited == _PATIENCE:
            failure = f"the netlist hung: no transfer in {_PATIENCE:,} cycles, {flow.left():,} results were not there"
    return Streamed(flow.simulation.switching(volts), flow.results(), flow.cycles, failure)


class _Flow:
    """The streams of a simulation, and how far each one is."""

    def __init__(self, netlist, inputs, outputs):
        runs = {len(rows) for rows in inputs.values()}
        if len(runs) != 1:
            raise ValueError(f"every stream must have payloads of as many runs, not {sorted(runs)}")
        (self._runs,) = runs
        self.simulation = Simulation(netlist, self._runs)
        self._all = pack(np.ones((1, self._runs)))
        self._inputs, self._taken = inputs, dict.fromkeys(inputs, 0)
        self._outputs, self._came = outputs, {name: [] for name in outputs}
        self.cycles = 0
        self._widths = {name: len(taps.positions) for name, taps in netlist.ports.items()}

    def begin(self, reset, constants):
        """Constants, and the reset, of which nothing counts."""
        ports = {name: self._level(name, value) for name, value in constants.items()}
        ports |= {f"{name}__valid": 0 * self._all for name in self._inputs}
        ports |= {f"{name}__ready": self._all for name in self._outputs}
        for _ in range(_RESET_CYCLES):
            self.simulation.cycle(ports | {reset: self._all}, counted=False)
        self._ports = {reset: 0 * self._all}

    def left(self):
        """Results that are not there yet."""
        return sum(count - len(self._came[name]) for name, count in self._outputs.items())

    def cycle(self):
        """One cycle: whether anything was transferred, and what went wrong, or None."""
        for name, rows in self._inputs.items():
            valid = self._taken[name] < rows.shape[1]
            self._ports[f"{name}__valid"] = self._all * valid
            if valid:
                self._ports[f"{name}__payload"] = self._bits(rows[:, self._taken[name]], name)
        self.simulation.cycle(self._ports)
        self.cycles += 1
        moved = False
        for name in (*self._inputs, *self._outputs):
            signal = f"{name}__{'ready' if name in self._inputs else 'valid'}"
            level = self.simulation.read(signal)
            if level.any() and (level != self._all).any():
                return moved, f"runs do not keep step: {signal} depends on the payloads in cycle {self.cycles - 1:,}"
            moved |= self._moved(name, level.any())
        return moved, None

    def _moved(self, name, level):
        if name in self._inputs:
            moved = level and self._taken[name] < self._inputs[name].shape[1]
            self._taken[name] += bool(moved)
        else:
            moved = level
            if moved:
                self._came[name].append(self.simulation.read(f"{name}__payload"))
        return bool(moved)

    def _bits(self, rows, name):
        return from_octets(rows, self._widths[f"{name}__payload"])

    def _level(self, name, value):
        return np.array([self._all[0] * (value >> bit & 1) for bit in range(self._widths[name])])

    def results(self):
        """Payloads of the output streams, as `Streamed` has them."""
        return {name: _rows(words, self._runs, self._widths[f"{name}__payload"]) for name, words in self._came.items()}


def _rows(came, runs, width):
    payloads = np.array([octets(words, runs) for words in came], np.uint8)
    return payloads.reshape(len(came), runs, -(-width // 8)).transpose(1, 0, 2)
