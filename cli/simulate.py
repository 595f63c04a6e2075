"""A core's Verilog in a simulator: `sim`, `mutate`."""

from pathlib import Path

import click

from . import options
from .numbers import Whole
from .output import FAILED, check_writable, write_json
from .progress import bar


@options.command("sim", "bitloom sim ovp-decoder -p normal=flint4 --seed 7")
@options.core
@options.parameters
@click.option("--vectors", type=Whole(1), metavar="N", help="Random vectors beside the exhaustive ones.")
@options.seed
@click.option("--waves", type=options.OUTPUT, metavar="F", help="Write a waveform (.vcd, .fst).")
@options.json_file
def sim(core, parameters, vectors, seed, waves, json_file):
    """Run a core's Verilog in Verilator against its golden model."""
    from ..testbench import runner

    config = core.config.parse(parameters)
    check_writable(waves, json_file)
    with bar(f"simulating {core.name}") as progress:
        result = runner.simulate(core, config, vectors=vectors, seed=seed, waves=waves, progress=progress)
    if json_file:
        write_json(json_file, result.to_dict())
    path = Path(f"{core.name}-mismatches.json") if result.mismatches else None
    if path:
        result.write_mismatches(path)
    click.echo(result.summary())
    if path:
        click.echo(f"wrote {path}")
    return 0 if result.passed else FAILED


@options.command("mutate", "bitloom mutate ovp-decoder --count 10")
@options.core
@options.parameters
@click.option("--count", type=Whole(1), default=60, show_default=True, help="Number of mutants.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=1, show_default=True, help="Chooses the mutants.")
@options.json_file
def mutate(core, parameters, count, seed, json_file):
    """Count how many small faults in a core its bench finds."""
    from ..testbench import mutate as mutation

    with bar(f"mutating {core.name}") as progress:
        result = mutation.mutate(core, core.config.parse(parameters), count, seed, progress=progress)
    if json_file:
        write_json(json_file, result.to_dict())
    click.echo(result.summary())
    return 0 if result.score >= 0.95 else FAILED
