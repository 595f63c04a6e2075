"""Program a board: the loader's command as data, and its failures in words that say what to do."""

import os
import re
from pathlib import Path

from ...tools import caches, finding, inventory, running
from .build import read_description

__all__ = ["flash", "flash_command"]

_TIMEOUT = 300  # seconds; the slowest board takes about 20

# What openFPGALoader 1.1, dfu-util 0.11 and the libraries below them print, and what it means. The first that fits is
# taken: one failure prints several lines. The exit status says nothing more.
_MEANINGS = (
    (
        r"error while loading shared libraries: (?P<detail>\S+):|Library not loaded: (?P<other>\S+)",
        "{tool} does not start without {detail}; install it with {libraries}",
    ),
    (
        r"usb_open\(\) failed|inappropriate permissions|[Aa]ccess denied|LIBUSB_ERROR_ACCESS",
        "no permission for the programmer of {name}: put "
        'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vid}", ATTR{{idProduct}}=="{pid}", MODE="0660", TAG+="uaccess" '
        "into /etc/udev/rules.d/60-{name}.rules and plug the board in again (Windows: WinUSB driver, by Zadig)",
    ),
    (
        r"unable to claim usb device|ftdi_usb_reset failed|LIBUSB_ERROR_BUSY",
        "the programmer of {name} is in use: close what has its serial port open, or another {tool}",
    ),
    (
        r"\(device not found\)|No DFU capable USB device|No DFU compatible device|USB device unavailable",
        "no {name} is attached: no USB device {vid}:{pid} was found; is the board plugged in{attach}, with a cable for "
        "data?",
    ),
    (r"no device found", "the programmer of {name} answers and its FPGA does not: is the board powered?"),
    (r"cannot find board", "this {tool} does not know the board {board}: install a newer one"),
)


def flash_command(bitstream, board, loader=None):
    """The command that programs a board.

    Parameters
    ----------
    bitstream : path-like
        What `build` made; it need not be there. A name that begins with `-` is given as a path, no option.
    board : Board
        One of `boards.BOARDS`.
    loader : sequence of str, optional
        How to call the board's loader; by default by its name.

    Returns
    -------
    list of str
        The loader writes where it does by default for the board: see `Board.volatile`.

    Raises
    ------
    ValueError
        If the file's suffix is not that of the board's bitstreams.
    """
    if Path(bitstream).suffix != board.flow.suffix:
        raise ValueError(f"a bitstream for {board.name} must end in {board.flow.suffix}, not {str(bitstream)!r}")
    name, *arguments = board.loader
    path = str(bitstream)
    return [*(loader or [name]), *arguments, os.path.join(".", path) if path.startswith("-") else path]


def flash(bitstream, board, dry_run=False, force=False, core=None):
    """Program a board.

    Parameters
    ----------
    bitstream : path-like
        What `build` made, its description beside it.
    board : Board
        One of `boards.BOARDS`.
    dry_run : bool
        Whether to give the command only. Then neither the board nor a working loader has to be there.
    force : bool
        Whether to do it also if the bitstream misses its timing, holds another core, is for another board, or has no
        description.
    core : str, optional
        Name of the core that it must hold.

    Returns
    -------
    list of str
        The command.

    Raises
    ------
    ValueError
        If the file's suffix is not that of the board's bitstreams, or without `force` what is said there.
    FileNotFoundError
        If there is no such bitstream.
    ToolMissing
        If the loader, or a library that it needs, is not installed.
    ToolFailed
        If the board could not be programmed; the message says why, in one line.
    """
    command, tool = flash_command(bitstream, board), board.loader[0]
    if not Path(bitstream).is_file():
        raise FileNotFoundError(
            f"there is no bitstream {str(bitstream)!r}: make it first, with `bitloom build CORE --board {board.name}`"
        )
    if not force:
        _check(Path(bitstream), board, core)
    try:
        command = flash_command(bitstream, board, finding.find(tool, override=True).command)
    except finding.ToolMissing:
        if not dry_run:
            raise
    if dry_run:
        return command
    log = caches.cache_dir("flash") / f"{board.name}.log"
    try:
        running.run(command, cwd=".", log=log, timeout=_TIMEOUT, name=tool)
    except running.ToolFailed as error:
        raise running.ToolFailed(_meaning(_text(log), board) or str(error)) from None
    # When the part does not take the bitstream it says so, and the exit status is still 0.
    if failed := re.search(r"(?m)^.*\bFAIL\b.*$", _text(log)):
        raise running.ToolFailed(f"programming {board.name} failed: {failed[0].strip()} (log: {log})")
    return command


def _check(bitstream, board, core):
    """Refuse a bitstream whose description says that it will not work, or does not speak of it."""
    try:
        description = read_description(bitstream, "core", "board", "met")
    except ValueError as error:
        raise ValueError(f"{error}, or give --force") from None
    if (wanted := description["board"]) != board.name:
        raise ValueError(f"{str(bitstream)!r} is for {wanted}, not for {board.name}: give --force to flash it anyway")
    if core is not None and (held := description["core"]) != core:
        raise ValueError(f"{str(bitstream)!r} holds {held}, not {core}: give --force to flash it anyway")
    if not description["met"]:
        raise ValueError(
            f"{str(bitstream)!r} misses its timing, {description['fmax_mhz']} MHz for a clock of "
            f"{description['clock_mhz']:g} MHz: choose a smaller configuration, or give --force to flash it anyway"
        )


def _text(log):
    return log.read_text(errors="replace") if log.exists() else ""


def _meaning(text, board):
    """What a failed loader meant, or None."""
    tool = board.loader[0]
    for pattern, message in _MEANINGS:
        if match := re.search(pattern, text):
            parts = match.groupdict()
            return message.format(
                name=board.name,
                tool=tool,
                board=board.loader[-1],
                attach=f", {board.attach}" if board.attach else "",
                vid=board.usb[0],
                pid=board.usb[1],
                libraries=inventory.TOOLS[tool].libraries or "your system's package manager",
                detail=(parts.get("detail") or parts.get("other") or "").strip(),
            )
    return None
