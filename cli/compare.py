"""A model through every system: `compare`."""

from pathlib import Path

import click

from . import options
from .numbers import Whole
from .output import FAILED, check_writable, table, write_json
from .progress import bar


@options.command("compare", "bitloom compare minilm --rows int8,ovp-int4,mxfp4 -o report")
@click.argument("model")
@click.option("--rows", "text", metavar="R1,R2,…", help="Rows; all by default.")
@click.option(
    "--on",
    "way",
    type=click.Choice(["golden", "rtl"]),
    default="golden",
    show_default=True,
    help="rtl: every product goes through the row's Verilated core, too.",
)
@click.option("--inputs", type=Whole(1), metavar="N", help="Measure on the first N inputs only.")
@click.option("--tokens", type=Whole(2), metavar="N", help="Of a window of a language model's text; 512.")
@click.option("--jobs", type=Whole(1), metavar="N", help="Rows at a time; by default one for each CPU.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="D",
    help="Write a report to look at: index.html, rows.csv and rows.json.",
)
@options.json_file
def compare(model, text, way, inputs, tokens, jobs, folder, json_file):
    """Compare number formats and systems on a whole model.

    MODEL is minilm, smollm2 or vit-s for the model of an installed wheel, or a sentence encoder's folder, a language
    model's .gguf file, a saliency model's .onnx file. What is measured: the mean cosine similarity of sentences'
    embeddings with those of FP32, and the correlation of documents' similarities with people's ratings; the perplexity
    of a text, and its logarithm; the correlation of maps with those of FP32, and their overlap.

    Linear layers and both products of attention are computed as each system does, to the bit; all else
    stays in floating point; with softmax, GELU and LayerNorm on the integer units of GQA-LUT the measure is that of
    the column "integer". Steps of activations that are set before the model runs are found on other inputs.

    Bits are those of the linear layers' values in memory, scales of groups included. Cycles are those of all products
    on one core of the row's size, one after the other. Utilization is the share of the multipliers' cycles that make
    products. What was measured before is kept.
    """
    from ..compare import report
    from ..compare.measure import measure
    from ..golden.workloads.comparison import models, rows
    from ..tools import workers

    chosen = text.split(",") if text else [*rows.ROWS]
    for name in chosen:
        if name not in rows.ROWS:
            raise ValueError(f"unknown row {name!r}: there are {', '.join(rows.ROWS)}")
    models.subject(model, inputs, tokens)
    check_writable(json_file)
    if folder:
        report.check_writable(folder)
    calls = {name: (model, name, inputs, tokens, way) for name in chosen}
    with bar("rows") as progress:
        records = workers.results(measure, calls, jobs, progress)
    run = {"model": model, "inputs": inputs, "tokens": tokens, "rows": records}
    if json_file:
        write_json(json_file, run)
    if folder:
        report.write(folder, run)
    measures = [*records[0]["scores"]]
    integer = records[0]["integer_scores"] is not None
    columns = [
        "row",
        "core",
        *measures,
        *(f"{name}, integer" for name in measures if integer),
        "bits W",
        "bits A",
        "MB",
        "cycles",
        "busy",
        *(["RTL"] if way == "rtl" else []),
    ]
    table(columns, [_cells(record, measures) for record in records], title=f"{model}: every system")
    for record in records:
        for failure in record.get("rtl", {}).get("failures", ())[:1]:
            click.echo(f"{record['row']}: {failure}")
    if outside := [record["row"] for record in records if not record["attends"]]:
        click.echo(f"attention is outside of the core, in floating point: {', '.join(outside)}")
    if folder:
        click.echo(f"wrote {folder / report.FILES[0]}")
    return FAILED if any(record.get("rtl", {}).get("failures") for record in records) else 0


def _cells(record, measures):
    cells = [record["row"], record["core"], *(f"{record['scores'][name]:.4f}" for name in measures)]
    cells += [f"{value:.4f}" for value in (record["integer_scores"] or {}).values()]
    cells += [f"{record['weight_bits']:.2f}", f"{record['activation_bits']:.2f}", f"{record['bytes'] / 1e6:.2f}"]
    cells += [record["cycles"], f"{record['utilization']:.1%}"]
    if rtl := record.get("rtl"):
        cells.append("differs" if rtl["failures"] else f"{rtl['products']:,} equal")
    return cells
