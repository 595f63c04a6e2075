"""Lee's texts and ratings, which are data of an installed wheel, and the agreement of a model with people."""

import numpy as np
import pytest

from bitloom.golden.workloads import gensim_data, lee
from bitloom.golden.workloads.transformer import Encoder

PAIRS = np.triu_indices(50, 1)


def test_texts():
    documents = lee.documents()
    assert len(documents) == 50 and all(len(text) > 300 and "\n" not in text for text in documents)
    assert sum("£3,000" in text for text in documents) == 1
    assert len(lee.background()) == 360_082 and len(lee.background().split("\n")) == 300


def test_ratings():
    ratings = lee.ratings()
    assert ratings.shape == (50, 50) and (ratings == ratings.T).all() and (np.diag(ratings) == 1).all()
    assert len(ratings[PAIRS]) == 1225
    assert 0.18 < ratings[PAIRS].min() < 0.21 and 0.9 < ratings[PAIRS].max() <= 1
    assert ratings[0, 1:4].tolist() == [0.3, 0.24, 0.2] and ratings[1, 2:4].tolist() == [0.28, 0.2]


def test_pearson_of_vectors_that_agree():
    """Vectors whose cosines are the ratings, but for what makes their matrix a positive one; lengths do not count."""
    values, vectors = np.linalg.eigh(lee.ratings())
    close = vectors * np.sqrt(np.maximum(values, 0))
    assert lee.pearson(close) > 0.99
    kept = close.copy()
    assert lee.pearson(close * np.arange(1, 51)[:, None]) == pytest.approx(lee.pearson(close), abs=1e-12)
    np.testing.assert_array_equal(close, kept)


def test_pearson_by_the_formula():
    x = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32)
    pairs = [(i, j) for i in range(50) for j in range(i + 1, 50)]
    cosines = [float(x[i] @ x[j] / np.sqrt((x[i] @ x[i]) * (x[j] @ x[j]))) for i, j in pairs]
    ratings = lee.ratings()
    people = [ratings[pair] for pair in pairs]
    a, b = np.array(cosines) - np.mean(cosines), np.array(people) - np.mean(people)
    assert lee.pearson(x) == pytest.approx((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), abs=1e-6)


def test_how_well_minilm_agrees_with_people():
    """No document is as long as the model's 256 tokens, so that none is cut."""
    encoder = Encoder.load()
    documents = lee.documents()
    assert max(len(encoder.tokenizer.tokenize(text)) for text in documents) == 152
    assert lee.pearson(encoder.embed(documents)) == pytest.approx(0.65637, abs=2e-5)


def test_embeddings_that_are_refused():
    x = np.ones((50, 3))
    for wrong, message in (
        (x[:49], "embeddings must be of 50 documents, not 49"),
        (x[0], r"embeddings must have two axes, not shape \(3,\)"),
        (np.where(np.arange(50)[:, None] == 7, np.nan, x), r"embeddings: x must be finite, not nan at index \(7, 0\)"),
        (np.where(np.arange(50)[:, None] == 7, 0, x), "the embedding of document 7 must not be 0"),
    ):
        with pytest.raises(ValueError, match=message):
            lee.pearson(wrong)


def test_wheel_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(gensim_data, "WHEEL", "gensim0")
    with pytest.raises(
        FileNotFoundError, match=r"lee\.cor of the wheel gensim0.*: pip install --no-deps gensim0==4\.4\.0"
    ):
        lee.documents()
