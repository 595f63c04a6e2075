"""hdl.stream.codec: fields to payloads and back, on random layouts, against Amaranth's own constants."""

import math
import random

import numpy as np
import pytest
from amaranth import Shape, signed, unsigned
from amaranth.lib import data, enum

from bitloom.hdl.stream import codec
from bitloom.hdl.stream.fields import Elements


class Mode(enum.Enum, shape=2):
    OFF = 0
    SLOW = 1
    FAST = 3


class Offset(enum.Enum, shape=signed(3)):
    DOWN = -4
    UP = 3


LANES = data.StructLayout({"lanes": data.ArrayLayout(signed(8), 4), "last": 1})
GROUP = data.StructLayout({"codes": data.ArrayLayout(signed(4), 3), "mode": Mode})
GROUPS = data.StructLayout({"groups": data.ArrayLayout(GROUP, 2), "last": 1})
UNION = data.StructLayout({"either": data.UnionLayout({"all": 6, "parts": data.ArrayLayout(3, 2)}), "last": 1})


def leaf(rng):
    width = rng.choice([1, 1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 130, rng.randint(1, 300)])
    return rng.choice([unsigned(width), unsigned(width), signed(width), signed(width), Mode, Offset])


def layout(rng, depth):
    """A random shape: structures, arrays and gaps, nested up to `depth` times."""
    kind = rng.choice(["leaf", "array", "struct", "flexible"]) if depth else "leaf"
    if kind == "leaf":
        return leaf(rng)
    if kind == "array":
        return data.ArrayLayout(layout(rng, depth - 1), rng.randint(1, 5))
    members = {f"f{index}": layout(rng, depth - 1) for index in range(rng.randint(1, 4))}
    if kind == "struct":
        return data.StructLayout(members)
    fields, offset = {}, 0
    for name, member in members.items():
        offset += rng.randint(0, 9)
        fields[name] = data.Field(member, offset)
        offset += Shape.cast(member).width
    return data.FlexibleLayout(offset + rng.randint(0, 9), fields)


def draw(rng, field):
    """A value of a field: often one of the least and greatest."""
    if field.values:
        return rng.choice([*field.values.values()])
    low, high = field.limits
    return rng.choice([low, high, rng.randint(low, high)])


def initial(shape, values, path=()):
    """What `Layout.const` takes: nested dicts and lists of the values by their paths."""
    if isinstance(shape, data.ArrayLayout):
        return [initial(shape.elem_shape, values, (*path, index)) for index in range(shape.length)]
    if isinstance(shape, data.Layout):
        return {name: initial(field.shape, values, (*path, name)) for name, field in shape}
    return shape(values[path]) if isinstance(shape, enum.EnumMeta) else values[path]


def word(shape, values):
    """A payload as Amaranth has it."""
    if isinstance(shape, data.Layout):
        return shape.const(initial(shape, values)).as_bits()
    return values[()] % (1 << Shape.cast(shape).width)


def number(shape, bits, path):
    """A value of a payload as Amaranth has it."""
    if not isinstance(shape, data.Layout):
        shape, path = data.ArrayLayout(shape, 1), (0,)
    view = shape.from_bits(bits)
    for step in path:
        view = view[step]
    return getattr(view, "value", view)


@pytest.mark.parametrize("seed", range(40))
def test_random_layouts_are_those_of_amaranth(seed):
    rng = random.Random(seed)
    shape, transfers = layout(rng, 3), rng.randint(1, 4)
    known = codec.named(shape)
    values, words = {}, []
    for name, field in known.items():
        counts = tuple(array.count for array in field.arrays)
        values[name] = np.array([draw(rng, field) for _ in range(transfers * math.prod(counts))], object).reshape(
            transfers, *counts
        )
    for transfer in range(transfers):
        at, enumerations = {}, {}
        for name, field in known.items():
            for indices, _ in field.each():
                index = iter(indices)
                path = tuple(next(index) if isinstance(step, Elements) else step for step in field.path)
                at[path], enumerations[path] = values[name][(transfer, *indices)], field.values
        words.append(word(shape, at))
        for path, value in at.items():
            # An enumeration's negative value Amaranth writes, but does not read.
            if value >= 0 or not enumerations[path]:
                assert number(shape, words[-1], path) == value
    rows = codec.pack(shape, **values)
    assert codec.to_integers(rows) == words
    assert (codec.from_integers(words, Shape.cast(shape).width) == rows).all()
    for payloads in (rows, words):
        found = codec.unpack(shape, payloads)
        assert [*found] == [*known]
        for name, array in found.items():
            assert array.shape == values[name].shape and array.tolist() == values[name].tolist(), name
    assert (codec.pack(shape, **found) == rows).all()


def test_many_transfers():
    values = np.random.default_rng(0).integers(-128, 128, (70, 4))
    rows = codec.pack(LANES, lanes=values, last=np.arange(70) == 69)
    assert codec.to_integers(rows) == [
        sum((value & 255) << (8 * lane) for lane, value in enumerate(row)) | ((at == 69) << 32)
        for at, row in enumerate(values.tolist())
    ]
    found = codec.unpack(LANES, rows)
    assert (found["lanes"] == values).all() and found["last"].tolist() == [0] * 69 + [1]


def test_types_are_the_narrowest():
    shape = data.StructLayout({"a": signed(8), "b": 9, "c": signed(33), "d": 1, "e": 65})
    found = codec.unpack(shape, [0])
    assert [array.dtype for array in found.values()] == ["i1", "u2", "i8", "u1", object]


def test_single_numbers_are_for_all():
    assert codec.to_integers(codec.pack(LANES, lanes=-1, last=1)) == [(1 << 33) - 1]
    assert codec.to_integers(codec.pack(LANES, lanes=[[1, 2, 3, -1]] * 2, last=True)) == [0x1FF030201] * 2
    assert codec.pack(LANES, lanes=np.zeros((0, 4), int), last=0).shape == (0, 5)


def test_nested_structures_as_mappings():
    values = {"codes": [[[1, 2, 3], [-1, -2, -3]]], "mode": [[3, 0]]}
    rows = codec.pack(GROUPS, groups=values, last=0)
    assert (rows == codec.pack(GROUPS, **{f"groups.{name}": value for name, value in values.items()}, last=0)).all()
    assert codec.to_integers(rows) == [0x321 | 3 << 12 | 0xDEF << 14]


def test_unnamed_payloads():
    assert codec.to_integers(codec.pack(signed(5), payload=[-1, 4])) == [31, 4]
    assert codec.to_integers(codec.pack(data.ArrayLayout(signed(4), 2), payload=[[-1, 4]])) == [0x4F]
    assert [*codec.unpack(data.ArrayLayout(GROUP, 2), [0])] == ["payload.codes", "payload.mode"]


def test_fields_that_share_bits():
    assert codec.to_integers(codec.pack(UNION, either={"all": 0b101011}, last=0)) == [0b101011]
    rows = codec.pack(UNION, either={"parts": [[3, 5]]}, last=0)
    found = codec.unpack(UNION, rows)
    assert found["either.all"].tolist() == [0b101011] and found["either.parts"].tolist() == [[3, 5]]
    with pytest.raises(ValueError, match=r"field 'either.parts' must not be given with others that have the same bits"):
        codec.pack(UNION, either={"all": 1, "parts": 1}, last=0)
    # Of a structure by itself, and of one within others; a gap makes up for the bits.
    low = data.FlexibleLayout(6, {"a": data.Field(3, 0), "b": data.Field(3, 2)})
    both = {"a": 0, "b": 0}
    for shape, values in ((low, both), (data.StructLayout({"x": data.ArrayLayout(low, 2)}), {"x": both})):
        with pytest.raises(ValueError, match="must not be given with others that have the same bits"):
            codec.pack(shape, **values)


def test_what_has_no_bits_may_be_missing():
    shape = data.StructLayout({"none": 0, "last": 1})
    assert codec.to_integers(codec.pack(shape, last=[0, 1])) == [0, 1]
    assert codec.unpack(shape, [1])["none"].tolist() == [0]
    with pytest.raises(ValueError, match="field 'none' must be 0 to 0, not 1"):
        codec.pack(shape, none=1, last=0)


GOOD = {"lanes": [[0, 1, 2, 3]] * 2, "last": [0, 1]}


@pytest.mark.parametrize(
    "shape, values, message",
    [
        (LANES, {"lanes": 0}, "field 'last' is missing: the payload has lanes, last"),
        (LANES, {**GOOD, "lane": 0}, "unknown field 'lane': the payload has lanes, last"),
        (LANES, {**GOOD, "last": 2}, "field 'last' must be 0 to 1, not 2"),
        (LANES, {**GOOD, "last": [0, -1]}, "field 'last' must be 0 to 1, not -1 in transfer 1"),
        (
            LANES,
            {**GOOD, "lanes": [[0, 1, 2, 3], [0, 128, 0, 0]]},
            "field 'lanes' must be -128 to 127, not 128 in transfer 1, at [1]",
        ),
        (
            LANES,
            {**GOOD, "lanes": np.full((2, 4), 1 << 63, np.uint64)},
            f"field 'lanes' must be -128 to 127, not {1 << 63} in transfer 0, at [0]",
        ),
        (LANES, {**GOOD, "lanes": [1 << 80, 0]}, "field 'lanes' must have shape (transfers, 4) or be one number"),
        (LANES, {**GOOD, "lanes": 1 << 80}, f"field 'lanes' must be -128 to 127, not {1 << 80}"),
        (
            LANES,
            {**GOOD, "lanes": [[0] * 3] * 2},
            "field 'lanes' must have shape (transfers, 4) or be one number, not (2, 3)",
        ),
        (LANES, {**GOOD, "last": [[0, 1]]}, "field 'last' must have shape (transfers,) or be one number, not (1, 2)"),
        (LANES, {**GOOD, "last": [0, 1, 0]}, "field 'last' must have as many transfers as 'lanes', 2, not 3"),
        (LANES, {**GOOD, "last": [0, 0.5]}, "field 'last' must be integers, not 0.5"),
        (LANES, {**GOOD, "last": np.zeros(2)}, "field 'last' must be integers, not float64"),
        (LANES, {**GOOD, "last": "01"}, "field 'last' must be integers, not <U2"),
        (LANES, {**GOOD, "last": [0, None]}, "field 'last' must be integers, not None"),
        (
            GROUPS,
            {"groups": {"codes": 0, "mode": 2}, "last": 0},
            "field 'groups.mode' must be 0 (OFF), 1 (SLOW), 3 (FAST), not 2",
        ),
        (
            GROUPS,
            {"groups": {"codes": 0, "mode": 0}, "groups.mode": 0, "last": 0},
            "field 'groups.mode' is given twice",
        ),
        (GROUPS, {"groups": 0, "last": 0}, "unknown field 'groups': the payload has groups.codes, groups.mode, last"),
    ],
)
def test_what_cannot_be_packed(shape, values, message):
    with pytest.raises(ValueError) as error:
        codec.pack(shape, **values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "payloads, message",
    [
        ([0, 1 << 33], f"payload 1 must have 33 bits, {1 << 33} has more"),
        ([-1], "payload 0 must have 33 bits, -1 has more"),
        (np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 2]], np.uint8), "payload 1 must have 33 bits, more are set"),
        (np.zeros((1, 4), np.uint8), "payloads must be uint8 of shape (N, 5), not uint8 of shape (1, 4)"),
        (np.zeros((1, 5), int), "payloads must be uint8 of shape (N, 5), not int64 of shape (1, 5)"),
    ],
)
def test_what_cannot_be_unpacked(payloads, message):
    with pytest.raises(ValueError) as error:
        codec.unpack(LANES, payloads)
    assert str(error.value) == message
