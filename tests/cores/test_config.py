"""cores.config: every wrong field names itself, its value and what is allowed."""

from dataclasses import dataclass

import pytest

from bitloom.cores.catalogue import lookup
from bitloom.cores.config import Config, param


@dataclass(frozen=True)
class Example(Config):
    lanes: int = param(4, "lanes", low=1, high=32)
    depth: int | None = param(None, "depth", low=2, optional=True)
    kind: str = param("int4", "kind", choices=("int4", "int8"))
    port: bool = param(False, "port")


def test_defaults_and_parsing():
    config = Example.parse(["lanes=8", "port=true", "depth=7"])
    assert config == Example(lanes=8, port=True, depth=7)
    assert Example.parse(["depth=none"]) == Example()
    assert config.assignments() == ["lanes=8", "depth=7", "port=true"]
    assert Example.parse(config.assignments()) == config
    assert Example().assignments() == []
    assert config.to_dict() == {"lanes": 8, "depth": 7, "kind": "int4", "port": True}


def test_describe_lists_every_field():
    described = {field["name"]: field for field in Example.describe()}
    assert described["lanes"] == {"name": "lanes", "type": "int", "default": 4, "allowed": "1 to 32", "doc": "lanes"}
    assert described["depth"]["allowed"] == "2 or more or none"
    assert described["kind"]["allowed"] == "one of int4, int8"
    assert described["port"]["allowed"] == "true or false"


@pytest.mark.parametrize(
    "assignments, message",
    [
        (["lanes=0"], "lanes must be 1 to 32, not 0"),
        (["lanes=33"], "lanes must be 1 to 32, not 33"),
        (["lanes=four"], "lanes must be 1 to 32, not 'four'"),
        (["lanes=none"], "lanes must be 1 to 32, not 'none'"),
        (["depth=1"], "depth must be 2 or more or none, not 1"),
        (["kind=int5"], "kind must be one of int4, int8, not 'int5'"),
        (["port=maybe"], "port must be true or false, not 'maybe'"),
        (["colour=red"], "unknown parameter 'colour': allowed are lanes, depth, kind, port"),
        (["lanes"], "parameter 'lanes' must be given as NAME=VALUE"),
        (["lanes=1", "lanes=2"], "parameter 'lanes' is given twice"),
    ],
)
def test_wrong_assignments(assignments, message):
    with pytest.raises(ValueError) as error:
        Example.parse(assignments)
    assert str(error.value) == message


def test_wrong_types():
    for field, value in (("lanes", True), ("lanes", 4.0), ("port", 1), ("kind", None)):
        with pytest.raises(TypeError, match=f"{field} must be .*, not {value!r}"):
            Example(**{field: value})


def test_tiles_share_their_fields_and_have_none_that_does_not_count():
    """The order is that of positions, of default names and of the Verilog's header."""
    rest = ["accumulator", "overflow", "block"]
    formats = ["a_format", "w_format"]
    orders = {
        "systolic-tile": ["rows", "cols", *formats, *rest, "dataflow", "partials", "target", "pipeline"],
        "gemm": ["rows", "cols", *formats, *rest, "target", "a_depth", "w_depth", "pipeline"],
        "nm-tile": ["rows", "cols", "group", *formats, *rest, "target", "pipeline"],
    }
    found = {name: {field["name"]: field for field in lookup(name).config.describe()} for name in orders}
    assert {name: list(fields) for name, fields in found.items()} == orders
    shared = [*rest, "target", "pipeline"]
    for fields in found.values():
        assert [fields[name] for name in shared] == [found["gemm"][name] for name in shared]
    assert [found["gemm"][name] for name in formats] == [found["systolic-tile"][name] for name in formats]
    assert "weight-stationary" not in str(found["gemm"]) + str(found["nm-tile"])
