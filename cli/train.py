"""Training: `train bdwp`."""

from pathlib import Path

import click
from click.core import ParameterSource

from ..cores import catalogue
from . import options
from .numbers import Whole
from .output import FAILED, check_writable, counted, table, write_json
from .progress import Pulse, bar, stages

# Options of one of the two trainings, that of the digits and that of a sentence encoder, by their names in Python.
_OF_DIGITS = {"seeds": "--seeds", "epochs": "--epochs", "count": "--images", "parameters": "-p"}
_OF_ENCODERS = {"steps": "--steps", "order": "--seed"}


@click.group("train", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1")
def train():
    """Train a small model in a number format or a sparsity pattern."""


@train.command("bdwp", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1 -o digits")
@click.option("--model", metavar="M", help="Distil this sentence encoder: minilm, or a folder with config.json.")
@click.option(
    "--methods",
    "text",
    metavar="M1,M2,…",
    help="dense, sr-ste-N:M, bdwp-N:M; by default dense,sr-ste-2:8,bdwp-2:8,bdwp-2:4, with --model bdwp-2:4,bdwp-2:8.",
)
@click.option("--steps", type=Whole(1), default=300, show_default=True, metavar="N", help="With --model: of each.")
@click.option(
    "--seed", "order", type=Whole(0), default=1, show_default=True, metavar="N", help="With --model: the texts' order."
)
@click.option("--seeds", type=Whole(1), default=3, show_default=True, metavar="N", help="Trainings of each.")
@click.option("--epochs", type=Whole(1), default=30, show_default=True, metavar="N", help="Of a training.")
@click.option(
    "--images",
    "count",
    type=Whole(1, 597),
    default=100,
    show_default=True,
    metavar="N",
    help="Test images that go through the tile, of each training.",
)
@options.parameters
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bdwp"),
    show_default=True,
    metavar="FOLDER",
    help="Where checkpoints and integer layers are kept. Trainings that it holds go on where they ended.",
)
@options.json_file
@click.pass_context
def train_bdwp(context, model, text, steps, order, seeds, epochs, count, parameters, output, json_file):
    """Train a small vision transformer on digits with N:M sparse weights.

    The data are scikit-learn's 1,797 digits of 8 x 8 pixels, 1,200 to train with and 597 to test. In the blocks' linear
    layers the weights are pruned in the forward product (SR-STE), or also in the product that gives the gradient of the
    inputs (BDWP, bidirectional weight pruning). The work of a step is the products in these layers over those of dense
    training, (2 N / M + 1) / 3 with BDWP. The paper has 1.75 times the speed of dense training at 2:8, and 0.56 % less
    accuracy, on larger models and images; here nothing but the accuracy is measured of training.

    Then the model is quantized to INT8, and its linear layers run through the Verilated nm-tile, which -p configures.
    All results, cycles and classes must be those of the golden integer model.

    A training that was ended, by whatever, goes on after its last whole epoch when the same command is given again, and
    ends with the same bits.

    With --model it is a sentence encoder whose layers are pruned. It is distilled: trained, by the same methods, to
    give the hidden states and embeddings that it gave before, on news and encyclopedia texts of the wheel gensim. Each
    method is trained on one core and beside the others, and written as a folder when it is done, for `bitloom compare
    --trained`. One that is ended begins anew.

    Needs the extra: pip install '.[train]'.
    """
    _refuse_others(context, _OF_DIGITS if model else _OF_ENCODERS, model)
    if model:
        return _distil(model, text or "bdwp-2:4,bdwp-2:8", steps, order, output, json_file)
    return _train_digits(
        text or "dense,sr-ste-2:8,bdwp-2:8,bdwp-2:4", seeds, epochs, count, parameters, output, json_file
    )


def _refuse_others(context, names, model):
    """Options that the other training has must not be given."""
    for name, option in names.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ValueError(f"{option} is not for the training {'with' if model else 'without'} --model")


def _train_digits(text, seeds, epochs, count, parameters, output, json_file):
    from ..golden.workloads import bdwp as methods
    from ..testbench.sat import bdwp, bdwp_train, vit_tile

    chosen = bdwp.parse_methods(text)
    tile = catalogue.lookup(vit_tile.CORE).config.parse(parameters)
    vit_tile.check(tile)
    check_writable(output / "checkpoint", json_file)
    data = bdwp_train.digits()
    states = [
        (method, bdwp.recall(output, method, seed + 1, epochs, *data)) for method in chosen for seed in range(seeds)
    ]
    for index, (method, state) in enumerate(states):
        name = f"{method}, seed {state.settings['seed']}"
        start = {0: "", epochs: "was trained before, "}.get(state.epoch, f"went on after epoch {state.epoch}, ")
        with bar(f"training {name} ({index + 1} of {len(states)})") as progress:
            done = bdwp.trained(state, output, method, *data, progress)
        click.echo(f"{name}: {start}{counted(epochs, 'epoch')}, {done.seconds:.1f} s of processor time")
        states[index] = method, done
    with stages() as progress:
        progress("compiling the tile")
        design, _ = vit_tile.build(tile)
    rows = []
    for method, state in states:
        with bar("running on the tile") as progress:
            rows.append(bdwp.measure(state, output, method, *data, tile, design, count, progress))
        if rows[-1]["failure"]:
            click.echo(f"{method}, seed {state.settings['seed']}: {rows[-1]['failure']}")
    summary = methods.summary(rows)
    if json_file:
        settings = {"epochs": epochs, "seeds": seeds, "tile": tile.to_dict()}
        write_json(json_file, {**settings, "methods": summary, "trainings": rows})
    columns = ["method", "work/step", "accuracy", "lowest", "highest", "loss", "INT8", "seconds"]
    cells = [_training_row(entry) for entry in summary]
    title = f"\nTest accuracy, mean of {counted(seeds, 'seed')}; loss in percentage points, seconds of processor time"
    table(columns, cells, title=title)
    columns = ["method", "cycles/image", "over dense", "same classes"]
    cells = [
        [e["method"], round(e["cycles"]), f"{e['speedup']:.2f}x", f"{e['same']:,} of {e['images']:,}"] for e in summary
    ]
    passed = all(row["passed"] for row in rows)
    verdict = "every result and cycle is the golden model's" if passed else "FAILED"
    table(columns, cells, title=f"\nLinear layers on the Verilated {tile.rows}x{tile.cols} {vit_tile.CORE}: {verdict}")
    click.echo(f"wrote {output}")
    return 0 if passed else FAILED


def _training_row(entry):
    accuracy = entry["accuracy"]
    shares = [f"{value:.2%}" for value in (accuracy["mean"], accuracy["low"], accuracy["high"])]
    loss = None if entry["loss"] is None else f"{100 * entry['loss']:+.2f}"
    return [
        entry["method"],
        f"{entry['work']:.3f}",
        *shares,
        loss,
        f"{entry['int8_accuracy']['mean']:.2%}",
        f"{entry['seconds']:.1f}",
    ]


def _distil(model, text, steps, seed, output, json_file):
    """Distil an encoder by each method, in processes side by side."""
    from ..golden.workloads import distillation
    from ..golden.workloads.transformer import Encoder
    from ..testbench.sat import bdwp, bdwp_train, distil
    from ..tools import workers

    methods = bdwp.parse_methods(text)
    if any(method.kind == "dense" for method in methods):
        raise ValueError("a model is distilled to be pruned: a method must be sr-ste-N:M or bdwp-N:M, not 'dense'")
    Encoder.load(distil.source(model))
    distillation.texts()
    bdwp_train.torch_module()
    check_writable(*(distil.folder_of(output, method) / "config.json" for method in methods), json_file)
    calls = {str(method): (model, method, output, steps, seed) for method in methods}
    rows = workers.results(_distilled, calls)
    if json_file:
        write_json(json_file, {"model": model, "steps": steps, "seed": seed, "methods": rows})
    columns = ["method", "work/step", "loss at first", "loss at last", "held out before", "after", "tokens", "seconds"]
    cells = [
        [
            row["method"],
            f"{method.work:.3f}",
            *(f"{value:.3f}" for value in (*row["loss"], row["before"], row["after"])),
            row["tokens"],
            f"{row['seconds']:.0f}",
        ]
        for method, row in zip(methods, rows, strict=True)
    ]
    title = f"\n{model}, {counted(steps, 'step')} of each; held out: mean cosine with FP32; seconds of processor time"
    table(columns, cells, title=title)
    click.echo(f"wrote {', '.join(row['folder'] for row in rows)}")
    return 0


def _distilled(model, method, output, steps, seed):
    """One method, in a process of its own: bars of several would not fit on one terminal, so there are lines."""
    from ..testbench.sat import distil

    pulse = Pulse(f"distilling {method}")
    row = distil.distilled(model, method, output, steps, seed, pulse.update)
    pulse.end()
    return row
