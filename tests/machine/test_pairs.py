"""Linear layers in outlier-victim pairs: the encoder against Python's integers, jobs against the encoder, accuracy."""

from dataclasses import replace

import numpy as np
import plain_encoder
import pytest
import toy_encoder
from machine_toys import check_sums, toy

from bitloom.golden.machine import compiler, cycles, jobs, pairs, program
from bitloom.golden.machine.executor import Executor
from bitloom.golden.machine.sizes import Sizes
from bitloom.golden.olive import ovp
from bitloom.golden.workloads import machine_model, machine_program, machine_steps, transformer
from bitloom.golden.workloads.evaluate import mean_cosine
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES
from bitloom.golden.workloads.transformer import Encoder, Ops

FORMAT = "ovp-int4"
SMALL = Sizes(lanes=4, tokens=16, channels=16, hidden=24, address_bits=12, entries=8, format=FORMAT)


def outlying(made):
    """Some weights, and some channels of each residual, far beyond the others."""
    for name, values in made.items():
        if name.endswith("weight") and values.ndim == 2 and "embeddings" not in name:
            values.reshape(-1)[::11] *= 6
        if name.endswith("LayerNorm.weight"):
            values[::9] *= 8


def quantized(folder, entries=16):
    encoder = Encoder.load(folder)
    steps = machine_steps.calibrate(encoder, CALIBRATION, FORMAT)
    return encoder, machine_model.quantize(encoder, steps, entries, FORMAT)


# -- pairs -------------------------------------------------------------------------------------------------------------


def test_fixed_point_becomes_pairs_as_plain_fractions_do():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([np.rint(rng.normal(0, scale, 800)) for scale in (100, 400, 3000)])
    ties = 32 * np.arange(-200, 200)
    edges = [-32768, 32767, 607, 608, 609, -608, 0, -1, 32767, 32767, -32768, -32768, 6144, 6145, 416, 448]
    row = np.clip(np.concatenate([drawn, ties, rng.permutation(ties), edges]), -32768, 32767).astype(int)
    assert pairs.decoded(pairs.encoded(row)).tolist() == plain_encoder.paired(row.tolist())


def test_an_array_of_8_bits_takes_every_byte():
    """Also pairs that no encoder gives."""
    values = pairs.decoded(np.arange(-128, 128)[:, None])
    assert values.shape == (256, 2) and values.min() == -96 and values.max() == 96
    # What the even value's code is, the lower half of the byte tells.
    assert pairs.decoded([0x32, 0xF8 - 256]).tolist() == [2, 3, 0, -96]


# -- the encoder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "entries"), [({}, 16), ({"layers": 1, "hidden": 24, "heads": 3, "up": 8}, 8)], ids=["toy", "small"]
)
def test_every_sum_is_that_of_plain_integers(tmp_path, sizes, entries):
    _, model = quantized(toy_encoder.write(tmp_path, seed=entries, change=outlying, **sizes), entries)
    rng = np.random.default_rng(0)
    for length in (1, 2, 7):
        ids = rng.integers(0, len(model.words), length)
        assert model(ids).tolist() == plain_encoder.encode(model, ids.tolist())


def test_inputs_and_weights_of_linear_layers_are_values_of_pairs(tmp_path):
    _, model = quantized(toy_encoder.write(tmp_path, change=outlying))
    legal, seen = {*range(8), *ovp.INT4.outlier_magnitudes.tolist()}, {}
    model([3, 9, 5, 11], seen.__setitem__)
    inputs = [seen[f"layer.1.{name}"] for name in ("attention.input", "attention.context", "feed_forward.hidden")]
    weights = [getattr(layer, name).weights for layer in model.layers for name in ("query", "output", "up", "down")]
    for values in (*inputs, *weights):
        assert set(np.abs(values.astype(int)).ravel().tolist()) <= legal
        partners = np.abs(values.astype(int)).reshape(-1, 2)
        assert (partners.min(axis=1)[partners.max(axis=1) > 7] == 0).all()
    assert all((np.abs(values.astype(int)) > 7).any() for values in (inputs[0], *weights))
    # Attention stays with 8 bits.
    assert not set(np.abs(seen["layer.0.attention.query"]).ravel().tolist()) <= legal


def test_a_toy_encoder_is_near_its_float_model(tmp_path):
    """With the requantizers of pairs a factor of two off, the cosine is below 0.6."""
    encoder, model = quantized(toy_encoder.write(tmp_path))
    embeddings = []
    for vectors in (machine_model.embed(model, encoder, SENTENCES), encoder.embed(SENTENCES)):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        # Without what all sentences share: that is most of a random encoder's.
        embeddings.append(np.ravel(vectors - vectors.mean(axis=0)))
    assert np.dot(*embeddings) > 0.9 * np.prod([np.linalg.norm(part) for part in embeddings])


def test_rows_of_weights_that_are_0_keep_their_bias(tmp_path):
    def change(made):
        for name in made:
            if name.endswith("dense.weight"):
                made[name][::4] = 0

    encoder, model = quantized(toy_encoder.write(tmp_path, change=change))
    ids = encoder.tokenizer.encode(SENTENCES[:1], 64)[0][0]
    assert model(ids).tolist() == plain_encoder.encode(model, ids.tolist())
    assert not model.layers[0].up.weights[::4].any() and model.layers[0].up.requantizer.bias[::4].all()


def test_another_format_is_refused(tmp_path):
    encoder = Encoder.load(toy_encoder.write(tmp_path))
    message = r"^format must be one of int8, ovp-int4, not 'int4'$"
    with pytest.raises(ValueError, match=message):
        machine_steps.calibrate(encoder, CALIBRATION, "int4")
    with pytest.raises(ValueError, match=message):
        machine_model.quantize(encoder, {}, 16, "int4")


@pytest.mark.long
def test_minilm_is_as_near_as_the_same_scheme_in_floating_point():
    encoder = Encoder.load()
    reference = encoder.embed(SENTENCES)
    steps = machine_steps.calibrate(encoder, CALIBRATION, FORMAT)
    inputs = {layer: group for group, layers in machine_steps.GROUPS.items() for layer in layers}

    def linear(name, x, weight, bias):
        prefix, part = name[: len("layer.0.")], name[len("layer.0.") :]
        step = steps[prefix + inputs[part]]
        smoothed = weight * step
        rows = ovp.search_scale(smoothed, ovp.INT4, 0)[:, None]
        made = ovp.round_trip(x / step, ovp.INT4), ovp.round_trip(smoothed / rows, ovp.INT4) * rows
        return transformer.linear(name, *(part.astype(np.float32) for part in made), bias)

    floating = mean_cosine(reference, encoder.embed(SENTENCES, replace(Ops(), linear=linear)))
    model = machine_program.integer_encoder(encoder, Sizes(format=FORMAT))
    cosine = mean_cosine(reference, machine_model.embed(model, encoder, SENTENCES))
    # 0.9168 and 0.9233.
    assert cosine > 0.91 and cosine > floating - 0.0075, (cosine, floating)


# -- jobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        (replace(SMALL, lanes=8, tokens=32), {"layers": 1, "heads": 2}),
        (replace(SMALL, hidden=16, tokens=12, entries=16), {"layers": 1, "heads": 1}),
        (replace(SMALL, channels=24, logit_scale=5), {"layers": 3, "heads": 3}),
    ],
)
def test_sums_are_those_of_the_encoder(tmp_path, sizes, shape):
    check_sums(toy(tmp_path / "model", sizes, **shape), sizes)


def test_inputs_of_linear_layers_lie_as_pairs(tmp_path):
    """Where the jobs leave them: two channels of a token are a byte."""
    encoder = toy(tmp_path / "model", SMALL, layers=1, heads=2)
    made, ids, tensors = compiler.compile_encoder(encoder, SMALL), [3, 5, 60, 7, 1], {}
    encoder(ids, tensors.__setitem__)
    width = SMALL.channels // 2

    def tokens(memory, base, stride, width):
        words = memory[base + np.arange(2)[:, None] * stride + np.arange(width)]
        return pairs.decoded(words.transpose(0, 2, 1).reshape(-1, width)[: len(ids)])

    places = {
        "attention.input": ("a", 0, width, width),
        "attention.context": ("a", SMALL.groups * width, SMALL.channels, width),
        "feed_forward.input": ("a", 0, width, width),
        "feed_forward.hidden": ("b", 0, SMALL.hidden // 2, SMALL.hidden // 2),
    }
    seen = []

    def watch(index, job, executor):
        following = made.jobs[index + 1]
        if isinstance(job, jobs.Normalize) and job.codes:
            name = "feed_forward.input" if "attention.input" in seen else "attention.input"
        elif isinstance(job, jobs.Product) and job.pairs and (job.to == "gelu" or isinstance(following, jobs.Loop)):
            name = "feed_forward.hidden" if job.to == "gelu" else "attention.context"
        else:
            return
        memory, *place = places[name]
        assert (tokens(getattr(executor, memory), *place) == tensors[f"layer.0.{name}"]).all(), name
        seen.append(name)

    Executor(made)([ids], watch)
    assert seen == [*places]


def test_pairs_halve_the_weights(tmp_path):
    shapes = {"int8": 0, FORMAT: 0}
    for name in shapes:
        sizes = replace(SMALL, format=name, channels=32, hidden=64, address_bits=14)
        made = compiler.compile_encoder(toy(tmp_path / name, sizes, heads=2), sizes)
        time = cycles.timeline(made, [4], 4.0)
        weights = sum(job.panels * job.body for job in made.jobs if isinstance(job, jobs.Load))
        shapes[name] = weights, time.macs
        again, _ = program.loads(program.dumps(made, {}))
        assert again.jobs == made.jobs and again.sizes == sizes
    assert shapes["int8"][0] == 2 * shapes[FORMAT][0] and shapes["int8"][1] == shapes[FORMAT][1]


def test_an_encoder_of_another_format_is_refused(tmp_path):
    encoder = toy(tmp_path / "model", SMALL)
    with pytest.raises(ValueError, match=r"^linear layers must have the machine's format int8, not ovp-int4$"):
        compiler.compile_encoder(encoder, replace(SMALL, format="int8"))


def test_a_machine_of_8_bits_has_no_job_for_pairs():
    job = jobs.Product("b", "probabilities", 0, 2, 0, "a", pairs=True)
    assert jobs.decode(jobs.encode(job, SMALL), SMALL) == job
    with pytest.raises(ValueError, match=r"^pairs of Product must be False in a machine of int8, not True$"):
        jobs.encode(job, Sizes())
