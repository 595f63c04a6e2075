"""`demo search`: the machine embeds what is typed, and the nearest of a hundred sentences come back."""

import hashlib
import sys
from pathlib import Path

import click

from . import options
from .machine import WORD_CYCLES, link_baud, placed, read_program
from .machine import clock as clock_option
from .numbers import Whole
from .output import FAILED, check_writable, table, write_json
from .progress import bar

__all__ = ["search"]


@options.command("search", 'bitloom demo search "a story about the sea"')
@click.argument("query", metavar="[QUERY]...", nargs=-1)
@click.option(
    "--program",
    type=click.Path(path_type=Path),
    metavar="F",
    help="A file of bitloom compile; by default all-MiniLM-L6-v2, compiled once and kept.",
)
@click.option(
    "--on",
    "where",
    default="golden",
    show_default=True,
    metavar="WHERE",
    help="golden, the machine's model; rtl, twin or a serial port, as of bitloom run model.",
)
@link_baud
@click.option("--limit", type=Whole(1), default=5, show_default=True, metavar="N", help="Sentences that come back.")
@clock_option
@options.json_file
def search(query, program, where, baud, limit, clock, json_file):
    """Search a hundred sentences by meaning, on the machine.

    The machine embeds the query: token ids go in, an embedding comes out, and nothing else crosses the cable. Without a
    QUERY a line is read at a time, until an empty one.

    The energy is an estimate: bytes read from the memory and multiplications, with the numbers that Horowitz has for
    chips of 45 nm (ISSCC 2014). An FPGA takes more.
    """
    from ..golden.workloads import machine_program

    check_writable(json_file)
    made, about = read_program(program) if program else _minilm()
    with bar("loading the model"):
        encoder = machine_program.load(about["model"])

    def run(texts, batch=1):
        return machine_program.Run(made, about["model"], texts, batch, encoder)

    told, failed = [], False
    if query:
        run([" ".join(query)])  # Refused before the machine is there.
    topics = _topics(made, run)
    with placed(where, made, about, baud) as machine:
        for text in [" ".join(query)] if query else _lines():
            try:
                asked = run([text])
            except ValueError as error:
                if query:
                    raise
                click.echo(str(error))
                continue
            report = _answer(asked, machine, topics, limit)
            _tell(report, clock)
            failed = failed or bool(report["failure"])
            told.append(report)
    if json_file:
        write_json(json_file, told)
    return FAILED if failed else 0


def _lines():
    """What is typed, line by line, up to an empty line or the end."""
    asks = sys.stdin.isatty()
    while True:
        if asks:
            click.echo("query: ", nl=False)
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line


def _minilm():
    """The program of all-MiniLM-L6-v2 for the machine's default sizes, made once."""
    from ..compare import kept
    from ..cores.machine.config import MachineConfig
    from ..golden.machine import program
    from ..golden.workloads import machine_program
    from ..tools.files import atomic_write

    config = MachineConfig()
    path = kept.place(("golden", "cores"), None, "minilm", config.to_dict(), folder="search").with_suffix(".npz")
    if not path.is_file():
        with bar("compiling all-MiniLM-L6-v2 for the machine"):
            made = machine_program.program(machine_program.load("minilm"), config.sizes)
            atomic_write(path, program.dumps(made, {"model": "minilm", "parameters": config.to_dict()}))
    return read_program(path)


def _topics(made, run):
    """Sums of the sentences that are searched, on the golden machine; kept."""
    import numpy as np

    from ..compare import kept
    from ..golden.machine.executor import Executor
    from ..golden.workloads.topics import TOPICS

    def embed():
        executor, sums = Executor(made), []
        passes = run(TOPICS, len(TOPICS)).passes
        with bar(f"embedding {len(TOPICS)} sentences") as progress:
            for each in passes:
                sums += executor(each).tolist()
                progress(len(sums), len(TOPICS))
        return sums

    digest = hashlib.sha256(made.words.tobytes()).hexdigest()
    return np.array(kept.kept(embed, kept.place(("golden",), None, digest, list(TOPICS), folder="search")))


def _answer(asked, machine, topics, limit):
    """Embed a query, and find what is near."""
    from ..golden.machine import cycles
    from ..golden.workloads import machine_search
    from ..golden.workloads.topics import TOPICS

    program, tokens = asked.program, len(asked.passes[0][0])
    time = cycles.timeline(program, [tokens], WORD_CYCLES * program.sizes.word_bits / 64)
    counted, read, failure = round(time.cycles), time.words, None
    if machine:
        with bar("embedding") as progress:
            ran = machine(asked.passes, progress)
        ran.check(asked.golden())
        sums, failure = ran.sums, ran.failure
        counted, read = (ran.outcomes[0].counters[name] for name in ("cycles", "words"))
    else:
        with bar("embedding"):
            sums = asked.golden()
    cost = machine_search.Cost(counted, read * program.sizes.word_bits // 8, time.macs)
    near = machine_search.nearest(topics, sums[0], limit)
    return {
        "query": asked.sentences[0],
        "tokens": tokens,
        "nearest": [{"sentence": TOPICS[index], "similarity": similarity} for index, similarity in near],
        "cycles": cost.cycles,
        "counted_by": "machine" if machine else "model",
        "bytes": cost.bytes,
        "products": cost.products,
        "energy_joules": cost.energy,
        "failure": failure,
    }


def _tell(report, clock):
    rows = [[f"{row['similarity']:.3f}", row["sentence"]] for row in report["nearest"]]
    table(["similarity", "sentence"], rows, title=f"{report['query']} ({report['tokens']} tokens)")
    counted = "counted" if report["counted_by"] == "machine" else "of the model of cycles"
    milliseconds = report["cycles"] / clock / 1e3
    click.echo(f"{report['cycles']:,} cycles, {counted}: {milliseconds:.1f} ms at {clock:g} MHz")
    click.echo(
        f"{1e3 * report['energy_joules']:.2f} mJ by estimate: {report['bytes'] / 1e6:.1f} MB from the memory, "
        f"{report['products'] / 1e6:.0f} million products, at figures of 45 nm"
    )
    if report["counted_by"] == "machine":
        click.echo(f"check: {report['failure'] or 'every sum is that of the golden machine'}")
