"""What a synthesis run found, as data, as plain lines and as a table.

The counts are those of the core alone: Yosys' netlist, flattened, without the harness. Fmax is that of the core inside
the harness after place and route, out of context: no pins, no neighbours. Both are estimates of open tools, not
measurements of a board.
"""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["Area", "Hop", "Path", "Report", "Use", "lines", "table"]


@dataclass(frozen=True)
class Use:
    """Use of one kind of resource; `available` is None where it cannot run out by itself."""

    name: str
    used: int
    available: int | None


@dataclass(frozen=True)
class Hop:
    """One step of a path: `kind` is ``"clk-to-q"``, ``"routing"``, ``"logic"`` or ``"setup"``.

    `through` is the net for routing, else the type of the cell and its ports.
    """

    kind: str
    through: str
    ns: float


@dataclass(frozen=True)
class Path:
    """The longest path from register to register."""

    start: str
    end: str
    logic_ns: float
    routing_ns: float
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class Area:
    """ASIC area in the library's unit, and in areas of its smallest 2-input NAND."""

    library: str
    area: float
    cells: int
    flip_flops: int
    nand2: str
    nand2_area: float
    nand2_equivalents: float


@dataclass(frozen=True)
class Report:
    """What one run found.

    Attributes
    ----------
    design : str
        The core.
    target : str
        Name of the part as the option `--target` takes it, or of the Liberty library.
    part : str
        What the vendor calls the part; empty for a Liberty library.
    uses : tuple of Use
        Resources of the core alone; empty for a Liberty library.
    fmax_mhz : float or None
        Of the core in the harness, after place and route.
    freq_mhz : float or None
        The frequency that was asked for.
    path : Path or None
        The longest path.
    area : Area or None
        Of a Liberty library.
    cells : dict of str to int
        Cells of the core by type.
    tools : dict of str to str
        Versions of the tools that estimated all this.
    seed : int or None
        Seed of place and route.
    notes : tuple of str
        What has to be known before a number is quoted.
    """

    design: str
    target: str
    part: str
    uses: tuple[Use, ...]
    fmax_mhz: float | None
    freq_mhz: float | None
    path: Path | None
    area: Area | None
    cells: dict[str, int]
    tools: dict[str, str]
    seed: int | None
    notes: tuple[str, ...]

    @property
    def met(self) -> bool | None:
        """Whether Fmax reaches the frequency that was asked for; None when none was asked for."""
        return None if self.freq_mhz is None or self.fmax_mhz is None else self.fmax_mhz >= self.freq_mhz

    @property
    def wording(self) -> str:
        """How to quote a number of this report."""
        tools = " / ".join(f"{'Yosys' if name == 'yosys' else name} {version}" for name, version in self.tools.items())
        seed = "" if self.seed is None else f", seed {self.seed}, out of context"
        return f"estimate of {tools}{seed}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it, `met` and `wording` included."""
        return {**asdict(self), "met": self.met, "wording": self.wording}


def _amount(number: float) -> str:
    return f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"


def _is_carry(hop: Hop) -> bool:
    return hop.kind == "logic" and hop.through.split()[1] in ("CIN", "FCI")


def _merged(path: Path) -> list[tuple[str, float]]:
    """The hops for people: one line for each cell and for each wire, but one for a whole stretch of a carry chain."""
    merged: list[tuple[str, float]] = []
    hops = list(path.hops)
    while hops:
        length, links = 0, 0
        # Links alternate with the wires between them.
        while len(hops) > length and _is_carry(hops[length]):
            links += 1
            length += 2
        if links > 1:
            stretch, hops = hops[: length - 1], hops[length - 1 :]
            merged.append((f"carry chain of {links}", sum(hop.ns for hop in stretch)))
            continue
        hop = hops.pop(0)
        if hop.ns or hop.kind != "routing":
            merged.append((f"{hop.kind} {hop.through}", hop.ns))
    return merged


def _verdict(report: Report) -> str:
    said = f"{report.fmax_mhz:.1f} MHz"
    if report.freq_mhz is None:
        return said
    return f"{said}, {report.freq_mhz:g} MHz {'met' if report.met else 'missed'}"


def lines(report: Report) -> list[str]:
    """The report as plain lines, for a pipe.

    Parameters
    ----------
    report : Report

    Returns
    -------
    list of str
    """
    said = [f"{report.design} on {report.target}" + (f" ({report.part})" if report.part else "")]
    for use in report.uses:
        if use.used or use.available:
            said.append(f"{use.name}: {_amount(use.used)}" + (f" of {_amount(use.available)}" if use.available else ""))
    if report.area:
        area = report.area
        said.append(f"area: {_amount(area.area)} (the library's unit)")
        said.append(f"NAND2 equivalents: {_amount(area.nand2_equivalents)} ({area.nand2}, {area.nand2_area:g})")
        said.append(f"cells: {_amount(area.cells)}, of them flip-flops: {_amount(area.flip_flops)}")
    if report.fmax_mhz is not None:
        said.append(f"Fmax: {_verdict(report)}")
    if report.path:
        path = report.path
        said.append(f"longest path: {path.start} to {path.end}")
        said.append(f"  logic {path.logic_ns:.2f} ns, routing {path.routing_ns:.2f} ns")
        said += [f"  {ns:6.2f} ns  {step}" for step, ns in _merged(path)]
    said.append(report.wording)
    return said + [f"note: {note}" for note in report.notes]


def table(report: Report) -> Group:
    """The report as tables, for a terminal.

    Parameters
    ----------
    report : Report

    Returns
    -------
    rich.console.Group
    """
    # As Text, so that nothing in it is taken for markup: a library may have any name.
    title = Text(f"{report.design} on {report.target}" + (f", {report.part}" if report.part else ""), "table.title")
    parts: list[RenderableType] = []
    if report.uses:
        uses = Table(title=title)
        uses.add_column("resource")
        uses.add_column("used", justify="right")
        uses.add_column("available", justify="right")
        uses.add_column("%", justify="right")
        for use in report.uses:
            if use.used or use.available:
                share = f"{100 * use.used / use.available:.1f}" if use.available else ""
                uses.add_row(Text(use.name), _amount(use.used), _amount(use.available) if use.available else "", share)
        parts.append(uses)
    if report.area:
        area = Table(title=title, show_header=False)
        area.add_column()
        area.add_column(justify="right")
        area.add_row("area, the library's unit", _amount(report.area.area))
        area.add_row(Text(f"NAND2 equivalents ({report.area.nand2})"), _amount(report.area.nand2_equivalents))
        area.add_row("cells", _amount(report.area.cells))
        area.add_row("of them flip-flops", _amount(report.area.flip_flops))
        parts.append(area)
    if report.fmax_mhz is not None:
        style = {None: "bold", True: "bold green", False: "bold red"}[report.met]
        parts.append(Text.assemble("Fmax ", (_verdict(report), style)))
    if report.path:
        path = report.path
        hops = Table(title=Text(f"longest path: {path.start} to {path.end}", "table.title"))
        hops.add_column("ns", justify="right")
        hops.add_column("through", overflow="fold")
        for step, ns in _merged(path):
            hops.add_row(f"{ns:.2f}", Text(step))
        hops.add_section()
        hops.add_row(f"{path.logic_ns:.2f}", "logic")
        hops.add_row(f"{path.routing_ns:.2f}", "routing")
        parts.append(hops)
    parts.append(Text(report.wording, style="dim"))
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    return Group(*parts)
