"""A harness of four pins around any design, so that its width never meets the pins of a part.

A shift register feeds every input bit. Every output bit is caught in a register, and the caught bits are folded, three
at a time, into a second shift register that ends at the output pin: each of them decides what leaves there, so nothing
of the design can be removed. Both registers and a register for the reset stand at the border, so a measured path
begins and ends at a register inside the harness at the latest. The fold is one 4-input function between registers.
"""

import re

__all__ = ["CAUGHT", "FED", "PINS", "RESET", "harness"]

PINS = ("clk", "rst", "si", "so")
"""Pins of the harness: clock, reset, serial in, serial out."""

FED, CAUGHT, RESET, FOLD = "fed", "caught", "reset_q", "fold"
"""Registers of the harness, by name: those that feed the inputs, catch the outputs, hold the reset, fold."""

_FOLDED = 3


def _escape(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name) else f"\\{name} "


def _slices(ports) -> tuple[list[tuple[str, str]], int]:
    """Pairs of port name and bit range, one after another from bit 0, and the number of bits."""
    slices, at = [], 0
    for port in ports:
        slices.append((port.name, f"[{at + port.width - 1}:{at}]"))
        at += port.width
    return slices, at


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
    data = [port for port in design.ports if port.name not in (design.clock, design.reset) and port.width]
    fed, width_in = _slices([port for port in data if port.direction == "input"])
    caught, width_out = _slices([port for port in data if port.direction == "output"])
    if not width_out:
        raise ValueError(f"{design.name} has no output, there is nothing to measure")
    present = {port.name for port in design.ports}
    pins = [(port, signal) for port, signal in ((design.clock, "clk"), (design.reset, RESET)) if port in present]
    pins += [(port, FED + bits) for port, bits in fed] + [(port, "result" + bits) for port, bits in caught]
    connections = ",\n".join(f"    .{_escape(port)}({signal})" for port, signal in pins)
    stages = -(-width_out // _FOLDED)
    folds = []
    for stage in range(stages):
        terms = [f"{FOLD}[{stage - 1}]"] if stage else [f"{FED}[{width_in - 1}]" if width_in else "si"]
        terms += [f"{CAUGHT}[{bit}]" for bit in range(stage * _FOLDED, min((stage + 1) * _FOLDED, width_out))]
        folds.append(f"    {FOLD}[{stage}] <= {' ^ '.join(terms)};")
    lines = [
        f"module {_escape(name)}(input clk, input rst, input si, output so);",
        f"  reg {RESET};",
        *([f"  reg [{width_in - 1}:0] {FED};"] if width_in else []),
        f"  wire [{width_out - 1}:0] result;",
        f"  reg [{width_out - 1}:0] {CAUGHT};",
        f"  reg [{stages - 1}:0] {FOLD};",
        f"  assign so = {FOLD}[{stages - 1}];",
        "  always @(posedge clk) begin",
        f"    {RESET} <= rst;",
        *([f"    {FED} <= {{{FED}, si}};"] if width_in else []),
        f"    {CAUGHT} <= result;",
        *folds,
        "  end",
        f"  {_escape(design.top)} core (",
        connections,
        "  );",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"
