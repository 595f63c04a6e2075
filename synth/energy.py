"""An estimate of switching energy: a netlist of library cells is simulated without delays, and its toggles are counted.

Every toggle of a net costs half of C V**2, C being the sum of the input pins on it as the Liberty file has them. That
leaves out much: wires, which in a placed design weigh as much as pins or more; glitches, which an unpipelined datapath
has more of than a pipelined one; what is charged inside cells; leakage; the clock's tree. The clock's pins are counted
apart. So the figures are for comparing designs of the same kind with the same stimuli, and no power of a chip.

Many independent runs go side by side: each net is one integer, with a bit for each run.
"""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..tools import caches
from .jobs import run_yosys
from .liberty import _cells, read

__all__ = ["Cell", "Netlist", "Switching", "map_netlist", "merge", "read_cells", "slices", "switching"]


@dataclass(frozen=True)
class Cell:
    """A cell of a library.

    Attributes
    ----------
    inputs : dict of str to float
        Capacitance of each input pin, fF.
    outputs : dict of str to str
        Function of each output pin, a Python expression of the pins and of `M`, all ones.
    state : str
        Name of a flip-flop's state in its outputs' functions; empty for other cells.
    next_state : str
        Expression as above.
    clock : str
        Its clock pin, of which the rising edge counts.
    """

    inputs: dict[str, float]
    outputs: dict[str, str]
    state: str = ""
    next_state: str = ""
    clock: str = ""


@dataclass(frozen=True)
class Switching:
    """Energy of all runs and cycles together, fJ.

    Attributes
    ----------
    data : float
        Of all nets but the clock.
    clock : float
        Of the flip-flops' clock pins, two toggles a cycle.
    outputs : list of list of int
        In each cycle the bits of the port that was asked for, lowest first, as `slices` gives them.
    """

    data: float
    clock: float
    outputs: list


def _expression(function: str) -> str:
    """A Liberty function in Python: ``!``, ``'``, then ``^``, then ``&``, ``*`` or a blank, then ``|``, ``+``."""
    tokens = [*re.findall(r"[A-Za-z_]\w*|[01()!'&*+|^]", function), ""]

    def either():
        text = both()
        while tokens[0] in ("|", "+"):
            tokens.pop(0)
            text = f"({text}|{both()})"
        return text

    def both():
        text = differ()
        while tokens[0] not in ("", ")", "|", "+"):
            if tokens[0] in ("&", "*"):
                tokens.pop(0)
            text = f"({text}&{differ()})"
        return text

    def differ():
        text = single()
        while tokens[0] == "^":
            tokens.pop(0)
            text = f"({text}^{single()})"
        return text

    def single():
        token = tokens.pop(0)
        if token == "!":
            return f"(M^{single()})"
        if token == "(":
            text = either()
            tokens.pop(0)
        else:
            text = {"0": "0", "1": "M"}.get(token, token)
        while tokens[0] == "'":
            tokens.pop(0)
            text = f"(M^{text})"
        return text

    return either()


def read_cells(text: str) -> dict[str, Cell]:
    """The cells of a Liberty file that are gates, or flip-flops of a rising edge without set and reset."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    unit = re.search(r"capacitive_load_unit\s*\(\s*([\d.]+)\s*,\s*\"?([fp])f", text, re.IGNORECASE)
    scale = float(unit[1]) * {"f": 1, "p": 1000}[unit[2].lower()] if unit else 1000
    cells = {}
    for name, body in _cells(text).items():
        flip_flop = re.search(r"\bff\s*\(\s*\"?(\w+)\"?\s*,\s*\"?(\w+)\"?\s*\)\s*\{([^}]*)\}", body)
        if re.search(r"\b(latch|statetable|ff_bank|latch_bank)\s*\(", body):
            continue
        pins = re.split(r'\bpin\s*\(\s*"?([^"()]+?)"?\s*\)\s*\{', body)
        inputs, outputs = {}, {}
        for pin, part in zip(pins[1::2], pins[2::2], strict=True):
            function = re.search(r'\bfunction\s*:\s*"([^"]*)"', part)
            capacitance = re.search(r"\bcapacitance\s*:\s*\"?([\d.eE+-]+)", part)
            if re.search(r'\bdirection\s*:\s*"?input', part):
                inputs[pin] = float(capacitance[1]) * scale if capacitance else 0.0
            elif function:
                outputs[pin] = _expression(function[1])
        if flip_flop is None:
            cells[name] = Cell(inputs, outputs)
            continue
        fields = dict(re.findall(r'(\w+)\s*:\s*"([^"]*)"', flip_flop[3]))
        if {"clear", "preset"} & fields.keys() or not fields["clocked_on"].isidentifier():
            continue
        state, inverse = flip_flop[1], flip_flop[2]
        outputs = {pin: re.sub(rf"\b{inverse}\b", f"(M^{state})", function) for pin, function in outputs.items()}
        cells[name] = Cell(inputs, outputs, state, _expression(fields["next_state"]), fields["clocked_on"])
    return cells


def map_netlist(design, path) -> dict:
    """Yosys' netlist of a design in the cells of a Liberty file, flat, as its JSON has it."""
    library, folder = read(path), caches.cache_dir("synth", "work")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        work = Path(work)
        (work / "core.v").write_text(design.verilog)
        (work / "cells.lib").write_text(library.text, encoding="utf-8")
        cells = " ".join(["-liberty cells.lib", *(f"-dont_use {name}" for name in library.reserved)])
        script = ["read_verilog core.v", f"synth -flatten -top {design.top}", f"dfflibmap {cells}", f"abc {cells}"]
        run_yosys([*script, "opt_clean -purge", "write_json netlist.json"], work, work / "log.txt")
        return json.loads((work / "netlist.json").read_text())["modules"][design.top]


class Netlist:
    """A flat netlist that can be run.

    Parameters
    ----------
    module : dict
        One module of Yosys' JSON.
    cells : dict of str to Cell

    Raises
    ------
    ValueError
        If it has a cell that is not among `cells`, or a loop of gates.
    """

    def __init__(self, module, cells):
        self.ports = {name: port["bits"] for name, port in module["ports"].items()}
        drivers, flip_flops = {}, []
        self.load, self.clock_load = {}, 0.0
        for instance in module["cells"].values():
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
                flip_flops.append((cell, at))
            else:
                drivers |= {at[pin]: (cell, at, text) for pin, text in cell.outputs.items() if pin in at}
        states = {net for cell, at in flip_flops for net in (at[pin] for pin in cell.outputs if pin in at)}
        sources = states | {net for name, bits in self.ports.items() for net in bits if net not in drivers}
        gates = [f"n[{net}]={_placed(text, at)}" for net, at, text in _ordered(drivers, sources)]
        edges = [f"s[{index}]={_placed(c.next_state, at, c.state, index)}" for index, (c, at) in enumerate(flip_flops)]
        loads = [
            f"n[{at[pin]}]={_placed(text, at, cell.state, index)}"
            for index, (cell, at) in enumerate(flip_flops)
            for pin, text in cell.outputs.items()
            if pin in at
        ]
        # Flip-flops first read what was there before the edge, all of them, then change.
        text = ["def step(n, s, M):", "    t = list(s)", *(f"    {line.replace('s[', 't[', 1)}" for line in edges)]
        text += ["    s[:] = t", "def settle(n, s, M):", *(f"    {line}" for line in (*loads, *gates)), "    return n"]
        scope = {}
        exec(compile("\n".join(text), "netlist", "exec"), scope)
        self._step, self._settle, self._states = scope["step"], scope["settle"], len(flip_flops)
        self._size = 1 + max([0, *(net for net in (*sources, *drivers) if isinstance(net, int))])

    def run(self, stimuli, runs, voltage, watch=None, warm_up=0):
        """Run it from a state of zeros.

        Parameters
        ----------
        stimuli : iterable of dict
            For each cycle the input ports' bits, as `slices` gives them; those that are missing keep their values.
        runs : int
            How many go side by side.
        voltage : float
            V.
        watch : str, optional
            Output port to give.
        warm_up : int
            Cycles whose toggles do not count.

        Returns
        -------
        Switching
        """
        mask = (1 << runs) - 1
        nets, states, toggles, counted, seen = [0] * self._size, [0] * self._states, [0] * self._size, 0, []
        self._settle(nets, states, mask)
        for cycle, ports in enumerate(stimuli):
            earlier = list(nets)
            # Inputs change after the edge, as the flip-flops do.
            self._step(nets, states, mask)
            for name, values in ports.items():
                for net, value in zip(self.ports[name], values, strict=True):
                    nets[net] = value
            self._settle(nets, states, mask)
            if watch:
                seen.append([nets[net] if isinstance(net, int) else mask * int(net) for net in self.ports[watch]])
            if cycle >= warm_up:
                counted += 1
                for net, (before, after) in enumerate(zip(earlier, nets, strict=True)):
                    if before != after:
                        toggles[net] += (before ^ after).bit_count()
        half = voltage**2 / 2
        data = half * sum(toggles[net] * load for net, load in self.load.items())
        return Switching(data, half * self.clock_load * 2 * counted * runs, seen)


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


def _placed(expression, at, state="", index=0):
    """An expression of pins as one of nets and states."""

    def name(match):
        word = match[0]
        if word == "M":
            return word
        if state and word == state:
            return f"s[{index}]"
        net = at.get(word, "0")
        return f"n[{net}]" if isinstance(net, int) else {"1": "M"}.get(net, "0")

    return re.sub(r"[A-Za-z_]\w*", name, expression)


def slices(values, width):
    """Bits of one value for each run, lowest first: integers with a bit for each run."""
    bits = (np.asarray(values).astype(np.int64)[None] >> np.arange(width)[:, None]) & 1
    packed = np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def merge(words, runs):
    """The values of `slices`, unsigned."""
    octets = [np.frombuffer(word.to_bytes(-(-runs // 8), "little"), np.uint8) for word in words]
    bits = np.unpackbits(np.array(octets), axis=1, count=runs, bitorder="little").astype(np.int64)
    return (bits << np.arange(len(words))[:, None]).sum(axis=0)


def switching(design, path, stimuli, runs, watch=None, warm_up=0):
    """`Netlist.run` of a design in the cells of a Liberty file, at the file's voltage."""
    library = read(path)
    voltage = re.search(r"\boperating_conditions\b[^}]*?\bvoltage\s*:\s*([\d.]+)", library.text)
    if voltage is None:
        raise ValueError(f"{path} must name operating conditions with a voltage")
    netlist = Netlist(map_netlist(design, path), read_cells(library.text))
    return netlist.run(stimuli, runs, float(voltage[1]), watch, warm_up)
