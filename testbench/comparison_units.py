"""The integer units of the comparison, Verilated: softmax, GELU and LayerNorm of a model, held to the golden units."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..cores.catalogue import lookup
from ..cores.generate import generate
from ..cores.interface import layouts
from ..golden.gqa_lut import layernorm_unit, pwl_unit, softmax_unit
from ..golden.machine import parts
from ..golden.transfers import Transfers
from ..hdl.stream import codec
from . import compare, drive, payloads

__all__ = ["UNITS", "Run", "Unit", "UnitEngine"]

#: Longest row of a unit whose memory has 1,024 words.
_LONGEST = 1008


@dataclass(frozen=True)
class Unit:
    """How an operation of `golden.machine.parts.UNITS` goes through its core.

    Attributes
    ----------
    core : str
        Name in the catalogue.
    parameters : callable
        Of the setting, the entries of the tables and the length of rows: parameters of the core.
    sent : callable
        Of the configuration, the setting and rows of codes: fields of the payloads that go in, in order.
    field : str
        Of the payloads that come out.
    cycles : callable
        Of the configuration and the shape (rows, length): from the first transfer to the last, both included.
    """

    core: str
    parameters: Callable
    sent: Callable
    field: str
    cycles: Callable


def _rows(name):
    """Elements of rows, the last one of each marked."""

    def sent(config, setting, q):
        last = np.zeros(q.shape, np.int64)
        last[:, -1] = 1
        return {name: q.ravel(), "last": last.ravel()}

    return sent


def _softmax(scale, entries, length):
    return {"max_length": max(length, _LONGEST), "scale": scale, "entries": entries}


def _layernorm(epsilon, entries, length):
    wide = {"input_bits": parts.WIDE, "output_bits": parts.WIDE, "out_shift": parts.Norm.scale(length)}
    return {"max_length": max(length, _LONGEST), "epsilon": epsilon, "entries": entries} | wide


def _gelu(scale, entries, length):
    return {"kind": "int16", "entries": entries}


def _table_and_codes(config, scale, q):
    """The table, which is loaded once, and all codes."""
    table = parts.gelu_table(scale, config.entries)
    words = np.array(pwl_unit.words(config, table, scale, table.fraction_bits), np.int64)
    signed = words - ((words >> (config.width - 1)) << config.width)
    data = np.concatenate([signed, q.ravel()])
    return {
        "data": data,
        "load": (np.arange(len(data)) < len(words)).astype(np.int64),
        "last": (np.arange(len(data)) == len(words) - 1).astype(np.int64),
    }


def _gelu_cycles(config, shape):
    return 3 * config.entries + shape[0] * shape[1] + pwl_unit.latency(config)


#: By the names of `golden.machine.parts.UNITS`.
UNITS = {
    "softmax": Unit("softmax-unit", _softmax, _rows("logit"), "probability", softmax_unit.equal_cycles),
    "gelu": Unit("pwl-unit", _gelu, _table_and_codes, "data", _gelu_cycles),
    "layernorm": Unit("layernorm-unit", _layernorm, _rows("element"), "element", layernorm_unit.equal_cycles),
}


@dataclass(frozen=True)
class Run:
    """An operation that went through a unit.

    Attributes
    ----------
    place : str
        Name of the operation in the model.
    core : str
    operations : int
        Results.
    cycles : int
        From the first input transfer to the last result, both included.
    seconds : float
        Of the simulation.
    failure : str or None
        One line, where results or cycles are not those of the golden model.
    """

    place: str
    core: str
    operations: int
    cycles: int
    seconds: float
    failure: str | None


@dataclass
class UnitEngine:
    """Units that take the place of the golden ones in `golden.workloads.machine_losses.operations`.

    Parameters
    ----------
    designs : callable, optional
        Called with a core and its configuration; gives the design that is run in place of what `generate` gives.

    Attributes
    ----------
    runs : list of Run
        In the order in which they went through.
    """

    designs: Callable = generate
    runs: list = field(default_factory=list)
    _built: dict = field(default_factory=dict, repr=False)

    def __call__(self, place, kind, q, setting, entries):
        """What the unit gives; where it did not give all of it, the golden unit's, so that the others are still seen.

        Parameters
        ----------
        place : str
        kind : str
            Of `UNITS`.
        q, setting, entries
            As of `golden.machine.parts.UNITS`.

        Returns
        -------
        ndarray of int64, of the shape of `q`
        """
        unit, wanted = UNITS[kind], parts.UNITS[kind](q, setting, entries)
        rows = np.reshape(q, (-1, np.shape(q)[-1]))
        config, design, ports = self._design(unit, unit.parameters(setting, entries, rows.shape[1]))
        fields = unit.sent(config, setting, rows)
        sent = Transfers({name: values[None] for name, values in fields.items()}, np.zeros(1, np.intp))
        driven = drive.drive(design, payloads.rows(ports, {"i": sent}), {"o": rows.size}, quiet=1000)
        result = wanted
        problem = driven.failure
        if problem is None:
            result = codec.unpack(ports["o"], driven.outputs["o"])[unit.field].astype(np.int64).reshape(wanted.shape)
            problem = self._difference(wanted, result, driven, unit.cycles(config, rows.shape))
        self.runs.append(Run(place, unit.core, rows.size, driven.cycles, driven.seconds, problem))
        return result

    def _difference(self, wanted, result, driven, cycles):
        """What is not as the golden model has it, in one line, or None."""
        flat = [values.reshape(-1, values.shape[-1]) for values in (wanted, result)]
        told = compare.difference(flat[0] != flat[1], lambda *at: flat[0][at], lambda *at: flat[1][at])
        if told:
            return told
        if driven.status.get("error"):
            return "the unit reports an error"
        return None if driven.cycles == cycles else f"it took {driven.cycles:,} cycles, expected {cycles:,}"

    def _design(self, unit, parameters):
        """Configuration, design and layouts of payloads; each is built once."""
        core = lookup(unit.core)
        config = core.config(**parameters)
        key = unit.core, config
        if key not in self._built:
            design = self.designs(core, config)
            drive.build(design)
            self._built[key] = config, design, layouts(core.component(config))
        return self._built[key]
