"""`bitloom train bdwp`: masks, the vision transformer in floating point and in integers, checkpoints, the tile.

What needs torch and scikit-learn, the extra `train`, is at the end and marked `long`; all else needs NumPy only.
"""

import json
import math
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.golden import archive
from bitloom.golden.gqa_lut import integer_ops
from bitloom.golden.sat import sparse as nm_sparse
from bitloom.golden.workloads import bdwp, vit, vit_integer
from bitloom.testbench.sat import bdwp as training
from bitloom.testbench.sat import bdwp_train, vit_tile

DATA = Path(__file__).parents[1] / "data"
DENSE, SR_STE, BDWP = (bdwp.Method.parse(text) for text in ("dense", "sr-ste-2:8", "bdwp-2:8"))

# Spec example 9: 2:4, W as inputs by outputs.
W = np.array([[4, -1, 3, 2], [-6, 5, 0, 1], [2, 2, -3, 7], [1, -4, 6, -2]])
W_FORWARD = np.array([[4, 0, 3, 2], [-6, 5, 0, 0], [0, 0, 0, 7], [0, -4, 6, 0]])
W_BACKWARD = np.array([[4, 0, 3, 0], [-6, 5, 0, 0], [0, 0, -3, 7], [0, -4, 6, 0]])
X, DY = np.array([[1, 2, -1, 3], [0, 1, 4, -2]]), np.array([[1, 0, -1, 2], [3, -1, 0, 1]])
Y, DX = np.array([[-8, -2, 21, -5], [-6, 13, -12, 28]]), np.array([[1, -6, 17, -6], [12, -23, 7, 4]])
DW = np.array([[1, 0, -1, 2], [5, -1, -2, 5], [11, -4, 1, 2], [-3, 2, -3, 4]])


def drawn_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 17, (count, 8, 8))


def drawn_parameters(seed=0, **sizes):
    """Parameters of which none is zero, logits of attention that differ."""
    rng = np.random.default_rng(seed)
    drawn = vit.initial(seed, **sizes)
    return {n: (1.5 * x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32) for n, x in drawn.items()}


# -- methods and data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, work",
    [("dense", 1), ("sr-ste-2:8", 3 / 4), ("sr-ste-2:4", 5 / 6), ("bdwp-2:8", 1 / 2), ("bdwp-2:4", 2 / 3)],
)
def test_work_of_a_step_is_the_specs(text, work):
    method = bdwp.Method.parse(text)
    assert method.work == pytest.approx(work) and str(method) == text


@pytest.mark.parametrize(
    "text", ["", "bdwp", "bdwp-3:8", "bdwp-4:4", "bdwp-8:8", "sr-ste-2:16", "dense-2:8", "BDWP-2:8"]
)
def test_what_is_no_method_is_refused(text):
    with pytest.raises(ValueError, match=r"a method must be dense, sr-ste-N:M or bdwp-N:M .*, not '"):
        bdwp.Method.parse(text)


def test_masks_give_the_products_of_the_worked_example():
    forward, backward = bdwp.Method("bdwp", 2, 4).masks(W.T)
    assert (W * forward.T == W_FORWARD).all() and (W * backward.T == W_BACKWARD).all()
    assert (X @ (W * forward.T) == Y).all() and (DY @ (W * backward.T).T == DX).all()
    one, other = bdwp.Method("sr-ste", 2, 4).masks(W.T)
    assert (one == forward).all() and (other == forward).all()
    assert all(mask.all() for mask in DENSE.masks(W.T))
    step = nm_sparse.bdwp_step(W, X, DY, 2, 4)
    assert (step.y == Y).all() and (step.dx == DX).all() and (step.dw == DW).all()


def test_only_the_blocks_are_pruned():
    parameters = vit.initial(1)
    found = bdwp.pruned(parameters, BDWP)
    layers = vit.block_layers(parameters)
    assert layers == [f"{block}.{layer}" for block in range(2) for layer in ("qkv", "out", "up", "down")]
    for name, w in parameters.items():
        if name.removesuffix(".weight") in layers:
            assert ((found[name] != 0).reshape(len(w), -1, 8).sum(axis=2) == 2).all()
            assert (found[name][found[name] != 0] == w[found[name] != 0]).all()
        else:
            assert found[name] is w
    assert all((bdwp.pruned(parameters, DENSE)[name] == w).all() for name, w in parameters.items())


def test_parts_are_the_same_for_all_and_share_no_image():
    rows, tests = bdwp.parts(1797)
    assert (len(rows), len(tests)) == (1200, 597) and sorted([*rows, *tests]) == list(range(1797))
    assert all((a == b).all() for a, b in zip(bdwp.parts(1797), (rows, tests), strict=True))
    with pytest.raises(ValueError, match="test images must be 1 to 596, not 597"):
        bdwp.parts(597)


def test_batches_depend_on_seed_and_epoch_alone():
    one = bdwp.batches(120, 3, 7)
    assert [len(images) for images in one] == [50, 50, 20] and sorted(np.concatenate(one)) == list(range(120))
    assert all((a == b).all() for a, b in zip(one, bdwp.batches(120, 3, 7), strict=True))
    for other in (bdwp.batches(120, 3, 8), bdwp.batches(120, 4, 7)):
        assert (np.concatenate(other) != np.concatenate(one)).any()


def test_learning_rate_rises_and_falls_to_nothing():
    rates = [bdwp.learning_rate(step, 200) for step in range(200)]
    top = int(np.argmax(rates))
    assert rates[0] == pytest.approx(max(rates) / 20) and top in (19, 20)
    assert (
        (np.diff(rates[: top + 1]) >= 0).all() and (np.diff(rates[20:]) < 0).all() and 0 < rates[-1] < max(rates) / 1000
    )
    assert all(bdwp.learning_rate(step, 3) > 0 for step in range(3))


# -- the model ---------------------------------------------------------------------------------------------------------


def test_patches_are_those_of_the_picture():
    images = drawn_images(2)
    found = vit.patches(images)
    for image, token, pixel in np.ndindex(found.shape):
        row, column = 2 * (token // 4) + pixel // 2, 2 * (token % 4) + pixel % 2
        assert found[image, token, pixel] == images[image, row, column]
    with pytest.raises(ValueError, match=r"images must have shape \(B, 8, 8\), not \(8, 8\)"):
        vit.patches(images[0])
    for wrong in (17, -1, 0.5):
        with pytest.raises(ValueError, match=rf"pixels must be integers from 0 to 16, not {wrong}"):
            vit.patches(np.full((1, 8, 8), wrong))


@pytest.mark.parametrize("width", [0, 8, 60])
def test_a_width_that_is_no_multiple_of_a_heads_is_refused(width):
    with pytest.raises(ValueError, match=f"width must be a multiple of 16, not {width}"):
        vit.initial(0, width=width)


def slow_forward(p, codes):
    """Logits of one image, position by position."""

    def linear(name, rows):
        return [p[f"{name}.weight"].astype(float) @ row + p[f"{name}.bias"] for row in rows]

    def norm(rows):
        return [(row - row.mean()) / math.sqrt(row.var() + 1e-5) for row in rows]

    x = [
        p["embed.weight"].astype(float) @ (c / 16) + position for c, position in zip(codes, p["position"], strict=True)
    ]
    for block in range(sum(".qkv.weight" in name for name in p)):
        qkv = linear(f"{block}.qkv", norm(x))
        width = len(x[0])
        context = np.zeros((len(x), width))
        for start in range(0, width, 16):
            q, k, v = ([row[at + start : at + start + 16] for row in qkv] for at in (0, width, 2 * width))
            for i in range(len(x)):
                e = [math.exp(q[i] @ other / 4) for other in k]
                context[i, start : start + 16] = sum(weight * row for weight, row in zip(e, v, strict=True)) / sum(e)
        x = [a + b for a, b in zip(x, linear(f"{block}.out", context), strict=True)]
        up = linear(f"{block}.up", norm(x))
        gelu = [np.array([u * (1 + math.erf(u / math.sqrt(2))) / 2 for u in row]) for row in up]
        x = [a + b for a, b in zip(x, linear(f"{block}.down", gelu), strict=True)]
    return linear("head", [np.mean(norm(x), axis=0)])[0]


def test_forward_is_that_of_the_formulas():
    parameters = drawn_parameters(width=32, hidden=40)
    codes = vit.patches(drawn_images(3))
    expected = [slow_forward(parameters, image) for image in codes]
    np.testing.assert_allclose(vit.forward(parameters, codes), expected, rtol=1e-4, atol=1e-4)


def half_up(value):
    return math.floor(value + Fraction(1, 2))


def slow_logits(model, codes):
    """Logits of one image in exact fractions; softmax, GELU and LayerNorm as `integer_ops` has them."""
    scales, layers = model.scales, model.layers
    weights = {name: nm_sparse.expand(layer.values, layer.indices, layer.m).tolist() for name, layer in layers.items()}

    def linear(name, row, scale):
        """Exact outputs, a scale to each code of `row`."""
        unit = Fraction(2) ** -(scale + layers[name].scale)
        found = []
        for w, bias in zip(weights[name], layers[name].bias.tolist(), strict=True):
            found.append((sum(a * int(b) for a, b in zip(w[: len(row)], row, strict=True)) + bias) * unit)
        return found

    def code(value, scale, bits=8):
        return min(max(half_up(value * Fraction(2) ** scale), -(1 << bits - 1)), (1 << bits - 1) - 1)

    def added(x, steps):
        unit = Fraction(2) ** -scales["residual"]
        rounded = [half_up(step / unit) for step in steps]
        return [min(max(a + b, -32768), 32767) for a, b in zip(x, rounded, strict=True)]

    def norm(x):
        return integer_ops.layernorm(x, 5, input_bits=16).tolist()

    x = [added(p, linear("embed", c, 4)) for p, c in zip(model.position.tolist(), codes.tolist(), strict=True)]
    for block in range(len(layers) // 4):
        at, logit = scales[f"{block}.qkv"], scales[f"{block}.logits"]
        qkv = [[code(value, at) for value in linear(f"{block}.qkv", norm(row), 5)] for row in x]
        width = len(x[0])
        for i, row in enumerate(list(x)):
            context = []
            for start in range(0, width, 16):
                q, k, v = ([r[j + start : j + start + 16] for r in qkv] for j in (0, width, 2 * width))
                scores = [Fraction(sum(a * b for a, b in zip(q[i], other, strict=True)), 4 << 2 * at) for other in k]
                p = integer_ops.softmax([code(score, logit) for score in scores], logit, 8).tolist()
                for c in range(16):
                    mean = sum(weight * r[c] for weight, r in zip(p, v, strict=True))
                    context.append(code(Fraction(mean, 256), 0))
            x[i] = added(row, linear(f"{block}.out", context, at))
        at, out = scales[f"{block}.up"], scales[f"{block}.gelu"]
        for i, row in enumerate(x):
            up = [code(value, at) for value in linear(f"{block}.up", norm(row), 5)]
            x[i] = added(row, linear(f"{block}.down", integer_ops.gelu(up, at, out).tolist(), out))
    mean = [code(Fraction(sum(column), 16), 0) for column in zip(*map(norm, x), strict=True)]
    unit = Fraction(2) ** -(5 + layers["head"].scale)
    return [int(value / unit) for value in linear("head", mean, 5)]


@pytest.mark.parametrize("text", ["dense", "bdwp-2:8", "bdwp-2:4"])
def test_integer_logits_are_those_of_exact_fractions(text):
    method = bdwp.Method.parse(text)
    parameters = bdwp.pruned(drawn_parameters(width=32, hidden=48), method)
    codes = vit.patches(drawn_images(20))
    model = vit_integer.quantize(parameters, codes, method.n, method.m)
    found = model.logits(codes)
    by_slots = model.logits(codes, lambda name, layer, x: nm_sparse.matmul(layer.values, layer.indices, x))
    assert (by_slots == found).all()
    assert found[:2].tolist() == [slow_logits(model, image) for image in codes[:2]]
    assert (model.predict(codes) == found.argmax(axis=1)).all()
    # Quantization is close to what it quantizes.
    assert np.corrcoef(found.ravel(), vit.forward(parameters, codes).ravel())[0, 1] > 0.97
    again = vit_integer.from_bytes(vit_integer.to_bytes(model))
    assert (again.logits(codes) == found).all() and vit_integer.to_bytes(again) == vit_integer.to_bytes(model)
    assert {layer.pattern for layer in model.layers.values()} == {"dense", f"{method.n}:{method.m}"} - {"8:8"}


def test_parameters_that_are_not_finite_are_refused_by_name():
    parameters = vit.initial(0, width=16, hidden=16)
    parameters["0.up.weight"][2, 3] = np.inf
    with pytest.raises(ValueError, match=r"^0\.up\.weight: x must be finite, not inf at index \(2, 3\)$"):
        vit_integer.quantize(parameters, vit.patches(drawn_images(2)))


def test_weights_that_are_not_pruned_are_refused():
    with pytest.raises(ValueError, match=r"weights of 0\.qkv must be pruned to 2:8"):
        vit_integer.quantize(vit.initial(0, width=16, hidden=16), vit.patches(drawn_images(2)), 2, 8)


def test_the_logits_saturate_and_do_not_wrap():
    parameters = drawn_parameters(width=16, hidden=16)
    codes = vit.patches(drawn_images(4))
    model = vit_integer.quantize(parameters, codes)
    loud = {name: 100 * x for name, x in parameters.items()}
    beyond = vit_integer.IntegerVit(vit_integer.quantize(loud, codes).layers, model.position, model.scales)
    assert beyond.logits(codes)[0].tolist() == slow_logits(beyond, codes[0])


@pytest.fixture(scope="module")
def trained():
    """A model that `bitloom train bdwp --methods bdwp-2:8 --seeds 1` made, and the first of its test images."""
    with np.load(DATA / "digits.npz") as file:
        found = {name: file[name] for name in file.files}
    return vit_integer.from_bytes((DATA / "bdwp-2-8-seed1.int8.npz").read_bytes()), found


def test_a_trained_sparse_model_classifies_digits(trained):
    model, found = trained
    codes = vit.patches(found["images"])
    logits = model.logits(codes)
    assert (logits == found["logits"]).all()
    assert (logits.argmax(axis=1) == found["labels"]).mean() >= 0.9
    patterns = {name: layer.pattern for name, layer in model.layers.items()}
    assert patterns.pop("embed") == patterns.pop("head") == "dense" and set(patterns.values()) == {"2:8"}
    assert slow_logits(model, codes[0]) == logits[0].tolist()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda data: b"", "it is no integer vision transformer"),
        (lambda data: data[:-40], "it is no integer vision transformer"),
        (lambda data: data[:3000] + bytes([data[3000] ^ 1]) + data[3001:], "it is no integer vision transformer"),
        (lambda data: archive.pack(2, {}, {}), "lacks 'weights'"),
        (
            lambda data: bdwp.State.begin({}, {}).to_bytes(),
            "the version of the integer vision transformer must be 2, not 1",
        ),
    ],
    ids=["empty", "cut", "changed", "other", "version"],
)
def test_files_that_are_no_models_are_refused(change, message):
    data = (DATA / "bdwp-2-8-seed1.int8.npz").read_bytes()
    with pytest.raises(ValueError, match=message):
        vit_integer.from_bytes(change(data))


# -- the tile ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tile():
    config = lookup("nm-tile").config(rows=4, cols=4)
    return config, vit_tile.build(config)[0]


def test_the_tile_gives_the_golden_models_predictions(trained, tile):
    model, found = trained
    codes = vit.patches(found["images"][:8])
    calls = []
    run = vit_tile.run(model, codes, *tile, lambda *step: calls.append(step))
    assert run.failure is None and run.passed and run.same == 8
    assert (run.predictions == found["logits"][:8].argmax(axis=1)).all()
    assert [layer.name for layer in run.layers] == ["embed", *vit.block_layers(vit.initial(0)), "head"]
    assert 3.5 < run.dense_cycles / run.cycles < 4
    for layer in run.layers:
        t, k, o = layer.shape
        # Four rows, four columns, 16 cycles at the most to fill and drain.
        assert 0 <= layer.dense_cycles - t * k * -(-o // 4) // 4 < 16 + 4 * (t == 8)
        if layer.pattern == "2:8":
            assert 0 <= layer.cycles - t * k // 4 * o // 16 < 16
    assert calls[0] == (0, 10, "embed") and calls[-1] == (10, 10, "done")
    assert json.loads(json.dumps(run.to_dict()))["same"] == 8


def test_groups_of_four_run_on_the_same_tile(tile):
    method = bdwp.Method.parse("bdwp-2:4")
    codes = vit.patches(drawn_images(2))
    parameters = bdwp.pruned(drawn_parameters(width=16, hidden=16, blocks=1), method)
    run = vit_tile.run(vit_integer.quantize(parameters, codes, 2, 4), codes, *tile)
    assert run.passed and {layer.pattern for layer in run.layers} == {"dense", "2:4"}


@pytest.mark.parametrize(
    "target, change, message",
    [
        (vit_integer, "linear", r"embed: 512 of 512 results differ, the first at \(0, 0\): expected "),
        (vit_tile.nm_tile, "cycles", r"embed: the product took \d+ cycles, expected \d+"),
        (vit_tile.tiling, "ends", "embed: `last` of result row 0 is 0, expected 1$"),
    ],
    ids=["values", "cycles", "last"],
)
def test_a_tile_that_differs_is_found(target, change, message, tile, monkeypatch):
    right = getattr(target, change)
    wrong = (lambda *x: ~right(*x)) if change == "ends" else (lambda *x: right(*x) + 1)
    monkeypatch.setattr(target, change, wrong)
    codes = vit.patches(drawn_images(2))
    model = vit_integer.quantize(drawn_parameters(width=16, hidden=16, blocks=1), codes)
    run = vit_tile.run(model, codes, *tile)
    assert not run.passed and re.match(message, run.failure)


@pytest.mark.parametrize(
    "assignment, allowed", [("group=4", "8"), ("a_format=int4", "int8"), ("w_format=int4", "int8")]
)
def test_a_tile_that_does_not_fit_the_model_is_refused(assignment, allowed):
    name, value = assignment.split("=")
    with pytest.raises(ValueError, match=f"{name} must be {allowed} for this model, not {value}"):
        vit_tile.check(lookup("nm-tile").config.parse([assignment]))


# -- checkpoints and the command, training replaced --------------------------------------------------------------------


def equal(one, other):
    """Whether two states are the same but for the time they took."""
    pairs = [(getattr(one, kind), getattr(other, kind)) for kind in ("parameters", "momenta")]
    return (one.settings, one.epoch) == (other.settings, other.epoch) and all(
        a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a) for a, b in pairs
    )


def test_a_checkpoint_holds_all_of_a_training():
    settings = {"method": "dense", "seed": 1}
    state = bdwp.State.begin(settings, drawn_parameters(width=16, hidden=16))
    assert state.epoch == 0 and not any(x.any() for x in state.momenta.values())
    state = bdwp.State(settings, 3, 1.5, state.parameters, drawn_parameters(1))
    data = state.to_bytes()
    again = bdwp.State.from_bytes(data, settings)
    assert equal(again, state) and again.seconds == 1.5 and again.to_bytes() == data
    with pytest.raises(ValueError, match="it holds a training with seed 1, not 2"):
        bdwp.State.from_bytes(data, settings | {"seed": 2})
    with pytest.raises(ValueError, match="it is no checkpoint of a training"):
        bdwp.State.from_bytes(data[: len(data) // 2], settings)


def fake_train(state, method, images, labels, *, save, progress):
    """An epoch adds what depends on the method, the seed and the epoch."""
    for epoch in range(state.epoch, state.settings["epochs"]):
        progress(epoch, state.settings["epochs"])
        rng = np.random.default_rng([state.settings["seed"], epoch, method.n])
        drawn = {name: x + rng.standard_normal(x.shape).astype(np.float32) / 9 for name, x in state.parameters.items()}
        state = bdwp.State(state.settings, epoch + 1, state.seconds + 1, drawn, state.momenta)
        save(state)
    return state


def fake_multiply(name, layer, x, config, design):
    """What `vit_tile` gives of one layer, by the golden model."""
    (k, t), (o, _, n) = x.shape, layer.values.shape
    cycles = [vit_tile.nm_tile.cycles(config, t, k, o, count) for count in (n, 8)]
    return vit_integer.linear(name, layer, x), vit_tile.LayerRun(name, layer.pattern, (t, k, o), *cycles), None, 0.0


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run `bitloom train bdwp` with random images, a smaller model, no training and no tile; gives (status, output)."""
    images, initial = drawn_images(650), vit.initial
    monkeypatch.setattr(vit, "initial", lambda seed: initial(seed, width=16, hidden=16, blocks=1))
    monkeypatch.setattr(vit_tile, "build", lambda config: (None, 0.0))
    monkeypatch.setattr(vit_tile, "_multiply", fake_multiply)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bdwp_train, "digits", lambda: (images, np.arange(650) % 10))
    monkeypatch.setattr(bdwp_train, "train", fake_train)

    def run(*words):
        small = ["-p", "rows=4", "-p", "cols=4", "--images", "1", "--epochs", "3", *words]
        result = CliRunner().invoke(cli.bitloom, ["train", "bdwp", *small], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.return_value, result.stdout

    return run


def test_command_trains_measures_and_runs(command, tmp_path):
    status, output = command("--seeds", "2", "--methods", "dense,bdwp-2:8", "--json", "found.json")
    assert status == 0
    lines = output.splitlines()
    assert lines[:4] == [
        f"{method}, seed {seed}: 3 epochs, 3.0 s of processor time"
        for method in ("dense", "bdwp-2:8")
        for seed in (1, 2)
    ]
    assert "Linear layers on the Verilated 4x4 nm-tile: every result and cycle is the golden model's" in lines
    table = [line.split() for line in lines]
    assert ["dense", "1.000"] in [row[:2] for row in table] and ["bdwp-2:8", "0.500"] in [row[:2] for row in table]
    found = json.loads((tmp_path / "found.json").read_text())
    assert [(row["method"], row["seed"]) for row in found["trainings"]] == [
        ("dense", 1),
        ("dense", 2),
        ("bdwp-2:8", 1),
        ("bdwp-2:8", 2),
    ]
    for entry, method in zip(found["methods"], ("dense", "bdwp-2:8"), strict=True):
        rows = [row for row in found["trainings"] if row["method"] == method]
        assert entry["accuracy"]["mean"] == pytest.approx(np.mean([row["accuracy"] for row in rows]))
        assert entry["accuracy"]["low"] == min(row["accuracy"] for row in rows)
        assert entry["int8_accuracy"]["high"] == max(row["int8_accuracy"] for row in rows)
        assert entry["images"] == entry["same"] == 2 and entry["seeds"] == 2
        assert entry["loss"] == pytest.approx(found["methods"][0]["accuracy"]["mean"] - entry["accuracy"]["mean"])
    assert found["methods"][0]["speedup"] == 1 and 2 < found["methods"][1]["speedup"] < 4
    kept = sorted(path.name for path in (tmp_path / "bdwp").iterdir())
    names = [f"{method}-seed{seed}" for method in ("bdwp-2-8", "dense") for seed in (1, 2)]
    assert kept == sorted(name + end for name in names for end in (".npz", ".int8.npz"))
    # Nothing is trained twice, and all that is found is the same.
    status, again = command("--seeds", "2", "--methods", "dense,bdwp-2:8")
    assert (
        status == 0 and again.splitlines()[0] == "dense, seed 1: was trained before, 3 epochs, 3.0 s of processor time"
    )
    assert again.splitlines()[4:] == lines[4:]


def test_command_goes_on_after_an_interruption(command, monkeypatch, tmp_path):
    options = ["--seeds", "1", "--methods", "bdwp-2:8"]
    assert command(*options, "-o", "whole")[0] == 0

    def interrupted(state, *rest, save, progress):
        def stop(now):
            save(now)
            if now.epoch == 2:
                raise KeyboardInterrupt

        return fake_train(state, *rest, save=stop, progress=progress)

    monkeypatch.setattr(bdwp_train, "train", interrupted)
    with pytest.raises((KeyboardInterrupt, cli.click.Abort)):
        command(*options)
    assert [path.name for path in (tmp_path / "bdwp").iterdir()] == ["bdwp-2-8-seed1.npz"]
    monkeypatch.setattr(bdwp_train, "train", fake_train)
    status, output = command(*options)
    assert status == 0 and output.startswith(
        "bdwp-2:8, seed 1: went on after epoch 2, 3 epochs, 3.0 s of processor time\n"
    )
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "bdwp" / path.name).read_bytes() == path.read_bytes()


def test_command_refuses_another_training_and_keeps_the_file(command, tmp_path):
    options = ["--seeds", "1", "--methods", "dense"]
    command(*options)
    path = tmp_path / "bdwp" / "dense-seed1.npz"
    before = path.read_bytes()
    refused = r"bdwp/dense-seed1\.npz cannot be continued, name another folder with -o: it"
    with pytest.raises(ValueError, match=f"{refused} holds a training with epochs 3, not 4"):
        command(*options, "--epochs", "4")
    assert path.read_bytes() == before
    path.write_bytes(before[:1000])
    with pytest.raises(ValueError, match=f"{refused} is no checkpoint of a training: "):
        command(*options)
    assert path.read_bytes() == before[:1000]


def test_command_fails_if_the_tile_differs(command, monkeypatch):
    def wrong(name, layer, x, *rest):
        found, done, _, seconds = fake_multiply(name, layer, x, *rest)
        return found, done, "1 of 64 results differ" if name == "head" else None, seconds

    monkeypatch.setattr(vit_tile, "_multiply", wrong)
    status, output = command("--seeds", "1", "--methods", "dense")
    assert status == cli.FAILED
    assert "dense, seed 1: head: 1 of 64 results differ" in output and "nm-tile: FAILED" in output


@pytest.mark.parametrize(
    "words, message",
    [
        (["--methods", "dense,bdwp-9:8"], "a method must be dense, sr-ste-N:M or bdwp-N:M .*, not 'bdwp-9:8'"),
        (["--methods", "dense,bdwp-2:8,dense"], "a method must be given once, not 'dense' twice"),
        (["-p", "group=4"], "group must be 8 for this model, not 4"),
        (["-p", "target=ecp5"], "ecp5"),
    ],
)
def test_command_refuses_wrong_requests(command, words, message):
    with pytest.raises(ValueError, match=message):
        command(*words)


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--epochs", "0"], ["--images", "598"]])
def test_command_refuses_numbers_out_of_range(command, words):
    with pytest.raises(cli.click.ClickException, match="is not in the range"):
        command(*words)


def test_a_missing_extra_is_named_in_one_line(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from bitloom.cli.program import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "train", "bdwp"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "bitloom: the package torch is not installed; install it with: pip install 'bitloom-rtl[train]'\n"
    )
    assert [*tmp_path.iterdir()] == []


# -- the training itself: needs the extra ------------------------------------------------------------------------------


@pytest.mark.long
def test_torch_computes_the_same_logits():
    torch, _ = bdwp_train.extra()
    parameters = drawn_parameters()
    codes = vit.patches(drawn_images(5))
    tensors = {name: torch.from_numpy(x) for name, x in parameters.items()}

    def linear(name, x):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    found = bdwp_train.forward(tensors, linear, torch.from_numpy(codes.astype(np.float32) / 16))
    np.testing.assert_allclose(found.numpy(), vit.forward(parameters, codes), rtol=1e-3, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("text", ["dense", "sr-ste-2:8", "bdwp-2:8", "bdwp-2:4"])
def test_gradients_are_those_of_the_golden_step(text):
    torch, _ = bdwp_train.extra()
    method = bdwp.Method.parse(text)
    rng = np.random.default_rng(0)
    w, x, dy = (rng.standard_normal(shape) for shape in ((24, 16), (2, 5, 16), (2, 5, 24)))
    masks = method.masks(w)
    tensors = [torch.tensor(operand, requires_grad=True) for operand in (x, w)]
    y = bdwp_train.product(*tensors, *map(torch.from_numpy, masks), method.decay)
    y.backward(torch.from_numpy(dy))
    step = nm_sparse.bdwp_step(w.T, x.reshape(-1, 16), dy.reshape(-1, 24), method.n, method.m, method.decay)
    np.testing.assert_allclose(y.detach().numpy().reshape(-1, 24), step.y, atol=1e-12)
    np.testing.assert_allclose(tensors[1].grad.numpy(), step.dw.T, atol=1e-12)
    dx = step.dx if method.kind == "bdwp" else dy.reshape(-1, 24) @ (w * masks[0])
    np.testing.assert_allclose(tensors[0].grad.numpy().reshape(-1, 16), dx, atol=1e-12)


@pytest.mark.long
def test_steps_are_those_of_gradient_descent_with_momentum():
    torch, _ = bdwp_train.extra()
    images, labels = drawn_images(100), np.arange(100) % 10
    state = bdwp.State.begin({"seed": 4, "epochs": 2}, vit.initial(4))
    found = bdwp_train.train(state, DENSE, images, labels)
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in vit.initial(4).items()}
    optimizer = torch.optim.SGD(leaves.values(), momentum=0.9)
    pixels = torch.tensor(vit.patches(images) / 16, dtype=torch.float32)

    def linear(name, x):
        return x @ leaves[f"{name}.weight"].T + leaves[f"{name}.bias"]

    for step, batch in enumerate(batch for epoch in range(2) for batch in bdwp.batches(100, 4, epoch)):
        optimizer.param_groups[0]["lr"] = bdwp.learning_rate(step, 4)
        optimizer.zero_grad()
        logits = bdwp_train.forward(leaves, linear, pixels[batch])
        torch.nn.functional.cross_entropy(logits, torch.tensor(labels[batch])).backward()
        optimizer.step()
    for name, leaf in leaves.items():
        np.testing.assert_allclose(found.parameters[name], leaf.detach().numpy(), atol=1e-5, err_msg=name)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_training_ends_with_the_same_bits(number, tmp_path):
    words = ["train", "bdwp", "--methods", "bdwp-2:8", "--seeds", "1", "--epochs", "4", "--images", "1"]
    command = [sys.executable, "-m", "bitloom", *words, "-p", "rows=4", "-p", "cols=4", "-o"]
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen([*command, "killed"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "killed" / "bdwp-2-8-seed1.npz"
    deadline = time.monotonic() + 300
    while not path.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    if number == signal.SIGINT:
        # Click ends the line that the terminal shows ^C in.
        assert (process.returncode, error) == (130, "\nbitloom: interrupted\n")
    settings = json.loads(str(np.load(path)["about"]))["settings"]
    assert bdwp.State.from_bytes(path.read_bytes(), settings).epoch < 4
    done = subprocess.run([*command, "killed"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "went on after epoch" in done.stdout
    names = ("bdwp-2-8-seed1.npz", "bdwp-2-8-seed1.int8.npz")
    one, other = ([(tmp_path / folder / name).read_bytes() for name in names] for folder in ("whole", "killed"))
    assert equal(*(bdwp.State.from_bytes(files[0], settings) for files in (one, other))) and one[1] == other[1]


@pytest.mark.long
def test_a_short_training_learns(tmp_path):
    images, labels = bdwp_train.digits()
    assert images.shape == (1797, 8, 8) and set(labels) == set(range(10))
    state = training.recall(tmp_path, BDWP, 1, 6, images, labels)
    state = training.trained(state, tmp_path, BDWP, images, labels)
    _, tests = bdwp.parts(len(images))
    logits = vit.forward(bdwp.pruned(state.parameters, BDWP), vit.patches(images[tests]))
    assert (logits.argmax(axis=1) == labels[tests]).mean() > 0.5
