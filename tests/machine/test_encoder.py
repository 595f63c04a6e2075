"""The integer encoder against Python's integers, on toy encoders, and its accuracy on the real one."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import plain_encoder
import pytest
import toy_encoder

from bitloom.golden.workloads import machine_losses, machine_model, machine_steps
from bitloom.golden.workloads.evaluate import mean_cosine
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES
from bitloom.golden.workloads.transformer import Encoder

#: Bits of the tensors, as the module's table has them; softmax has no sign.
BITS = {
    "attention.input": 8,
    "attention.query": 8,
    "attention.key": 8,
    "attention.value": 8,
    "attention.logits": 8,
    "attention.softmax": 9,
    "attention.context": 8,
    "attention.sum": 16,
    "attention.norm": 16,
    "feed_forward.input": 8,
    "feed_forward.up": 16,
    "feed_forward.gelu": 16,
    "feed_forward.hidden": 8,
    "feed_forward.sum": 16,
    "feed_forward.norm": 16,
}


def quantized(folder, entries=16, calibration=CALIBRATION):
    encoder = Encoder.load(folder)
    steps = machine_steps.calibrate(encoder, calibration)
    return encoder, steps, machine_model.quantize(encoder, steps, entries)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return quantized(toy_encoder.write(tmp_path_factory.mktemp("toy") / "model"))


# -- against plain integers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [8, 16])
@pytest.mark.parametrize(
    "sizes", [{}, {"layers": 1, "hidden": 24, "heads": 3, "up": 8}, {"layers": 1, "hidden": 8, "heads": 1}]
)
def test_every_sum_is_that_of_plain_integers(tmp_path, sizes, entries):
    _, _, model = quantized(toy_encoder.write(tmp_path, seed=entries, **sizes), entries)
    rng = np.random.default_rng(0)
    for length in (1, 2, 7):
        ids = rng.integers(0, len(model.words), length)
        assert model(ids).tolist() == plain_encoder.encode(model, ids.tolist())


def test_what_saturates_is_that_of_plain_integers(toy):
    """Every ratio eight times too large: residuals, logits, activations all leave their codes."""
    _, _, model = toy

    def louder(part):
        return replace(part, requantizer=replace(part.requantizer, shift=part.requantizer.shift - 3))

    layers = tuple(
        replace(layer, **{name: louder(getattr(layer, name)) for name in ("query", "output", "up")})
        for layer in model.layers
    )
    loud = replace(model, layers=layers, norm=louder(model.norm))
    ids, seen = [9, 30, 60, 4, 4], {}
    assert loud(ids, lambda name, tensor: seen.setdefault(name, tensor)).tolist() == plain_encoder.encode(loud, ids)
    assert seen["layer.0.attention.query"].min() == -128 and seen["embeddings.norm"].max() == 32767


# -- its tensors -------------------------------------------------------------------------------------------------------


def test_every_tensor_is_of_integers_within_its_bits(toy):
    _, _, model = toy
    seen = []
    model([3, 9, 5, 11], lambda name, tensor: seen.append((name, tensor)))
    names = [f"layer.{i}.{part}" for i in range(2) for part in BITS]
    assert [name for name, _ in seen] == ["embeddings.sum", "embeddings.norm", *names, "embedding"]
    for name, tensor in seen:
        bits = {"embedding": 32}.get(name) or BITS.get(name.split(".", 2)[-1], 16)
        assert tensor.dtype == np.int64, name
        assert -(1 << bits - 1) <= tensor.min() and tensor.max() < 1 << bits - 1, name
    tensors = dict(seen)
    assert tensors["layer.1.attention.logits"].shape == (2, 4, 4) and tensors["embedding"].shape == (32,)
    assert tensors["layer.0.attention.softmax"].min() >= 0


def test_a_sentence_does_not_depend_on_those_beside_it(toy):
    encoder, _, model = toy
    together = machine_model.embed(model, encoder, ["a red light", "old", "newest green or blue lighter red."])
    assert (together[1] == machine_model.embed(model, encoder, ["old"])[0]).all()


@pytest.mark.parametrize(
    "ids, error, message",
    [
        ([], ValueError, r"ids must be 1 to 64 tokens of one sentence, not of shape \(0,\)"),
        ([[1]], ValueError, r"ids must be 1 to 64 tokens of one sentence, not of shape \(1, 1\)"),
        ([1] * 65, ValueError, r"ids must be 1 to 64 tokens of one sentence, not of shape \(65,\)"),
        ([1.0], TypeError, "ids must be integers, not float64"),
        ([1, 99], ValueError, "token ids 1 to 99, expected 0 to 67"),
        ([-1, 3], ValueError, "token ids -1 to 3, expected 0 to 67"),
    ],
)
def test_other_ids_are_refused(toy, ids, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        toy[2](ids)


# -- calibration and accuracy ------------------------------------------------------------------------------------------


def alike(model, encoder, sentences):
    """Cosine of both sets of embeddings, without what all sentences share: that is most of a random encoder's."""
    sums, reference = machine_model.embed(model, encoder, sentences), encoder.embed(sentences)
    sums = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    parts = [np.ravel(embeddings - embeddings.mean(axis=0)) for embeddings in (sums, reference)]
    return np.dot(*parts) / np.prod([np.linalg.norm(part) for part in parts])


@pytest.mark.parametrize("sizes", [{}, {"hidden": 64, "heads": 8, "up": 24, "layers": 3, "eps": 1e-3}])
def test_a_toy_encoder_loses_little(tmp_path, sizes):
    encoder, _, model = quantized(toy_encoder.write(tmp_path, **sizes))
    assert alike(model, encoder, SENTENCES) > 0.997


def zero(*keys):
    def change(made):
        for name in made:
            if any(key in name for key in keys):
                made[name][:] = 0

    return change


def scaled(key, factor):
    def change(made):
        for name in made:
            if key in name:
                made[name] *= np.float32(factor)

    return change


@pytest.mark.parametrize(
    "change",
    [
        zero("word_embeddings"),
        zero("position_embeddings", "token_type"),
        zero("attention.self"),
        zero("dense.weight"),
        zero("dense"),
        zero("LayerNorm.bias"),
        scaled("intermediate.dense.weight", 1e-9),
        scaled("position_embeddings", 1e4),
        scaled("attention.self.query", 30),
        scaled("word_embeddings", 1e-8),
    ],
    ids=["words", "positions", "attention", "weights", "linear", "beta", "tiny", "loud", "logits", "small"],
)
def test_odd_encoders_are_held_as_well(tmp_path, change):
    encoder, _, model = quantized(toy_encoder.write(tmp_path, change=change))
    assert alike(model, encoder, SENTENCES[:6]) > 0.98
    sums = machine_model.embed(model, encoder, SENTENCES[:1])
    assert sums[0].tolist() == plain_encoder.encode(model, encoder.tokenizer.encode(SENTENCES[:1], 64)[0][0].tolist())


def test_an_encoder_of_next_to_no_gamma_gives_its_beta(tmp_path):
    encoder, _, model = quantized(toy_encoder.write(tmp_path, change=scaled("LayerNorm.weight", 1e-6)))
    sums = machine_model.embed(model, encoder, SENTENCES[:6])
    assert mean_cosine(sums, encoder.embed(SENTENCES[:6])) > 0.999999


def test_channels_without_a_scale_keep_their_shift(tmp_path):
    """LayerNorm channels of gamma 0, rows of weights that are 0: their beta and bias must come through."""

    def change(made):
        for name in made:
            if "LayerNorm.weight" in name:
                made[name][::3] = 0
            if name.endswith("dense.weight"):
                made[name][::4] = 0

    encoder, steps, model = quantized(toy_encoder.write(tmp_path, change=change))
    tensors = {}
    model([3, 9, 5], lambda name, tensor: tensors.setdefault(name, tensor))
    beta = encoder.norms["layer.1.feed_forward.norm"].beta[::3]
    step = steps["layer.1.feed_forward.norm"]
    assert np.abs(tensors["layer.1.feed_forward.norm"][:, ::3] * step - beta).max() < 0.002
    bias = encoder.linears["layer.1.feed_forward.up"].bias[::4]
    assert np.abs(tensors["layer.1.feed_forward.up"][:, ::4] * steps["layer.1.feed_forward.up"] - bias).max() < 0.002


def test_steps_are_those_of_the_largest_magnitudes(toy):
    encoder, steps, model = toy
    words = np.abs(encoder.words).max() / 127
    assert steps["embeddings.words"] == pytest.approx(words)
    assert steps["embeddings.sum"] * 2**model.word_shift == pytest.approx(words)
    total = (np.abs(model.words.astype(int)).max() << model.word_shift) + np.abs(model.positions.astype(int)).max()
    assert total <= 32767 and (total > 16383 or model.word_shift == 8)
    for name, step in steps.items():
        if name.endswith((".norm", ".up", ".gelu", ".logits", ".output", ".down")):
            assert np.log2(step) % 1 == 0, name
        if name.endswith((".input", ".context", ".hidden")):
            # The factors' geometric mean is 1, so the channel's largest code is 127 in one of them only.
            assert step.shape == ((48,) if "hidden" in name else (32,)) and step.min() < step.max()


def test_minilm_loses_less_than_a_hundredth():
    encoder, _, model = quantized(None)
    sums, reference = machine_model.embed(model, encoder, SENTENCES), encoder.embed(SENTENCES)
    assert sums.shape == (24, 384) and np.abs(sums).max() < 1 << 31
    assert mean_cosine(sums, reference) >= 0.99
    assert min(mean_cosine(a[None], b[None]) for a, b in zip(sums, reference, strict=True)) > 0.98
    coarse = machine_model.embed(replace(model, entries=8), encoder, SENTENCES)
    assert mean_cosine(coarse, reference) >= 0.99
    # Probabilities of 8 bits are coarse in long texts.
    (ids,), mask = encoder.tokenizer.encode([" ".join(SENTENCES)], 480)
    assert 0.97 < mean_cosine(model(ids)[None], encoder(ids[None], mask).sum(axis=1)) < 0.99


# -- wrong requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"hidden": 12}, "hidden_size must be a multiple of 8 up to 65536, not 12"),
        ({"up": 20}, "intermediate_size must be a multiple of 8 up to 65536, not 20"),
        ({"heads": 8}, "a head's width must be a multiple of 8 up to 65536, not 4"),
    ],
)
def test_sizes_that_are_no_multiple_of_8_are_refused(tmp_path, sizes, message):
    encoder = Encoder.load(toy_encoder.write(tmp_path, **sizes))
    for refuse in (lambda: machine_model.quantize(encoder, {}), lambda: machine_losses.compare(encoder, [], [])):
        with pytest.raises(ValueError, match=f"^{message}$"):
            refuse()


def test_other_entries_and_kinds_are_refused(toy):
    encoder, steps, model = toy
    with pytest.raises(ValueError, match=r"^entries must be 8 or 16, not 12$"):
        machine_model.quantize(encoder, steps, 12)
    with pytest.raises(ValueError, match=r"^an operation must be one of linear, .*, layernorm, not 'matmul'$"):
        machine_losses.operations(model, steps, ("matmul",))


def test_steps_too_far_from_each_other_are_refused_by_name(toy):
    encoder, steps, _ = toy
    for name, change in (("layer.0.attention.input", 1e-9), ("layer.1.feed_forward.down", 1e-12)):
        with pytest.raises(ValueError, match=rf"^{name}: a scale must be 0 to 255.996, not .*"):
            machine_model.quantize(encoder, steps | {name: steps[name] * change})


# -- where it loses ----------------------------------------------------------------------------------------------------


def test_losses_row_by_row(toy):
    encoder, steps, model = toy
    told = []
    rows = machine_losses.compare(encoder, SENTENCES[:4], CALIBRATION, lambda *counts: told.append(counts))
    assert told == [(done, 12) for done in range(13)]
    assert [*rows] == [*machine_losses.KINDS, "all"]
    assert all([*row] == ["8", "16"] and 0.99 < min(row.values()) <= max(row.values()) < 1 for row in rows.values())
    assert all(rows[kind]["8"] == rows[kind]["16"] for kind in ("linear", "attention"))
    sums = machine_model.embed(model, encoder, SENTENCES[:4])
    assert rows["all"]["16"] == mean_cosine(encoder.embed(SENTENCES[:4]), sums)
    # One row is what its operations give.
    embedded = encoder.embed(SENTENCES[:4], machine_losses.operations(model, steps, ("linear", "attention")))
    assert rows["attention"]["16"] == mean_cosine(encoder.embed(SENTENCES[:4]), embedded)


def test_with_all_operations_the_float_model_is_close_to_the_integer_one(toy):
    encoder, steps, model = toy
    embedded = encoder.embed(SENTENCES[:8], machine_losses.operations(model, steps))
    assert mean_cosine(embedded, machine_model.embed(model, encoder, SENTENCES[:8])) > 0.9995


def test_minilm_has_the_same_steps_on_every_processor():
    """OpenBLAS adds in another order on each; in float32 that decides hundreds of steps."""
    script = (
        "import hashlib, numpy as np\n"
        "from bitloom.golden.workloads import machine_steps, sentences, transformer\n"
        "steps = machine_steps.calibrate(transformer.Encoder.load(), sentences.CALIBRATION[:2])\n"
        "print(hashlib.sha256(b''.join(np.asarray(steps[name]).tobytes() for name in sorted(steps))).hexdigest())"
    )
    digests = set()
    for kernel in ("Prescott", "Haswell", "SkylakeX"):
        environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
