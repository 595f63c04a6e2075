"""Fields of a payload: which bits of it each one is, from its layout."""

import enum
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from amaranth import Shape
from amaranth.hdl import ShapeCastable
from amaranth.lib import data

__all__ = ["Elements", "Field", "disjoint", "fields"]


class Elements(NamedTuple):
    """A step of a path that stands for all elements of an array: how many, and bits from one to the next."""

    count: int
    stride: int


@dataclass(frozen=True)
class Field:
    """A field that has no fields of its own, in all elements of the arrays that it is in.

    Attributes
    ----------
    path : tuple of str and Elements
        The names that lead to it, and the arrays on the way; empty for a payload without fields.
    offset : int
        Its lowest bit, of the first elements.
    width : int
        Bits.
    signed : bool
        Whether it is a two's complement number.
    values : dict of str to int, or None
        The names of its values if it is an enumeration.
    """

    path: tuple
    offset: int
    width: int
    signed: bool
    values: dict | None = None

    @property
    def arrays(self):
        """The arrays that it is in, the outermost first."""
        return tuple(step for step in self.path if isinstance(step, Elements))

    @property
    def key(self):
        """Its name without indices, as `groups.codes`, or `payload.codes` in an array that has no name."""
        steps = ["payload"] if not self.path or isinstance(self.path[0], Elements) else []
        return ".".join(steps + [step for step in self.path if not isinstance(step, Elements)])

    @property
    def limits(self):
        """The least and the greatest value that its bits can hold."""
        half = (1 << self.width) >> 1
        return (-half, max(half - 1, 0)) if self.signed else (0, (1 << self.width) - 1)

    def name(self, indices):
        """Its name, as `groups[i].codes[j]`, with an index for each of `arrays`; `payload` is what has no name."""
        indices, text = iter(indices), ""
        for step in self.path:
            if isinstance(step, Elements):
                text = f"{text or 'payload'}[{next(indices)}]"
            else:
                text += f".{step}" if text else step
        return text or "payload"

    def each(self):
        """(indices, offset) of every one, the last index fastest."""
        for indices in product(*(range(array.count) for array in self.arrays)):
            strides = (index * array.stride for index, array in zip(indices, self.arrays, strict=True))
            yield indices, self.offset + sum(strides)


def fields(shape):
    """The fields of a payload.

    Parameters
    ----------
    shape : ShapeLike
        Layouts of structures, arrays, unions and other fields, nested at will; enumerations; plain shapes.

    Returns
    -------
    list of Field
        In the order of the layout, which is that of the bits, the lowest first; fields of a union overlap.
    """
    if isinstance(shape, enum.EnumMeta):
        cast = Shape.cast(shape)
        return [Field((), 0, cast.width, cast.signed, {member.name: member.value for member in shape})]
    if isinstance(shape, data.ArrayLayout):
        stride = Shape.cast(shape.elem_shape).width
        return _within(Elements(shape.length, stride), 0, fields(shape.elem_shape)) if shape.length else []
    if isinstance(shape, data.Layout):
        return [field for name, inner in shape for field in _within(name, inner.offset, fields(inner.shape))]
    if isinstance(shape, ShapeCastable):
        return fields(shape.as_shape())
    cast = Shape.cast(shape)
    return [Field((), 0, cast.width, cast.signed)]


def disjoint(shape):
    """Whether fields of a payload surely share no bits, as those of a union do and those of a flexible layout may."""
    if isinstance(shape, data.ArrayLayout):
        return disjoint(shape.elem_shape)
    if isinstance(shape, data.Layout):
        return isinstance(shape, data.StructLayout) and all(disjoint(inner.shape) for _, inner in shape)
    if isinstance(shape, ShapeCastable) and not isinstance(shape, enum.EnumMeta):
        return disjoint(shape.as_shape())
    return True


def _within(step, offset, inner):
    return [Field((step, *f.path), offset + f.offset, f.width, f.signed, f.values) for f in inner]
