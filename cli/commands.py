"""The command line: parses, calls, prints. What it does is done elsewhere."""

import contextlib
import json
import os
import secrets
import shlex
import signal
import sys
import time
from pathlib import Path

import click
from rich.table import Table

from .. import __version__
from ..cores import catalogue, generate
from ..golden import strict_json
from ..tools import external
from ..tools.files import STANDARD_OUTPUT, descriptor, is_plain
from ..tools.missing import sentence
from . import terminal
from .parameters import Real, Whole
from .progress import bar as _bar
from .progress import stages as _stages

# Only what every command needs is imported above: `bitloom list` must not wait for plots and simulators.

#: Exit status of a check that failed: a mismatch, timing not met, a tool missing from `doctor`.
FAILED = 1
#: Exit status of a wrong request.
WRONG = 2
INTERRUPTED = 130


def main():
    """Entry point: run a command, turn every expected error into one line and an exit status."""
    # A terminated bitloom ends its tools as an interrupted one does.
    # Not by way of SIGINT: a shell script's background commands ignore that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    terminal.adapt()
    if os.environ.get("BITLOOM_TRACEBACK"):
        sys.exit(bitloom.main(prog_name="bitloom", standalone_mode=False))
    try:
        status = bitloom.main(prog_name="bitloom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = WRONG
    except click.ClickException as error:
        hint = f" (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else ""
        _complain(f"{error.format_message()}{hint}")
        status = WRONG
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`bitloom list | head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    except external.ToolFailed as error:
        _complain(error)
        status = FAILED
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
        status = WRONG
    except ValueError as error:
        _complain(error)
        status = WRONG
    except ImportError as error:
        said = sentence(error)
        if said is None:
            raise
        _complain(said)
        status = WRONG
    sys.exit(status or 0)


def _complain(message):
    click.echo("bitloom: " + terminal.printable(" ".join(str(message).split())), err=True)


# -- output ----------------------------------------------------------------------------------------------------------


def _table(columns, rows, title=None):
    """A table with rules on a terminal, aligned plain columns when piped."""
    rows = [[_text(cell) for cell in row] for row in rows]
    title = title and "\n".join(map(terminal.printable, title.split("\n")))
    console = terminal.console()
    if console.is_terminal:
        table = Table(title=title, title_justify="left", header_style="bold")
        numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(columns))]
        for name, right in zip(columns, numeric, strict=True):
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    if title:
        click.echo(title)
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _text(cell):
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else terminal.printable(str(cell))


def _decibels(ratio, form=".2f"):
    """A ratio in a table; to no noise there is none."""
    return "exact" if ratio is None else f"{ratio:{form}}"


def _is_number(text):
    return text in ("-", "exact") or text.strip("%x").replace(",", "").replace(".", "").lstrip("+-").isdecimal()


def _print_json(value):
    click.echo(strict_json.dumps(value, indent=2))


def _write_json(path, value):
    external.atomic_write(path, strict_json.dumps(value, indent=2) + "\n")


def _check_writable(*paths):
    """Refuse outputs that could not be written, before the work is done for them."""
    for path in paths:
        if path:
            external.check_writable(path)


class _Output(click.Path):
    """A file to be written. `-` is standard output; all else that the command prints goes to standard error then."""

    def __init__(self):
        super().__init__(dir_okay=False, readable=False, path_type=Path)

    def convert(self, value, parameter, context):
        path = STANDARD_OUTPUT if value == "-" else super().convert(value, parameter, context)
        if descriptor(path) == 1:
            context.with_resource(contextlib.redirect_stdout(sys.stderr))
        return path


_OUTPUT = _Output()


# -- what the commands share -------------------------------------------------------------------------------------------

_core = click.argument("core", metavar="CORE", callback=lambda context, parameter, name: catalogue.lookup(name))
_parameters = click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated."
)
_seed = click.option("--seed", type=Whole(0, 2**32 - 1), help="Repeat a run; drawn and printed by default.")
_json_file = click.option("--json", "json_file", type=_OUTPUT, metavar="F")
_interface = click.option(
    "--interface", type=click.Choice(generate.INTERFACES), default="stream", help="Names of the stream ports."
)
_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _command(name, example):
    """Register a command whose help ends in an example."""
    return bitloom.command(name, epilog=f"\b\nExample:\n  {example}")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bitloom")
def bitloom():
    """Generate, verify, measure and run RTL for low-bit transformer accelerators."""


# -- catalogue ---------------------------------------------------------------------------------------------------------


@_command("list", "bitloom list")
@_json_flag
def list_cores(as_json):
    """List the cores."""
    cores = catalogue.CATALOGUE.values()
    if as_json:
        _print_json([{"name": core.name, "summary": core.summary, "paper": core.paper} for core in cores])
    else:
        _table(["core", "what it does", "paper"], [[core.name, core.summary, core.paper] for core in cores])


@_command("info", "bitloom info ovp-decoder")
@_core
@_parameters
@_interface
@_json_flag
def info(core, parameters, interface, as_json):
    """Show a core's parameters, ports, the bits of its payloads, latency and origin."""
    config = core.config.parse(parameters)
    if as_json:
        design = generate.generate(core, config, interface)
        _print_json({**design.manifest, "config": core.config.describe(), "doc": core.component.__doc__})
        return
    click.echo(f"{core.name}: {core.summary}\n{core.paper}\n")
    values = config.to_dict()
    columns = ["parameter", "value", "default", "allowed", "what it is"]
    rows = [[p["name"], values[p["name"]], p["default"], p["allowed"], p["doc"]] for p in core.config.describe()]
    _table(columns, [[name, _word(value), _word(default), *rest] for name, value, default, *rest in rows])
    click.echo()
    pins = generate.pinout(core, config, interface)
    _table(["port", "direction", "bits"], [[port.name, port.direction, port.width] for port in pins.ports])
    click.echo("\n" + "\n".join(pins.text))
    latency, interval = core.latency(config), core.interval(config)
    click.echo(f"\nlatency {_cycles(latency)}, initiation interval {_cycles(interval)}")


def _cycles(count):
    return _counted(count, "cycle")


def _counted(count, what):
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _word(value):
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


@_command("generate", "bitloom generate ovp-decoder -p normal=flint4 -p pairs=4 -o out/decoder.v")
@_core
@_parameters
@_interface
@click.option("--name", metavar="NAME", help="Of the top module; inner modules are called NAME__...")
@click.option("-o", "--output", type=_OUTPUT, metavar="F", help="Verilog file, else NAME.v; - is standard output.")
def generate_verilog(core, parameters, interface, name, output):
    """Write a core's Verilog, a JSON manifest and a FuseSoC description.

    Without --name the name tells what differs from the core's default, so that several cores, and several
    configurations of one, can be in one design.
    """
    config = core.config.parse(parameters)
    output = output or Path(f"{name or generate.default_name(core, config, interface)}.v")
    _check_writable(*generate.files(output))
    with _bar(f"generating {core.name}"):
        design = generate.generate(core, config, interface, name)
    for path in generate.write(design, output):
        click.echo(f"wrote {path}")


# -- simulation --------------------------------------------------------------------------------------------------------


@_command("sim", "bitloom sim ovp-decoder -p normal=flint4 --seed 7")
@_core
@_parameters
@click.option("--vectors", type=Whole(1), metavar="N", help="Random vectors beside the exhaustive ones.")
@_seed
@click.option("--waves", type=_OUTPUT, metavar="F", help="Write a waveform (.vcd, .fst).")
@_json_file
def sim(core, parameters, vectors, seed, waves, json_file):
    """Run a core's Verilog in Verilator against its golden model."""
    from ..testbench import runner

    config = core.config.parse(parameters)
    _check_writable(waves, json_file)
    with _bar(f"simulating {core.name}") as progress:
        result = runner.simulate(core, config, vectors=vectors, seed=seed, waves=waves, progress=progress)
    if json_file:
        _write_json(json_file, result.to_dict())
    path = Path(f"{core.name}-mismatches.json") if result.mismatches else None
    if path:
        result.write_mismatches(path)
    click.echo(result.summary())
    if path:
        click.echo(f"wrote {path}")
    return 0 if result.passed else FAILED


@_command("mutate", "bitloom mutate ovp-decoder --count 10")
@_core
@_parameters
@click.option("--count", type=Whole(1), default=60, show_default=True, help="Number of mutants.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=1, show_default=True, help="Chooses the mutants.")
@_json_file
def mutate(core, parameters, count, seed, json_file):
    """Count how many small faults in a core its bench finds."""
    from ..testbench import mutate as mutation

    with _bar(f"mutating {core.name}") as progress:
        result = mutation.mutate(core, core.config.parse(parameters), count, seed, progress=progress)
    if json_file:
        _write_json(json_file, result.to_dict())
    click.echo(result.summary())
    return 0 if result.score >= 0.95 else FAILED


# -- synthesis and boards ----------------------------------------------------------------------------------------------


@_command("synth", "bitloom synth ovp-decoder --target ice40-up5k --freq 30")
@_core
@click.argument("assignments", nargs=-1, metavar="[NAME=V1,V2,…]...")
@_parameters
@click.option(
    "--target", metavar="T", help="FPGA part, such as ice40-up5k, gowin-gw1n-9 or ecp5-85k, which is a sweep's default."
)
@click.option(
    "--liberty", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F", help="Or: cell library."
)
@click.option("--freq", type=Real(0, min_open=True), metavar="MHz", help="Exit 1 if the estimate is below.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=1, show_default=True, help="Of place and route.")
@click.option("--sweep", is_flag=True, help="Measure every combination of the values that NAME=V1,V2,… give.")
@click.option("--plot", type=_OUTPUT, metavar="F", help="Draw the sweep (.png, .svg, .pdf).")
@click.option("--jobs", type=Whole(1), metavar="N", help="Points of a sweep at a time; one a CPU by default.")
@_json_file
def synth(core, assignments, parameters, target, liberty, freq, seed, sweep, plot, jobs, json_file):
    """Estimate a core's area and speed on an FPGA part or in a cell library.

    With --sweep, of every combination of parameter values, side by side:

    \b
      bitloom synth ovp-decoder --sweep pairs=1,2,4 normal=int4,int8 --plot decoder.png
    """
    if sweep:
        return _sweep(core, assignments, parameters, target, liberty, freq, seed, plot, jobs, json_file)
    for option, given in (("--plot", plot), ("--jobs", jobs), (f"argument {' '.join(assignments)!r}", assignments)):
        if given:
            raise click.UsageError(f"{option} needs --sweep")
    from ..synth import flow
    from ..synth import report as reporting

    design = generate.generate(core, core.config.parse(parameters))
    _check_writable(json_file)
    with _stages() as progress:
        report = flow.synthesize(design, target=target, liberty=liberty, freq=freq, seed=seed, progress=progress)
    if json_file:
        _write_json(json_file, report.to_dict())
    console = terminal.console()
    if console.is_terminal:
        console.print(reporting.table(report))
    else:
        click.echo("\n".join(reporting.lines(report)))
    return 0 if report.met is not False else FAILED


def _sweep(core, assignments, parameters, target, liberty, freq, seed, plot, jobs, json_file):
    """Measure a core in every combination of parameters."""
    from ..synth import plot as sweep_plot
    from ..synth import sweep
    from ..tools import pictures

    points = sweep.plan(core, parameters, assignments)
    if plot:
        pictures.check_suffix(plot)
    _check_writable(plot, json_file)
    if not (target or liberty):
        target = sweep.DEFAULT_TARGET
    with _bar(f"measuring {core.name}") as progress:
        found = sweep.run(core, points, target, liberty, freq, seed, jobs=jobs, progress=progress)
    if found.reports and json_file:
        _write_json(json_file, found.to_dict())
    if found.reports and plot:
        sweep_plot.draw(plot, found)
    _table(*found.table(), title=f"{core.name} on {found.target}: {found.wording}")
    for note in found.notes:
        click.echo(f"note: {note}")
    if not found.reports:
        raise ValueError(f"{found.target} is too small for every point of the sweep")
    if plot:
        click.echo(f"wrote {plot}")
    return 0 if found.met is not False else FAILED


_board = click.option(
    "--board",
    required=True,
    metavar="B",
    callback=lambda context, parameter, name: _lookup_board(name),
    help="Board: icebreaker, ulx3s-85f, orangecrab-85f or tang-nano-9k.",
)


def _lookup_board(name):
    from ..fpga.bitstream import boards

    return boards.lookup(name)


@_command("build", "bitloom build ovp-decoder --board icebreaker")
@_core
@_parameters
@_board
@click.option("-o", "--output", type=_OUTPUT, metavar="F", help="Bitstream file.")
@click.option("--baud", type=Whole(), metavar="N", help="Rate of the serial port; the board's default is 115200.")
def build(core, parameters, board, output, baud):
    """Make a bitstream of a core behind a UART.

    Without -p the core is configured as the board's default says.
    """
    from ..fpga.bitstream import build as bitstreams

    config = core.config.parse(parameters) if parameters else None
    with _stages() as progress:
        result = bitstreams.build(core, config, board, output=output, baud=baud, progress=progress)
    rows = [[name, used, available] for name, (used, available) in result.utilization.items()]
    _table(["resource", "used", "available"], rows, title=f"{core.name} on {board.name}: nextpnr's estimate")
    verdict = "met" if result.met else "NOT MET"
    click.echo(f"Fmax {result.fmax_mhz:.1f} MHz, the board's clock is {result.clock_mhz:g} MHz: timing {verdict}")
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"wrote {result.bitstream}\nwrote {result.description}")
    return 0 if result.met else FAILED


@_command("flash", "bitloom flash ovp-decoder --board icebreaker --dry-run")
@_core
@_board
@click.option(
    "--bitstream", type=click.Path(dir_okay=False, path_type=Path), metavar="F", help="If not where build puts it."
)
@click.option("--dry-run", is_flag=True, help="Print the command and do nothing.")
@click.option("--force", is_flag=True, help="Also if the bitstream misses its timing, or is not said to be this.")
def flash(core, board, bitstream, dry_run, force):
    """Program a board with the bitstream that `build` made."""
    from ..fpga.bitstream import build as bitstreams
    from ..fpga.bitstream import flash as loader

    command = loader.flash(bitstream or bitstreams.bitstream_path(core, board), board, dry_run, force, core=core.name)
    click.echo(shlex.join(command) if dry_run else f"programmed {board.name}")


def _weights_file(name):
    """Path of a safetensors file; the word minilm stands for the installed model's."""
    from ..golden.workloads import transformer

    path = transformer.model_folder() / "model.safetensors" if name == "minilm" else Path(name)
    # A pipe is as good.
    if not path.exists() or path.is_dir():
        raise ValueError(f"no file {name!r}: give a safetensors file, or minilm for the installed model")
    return path


# -- real data ---------------------------------------------------------------------------------------------------------


_where = click.option(
    "--on",
    "where",
    default="rtl",
    show_default=True,
    metavar="WHERE",
    help="rtl, twin, a serial port, or a bitstream; see above.",
)
_baud = click.option(
    "--baud", type=Whole(1), default=115_200, show_default=True, metavar="N", help="Rate of a serial port."
)


@contextlib.contextmanager
def _linked(where, core, parameters, baud):
    """A link to a board, its twin or its bitstream, and what is there; `core` None: whatever is on the board."""
    from ..fpga.bitstream import readback
    from ..fpga.session import host, twin
    from ..fpga.session import target as targets
    from ..testbench import verilator

    if where == "twin":
        config = core.config.parse(parameters)
        verilator.check_target(getattr(config, "target", "generic"))
        there = targets.target(core, config)
        with _stages() as progress:
            progress("compiling the twin")
            program = twin.build(*targets.twin_top(core, config), targets.TWIN_DIVISOR)
        with twin.start(program) as board:
            port = host.open_port(board.path, targets.TWIN_BAUD)
            # It is not as fast as a board.
            with host.Link(port, there.channels, margin=2.0) as link:
                yield link, there
        return
    held = None
    with contextlib.ExitStack() as stack:
        if readback.is_bitstream(where):
            with _stages() as progress:
                held = readback.read_back(where, progress)
                progress("compiling it")
                program = twin.build(held.verilog, readback.TOP, held.divisor, held.power_on)
            click.echo(held.summary)
            board = stack.enter_context(twin.start(program))
            link = host.Link(host.open_port(board.path, held.baud), margin=2.0)
        else:
            link = host.Link(host.open_port(where, baud))
        found = stack.enter_context(link).hello(held.identity if held else None)
        if core:
            host.check_identity(found, {"core": core.name}, where)
        there = targets.described(found)
        if parameters:
            wanted = there.core.config.parse(parameters).assignments()
            host.check_identity(found, {"parameters": wanted}, where)
        link.channels = there.channels
        yield link, there


@_command("run", "bitloom run gemm --format int8 A.npy W.npy -o Y.npy")
@click.argument("what", metavar="CORE|gemm|sevedo")
@click.argument("files", metavar="[A W|LAYERS X]", nargs=-1, type=click.Path(path_type=Path))
@_where
@_baud
@click.option("--in", "inputs", multiple=True, metavar="[NAME=]F", help="CORE: payloads of an input stream; see above.")
@click.option("--set", "settings", multiple=True, metavar="NAME=N", help="CORE: an input that is no stream.")
@click.option("--no-check", is_flag=True, help="Compare with nothing.")
@click.option("--format", "formats", metavar="F", help="gemm: of both operands, or A,W: int8,int4.")
@click.option("--layer", metavar="NAME", help="sevedo: which one of the file.")
@_parameters
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    required=True,
    type=_OUTPUT,
    metavar="F",
    help="The product, or the outputs.",
)
@_json_file
def run(what, files, where, baud, inputs, settings, no_check, formats, layer, parameters, output, json_file):
    """Run a matrix product through a systolic tile, a layer through the SeVeDo core, or payloads through any core.

    WHERE is rtl, the Verilated core, which is fast; twin, a board with its serial pins, Verilated; a serial port, such
    as /dev/ttyUSB0, with a board that `bitloom flash` programmed; or a bitstream of `bitloom build` for an iCE40, read
    back and Verilated. Without -p and --format the parameters are those that a board tells.

    gemm: A is (M, K), W is (K, N), both .npy files. Integers are values in units of one scale step, and so is the
    product, int64. Floating-point numbers are quantized, A with one step, W with one for each column; the product is
    float32. On rtl it is the core systolic-tile that runs, elsewhere the core gemm, the tile behind two memories.

    sevedo, on rtl: LAYERS is a file of `bitloom quantize --format sevedo`, X is (M, K), a .npy file. The layer's output
    is float16.

    CORE: a .npy file holds a transfer in each row, its payload as bytes, the lowest first; or in each element, as an
    integer, for payloads of at most 64 bits. The outputs are written likewise. `bitloom info CORE` shows the streams.
    NAME before the first = is a stream of the core; where it has none of that name, all of it is the file.

    \b
      bitloom run ovp-decoder --on twin --in codes.npy --out values.npy
    """
    if layer is not None and what != "sevedo":
        raise click.UsageError(f"--layer is for sevedo, not for {what}")
    if what == "sevedo":
        for option, given in (("--in", inputs), ("--set", settings), ("--format", formats), ("--no-check", no_check)):
            if given:
                raise click.UsageError(f"{option} is not for sevedo")
        if len(files) != 2:
            raise click.UsageError(f"sevedo takes two files, LAYERS and X, not {len(files)}")
        if where != "rtl":
            raise click.UsageError(f"sevedo runs on rtl, not on {where}")
        return _run_sevedo(*files, layer, parameters, output, json_file)
    if what != "gemm":
        for option, given in (("--format", formats), (f"argument {' '.join(map(str, files))!r}", files)):
            if given:
                raise click.UsageError(f"{option} is for gemm, not for {what}")
        return _run_core(catalogue.lookup(what), where, baud, inputs, settings, no_check, parameters, output, json_file)
    for option, given in (("--in", inputs), ("--set", settings)):
        if given:
            raise click.UsageError(f"{option} is for cores, not for gemm")
    if len(files) != 2:
        raise click.UsageError(f"gemm takes two files, A and W, not {len(files)}")
    if where in ("rtl", "twin") and not formats:
        raise click.UsageError(f"gemm needs --format on {where}")
    if where == "rtl" and no_check:
        raise click.UsageError("--no-check is not for gemm on rtl")
    from ..golden.systolic.gemm import jobs
    from ..golden.workloads.product import prepare
    from ..testbench.systolic import product as gemm_run

    # The Verilated tile takes operands as fast as it can; behind a link memories keep them.
    core = catalogue.lookup("systolic-tile" if where == "rtl" else "gemm")
    chosen = [*gemm_run.parse_formats(formats, parameters), *parameters] if formats else parameters
    config = core.config.parse(chosen)
    _check_writable(output, json_file)
    a, w = map(gemm_run.load, files)
    if where != "rtl":
        if where == "twin":
            # Refused before it is compiled.
            jobs(prepare(a, w, config).shape, config)
        with _linked(where, core, chosen, baud) as (link, there):
            return _run_gemm(link, there, prepare(a, w, there.config), where, not no_check, output, json_file)
    problem = prepare(a, w, config)
    with _bar("multiplying") as progress:
        result = gemm_run.run(problem.a, problem.w, config, k=problem.shape[1], progress=progress)
    report = {
        **_gemm_report(problem, config),
        "cycles": result.cycles,
        "utilization": f"{result.utilization:.2%}",
        "multiply-accumulates": result.macs,
        "simulated MAC/s": round(result.macs_per_second),
        "seconds to compile": f"{result.compile_seconds:.2f}",
        "seconds to run": f"{result.seconds:.2f}",
        "check": "passed" if result.passed else "FAILED",
    }
    return _write_product(problem, config, result, report, output, json_file)


def _run_sevedo(layers, x, name, parameters, output, json_file):
    """A layer through the Verilated SeVeDo core."""
    from ..golden.checks import finite, named, within
    from ..golden.sevedo import hgq
    from ..golden.sevedo import layer as sevedo
    from ..testbench.sevedo import layer as sevedo_layer
    from ..testbench.systolic import product as gemm_run

    _check_writable(output, json_file)
    found = sevedo.load(layers)
    if name not in found:
        raise click.UsageError(f"--layer must be one of {', '.join(found)}, not {name}")
    layer, x = found[name], gemm_run.load(x)
    if x.dtype.kind != "f" or x.ndim != 2 or x.shape[1] != layer.shape[1]:
        raise ValueError(f"X must hold floating-point numbers, shape (M, {layer.shape[1]}), not {x.dtype}, {x.shape}")
    if x.dtype != "float16":
        with named("X"):
            within(finite(x), 0, hgq.LARGEST_HALF)
        x = sevedo.to_half(x)
    config = catalogue.lookup("sevedo-core").config.parse([*sevedo_layer.parameters_of(layer), *parameters])
    with _bar("multiplying") as progress:
        result = sevedo_layer.run(layer, x, config, progress=progress)
    report = {
        "layer": f"{name}, {layer.shape[0]} x {layer.shape[1]}, rank {layer.low_rank.rank}",
        "tokens": len(x),
        "parameters": " ".join(config.assignments()) or "default",
        "cycles": f"{result.cycles} (at least {result.least_cycles})",
        "MAC/cycle": f"{result.macs / result.cycles:.1f}" if result.cycles else "none",
        "seconds to compile": f"{result.compile_seconds:.2f}",
        "seconds to run": f"{result.seconds:.2f}",
        "check": "passed" if result.passed else "FAILED",
    }
    if json_file:
        _write_json(json_file, {"layer": name, "parameters": config.to_dict(), **result.to_dict()})
    if result.passed:
        gemm_run.save(output, result.y)
    _table(["sevedo", "value"], [*report.items()])
    if not result.passed:
        click.echo(result.failure)
        return FAILED
    click.echo(f"wrote {output}")
    return 0


def _gemm_report(problem, config):
    return {
        "shape": "x".join(map(str, problem.shape)),
        "tile": f"{config.rows}x{config.cols}, {config.dataflow}",
        "format": f"{config.a_format} x {config.w_format}, accumulator of {config.accumulator} bits",
    }


def _run_gemm(link, there, problem, where, check, output, json_file):
    """A matrix product on a board."""
    from ..fpga.session import linked

    with _bar("multiplying") as progress:
        result = linked.multiply(
            link, there.identity, problem.a, problem.w, there.config, check=check, progress=progress
        )
    report = {
        **_gemm_report(problem, there.config),
        "on": f"{where}, build {there.identity['build']}",
        "bytes sent": result.sent,
        "bytes received": result.transfers * link.channels.outputs["o"].bytes,
        "requests repeated": link.repeated,
        "seconds to run": f"{result.seconds:.2f}",
        "check": ("passed" if result.checked else "none") if result.passed else "FAILED",
    }
    return _write_product(problem, there.config, result, report, output, json_file)


def _write_product(problem, config, result, report, output, json_file):
    from ..testbench.systolic import product as gemm_run

    errors = problem.errors(result.product) if result.passed else {}
    if errors:
        report |= {"relative error": errors["relative_error"], "SQNR dB": _decibels(errors["sqnr_db"], ".4g")}
    if json_file:
        measured = {"parameters": config.to_dict(), **result.to_dict(), **errors}
        _write_json(json_file, {"shape": problem.shape, **measured})
    if result.passed:
        gemm_run.save(output, problem.restored(result.product))
    _table(["gemm", "value"], [*report.items()])
    if not result.passed:
        click.echo(result.failure)
        return FAILED
    click.echo(f"wrote {output}")
    return 0


def _run_core(core, where, baud, inputs, settings, no_check, parameters, output, json_file):
    """Payloads through a core, and what it gives to a file."""
    from ..fpga.session import linked
    from ..fpga.session import target as targets
    from ..testbench import payloads
    from ..testbench.systolic import product as gemm_run

    _check_writable(output, json_file)
    streams = targets.target(core, core.config.parse(parameters)).channels.inputs
    given = payloads.parse_files(inputs, streams)
    constants = payloads.parse_settings(settings)
    arrays = {name: gemm_run.load(path) for name, path in given.items()}

    def rows(there):
        return payloads.streams(there.channels.inputs, arrays, there.channels.settings, constants)

    if where == "rtl":
        there = targets.target(core, core.config.parse(parameters))
        with _bar(f"running {core.name}") as progress:
            result = linked.run_rtl(core, there.config, rows(there), constants, check=not no_check, progress=progress)
        repeated = None
    else:
        if where == "twin":
            rows(targets.target(core, core.config.parse(parameters)))
        with _linked(where, core, parameters, baud) as (link, there):
            with _bar(f"running {core.name}") as progress:
                data, more = rows(there), {"check": not no_check, "progress": progress}
                result = linked.run_on(link, there.identity, core, there.config, data, constants, **more)
            repeated = link.repeated
    report = {
        "parameters": " ".join(there.config.assignments()) or "default",
        "on": where if where == "rtl" else f"{where}, build {there.identity['build']}",
        "payloads in": sum(map(len, rows(there).values())),
        "payloads out": result.transfers,
        **{f"flag {name}": int(value) for name, value in result.flags.items()},
        **({} if repeated is None else {"requests repeated": repeated}),
        "seconds to run": f"{result.seconds:.2f}",
        "check": f"equals the {result.checked}" if result.checked and result.passed else "none",
    }
    if not result.passed:
        report["check"] = "FAILED"
    if json_file:
        measured = {"core": core.name, "parameters": there.config.to_dict(), "on": where, **result.to_dict()}
        _write_json(json_file, measured)
    numbers = all(array.ndim == 1 for array in arrays.values())
    files = payloads.output_files(output, there.channels.outputs) if result.passed else {}
    for name, path in files.items():
        bits = there.channels.outputs[name].bits
        gemm_run.save(path, payloads.from_bytes(result.outputs[name], bits, numbers))
    _table([core.name, "value"], [*report.items()])
    if not result.passed:
        click.echo(result.failure)
        return FAILED
    for path in files.values():
        click.echo(f"wrote {path}")
    return 0


@_command("selftest", "bitloom selftest --on twin --vectors 100")
@click.argument("core", metavar="[CORE]", required=False, callback=lambda context, parameter, name: _maybe_core(name))
@_parameters
@click.option("--on", "where", required=True, metavar="WHERE", help="twin, a serial port, or a bitstream.")
@_baud
@click.option("--vectors", type=Whole(1), default=1000, show_default=True, metavar="N", help="Random ones beside.")
@_seed
@_json_file
def selftest(core, parameters, where, baud, vectors, seed, json_file):
    """Run every vector set of a core's bench on a board, and compare all outputs with the golden model.

    WHERE is as for `bitloom run`. Without CORE it is the one that the board tells, or on the twin the ovp-decoder. What
    only a simulator sees is not compared: stalls inside, latency, cycles.

    \b
      bitloom selftest --on build/ovp-decoder-icebreaker.bin
    """
    from ..fpga.session import selftest as selftests

    _check_writable(json_file)
    if where == "twin":
        core = core or catalogue.lookup("ovp-decoder")
    seed = secrets.randbits(32) if seed is None else seed
    with _linked(where, core, parameters, baud) as (link, there):
        with _bar(f"recording what {there.core.name} must give"):
            recorded = selftests.record(there.core, there.config, vectors, seed)
        with _bar(f"testing {there.core.name}") as progress:
            result = selftests.replay(link, recorded, there.identity, progress)
    if json_file:
        told = {"core": there.core.name, "parameters": there.config.to_dict(), "on": where, "seed": seed}
        _write_json(json_file, {**told, **result.to_dict()})
    verdict = "passed" if result.passed else "FAILED"
    held = " ".join([there.core.name, *there.config.assignments()])
    click.echo(f"{held} on {where}, build {there.identity['build']}: {verdict}, seed {seed}")
    click.echo(result.summary())
    return 0 if result.passed else FAILED


def _maybe_core(name):
    return None if name is None else catalogue.lookup(name)


def _patterns(option, text):
    """An option of patterns of tensors' names."""
    return click.option(option, multiple=True, metavar="PATTERN", help=text)


# -- models ------------------------------------------------------------------------------------------------------------


@_command("quantize", "bitloom quantize minilm --format ovp-int4 -o minilm.ovp-int4.safetensors")
@click.argument("file", callback=lambda context, parameter, name: _weights_file(name))
@click.option(
    "--format", "format_name", required=True, metavar="F", help="Weight format, such as ovp-int4, int4, hgq or sevedo."
)
@click.option("-o", "--output", type=_OUTPUT, metavar="F", help="Codes and scales.")
@_patterns("--take", "Take a matrix of such a name, outputs x inputs.")
@_patterns("--transposed", "Take it, inputs x outputs.")
@_patterns("--skip", "Leave it.")
@click.option("--coarse", type=Whole(), metavar="N", help="hgq, sevedo: values that share a scale; 128.")
@click.option("--fine", type=Whole(), metavar="N", help="hgq, sevedo: values that share a shift; 16.")
@click.option("--rank", type=Whole(), metavar="R", help="sevedo: of the low-rank path; 32.")
@click.option(
    "--precision",
    type=click.Choice(["int8", "rank", "channel", "both"]),
    help="sevedo: what may have 16 bits in the low-rank path; both.",
)
@_json_file
def quantize(file, format_name, output, take, transposed, skip, coarse, fine, rank, precision, json_file):
    """Turn a safetensors file's weight matrices into codes, with an error report.

    FILE is a safetensors file, or the word minilm for the installed all-MiniLM-L6-v2.

    Names and shapes of common checkpoints tell which tensors are weights of linear layers. Tables of embeddings are
    left; GPT-2's Conv1D, inputs x outputs, is transposed, and so are its codes. The table says what each matrix was
    taken for. PATTERN is a name, or has * and ? and [...] as in a shell; it overrules that, --skip first, then
    --transposed. SQNR is the signal to quantization noise ratio; of a matrix without any error it is "exact" here and
    null in JSON.

    The format sevedo needs a model, config.json and the tokenizer beside FILE, to calibrate on sentences. It writes one
    .npz file of layers, query, key and value stacked, and reports the error of the layers' outputs on other sentences:

    \b
      bitloom quantize minilm --format sevedo --rank 32 -o minilm.sevedo.npz
    """
    from ..golden.workloads import checkpoint
    from ..golden.workloads import quantize as formats

    for option, given, names in (
        ("--coarse", coarse, formats.GROUPED),
        ("--fine", fine, formats.GROUPED),
        ("--rank", rank, ("sevedo",)),
        ("--precision", precision, ("sevedo",)),
    ):
        if given is not None and format_name not in names:
            raise click.UsageError(f"{option} needs --format {' or '.join(names)}")
    patterns = {"take": take, "transposed": transposed, "skip": skip}
    for option, given in patterns.items():
        if given and format_name == "sevedo":
            raise click.UsageError(f"--{option} is not for --format sevedo, which takes a model's linear layers")
    sizes = {name: size for name, size in (("coarse", coarse), ("fine", fine)) if size is not None}
    if format_name == "sevedo":
        _quantize_sevedo(file, output, rank, precision, sizes, json_file)
        return
    fmt = formats.HgqFormat(**sizes) if format_name == "hgq" else formats.lookup(format_name)
    if not output and (not file.is_file() or file.is_relative_to("/dev") or file.is_relative_to("/proc")):
        raise click.UsageError(f"{file} is no plain file: name the output with -o")
    output = output or _beside(file, f"{fmt.name}.safetensors")
    _check_writable(output, json_file)
    with _bar("quantizing") as progress:
        report, tensors = checkpoint.quantize(file, fmt, progress=progress, **patterns)
    if json_file:
        _write_json(json_file, {"file": file.name, "format": fmt.name, **report})
    with external.replacing(output) as beside:
        checkpoint.write(beside, tensors, fmt, [row["name"] for row in report["tensors"] if row["transposed"]])
    columns = ["tensor", "shape", "what it is", "MSE", "SQNR dB", "max error"]
    matrices = sorted(report["tensors"] + [r for r in report["left"] if len(r["shape"]) == 2], key=lambda r: r["name"])
    _table(columns, map(_quantized_row, matrices), title=f"{file.name} as {fmt.name}: {fmt.summary}")
    others = len(report["left"]) + len(report["tensors"]) - len(matrices)
    if others:
        click.echo(f"left: {_counted(others, 'tensor')} of other than two axes")
    click.echo(f"wrote {output}")


def _quantized_row(row):
    taken = "mse" in row
    errors = [row["mse"], _decibels(row["sqnr_db"], ".4g"), row["max_error"]] if taken else [None] * 3
    why = row["why"] if taken else f"left: {row['why']}"
    return [row["name"], "x".join(map(str, row["shape"])), why, *errors]


def _beside(file, ending):
    """Where the codes of a safetensors file go if nobody says: its name may hold dots, of versions for instance."""
    return file.with_name(f"{file.name.removesuffix('.safetensors')}.{ending}")


def _quantize_sevedo(file, output, rank, precision, sizes, json_file):
    """Write a model's linear layers as SeVeDo layers."""
    from ..golden.sevedo import decompose
    from ..golden.sevedo import layer as sevedo
    from ..golden.workloads import quantize, sevedo_model
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES

    rank, precision = decompose.RANK if rank is None else rank, precision or "both"
    groups = quantize.HgqFormat(**sizes)
    encoder = _model_of(file, "the format sevedo")
    output = output or _beside(file, "sevedo.npz")
    _check_writable(output, json_file)
    with _bar("decomposing") as progress:
        layers, report = sevedo_model.quantize(
            encoder, CALIBRATION, SENTENCES, rank, precision, progress, coarse=groups.coarse, fine=groups.fine
        )
    columns = ["layer", "shape", "bits/weight", "SQNR dB"]
    rows = [[r["name"], "x".join(map(str, r["shape"])), f"{r['bits']:.2f}", _decibels(r["sqnr_db"])] for r in report]
    title = (
        f"{file.name} as sevedo, rank {rank}, SVD-MP {precision}: error of the outputs on {len(SENTENCES)} sentences"
    )
    if json_file:
        settings = {"rank": rank, "precision": precision, "coarse": groups.coarse, "fine": groups.fine}
        _write_json(json_file, {"file": file.name, "format": "sevedo", **settings, "layers": report})
    external.atomic_write(output, sevedo.to_bytes(layers))
    _table(columns, rows, title=title)
    click.echo(f"wrote {output}")


def _model_of(file, what):
    """The encoder whose weights a file holds."""
    from ..golden.workloads import transformer

    if not (file.parent / "config.json").is_file():
        raise ValueError(f"{what} needs a model: there is no config.json beside {file}")
    return transformer.Encoder.load(file.parent)


@_command("compare", "bitloom compare minilm --rank 32 --plot formats.png --json formats.json")
@click.argument("file", callback=lambda context, parameter, name: _weights_file(name))
@click.option(
    "--rank",
    "ranks",
    type=Whole(),
    multiple=True,
    default=(16, 32, 64),
    show_default=True,
    metavar="R",
    help="Rank of SeVeDo; may be repeated.",
)
@click.option("--plot", type=_OUTPUT, metavar="F", help="Draw it (.png, .svg, .pdf).")
@_json_file
def compare(file, ranks, plot, json_file):
    """Compare 4-bit formats on every linear layer of a model.

    FILE is a model's safetensors file, config.json and the tokenizer beside it, or the word minilm for the installed
    all-MiniLM-L6-v2.

    Weights and activations are both quantized. The signal to quantization noise ratio is that of a layer's output in
    the exact arithmetic of the hardware, bias excluded, its inputs being the FP32 model's. MP is SVD-MP: 16 bits for
    sensitive channels and ranks of SeVeDo's low-rank path. Where the paper could not be read, SeVeDo is our reading of
    it: all sizes, roundings and the rank are our choice. It is calibrated on 8 sentences and measured, as all are, on
    24 others.
    """
    from ..golden.workloads import sevedo_model
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES
    from ..testbench.sevedo import picture as sevedo_plot
    from ..tools import pictures

    if plot:
        pictures.check_suffix(plot)
    encoder = _model_of(file, "compare")
    _check_writable(plot, json_file)
    ranks = sorted(set(ranks))
    with _bar("measuring") as progress:
        rows = sevedo_model.compare(encoder, CALIBRATION, SENTENCES, ranks, progress)
    means = sevedo_model.summary(rows)
    shown = {name: name for name in sevedo_model.BASELINES}
    for rank in ranks:
        shown |= {sevedo_model.method(rank, "int8"): f"r{rank}", sevedo_model.method(rank, "both"): f"r{rank} MP"}
    if json_file:
        counts = {"calibration_sentences": len(CALIBRATION), "sentences": len(SENTENCES)}
        _write_json(json_file, {"file": file.name, **counts, "layers": rows, "means": means})
    if plot:
        sevedo_plot.draw(plot, rows, shown)
    cells = [[row["name"], *(_decibels(row["sqnr_db"][name]) for name in shown)] for row in rows]
    _table(["layer", *shown.values()], cells, title=f"{file.name}: SQNR of the outputs in dB; rR is SeVeDo of rank R")
    columns = ["mean", "bits/weight", "all layers", *means[0]["kinds"]]
    cells = [
        [row["method"], f"{row['bits']:.2f}", *map(_decibels, (row["sqnr_db"], *row["kinds"].values()))]
        for row in means
    ]
    _table(columns, cells, title="\nMeans over layers, SQNR in dB; channel and rank are the two readings of SVD-MP")
    if plot:
        click.echo(f"wrote {plot}")


@_command("demo", "bitloom demo")
@click.option(
    "--weights",
    "file",
    default="minilm",
    metavar="F",
    callback=lambda context, parameter, name: _weights_file(name),
    help="A safetensors file; by default the installed all-MiniLM-L6-v2.",
)
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True
)
@_json_file
def demo(file, output, json_file):
    """Tell the whole story on real transformer weights: quantize, stream, check, measure."""
    from ..golden.olive import ovp
    from ..golden.workloads import checkpoint, evaluate, transformer
    from ..golden.workloads import quantize as weight_formats
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES
    from ..synth import flow
    from ..testbench import runner
    from ..testbench.olive import picture as pictures

    _check_writable(output / "histogram.png", json_file)
    core = catalogue.lookup("ovp-decoder")
    config = core.config()
    formats = [weight_formats.lookup(name) for name in ("ovp-int4", "int4")]
    encoder = transformer.Encoder.load(file.parent) if (file.parent / "config.json").is_file() else None
    if encoder:
        weights = {name: layer.weight for name, layer in encoder.linears.items()}
    else:
        weights, _ = checkpoint.weights(file)

    count = sum(weight.size for weight in weights.values())
    click.echo(f"{terminal.printable(file.name)}: {len(weights)} weight matrices, {count:,} weights\n")
    with _bar("quantizing") as progress:
        rows, restored = evaluate.compare_weights(weights, formats, progress)
    name = max(rows, key=lambda row: row["pairs"]["max_sigma"])["name"]
    codes, steps = weight_formats.quantize(weights[name], formats[0])
    pictures.histogram(output / "histogram.png", name, weights[name], codes, steps, ovp.INT4)
    columns = ["layer", "shape", "normal", "1 outlier", "2 outliers", "max sigma", *(f"MSE {f.name}" for f in formats)]
    _table(columns, [_demo_row(row) for row in rows], title="Pairs (outlier: beyond 3 sigma) and squared error")

    embeddings = None
    if encoder:
        with _bar("embedding") as progress:
            embeddings = evaluate.compare_embeddings(encoder, restored, formats, SENTENCES, CALIBRATION, progress)
        columns = ["format", "weights only", "weights and activations"]
        title = f"\nMean cosine similarity of {len(SENTENCES)} sentence embeddings with those of FP32"
        _table(columns, [[name, *(f"{v:.4f}" for v in found.values())] for name, found in embeddings.items()], title)
    else:
        click.echo("\nNo sentence embeddings: there is no config.json beside the weights, so this is no known model.")

    with _bar(f"streaming {name} through the decoder") as progress:
        result = runner.simulate(core, config, codes=codes.reshape(-1, config.pairs), seed=1, progress=progress)
    told = terminal.printable(name)
    click.echo(f"\n{codes.size:,} bytes of {told} through the Verilated decoder: {_verdict(result)}")
    click.echo(f"{result.cycles:,} cycles, {result.cycles / codes.size:.3f} cycles per byte")

    design = generate.generate(core, config)
    with _stages() as progress:
        reports = [flow.synthesize(design, target=target, progress=progress) for target in ("ice40-up5k", "ecp5-25k")]
    if json_file:
        measured = {"layers": rows, "embeddings": embeddings, "simulation": result.to_dict()}
        _write_json(json_file, {**measured, "synthesis": [report.to_dict() for report in reports]})
    columns = ["part", "LUT4", "FF", "Fmax MHz"]
    title = f"\n{core.name}, {config.normal}, one pair a cycle: estimates of Yosys and nextpnr"
    uses = [{use.name: use.used for use in report.uses} for report in reports]
    found = [[r.part, use["LUT4"], use["FF"], f"{r.fmax_mhz:.0f}"] for r, use in zip(reports, uses, strict=True)]
    _table(columns, found, title)

    click.echo(f"\nwrote {output / 'histogram.png'}")
    return 0 if result.passed else FAILED


def _demo_row(row):
    pairs = row["pairs"]
    shares = [f"{pairs[kind]:.2%}" for kind in ("normal_normal", "outlier_normal", "outlier_outlier")]
    errors = [f"{error['mse']:.3e}" for error in row["errors"].values()]
    return [row["name"], "x".join(map(str, row["shape"])), *shares, f"{pairs['max_sigma']:.1f}", *errors]


def _verdict(result):
    return "every one equals the golden model" if result.passed else result.summary()


# -- searches ----------------------------------------------------------------------------------------------------------


@bitloom.group("search", epilog="\b\nExample:\n  bitloom search anda --model minilm --tolerance 0.01")
def search():
    """Search for the parameters of a number format on a real model, or for tables of a function."""


@search.command(
    "anda", epilog="\b\nExample:\n  bitloom search anda --model minilm --tolerance 0.01 -o minilm.anda.json"
)
@click.option(
    "--model",
    "folder",
    default="minilm",
    show_default=True,
    metavar="M",
    help="minilm for the installed all-MiniLM-L6-v2, or a folder with config.json and model.safetensors.",
)
@click.option(
    "--tolerance",
    type=Real(0, 1, max_open=True),
    default=0.01,
    show_default=True,
    metavar="T",
    help="Accept a quality of (1 - T) times that of FP16 activations, or better.",
)
@click.option(
    "--rounding",
    type=click.Choice(["truncate", "nearest"]),
    default="truncate",
    show_default=True,
    help="Of the mantissas: the paper's, or our variant.",
)
@click.option("--iterations", type=Whole(1), default=32, show_default=True, metavar="N", help="Steps at most.")
@click.option(
    "-o",
    "--output",
    type=_OUTPUT,
    default=Path("anda-search.json"),
    show_default=True,
    metavar="F",
    help="Where every step is saved. A search that this file holds goes on where it ended.",
)
def search_anda(folder, tolerance, rounding, iterations, output):
    """Find the cheapest mantissa lengths of Anda activations.

    One length each for the inputs of the QKV, attention output, feed-forward up and feed-forward down layers; all
    weights are 4-bit integers with a scale for 128. Quality is the mean cosine similarity of sentence embeddings with
    those of the FP32 model. The tolerance is relative to the quality of the same 4-bit weights with FP16 activations,
    not to FP32. BOPs are bit operations, M x 4 for a multiply-accumulate; the saving is over FP16, 64.

    The search sees 8 calibration sentences; what it found is measured once more on 24 others.
    """
    from ..golden.workloads import anda_search
    from ..golden.workloads.anda_model import AndaEncoder
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES
    from ..golden.workloads.transformer import Encoder

    _check_writable(output)
    encoder = Encoder.load(None if folder == "minilm" else folder)
    with _bar("quantizing the weights"):
        model = AndaEncoder(encoder, rounding)
    settings = {"model": model.fingerprint(CALIBRATION), "rounding": rounding, "tolerance": tolerance}
    reference, known = _recall_search(output, settings, iterations)

    def measure(combination=None, sentences=CALIBRATION):
        text = f"{_lengths(combination)} on {len(sentences)} sentences" if combination else "FP16 activations"
        with _bar(text) as progress:
            return model.quality(sentences, combination, progress)

    if reference is None:
        reference = measure()
    click.echo(f"{len(CALIBRATION)} calibration sentences; 4-bit weights, FP16 activations: quality {reference:.6f}")
    click.echo(
        f"accepted from {(1 - tolerance) * reference:.6f}; lengths are those of {', '.join(anda_search.MODULES)}"
    )
    if known:
        click.echo(f"{output} has {len(known)} steps")
    click.echo(f"{'step':>4}  {'lengths':<11}  {'MBOPs/token':>11}  {'saving':>6}  {'quality':>8}  accepted")
    steps = []
    for step in anda_search.search(measure, reference, model.macs, tolerance, iterations=iterations, known=known):
        steps.append(step)
        if step.combination not in known and is_plain(output):
            _write_json(output, anda_search.record(settings, reference, steps, iterations))
        cost, saved = step.bops / 1e6, anda_search.saving(step.combination, model.macs)
        line = (
            f"{len(steps):>4}  {_lengths(step.combination):<11}  {cost:>11,.1f}  {saved:>5.2f}x  {step.quality:>8.6f}"
        )
        click.echo(f"{line}  {'yes' if step.accepted else 'no'}")

    best = anda_search.found(steps)
    if best is None:
        _write_json(output, anda_search.record(settings, reference, steps, iterations))
        click.echo(f"found nothing within the tolerance in {len(steps)} steps; wrote {output}")
        return FAILED
    test = {"fp16": measure(sentences=SENTENCES), "found": measure(best.combination, SENTENCES)}
    saved = anda_search.saving(best.combination, model.macs)
    _write_json(output, anda_search.record(settings, reference, steps, iterations, saving=saved, test=test))
    change = best.quality / reference - 1
    click.echo(f"\nfound {_lengths(best.combination)}: {saved:.2f}x fewer BOPs than FP16, quality {change:+.2%}")
    change = test["found"] / test["fp16"] - 1
    kept = f"quality {test['found']:.6f} against {test['fp16']:.6f} with FP16 activations, {change:+.2%}"
    click.echo(f"on {len(SENTENCES)} sentences that the search has not seen: {kept}\nwrote {output}")
    return 0


def _lengths(combination):
    return ",".join(map(str, combination))


def _recall_search(path, settings, iterations):
    """Reference quality and known qualities of a search that a file holds; None and nothing if there is no file."""
    from ..golden.workloads import anda_search

    if not (is_plain(path) and path.is_file()):
        return None, {}
    try:
        return anda_search.recall(json.loads(path.read_bytes()), settings, iterations)
    except ValueError as error:
        raise ValueError(f"{path} cannot be continued, name another file with -o: {error}") from None


@search.command("pwl", epilog="\b\nExample:\n  bitloom search pwl --function gelu --entries 8 --plot gelu.png")
@click.option(
    "--function",
    "text",
    required=True,
    metavar="F",
    help="gelu, hswish, silu, exp, div, rsqrt, div-normalized, rsqrt-normalized, or a NumPy expression in x.",
)
@click.option("--range", "interval", type=Real(), nargs=2, metavar="LOW HIGH", help="Of an expression's x; -4 4.")
@click.option("--fraction-bits", type=Whole(), metavar="N", help="Of an expression's slopes and intercepts; 6.")
@click.option("--entries", type=Whole(), default=8, show_default=True, metavar="N", help="Segments, 2 to 64.")
@click.option(
    "--method",
    type=click.Choice(["ga", "dp"]),
    default="dp",
    show_default=True,
    help="The paper's genetic search, or the exact one by dynamic programming.",
)
@click.option("--seed", type=Whole(0, 2**32 - 1), metavar="S", help="Of the genetic search; 1.")
@click.option(
    "-o",
    "--output",
    type=_OUTPUT,
    default=Path("pwl-table.json"),
    show_default=True,
    metavar="F",
    help="The tables, one for each scale.",
)
@click.option("--plot", type=_OUTPUT, metavar="F", help="Draw it (.png, .svg, .pdf).")
def search_pwl(text, interval, fraction_bits, entries, method, seed, output, plot):
    """Find piecewise-linear tables of a function for 8-bit codes.

    There is one table for each power of two as the scale of the codes. Those of the genetic search share slopes and
    intercepts. The exact search gives each its own, with the least mean squared error over all codes that there is.

    \b
      bitloom search pwl --function 'np.tanh(x)' --range -3 3 --entries 16
    """
    from ..golden.gqa_lut import pwl, pwl_functions, pwl_search
    from ..testbench.gqa_lut import pwl_picture as pwl_plot
    from ..tools import pictures

    if seed is not None and method != "ga":
        raise click.UsageError("--seed needs --method ga")
    function = pwl_functions.lookup(text, *(interval or (None, None)), fraction_bits)
    if plot:
        pictures.check_suffix(plot)
    _check_writable(output, plot)
    settings = {"method": method} | ({"seed": 1 if seed is None else seed} if method == "ga" else {})
    start = time.perf_counter()
    with _bar(f"searching {function.name}") as progress:
        tables = pwl_search.search(function, entries, **settings, progress=progress)
    seconds = time.perf_counter() - start
    measured = {s: (pwl.mse(table, s, function), pwl.largest_error(table, s, function)) for s, table in tables.items()}
    rows = [[f"2^-{s}" if s else "1", len(function.codes(s)), *errors] for s, errors in measured.items()]
    title = f"{function.name}, {entries} entries, {' '.join(f'{name} {value}' for name, value in settings.items())}"
    about = {"function": function.text, "range": [function.low, function.high], "entries": entries, **settings}
    about["mse"] = {str(s): mse for s, (mse, _) in measured.items()}
    external.atomic_write(output, pwl.dumps(tables, **about))
    if plot:
        pwl_plot.draw(plot, function, tables, title)
    _table(["scale", "codes", "MSE", "largest error"], rows, title=title)
    click.echo(f"{seconds:.1f} seconds\nwrote {output}")
    if plot:
        click.echo(f"wrote {plot}")


# -- training ----------------------------------------------------------------------------------------------------------


@bitloom.group("train", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1")
def train():
    """Train a small model in a number format or a sparsity pattern."""


@train.command("bdwp", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1 -o digits")
@click.option(
    "--methods",
    "text",
    default="dense,sr-ste-2:8,bdwp-2:8,bdwp-2:4",
    show_default=True,
    metavar="M1,M2,…",
    help="dense, sr-ste-N:M, bdwp-N:M.",
)
@click.option("--seeds", type=Whole(1), default=3, show_default=True, metavar="N", help="Trainings of each.")
@click.option("--epochs", type=Whole(1), default=30, show_default=True, metavar="N", help="Of a training.")
@click.option(
    "--images",
    "count",
    type=Whole(1, 597),
    default=100,
    show_default=True,
    metavar="N",
    help="Test images that go through the tile, of each training.",
)
@_parameters
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bdwp"),
    show_default=True,
    metavar="FOLDER",
    help="Where checkpoints and integer layers are kept. Trainings that it holds go on where they ended.",
)
@_json_file
def train_bdwp(text, seeds, epochs, count, parameters, output, json_file):
    """Train a small vision transformer on digits with N:M sparse weights.

    The data are scikit-learn's 1,797 digits of 8 x 8 pixels, 1,200 to train with and 597 to test. In the blocks' linear
    layers the weights are pruned in the forward product (SR-STE), or also in the product that gives the gradient of the
    inputs (BDWP, bidirectional weight pruning). The work of a step is the products in these layers over those of dense
    training, (2 N / M + 1) / 3 with BDWP. The paper has 1.75 times the speed of dense training at 2:8, and 0.56 % less
    accuracy, on larger models and images; here nothing but the accuracy is measured of training.

    Then the model is quantized to INT8, and its linear layers run through the Verilated nm-tile, which -p configures.
    All results, cycles and classes must be those of the golden integer model.

    Needs the extra: pip install '.[train]'. A training that was ended, by whatever, goes on after its last whole
    epoch when the same command is given again, and ends with the same bits.
    """
    from ..golden.workloads import bdwp as methods
    from ..testbench.sat import bdwp, bdwp_train, vit_tile

    found = bdwp.parse_methods(text)
    tile = catalogue.lookup(vit_tile.CORE).config.parse(parameters)
    vit_tile.check(tile)
    _check_writable(output / "checkpoint", json_file)
    data = bdwp_train.digits()
    states = [
        (method, bdwp.recall(output, method, seed + 1, epochs, *data)) for method in found for seed in range(seeds)
    ]
    for index, (method, state) in enumerate(states):
        name = f"{method}, seed {state.settings['seed']}"
        start = {0: "", epochs: "was trained before, "}.get(state.epoch, f"went on after epoch {state.epoch}, ")
        with _bar(f"training {name} ({index + 1} of {len(states)})") as progress:
            done = bdwp.trained(state, output, method, *data, progress)
        click.echo(f"{name}: {start}{_counted(epochs, 'epoch')}, {done.seconds:.1f} s of processor time")
        states[index] = method, done
    with _stages() as progress:
        progress("compiling the tile")
        design, _ = vit_tile.build(tile)
    rows = []
    for method, state in states:
        with _bar("running on the tile") as progress:
            rows.append(bdwp.measure(state, output, method, *data, tile, design, count, progress))
        if rows[-1]["failure"]:
            click.echo(f"{method}, seed {state.settings['seed']}: {rows[-1]['failure']}")
    summary = methods.summary(rows)
    if json_file:
        settings = {"epochs": epochs, "seeds": seeds, "tile": tile.to_dict()}
        _write_json(json_file, {**settings, "methods": summary, "trainings": rows})
    columns = ["method", "work/step", "accuracy", "lowest", "highest", "loss", "INT8", "seconds"]
    cells = [_training_row(entry) for entry in summary]
    title = f"\nTest accuracy, mean of {_counted(seeds, 'seed')}; loss in percentage points, seconds of processor time"
    _table(columns, cells, title=title)
    columns = ["method", "cycles/image", "over dense", "same classes"]
    cells = [
        [e["method"], round(e["cycles"]), f"{e['speedup']:.2f}x", f"{e['same']:,} of {e['images']:,}"] for e in summary
    ]
    passed = all(row["passed"] for row in rows)
    verdict = "every result and cycle is the golden model's" if passed else "FAILED"
    _table(columns, cells, title=f"\nLinear layers on the Verilated {tile.rows}x{tile.cols} {vit_tile.CORE}: {verdict}")
    click.echo(f"wrote {output}")
    return 0 if passed else FAILED


def _training_row(entry):
    accuracy = entry["accuracy"]
    shares = [f"{value:.2%}" for value in (accuracy["mean"], accuracy["low"], accuracy["high"])]
    loss = None if entry["loss"] is None else f"{100 * entry['loss']:+.2f}"
    return [
        entry["method"],
        f"{entry['work']:.3f}",
        *shares,
        loss,
        f"{entry['int8_accuracy']['mean']:.2%}",
        f"{entry['seconds']:.1f}",
    ]


@_command("evaluate", "bitloom evaluate integer-ops")
@click.argument("what", metavar="integer-ops", type=click.Choice(["integer-ops"]))
@_json_file
def evaluate(what, json_file):
    """Measure what integer softmax, GELU and LayerNorm do to the installed all-MiniLM-L6-v2.

    Mean cosine similarity of sentence embeddings with those of the FP32 model, each operation replaced alone, and all
    together. Inputs and outputs of the operations are INT8 with a power of two as scale for a tensor, found on 8 other
    sentences; softmax gives 8 bits without sign. "exact" is the exact function between those codes, the best that any
    such unit can do; 8 and 16 are piecewise-linear tables of so many entries.
    """
    from ..golden.workloads import integer_model, transformer
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES

    _check_writable(json_file)
    encoder = transformer.Encoder.load()
    with _bar("embedding") as progress:
        rows, scales = integer_model.compare(encoder, SENTENCES, CALIBRATION, progress)
    if json_file:
        counts = {"calibration_sentences": len(CALIBRATION), "sentences": len(SENTENCES)}
        _write_json(json_file, {**counts, "cosine": rows, "scales": {n: vars(found) for n, found in scales.items()}})
    columns = ["replaced", *next(iter(rows.values()))]
    title = f"Mean cosine similarity of {len(SENTENCES)} sentence embeddings with those of FP32"
    _table(columns, [[name, *(f"{value:.4f}" for value in found.values())] for name, found in rows.items()], title)


@_command("example-data", "bitloom example-data -o example")
@click.option(
    "-o",
    "--output",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder.",
)
def example_data(output):
    """Write the inputs that the examples read: A.npy, W.npy, X.npy and codes.npy.

    A and W are int8, (64, 256) and (256, 96); X is float16, (18, 384), for a layer of MiniLM; codes are 2,000 payloads
    of the ovp-decoder. They are the same bytes on every machine. A file of one of these names that is not ours stays
    as it is, and then none is written.
    """
    from ..golden.workloads.example_data import arrays
    from ..testbench.systolic import product as gemm_run

    files = {output / f"{name}.npy": gemm_run.to_bytes(array) for name, array in arrays().items()}
    for path, content in files.items():
        if path.exists() and path.read_bytes() != content:
            raise ValueError(f"{path} exists and is another file: choose a folder with -o")
    for path, content in files.items():
        external.atomic_write(path, content)
        click.echo(f"wrote {path}")


@_command("doctor", "bitloom doctor")
@click.option("--shell", is_flag=True, help='Print what sets a shell up: eval "$(bitloom doctor --shell)"')
@_json_flag
def doctor(as_json, shell):
    """Show which tools were found and where, and how to install what is missing."""
    if shell:
        click.echo("\n".join(external.shell_setup()))
        return 0
    rows = external.doctor()
    if as_json:
        _print_json([vars(row) for row in rows])
    else:
        columns = ["tool", "found", "version", "from", "needed for", "what to do"]
        _table(columns, [[r.tool, r.found, r.version, r.origin, r.needed_for, r.hint] for r in rows])
        _table(["tool", "program"], [[row.tool, row.path] for row in rows if row.found], title="\nWhere they are")
        click.echo('\nTo use them in a shell, from Amaranth too: eval "$(bitloom doctor --shell)"')
    for warning in external.warnings():
        click.echo(f"warning: {warning}", err=True)
    return 0 if all(row.found or external.TOOLS[row.tool].optional for row in rows) else FAILED


if __name__ == "__main__":
    main()
