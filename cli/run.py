"""Real data through a core: `run CORE`, `run matmul`, `run layer`, `run model`."""

import shlex
from pathlib import Path

import click

from ..cores import catalogue
from . import options
from .machine import run_model
from .output import FAILED, check_writable, decibels, table, write_json
from .progress import bar
from .session import opened

_FILE = click.Path(path_type=Path)

_on = click.option(
    "--on",
    "where",
    default="rtl",
    show_default=True,
    metavar="WHERE",
    help="rtl, twin, a serial port, or a bitstream; see bitloom run --help.",
)
_output = click.option(
    "-o",
    "--out",
    "--output",
    "output",
    required=True,
    type=options.OUTPUT,
    metavar="F",
    help="The results, a .npy file.",
)
_no_check = click.option("--no-check", is_flag=True, help="Compare with nothing.")


class _Run(click.Group):
    """The command `run`, to which the name of every core is a command too."""

    _core = "CORE"
    _hint = "bitloom.new_spelling"

    def resolve_command(self, context, args):
        name, *rest = args
        if new := _new_name(name, rest):
            context.meta[self._hint] = shlex.join(["bitloom", "run", new, *rest])
            name = new
        if name not in self.commands:
            return catalogue.lookup(name).name, self.commands[self._core], rest
        return name, self.commands[name], rest

    def invoke(self, context):
        status = super().invoke(context)
        # Not before: of a wrong request one line is told, and that is what is wrong.
        if hint := context.meta.get(self._hint):
            click.echo(f"bitloom: this is now spelled: {hint}", err=True)
        return status


def _new_name(name, words):
    """What an old spelling is now, for one release; `run gemm` with streams is the core of that name."""
    if name == "sevedo":
        return "layer"
    streams = any(word in ("-h", "--help") or word.partition("=")[0] == "--in" for word in words)
    return "matmul" if name == "gemm" and not streams else None


@click.group("run", cls=_Run, epilog="\b\nExample:\n  bitloom run matmul --format int8 A.npy W.npy -o Y.npy")
def run():
    """Run a matrix product, a layer, a whole model, or payloads through any core.

    CORE is the name of a core, as `bitloom list` shows them.

    --on WHERE tells what it runs on: rtl, the Verilated core, which is fast; twin, a board with its serial pins,
    Verilated; a serial port, such as /dev/ttyUSB0, with a board that `bitloom flash` programmed; or a bitstream of
    `bitloom build` for an iCE40, read back and Verilated. A layer runs on rtl only. Without -p the parameters are those
    that a board or a bitstream tells, or the core's default.
    """


@options.command("CORE", "bitloom run ovp-decoder --on twin --in codes.npy -o values.npy")
@_on
@options.baud
@click.option("--in", "inputs", multiple=True, metavar="[NAME=]F", help="Payloads of an input stream; see above.")
@click.option("--set", "settings", multiple=True, metavar="NAME=N", help="Set an input port that belongs to no stream.")
@_no_check
@options.parameters
@_output
@options.json_file
@click.pass_context
def run_core(context, where, baud, inputs, settings, no_check, parameters, output, json_file):
    """Send payloads through a core.

    A .npy file holds a transfer in each row, its payload as bytes, the lowest first; or in each element, as an integer,
    for payloads of at most 64 bits. A .npz file holds an array for each field of the payload: `lanes` of shape
    (transfers, lanes), `last` of shape (transfers,), or one number for all transfers; groups[i].codes[j] is the array
    groups.codes. The outputs are written likewise, each stream to a file, its fields to one whose name ends in .npz.

    `bitloom info CORE` shows the streams and their fields. NAME before the first = is a stream of the core; where it
    has none of that name, all of it is the file.

    What comes out is compared with the golden model where that takes any payloads; else, but for rtl, with the
    Verilated core.
    """
    from ..cores.interface import layouts
    from ..fpga.session.session import Session
    from ..testbench import payload_files, payloads

    check_writable(output, json_file)
    session = Session(where, context.info_name, parameters, baud=baud)
    given = payloads.parse_files(inputs, session.channels.inputs)
    constants = payloads.parse_settings(settings)
    arrays = {name: payload_files.load(path) for name, path in given.items()}
    with opened(session):
        shapes = layouts(session.core.component(session.config))
        rows = payloads.streams(session.channels.inputs, arrays, session.channels.settings, constants, shapes)
        with bar(f"running {session.core.name}") as progress:
            result = session.run(rows, constants, check=not no_check, progress=progress)
        report = _core_report(session, rows, result)
    if json_file:
        measured = {"core": session.core.name, "parameters": session.config.to_dict(), "on": where}
        write_json(json_file, measured | result.to_dict())
    numbers = payload_files.are_numbers(arrays.values())
    written = payloads.output_files(output, session.channels.outputs) if result.passed else {}
    for name, path in written.items():
        payload_files.save(path, result.outputs[name], shapes[name], numbers)
    return _told(session.core.name, report, result, *written.values())


@options.command("matmul", "bitloom run matmul --format int8 A.npy W.npy -o Y.npy")
@click.argument("a", metavar="A", type=_FILE)
@click.argument("w", metavar="W", type=_FILE)
@_on
@options.baud
@_no_check
@click.option("--format", "formats", metavar="F", help="Of both operands, or A,W: int8,int4. Needed on rtl and twin.")
@options.parameters
@_output
@options.json_file
def matmul(a, w, where, baud, no_check, formats, parameters, output, json_file):
    """Run a matrix product through a systolic tile.

    A is (M, K), W is (K, N), both .npy files. Integers are values in units of one scale step, and so is the product,
    int64. Floating-point numbers are quantized, A with one step, W with one for each column; the product is float32. On
    rtl it is the core systolic-tile that runs, elsewhere the core gemm, the tile behind two memories.
    """
    from ..fpga.session.session import Session, product_core
    from ..golden.workloads.product import prepare
    from ..testbench import array_files

    if where in ("rtl", "twin") and not formats:
        raise click.UsageError(f"--format must be given on {where}")
    chosen = [*_parse_formats(formats, parameters), *parameters] if formats else parameters
    check_writable(output, json_file)
    session = Session(where, product_core(where), chosen, baud=baud)
    a, w = map(array_files.load, (a, w))
    with opened(session):
        problem = prepare(a, w, session.config)
        with bar("multiplying") as progress:
            result = session.multiply(problem, check=not no_check, progress=progress)
        report = _product_report(session, problem, result)
    errors = problem.errors(result.product) if result.passed else {}
    if errors:
        report |= {"relative error": errors["relative_error"], "SQNR dB": decibels(errors["sqnr_db"], ".4g")}
    if json_file:
        measured = {"shape": problem.shape, "parameters": session.config.to_dict()}
        write_json(json_file, measured | result.to_dict() | errors)
    if result.passed:
        array_files.save(output, problem.restored(result.product))
    return _told("matmul", report, result, output)


def _parse_formats(text, parameters):
    """Assignments of both operands' formats, from one text.

    Parameters
    ----------
    text : str
        One format for both, or those of the activations and the weights, with a comma between them.
    parameters : iterable of str
        The other `NAME=VALUE` texts.

    Raises
    ------
    ValueError
        For more than two formats, for formats that do not go together, and for parameters that give a format again.
    """
    from ..golden.systolic import check_formats

    names = text.split(",")
    if len(names) > 2:
        raise ValueError(f"--format must be one format, or two with a comma between them, not {text!r}")
    a_format, w_format = names[0], names[-1]
    check_formats(a_format, w_format)
    for parameter in parameters:
        name = parameter.partition("=")[0]
        if name in ("a_format", "w_format"):
            raise ValueError(f"{name} must be given by --format alone, not by -p {parameter} too")
    return [f"a_format={a_format}", f"w_format={w_format}"]


@options.command("layer", "bitloom run layer minilm.sevedo.npz X.npy --layer layer.0.attention.output -o Y.npy")
@click.argument("layers", metavar="LAYERS", type=_FILE)
@click.argument("x", metavar="X", type=_FILE)
@click.option("--layer", "name", metavar="NAME", help="Which one of the file.")
@click.option("--on", "where", type=click.Choice(["rtl"]), default="rtl", show_default=True, help="The Verilated core.")
@options.parameters
@_output
@options.json_file
def run_layer(layers, x, name, where, parameters, output, json_file):
    """Run a linear layer through the SeVeDo core.

    LAYERS is a file of `bitloom quantize --format sevedo`, X is (M, K), a .npy file. The layer's output is float16, and
    is compared with the golden model.
    """
    from ..fpga.session.session import Session
    from ..golden.sevedo import layer as sevedo
    from ..testbench import array_files
    from ..testbench.sevedo.layer import parameters_of

    check_writable(output, json_file)
    known = sevedo.load(layers)
    if name not in known:
        raise click.UsageError(f"--layer must be one of {', '.join(known)}, not {name}")
    layer = known[name]
    x = sevedo.activations(array_files.load(x), layer)
    with opened(Session(where, "sevedo-core", [*parameters_of(layer), *parameters])) as session:
        with bar("multiplying") as progress:
            result = session.linear(layer, x, progress=progress)
        config = session.config
    if json_file:
        write_json(json_file, {"layer": name, "parameters": config.to_dict(), **result.to_dict()})
    if result.passed:
        array_files.save(output, result.y)
    return _told("layer", _layer_report(name, layer, config, result, len(x)), result, output)


for _command in (run_core, matmul, run_layer, run_model):
    run.add_command(_command)


# -- what is told ------------------------------------------------------------------------------------------------------


def _told(name, report, result, *written):
    """Print a report, and what failed or what was written; the exit status."""
    table([name, "value"], [*report.items()])
    if not result.passed:
        click.echo(result.failure)
        return FAILED
    for path in written:
        click.echo(f"wrote {path}")
    return 0


def _check(result, passed="passed"):
    return ("none" if result.checked is None else passed) if result.passed else "FAILED"


def _assignments(config):
    return " ".join(config.assignments()) or "default"


def _core_report(session, rows, result):
    return {
        "parameters": _assignments(session.config),
        "on": session.name,
        "payloads in": sum(map(len, rows.values())),
        "payloads out": result.transfers,
        **{f"flag {name}": int(value) for name, value in result.flags.items()},
        **({} if session.repeated is None else {"requests repeated": session.repeated}),
        "seconds to run": f"{result.seconds:.2f}",
        "check": _check(result, f"equals the {result.checked}"),
    }


def _product_report(session, problem, result):
    config = session.config
    report = {
        "shape": "x".join(map(str, problem.shape)),
        "tile": f"{config.rows}x{config.cols}, {config.dataflow}",
        "format": f"{config.a_format} x {config.w_format}, accumulator of {config.accumulator} bits",
    }
    if session.repeated is None:
        report |= {
            "cycles": result.cycles,
            "utilization": f"{result.utilization:.2%}",
            "multiply-accumulates": result.macs,
            "simulated MAC/s": round(result.macs_per_second),
            "seconds to compile": f"{result.compile_seconds:.2f}",
        }
    else:
        report |= {
            "on": session.name,
            "bytes sent": result.sent,
            "bytes received": result.transfers * session.channels.outputs["o"].bytes,
            "requests repeated": session.repeated,
        }
    return {**report, "seconds to run": f"{result.seconds:.2f}", "check": _check(result)}


def _layer_report(name, layer, config, result, tokens):
    return {
        "layer": f"{name}, {layer.shape[0]} x {layer.shape[1]}, rank {layer.low_rank.rank}",
        "tokens": tokens,
        "parameters": _assignments(config),
        "cycles": f"{result.cycles} (at least {result.least_cycles})",
        "MAC/cycle": f"{result.macs / result.cycles:.1f}" if result.cycles else "none",
        "seconds to compile": f"{result.compile_seconds:.2f}",
        "seconds to run": f"{result.seconds:.2f}",
        "check": "passed" if result.passed else "FAILED",
    }
