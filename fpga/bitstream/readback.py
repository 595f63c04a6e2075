"""Bitstreams read back: from the packed file to a design that can be simulated through its pins.

What is simulated comes from the file's bits: a wrong packing, routing, placement or memory content shows. Delays, and
all that is analogue, do not.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import serial

from ...tools import caches, finding, running
from ...tools.files import atomic_write
from ...tools.flows import ECP5, GOWIN
from ..link.uart import divisor
from . import boards
from .build import read_description
from .ice40_netlist import netlist

__all__ = ["NOT_COVERED", "TOP", "ReadBack", "is_bitstream", "read_back"]

TOP = "bitstream"  # name of the top module

#: Nor does `icebox_vlog` look at the buffers that bring the global nets into a part's columns.
NOT_COVERED = "delays, column buffers of the global nets, pads, and what the part does until it is configured"

# Why the bitstreams of the other families are not read back.
_REASONS = {
    ECP5: "ecpunpack gives the settings of its tiles, and no open tool makes a netlist of them",
    GOWIN: "gowin_unpack gives its block RAMs without their mode and contents",
}

_SETTLE = 1e-3  # seconds from power-on; Amaranth's iCE40 platform holds its reset for 15 us of them
_SPEED = 250_000  # cycles a second that a simulated part makes at the least


@dataclass(frozen=True)
class ReadBack:
    """A bitstream as a design.

    Attributes
    ----------
    verilog : str
        With the top module `TOP`, of ports `clk`, `rx` and `tx`.
    divisor : int
        Clock cycles of a bit.
    power_on : int
        Clock cycles from power-on until it must listen.
    baud : int
        A standard rate at which its simulation can keep up.
    identity : dict
        What it must say of itself.
    summary : str
        One line for people: what was found, and what is not covered.
    """

    verilog: str
    divisor: int
    power_on: int
    baud: int
    identity: dict
    summary: str


def is_bitstream(name):
    """Whether this is the name of a bitstream, and so not of a serial port."""
    return Path(name).suffix in {board.flow.suffix for board in boards.BOARDS.values()}


def read_back(bitstream, progress=None):
    """Read a bitstream back.

    Parameters
    ----------
    bitstream : path-like
        What `build` made, its description beside it.
    progress : callable, optional
        Called with what begins: "reading the bitstream back".

    Returns
    -------
    ReadBack

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its description does not fit it, or it cannot be read back; the message says why.
    ToolMissing, ToolFailed
        If a tool is not there, or does not take it.
    """
    bitstream = Path(bitstream)
    if not bitstream.is_file():
        raise FileNotFoundError(f"there is no bitstream {str(bitstream)!r}: make it first, with `bitloom build`")
    description = read_description(bitstream, "board", "baud", "clock_mhz", "identity")
    board = boards.lookup(description["board"])
    if reason := _REASONS.get(board.flow):
        raise ValueError(f"{str(bitstream)!r} is for {board.flow.family}, and cannot be read back: {reason}")
    content = bitstream.read_bytes()
    try:
        netlist = _ice40(content, board, progress or (lambda step: None))
        made_hz, clock_hz = _clock_hz(netlist, board), round(description["clock_mhz"] * 10**6)
        if made_hz != clock_hz:
            raise ValueError(f"its clock is {made_hz} Hz, and its description says {clock_hz} Hz")
    except ValueError as error:
        raise ValueError(f"{str(bitstream)!r} cannot be read back: {error}") from None
    cycles = divisor(clock_hz, description["baud"])
    pll = f", a PLL that makes {clock_hz} Hz of {board.clock_hz} Hz" if netlist.loop else ""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in netlist.counts.items() if count)
    return ReadBack(
        verilog=netlist.verilog,
        divisor=cycles,
        power_on=round(clock_hz * _SETTLE),
        baud=max(rate for rate in serial.Serial.BAUDRATES if rate == 50 or rate * cycles <= _SPEED),
        identity=description["identity"],
        summary=f"{bitstream.name}, {len(content):,} bytes, read back: {counts}{pll}; not covered: {NOT_COVERED}",
    )


def _clock_hz(netlist, board):
    """Frequency of the clock, from what the bits say of the PLL."""
    return board.clock_hz if netlist.loop is None else round(board.clock_hz * netlist.loop.ratio)


def _ice40(content, board, progress):
    """Netlist of a bitstream for an iCE40. The texts that it is made of are kept."""
    unpack, verilog = finding.find("iceunpack"), finding.find("icebox_vlog")
    platform = board.make_platform()
    uart = platform.request("uart", 0, dir="-")
    pins = {"clk": platform.request(platform.default_clk, 0, dir="-"), "rx": uart.rx, "tx": uart.tx}
    constraints = "".join(f"set_io {name} {port.io.metadata[0].name}\n" for name, port in pins.items())
    key = hashlib.sha256(repr((content, constraints, unpack.key, verilog.key)).encode()).hexdigest()[:24]
    folder = caches.cache_dir("readback")
    unpacked, listing = (folder / f"{key}{suffix}" for suffix in (".asc", ".v"))
    if not (unpacked.is_file() and listing.is_file()):
        progress("reading the bitstream back")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as work:
            for name, data in (("top.bin", content), ("top.pcf", constraints.encode())):
                (Path(work) / name).write_bytes(data)
            running.run([*unpack.command, "top.bin", "top.asc"], work, name="iceunpack")
            arguments = ["-n", TOP, "-d", platform.package.lower(), "-p", "top.pcf", "top.asc"]
            text = running.run([*verilog.command, *arguments], work, name="icebox_vlog").stdout
            atomic_write(unpacked, (Path(work) / "top.asc").read_bytes())
            atomic_write(listing, text)
    return netlist(listing.read_text(), unpacked.read_text())
