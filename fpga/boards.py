"""The boards: what each one has, in a few lines, and the Amaranth platform behind it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from .gowin import with_himbaechel

__all__ = ["BOARDS", "Board", "Family", "lookup"]


@dataclass(frozen=True)
class Family:
    """A family of parts.

    Attributes
    ----------
    name : str
        Short name.
    suffix : str
        Of a bitstream's file name.
    note : str
        What has to be said when nextpnr's Fmax is quoted, or nothing.
    """

    name: str
    suffix: str
    note: str = ""


_ICE40 = Family("ice40", ".bin")
_ECP5 = Family("ecp5", ".bit")
_GOWIN = Family(
    "gowin",
    ".fs",
    "nextpnr's Gowin model has delays for LUT4 only: paths through smaller LUTs, block RAM and multipliers are not in "
    "this Fmax (`bitloom synth` works around the LUTs)",
)


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes
    ----------
    name : str
        Name on the command line.
    summary : str
        One line: the part, and what makes the serial port.
    platform : str
        `module:class` of amaranth-boards. Imported when a platform is made, not before.
    family : Family
        Of its part.
    clock_hz : int
        Frequency of the platform's default clock.
    synth_options : str
        Added to Yosys' synthesis command.
    baud : int
        Default rate of the serial port.
    heartbeat, alarm : int
        Numbers of the platform's `led` resources.
    loader : str
        The board's name in `openFPGALoader --list-boards`.
    usb : tuple of str
        USB vendor and product ID, four hexadecimal digits each, of what openFPGALoader talks to.
    volatile : bool
        Whether openFPGALoader loads the part's own memory, until power-off, or writes the flash memory beside it.
    parameters : mapping of str to tuple of str
        Core name to `NAME=VALUE` texts, for cores whose default configuration does not suit the board.
    """

    name: str
    summary: str
    platform: str
    family: Family
    clock_hz: int
    synth_options: str
    baud: int
    heartbeat: int
    alarm: int
    loader: str
    usb: tuple[str, str]
    volatile: bool
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def make_platform(self):
        """A new instance of the Amaranth platform; one builds one design."""
        module, name = self.platform.split(":")
        platform = getattr(importlib.import_module(f"amaranth_boards.{module}"), name)
        return with_himbaechel(platform)() if self.family is _GOWIN else platform()

    def config(self, core):
        """The configuration of a catalogue entry that `build` takes where none is given."""
        return core.config.parse(self.parameters.get(core.name, ()))


#: The boards by name.
BOARDS = {
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            summary="Lattice iCE40 UP5K; FT2232H: channel A programs, channel B is the serial port",
            platform="icebreaker:ICEBreakerPlatform",
            family=_ICE40,
            clock_hz=12_000_000,
            synth_options="-device u -dsp -spram",
            baud=115_200,
            heartbeat=1,  # green
            alarm=0,  # red
            loader="ice40_generic",
            usb=("0403", "6010"),
            volatile=False,
        ),
        Board(
            name="ulx3s-85f",
            summary="Lattice ECP5 LFE5U-85F; FT231X: one channel for programming and the serial port",
            platform="ulx3s:ULX3S_85F_Platform",
            family=_ECP5,
            clock_hz=25_000_000,
            synth_options="",
            baud=115_200,
            heartbeat=0,
            alarm=7,
            loader="ulx3s",
            usb=("0403", "6015"),
            volatile=True,
        ),
        Board(
            name="tang-nano-9k",
            summary="Gowin GW1NR-9C; BL702 as FT2232: channel A programs, channel B is the serial port",
            platform="tang_nano_9k:TangNano9kPlatform",
            family=_GOWIN,
            clock_hz=27_000_000,
            synth_options="-family gw1n",
            baud=115_200,
            heartbeat=0,
            alarm=5,
            loader="tangnano9k",
            usb=("0403", "6010"),
            volatile=True,
        ),
    )
}


def lookup(name):
    """The board of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    try:
        return BOARDS[name]
    except KeyError:
        raise ValueError(f"unknown board {name!r}: there are {', '.join(BOARDS)}") from None
