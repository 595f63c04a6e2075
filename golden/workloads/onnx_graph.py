"""An ONNX file as a graph of operations, in which a model's formulas are looked for from its output backwards.

A formula is a pattern, a nested tuple that looks like the expression it stands for::

    ("Add", ("MatMul", "x", "weight"), "bias")
    ("ReduceMean", "x", {"axes": (-1,)})

First the operation, then its inputs, then the attributes that it must have. A string is a variable: it stands for any
value, and for the same one wherever it appears. A number stands for a constant of one element. Inputs that the pattern
does not state may be anything, and those of a sum or a product may come in either order.

What the file means is left to the package `onnx`; nothing here knows a model.
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..checks import finite, named

__all__ = ["Graph", "Node"]

_COMMUTATIVE = ("Add", "Mul")
# As the format numbers them.
_FLOAT32, _EXTERNAL = 1, 1


@dataclass(frozen=True)
class Node:
    """One operation: its kind, the names of its inputs, its attributes by name with tuples for lists."""

    kind: str
    inputs: tuple
    attributes: dict


class Graph:
    """The graph of an ONNX file.

    Parameters
    ----------
    path : str or Path
        The file. All weights are in it: external data are not read.

    Attributes
    ----------
    inputs : dict of str to tuple
        Name to shape, None for a side that is left open.
    outputs : tuple of str
        Names.

    Raises
    ------
    ModuleNotFoundError
        Without the package `onnx`, extra `model`.
    OSError
        When the file cannot be read.
    ValueError
        When it is not a well-formed graph; names the file.
    """

    def __init__(self, path):
        import onnx

        self.path = path
        data = Path(path).read_bytes()
        try:
            graph = onnx.ModelProto.FromString(data).graph
        except Exception:  # the decoder's own error, which belongs to a package below `onnx`
            raise ValueError(f"{path}: not an ONNX file, or a truncated one") from None
        if not graph.output:
            raise ValueError(f"{path}: holds no ONNX graph")
        self._array, self._attribute = onnx.numpy_helper.to_array, onnx.helper.get_attribute_value
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._nodes, self._same = {}, {}
        self.inputs = {
            value.name: tuple(side.dim_value or None for side in value.type.tensor_type.shape.dim)
            for value in graph.input
            if value.name not in self._tensors
        }
        self.outputs = tuple(value.name for value in graph.output)
        known = {"", *self._tensors, *self.inputs}
        for node in graph.node:
            unknown = [name for name in node.input if name not in known]
            if unknown or not node.output:
                raise ValueError(f"{path}: {node.op_type} takes {unknown}, which nothing before it gives")
            known.update(node.output)
            with named(f"{path}: {node.op_type} of {node.output[0]!r}"):
                self._add(node)

    def _add(self, node):
        result, attributes = node.output[0], {item.name: _plain(self._attribute(item)) for item in node.attribute}
        if node.op_type == "Constant" and hasattr(attributes.get("value"), "dims"):
            self._tensors[result] = attributes["value"]
        elif node.op_type == "Identity" or (node.op_type == "Cast" and attributes.get("to") == _FLOAT32):
            self._same[result] = node.input[0]
        else:
            self._nodes[result] = Node(node.op_type, tuple(node.input), attributes)

    def find(self, value, pattern, known=MappingProxyType({})):
        """Look for a formula.

        Parameters
        ----------
        value : str
            Name of the value that the formula gives.
        pattern : tuple, str or number
            See the module's description.
        known : dict of str to str, optional
            Variables that are bound already.

        Returns
        -------
        dict of str to str, or None
            Names of the values that the variables stand for; None where the value comes about in another way.
        """
        value = self._origin(value)
        if isinstance(pattern, str):
            return {**known, pattern: value} if known.get(pattern, value) == value else None
        if not isinstance(pattern, tuple):
            return known if self._is_number(value, pattern) else None
        kind, *inputs = pattern
        attributes = inputs.pop() if isinstance(inputs[-1], dict) else {}
        node = self._nodes.get(value)
        if node is None or node.kind != kind or len(node.inputs) < len(inputs):
            return None
        if any(node.attributes.get(key) != wanted for key, wanted in attributes.items()):
            return None
        orders = itertools.permutations(node.inputs) if kind in _COMMUTATIVE else [node.inputs]
        for order in orders:
            names = self._find_all(order, inputs, known)
            if names is not None:
                return names
        return None

    def _find_all(self, values, patterns, known):
        for value, pattern in zip(values, patterns, strict=False):
            known = self.find(value, pattern, known)
            if known is None:
                return None
        return known

    def expect(self, value, pattern, role, known=MappingProxyType({})):
        """As `find`; ValueError, which says that the value is not `role`, where it comes about in another way."""
        names = self.find(value, pattern, known)
        if names is None:
            raise ValueError(f"{self.path}: another architecture: {value!r} is not {role}")
        return names

    def number(self, value, name):
        """An attribute of the operation that gives a value; ValueError unless it is a number."""
        number = self._nodes[self._origin(value)].attributes.get(name)
        if not isinstance(number, int | float):
            raise ValueError(f"{self.path}: the operation of {value!r} has no number as its attribute {name}")
        return number

    def tensor(self, value, *shape):
        """A constant.

        Parameters
        ----------
        value : str
            Its name.
        *shape : int or None
            None stands for any size from 1.

        Returns
        -------
        ndarray of float32

        Raises
        ------
        ValueError
            When the value is not constant, has another shape or type, or is not finite.
        """
        array = self._constant(value)
        if array is None:
            raise ValueError(f"{self.path}: another architecture: {value!r} is not constant")
        fits = len(array.shape) == len(shape) and all(
            size and want in (None, size) for want, size in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype != np.float32:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            own = f"{array.dtype} {array.shape}"
            raise ValueError(f"{self.path}: tensor {value!r} is {own}, expected float32 ({wanted})")
        with named(f"{self.path}: tensor {value!r}"):
            finite(np.atleast_1d(array))
        return array

    def numbers(self, value):
        """Whole numbers at the end of a shape: of a constant, or of the constants at the end of a Concat.

        Returns
        -------
        tuple of int
        """
        array = self._constant(value)
        if array is not None:
            return tuple(array.ravel().tolist()) if array.dtype.kind == "i" else ()
        node, numbers = self._nodes.get(self._origin(value)), ()
        for part in reversed(node.inputs if node and node.kind == "Concat" else ()):
            array = self._constant(part)
            if array is None or array.dtype.kind != "i":
                break
            numbers = (*array.ravel().tolist(), *numbers)
        return numbers

    def _origin(self, value):
        while value in self._same:
            value = self._same[value]
        return value

    def _constant(self, value):
        tensor = self._tensors.get(self._origin(value))
        if tensor is None:
            return None
        if tensor.data_location == _EXTERNAL:
            raise ValueError(f"{self.path}: tensor {value!r} is in another file: save the model in one")
        try:
            return self._array(tensor)
        except (TypeError, ValueError, KeyError):
            raise ValueError(f"{self.path}: tensor {value!r} is broken: its bytes do not fit its shape") from None

    def _is_number(self, value, number):
        tensor = self._tensors.get(self._origin(value))
        if tensor is None or math.prod(tensor.dims) != 1:
            return False
        array = self._constant(value)
        return array.dtype.kind in "fi" and math.isclose(array.item(), number, rel_tol=1e-6)


def _plain(attribute):
    if isinstance(attribute, bytes):
        return attribute.decode(errors="replace")
    return tuple(attribute) if isinstance(attribute, list) else attribute
