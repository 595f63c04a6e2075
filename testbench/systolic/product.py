"""A matrix product of any shape through the Verilated systolic tile, checked against the golden model."""

import io
import time
from dataclasses import dataclass, field

import numpy as np

from ...cores.catalogue import lookup
from ...cores.generate import generate
from ...golden.olive import ovp
from ...golden.systolic import tile as systolic
from ...golden.systolic import tiling as gemm
from ...tools import external
from .. import drive, verilator

__all__ = ["GemmResult", "load", "parse_formats", "run", "save", "to_bytes"]


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
        Whether all values, flags and marks, and the number of cycles, are those of the model.
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

    @property
    def macs_per_second(self):
        """Simulated multiply-accumulates a second."""
        return self.macs / self.seconds if self.seconds else 0.0

    def to_dict(self):
        """What goes into a JSON file: everything but the arrays."""
        fields = {name: value for name, value in vars(self).items() if name not in ("product", "overflow")}
        return fields | {"macs_per_second": self.macs_per_second}


def run(a, w, config, *, k=None, design=None, stall_in=0, stall_out=0, seed=0, progress=None):
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
    (m, n), steps = product.shape, gemm.steps(a, config.operands[0])
    ends = gemm.ends(m, steps, n, config)
    if progress:
        progress(0, len(ends), "compiling the tile")
    begin = time.monotonic()
    design = design or generate(lookup("systolic-tile"), config)
    drive.build(design)
    compiled = time.monotonic() - begin
    driven = drive.drive(
        design,
        gemm.transfers(a, w, config),
        {"o": len(ends)},
        stall_in=stall_in,
        stall_out=stall_out,
        seed=seed,
        # Whatever is still inside has come out by then.
        quiet=systolic.latency(config) + config.rows,
        progress=progress,
    )
    macs, expected_cycles = m * (k or steps) * n, systolic.cycles(config, m, steps, n)
    got = flags = None
    failure, mismatches = driven.failure, 0
    if not failure:
        got, flags, last = gemm.results(driven.outputs["o"], m, n, config)
        wrong = got != product
        if config.overflow:
            wrong |= flags != overflow
        mismatches = int(wrong.sum())
        if mismatches:
            row, column = np.argwhere(wrong)[0].tolist()
            failure = (
                f"{mismatches:,} of {wrong.size:,} results differ, the first at ({row}, {column}): expected "
                f"{_shown(product, overflow, row, column)}, got {_shown(got, flags, row, column)}"
            )
        elif (wrong := np.flatnonzero(last != ends)).size:
            failure = f"`last` of result row {wrong[0]} is {int(last[wrong[0]])}, expected {int(ends[wrong[0]])}"
        elif driven.status.get("illegal", 0) != (illegal := _illegal(a, w, config)):
            failure = f"`illegal` is {driven.status['illegal']}, expected {int(illegal)}"
        elif driven.cycles != expected_cycles and not (stall_in or stall_out):
            failure = f"the product took {driven.cycles:,} cycles, expected {expected_cycles:,}"
    return GemmResult(
        product=got,
        overflow=flags,
        passed=failure is None,
        failure=failure,
        mismatches=mismatches,
        cycles=driven.cycles,
        expected_cycles=expected_cycles,
        macs=macs,
        utilization=macs / (driven.cycles * config.rows * config.cols) if driven.cycles else 0.0,
        compile_seconds=compiled,
        seconds=driven.seconds,
    )


def _shown(product, overflow, row, column):
    return f"{product[row, column]}{' with the overflow flag' if overflow[row, column] else ''}"


def _illegal(a, w, config):
    """Whether there is an illegal pair among the codes."""
    operands = zip((a, w), config.operands, strict=True)
    return any(operand.pairs and ovp.illegal(codes, operand.pairs).any() for codes, operand in operands)


def parse_formats(text, parameters):
    """Assignments of both operands' formats, from one text.

    Parameters
    ----------
    text : str
        One format for both, or those of the activations and the weights, with a comma between them.
    parameters : iterable of str
        The other `NAME=VALUE` texts.

    Raises
    ------
    ValueError
        For more than two formats, for formats that do not go together, and for parameters that give a format again.
    """
    names = text.split(",")
    if len(names) > 2:
        raise ValueError(f"--format must be one format, or two with a comma between them, not {text!r}")
    a_format, w_format = names[0], names[-1]
    systolic.check_formats(a_format, w_format)
    for parameter in parameters:
        name = parameter.partition("=")[0]
        if name in ("a_format", "w_format"):
            raise ValueError(f"{name} must be given by --format alone, not by -p {parameter} too")
    return [f"a_format={a_format}", f"w_format={w_format}"]


def load(path):
    """The array in a .npy file.

    Raises
    ------
    ValueError
        If it is no whole .npy file, or holds Python objects.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            # NumPy reads a file at once by its descriptor, which a pipe does not allow.
            source = file if file.seekable() else io.BytesIO(file.read())
            return np.lib.format.read_array(source, allow_pickle=False)
        except (ValueError, EOFError, MemoryError, OverflowError):
            raise ValueError(f"{str(path)!r} must be a whole .npy file of numbers") from None


def save(path, array):
    """Write an array as a .npy file, complete or not at all."""
    external.atomic_write(path, to_bytes(array))


def to_bytes(array):
    """An array as the content of a .npy file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()
