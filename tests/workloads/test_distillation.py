"""`bitloom train bdwp --model`: texts, batches, the steps that distil a pruned encoder, and the command.

What needs torch, the extra `train`, is at the end and marked `long`; all else needs NumPy only.
"""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.golden import sat
from bitloom.golden.workloads import bdwp, distillation, encyclopedia, gensim_data, lee, sentences, transformer
from bitloom.golden.workloads.evaluate import mean_cosine
from bitloom.golden.workloads.transformer import Encoder
from bitloom.testbench.sat import distil, distil_train

SR_STE, BDWP = (bdwp.Method.parse(text) for text in ("sr-ste-2:8", "bdwp-2:4"))
TEXTS = [
    "red green blue, old and new.",
    "Light, lighter, lightest or blue.",
    "old red and new green light.",
    "a b c d",
    "the newest of the oldest: green and red or blue, lighter than light",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_encoder.write(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def encoder(folder):
    return Encoder.load(folder)


# -- texts -------------------------------------------------------------------------------------------------------------


def test_markup_is_taken_out_or_leaves_no_paragraph():
    words = "many plain words make this paragraph long enough to be taken, as it should be taken in the end of it all"
    export = "\n".join(
        [
            f"&lt;!-- no --&gt; {words}",
            f"'''Bold''' and [[Target page|linked]] &amp;amp; [[plain]]&lt;ref name=a&gt;note\n2&lt;/ref&gt;: {words}",
            f"{{{{box|{{{{inner}}}} [[x]]}}}}{words}&lt;ref name=&quot;b&quot; /&gt;",
            f"* {words}",
            f"{{| {words}",
            "Short.",
        ]
    )
    assert encyclopedia.plain(export) == [f"Bold and linked & plain: {words}", words]


def test_no_text_to_train_with_is_measured_or_held_out():
    train, held_out = distillation.texts()
    assert len(train) > 20_000 and 100 < len(held_out) < 300
    measured = {*lee.documents(), *sentences.SENTENCES, *sentences.CALIBRATION}
    parts = {part for text in measured for part in (text, *distillation._sentences(text))}
    assert not parts & {*train, *held_out} and not {*train} & {*held_out}
    # Nor as a part of a longer one.
    assert not any(part in text for part in sentences.SENTENCES for text in train)
    assert distillation.texts() == (train, held_out)


def test_batches_hold_each_text_once_and_depend_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(3, distillation.LONGEST + 1, 500)
    batches = distillation.batches(lengths, 3, 1)
    assert sorted(index for batch in batches for index in batch) == [*range(500)]
    sizes = [len(batch) * lengths[batch].max() for batch in batches]
    assert max(sizes) <= distillation.TOKENS
    # Little is padding: the texts of a batch are of like lengths.
    assert lengths.sum() > 0.9 * sum(sizes)
    assert distillation.batches(lengths, 3, 1) == batches
    assert batches not in (distillation.batches(lengths, 3, 0), distillation.batches(lengths, 4, 1))
    assert distillation.batches([distillation.TOKENS], 0, 0) == [[0]]


def test_a_pruned_encoder_has_the_pattern_and_all_else(encoder):
    pruned = distillation.pruned(encoder, BDWP)
    for name, layer in encoder.linears.items():
        values, indices = sat.select(layer.weight, 2, 4)
        assert np.array_equal(pruned.linears[name].weight, sat.expand(values, indices, 4))
        assert pruned.linears[name].bias is layer.bias
    assert pruned.norms is encoder.norms and pruned.words is encoder.words


def test_tensors_are_those_of_the_checkpoint(tmp_path):
    kept = {}
    folder = toy_encoder.write(tmp_path / "model", change=kept.update)
    tensors = transformer.tensors(Encoder.load(folder))
    assert {name for name in kept if "_embeddings" not in name} == tensors.keys()
    assert all(np.array_equal(kept[name], tensor) for name, tensor in tensors.items())


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nowhere"], "nowhere: no such folder, expected one with config.json and model.safetensors"),
        (["--model", "minilm", "--methods", "bdwp-3:4"], "N of 1, 2, 4 and M of 4, 8, N below M, not 'bdwp-3:4'"),
        (["--model", "minilm", "--methods", "dense"], "a method must be sr-ste-N:M or bdwp-N:M, not 'dense'"),
        (["--model", "minilm", "--epochs", "3"], "--epochs is not for the training with --model"),
        (["--model", "minilm", "-p", "rows=4"], "-p is not for the training with --model"),
        (["--steps", "3"], "--steps is not for the training without --model"),
        (["--model", "minilm", "--steps", "0"], "'--steps': 0 is not in the range x>=1"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(words, message, tmp_path):
    assert message in complaint("train", "bdwp", *words, cwd=tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_missing_text_is_one_line(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(gensim_data, "WHEEL", "gensim0")
    told = complaint("train", "bdwp", "--model", folder, cwd=tmp_path)
    assert "lee_background.cor of the wheel gensim0, extra model, is missing: pip install --no-deps" in told


# -- the steps themselves: need the extra ------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (2, 8), (4, 8), (8, 8)])
def test_the_largest_are_those_of_the_selector(n, m):
    torch = distil_train.torch_module()
    rng = np.random.default_rng(0)
    # Few values, so that there are ties; the last group is not whole.
    w = rng.integers(-3, 4, (40, 27)).astype(np.float32)
    padded = sat.pad(w, m)
    _, indices = sat.select(padded, n, m)
    wanted = np.zeros((40, padded.shape[1] // m, m), bool)
    np.put_along_axis(wanted, indices, True, axis=-1)
    mask = distil_train.keep_largest(torch.from_numpy(w), n, m)
    assert np.array_equal(mask.numpy(), wanted.reshape(40, -1)[:, :27])


@pytest.mark.long
@pytest.mark.parametrize("method", [SR_STE, BDWP], ids=str)
def test_masks_are_those_of_the_method(method):
    torch = distil_train.torch_module()
    w = np.random.default_rng(1).integers(-9, 10, (24, 16)).astype(np.float32)
    for mask, wanted in zip(distil_train._masks(method, torch.from_numpy(w)), method.masks(w), strict=True):
        assert np.array_equal(mask.numpy(), wanted)


@pytest.mark.long
def test_torch_computes_what_the_encoder_does(encoder):
    ids, mask = encoder.tokenizer.encode(TEXTS)
    parameters = distil_train.leaves(encoder)

    def linear(name, x):
        return x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]

    states, embeddings = distil_train.forward(encoder, parameters, linear, ids, mask)
    np.testing.assert_allclose(states[-1].numpy() * mask[..., None], encoder(ids, mask), atol=2e-5)
    np.testing.assert_allclose(embeddings.numpy(), encoder.embed(TEXTS), atol=1e-5)


@pytest.mark.long
def test_the_loss_is_that_of_the_pruned_encoder(encoder):
    """The same number from the pruned encoder in NumPy, for which the product of a step must be the sparse one."""
    ids, mask = encoder.tokenizer.encode(TEXTS)
    student = distil_train.leaves(encoder)
    loss = float(distil_train.loss(encoder, distil_train.leaves(encoder), student, BDWP, ids, mask))
    states = []
    for model in (encoder, distillation.pruned(encoder, BDWP)):
        seen = []

        def layernorm(name, x, gamma, beta, eps, seen=seen):
            y = transformer.layernorm(name, x, gamma, beta, eps)
            if name.endswith("feed_forward.norm"):
                seen.append(y.astype(np.float64))
            return y

        model(ids, mask, transformer.Ops(layernorm=layernorm))
        states.append(seen)
    distances = [np.square(y - aim).sum() / np.square(aim).sum() for aim, y in zip(*states, strict=True)]
    cosine = mean_cosine(encoder.embed(TEXTS), distillation.pruned(encoder, BDWP).embed(TEXTS))
    assert loss == pytest.approx(np.mean(distances) + 1 - cosine, rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("method", [SR_STE, BDWP], ids=str)
def test_a_short_training_learns_and_gives_the_same_bits_again(encoder, method):
    told = []
    runs = [
        distil_train.train(encoder, method, TEXTS * 10, TEXTS[:2], 30, 1, lambda *words: told.append(words))
        for _ in range(2)
    ]
    one, two = (transformer.tensors(run.encoder) for run in runs)
    assert all(np.array_equal(one[name], two[name]) for name in one) and runs[0].loss == runs[1].loss
    assert runs[0].loss[-1] < 0.3 * runs[0].loss[0] and runs[0].after > runs[0].before + 0.1
    assert runs[0].after == pytest.approx(mean_cosine(encoder.embed(TEXTS[:2]), runs[0].encoder.embed(TEXTS[:2])))
    for layer in runs[0].encoder.linears.values():
        assert np.array_equal(layer.weight, np.where(method.masks(layer.weight)[0], layer.weight, 0))
        assert np.count_nonzero(layer.weight) == layer.weight.size * method.n // method.m
    assert len(told) == 2 * 31 and told[1][0] == 1 and "loss" in told[1][2] and "held-out cosine" in told[1][2]
    other = distil_train.train(encoder, method, TEXTS * 100, TEXTS[:2], 3, 2)
    assert other.loss != distil_train.train(encoder, method, TEXTS * 100, TEXTS[:2], 3, 1).loss


@pytest.mark.long
def test_command_writes_encoders_that_compare_takes(folder, tmp_path):
    words = ["train", "bdwp", "--model", folder, "--steps", "3", "-o"]
    told, _ = bitloom(*words, "trained", "--json", "found.json", cwd=tmp_path)
    assert "wrote trained/bdwp-2-4, trained/bdwp-2-8" in told
    rows = json.loads((tmp_path / "found.json").read_text())["methods"]
    assert [row["method"] for row in rows] == ["bdwp-2:4", "bdwp-2:8"] and all(row["tokens"] > 1000 for row in rows)
    for n, m in ((2, 4), (2, 8)):
        weights = Encoder.load(tmp_path / "trained" / f"bdwp-{n}-{m}").linears["layer.0.attention.query"].weight
        assert np.count_nonzero(weights) == weights.size * n // m
    bitloom(*words, "again", "--methods", "bdwp-2:8", cwd=tmp_path)
    names = [path.name for path in (tmp_path / "trained/bdwp-2-8").iterdir()]
    assert sorted(names) == ["config.json", "model.safetensors", "vocab.txt"]
    for name in names:
        assert (tmp_path / "again/bdwp-2-8" / name).read_bytes() == (tmp_path / "trained/bdwp-2-8" / name).read_bytes()
    told, _ = bitloom(
        *("compare", folder, "--rows", "2:4", "--inputs", "2", "--trained", "2:4=trained/bdwp-2-4"), cwd=tmp_path
    )
    assert [line.split()[0] for line in told.splitlines()[2:4]] == ["2:4", "2:4-trained"]


@pytest.mark.long
def test_an_interrupted_training_leaves_nothing(folder, tmp_path):
    command = [sys.executable, "-m", "bitloom", "train", "bdwp", "--model", str(folder), "--steps", "1000000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "loss" in line:
            break
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error.endswith("bitloom: interrupted\n") and time.monotonic() - begin < 30
    assert [*tmp_path.iterdir()] == []
    assert distil.folder_of("bdwp", BDWP).name == "bdwp-2-4"


@pytest.mark.long
def test_minilm_learns_in_a_few_steps():
    encoder = Encoder.load()
    train, held_out = distillation.texts()
    run = distil_train.train(encoder, bdwp.Method.parse("bdwp-2:8"), train[::20], held_out[::4], 24, 1)
    assert run.before < 0.35 < 0.45 < run.after and run.loss[-1] < 0.75 * run.loss[0]
