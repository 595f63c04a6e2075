"""A model through every system: `compare`."""

from pathlib import Path

import click

from . import options
from .numbers import Whole
from .output import FAILED, check_writable, table, write_json
from .progress import bar


def _trained(context, parameter, values):
    for value in values:
        if not all(value.partition("=")):
            raise ValueError(f"trained weights must be ROW=FOLDER, not {value!r}")
    return values


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
@click.option("--part", metavar="P", help="Measure the rows' cores on this part, such as ecp5-85k.")
@click.option(
    "--liberty",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="Measure their area in this cell library.",
)
@click.option(
    "--more",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="A Python file with a list ROWS of further rows.",
)
@click.option(
    "--trained",
    multiple=True,
    callback=_trained,
    metavar="ROW=FOLDER",
    help="A further row: ROW with the weights of a sentence encoder that was trained for it. May be repeated.",
)
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
def compare(model, text, way, inputs, tokens, part, liberty, more, trained, jobs, folder, json_file):
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

    Weights that were trained for a row, as `bitloom train bdwp --model` trains them, are measured by the embeddings of
    MODEL in FP32.
    """
    from ..compare import report
    from ..compare.run import Request

    names = tuple(text.split(",")) if text else None
    request = Request(model, names, way, inputs, tokens, part, liberty, more, trained)
    check_writable(json_file)
    if folder:
        report.check_writable(folder)
    run = request.run(jobs, bar)
    if json_file:
        write_json(json_file, run)
    if folder:
        report.write(folder, run)
    _print(run["rows"], model, request)
    if folder:
        click.echo(f"wrote {folder / report.FILES[0]}")
    return FAILED if any(record.get("rtl", {}).get("failures") for record in run["rows"]) else 0


def _print(records, model, request):
    measures = [*records[0]["scores"]]
    integer = records[0]["integer_scores"] or {}
    columns = [
        "row",
        "core",
        *measures,
        *(f"{name}, integer" for name in integer),
        "bits W",
        "bits A",
        "MB",
        "cycles",
        "busy",
        *(["RTL"] if request.way == "rtl" else []),
    ]
    columns += [*(["LUT4", "DSP", "MHz", "passes/s"] if request.part else []), *(["area"] if request.liberty else [])]
    table(columns, [_cells(record, measures) for record in records], title=f"{model}: every system")
    for record in records:
        for failure in record.get("rtl", {}).get("failures", ())[:1]:
            click.echo(f"{record['row']}: {failure}")
    if outside := [record["row"] for record in records if not record["attends"]]:
        click.echo(f"attention is outside of the core, in floating point: {', '.join(outside)}")


def _cells(record, measures):
    cells = [record["row"], record["core"], *(f"{record['scores'][name]:.4f}" for name in measures)]
    cells += [f"{value:.4f}" for value in (record["integer_scores"] or {}).values()]
    cells += [f"{record['weight_bits']:.2f}", f"{record['activation_bits']:.2f}", f"{record['bytes'] / 1e6:.2f}"]
    cells += [record["cycles"], f"{record['utilization']:.1%}"]
    if rtl := record.get("rtl"):
        cells.append("differs" if rtl["failures"] else f"{rtl['products']:,} equal")
    if fpga := record.get("fpga"):
        cells += _speed(record["cycles"], fpga)
    if area := record.get("area"):
        cells.append(round(area["area"]))
    return cells


def _speed(cycles, fpga):
    """Resources, clock, and how often a second the measured inputs go through; "too large" where there is no room."""
    if "why" in fpga:
        return ["too large", None, None, None]
    return [fpga["uses"]["LUT4"], fpga["uses"]["DSP"], round(fpga["fmax_mhz"]), fpga["fmax_mhz"] * 1e6 / cycles]
