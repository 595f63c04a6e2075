"""Searches on a model or a function: `search anda`, `search pwl`."""

import time
from pathlib import Path

import click

from ..tools.files import atomic_write
from . import options
from .numbers import Real, Whole
from .output import FAILED, check_writable, table
from .progress import bar


@click.group("search", epilog="\b\nExample:\n  bitloom search anda --model minilm --tolerance 0.01")
def search():
    """Search for the parameters of a number format on a real model, or for tables of a function."""


@search.command(
    "anda", epilog="\b\nExample:\n  bitloom search anda --model minilm --tolerance 0.01 -o minilm.anda.json"
)
@options.encoder
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
    type=options.OUTPUT,
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
    from ..testbench.anda.search import kept_search

    check_writable(output)
    encoder = Encoder.load(None if folder == "minilm" else folder)
    with bar("quantizing the weights"):
        model = AndaEncoder(encoder, rounding)
    settings = {"model": model.fingerprint(CALIBRATION), "rounding": rounding, "tolerance": tolerance}
    kept = kept_search(output, settings, iterations)

    def measure(combination=None, sentences=CALIBRATION):
        text = f"{_lengths(combination)} on {len(sentences)} sentences" if combination else "FP16 activations"
        with bar(text) as progress:
            return model.quality(sentences, combination, progress)

    if kept.reference is None:
        kept.reference = measure()
    reference = kept.reference
    click.echo(f"{len(CALIBRATION)} calibration sentences; 4-bit weights, FP16 activations: quality {reference:.6f}")
    click.echo(
        f"accepted from {(1 - tolerance) * reference:.6f}; lengths are those of {', '.join(anda_search.MODULES)}"
    )
    if kept.known:
        click.echo(f"{output} has {len(kept.known)} steps")
    click.echo(f"{'step':>4}  {'lengths':<11}  {'MBOPs/token':>11}  {'saving':>6}  {'quality':>8}  accepted")
    for step in kept.run(measure, model.macs, tolerance):
        cost, saved = step.bops / 1e6, anda_search.saving(step.combination, model.macs)
        line = f"{len(kept.steps):>4}  {_lengths(step.combination):<11}  {cost:>11,.1f}  {saved:>5.2f}x"
        click.echo(f"{line}  {step.quality:>8.6f}  {'yes' if step.accepted else 'no'}")

    best = kept.best
    if best is None:
        kept.save()
        click.echo(f"found nothing within the tolerance in {len(kept.steps)} steps; wrote {output}")
        return FAILED
    test = {"fp16": measure(sentences=SENTENCES), "found": measure(best.combination, SENTENCES)}
    saved = anda_search.saving(best.combination, model.macs)
    kept.save(saving=saved, test=test)
    change = best.quality / reference - 1
    click.echo(f"\nfound {_lengths(best.combination)}: {saved:.2f}x fewer BOPs than FP16, quality {change:+.2%}")
    change = test["found"] / test["fp16"] - 1
    quality = f"quality {test['found']:.6f} against {test['fp16']:.6f} with FP16 activations, {change:+.2%}"
    click.echo(f"on {len(SENTENCES)} sentences that the search has not seen: {quality}\nwrote {output}")
    return 0


def _lengths(combination):
    return ",".join(map(str, combination))


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
    type=options.OUTPUT,
    default=Path("pwl-table.json"),
    show_default=True,
    metavar="F",
    help="The tables, one for each scale.",
)
@click.option("--plot", type=options.OUTPUT, metavar="F", help="Draw it (.png, .svg, .pdf).")
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
    check_writable(output, plot)
    settings = {"method": method} | ({"seed": 1 if seed is None else seed} if method == "ga" else {})
    start = time.perf_counter()
    with bar(f"searching {function.name}") as progress:
        tables = pwl_search.search(function, entries, **settings, progress=progress)
    seconds = time.perf_counter() - start
    measured = {s: (pwl.mse(table, s, function), pwl.largest_error(table, s, function)) for s, table in tables.items()}
    rows = [[f"2^-{s}" if s else "1", len(function.codes(s)), *errors] for s, errors in measured.items()]
    title = f"{function.name}, {entries} entries, {' '.join(f'{name} {value}' for name, value in settings.items())}"
    about = {"function": function.text, "range": [function.low, function.high], "entries": entries, **settings}
    about["mse"] = {str(s): mse for s, (mse, _) in measured.items()}
    atomic_write(output, pwl.dumps(tables, **about))
    if plot:
        pwl_plot.draw(plot, function, tables, title)
    table(["scale", "codes", "MSE", "largest error"], rows, title=title)
    click.echo(f"{seconds:.1f} seconds\nwrote {output}")
    if plot:
        click.echo(f"wrote {plot}")
