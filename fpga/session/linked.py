"""Real data through a core, Verilated or behind a link, checked against the golden model."""

import time
from dataclasses import dataclass, field

import numpy as np

from ...cores.kept import kept_design
from ...golden.systolic import gemm, tiling
from ...golden.systolic import tile as systolic
from ...hdl.stream import codec
from ...testbench import drive, payloads
from ...testbench.olive import stream_model
from ...testbench.payloads import from_bytes
from ...testbench.systolic.results import Results, flag_difference, illegal

__all__ = ["GOLDEN", "LinkedResult", "multiply", "run_on", "run_rtl"]

_QUIET = 10_000  # cycles without a transfer after which a Verilated core has given all
_MOST = 1 << 28  # bytes that a stream of a Verilated core may give


@dataclass(frozen=True)
class LinkedResult:
    """What a run found.

    Attributes
    ----------
    outputs : dict of str to bytes, or None
        Whole payloads of each output stream; None after a failure.
    flags : dict of str to int
        The core's other outputs, at the end.
    passed : bool
        Whether the run was complete, and all that was compared is right.
    checked : str or None
        What the outputs were compared with.
    failure : str or None
        One line.
    transfers : int
        Output payloads.
    seconds : float
        Of the run, without compilation and check.
    sent : int
        Bytes of the input payloads.
    product, overflow : ndarray or None
        What the outputs of a matrix product mean; see `golden.systolic.tiling.results`.
    """

    outputs: dict | None = field(repr=False)
    flags: dict
    passed: bool
    checked: str | None
    failure: str | None
    transfers: int
    seconds: float
    sent: int
    product: np.ndarray | None = field(default=None, repr=False)
    overflow: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self):
        """What goes into a JSON file: everything but the data."""
        return {name: value for name, value in vars(self).items() if name not in ("outputs", "product", "overflow")}


#: Cores whose golden model takes any payloads: from the configuration, the settings and payloads as rows of bytes, to
#: those of the stream `o` and the flags.
GOLDEN = {"ovp-decoder": stream_model.decoder, "ovp-encoder": stream_model.encoder}


def run_rtl(core, config, inputs, settings=None, *, check=True, progress=None):
    """Run payloads through the Verilated core.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`; without primitives of a family.
    inputs : dict of str to ndarray of uint8, shape (N, bytes)
        Payloads of every input stream.
    settings : dict of str to int, optional
        Inputs that are no streams.
    check : bool
        Whether to compare with the golden model, where it takes any payloads.
    progress : callable, optional
        As for `drive.drive`.

    Returns
    -------
    LinkedResult

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As from `drive.drive`.
    """
    config = config.portable()
    design = kept_design(core, config)
    widths = {port.name.removesuffix("__payload"): port.width for port in design.ports if "__payload" in port.name}
    sizes = {name: -(-bits // 8) for name, bits in widths.items() if name not in inputs}
    driven = drive.drive(
        design,
        inputs,
        {name: _MOST // size for name, size in sizes.items()},
        constants=settings,
        patience=_QUIET,
        progress=progress and (lambda done, total: progress(done, None)),
    )
    failure = None
    if left := [name for name, rows in inputs.items() if driven.transfers[name] != len(rows)]:
        taken = ", ".join(f"{name} {driven.transfers[name]:,} of {len(inputs[name]):,}" for name in left)
        failure = f"the core does not take all: {taken}"
    outputs = {name: rows.tobytes() for name, rows in driven.outputs.items()}
    checked = None
    if check and not failure and core.name in GOLDEN:
        checked, wanted, flags = _wanted(core, config, inputs, settings, sizes)
        failure = _difference(outputs, wanted, driven.status, flags, sizes)
    transfers = sum(map(len, driven.outputs.values()))
    sent = sum(rows.nbytes for rows in inputs.values())
    return LinkedResult(
        None if failure else outputs, driven.status, not failure, checked, failure, transfers, driven.seconds, sent
    )


def run_on(link, identity, core, config, inputs, settings=None, *, check=True, progress=None):
    """Run payloads through a core behind a link.

    Parameters
    ----------
    link : object
        As `fpga.session.host.Link`.
    identity : dict
        What the board must say of itself.
    core, config, inputs, settings
        As for `run_rtl`.
    check : bool
        Whether to compare with the golden model, or where that does not take any payloads with the Verilated core. If
        not, the outputs end when none has come for a while.
    progress : callable, optional
        Called with (done, total) bytes.

    Returns
    -------
    LinkedResult

    Raises
    ------
    OSError
        If the link fails.
    ValueError, ToolMissing, ToolFailed
        As from `drive.drive`, for the check.
    """
    settings = settings or {}
    link.hello(identity)
    sizes = {name: stream.bytes for name, stream in link.channels.outputs.items()}
    checked, wanted, flags = _wanted(core, config, inputs, settings, sizes) if check else (None, None, {})
    link.set(**settings)
    start = time.monotonic()
    expected = {name: len(wanted[name]) if check else None for name in sizes}
    moved = link.exchange({name: rows.tobytes() for name, rows in inputs.items()}, expected, progress)
    seconds = time.monotonic() - start
    failure = moved.failure
    if not failure and check:
        failure = _difference(moved.outputs, wanted, link.flags, flags, sizes)
    for name, data in moved.outputs.items():
        if not failure and len(data) % sizes[name]:
            failure = f"stream {name} ended within a payload"
    transfers = sum(len(data) // sizes[name] for name, data in moved.outputs.items())
    sent = sum(rows.nbytes for rows in inputs.values())
    return LinkedResult(
        None if failure else moved.outputs, link.flags, not failure, checked, failure, transfers, seconds, sent
    )


def multiply(link, identity, a, w, config, *, check=True, progress=None):
    """Run a matrix product through the core `gemm` behind a link, each operand sent as seldom as its memories allow.

    Parameters
    ----------
    link, identity, check, progress
        As for `run_on`; the check is against `golden.systolic.tile.matmul`.
    a, w : ndarray
        Codes, as `golden.systolic.tile.matmul` takes them.
    config : GemmConfig
        Of the core.

    Returns
    -------
    LinkedResult

    Raises
    ------
    OSError
        If the link fails.
    ValueError
        For operands that the golden model refuses, or of which one panel does not fit.
    """
    product, overflow = systolic.matmul(a, w, config)
    m, n = product.shape
    plan = gemm.jobs((m, tiling.steps(a, config.operands[0]), n), config)
    ends = gemm.ends(plan, config)
    link.hello(identity)
    size = link.channels.outputs["o"].bytes
    layouts = {"job": config.job_layout, "a": config.a_transfer, "w": config.w_transfer}
    rows = payloads.rows(layouts, gemm.transfers(a, w, plan, config))
    inputs = {name: sent.tobytes() for name, sent in rows.items()}
    start = time.monotonic()
    moved = link.exchange(inputs, {"o": size * len(ends)}, progress)
    seconds = time.monotonic() - start
    failure, got = moved.failure, None
    if not failure:
        fields = codec.unpack(config.o_layout, from_bytes(moved.outputs["o"], config.o_layout.size, False))
        got = Results(*gemm.results(fields, plan, m, n, config))
    if got and check:
        failure = got.difference(Results(product, overflow & config.overflow, ends))
        failure = failure or flag_difference(link.flags, {"illegal": illegal(a, w, config), "overrun": False})
    return LinkedResult(
        outputs=None if failure else moved.outputs,
        flags=link.flags,
        passed=not failure,
        checked="golden model" if check else None,
        failure=failure,
        transfers=len(moved.outputs["o"]) // size,
        seconds=seconds,
        sent=sum(map(len, inputs.values())),
        product=got and got.product,
        overflow=got and got.overflow,
    )


def _wanted(core, config, inputs, settings, sizes):
    """What tells the right outputs, these as bytes, and the flags."""
    if core.name not in GOLDEN:
        reference = run_rtl(core, config, inputs, settings, check=False)
        if reference.failure:
            raise ValueError(f"these payloads cannot be run: {reference.failure}")
        return "Verilated core", reference.outputs, reference.flags
    outputs, flags = GOLDEN[core.name](config, settings or {}, inputs)
    return "golden model", {"o": codec.from_integers(outputs, 8 * sizes["o"]).tobytes()}, flags


def _difference(outputs, wanted, flags, wanted_flags, sizes):
    """The first difference, as one line; None without one."""
    for name, right in wanted.items():
        size, data = sizes[name], outputs[name]
        if data != right:
            if len(data) != len(right):
                return f"stream {name} gave {len(data) // size:,} payloads, expected {len(right) // size:,}"
            want, got = (from_bytes(part, 8 * size, False) for part in (right, data))
            wrong = (want != got).any(axis=1)
            at = int(wrong.argmax())
            return (
                f"{int(wrong.sum()):,} of {len(wrong):,} payloads of stream {name} differ, the first one is number "
                f"{at}: expected {want[at, ::-1].tobytes().hex()}, got {got[at, ::-1].tobytes().hex()}"
            )
    for name, value in wanted_flags.items():
        # A link tells the bits of an output of several each by itself.
        bits = [bit for flag, bit in flags.items() if flag == name or flag.startswith(f"{name}[")]
        got = sum(int(bit) << index for index, bit in enumerate(bits))
        if got != value:
            return f"flag {name} is {got}, expected {value}"
    return None
