"""From a catalogue entry and its configuration to Verilog, a manifest and a FuseSoC description."""

import functools
import hashlib
import importlib.metadata
import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from .. import __version__
from ..golden import strict_json
from ..hdl.emission import identifiers
from ..hdl.emission.private import PortDirection, unwarned
from ..hdl.emission.verilog import emit, signature_ports
from ..hdl.primitives import guard
from ..hdl.stream.axis import AxisWrapper
from ..tools import finding
from ..tools.files import atomic_write, check_writable, is_plain
from . import interface as describing
from .styles import INTERFACES

__all__ = ["INTERFACES", "Design", "Pinout", "Port", "bare", "default_name", "files", "generate", "pinout", "write"]

#: Most characters of parameters in a default name.
_TOLD = 48


@dataclass(frozen=True)
class Port:
    """One port of the Verilog: its name, `input` or `output`, and its width in bits."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Design:
    """Generated Verilog and what there is to know about it.

    Attributes
    ----------
    name : str
        The core's name in the catalogue.
    top : str
        Name of the top module.
    verilog : str
        The complete text.
    ports : tuple of Port
        Of the top module, clock and reset included.
    clock, reset : str
        Names of the clock and of the synchronous reset.
    reset_active_low : bool
        Polarity of the reset.
    manifest : dict
        What goes into the JSON file beside the Verilog.
    """

    name: str
    top: str
    verilog: str
    ports: tuple[Port, ...]
    clock: str
    reset: str
    reset_active_low: bool
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Pinout:
    """The ports of a core, and what each one carries.

    Attributes
    ----------
    component : wiring.Component
        The core, in the wrapper that gives its ports their names.
    ports : tuple of Port
        Clock and reset first.
    clock, reset : str
        Names of the clock and of the synchronous reset.
    streams, signals : list of dict
        From `cores.interface`.
    """

    component: "wiring.Component[Any]"
    ports: tuple[Port, ...]
    clock: str
    reset: str
    streams: list[dict[str, Any]]
    signals: list[dict[str, Any]]

    @property
    def text(self):
        """Lines that say what each stream and each other port has."""
        return describing.text(self.streams, self.signals, self.clock)


@functools.lru_cache(maxsize=4)
def generate(core, config, interface="stream", name=None):
    """Generate the Verilog of a core.

    The same request gives the same bytes on any machine; one that comes again, the same design. Every module's name is
    that of the top module, or begins with it and two underscores; so designs with different names can be in one design
    together.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    interface : str
        One of `INTERFACES`.
    name : str, optional
        Of the top module; by default `default_name`.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        For an unknown interface; for a name that `identifiers.check` refuses or that something inside has.
    """
    default = default_name(core, config, interface)
    top = default if name is None else name
    identifiers.check(top)
    pins = pinout(core, config, interface)
    command = shlex.join(_command(core, config, interface, [] if top == default else ["--name", top]))
    module = emit(pins.component, top)
    if identifiers.is_used(top, module):
        raise ValueError(f"name must not be that of anything inside the core, as {top!r} is")
    template = describing.template(top, pins.ports)
    warning = guard(module).warning
    header = _header(core, config, command, top, pins.text, template) + (f"// {warning}\n" if warning else "")
    verilog = header + module
    manifest = {
        "core": core.name,
        "summary": core.summary,
        "paper": core.paper,
        "top": top,
        "command": command,
        "interface": interface,
        "parameters": config.to_dict(),
        "ports": [{"name": p.name, "direction": p.direction, "width": p.width} for p in pins.ports],
        "streams": pins.streams,
        "signals": pins.signals,
        "template": template,
        "clock": pins.clock,
        "reset": {"name": pins.reset, "active": "low" if interface == "axis" else "high", "synchronous": True},
        "latency": core.latency(config),
        "initiation_interval": core.interval(config),
        "modules": sum(line.startswith("module ") for line in verilog.splitlines()),
        "tools": {
            "bitloom": __version__,
            "amaranth": importlib.metadata.version("amaranth"),
            "yosys": finding.find("yosys").version,
        },
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }
    return Design(core.name, top, verilog, pins.ports, pins.clock, pins.reset, interface == "axis", manifest)


def pinout(core, config, interface="stream"):
    """A core's component and its ports, for which no Verilog is written.

    Parameters as of `generate`.

    Returns
    -------
    Pinout
    """
    inner = component = unwarned(core.component(config))
    clock, reset = "clk", "rst"
    if interface == "axis":
        component, clock, reset = unwarned(AxisWrapper(inner)), "aclk", "aresetn"
    ports = _ports(component)
    widths = {port.name: port.width for port in ports}
    streams = describing.streams(inner, config, interface, widths)
    return Pinout(component, ports, clock, reset, streams, describing.signals(inner, widths))


def default_name(core, config, interface="stream"):
    """Name of a core's top module if the user gives none: one for each configuration and interface.

    It tells what differs from the default, as `ovp_decoder_pairs_4_axis`, or a digest of that where it is long.

    Raises
    ------
    ValueError
        For an unknown interface.
    """
    if interface not in INTERFACES:
        raise ValueError(f"interface must be one of {', '.join(INTERFACES)}, not {interface!r}")
    style = [] if interface == "stream" else [interface]
    told = " ".join(config.assignments())
    if len(told) > _TOLD:
        told = hashlib.sha256(told.encode()).hexdigest()[:8]
    return "_".join(re.findall("[A-Za-z0-9]+", " ".join([core.name, told, *style])))


def bare(component, name):
    """The design of a component that is in no catalogue: its Verilog and its ports, without header and manifest.

    Parameters
    ----------
    component : wiring.Component
    name : str
        Of the top module.

    Returns
    -------
    Design
    """
    return Design(name, name, emit(component, name), _ports(component), "clk", "rst", False, {})


def _ports(component):
    """Ports of a component's Verilog, which need not be written for that: a tuple of `Port`, clock and reset first."""
    members = signature_ports(component)
    # An AXI4-Stream wrapper has its clock and its reset among its ports.
    given = {} if "aclk" in members else {"clk": ("input", 1), "rst": ("input", 1)}
    for name, (value, direction) in members.items():
        given[name] = ("input" if direction is PortDirection.Input else "output", len(value))
    return tuple(Port(name, *rest) for name, rest in given.items())


def files(path):
    """The files that `write` writes.

    Parameters
    ----------
    path : path-like
        Of the Verilog.

    Returns
    -------
    list of Path
        The Verilog; beside a plain file also the manifest and the FuseSoC description, which have its name without
        `.v`, and the endings `.json` and `.core`.

    Raises
    ------
    ValueError
        If the Verilog's name is that of another one's manifest or description.
    """
    path = Path(path)
    if path.suffix in (".json", ".core"):
        raise ValueError(
            f"the Verilog file {str(path)!r} must not end in {path.suffix}: that file is written beside it"
        )
    if not is_plain(path):
        return [path]
    # Not always the stem: a name may end in a version, such as dec_v1.0.
    own = path.stem if path.suffix == ".v" else path.name
    return [path, *(path.with_name(own + ending) for ending in (".json", ".core"))]


def write(design, path):
    """Write the Verilog and what belongs beside it.

    Parameters
    ----------
    design : Design
        What `generate` gave.
    path : path-like
        Of the Verilog; missing folders are made.

    Returns
    -------
    list of Path
        The files written, as `files` has them: all of them, or none if one could not be.
    """
    written = files(path)
    texts = (design.verilog, strict_json.dumps(design.manifest, indent=2) + "\n", _fusesoc(design, Path(path).name))
    for target in written:
        check_writable(target)
    for target, text in zip(written, texts, strict=False):
        atomic_write(target, text)
    return written


def _header(core, config, command, top, pins, template):
    """The comment at the top of the Verilog."""
    parameters = " ".join(config.assignments(all_fields=True))
    lines = [f"{top}: {core.summary}", f"bitloom {__version__}, generated by:", f"  {command}", "with the parameters"]
    lines += textwrap.wrap(parameters, 112, initial_indent="  ", subsequent_indent="  ")
    lines += ["", *pins, "", "An instance:", *(f"  {line}" for line in template.splitlines())]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + "\n"


def _command(core, config, interface, name):
    parameters = [word for assignment in config.assignments() for word in ("-p", assignment)]
    style = [] if interface == "stream" else ["--interface", interface]
    return ["bitloom", "generate", core.name, *parameters, *style, *name]


def _fusesoc(design, verilog_name):
    """A FuseSoC core description, CAPI version 2."""
    return f"""CAPI=2:
name: bitloom:cores:{design.top}:{__version__}
description: {strict_json.dumps(design.manifest["summary"])}
filesets:
  rtl:
    files:
      - {strict_json.dumps(verilog_name)}
    file_type: verilogSource
targets:
  default:
    filesets: [rtl]
    toplevel: {design.top}
"""
