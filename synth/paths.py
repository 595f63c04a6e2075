"""The longest path of a placed design, in the names of the Verilog."""

import re
from collections.abc import Callable

from .harness import borders
from .report import Hop, Path

__all__ = ["longest_path", "read_path"]

# Cells that put away a value at the end of a path, and the port on which it appears.
_REGISTER = re.compile(r"(ICESTORM_LC|TRELLIS_FF|DFF\w*)")
_REGISTER_OUTPUTS = ("O", "Q")

# Names that Yosys makes up: `write_verilog` numbers what has none, `autoname` appends the type and the port of a cell
# to the name of a net.
_MADE_UP = re.compile(
    r"\$|\b_\d+_|_(SB_\w+?|TRELLIS_\w+?|LUT\d|CCU2C|PFUMX|L6MUX21|DFF\w*?|ALU|MUX2_\w+?|MULT\w+?)_[A-Z]"
)


def read_path(report: dict, placed: dict) -> dict:
    """The longest path from register to register, in nextpnr's names.

    Parameters
    ----------
    report : dict
        nextpnr's report; at least one path in it runs from register to register.
    placed : dict
        The module that nextpnr wrote.

    Returns
    -------
    dict
        ``start`` and ``end``, the nets at the two ends, and ``hops``, each with ``kind``, ``through`` and ``ns``.
    """
    paths = [path["path"] for path in report["critical_paths"] if "<async>" not in (path["from"], path["to"])]
    longest = max(paths, key=lambda path: sum(hop["delay"] for hop in path))
    nets = {bit: name for name, bit in _bits(placed).items()}
    hops = []
    for hop in longest:
        source, sink = hop["from"], hop["to"]
        if hop["type"] == "routing":
            through = hop["net"]
        else:
            kind = placed["cells"][sink["cell"]]["type"]
            ports = source["port"] if source["port"] == sink["port"] else f"{source['port']} to {sink['port']}"
            through = f"{kind} {ports}"
        hops.append({"kind": hop["type"], "through": through, "ns": hop["delay"]})
    return {
        "start": _signal(placed, nets, longest[0]["from"]),
        "end": _signal(placed, nets, longest[-1]["to"]),
        "hops": hops,
    }


def _bits(module: dict) -> dict[str, int]:
    """Bit number of every net by name, vectors bit by bit."""
    bits = {}
    for name, net in module["netnames"].items():
        for index, bit in enumerate(net["bits"]):
            if not isinstance(bit, str):
                bits[name if len(net["bits"]) == 1 else f"{name}[{index + net.get('offset', 0)}]"] = bit
    return bits


def _signal(placed: dict, nets: dict[int, str], at: dict) -> str:
    """The net that a register drives, else the name of the cell and the port."""
    cell = placed["cells"][at["cell"]]
    ports = _REGISTER_OUTPUTS if _REGISTER.fullmatch(cell["type"]) else (at["port"],)
    for port in ports:
        for bit in cell["connections"].get(port, []):
            if cell["port_directions"][port] == "output" and bit in nets:
                return nets[bit]
    return f"{at['cell']} ({cell['type']} {at['port']})"


def _namer(module: dict, design) -> Callable[[str], str]:
    """A function that gives a net or cell of the placed design the best name that the Verilog has for it."""
    bits = _bits(module)
    names: dict[int, list[str]] = {}
    for name, bit in bits.items():
        names.setdefault(bit, []).append(name)
    known = borders(design)

    def name(net: str) -> str:
        others = [*names.get(bits.get(net, -1), []), net]
        for other in others:
            if other in known:
                return known[other]
        best = min(
            others,
            key=lambda n: (bool(_MADE_UP.search(n)), not n.startswith("core."), n.count("."), len(n), n),
        )
        if best in bits and not best.startswith("core."):
            return f"harness {best}"
        return best.removeprefix("core.")

    return name


def longest_path(path: dict, module: dict, design) -> Path:
    """The path in the names of the design.

    Parameters
    ----------
    found : dict
        What `read_path` gave.
    module : dict
        Core and harness before place and route: Yosys' netlist knows all the names of a net.
    design : Design
        The core.

    Returns
    -------
    Path
    """
    name = _namer(module, design)
    hops = tuple(
        Hop(hop["kind"], name(hop["through"]) if hop["kind"] == "routing" else hop["through"], round(hop["ns"], 4))
        for hop in path["hops"]
    )
    routing = sum(hop.ns for hop in hops if hop.kind == "routing")
    logic = sum(hop.ns for hop in hops if hop.kind != "routing")
    return Path(name(path["start"]), name(path["end"]), round(logic, 3), round(routing, 3), hops)
