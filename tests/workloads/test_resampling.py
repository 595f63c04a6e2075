"""Resampling against ONNX's reference evaluator, and where it is plain."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitloom.golden.workloads import resampling

SIZES = [(1, 1), (1, 4), (2, 7), (5, 4), (7, 3), (37, 16), (6, 6)]


def evaluated(row, outputs, mode):
    places = {"coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.75}
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode, **places)
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in "xy")
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [1], [outputs])
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [sizes]), opset_imports=[helper.make_opsetid("", 14)]
    )
    return ReferenceEvaluator(model).run(None, {"x": row})[0]


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_as_the_format_says(mode, inputs, outputs):
    matrix = getattr(resampling, mode)(inputs, outputs)
    assert matrix.shape == (outputs, inputs)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-14)
    row = np.random.default_rng(inputs).normal(size=inputs)
    np.testing.assert_allclose(matrix @ row, evaluated(row, outputs, mode), rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", [resampling.linear, resampling.cubic])
def test_as_many_as_there_were_are_the_same(way):
    np.testing.assert_array_equal(way(5, 5), np.eye(5))


def test_halves_and_quarters():
    np.testing.assert_array_equal(resampling.linear(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
