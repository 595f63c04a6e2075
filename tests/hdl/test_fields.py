"""hdl.stream.fields: every field of a payload at its bits, whatever it is made of, as Amaranth's views have it."""

import random

import pytest
from amaranth import Shape, signed, unsigned
from amaranth.lib import data, enum

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.generate import pinout
from bitloom.hdl.stream.fields import Elements, Field, fields


class Mode(enum.Enum, shape=2):
    OFF = 0
    SLOW = 1
    FAST = 3


class Offset(enum.Enum, shape=signed(3)):
    DOWN = -4
    UP = 3


class Head(data.Struct):
    mode: Mode
    size: unsigned(3)


NESTED = data.StructLayout(
    {
        "heads": data.ArrayLayout(Head, 3),
        "rows": data.ArrayLayout(data.ArrayLayout(signed(4), 2), 2),
        "either": data.UnionLayout({"all": 6, "parts": data.ArrayLayout(3, 2)}),
        "far": data.FlexibleLayout(12, {"low": data.Field(range(5), 1), "high": data.Field(Offset, 8)}),
        "none": 0,
        "last": 1,
    }
)


def test_every_kind_of_field():
    assert fields(NESTED) == [
        Field(("heads", Elements(3, 5), "mode"), 0, 2, False, {"OFF": 0, "SLOW": 1, "FAST": 3}),
        Field(("heads", Elements(3, 5), "size"), 2, 3, False),
        Field(("rows", Elements(2, 8), Elements(2, 4)), 15, 4, True),
        Field(("either", "all"), 31, 6, False),
        Field(("either", "parts", Elements(2, 3)), 31, 3, False),
        Field(("far", "low"), 38, 3, False),
        Field(("far", "high"), 45, 3, True, {"DOWN": -4, "UP": 3}),
        Field(("none",), 49, 0, False),
        Field(("last",), 49, 1, False),
    ]
    assert [f.name("ij") for f in fields(NESTED)[:5]] == [
        "heads[i].mode",
        "heads[i].size",
        "rows[i][j]",
        "either.all",
        "either.parts[i]",
    ]
    assert [*fields(NESTED)[2].each()] == [((0, 0), 15), ((0, 1), 19), ((1, 0), 23), ((1, 1), 27)]


@pytest.mark.parametrize(
    "shape, found, name",
    [
        (8, Field((), 0, 8, False), "payload"),
        (signed(5), Field((), 0, 5, True), "payload"),
        (range(-2, 3), Field((), 0, 3, True), "payload"),
        (Mode, Field((), 0, 2, False, {"OFF": 0, "SLOW": 1, "FAST": 3}), "payload"),
        (data.ArrayLayout(signed(4), 6), Field((Elements(6, 4),), 0, 4, True), "payload[i]"),
    ],
)
def test_payloads_without_names(shape, found, name):
    assert fields(shape) == [found]
    assert found.name("i") == name


def test_an_array_of_nothing_has_no_fields():
    assert fields(data.ArrayLayout(4, 0)) == []


def layouts():
    yield "nested", NESTED
    for core in CATALOGUE.values():
        for which, config in (("default", core.config()), ("small", core.config.parse(core.small))):
            component = pinout(core, config).component
            for name, member in component.signature.members.items():
                if member.is_signature:
                    yield f"{core.name} {which} {name}", getattr(component, name).payload.shape()


@pytest.mark.parametrize("layout", [pytest.param(layout, id=name) for name, layout in layouts()])
def test_amaranth_has_the_same_bits(layout):
    size = Shape.cast(layout).width
    word = random.Random(size).getrandbits(size)
    view = data.Const(layout, word) if isinstance(layout, data.Layout) else word
    for field in fields(layout):
        for indices, offset in field.each():
            value, index = view, iter(indices)
            for step in field.path:
                value = value[next(index) if isinstance(step, Elements) else step]
            expected = (word >> offset) & ((1 << field.width) - 1)
            if field.signed and expected >> (field.width - 1):
                expected -= 1 << field.width
            if field.values and expected not in field.values.values():
                continue  # No value of the enumeration.
            assert int(getattr(value, "value", value)) == expected, (field, indices)
