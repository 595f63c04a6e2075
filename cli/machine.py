"""Whole encoders on the machine: `compile`; `run model`."""

import contextlib
from pathlib import Path

import click

from ..tools.files import atomic_write
from . import options
from .numbers import Real, Whole
from .output import FAILED, check_writable, counted, table, write_json
from .progress import bar
from .session import opened

__all__ = ["WORD_CYCLES", "clock", "compile_model", "disassemble", "link_baud", "placed", "read_program", "run_model"]

#: Cycles that the memory of a board takes for a word: 64 bits over 16 wires, 98 % of the time.
WORD_CYCLES = 4.07

clock = click.option(
    "--clock",
    type=Real(0, min_open=True),
    default=95.0,
    show_default=True,
    metavar="MHZ",
    help="Clock that sentences a second are for.",
)
link_baud = click.option(
    "--baud", type=Whole(1), default=3_000_000, show_default=True, metavar="N", help="Rate of a serial port."
)


@options.command("compile", "bitloom compile minilm -o minilm.npz")
@click.argument("model", metavar="MODEL")
@click.option(
    "--format",
    "format_name",
    metavar="F",
    help="Of weights and inputs of linear layers, int8 or ovp-int4: the parameter of this name.",
)
@options.parameters
@click.option("--board", "board_name", metavar="B", help="For the machine that `bitloom build machine` puts there.")
@click.option(
    "--tokens", type=Whole(1), default=16, show_default=True, metavar="N", help="Of the sentences that are timed."
)
@click.option("--batch", type=Whole(1), default=1, show_default=True, metavar="N", help="Sentences of a pass.")
@click.option(
    "--word-cycles",
    type=Real(0, min_open=True),
    default=WORD_CYCLES,
    show_default=True,
    metavar="N",
    help="Cycles that the memory takes for a word; 4.07: 64 bits over 16 wires, 98 % of the time.",
)
@clock
@click.option("-o", "--output", type=options.OUTPUT, metavar="F", help="The program, a .npz file.")
@options.json_file
def compile_model(model, format_name, parameters, board_name, tokens, batch, word_cycles, clock, output, json_file):
    """Turn a sentence encoder into jobs and a memory image for the machine, and estimate its time.

    MODEL is minilm for the installed all-MiniLM-L6-v2, or a folder with config.json, model.safetensors and the
    tokenizer. The parameters are those of the machine, by default those of the ulx3s-85f. The steps of all tensors are
    found on sentences of our own.

    Cycles are those of a model of the machine, which is held against the simulated one. "Busy" is the share of the
    multipliers' cycles that make products of tokens.
    """
    from ..golden.machine import cycles, program
    from ..golden.workloads import machine_program

    config = _machine([*parameters, *([f"format={format_name}"] if format_name else [])], board_name)
    output = output or Path(f"{Path(model).name}.machine.npz")
    check_writable(output, json_file)
    encoder, counts = machine_program.load(model), [tokens] * batch
    with bar("compiling"):
        made = machine_program.program(encoder, config.sizes)
    time = cycles.timeline(made, counts, word_cycles)
    about = {"model": model if model == "minilm" else str(Path(model).resolve()), "parameters": config.to_dict()}
    atomic_write(output, program.dumps(made, about))
    parts = cycles.parts(time)
    rate = clock * 1e6 / time.cycles * batch
    rows = [[p["part"], p["jobs"], round(p["cycles"]), round(p["waited"]), p["bound"]] for p in parts]
    megabytes = len(made.words) * config.word / 8e6
    title = (
        f"{model}: {counted(len(made.jobs), 'job')}, {megabytes:.1f} MB; a pass of {batch} x {counted(tokens, 'token')}"
    )
    table(["part", "jobs", "cycles", "waiting for weights", "bound by"], rows, title=title)
    busy = time.macs / config.lanes**2 / time.cycles
    click.echo(
        f"{round(time.cycles):,} cycles, multipliers busy {busy:.1%}, {rate:.2f} sentences/s at {clock:g} MHz (model)"
    )
    if json_file:
        told = {"cycles": time.cycles, "words": time.words, "macs": time.macs, "sentences_per_second": rate}
        write_json(json_file, {"model": model, **told, "busy": busy, "parameters": config.to_dict(), "parts": parts})
    click.echo(f"wrote {output}")


def _machine(parameters, board_name):
    """The machine of `-p`, or of a board."""
    from ..cores.machine.config import MachineConfig

    if not board_name:
        return MachineConfig.parse(parameters)
    if parameters:
        raise click.UsageError("--board has parameters of its own: give it or -p")
    from ..cores import catalogue
    from ..fpga.bitstream import boards

    held = boards.lookup(board_name).config(catalogue.lookup("machine")).portable()
    return MachineConfig(**{name: getattr(held, name) for name in MachineConfig.__dataclass_fields__})


def disassemble(path):
    """Print the jobs of a program."""
    from ..golden.machine import jobs

    made, about = read_program(path)
    click.echo(f"{path.name}: {about['model']}, {counted(len(made.words), 'word')}, {counted(len(made.jobs), 'job')}")
    for index, job in enumerate(made.jobs):
        click.echo(f"{index:4}  {jobs.text(job)}")


@options.command("model", 'bitloom run model minilm.npz --on golden "a red car" "a fast vehicle" "fresh bread"')
@click.argument("program", metavar="PROGRAM", type=click.Path(path_type=Path))
@click.argument("sentences", metavar="SENTENCE...", nargs=-1, required=True)
@click.option(
    "--on",
    "where",
    default="rtl",
    show_default=True,
    metavar="WHERE",
    help="rtl, twin or a serial port, compared with the golden machine; or golden, that one alone.",
)
@link_baud
@click.option(
    "--check",
    type=click.Choice(["sums", "tensors"]),
    default="sums",
    show_default=True,
    help="On rtl: hold the sums against the golden machine, or every tensor against the golden encoder.",
)
@click.option("--batch", type=Whole(1), default=1, show_default=True, metavar="N", help="Sentences of a pass, at most.")
@clock
@options.json_file
def run_model(program, sentences, where, baud, check, batch, clock, json_file):
    """Embed sentences on the machine.

    PROGRAM is a file of `bitloom compile`. Token ids go in, embeddings come back; the model that was compiled tells the
    ids, and what its embeddings are in float32. With `--check tensors` each sentence goes alone, behind a memory of a
    word a cycle, and nothing but what was compared is told.

    On twin, a board with its serial pins, Verilated, and on the serial port of a board that `bitloom flash` programmed,
    the image is sent first, but for those blocks that the board's memory has already.
    """
    from ..golden.workloads import machine_program

    check_writable(json_file)
    made, about = read_program(program)
    if check == "tensors" and (where != "rtl" or batch != 1):
        raise ValueError("--check tensors must be with --on rtl and --batch 1")
    with bar("tokens"):
        run = machine_program.Run(made, about["model"], sentences, batch)
    if check == "tensors":
        return _check_tensors(made, about, run, json_file)
    with placed(where, made, about, baud) as machine:
        with bar("golden machine"):
            sums, ran = run.golden(), None
        if machine:
            with bar("simulating the machine" if where == "rtl" else "running the machine") as progress:
                ran = machine(run.passes, progress)
            ran.check(sums)
            sums = ran.sums
    report = run.report(sums)
    columns = ["sentence", "tokens", "cosine with float32", "nearest", "similarity"]
    table(
        columns,
        [
            [row["sentence"], row["tokens"], f"{row['cosine']:.4f}", row["nearest"], row["similarity"]]
            for row in report["sentences"]
        ],
    )
    if ran:
        report["passes"] = [outcome.counters for outcome in ran.outcomes]
        _tell(ran, clock, len(sums), "simulated" if where == "rtl" else "answered")
    if json_file:
        write_json(json_file, report | ({"failure": ran.failure} if ran else {}))
    return FAILED if ran and ran.failure else 0


@contextlib.contextmanager
def placed(where, made, about, baud=None):
    """A program where it is to run: what takes passes and progress and gives a `Ran`; None for the golden machine.

    Parameters
    ----------
    where : str
        golden, rtl, twin or a serial port.
    made, about : Program, dict
        As of a program's file.
    baud : int, optional
        Of a serial port.
    """
    if where == "golden":
        yield None
    elif where == "rtl":
        from ..cores.machine.config import MachineConfig
        from ..testbench.machine import simulated

        config = MachineConfig(**about["parameters"])
        yield lambda passes, progress=None: simulated.run(config, made, passes, progress=progress)
    else:
        from ..fpga.session.machine import twin_parameters
        from ..fpga.session.session import Session

        # What a port has, it tells.
        held = ("machine", twin_parameters(about["parameters"])) if where == "twin" else ()
        with opened(Session(where, *held, baud=baud)) as session:
            with bar("loading the image") as progress:
                machine = session.machine(made, progress=progress)
            yield lambda passes, progress=None: machine.run(made, passes, progress)


def _check_tensors(made, about, run, json_file):
    """Hold every tensor of some sentences against the encoder's, and tell what was compared; the exit status."""
    from ..cores.machine.config import MachineConfig
    from ..golden.machine.compiler import compile_encoder
    from ..golden.workloads import machine_program
    from ..testbench.machine import tensors

    with bar("integer encoder"):
        encoder = machine_program.integer_encoder(run.encoder, made.sizes)
        again = compile_encoder(encoder, made.sizes)
    if again.words.shape != made.words.shape or (again.words != made.words).any():
        raise ValueError(f"the program must be what {about['model']} is compiled to now, not an older one")
    ids = [row for sentences in run.passes for row in sentences]
    with bar("simulating the machine") as progress:
        checked = tensors.check_encoder(MachineConfig(**about["parameters"]), made, encoder, ids, progress=progress)
    click.echo(
        f"{counted(len(ids), 'sentence')}, {checked.cycles:,} cycles: {checked.tensors:,} tensors, "
        f"{len(checked.names)} a sentence, {checked.values:,} values; {checked.wrong:,} differ"
    )
    click.echo(f"check: {checked.failure or 'every tensor is that of the golden encoder'}")
    if json_file:
        told = {name: getattr(checked, name) for name in ("tensors", "values", "wrong", "failure", "cycles")}
        write_json(json_file, told | {"names": sorted(checked.names)})
    return FAILED if checked.failure else 0


def _tell(ran, clock, sentences, how):
    """Cycles of all passes, and whether they were right."""
    total = {name: sum(outcome.counters[name] for outcome in ran.outcomes) for name in ran.outcomes[0].counters}
    cycles = total["cycles"]
    click.echo(f"{cycles:,} cycles: {sentences * clock * 1e6 / max(cycles, 1):.2f} sentences/s at {clock:g} MHz")
    shares = ", ".join(f"{name} {total[name] / max(cycles, 1):.1%}" for name in ("steps", "waiting", "rows", "words"))
    click.echo(f"of them {shares}; {how} in {ran.seconds:.1f} s")
    click.echo(f"check: {ran.failure or 'every sum is that of the golden machine'}")


def read_program(path):
    """The program of a file, and what else it tells."""
    from ..golden.machine import program

    try:
        return program.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
