"""Training: `train bdwp`."""

from pathlib import Path

import click

from ..cores import catalogue
from . import options
from .numbers import Whole
from .output import FAILED, check_writable, counted, table, write_json
from .progress import bar, stages


@click.group("train", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1")
def train():
    """Train a small model in a number format or a sparsity pattern."""


@train.command("bdwp", epilog="\b\nExample:\n  bitloom train bdwp --methods dense,bdwp-2:8 --seeds 1 -o digits")
@click.option(
    "--methods",
    "text",
    default="dense,sr-ste-2:8,bdwp-2:8,bdwp-2:4",
    show_default=True,
    metavar="M1,M2,…",
    help="dense, sr-ste-N:M, bdwp-N:M.",
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
def train_bdwp(text, seeds, epochs, count, parameters, output, json_file):
    """Train a small vision transformer on digits with N:M sparse weights.

    The data are scikit-learn's 1,797 digits of 8 x 8 pixels, 1,200 to train with and 597 to test. In the blocks' linear
    layers the weights are pruned in the forward product (SR-STE), or also in the product that gives the gradient of the
    inputs (BDWP, bidirectional weight pruning). The work of a step is the products in these layers over those of dense
    training, (2 N / M + 1) / 3 with BDWP. The paper has 1.75 times the speed of dense training at 2:8, and 0.56 % less
    accuracy, on larger models and images; here nothing but the accuracy is measured of training.

    Then the model is quantized to INT8, and its linear layers run through the Verilated nm-tile, which -p configures.
    All results, cycles and classes must be those of the golden integer model.

    Needs the extra: pip install '.[train]'. A training that was ended, by whatever, goes on after its last whole
    epoch when the same command is given again, and ends with the same bits.
    """
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
