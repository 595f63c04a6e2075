"""A matrix product of any shape through the Verilated systolic tile, checked against the golden model."""

import time
from dataclasses import dataclass, field

import numpy as np

from ...cores.catalogue import lookup
from ...cores.kept import kept_design
from ...golden.systolic import tile as systolic
from ...golden.systolic import tiling
from ...hdl.stream import codec
from .. import drive, payloads, verilator
from .results import Results, flag_difference, illegal

__all__ = ["GemmResult", "run"]


@dataclass(frozen=True)
class GemmResult:
    """What a run found.

    Attributes
    ----------
    product : ndarray of int64, shape (M, N), or None
        As the tile gave it; None where it did not give all of it.
    overflow : ndarray of bool, shape (M, N), or None
        Flags as the tile gave them.
    passed : bool
        Whether the run was complete, and all values, flags and marks, and the number of cycles, are those of the model.
    failure : str or None
        One line: the first difference, or why the run was not complete.
    mismatches : int
        Results whose value or flag differs.
    cycles : int
        From the first input transfer to the last result, both included.
    expected_cycles : int
        What `golden.systolic.tile.cycles` says.
    macs : int
        Multiply-accumulates of the product, M K N.
    utilization : float
        Share of the multipliers' cycles that these take.
    compile_seconds, seconds : float
        Of generation and compilation, and of the simulation.
    checked : str or None
        What the results were compared with.
    """

    product: np.ndarray | None = field(repr=False)
    overflow: np.ndarray | None = field(repr=False)
    passed: bool
    failure: str | None
    mismatches: int
    cycles: int
    expected_cycles: int
    macs: int
    utilization: float
    compile_seconds: float
    seconds: float
    checked: str | None = "golden model"

    @property
    def macs_per_second(self):
        """Simulated multiply-accumulates a second."""
        return self.macs / self.seconds if self.seconds else 0.0

    def to_dict(self):
        """What goes into a JSON file: everything but the arrays."""
        fields = {name: value for name, value in vars(self).items() if name not in ("product", "overflow")}
        return fields | {"macs_per_second": self.macs_per_second}


def run(a, w, config, *, k=None, design=None, stall_in=0, stall_out=0, seed=0, check=True, progress=None):
    """Run a matrix product through a tile.

    Parameters
    ----------
    a, w : ndarray
        Codes of the activations, shape (M, K), and of the weights, (N, K), as `golden.systolic.tile.matmul` takes them.
    config : SystolicConfig
        Of the tile.
    k : int, optional
        K before it was padded to whole pairs, for the utilization.
    design : Design, optional
        Run this in place of what `generate` gives.
    stall_in, stall_out, seed : int
        As `drive.drive` takes them. With stalls the number of cycles is not compared.
    check : bool
        Whether to compare with the golden model. If not, a run that was complete has passed.
    progress : callable, optional
        Called with (done, total) result rows while the simulation runs, from another thread; before it with a text too.

    Returns
    -------
    GemmResult

    Raises
    ------
    ValueError
        For operands that the golden model refuses.
    ToolMissing, ToolFailed
        If the program could not be built or broke off.
    """
    verilator.check_target(config.target)
    product, overflow = systolic.matmul(a, w, config)
    (m, n), steps = product.shape, tiling.steps(a, config.operands[0])
    ends = tiling.ends(m, steps, n, config)
    if progress:
        progress(0, len(ends), "compiling the tile")
    begin = time.monotonic()
    design = design or kept_design(lookup("systolic-tile"), config)
    drive.build(design)
    compiled = time.monotonic() - begin
    driven = drive.drive(
        design,
        payloads.rows({"a": config.a_layout, "w": config.w_layout}, tiling.transfers(a, w, config)),
        {"o": len(ends)},
        stall_in=stall_in,
        stall_out=stall_out,
        seed=seed,
        # Whatever is still inside has come out by then.
        quiet=systolic.latency(config) + config.rows,
        progress=progress,
    )
    macs, expected_cycles = m * (k or steps) * n, systolic.cycles(config, m, steps, n)
    got, failure, mismatches = None, driven.failure, 0
    if not failure:
        got = Results(*tiling.results(codec.unpack(config.o_layout, driven.outputs["o"]), m, n, config))
    if got and check:
        expected = Results(product, overflow & config.overflow, ends)
        mismatches = int(got.wrong(expected).sum())
        failure = got.difference(expected) or flag_difference(driven.status, {"illegal": illegal(a, w, config)})
        if not failure and driven.cycles != expected_cycles and not (stall_in or stall_out):
            failure = f"the product took {driven.cycles:,} cycles, expected {expected_cycles:,}"
    return GemmResult(
        product=got and got.product,
        overflow=got and got.overflow,
        passed=failure is None,
        failure=failure,
        mismatches=mismatches,
        cycles=driven.cycles,
        expected_cycles=expected_cycles,
        macs=macs,
        utilization=macs / (driven.cycles * config.rows * config.cols) if driven.cycles else 0.0,
        compile_seconds=compiled,
        seconds=driven.seconds,
        checked="golden model" if check else None,
    )
