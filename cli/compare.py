"""A model through every system: `compare`."""

from pathlib import Path

import click

from . import options
from .numbers import Real, Whole
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
    help="rtl: every product goes through the row's Verilated core, too, and what is between through integer units.",
)
@click.option("--inputs", type=Whole(1), metavar="N", help="Measure on the first N inputs only.")
@click.option("--tokens", type=Whole(2), metavar="N", help="Of a window of a language model's text; 512.")
@click.option("--part", metavar="P", help="Measure the rows' cores on this part, such as ecp5-85k.")
@click.option(
    "--liberty",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="Measure their area in this cell library, and the switching energy of a product on operands of the model.",
)
@click.option(
    "--byte-energy",
    type=Real(0),
    metavar="PJ",
    help="What a byte that is moved costs, an assumption; 162.5, the least that Horowitz (ISSCC 2014) has for DRAM.",
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
@options.scheduler
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="D",
    help="Write a report to look at: index.html, rows.csv and rows.json.",
)
@options.json_file
def compare(
    model, text, way, inputs, tokens, part, liberty, byte_energy, more, trained, jobs, scheduler, folder, json_file
):
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
    products. What was measured before is kept: a comparison that was interrupted goes on.

    With --scheduler the rows are measured on the workers of a dask.distributed cluster, which have the same bitloom,
    the same model and the same file of further rows at the same path.

    Energy is an estimate from toggles of the core's cells, those of the clock's pins apart: without wires, glitches
    and leakage. It is taken from products of the first three inputs, all of whose results must be the golden model's.
    A token has that of its products, and that of the bytes of a pass, each once, divided by its tokens.

    Weights that were trained for a row, as `bitloom train bdwp --model` trains them, are measured by the embeddings of
    MODEL in FP32.
    """
    from ..compare import report
    from ..compare.run import Request

    names = tuple(text.split(",")) if text is not None else None
    request = Request(model, names, way, inputs, tokens, part, liberty, more, byte_energy, trained)
    check_writable(json_file)
    if folder:
        report.check_writable(folder)
    run = request.run(jobs, bar, scheduler)
    if json_file:
        write_json(json_file, run)
    if folder:
        report.write(folder, run)
    _print(run["rows"], model, request)
    if folder:
        click.echo(f"wrote {folder / report.FILES[0]}")
    return FAILED if any(map(_failures, run["rows"])) else 0


def _failures(record):
    """What differed from the golden model, on the way through the core and its units, and in the netlist."""
    from ..compare.measure import failures

    return [*failures(record)[:1], *(record.get("energy") or {}).get("failures", ())[:1]]


#: Columns of a library: area; femtojoules of a product, data and clock; microjoules of a token, switching and bytes.
_CELLS = ["area", "fJ data", "fJ clock", "µJ/token", "bytes, µJ/token"]


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
        *(["RTL", *(["units"] if integer else [])] if request.way == "rtl" else []),
    ]
    columns += [*(["LUT4", "DSP", "MHz", "passes/s"] if request.part else []), *(_CELLS if request.liberty else [])]
    table(columns, [_cells(record, measures, request) for record in records], title=f"{model}: every system")
    if baseline := records[0].get("baseline"):
        scores = _listed({name: f"{value:.4f}" for name, value in baseline["scores"].items()})
        click.echo(f"baseline, {baseline['what']}: {scores}")
    for record in records:
        for failure in _failures(record):
            click.echo(f"{record['row']}: {failure}")
        if chosen := record.get("chosen"):
            click.echo(f"{record['row']}, chosen for this model: {_listed(chosen)}")
    if alone := [record["row"] for record in records if record["core"] is None]:
        click.echo(f"no core here takes these, so they have accuracy alone: {', '.join(alone)}")
    if outside := [record["row"] for record in records if not record["attends"]]:
        click.echo(f"attention is outside of the core, in floating point: {', '.join(outside)}")


def _listed(numbers):
    return ", ".join(f"{name} {value}" for name, value in numbers.items())


def _cells(record, measures, request):
    cells = [record["row"], record["core"], *(f"{record['scores'][name]:.4f}" for name in measures)]
    cells += [f"{value:.4f}" for value in (record["integer_scores"] or {}).values()]
    cells += [f"{record['weight_bits']:.2f}", f"{record['activation_bits']:.2f}", f"{record['bytes'] / 1e6:.2f}"]
    cells += [record["cycles"], None if record["core"] is None else f"{record['utilization']:.1%}"]
    if request.way == "rtl":
        cells.append(_equal(record.get("rtl")))
        cells += [_units(record.get("rtl"))] if record["integer_scores"] else []
    if request.part:
        cells += _speed(record["cycles"], record["fpga"])
    if request.liberty:
        cells += [record["area"] and round(record["area"]["area"]), *_energy(record)]
    return cells


def _equal(rtl):
    if rtl is None:
        return None
    return "differs" if rtl["failures"] else f"{rtl['products']:,} equal"


def _units(rtl):
    """Results of softmax, GELU and LayerNorm through their units."""
    if rtl is None:
        return None
    units = rtl["units"].values()
    if any(unit["failures"] for unit in units):
        return "differ"
    return f"{sum(unit['operations'] for unit in units):,} equal"


def _speed(cycles, fpga):
    """Resources, clock, and how often a second the measured inputs go through; "too large" where there is no room."""
    if fpga is None:
        return [None] * 4
    if "why" in fpga:
        return ["too large", None, None, None]
    return [fpga["uses"]["LUT4"], fpga["uses"]["DSP"], round(fpga["fmax_mhz"]), fpga["fmax_mhz"] * 1e6 / cycles]


def _energy(record):
    from ..compare.report import figures

    told = figures.data_energy(record), figures.clock_energy(record)
    told += figures.switching_token_energy(record), figures.byte_token_energy(record)
    return ["-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in told]
