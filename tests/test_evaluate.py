"""golden.evaluate and golden.quantize: the comparison with the float32 model, on the real one."""

import numpy as np
import pytest

from bitloom.golden import evaluate, quantize
from bitloom.golden.sentences import CALIBRATION, SENTENCES
from bitloom.golden.transformer import Encoder


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
    assert quantize.error_report(exact, *quantize.quantize(exact, fmt), fmt)["sqnr_db"] == np.inf
    zero = np.zeros((2, 3))
    assert quantize.error_report(zero, *quantize.quantize(zero, fmt), fmt) == {"mse": 0, "sqnr_db": 0, "max_error": 0}


def test_wrong_requests_name_the_value():
    with pytest.raises(ValueError, match="unknown format 'int3': there are ovp-int4"):
        quantize.lookup("int3")
    with pytest.raises(ValueError, match=r"a weight must have two axes, not shape \(3,\)"):
        quantize.quantize(np.ones(3), quantize.lookup("int4"))
