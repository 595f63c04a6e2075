"""The cores of the catalogue: `list`, `info`, `generate`."""

import sys
from pathlib import Path

import click

from ..cores import catalogue
from ..cores.entries import ENTRIES
from ..tools import caches
from ..tools.files import atomic_write
from . import options
from .output import check_writable, counted, print_json, table
from .progress import bar


@options.command("list", "bitloom list")
@options.json_flag
def list_cores(as_json):
    """List the cores."""
    if as_json:
        print_json([{"name": core.name, "summary": core.summary, "paper": core.paper} for core in ENTRIES])
    else:
        table(["core", "what it does", "paper"], [[core.name, core.summary, core.paper] for core in ENTRIES])


def _core_or_program(context, parameter, name):
    """A core, or the file of a program of the machine."""
    return Path(name) if name.endswith(".npz") else catalogue.lookup(name)


@options.command("info", "bitloom info ovp-decoder")
@click.argument("core", metavar="CORE", callback=_core_or_program)
@options.parameters
@options.interface
@options.json_flag
@click.option("--html", "as_html", is_flag=True, help="Make the data sheet, one HTML file, and open it.")
@click.option("-o", "--output", type=options.OUTPUT, metavar="F", help="Data sheet, with --html; - is standard output.")
def info(core, parameters, interface, as_json, as_html, output):
    """Show a core's parameters, ports, the bits of its payloads, latency and origin.

    CORE is the name of a core, or a file of `bitloom compile`, whose jobs are listed.
    """
    if isinstance(core, Path):
        return _program(core, parameters or as_json or as_html or output)
    from ..cores import generate
    from ..cores.config import to_text

    config = core.config.parse(parameters)
    if as_html and as_json:
        raise click.UsageError("--html and --json are two forms of the same: give one of them")
    if as_html:
        return _data_sheet(core, config, interface, output)
    if output:
        raise click.UsageError("-o is the file of the data sheet: give --html too")
    if as_json:
        design = generate.generate(core, config, interface)
        print_json({**design.manifest, "config": core.config.describe(), "doc": core.component.__doc__})
        return
    click.echo(f"{core.name}: {core.summary}\n{core.paper}\n")
    values = config.shown()
    columns = ["parameter", "value", "default", "allowed", "what it is"]
    rows = [[p["name"], values[p["name"]], p["default"], p["allowed"], p["doc"]] for p in core.config.describe()]
    table(columns, [[name, value, to_text(default), *rest] for name, value, default, *rest in rows])
    click.echo()
    pins = generate.pinout(core, config, interface)
    table(["port", "direction", "bits"], [[port.name, port.direction, port.width] for port in pins.ports])
    click.echo("\n" + "\n".join(pins.text))
    latency, interval = core.latency(config), core.interval(config)
    click.echo(f"\nlatency {_cycles(latency)}, initiation interval {_cycles(interval)}")


def _program(path, options_given):
    """List the jobs of a program of the machine."""
    if options_given:
        raise click.UsageError(f"{path} is a program of the machine: no option is for it")
    from .machine import disassemble

    disassemble(path)


def _data_sheet(core, config, interface, output):
    """Write a core's data sheet; without a file of its own it is opened, too, where there is a person to see it."""
    from ..cores import generate
    from ..cores.sheet import page

    path = output or caches.cache_dir("sheets") / f"{generate.default_name(core, config, interface)}.html"
    check_writable(path)
    atomic_write(path, page.html(core, config, interface))
    click.echo(f"wrote {path}")
    if not output and sys.stdout.isatty():
        click.launch(str(path))


def _cycles(count):
    return counted(count, "cycle")


@options.command("generate", "bitloom generate ovp-decoder -p normal=flint4 -p pairs=4 -o out/decoder.v")
@options.core
@options.parameters
@options.interface
@click.option("--name", metavar="NAME", help="Of the top module; inner modules are called NAME__...")
@click.option(
    "-o", "--output", type=options.OUTPUT, metavar="F", help="Verilog file, else NAME.v; - is standard output."
)
def generate_verilog(core, parameters, interface, name, output):
    """Write a core's Verilog, a JSON manifest and a FuseSoC description.

    Without --name the name tells what differs from the core's default, so that several cores, and several
    configurations of one, can be in one design.
    """
    from ..cores import generate

    config = core.config.parse(parameters)
    output = output or Path(f"{name or generate.default_name(core, config, interface)}.v")
    check_writable(*generate.files(output))
    with bar(f"generating {core.name}"):
        design = generate.generate(core, config, interface, name)
    for path in generate.write(design, output):
        click.echo(f"wrote {path}")
