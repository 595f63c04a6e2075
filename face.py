"""The Python face: a configured core, and in one call each what the command line does with it.

The checks are the command line's, and a wrong request is an exception whose message is the one line that it prints:
ValueError, or TypeError for a value of another type; OSError for files and tools; ModuleNotFoundError, which names the
extra, where a package is not installed. A check that failed is no exception: the result says so.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .cores import catalogue, generate
from .cores.config import Config, Value
from .cores.generate import Design
from .golden.checks import integer
from .hdl.emission.replicate import unwarned
from .hdl.stream import codec
from .tools.files import check_writable
from .tools.missing import sentence

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from .synth.liberty import Library
    from .synth.report import Report
    from .testbench.runner import Result

__all__ = ["ConfiguredCore", "Generated", "core"]

_LARGEST_SEED = (1 << 32) - 1


@dataclass(frozen=True)
class Generated:
    """Verilog, and where it was written.

    Attributes
    ----------
    design : Design
        The text, the ports and the manifest.
    files : tuple of Path
        The Verilog, the manifest and the FuseSoC description; empty if nothing was written.
    """

    design: Design
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ConfiguredCore:
    """A core of the catalogue with its parameters; `core` makes it.

    Attributes
    ----------
    entry : Core
        Its entry in the catalogue: `name`, `summary`, `paper`, and more.
    config : Config
        Its parameters: a frozen dataclass.

    Examples
    --------
    >>> import bitloom
    >>> decoder = bitloom.core("ovp-decoder", pairs=2)
    >>> payloads = decoder.pack("i", codes=[[0x32, 0xF8]], last=1)
    >>> payloads.tolist()
    [[50, 248, 1]]
    >>> decoder.unpack("i", payloads)["codes"].tolist()
    [[50, 248]]
    """

    entry: catalogue.Core
    config: Config

    def __repr__(self) -> str:
        given = [self.entry.name, *self.config.assignments()]
        return f"<bitloom core {' '.join(given)}>"

    @property
    def name(self) -> str:
        """Name in the catalogue."""
        return self.entry.name

    @property
    def latency(self) -> int:
        """Cycles from an input transfer to its output's valid, without stalls."""
        return self.entry.latency(self.config)

    @property
    def interval(self) -> int:
        """Cycles from one input transfer to the next, without stalls."""
        return self.entry.interval(self.config)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What `generate` writes beside the Verilog, with the default interface and name: ports, bits of every payload,
        latency, versions of the tools, and the Verilog's SHA-256."""
        return generate.generate(self.entry, self.config).manifest

    @cached_property
    def streams(self) -> Mapping[str, Any]:
        """Name of each stream of the component to the layout of its payload."""
        component = unwarned(self.entry.component(self.config))
        members = component.signature.members.items()
        return {name: getattr(component, name).payload.shape() for name, member in members if member.is_signature}

    def component(self) -> "wiring.Component[Any]":
        """A new component, for a design of one's own in Amaranth; it lives in the domain `sync`.

        Returns
        -------
        amaranth.lib.wiring.Component
            Its docstring says what the ports are. Give it to Amaranth's simulator, to `amaranth.back.verilog` or to a
            platform, as any other; nothing of bitloom's generator is needed.
        """
        return self.entry.component(self.config)

    def generate(
        self, path: str | os.PathLike[str] | None = None, interface: str = "stream", name: str | None = None
    ) -> Generated:
        """Generate Verilog, a JSON manifest and a FuseSoC description, as `bitloom generate` does.

        Parameters
        ----------
        path : path-like, optional
            A folder, which exists or ends in a slash, or the Verilog file; missing folders are made. None: nothing is
            written.
        interface : str
            ``stream`` names the ports as Amaranth does (``i__payload``), ``axis`` as AXI4-Stream.
        name : str, optional
            Of the top module; by default it tells what differs from the core's default, and so does the file's.

        Returns
        -------
        Generated

        Raises
        ------
        ValueError
            For an unknown interface, or a name that is no Verilog name or is taken inside the core.
        OSError
            If the files cannot be written: none of them is then.
        """
        top = name or generate.default_name(self.entry, self.config, interface)
        if path is None:
            return Generated(generate.generate(self.entry, self.config, interface, name), ())
        file = Path(path) / f"{top}.v" if os.fspath(path).endswith("/") or Path(path).is_dir() else Path(path)
        for written in generate.files(file):
            check_writable(written)
        design = generate.generate(self.entry, self.config, interface, name)
        return Generated(design, tuple(generate.write(design, file)))

    def simulate(
        self,
        vectors: int | None = None,
        seed: int | None = None,
        waves: str | os.PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Result":
        """Run the core's Verilog in Verilator against its golden model, as `bitloom sim` does. Needs the extra `sim`.

        Parameters
        ----------
        vectors : int, optional
            Random vectors, 1 or more, beside the directed and exhaustive ones; 10,000 by default.
        seed : int, optional
            0 to 2**32 - 1; decides vectors and stalls, and repeats a run. Drawn by default.
        waves : path-like, optional
            Write a waveform to this file, which ends in .vcd or .fst.
        progress : callable, optional
            Called with (done, total) transfers while the simulation runs, from another thread.

        Returns
        -------
        bitloom.testbench.runner.Result
            `passed`, `seed`, `mismatches`, and what was measured; `summary()` is what the command prints.

        Raises
        ------
        ValueError
            For a value that is not allowed.
        ToolMissing, ToolFailed
            If the program could not be built.
        """
        with _naming_extras():
            from .testbench import runner

            seed = None if seed is None else integer("seed", seed, 0, _LARGEST_SEED)
            return runner.simulate(self.entry, self.config, vectors=vectors, seed=seed, waves=waves, progress=progress)

    def synthesize(
        self,
        part: str | None = None,
        liberty: "str | os.PathLike[str] | Library | None" = None,
        freq: float | None = None,
        seed: int = 1,
        progress: Callable[[str], None] | None = None,
    ) -> "Report":
        """Estimate area and speed on an FPGA part or in a cell library, as `bitloom synth` does.

        Parts need the extra `fpga`.

        Parameters
        ----------
        part : str, optional
            FPGA part, such as ``ice40-up5k``, ``gowin-gw1n-9`` or ``ecp5-85k``. Either it or `liberty` is given.
        liberty : path-like or Library, optional
            A cell library, or what `bitloom.synth.liberty.read` made of it: area only.
        freq : float, optional
            MHz that the part is to reach; decides `met` of the result.
        seed : int
            Of place and route, 0 to 2**31 - 1.
        progress : callable, optional
            Called with the name of each stage when it begins.

        Returns
        -------
        bitloom.synth.report.Report
            Counts of the core alone, and the clock after place and route, out of context.

        Raises
        ------
        ValueError
            For a value that is not allowed; also `TooSmall`, if the core does not fit on the part.
        ToolMissing, ToolFailed
            If a tool is not there, or failed.
        """
        with _naming_extras():
            from .synth import flow

            flow.check_request(part, liberty, freq, seed)
            design = generate.generate(self.entry, self.config)
            return flow.synthesize(design, part, liberty=liberty, freq=freq, seed=seed, progress=progress)

    def pack(self, stream: str, /, **fields: npt.ArrayLike | Mapping[str, Any]) -> npt.NDArray[np.uint8]:
        """Payloads of a stream of fields, as `bitloom run CORE --in` takes them.

        Parameters
        ----------
        stream : str
            Name of the stream.
        **fields : array_like of int or bool, or mapping
            As of `bitloom.hdl.stream.codec.pack`: each field of the payload by its name, of shape (transfers, ...), or
            one number for all transfers; what is nested as a mapping, or as ``**{"groups.codes": ...}``.

        Returns
        -------
        ndarray of uint8, shape (transfers, bytes)
            The lowest byte first.

        Raises
        ------
        ValueError
            For an unknown stream; for a field that is missing, unknown, of another shape or out of range.
        """
        return codec.pack(self._layout(stream), **fields)

    def unpack(
        self, stream: str, payloads: npt.NDArray[np.uint8] | Sequence[int]
    ) -> dict[str, npt.NDArray[np.integer[Any]]]:
        """Fields of payloads of a stream: what `pack` takes.

        Parameters
        ----------
        stream : str
            Name of the stream.
        payloads : ndarray of uint8, shape (transfers, bytes), or sequence of int
            The lowest byte first, unused upper bits 0.

        Returns
        -------
        dict of str to ndarray, shape (transfers, ...)
            Every field by its name, the lowest bits first.

        Raises
        ------
        ValueError
            For an unknown stream; for rows of another type or size, and payloads of more bits.
        """
        return codec.unpack(self._layout(stream), payloads)

    def _layout(self, stream: str) -> Any:
        if stream not in self.streams:
            raise ValueError(f"unknown stream {stream!r}: {self.name} has {', '.join(self.streams)}")
        return self.streams[stream]


def core(name: str, /, **parameters: Value) -> ConfiguredCore:
    """A core of the catalogue with its parameters.

    Parameters
    ----------
    name : str
        A key of `bitloom.CATALOGUE`, such as ``systolic-tile``.
    **parameters : int, bool, str or None
        What ``-p NAME=VALUE`` sets on the command line, as values or as such texts; `bitloom info CORE` lists them. The
        others have their defaults.

    Returns
    -------
    ConfiguredCore

    Raises
    ------
    ValueError
        For an unknown core or parameter, and a value that is not allowed.
    TypeError
        For a value of another type than the parameter's.
    """
    entry = catalogue.lookup(name)
    return ConfiguredCore(entry, entry.config.of(parameters))


@contextlib.contextmanager
def _naming_extras() -> Generator[None, None, None]:
    """Say of a package that is not installed which extra brings it, as the command line does."""
    try:
        yield
    except ImportError as error:
        said = sentence(error)
        if said is None:
            raise
        raise ModuleNotFoundError(said, name=error.name) from None
