"""Formats on models: `quantize`, `evaluate`."""

import click

from ..tools.files import atomic_write, replacing
from . import options
from .numbers import Whole
from .output import check_writable, counted, decibels, table, write_json
from .progress import bar


def _patterns(option, text):
    """An option of patterns of tensors' names."""
    return click.option(option, multiple=True, metavar="PATTERN", help=text)


@options.command("quantize", "bitloom quantize minilm --format ovp-int4 -o minilm.ovp-int4.safetensors")
@click.argument("file", callback=options.weights)
@click.option(
    "--format",
    "format_name",
    required=True,
    metavar="F",
    help="Weight format, such as ovp-int4, int4, mxfp4, hgq or sevedo.",
)
@click.option("-o", "--output", type=options.OUTPUT, metavar="F", help="Codes and scales.")
@_patterns("--take", "Take a matrix of such a name, outputs x inputs.")
@_patterns("--transposed", "Take it, inputs x outputs.")
@_patterns("--skip", "Leave it.")
@click.option("--coarse", type=Whole(), metavar="N", help="hgq, sevedo: values that share a scale; 128.")
@click.option("--fine", type=Whole(), metavar="N", help="hgq, sevedo: values that share a shift; 16.")
@click.option("--rank", type=Whole(), metavar="R", help="sevedo: of the low-rank path; 32.")
@click.option(
    "--precision",
    type=click.Choice(["int8", "rank", "channel", "both"]),
    help="sevedo: what may have 16 bits in the low-rank path; both.",
)
@options.json_file
def quantize(file, format_name, output, take, transposed, skip, coarse, fine, rank, precision, json_file):
    """Turn a safetensors file's weight matrices into codes, with an error report.

    FILE is a safetensors file, or the word minilm for the installed all-MiniLM-L6-v2.

    Names and shapes of common checkpoints tell which tensors are weights of linear layers. Tables of embeddings are
    left; GPT-2's Conv1D, inputs x outputs, is transposed, and so are its codes. The table says what each matrix was
    taken for. PATTERN is a name, or has * and ? and [...] as in a shell; it overrules that, --skip first, then
    --transposed. SQNR is the signal to quantization noise ratio; of a matrix without any error it is "exact" here and
    null in JSON.

    The format sevedo needs a model, config.json and the tokenizer beside FILE, to calibrate on sentences. It writes one
    .npz file of layers, query, key and value stacked, and reports the error of the layers' outputs on other sentences:

    \b
      bitloom quantize minilm --format sevedo --rank 32 -o minilm.sevedo.npz
    """
    from ..golden.workloads import checkpoint
    from ..golden.workloads import quantize as formats

    for option, given, names in (
        ("--coarse", coarse, formats.GROUPED),
        ("--fine", fine, formats.GROUPED),
        ("--rank", rank, ("sevedo",)),
        ("--precision", precision, ("sevedo",)),
    ):
        if given is not None and format_name not in names:
            raise click.UsageError(f"{option} needs --format {' or '.join(names)}")
    patterns = {"take": take, "transposed": transposed, "skip": skip}
    for option, given in patterns.items():
        if given and format_name == "sevedo":
            raise click.UsageError(f"--{option} is not for --format sevedo, which takes a model's linear layers")
    sizes = {name: size for name, size in (("coarse", coarse), ("fine", fine)) if size is not None}
    if format_name == "sevedo":
        _quantize_sevedo(file, output, rank, precision, sizes, json_file)
        return
    if format_name == "hgq":
        fmt = formats.HgqFormat(**sizes)
    else:
        fmt = formats.BLOCKED.get(format_name) or formats.lookup(format_name)
    if not output and (not file.is_file() or file.is_relative_to("/dev") or file.is_relative_to("/proc")):
        raise click.UsageError(f"{file} is no plain file: name the output with -o")
    output = output or checkpoint.codes_file(file, f"{fmt.name}.safetensors")
    check_writable(output, json_file)
    with bar("quantizing") as progress:
        report, tensors = checkpoint.quantize(file, fmt, progress=progress, **patterns)
    if json_file:
        write_json(json_file, {"file": file.name, "format": fmt.name, **report})
    with replacing(output) as beside:
        checkpoint.write(beside, tensors, fmt, [row["name"] for row in report["tensors"] if row["transposed"]])
    columns = ["tensor", "shape", "what it is", "MSE", "SQNR dB", "max error"]
    matrices = sorted(report["tensors"] + [r for r in report["left"] if len(r["shape"]) == 2], key=lambda r: r["name"])
    table(columns, map(_quantized_row, matrices), title=f"{file.name} as {fmt.name}: {fmt.summary}")
    others = len(report["left"]) + len(report["tensors"]) - len(matrices)
    if others:
        click.echo(f"left: {counted(others, 'tensor')} of other than two axes")
    click.echo(f"wrote {output}")


def _quantized_row(row):
    taken = "mse" in row
    errors = [row["mse"], decibels(row["sqnr_db"], ".4g"), row["max_error"]] if taken else [None] * 3
    why = row["why"] if taken else f"left: {row['why']}"
    return [row["name"], "x".join(map(str, row["shape"])), why, *errors]


def _quantize_sevedo(file, output, rank, precision, sizes, json_file):
    """Write a model's linear layers as SeVeDo layers."""
    from ..golden.sevedo import decompose
    from ..golden.sevedo import layer as sevedo
    from ..golden.workloads import checkpoint, quantize, sevedo_model, transformer
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES

    rank, precision = decompose.RANK if rank is None else rank, precision or "both"
    groups = quantize.HgqFormat(**sizes)
    encoder = transformer.encoder_of(file, "the format sevedo")
    output = output or checkpoint.codes_file(file, "sevedo.npz")
    check_writable(output, json_file)
    with bar("decomposing") as progress:
        layers, report = sevedo_model.quantize(
            encoder, CALIBRATION, SENTENCES, rank, precision, progress, coarse=groups.coarse, fine=groups.fine
        )
    columns = ["layer", "shape", "bits/weight", "SQNR dB"]
    rows = [[r["name"], "x".join(map(str, r["shape"])), f"{r['bits']:.2f}", decibels(r["sqnr_db"])] for r in report]
    title = (
        f"{file.name} as sevedo, rank {rank}, SVD-MP {precision}: error of the outputs on {len(SENTENCES)} sentences"
    )
    if json_file:
        settings = {"rank": rank, "precision": precision, "coarse": groups.coarse, "fine": groups.fine}
        write_json(json_file, {"file": file.name, "format": "sevedo", **settings, "layers": report})
    atomic_write(output, sevedo.to_bytes(layers))
    table(columns, rows, title=title)
    click.echo(f"wrote {output}")


@click.group("evaluate", epilog="\b\nExample:\n  bitloom evaluate integer-ops")
def evaluate():
    """Measure what a number format or an operation does to a model."""


@evaluate.command(
    "formats",
    epilog="\b\nExample:\n  bitloom evaluate formats minilm --rank 32 --plot formats.png --json formats.json",
)
@click.argument("file", callback=options.weights)
@click.option(
    "--rank",
    "ranks",
    type=Whole(),
    multiple=True,
    default=(16, 32, 64),
    show_default=True,
    metavar="R",
    help="Rank of SeVeDo; may be repeated.",
)
@click.option("--plot", type=options.OUTPUT, metavar="F", help="Draw it (.png, .svg, .pdf).")
@options.json_file
def evaluate_formats(file, ranks, plot, json_file):
    """Compare 4-bit formats on every linear layer of a model.

    FILE is a model's safetensors file, config.json and the tokenizer beside it, or the word minilm for the installed
    all-MiniLM-L6-v2.

    Weights and activations are both quantized. The signal to quantization noise ratio is that of a layer's output in
    the exact arithmetic of the hardware, bias excluded, its inputs being the FP32 model's. MP is SVD-MP: 16 bits for
    sensitive channels and ranks of SeVeDo's low-rank path. Where the paper could not be read, SeVeDo is our reading of
    it: all sizes, roundings and the rank are our choice. It is calibrated on 8 sentences and measured, as all are, on
    24 others.
    """
    from ..golden.workloads import sevedo_model, transformer
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES
    from ..testbench.sevedo import picture as sevedo_plot
    from ..tools import pictures

    if plot:
        pictures.check_suffix(plot)
    encoder = transformer.encoder_of(file, "evaluate formats")
    check_writable(plot, json_file)
    ranks = sorted(set(ranks))
    with bar("measuring") as progress:
        rows = sevedo_model.compare(encoder, CALIBRATION, SENTENCES, ranks, progress)
    means = sevedo_model.summary(rows)
    shown = {name: name for name in sevedo_model.BASELINES}
    for rank in ranks:
        shown |= {sevedo_model.method(rank, "int8"): f"r{rank}", sevedo_model.method(rank, "both"): f"r{rank} MP"}
    if json_file:
        counts = {"calibration_sentences": len(CALIBRATION), "sentences": len(SENTENCES)}
        write_json(json_file, {"file": file.name, **counts, "layers": rows, "means": means})
    if plot:
        sevedo_plot.draw(plot, rows, shown)
    cells = [[row["name"], *(decibels(row["sqnr_db"][name]) for name in shown)] for row in rows]
    table(["layer", *shown.values()], cells, title=f"{file.name}: SQNR of the outputs in dB; rR is SeVeDo of rank R")
    columns = ["mean", "bits/weight", "all layers", *means[0]["kinds"]]
    cells = [
        [row["method"], f"{row['bits']:.2f}", *map(decibels, (row["sqnr_db"], *row["kinds"].values()))] for row in means
    ]
    table(columns, cells, title="\nMeans over layers, SQNR in dB; channel and rank are the two readings of SVD-MP")
    if plot:
        click.echo(f"wrote {plot}")


@evaluate.command("integer-ops", epilog="\b\nExample:\n  bitloom evaluate integer-ops --json losses.json")
@options.encoder
@options.json_file
def evaluate_integer_ops(folder, json_file):
    """Measure what integer operations do to a sentence encoder.

    Mean cosine similarity of sentence embeddings with those of the FP32 model; 8 and 16 are the entries of
    piecewise-linear tables.

    The first table replaces softmax, GELU and LayerNorm, each alone and all together. Their inputs and outputs are INT8
    with a power of two as scale for a tensor; softmax gives 8 bits without sign. "exact" is the exact function between
    those codes, the best that any such unit can do.

    The second table adds one operation a row, linear layers first, with 16 bits where 8 lose too much and a step for
    each channel of a linear layer's input; "all" is the encoder that works on integers alone, from token ids on. Its
    sizes must be multiples of 8.

    Scales and steps are found on 8 other sentences.
    """
    from ..golden.workloads import integer_model, machine_losses, machine_model, transformer
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES

    check_writable(json_file)
    encoder = transformer.Encoder.load(None if folder == "minilm" else folder)
    machine_model.check(encoder)
    with bar("INT8 operations") as progress:
        rows, scales = integer_model.compare(encoder, SENTENCES, CALIBRATION, progress)
    with bar("integer encoder") as progress:
        losses = machine_losses.compare(encoder, SENTENCES, CALIBRATION, progress)
    if json_file:
        counts = {"calibration_sentences": len(CALIBRATION), "sentences": len(SENTENCES)}
        scales = {name: vars(scale) for name, scale in scales.items()}
        write_json(json_file, {**counts, "cosine": rows, "scales": scales, "encoder": losses})
    title = f"Mean cosine similarity of {len(SENTENCES)} sentence embeddings with those of FP32"
    _cosines("replaced", rows, title)
    _cosines("added", losses, "\nThe integer encoder: one operation more a row")


def _cosines(first, rows, title):
    cells = [[name, *(f"{value:.4f}" for value in cosines.values())] for name, cosines in rows.items()]
    table([first, *next(iter(rows.values()))], cells, title)
