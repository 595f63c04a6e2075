"""golden.uniform: rounding, ties, saturation by name, and the scale search."""

import numpy as np
import pytest

from bitloom.golden import uniform


def test_rounding_ties_and_saturation():
    x = np.array([0.49, 0.5, -0.5, -0.49, 2.5, -2.5, 7.49, 7.5, 1e9, -1e9])
    assert uniform.encode(x, 4).tolist() == [0, 1, -1, 0, 3, -3, 7, 7, 7, -7]
    assert uniform.encode([126.5, 300], 8).tolist() == [127, 127]
    assert uniform.decode(uniform.encode(x, 4)).dtype == np.int64


def test_search_finds_the_exact_step_of_integers():
    x = np.array([[7.0, -3, 1, 0, 5], [0, 0, 0, 0, 0]]) * 0.25
    assert uniform.search_scale(x, 4, axis=0).tolist() == [0.25, 1.0]


def test_wrong_requests_name_the_value():
    with pytest.raises(ValueError, match="bits must be 2 to 8, not 9"):
        uniform.encode([1.0], 9)
    with pytest.raises(ValueError, match="x must be finite, not nan"):
        uniform.encode([np.nan], 4)
