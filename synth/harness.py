"""A harness of four pins around any design, so that its width never meets the pins of a part.

A shift register feeds every input bit. Every output bit is caught in a register, and the caught bits are folded, three
at a time, into a second shift register that ends at the output pin: each of them decides what leaves there, so nothing
of the design can be removed. Both registers and a register for the reset stand at the border, so a measured path
begins and ends at a register inside the harness at the latest. The fold is one 4-input function between registers.

Both shift registers are cut into rows, and only the ends of the rows form a chain: Yosys recurses along chains.
"""

import re

__all__ = ["PINS", "borders", "harness"]

PINS = ("clk", "rst", "si", "so")
"""Pins of the harness: clock, reset, serial in, serial out."""

FED, CAUGHT, RESET = "fed", "caught", "reset_q"
"""Registers of the harness, by name: those that feed the inputs, catch the outputs, hold the reset."""

_FOLDED = 3
_ROW = 64


def _escape(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name) else f"\\{name} "


def _slices(ports) -> tuple[list[tuple[str, int, int]], int]:
    """Name, lowest bit and width of every port, one after another from bit 0, and the number of bits."""
    slices, at = [], 0
    for port in ports:
        if port.width:
            slices.append((port.name, at, port.width))
            at += port.width
    return slices, at


def _split(design):
    """Slices of the inputs and of the outputs, clock and reset left out, and their widths."""
    data = [port for port in design.ports if port.name not in (design.clock, design.reset)]
    fed, width_in = _slices([port for port in data if port.direction == "input"])
    caught, width_out = _slices([port for port in data if port.direction == "output"])
    return fed, width_in, caught, width_out


def borders(design) -> dict[str, str]:
    """What the harness' registers at the border stand for.

    Parameters
    ----------
    design : Design

    Returns
    -------
    dict of str to str
        ``fed[3]`` to ``i__payload[1] (input)``, and so on.
    """
    fed, width_in, caught, width_out = _split(design)
    known = {RESET: f"{design.reset} (reset)"}
    for register, width, slices, side in ((FED, width_in, fed, "input"), (CAUGHT, width_out, caught, "output")):
        for port, low, size in slices:
            for bit in range(size):
                name = f"{register}[{low + bit}]" if width > 1 else register
                known[name] = (port if size == 1 else f"{port}[{bit}]") + f" ({side})"
    return known


def harness(design, name: str) -> str:
    """Write the harness.

    Parameters
    ----------
    design : Design
        Its `top`, `ports`, `clock` and `reset` are read; a clock or reset that is not among the ports is left out.
    name : str
        Name of the harness module.

    Returns
    -------
    str
        Verilog of one module with the pins `PINS`, without the design itself.

    Raises
    ------
    ValueError
        The design has no output.
    """
    fed, width_in, caught, width_out = _split(design)
    if not width_out:
        raise ValueError(f"{design.name} has no output, there is nothing to measure")
    present = {port.name for port in design.ports}
    pins = [(port, signal) for port, signal in ((design.clock, "clk"), (design.reset, RESET)) if port in present]
    for vector, slices in ((FED, fed), ("result", caught)):
        pins += [(port, f"{vector}[{low + size - 1}:{low}]") for port, low, size in slices]
    connections = ",\n".join(f"    .{_escape(port)}({signal})" for port, signal in pins)
    shifts = []
    for bit in range(width_in):
        if bit % _ROW:
            shifts.append(f"    {FED}[{bit}] <= {FED}[{bit - 1}];")
        else:
            # Inverted, because the row before goes on from the same register: equal ones would be merged.
            shifts.append(f"    {FED}[{bit}] <= {f'~{FED}[{bit - _ROW}]' if bit else 'si'};")
    stages = -(-width_out // _FOLDED)
    folds, row = [], f"{FED}[{width_in - 1}]" if width_in else "si"
    for stage in range(stages):
        terms = [f"fold[{stage - 1}]"] if stage % _ROW else []
        terms += [f"{CAUGHT}[{bit}]" for bit in range(stage * _FOLDED, min((stage + 1) * _FOLDED, width_out))]
        folds.append(f"    fold[{stage}] <= {' ^ '.join(terms)};")
        if stage % _ROW == _ROW - 1 or stage == stages - 1:
            folds.append(f"    rows[{stage // _ROW}] <= {row} ^ fold[{stage}];")
            row = f"rows[{stage // _ROW}]"
    lines = [
        f"module {_escape(name)}(input clk, input rst, input si, output so);",
        f"  reg {RESET};",
        *([f"  reg [{width_in - 1}:0] {FED};"] if width_in else []),
        f"  wire [{width_out - 1}:0] result;",
        f"  reg [{width_out - 1}:0] {CAUGHT};",
        f"  reg [{stages - 1}:0] fold;",
        f"  reg [{(stages - 1) // _ROW}:0] rows;",
        f"  assign so = {row};",
        "  always @(posedge clk) begin",
        f"    {RESET} <= rst;",
        *shifts,
        f"    {CAUGHT} <= result;",
        *folds,
        "  end",
        f"  {_escape(design.top)} core (",
        connections,
        "  );",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"
