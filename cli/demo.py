"""A first look: `demo`, and `example-data`, the files that the examples read."""

from pathlib import Path

import click

from ..cores import catalogue
from ..tools.files import atomic_write
from . import options, terminal
from .demo_search import search
from .output import FAILED, check_writable, table, write_json
from .progress import bar, stages


@click.group("demo", invoke_without_command=True, epilog="\b\nExample:\n  bitloom demo")
@click.option(
    "--weights",
    "file",
    default="minilm",
    metavar="F",
    help="A safetensors file; by default the installed all-MiniLM-L6-v2.",
)
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True
)
@options.json_file
@click.pass_context
def demo(context, file, output, json_file):
    """Tell the whole story on real transformer weights: quantize, stream, check, measure.

    With a command: another demonstration.
    """
    if context.invoked_subcommand:
        return 0
    file = options.weights(context, None, file)
    from ..cores import generate
    from ..golden.olive import ovp
    from ..golden.workloads import checkpoint, evaluate, transformer
    from ..golden.workloads import quantize as weight_formats
    from ..golden.workloads.sentences import CALIBRATION, SENTENCES
    from ..synth import flow
    from ..testbench import runner
    from ..testbench.olive import picture as pictures

    check_writable(output / "histogram.png", json_file)
    core = catalogue.lookup("ovp-decoder")
    config = core.config()
    formats = [weight_formats.lookup(name) for name in ("ovp-int4", "int4")]
    encoder = transformer.Encoder.load(file.parent) if (file.parent / "config.json").is_file() else None
    if encoder:
        weights = {name: layer.weight for name, layer in encoder.linears.items()}
    else:
        weights, _ = checkpoint.weights(file)

    count = sum(weight.size for weight in weights.values())
    click.echo(f"{terminal.printable(file.name)}: {len(weights)} weight matrices, {count:,} weights\n")
    with bar("quantizing") as progress:
        rows, restored = evaluate.compare_weights(weights, formats, progress)
    name = max(rows, key=lambda row: row["pairs"]["max_sigma"])["name"]
    codes, steps = weight_formats.quantize(weights[name], formats[0])
    pictures.histogram(output / "histogram.png", name, weights[name], codes, steps, ovp.INT4)
    columns = ["layer", "shape", "normal", "1 outlier", "2 outliers", "max sigma", *(f"MSE {f.name}" for f in formats)]
    table(columns, [_demo_row(row) for row in rows], title="Pairs (outlier: beyond 3 sigma) and squared error")

    embeddings = None
    if encoder:
        with bar("embedding") as progress:
            embeddings = evaluate.compare_embeddings(encoder, restored, formats, SENTENCES, CALIBRATION, progress)
        columns = ["format", "weights only", "weights and activations"]
        title = f"\nMean cosine similarity of {len(SENTENCES)} sentence embeddings with those of FP32"
        table(columns, [[name, *(f"{v:.4f}" for v in cosines.values())] for name, cosines in embeddings.items()], title)
    else:
        click.echo("\nNo sentence embeddings: there is no config.json beside the weights, so this is no known model.")

    with bar(f"streaming {name} through the decoder") as progress:
        result = runner.simulate(core, config, codes=codes.reshape(-1, config.pairs), seed=1, progress=progress)
    told = terminal.printable(name)
    click.echo(f"\n{codes.size:,} bytes of {told} through the Verilated decoder: {_verdict(result)}")
    click.echo(f"{result.cycles:,} cycles, {result.cycles / codes.size:.3f} cycles per byte")

    design = generate.generate(core, config)
    with stages() as progress:
        reports = [flow.synthesize(design, part, progress=progress) for part in ("ice40-up5k", "ecp5-25k")]
    if json_file:
        measured = {"layers": rows, "embeddings": embeddings, "simulation": result.to_dict()}
        write_json(json_file, {**measured, "synthesis": [report.to_dict() for report in reports]})
    columns = ["part", "LUT4", "FF", "Fmax MHz"]
    title = f"\n{core.name}, {config.normal}, one pair a cycle: estimates of Yosys and nextpnr"
    uses = [{use.name: use.used for use in report.uses} for report in reports]
    cells = [[r.part, use["LUT4"], use["FF"], f"{r.fmax_mhz:.0f}"] for r, use in zip(reports, uses, strict=True)]
    table(columns, cells, title)

    click.echo(f"\nwrote {output / 'histogram.png'}")
    return 0 if result.passed else FAILED


demo.add_command(search)


def _demo_row(row):
    pairs = row["pairs"]
    shares = [f"{pairs[kind]:.2%}" for kind in ("normal_normal", "outlier_normal", "outlier_outlier")]
    errors = [f"{error['mse']:.3e}" for error in row["errors"].values()]
    return [row["name"], "x".join(map(str, row["shape"])), *shares, f"{pairs['max_sigma']:.1f}", *errors]


def _verdict(result):
    return "every one equals the golden model" if result.passed else result.summary()


@options.command("example-data", "bitloom example-data -o example")
@click.option(
    "-o",
    "--output",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder.",
)
def example_data(output):
    """Write the inputs that the examples read: A.npy, W.npy, X.npy and codes.npy.

    A and W are int8, (64, 256) and (256, 96); X is float16, (18, 384), for a layer of MiniLM; codes are 2,000 payloads
    of the ovp-decoder. They are the same bytes on every machine. A file of one of these names that is not ours stays
    as it is, and then none is written.
    """
    from ..golden.workloads.example_data import arrays
    from ..testbench import array_files

    files = {output / f"{name}.npy": array_files.to_bytes(array) for name, array in arrays().items()}
    for path, content in files.items():
        if path.exists() and path.read_bytes() != content:
            raise ValueError(f"{path} exists and is another file: choose a folder with -o")
    for path, content in files.items():
        atomic_write(path, content)
        click.echo(f"wrote {path}")
