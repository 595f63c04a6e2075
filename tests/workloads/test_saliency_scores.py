"""Agreement of maps, on ones small enough to count by hand."""

import numpy as np
import pytest

from bitloom.golden.workloads.saliency_scores import correlation, iou, mask_scores, scores

A = np.array([[0.1, 0.5], [0.7, 0.9]], np.float32)
B = np.array([[0.1, 0.4], [0.8, 0.9]], np.float32)


def test_a_map_agrees_with_itself():
    assert scores([A, B], [A, B]) == {"correlation": pytest.approx(1), "iou": 1.0}


def test_means_over_the_pictures():
    # Half a probability is inside: three pixels of A, two of them in B.
    assert iou(A >= 0.5, B >= 0.5) == pytest.approx(2 / 3)
    both = scores([A, A], [A, B])
    assert both == {
        "correlation": pytest.approx((1 + np.corrcoef(A.ravel(), B.ravel())[0, 1]) / 2),
        "iou": pytest.approx(5 / 6),
    }


def test_correlation_has_a_sign_and_no_scale():
    assert correlation(A, 3 - 2 * A) == pytest.approx(-1)
    assert correlation(A, A / 4) == pytest.approx(1)


@pytest.mark.parametrize(("a", "b", "expected"), [(0.1, 0.7, 1.0), (0.1, None, 0.0), (None, 0.7, 0.0)])
def test_flat_maps(a, b, expected):
    a, b = (A if level is None else np.full((2, 2), level, np.float32) for level in (a, b))
    assert correlation(a, b) == expected


@pytest.mark.parametrize(("a", "b", "expected"), [(0, 0, 1.0), (0, 1, 0.0), (1, 1, 1.0)])
def test_maps_without_an_inside(a, b, expected):
    a, b = (np.full((2, 2), level, bool) for level in (a, b))
    assert iou(a, b) == expected


def test_masks_of_the_pictures_that_have_one():
    mask = np.array([[False, False], [True, False]])
    assert mask_scores([None, mask, mask], [A, A, B]) == {"iou": pytest.approx((1 / 3 + 1 / 2) / 2), "pictures": 2}


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="no map to compare"):
        scores([], [])
    with pytest.raises(ValueError, match="no picture has a mask"):
        mask_scores([None], [A])
    with pytest.raises(ValueError, match=r"maps of shapes \(2, 2\) and \(4,\) cannot be compared"):
        scores([A], [A.ravel()])
    with pytest.raises(ValueError):
        scores([A, A], [A])
