"""The integer vision transformer with its linear layers computed by the Verilated N:M tile, one after the other."""

import time
from dataclasses import dataclass, field

import numpy as np

from ...cores.catalogue import lookup
from ...cores.generate import generate
from ...golden.sat import sparse as nm_sparse
from ...golden.sat import tile as nm_tile
from ...golden.systolic import tiling
from ...golden.workloads import vit_integer
from ...hdl.stream import codec
from .. import drive, payloads, verilator
from ..systolic.results import Results

__all__ = ["CORE", "LayerRun", "TileRun", "build", "check", "run"]

#: The tile's name in the catalogue.
CORE = "nm-tile"


@dataclass(frozen=True)
class LayerRun:
    """One layer: its `name`, `pattern` and `shape`, (T, K, O); its `cycles`, and those of dense weights."""

    name: str
    pattern: str
    shape: tuple
    cycles: int
    dense_cycles: int


@dataclass(frozen=True)
class TileRun:
    """What a run found.

    Attributes
    ----------
    predictions, expected : ndarray of int64, shape (B,)
        Classes, from the tile's products and by the golden model.
    failure : str or None
        One line: the first layer that differed from the golden model in a result, a flag or the number of cycles, and
        how.
    layers : list of LayerRun
        In order of execution.
    seconds : float
        Of the simulation.
    """

    predictions: np.ndarray = field(repr=False)
    expected: np.ndarray = field(repr=False)
    failure: str | None
    layers: list
    seconds: float

    @property
    def same(self):
        """Images whose class is the golden model's."""
        return int((self.predictions == self.expected).sum())

    @property
    def passed(self):
        """Whether every result, flag, number of cycles and class is the golden model's."""
        return self.failure is None and self.same == len(self.expected)

    @property
    def cycles(self):
        """Cycles of all layers, each from its first input transfer to its last result."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def dense_cycles(self):
        """What they would be if all weights were dense."""
        return sum(layer.dense_cycles for layer in self.layers)

    def to_dict(self):
        """What goes into a JSON file."""
        return {
            "images": len(self.expected),
            "same": self.same,
            "passed": self.passed,
            "failure": self.failure,
            "cycles": self.cycles,
            "dense_cycles": self.dense_cycles,
            "layers": [vars(layer) for layer in self.layers],
            "tile_seconds": self.seconds,
        }


def check(config):
    """Refuse a tile that the model cannot run on.

    Raises
    ------
    ValueError
    """
    for name, wanted in (("a_format", "int8"), ("w_format", "int8"), ("group", 8)):
        if getattr(config, name) != wanted:
            raise ValueError(f"{name} must be {wanted} for this model, not {getattr(config, name)}")
    verilator.check_target(config.target)


def build(config):
    """The tile's design, compiled.

    Returns
    -------
    design : Design
    seconds : float
        Of generation and compilation; little if it was compiled before.

    Raises
    ------
    ValueError
        As of `check`.
    ToolMissing, ToolFailed
        If the program could not be built.
    """
    check(config)
    begin = time.monotonic()
    design = generate(lookup(CORE), config)
    drive.build(design)
    return design, time.monotonic() - begin


def run(model, codes, config, design, progress=lambda done, total, text: None):
    """Classify images, every linear layer on the tile.

    Each product goes on to the next layer as the tile gave it; where it was not complete, the golden model's does, so
    that the other layers are still seen.

    Parameters
    ----------
    model : vit_integer.IntegerVit
    codes : ndarray of int, shape (B, TOKENS, PIXELS)
        As of `vit.patches`.
    config : NmTileConfig
        Of the tile, as of `build`; groups of 4 are merged to groups of 8.
    design : Design
        As of `build`.
    progress : callable, optional
        Called with (done, total, text) in layers.

    Returns
    -------
    TileRun

    Raises
    ------
    ToolFailed
        If the program broke off.
    """
    layers, failures, seconds = [], [], []

    def product(name, layer, x):
        progress(len(layers), len(model.layers), name)
        results, done, failure, took = _multiply(name, layer, x, config, design)
        layers.append(done)
        seconds.append(took)
        if failure:
            failures.append(f"{name}: {failure}")
        return results

    predictions = model.predict(codes, product)
    progress(len(layers), len(model.layers), "done")
    return TileRun(predictions, model.predict(codes), next(iter(failures), None), layers, sum(seconds))


def _multiply(name, layer, x, config, design):
    """A layer's product (O, T), its LayerRun, what is wrong or None, and seconds."""
    values, indices = layer.values, layer.indices
    if layer.m < config.group:
        values, indices = nm_sparse.merge_groups(values, indices, layer.m)
    (k, t), (o, _, n) = x.shape, values.shape
    wanted = vit_integer.linear(name, layer, x)
    ends = tiling.ends(t, nm_tile.steps(config, k, n), o, config)
    driven = drive.drive(
        design,
        payloads.rows({"a": config.a_layout, "w": config.w_layout}, nm_tile.transfers(values, indices, x.T, config)),
        {"o": len(ends)},
        constants={"slots": n},
        quiet=nm_tile.latency(config) + config.rows,
    )
    expected, dense = (nm_tile.cycles(config, t, k, o, count) for count in (n, config.group))
    done = LayerRun(name, layer.pattern, (t, k, o), driven.cycles, dense)
    if driven.failure:
        return wanted, done, driven.failure, driven.seconds
    results = Results(*tiling.results(codec.unpack(config.o_layout, driven.outputs["o"]), t, o, config))
    failure = results.difference(Results(wanted.T, np.zeros((t, o), bool), ends))
    if not failure and driven.cycles != expected:
        failure = f"the product took {driven.cycles:,} cycles, expected {expected:,}"
    return results.product.T, done, failure, driven.seconds
