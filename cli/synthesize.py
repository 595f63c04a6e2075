"""A core's area and speed: `synth`."""

from pathlib import Path

import click

from . import options, terminal
from .numbers import Real, Whole
from .output import FAILED, check_writable, table, write_json
from .progress import bar, stages


@options.command("synth", "bitloom synth ovp-decoder --target ice40-up5k --freq 30")
@options.core
@click.argument("assignments", nargs=-1, metavar="[NAME=V1,V2,…]...")
@options.parameters
@click.option(
    "--target", metavar="T", help="FPGA part, such as ice40-up5k, gowin-gw1n-9 or ecp5-85k, which is a sweep's default."
)
@click.option(
    "--liberty", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F", help="Or: cell library."
)
@click.option("--freq", type=Real(0, min_open=True), metavar="MHz", help="Exit 1 if the estimate is below.")
@click.option("--seed", type=Whole(0, 2**31 - 1), metavar="N", help="Of place and route; 1 by default.")
@click.option("--seeds", type=Whole(1), metavar="N", help="Place and route with seeds 1 to N: median and best.")
@click.option("--sweep", is_flag=True, help="Measure every combination of the values that NAME=V1,V2,… give.")
@click.option("--plot", type=options.OUTPUT, metavar="F", help="Draw the sweep (.png, .svg, .pdf).")
@click.option("--jobs", type=Whole(1), metavar="N", help="Points or seeds at a time; one a CPU by default.")
@options.scheduler
@options.json_file
def synth(core, assignments, parameters, target, liberty, freq, seed, seeds, sweep, plot, jobs, scheduler, json_file):
    """Estimate a core's area and speed on an FPGA part or in a cell library.

    With --sweep, of every combination of parameter values, side by side:

    \b
      bitloom synth ovp-decoder --sweep pairs=1,2,4 normal=int4,int8 --plot decoder.png

    With --seeds, of several places and routes of the same netlist, side by side:

    \b
      bitloom synth ovp-decoder --target ecp5-85k --seeds 5
    """
    for option, given in (("--sweep", sweep), ("--seed", seed is not None), ("--liberty", liberty)):
        if seeds and given:
            raise click.UsageError(f"--seeds does not go with {option}")
    seed = 1 if seed is None else seed
    if sweep:
        return _sweep(core, assignments, parameters, target, liberty, freq, seed, plot, jobs, scheduler, json_file)
    if jobs and not seeds:
        raise click.UsageError("--jobs needs --sweep or --seeds")
    needing = {"--plot": plot, "--scheduler": scheduler}
    for option, given in {**needing, f"argument {' '.join(assignments)!r}": assignments}.items():
        if given:
            raise click.UsageError(f"{option} needs --sweep")
    from ..cores import generate
    from ..synth import flow
    from ..synth import report as reporting
    from ..synth import seeds as several

    config = core.config.parse(parameters)
    check_writable(json_file)
    with stages() as progress:
        if seeds:
            flow.check_request(target, liberty, freq, seed)
            tried = several.run(core, config, target, seeds, freq, jobs, progress)
            report, told = tried.best, tried.to_dict()
        else:
            design = generate.generate(core, config)
            report = flow.synthesize(design, target, liberty=liberty, freq=freq, seed=seed, progress=progress)
            told = report.to_dict()
    if json_file:
        write_json(json_file, told)
    console = terminal.console()
    if console.is_terminal:
        console.print(reporting.table(report))
    else:
        click.echo("\n".join(reporting.lines(report)))
    if seeds:
        click.echo(tried.wording)
    return 0 if report.met is not False else FAILED


def _sweep(core, assignments, parameters, target, liberty, freq, seed, plot, jobs, scheduler, json_file):
    """Measure a core in every combination of parameters."""
    from ..synth import plot as sweep_plot
    from ..synth import sweep
    from ..tools import pictures

    points = sweep.plan(core, parameters, assignments)
    if plot:
        pictures.check_suffix(plot)
    check_writable(plot, json_file)
    if not (target or liberty):
        target = sweep.DEFAULT_TARGET
    with bar(f"measuring {core.name}") as progress:
        swept = sweep.run(core, points, target, liberty, freq, seed, jobs=jobs, progress=progress, scheduler=scheduler)
    if swept.reports and json_file:
        write_json(json_file, swept.to_dict())
    if swept.reports and plot:
        sweep_plot.draw(plot, swept)
    table(*swept.table(), title=f"{core.name} on {swept.target}: {swept.wording}")
    for note in swept.notes:
        click.echo(f"note: {note}")
    if not swept.reports:
        raise ValueError(f"{swept.target} is too small for every point of the sweep")
    if plot:
        click.echo(f"wrote {plot}")
    return 0 if swept.met is not False else FAILED
