"""Program a board with openFPGALoader: the command as data, and its failures in words that say what to do."""

import re
from pathlib import Path

from ..hdl import tools

__all__ = ["flash", "flash_command"]

_TOOL = "openFPGALoader"
_TIMEOUT = 300  # seconds; the slowest board takes about 20

# What openFPGALoader 1.1 and the libraries below it print, and what it means. The first that fits is taken: one failure
# prints several lines, the cause first. The exit status is 1 for all of them.
_MEANINGS = (
    (
        r"error while loading shared libraries: (?P<detail>\S+):|Library not loaded: (?P<other>\S+)",
        "openFPGALoader does not start without {detail}; install it with {libraries}",
    ),
    (
        r"usb_open\(\) failed|inappropriate permissions|[Aa]ccess denied|LIBUSB_ERROR_ACCESS",
        "no permission for the programmer of {name}: put "
        'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vid}", ATTR{{idProduct}}=="{pid}", MODE="0660", TAG+="uaccess" '
        "into /etc/udev/rules.d/60-{name}.rules and plug the board in again (Windows: WinUSB driver, by Zadig)",
    ),
    (
        r"unable to claim usb device|ftdi_usb_reset failed|LIBUSB_ERROR_BUSY",
        "the programmer of {name} is in use: close what has its serial port open, or another openFPGALoader",
    ),
    (
        r"\(device not found\)|No DFU compatible device|USB device unavailable",
        "no {name} is attached: no USB device {vid}:{pid} was found; is the board plugged in, with a cable for data?",
    ),
    (r"no device found", "the programmer of {name} answers and its FPGA does not: is the board powered?"),
    (r"cannot find board", "this openFPGALoader does not know the board {loader}: install a newer one"),
)


def flash_command(bitstream, board, loader=(_TOOL,)):
    """The command that programs a board.

    Parameters
    ----------
    bitstream : path-like
        What `build` made; it need not be there.
    board : Board
        One of `boards.BOARDS`.
    loader : sequence of str
        How to call openFPGALoader.

    Returns
    -------
    list of str
        openFPGALoader writes where it does by default for the board: see `Board.volatile`.

    Raises
    ------
    ValueError
        If the file's suffix is not that of the board's bitstreams.
    """
    if Path(bitstream).suffix != board.family.suffix:
        raise ValueError(f"a bitstream for {board.name} must end in {board.family.suffix}, not {str(bitstream)!r}")
    return [*loader, "-b", board.loader, str(bitstream)]


def flash(bitstream, board, dry_run=False):
    """Program a board.

    Parameters
    ----------
    bitstream : path-like
        What `build` made.
    board : Board
        One of `boards.BOARDS`.
    dry_run : bool
        Whether to give the command only. Then neither the bitstream nor the board nor a working openFPGALoader has to
        be there.

    Returns
    -------
    list of str
        The command.

    Raises
    ------
    ValueError
        If the file's suffix is not that of the board's bitstreams.
    FileNotFoundError
        If there is no such bitstream.
    ToolMissing
        If openFPGALoader, or a library that it needs, is not installed.
    ToolFailed
        If the board could not be programmed; the message says why, in one line.
    """
    command = flash_command(bitstream, board)
    if not dry_run and not Path(bitstream).is_file():
        raise FileNotFoundError(
            f"there is no bitstream {str(bitstream)!r}: make it first, with `bitloom build CORE --board {board.name}`"
        )
    try:
        command = flash_command(bitstream, board, tools.find(_TOOL).command)
    except tools.ToolMissing:
        if not dry_run:
            raise
    if dry_run:
        return command
    log = tools.cache_dir("flash") / f"{board.name}.log"
    try:
        tools.run(command, cwd=".", log=log, timeout=_TIMEOUT, name=_TOOL)
    except tools.ToolFailed as error:
        raise tools.ToolFailed(_meaning(_text(log), board) or str(error)) from None
    # When the part does not take the bitstream it says so, and the exit status is 0 all the same.
    if failed := re.search(r"(?m)^.*\bFAIL\b.*$", _text(log)):
        raise tools.ToolFailed(f"programming {board.name} failed: {failed[0].strip()} (log: {log})")
    return command


def _text(log):
    return log.read_text(errors="replace") if log.exists() else ""


def _meaning(text, board):
    """What a failed openFPGALoader meant, or None."""
    for pattern, message in _MEANINGS:
        if match := re.search(pattern, text):
            found = match.groupdict()
            return message.format(
                name=board.name,
                loader=board.loader,
                vid=board.usb[0],
                pid=board.usb[1],
                libraries=tools.TOOLS[_TOOL].libraries,
                detail=(found.get("detail") or found.get("other") or "").strip(),
            )
    return None
