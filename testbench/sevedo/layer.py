"""A linear layer of SeVeDo through the Verilated core, checked against the golden model."""

import time
from dataclasses import dataclass, field

import numpy as np

from ...cores.catalogue import lookup
from ...cores.generate import generate
from ...cores.interface import layouts
from ...golden.sevedo import core as golden
from ...golden.sevedo import layer as sevedo
from ...hdl.stream import codec
from .. import drive, payloads
from ..compare import difference

__all__ = ["LayerResult", "parameters_of", "run"]


@dataclass(frozen=True)
class LayerResult:
    """What a run found.

    Attributes
    ----------
    y : ndarray of float16, shape (M, N), or None
        As the core gave it; None where it did not give all of it.
    passed : bool
        Whether all results, the mark of the last one and the flag are those of the model.
    failure : str or None
        One line: the first difference, or why the run was not complete.
    mismatches : int
        Results that differ.
    cycles : int
        From the layer's transfer to the last result, both included.
    least_cycles : int
        What `golden.sevedo.core.least_cycles` says.
    macs : int
        Multiply-accumulates of the layer as a plain matrix product, M K N.
    nonfinite : bool
        Whether the core saw NaN or Inf.
    compile_seconds, seconds : float
        Of generation and compilation, and of the simulation.
    """

    y: np.ndarray | None = field(repr=False)
    passed: bool
    failure: str | None
    mismatches: int
    cycles: int
    least_cycles: int
    macs: int
    nonfinite: bool
    compile_seconds: float
    seconds: float

    def to_dict(self):
        """What goes into a JSON file: everything but the array."""
        return {name: value for name, value in vars(self).items() if name != "y"}


def parameters_of(layer):
    """`NAME=VALUE` texts of what a core must share with a layer."""
    w = layer.residual
    values = {"coarse": w.coarse, "fine": w.fine, "shift_bits": w.shift_bits, "threshold": layer.threshold}
    return [f"{name}={value}" for name, value in values.items()]


def run(layer, x, config, *, design=None, stall_in=0, stall_out=0, seed=0, progress=None):
    """Run a layer.

    Parameters
    ----------
    layer : SevedoLayer
    x : ndarray of float16, shape (M, K)
        Any codes, channels in their own order; M is 1 or more.
    config : SevedoCoreConfig
    design : Design, optional
        Run this in place of what `generate` gives.
    stall_in, stall_out, seed : int
        As `drive.drive` takes them. With stalls the number of cycles is not compared.
    progress : callable, optional
        Called with (done, total) results while the simulation runs, from another thread; before it with a text too.

    Returns
    -------
    LayerResult

    Raises
    ------
    ValueError
        For a layer that the core cannot take, and activations of another type or shape.
    ToolMissing, ToolFailed
        If the program could not be built or broke off.
    """
    core = lookup("sevedo-core")
    inputs = payloads.rows(layouts(core.component(config)), golden.transfers(layer, x, config))
    tokens, (n, k) = len(x), layer.shape
    if not tokens:
        raise ValueError("x must have at least one token")
    if progress:
        progress(0, tokens * n, "compiling the core")
    begin = time.monotonic()
    design = design or generate(core, config)
    drive.build(design)
    compiled = time.monotonic() - begin
    driven = drive.drive(
        design,
        inputs,
        {"o": tokens * n},
        stall_in=stall_in,
        stall_out=stall_out,
        seed=seed,
        # Without any transfer: whatever is still inside has come out by then.
        quiet=4 * golden.latency(config),
        progress=progress,
    )
    least = golden.least_cycles(config, layer, tokens)
    nonfinite, y = not np.isfinite(x).all(), None
    failure, mismatches = driven.failure, 0
    if not failure:
        y, last = golden.results(codec.unpack(config.o_layout, driven.outputs["o"]), tokens, n, config)
        expected = sevedo.linear(x, layer)
        wrong = y.view(np.uint16) != expected.view(np.uint16)
        mismatches = int(wrong.sum())
        if mismatches:
            failure = difference(wrong, lambda *at: repr(expected[at]), lambda *at: repr(y[at]))
        elif (marked := np.flatnonzero(last).tolist()) != [tokens * n - 1]:
            failure = f"`last` is set in results {marked[:3]}, expected in {tokens * n - 1} alone"
        elif driven.status["nonfinite"] != nonfinite:
            failure = f"`nonfinite` is {driven.status['nonfinite']}, expected {int(nonfinite)}"
        elif driven.cycles < least and not (stall_in or stall_out):
            failure = f"the layer took {driven.cycles:,} cycles, expected {least:,} or more"
    return LayerResult(
        y=y,
        passed=failure is None,
        failure=failure,
        mismatches=mismatches,
        cycles=driven.cycles,
        least_cycles=least,
        macs=tokens * n * k,
        nonfinite=bool(nonfinite),
        compile_seconds=compiled,
        seconds=driven.seconds,
    )
