"""A saliency model of random weights, small but with all its parts, as an exporter writes it."""

import itertools

import numpy as np
import onnx
from onnx import helper, numpy_helper

LAYERS, HEADS, HIDDEN, UP = 2, 3, 12, 20
SIDE, PATCH, TABLE = 12, 3, 5
CHANNELS = (HIDDEN, 6, 4, 3)
EPS = 1e-3


class Builder:
    """Nodes and weights in the order of execution; every method gives the name of a value."""

    def __init__(self, seed=5):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.tensors = [], []

    def add(self, kind, *inputs, **attributes):
        name = f"/{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value, dtype=np.float32):
        return self.add("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def numbers(self, *values):
        return self.constant(values, np.int64)

    def tensor(self, *shape, low=-1, high=1):
        name = f"onnx::{len(self.tensors)}"
        values = self.rng.uniform(low, high, shape).astype(np.float32)
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def shape(self, value, begin, end, *more):
        """Part of the shape of a value, and numbers behind it."""
        part = self.add("Slice", self.add("Shape", value), self.numbers(begin), self.numbers(end), self.numbers(0))
        return self.add("Concat", part, *(self.numbers(number) for number in more), axis=0)

    def norm(self, x):
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        square = self.add("Pow", centred, self.constant(2))
        variance = self.add("Add", self.add("ReduceMean", square, axes=[-1]), self.constant(EPS))
        unit = self.add("Div", centred, self.add("Sqrt", variance))
        return self.add("Add", self.add("Mul", unit, self.tensor(HIDDEN)), self.tensor(HIDDEN))

    def dense(self, x, inputs, outputs):
        product = self.add("MatMul", x, self.tensor(inputs, outputs))
        return self.add("Add", self.tensor(outputs), product)

    def gelu(self, x):
        tail = self.add("Erf", self.add("Div", x, self.constant(np.sqrt(2))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", tail, self.constant(1))), self.constant(0.5))

    def heads(self, x):
        shape = self.shape(x, 0, 2, HEADS, HIDDEN // HEADS)
        return self.add("Reshape", x, shape)

    def attention(self, x):
        # In an order of its own: a reader must not go by it.
        key, value, query = (self.heads(self.dense(x, HIDDEN, HIDDEN)) for _ in range(3))
        factor = (HIDDEN // HEADS) ** -0.25
        value = self.add("Transpose", value, perm=[0, 2, 1, 3])
        query = self.add("Mul", self.add("Transpose", query, perm=[0, 2, 1, 3]), self.constant(factor))
        key = self.add("Mul", self.add("Transpose", key, perm=[0, 2, 3, 1]), self.constant(factor))
        probability = self.add("Softmax", self.add("MatMul", query, key), axis=-1)
        context = self.add("Transpose", self.add("MatMul", probability, value), perm=[0, 2, 1, 3])
        return self.dense(self.add("Reshape", context, self.shape(context, 0, 2, HIDDEN)), HIDDEN, HIDDEN)

    def residual(self, x, branch):
        return self.add("Add", self.add("Mul", branch, self.tensor(HIDDEN)), x)

    def block(self, x):
        x = self.residual(x, self.attention(self.norm(x)))
        up = self.gelu(self.dense(self.norm(x), HIDDEN, UP))
        return self.residual(x, self.dense(up, UP, HIDDEN))

    def convolution(self, kind, x, weight, bias, kernel, step, pad):
        sides = {"kernel_shape": [kernel] * 2, "strides": [step] * 2, "pads": [pad] * 4}
        return self.add(kind, x, self.tensor(*weight), self.tensor(bias), dilations=[1, 1], group=1, **sides)

    def resize(self, x, mode, side):
        shape = self.shape(x, 0, 2, side, side)
        places = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}
        return self.add("Resize", x, "", "", shape, mode=mode, cubic_coeff_a=-0.75, **places)

    def positions(self, grid):
        table = self.add("Reshape", self.tensor(1, TABLE * TABLE, HIDDEN), self.numbers(1, TABLE, TABLE, HIDDEN))
        table = self.resize(self.add("Transpose", table, perm=[0, 3, 1, 2]), "cubic", grid)
        rows = self.add("Reshape", self.add("Transpose", table, perm=[0, 2, 3, 1]), self.numbers(1, -1, HIDDEN))
        return self.add("Concat", self.tensor(1, 1, HIDDEN), rows, axis=1)

    def tokens(self, image):
        image = self.add("Cast", image, to=onnx.TensorProto.FLOAT)
        x = self.convolution("Conv", image, (HIDDEN, 3, PATCH, PATCH), HIDDEN, PATCH, PATCH, 0)
        x = self.add("Transpose", self.add("Reshape", x, self.shape(x, 0, 2, -1)), perm=[0, 2, 1])
        first = self.add("Expand", self.tensor(1, 1, HIDDEN), self.shape(image, 0, 1, 1, HIDDEN))
        return self.add("Add", self.add("Concat", first, x, axis=1), self.positions(SIDE // PATCH))

    def head(self, x):
        ends = (self.numbers(1), self.numbers(2**63 - 1), self.numbers(1), self.numbers(1))
        x = self.add("Transpose", self.add("Slice", x, *ends), perm=[0, 2, 1])
        x = self.add("Reshape", x, self.shape(x, 0, 2, SIDE // PATCH, SIDE // PATCH))
        for inputs, outputs in itertools.pairwise(CHANNELS):
            x = self.convolution("ConvTranspose", x, (inputs, outputs, 4, 4), outputs, 4, 2, 1)
            variance = self.tensor(outputs, low=0.5, high=3)
            fixed = [self.tensor(outputs) for _ in range(3)]
            x = self.add("Relu", self.add("BatchNormalization", x, *fixed, variance, epsilon=1e-3))
        x = self.convolution("Conv", x, (1, CHANNELS[-1], 1, 1), 1, 1, 1, 0)
        return self.add("Sigmoid", self.resize(x, "linear", SIDE))


def model(layers=LAYERS, seed=5):
    """The model as ONNX's message."""
    builder = Builder(seed)
    x = builder.tokens("image")
    for _ in range(layers):
        x = builder.block(x)
    output = builder.head(builder.norm(x))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        builder.nodes,
        "toy",
        [helper.make_tensor_value_info("image", kind, ["images", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, kind, ["images", 1, SIDE, SIDE])],
        builder.tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
