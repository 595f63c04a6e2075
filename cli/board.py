"""Boards: `build`, `flash`, `selftest`."""

import shlex
from pathlib import Path

import click

from ..cores import catalogue
from . import options
from .numbers import Real, Whole
from .output import FAILED, check_writable, table, write_json
from .progress import bar, stages
from .session import opened


@options.command("build", "bitloom build ovp-decoder --board icebreaker")
@options.core
@options.parameters
@options.board
@click.option("-o", "--output", type=options.OUTPUT, metavar="F", help="Bitstream file.")
@click.option("--baud", type=Whole(), metavar="N", help="Rate of the serial port; the board's default is 115200.")
@click.option(
    "--clock", type=Real(0, min_open=True), metavar="MHz", help="Clock, by the part's PLL; the board's by default."
)
@click.option("--seeds", type=Whole(1), metavar="N", help="Place and route with seeds 1 to N, and keep the fastest.")
@click.option("--jobs", type=Whole(1), metavar="N", help="Seeds at a time; one a CPU by default.")
def build(core, parameters, board, output, baud, clock, seeds, jobs):
    """Make a bitstream of a core behind a UART.

    Without -p the core is configured as the board's default says.

    \b
      bitloom build ovp-decoder --board ulx3s-85f --clock 75 --baud 3000000 --seeds 4
    """
    from ..fpga.bitstream import build as bitstreams

    if jobs and not seeds:
        raise click.UsageError("--jobs needs --seeds")

    config = core.config.parse(parameters) if parameters else None
    with stages() as progress:
        result = bitstreams.build(
            core,
            config,
            board,
            output=output,
            baud=baud,
            clock_mhz=clock,
            seeds=seeds,
            jobs=jobs,
            progress=progress,
        )
    rows = [[name, used, available] for name, (used, available) in result.utilization.items()]
    table(["resource", "used", "available"], rows, title=f"{core.name} on {board.name}: nextpnr's estimate")
    verdict = "met" if result.met else "NOT MET"
    source = f", by the PLL from {result.oscillator_mhz:g}" if result.clock_mhz != result.oscillator_mhz else ""
    whose = "the clock" if source else "the board's clock"
    click.echo(f"Fmax {result.fmax_mhz:.1f} MHz, {whose} is {result.clock_mhz:g} MHz{source}: timing {verdict}")
    if result.seeds:
        click.echo(
            f"seeds 1 to {len(result.seeds)}: median {result.median_mhz:.1f} MHz, "
            f"best {result.fmax_mhz:.1f} MHz (seed {result.seed}), which is kept"
        )
    if baud or source:
        click.echo(f"serial port: {result.baud} baud, {result.baud_error:+.2%} by the clock's divider")
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"wrote {result.bitstream}\nwrote {result.description}")
    return 0 if result.met else FAILED


@options.command("flash", "bitloom flash ovp-decoder --board icebreaker --dry-run")
@options.core
@options.board
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


@options.command("selftest", "bitloom selftest --on twin --vectors 100")
@click.argument("core", metavar="[CORE]", required=False, callback=lambda context, parameter, name: _maybe_core(name))
@options.parameters
@click.option("--on", "where", required=True, metavar="WHERE", help="twin, a serial port, or a bitstream.")
@options.baud
@click.option("--vectors", type=Whole(1), default=1000, show_default=True, metavar="N", help="Random ones beside.")
@options.seed
@options.json_file
def selftest(core, parameters, where, baud, vectors, seed, json_file):
    """Run every vector set of a core's bench on a board, and compare all outputs with the golden model.

    WHERE is as for `bitloom run`. Without CORE it is the one that the board tells, or on the twin the ovp-decoder. What
    only a simulator sees is not compared: stalls inside, latency, cycles.

    \b
      bitloom selftest --on build/ovp-decoder-icebreaker.bin
    """
    from ..fpga.session.session import Session

    check_writable(json_file)
    with opened(Session(where, core, parameters, baud=baud)) as session:
        with bar(f"testing {session.core.name}") as progress:
            result = session.selftest(vectors, seed, progress=progress)
        if json_file:
            told = {"core": session.core.name, "parameters": session.config.to_dict(), "on": where}
            write_json(json_file, {**told, **result.to_dict()})
        verdict = "passed" if result.passed else "FAILED"
        holds = " ".join([session.core.name, *session.config.assignments()])
        click.echo(f"{holds} on {session.name}: {verdict}, seed {result.seed}")
    click.echo(result.summary())
    return 0 if result.passed else FAILED


def _maybe_core(name):
    return None if name is None else catalogue.lookup(name)
