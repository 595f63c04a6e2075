"""golden.evaluate and golden.quantize: the comparison with the float32 model, on the real one."""

from dataclasses import replace

import numpy as np
import pytest

from bitloom.golden.workloads import evaluate, quantize
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES
from bitloom.golden.workloads.transformer import Encoder

FLOAT32_MAX = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load()


def test_mean_cosine():
    a = np.array([[1.0, 0.0], [3.0, 4.0]])
    assert evaluate.mean_cosine(a, a) == pytest.approx(1)
    assert evaluate.mean_cosine(a, [[0.0, 2.0], [-3.0, -4.0]]) == pytest.approx(-0.5)


def test_unchanged_weights_give_the_same_embeddings_and_coarse_activations_do_not(encoder):
    formats = [quantize.lookup("int8"), quantize.lookup("int4")]
    same = {name: layer.weight for name, layer in encoder.linears.items()}
    told = []
    found = evaluate.compare_embeddings(
        encoder,
        {fmt.name: same for fmt in formats},
        formats,
        SENTENCES[:4],
        CALIBRATION[:2],
        progress=lambda done, total, text: told.append((done, total)),
    )
    assert found["int8"]["weights"] == pytest.approx(1, abs=1e-9)
    assert 0.9 < found["int8"]["weights_and_activations"] < 0.9999
    assert found["int4"]["weights_and_activations"] < found["int8"]["weights_and_activations"]
    assert told == [(done, 2 * len(same)) for done in range(1, 2 * len(same) + 1)]


def test_outlier_victim_pairs_keep_more_than_plain_integers(encoder):
    name = "layer.0.feed_forward.down"
    formats = [quantize.lookup("ovp-int4"), quantize.lookup("int4")]
    rows, restored = evaluate.compare_weights({name: encoder.linears[name].weight[:32]}, formats)
    assert [row["name"] for row in rows] == [name]
    assert rows[0]["shape"] == [32, 1536]
    assert sum(rows[0]["pairs"][kind] for kind in ("normal_normal", "outlier_normal", "outlier_outlier")) == 1
    errors = rows[0]["errors"]
    assert errors["ovp-int4"]["mse"] < errors["int4"]["mse"]
    for fmt in formats:
        difference = restored[fmt.name][name] - encoder.linears[name].weight[:32]
        assert np.mean(np.square(difference, dtype=np.float64)) == pytest.approx(errors[fmt.name]["mse"], rel=1e-5)


@pytest.mark.parametrize("name", quantize.FORMATS)
def test_every_format_restores_within_its_error_report(name):
    fmt = quantize.lookup(name)
    weight = np.random.default_rng(2).normal(size=(5, 33))
    weight[3] = 0
    codes, steps = quantize.quantize(weight, fmt)
    assert steps.dtype == np.float32 and steps[3] == 1
    report = quantize.error_report(weight, codes, steps, fmt)
    assert report["sqnr_db"] > (30 if fmt.bits == 8 else 12)
    restored = fmt.decode(codes)[:, :33] * steps[:, None].astype(np.float64)
    assert np.abs(restored - weight).max() == report["max_error"]


def test_error_report_of_exact_and_of_zero_weights():
    fmt = quantize.lookup("int4")
    exact = np.array([[7.0, -7.0, 1.0, 0.0]])
    assert quantize.error_report(exact, *quantize.quantize(exact, fmt), fmt)["sqnr_db"] is None
    zero = np.zeros((2, 3))
    report = quantize.error_report(zero, *quantize.quantize(zero, fmt), fmt)
    assert report == {"mse": 0, "sqnr_db": None, "max_error": 0}


FORMATS = [*quantize.FORMATS.values(), quantize.HgqFormat(), *quantize.BLOCKED.values()]
#: Largest magnitudes that may be quantized; others are those of the formats with a step an output channel.
RANGES = {
    "hgq": (2.0**-14, 65504.0),
    "mxfp4": (2.0**-128, FLOAT32_MAX),
    "mxfp6-e2m3": (2.0**-130, FLOAT32_MAX),
    "mxfp6-e3m2": (2.0**-131, FLOAT32_MAX),
    "mxint8": (2.0**-133, FLOAT32_MAX),
    "nvfp4": (2688 * 2.0**-126, FLOAT32_MAX),
}


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_numbers_of_every_size_are_quantized_or_refused(fmt):
    """With warnings as errors: no square and no step leaves its type on the way."""
    low, high = RANGES.get(fmt.name, (2.0**-149, quantize.LARGEST))
    shape = np.array([[1, -0.5, 0.25, 0], [-0.125, 0, 0.5, 1]])
    for size in (low, 2 * low, 1e-3, 1.0, high):
        weight = shape * size
        tensors, report = quantize.quantize_with_report(weight, fmt)
        assert all(np.isfinite(np.asarray(tensor, float)).all() for tensor in tensors.values())
        assert all(value is None or np.isfinite(value) for value in report.values())
        # What is just below 8 becomes 6 in MXFP4.
        assert report["max_error"] < (0.26 if fmt.name == "mxfp4" else 0.2) * size or size <= 2 * low
        if "steps" in tensors:
            restored = fmt.decode(tensors["codes"])[:, :4] * tensors["steps"][:, None]
            assert restored.dtype == np.float64 and np.isfinite(restored.astype(np.float32)).all() and restored.any()
    above = [size for size in (3.4e38, 3.5e38, 1e200, 1.7e308) if size > high]
    for size in (5e-324, 1e-300, low / 2, np.nextafter(high, np.inf), *above):
        with pytest.raises(ValueError) as caught:
            quantize.quantize_with_report(shape * size, fmt)
        text = str(caught.value)
        assert text.startswith("values from ") and f"must be 0 or {low:.6g} to {high:.6g}, not {size:.4g}" in text


@pytest.mark.parametrize("fmt", quantize.FORMATS.values(), ids=lambda fmt: fmt.name)
def test_a_dead_output_beside_live_ones_becomes_zero(fmt):
    weight = np.array([[1.0, -2.0, 0.5, 3.0], [1e-60, 0, -2e-60, 0], [0, 0, 0, 0]])
    codes, steps = quantize.quantize(weight, fmt)
    assert steps[1] == 2.0**-149 and steps[2] == 1
    assert not fmt.decode(codes)[1:].any() and fmt.decode(codes)[0].any()


@pytest.mark.parametrize("fmt", quantize.FORMATS.values(), ids=lambda fmt: fmt.name)
def test_a_step_goes_with_its_numbers_whatever_their_size(fmt):
    x = np.random.default_rng(3).normal(size=(3, 40))
    steps, step = fmt.search(x, 0), fmt.search(x, None)
    for power in (-1000, -600, 1, 600, 1000):
        np.testing.assert_array_equal(fmt.search(np.ldexp(x, power), 0), np.ldexp(steps, power))
        assert fmt.search(np.ldexp(x, power), None) == np.ldexp(step, power)
    assert fmt.search(np.full((1, 2), 5e-324), None) > 0


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_an_empty_matrix_has_no_codes(shape):
    for fmt in FORMATS:
        with pytest.raises(ValueError, match=r"a weight must have a value, not shape \("):
            quantize.quantize_with_report(np.zeros(shape), fmt)
    for fmt in quantize.FORMATS.values():
        assert fmt.search(np.zeros(shape), None) == 1 and (fmt.search(np.zeros(shape), 0) == np.ones(shape[0])).all()


def test_weights_and_inputs_out_of_range_are_refused_by_name(encoder):
    formats = [quantize.lookup("int4")]
    with pytest.raises(ValueError, match=r"^b as int4: values from 1e\+300 to 1e\+300: "):
        evaluate.compare_weights({"a": np.eye(2), "b": np.full((1, 2), 1e300)}, formats)
    name = "layer.0.attention.query"
    vast = {**encoder.linears, name: replace(encoder.linears[name], weight=np.full((384, 384), 1e38, np.float32))}
    with pytest.raises(ValueError, match=r"the embedding of 'One.' is not finite: activations leave float32"):
        replace(encoder, linears=vast).embed(["One."])


def test_wrong_requests_name_the_value():
    with pytest.raises(ValueError, match="unknown format 'int3': there are ovp-int4"):
        quantize.lookup("int3")
    with pytest.raises(ValueError, match=r"a weight must have two axes, not shape \(3,\)"):
        quantize.quantize(np.ones(3), quantize.lookup("int4"))
