"""Cells of a Liberty file as switching energy sees them: capacitances of pins, and functions."""

import functools
import re
from dataclasses import dataclass

from ..liberty import _cells

__all__ = ["Cell", "read_cells", "voltage"]


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
            text = {"0": "(M^M)", "1": "M"}.get(token, token)
        while tokens[0] == "'":
            tokens.pop(0)
            text = f"(M^{text})"
        return text

    return either()


def voltage(library) -> float:
    """Voltage of a library's operating conditions, V.

    Parameters
    ----------
    library : Library

    Raises
    ------
    ValueError
        It names none.
    """
    conditions = re.search(r"\boperating_conditions\b[^}]*?\bvoltage\s*:\s*([\d.]+)", library.text)
    if conditions is None:
        raise ValueError(f"{library.path} must name operating conditions with a voltage")
    return float(conditions[1])


@functools.lru_cache(maxsize=1)
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
