"""Switching energy of a row's core, on operands of the model; and what its bytes cost, which is an assumption."""

import itertools

import numpy as np

from ..cores.catalogue import lookup
from ..cores.generate import generate
from ..cores.interface import layouts
from ..golden.workloads.comparison import apply, models, operands, rows
from ..golden.workloads.energies import BYTE_ENERGY
from ..hdl.stream import codec
from ..synth import asic, macros
from ..synth.energy import Netlist, read_cells, stream, voltage
from ..testbench import payloads
from ..tools import finding
from . import cost
from .kept import kept, place

__all__ = ["BYTE_ENERGY", "combined", "energy"]

_ROOMS = ("golden", "cores", "hdl", "testbench", "synth", "compare")
#: Side by side, a bit of a word each (our choice).
_RUNS = 64
#: Inputs whose operands are taken, at most (our choice).
_INPUTS = 3
#: Tokens and outputs of a product, at least: whole tiles (our choice).
_LEAST = 8


def energy(model, name, library, inputs=None, tokens=None, more=None):
    """Measure the switching energy of a row's core: its netlist in a library's cells, with operands of the model.

    The core has the row's own size. Its memories of more than `macros.LIMIT` bits stay memories: they work, but what
    switches in them is left out. Operands are those of the first three inputs, of all places; of each shape of
    products there are up to 64, side by side, of at least 8 tokens by 8 outputs and whole tiles, with all of K. Every
    result is held against the golden model. What the estimate leaves out is told in `synth.energy`.

    Parameters
    ----------
    model : str
        As of `models.subject`.
    name : str
        Of the row.
    library : Library
        As `liberty.read` gives it.
    inputs, tokens : int, optional
        As of `models.subject`.
    more : path, optional
        As of `rows.table`.

    Returns
    -------
    dict or None
        None for a row without a core. `library`, `volts`; `data_fj`, of a dense product, all nets but the
        clock, the mean over the measured shapes in their shares of the model's products (where a core shares work
        between tokens or outputs, that of the whole products); `clock_fj_cycle`, of the clock pins in a cycle; `cells`
        and `flip_flops`; `memories` that are no cells, a list, each as of `macros.tell`; `shapes`, a list of `shape`,
        `places`, `share` of the products, `runs`, `cycles` and `data_fj`; `failures`, lines; `tools`. After a failure
        `data_fj` is None.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As `measure` and `cost.area`; for a library without a voltage, and one whose flip-flops are not plain.
    """
    row, subject = rows.lookup(name, more), models.subject(model, min(inputs or _INPUTS, _INPUTS), tokens)
    subject = (subject.trained(row.trained) if row.trained else subject).judged()
    config = cost.configuration(row)
    if config is None:
        return None
    key = subject.fingerprint(), name, config.to_dict(), library.text, finding.find("yosys", override=True).version
    return kept(lambda: _measured(row, subject, config, library), place(_ROOMS, more, *key))


def combined(record, measured, byte_energy):
    """What `energy` measured, for a record of `measure`: the clock runs in all cycles of a pass.

    Parameters
    ----------
    record : dict
    measured : dict
    byte_energy : float
        pJ a byte, 0 or more.

    Returns
    -------
    dict
        `measured`, and `clock_fj` and `product_fj` of a dense product, the latter of data and clock, None where the
        data are not known; `byte_pj`.
    """
    data, clock = measured["data_fj"], measured["clock_fj_cycle"] * record["cycles"] / record["products"]
    return measured | {
        "clock_fj": clock,
        "product_fj": None if data is None else data + clock,
        "byte_pj": byte_energy,
    }


def _measured(row, subject, config, library):
    prepared = apply.prepare(subject, row.scheme())
    scheme = prepared.scheme
    m, n = (-(-_LEAST // side) * side for side in (getattr(config, "rows", 1), getattr(config, "cols", 1)))
    caught = operands.catch(subject, prepared)
    groups = operands.alike(caught, scheme, m, n, _RUNS)
    core = _Core(scheme, config, library)
    total = sum(group.products for group in groups)
    shapes, failures = [], []
    for group in groups:
        told = {"shape": [*group.shape], "places": [*group.places], "share": group.products / total}
        shapes.append(told)
        told |= {"runs": len(group.operands), **_switched(core, group)}
        failures += told.pop("failures")
    return {
        "library": library.name,
        "volts": core.volts,
        "data_fj": None if failures else sum(told["data_fj"] * told["share"] for told in shapes),
        "clock_fj_cycle": core.volts**2 * core.netlist.clock_load,
        "cells": core.netlist.cell_count,
        "flip_flops": core.netlist.flip_flop_count,
        "memories": core.memories,
        "shapes": shapes,
        "failures": failures,
        "tools": {"yosys": finding.find("yosys", override=True).version},
    }


def _switched(core, group):
    """`cycles` and `failures` of the small products of a group; `data_fj` of a multiply-accumulate of its whole ones.

    Where a core shares work, the small products are measured in two sizes each way, and the energy of a whole one is
    taken to be linear in its tokens, and in its outputs.
    """
    m, _, n = group.shape
    ms, ns = ((min(_half(size), size), size) if core.scheme.shares else (size,) for size in (m, n))
    energies, failures = {}, []
    for size in itertools.product(dict.fromkeys(ms), dict.fromkeys(ns)):
        streamed, failure = core.run(group.cut(core.scheme, *size))
        energies[size] = streamed.switching.data / len(group.operands)
        failures += [failure] if failure else []

    def whole(tokens, outputs):
        return _line(tokens, {each: _line(outputs, {other: energies[each, other] for other in ns}) for each in ms})

    data = sum(whole(*size) for size in group.sizes) / group.products
    return {"cycles": streamed.cycles, "data_fj": data, "failures": failures}


def _half(size):
    """Half of the tokens or outputs, in whole tiles of those cores that share work."""
    return -(-size // 4) * 2


def _line(at, points):
    """Through one or two points: proportional, or linear."""
    (first, low), (last, high) = min(points.items()), max(points.items())
    return low * at / first if first == last else low + (high - low) * (at - first) / (last - first)


class _Core:
    """A core as a netlist of a library's cells, and of memories."""

    def __init__(self, scheme, config, library):
        core = lookup(scheme.core)
        self.scheme, self.config, self.volts = scheme, config, voltage(library)
        self.layouts = layouts(core.component(config))
        self.design = generate(core, config)
        netlist = asic.map_to_library(self.design, library, keep=True)["netlist"]
        self.memories = [macros.tell(memory) for memory in netlist["memories"]]
        self.netlist = Netlist(netlist, read_cells(library.text))

    def run(self, group):
        """Products side by side: what was streamed, and what is wrong with it, or None."""
        scheme, config, m = self.scheme, self.config, group.shape[0]
        sent = [payloads.rows(self.layouts, scheme.transfers(a, w, config)) for a, w in group.operands]
        inputs = {name: np.stack([each[name] for each in sent]) for name in sent[0]}
        counts = {"o": scheme.result_count(m, group.operands[0][1], config)}
        streamed = stream(self.netlist, inputs, counts, self.volts, reset=self.design.reset, constants=group.ports)
        failure = streamed.failure or self._difference(group, streamed)
        return streamed, failure and f"energy of {group.places[0]} and others alike: {failure}"

    def _difference(self, group, streamed):
        for (a, w), rows_out in zip(group.operands, streamed.outputs["o"], strict=True):
            fields = codec.unpack(self.layouts["o"], rows_out)
            result = self.scheme.results(fields, group.shape[0], w, self.config)
            if result.tobytes() != self.scheme.product(a, w).astype(result.dtype).tobytes():
                return "the netlist's results are not those of the golden model"
        return None
