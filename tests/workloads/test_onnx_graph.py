"""A small graph of ONNX, formulas that are in it and formulas that are not, and files that are no graph."""

import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bitloom.golden.workloads.onnx_graph import Graph

DENSE = ("Add", ("MatMul", "x", "weight"), "bias")
FLOAT = onnx.TensorProto.FLOAT


def nodes():
    """y = (bias + cast(image) @ weight) * half; z = y - y."""
    half = numpy_helper.from_array(np.float32(0.5))
    return [
        helper.make_node("Cast", ["image"], ["same"], to=FLOAT),
        helper.make_node("MatMul", ["same", "w"], ["product"]),
        helper.make_node("Add", ["b", "product"], ["sum"]),
        helper.make_node("Constant", [], ["half"], value=half),
        helper.make_node("Mul", ["half", "sum"], ["y"]),
        helper.make_node("Softmax", ["y"], ["s"], axis=-1),
        helper.make_node("Sub", ["s", "s"], ["z"]),
    ]


def message(*more, w=None):
    w = np.arange(6, dtype=np.float32).reshape(2, 3) if w is None else w
    tensors = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.ones(3, np.float32), "b")]
    image = helper.make_tensor_value_info("image", FLOAT, ["n", 2])
    z = helper.make_tensor_value_info("z", FLOAT, ["n", 3])
    return helper.make_model(helper.make_graph([*nodes(), *more], "g", [image], [z], tensors))


def graph(folder, model):
    path = folder / "g.onnx"
    path.write_bytes(model.SerializeToString())
    return Graph(path)


def test_a_formula_names_its_values(tmp_path):
    g = graph(tmp_path, message())
    assert g.inputs == {"image": (None, 2)} and g.outputs == ("z",)
    # The cast to float32 is none, and a sum has no order.
    assert g.find("sum", DENSE) == {"x": "image", "weight": "w", "bias": "b"}
    assert g.find("y", ("Mul", DENSE, 0.5)) == {"x": "image", "weight": "w", "bias": "b"}
    assert g.find("z", ("Sub", ("Softmax", "y", {"axis": -1}), "s")) == {"y": "y", "s": "s"}
    assert g.find("z", ("Sub", "x", "x")) == {"x": "s"}
    assert g.find("sum", DENSE, {"x": "image"}) is not None
    assert g.number("s", "axis") == -1


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("y", DENSE),  # another operation
        ("y", ("Mul", DENSE, 0.25)),  # another constant
        ("y", ("Mul", DENSE, ("Erf", "x"))),  # a constant, and no operation
        ("image", DENSE),  # nothing gives it
        ("z", ("Sub", "x", ("Softmax", "x"))),  # two values of one name
        ("s", ("Softmax", "x", {"axis": 1})),  # another attribute
        ("s", ("Softmax", "x", "y")),  # an input that it has not
    ],
)
def test_another_formula_is_none(value, pattern, tmp_path):
    g = graph(tmp_path, message())
    assert g.find(value, pattern) is None
    with pytest.raises(ValueError, match=rf"g\.onnx: another architecture: '{value}' is not a thing$"):
        g.expect(value, pattern, "a thing")


def test_what_is_bound_stays_bound(tmp_path):
    assert graph(tmp_path, message()).find("sum", DENSE, {"x": "y"}) is None


def test_constants(tmp_path):
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    two = helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array([2, 3])))
    shape = helper.make_node("Concat", ["image", "two", "two"], ["shape"], axis=0)
    g = graph(tmp_path, message(two, shape))
    np.testing.assert_array_equal(g.tensor("w", 2, None), w)
    assert g.tensor("half") == 0.5
    assert g.numbers("two") == (2, 3) and g.numbers("shape") == (2, 3, 2, 3)
    assert g.numbers("y") == g.numbers("w") == ()


def test_text_is_no_number(tmp_path):
    text = helper.make_node("Constant", [], ["t"], value=helper.make_tensor("t", onnx.TensorProto.STRING, [1], [b"2"]))
    g = graph(tmp_path, message(text))
    assert g.find("t", 2) is None and g.numbers("t") == ()


@pytest.mark.parametrize(
    ("w", "said"),
    [
        (np.zeros((2, 4), np.float32), r"tensor 'w' is float32 \(2, 4\), expected float32 \(any, 3\)"),
        (np.zeros((0, 3), np.float32), r"tensor 'w' is float32 \(0, 3\), expected float32 \(any, 3\)"),
        (np.zeros(3, np.float32), r"tensor 'w' is float32 \(3,\), expected float32 \(any, 3\)"),
        (np.zeros((2, 3), np.float16), r"tensor 'w' is float16 \(2, 3\), expected float32 \(any, 3\)"),
        (np.full((2, 3), np.inf, np.float32), r"tensor 'w': x must be finite, not inf at index \(0, 0\)"),
    ],
)
def test_other_constants_are_refused(w, said, tmp_path):
    with pytest.raises(ValueError, match=rf"g\.onnx: {said}$"):
        graph(tmp_path, message(w=w)).tensor("w", None, 3)


def test_a_value_that_is_not_constant_is_refused(tmp_path):
    with pytest.raises(ValueError, match="another architecture: 'y' is not constant"):
        graph(tmp_path, message()).tensor("y", 3)


def test_weights_in_another_file_are_refused(tmp_path):
    model = message()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    with pytest.raises(ValueError, match="tensor 'w' is in another file: save the model in one"):
        graph(tmp_path, model).tensor("w", 2, 3)


def test_missing_bytes_are_refused(tmp_path):
    model = message()
    model.graph.initializer[0].raw_data = b"1234567"
    with pytest.raises(ValueError, match="tensor 'w' is broken: its bytes do not fit its shape"):
        graph(tmp_path, model).tensor("w", 2, 3)


def test_values_out_of_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"g\.onnx: Relu takes \['later'\], which nothing before it gives"):
        graph(tmp_path, message(helper.make_node("Relu", ["later"], ["later"])))


def test_an_attribute_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="the operation of 's' has no number as its attribute epsilon"):
        graph(tmp_path, message()).number("s", "epsilon")


@pytest.mark.parametrize("data", [b"", b"no graph at all", message().SerializeToString()[:-100]])
def test_other_files_are_refused(data, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.onnx: (not an ONNX file, or a truncated one|holds no ONNX graph)$"):
        Graph(path)


def test_the_package_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError) as error:
        Graph(tmp_path / "a.onnx")
    assert error.value.name == "onnx"
