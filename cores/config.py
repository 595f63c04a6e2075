"""Configurations: frozen dataclasses that document and validate their own fields."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..hdl.primitives import FAMILIES, Family
from ..tools import numerals

__all__ = ["Config", "Value", "again", "param", "to_text"]

#: A parameter's value.
Value = int | bool | str | None
Field = dataclasses.Field[Any]


def param(
    default: Value,
    doc: str,
    *,
    choices: Sequence[Value] | None = None,
    low: int | None = None,
    high: int | None = None,
    optional: bool = False,
) -> Any:
    """Declare a field of a `Config`.

    Parameters
    ----------
    default : int, bool, str or None
        Default; its type is the field's type (int for None).
    doc : str
        One line for `bitloom info`.
    choices : sequence, optional
        Legal values.
    low, high : int, optional
        Legal range, both ends included.
    optional : bool
        Whether None is legal too.
    """
    metadata = {"doc": doc, "choices": choices and tuple(choices), "low": low, "high": high, "optional": optional}
    return dataclasses.field(default=default, metadata=metadata)


def again(config: "type[Config]", name: str, default: Value) -> Any:
    """Declare a field of a base once more, with another default and all else as it is there."""
    return dataclasses.field(default=default, metadata=config.__dataclass_fields__[name].metadata)


@dataclass(frozen=True)
class Config:
    """Base of every core's configuration.

    Raises
    ------
    TypeError
        If a field is of another type than its default.
    ValueError
        If a field is outside its legal range; the message names the field, the value and what is allowed.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check(field, getattr(self, field.name))

    @classmethod
    def parse(cls, assignments: Iterable[str]) -> Self:
        """Make a configuration from `NAME=VALUE` texts.

        Parameters
        ----------
        assignments : iterable of str
            As given on a command line; `none` means None where that is legal.

        Raises
        ------
        ValueError
            For an unknown or repeated name, a text that is no value of the field's type, or a value out of range.
        """
        values: dict[str, str] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals:
                raise ValueError(f"parameter {assignment!r} must be given as NAME=VALUE")
            if name in values:
                raise ValueError(f"parameter {name!r} is given twice")
            values[name] = text
        return cls.of(values)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration of named values.

        Parameters
        ----------
        values : mapping of str to int, bool, str or None
            Of fields; the others have their defaults. A text stands for the value that `parse` makes of it, a scalar of
            NumPy for Python's.

        Raises
        ------
        TypeError
            For a value of another type.
        ValueError
            For an unknown name, a text that is no value of the field's type, or a value out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise ValueError(f"unknown parameter {name!r}: allowed are {', '.join(fields)}")
        return cls(**{name: _value(fields[name], value) for name, value in values.items()})

    @classmethod
    def describe(cls) -> list[dict[str, Any]]:
        """One dict a field: name, type, default, allowed, doc."""
        return [
            {
                "name": field.name,
                "type": _type(field).__name__,
                "default": field.default,
                "allowed": _allowed(field),
                "doc": field.metadata["doc"],
            }
            for field in dataclasses.fields(cls)
        ]

    @property
    def family(self) -> Family:
        """The FPGA family whose primitives the core names, by its field `target`; without one, of no family."""
        return FAMILIES[getattr(self, "target", "generic")]

    def portable(self) -> Self:
        """This configuration without primitives of a family: the same values in the same cycles."""
        return self if self.family.portable else dataclasses.replace(self, target="generic", **self.decided())

    def decided(self) -> dict[str, str]:
        """What the fields stand for that are `auto`, which leaves the choice to the configuration."""
        return {}

    def shown(self) -> dict[str, str]:
        """Field name to its value as people read it, with what an `auto` stands for."""
        decided = {name: f"auto: {value}" for name, value in self.decided().items()}
        return {name: to_text(value) for name, value in self.to_dict().items()} | decided

    def to_dict(self) -> dict[str, Any]:
        """Field name to value."""
        return dataclasses.asdict(self)

    def assignments(self, all_fields: bool = False) -> list[str]:
        """`NAME=VALUE` texts, in order, of the fields that differ from their defaults, or of all."""
        values = [(field, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return [f"{f.name}={to_text(value)}" for f, value in values if all_fields or value != f.default]

    def _check(self, field: Field, value: object) -> None:
        if value is None and field.metadata["optional"]:
            return
        kind = _type(field)
        if type(value) is not kind:
            raise TypeError(f"{field.name} must be {_allowed(field)}, not {value!r}")
        choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
        if choices is not None:
            legal = value in choices
        else:
            legal = (low is None or value >= low) and (high is None or value <= high)
        if not legal:
            raise ValueError(f"{field.name} must be {_allowed(field)}, not {value!r}")


def _type(field: Field) -> type:
    return int if field.default is None else type(field.default)


def _allowed(field: Field) -> str:
    choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
    if choices is not None:
        text = "one of " + ", ".join(map(str, choices))
    elif _type(field) is bool:
        text = "true or false"
    elif low is not None and high is not None:
        text = f"{low} to {high}"
    elif low is not None:
        text = f"{low} or more"
    else:
        text = f"of type {_type(field).__name__}"
    return text + (" or none" if field.metadata["optional"] else "")


def _value(field: Field, value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return _from_text(field, value) if isinstance(value, str) else value


def _from_text(field: Field, text: str) -> Value:
    kind = _type(field)
    if field.metadata["optional"] and text.lower() == "none":
        return None
    if kind is str:
        return text
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return words[text.lower()] if kind is bool else numerals.whole(text)
    except (KeyError, ValueError):
        raise ValueError(f"{field.name} must be {_allowed(field)}, not {text!r}") from None


def to_text(value: Value) -> str:
    """A field's value as `Config.parse` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
