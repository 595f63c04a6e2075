"""The catalogue: every core that the command line, the test suite and the reports know."""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .entries import ENTRIES, Cycles, Entry

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from .config import Config

__all__ = ["CATALOGUE", "Core", "lookup"]


@dataclass(frozen=True)
class Core:
    """One entry of the catalogue.

    Attributes
    ----------
    name : str
        Name on the command line.
    summary : str
        One line.
    paper : str
        The paper it comes from, and which parts are our choice.
    config : type
        Its `Config`.
    component : callable
        Takes the config, gives the component.
    bench : str
        `module:coroutine` below `testbench`, the cocotb test that compares it with the golden model.
    latency : callable
        Takes the config, gives the cycles from an input transfer to its output's valid, without stalls.
    interval : callable
        Takes the config, gives the initiation interval: cycles from one input transfer to the next, without stalls.
    small : tuple of str
        `NAME=VALUE` texts of a small configuration other than the default one, for proofs and mutants.
    """

    name: str
    summary: str
    paper: str
    config: "type[Config]"
    component: "Callable[[Config], wiring.Component[Any]]"
    bench: str
    latency: Callable[[Any], int]
    interval: Callable[[Any], int]
    small: tuple[str, ...]


class _Catalogue(Mapping[str, Core]):
    """The cores by name, in the order of `ENTRIES`; each is imported when it is asked for."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._core = functools.cache(lambda name: _core(self._entries[name]))

    def __getitem__(self, name: str) -> Core:
        return self._core(name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _core(entry: Entry) -> Core:
    return Core(
        name=entry.name,
        summary=entry.summary,
        paper=entry.paper,
        config=_named("cores", entry.config),
        component=_named("cores", entry.component),
        bench=entry.bench,
        latency=_cycles(entry.latency),
        interval=_cycles(entry.interval),
        small=entry.small,
    )


def _cycles(told: Cycles) -> Callable[[Any], int]:
    value = _named("golden", told) if isinstance(told, str) else told
    return value if callable(value) else lambda config: value


def _named(folder: str, place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"...{folder}.{module}", __name__), name)


#: The cores by name.
CATALOGUE: Mapping[str, Core] = _Catalogue(ENTRIES)


def lookup(name: str) -> Core:
    """The core of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ValueError(f"unknown core {name!r}: there are {', '.join(CATALOGUE)}") from None
