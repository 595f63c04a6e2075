"""The boards: what each one has, in a few lines, and the Amaranth platform behind it."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amaranth.build import Attrs, Pins, PinsN, Resource, Subsignal

from ...tools.flows import ECP5, GOWIN, ICE40, Flow
from .dfu import without_program
from .gowin import with_himbaechel

__all__ = ["BOARDS", "Board", "lookup"]


# For parts of some thousand LUTs.
_SMALL = {
    "anda-compressor": ("lanes=1", "group=32", "width=8"),
    "anda-decompressor": ("lanes=1", "group=32", "width=8"),
    "anda-buffer": ("lanes=1", "group=32"),
    "anda-tile": ("rows=1", "cols=1", "group=32", "max_mantissa=8", "share=1"),
    "hgq-quantizer": ("coarse=64", "lanes=8"),
    "hgq-dequantizer": ("coarse=64", "adder=5"),
    "hgq-tile": ("rows=1", "cols=1", "coarse=64", "adder=5", "dot=2"),
    "lvc": ("lanes=2", "columns=2", "max_channels=512", "max_rank=16", "multiplier=blocks"),
    "mx-quantizer": ("lanes=8",),
    "mx-tile": ("rows=1", "cols=1", "lanes=4", "adder=5", "dot=2"),
    "requantizer": ("lanes=4", "depth=128"),
}

_UP5K = _SMALL | {
    "systolic-tile": ("rows=4", "cols=4", "accumulator=24", "target=ice40"),
    "gemm": ("rows=4", "cols=4", "accumulator=24", "target=ice40"),
    "nm-tile": ("rows=4", "cols=4", "group=4", "accumulator=24", "target=ice40"),
}

# A board's clock is slow: its tiles are those with fewer registers.
_GW1NR_9 = _SMALL | {
    "systolic-tile": ("rows=4", "cols=4", "accumulator=24", "target=gowin", "pipeline=stalling"),
    "gemm": ("rows=4", "cols=4", "target=gowin", "a_depth=2048", "w_depth=2048", "pipeline=stalling"),
    "nm-tile": ("rows=4", "cols=4", "group=4", "accumulator=24", "target=gowin", "pipeline=stalling"),
}

# Of what would fit, what is placed and routed in minutes.
_ECP5_85F = {
    "systolic-tile": ("accumulator=24", "target=ecp5", "pipeline=stalling"),
    "gemm": ("target=ecp5", "a_depth=2048", "w_depth=2048", "pipeline=stalling"),
    "nm-tile": ("accumulator=24", "target=ecp5", "pipeline=stalling"),
    "anda-compressor": ("lanes=2",),
    "anda-decompressor": ("lanes=2",),
    "anda-buffer": ("lanes=2",),
    "anda-tile": ("rows=2", "cols=2", "share=2", "adder=4"),
    "hgq-dequantizer": ("adder=5",),
    "hgq-tile": ("rows=2", "cols=2", "adder=5", "dot=2"),
    "mx-tile": ("rows=2", "cols=2", "lanes=4", "adder=5", "dot=2"),
    "lvc": ("lanes=4", "columns=2", "max_channels=512", "multiplier=blocks"),
    "sevedo-core": (
        "rows=2",
        "cols=2",
        "adder=5",
        "dot=2",
        "lanes=4",
        "columns=2",
        "multiplier=blocks",
        "max_channels=512",
        "max_outputs=512",
    ),
    "machine": ("target=ecp5",),
    "requantizer": ("target=ecp5",),
}

# Sizes of all-MiniLM-L6-v2. 3 Mbaud divide 45 MHz, half of what the machine alone reaches; the whole board was never
# placed to the end.
_MINILM = (
    "lanes=8",
    "tokens=64",
    "channels=384",
    "hidden=1536",
    "panels=4096",
    "jobs=512",
    "address_bits=22",
    "id_bits=16",
    "entries=16",
    "memory=sdram",
    "delay=1",
    "clock=45",
    "target=ecp5",
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
        `module:class` of amaranth-boards, or with a dot in front of a module beside this one. Imported when a platform
        is made, not before.
    flow : Flow
        The programs of its part's family.
    device : str
        What nextpnr calls the part, a key of `flow.devices`.
    clock_hz : int
        Frequency of the platform's default clock.
    baud : int
        Default rate of the serial port.
    heartbeat, alarm : int
        Numbers of the platform's `led` resources.
    loader : tuple of str
        The program that loads a bitstream, `openFPGALoader` or `dfu-util`, and its arguments before the file's name.
    usb : tuple of str
        USB vendor and product ID, four hexadecimal digits each, of what the loader talks to.
    volatile : bool
        Whether the loader loads the part's own memory, until power-off, or writes the flash memory beside it.
    attach : str
        What else must be done for the loader to find the board, or nothing.
    pll_pad : bool
        Whether the oscillator is at the pad of the part's PLL, where the PLL takes it from the pin itself (iCE40).
    adapt : callable or None
        Takes the platform's class and `device`, and gives a class that calls the programs of `flow`, where Amaranth's
        calls others.
    sdram : bool
        Whether the platform has a resource `sdram` whose chip is one of `hdl.memory_port.sdram.timing.ULX3S`.
    fast : mapping of str to int
        Core name to the rate of the serial port, for cores that need another default than `baud`.
    resources : tuple of Resource
        What the platform lacks of `uart` 0 and the two `led`.
    parameters : mapping of str to tuple of str
        Core name to `NAME=VALUE` texts, for cores whose default configuration does not suit the board.
    unfit : mapping of str to str
        Core name to one line, for cores of which nothing that is of use fits.
    """

    name: str
    summary: str
    platform: str
    flow: Flow
    device: str
    clock_hz: int
    baud: int
    heartbeat: int
    alarm: int
    loader: tuple[str, ...]
    usb: tuple[str, str]
    volatile: bool
    attach: str = ""
    pll_pad: bool = False
    sdram: bool = False
    fast: Mapping[str, int] = field(default_factory=dict, hash=False)
    adapt: Callable | None = None
    resources: tuple[Resource, ...] = field(default=(), hash=False)
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unfit: Mapping[str, str] = field(default_factory=dict, hash=False)

    def make_platform(self):
        """A new instance of the Amaranth platform; one builds one design."""
        module, name = self.platform.split(":")
        module = module if module.startswith(".") else f"amaranth_boards.{module}"
        platform = getattr(importlib.import_module(module, __package__), name)
        if self.adapt:
            platform = self.adapt(platform, self.device)
        if self.dfu:
            platform = without_program(platform)
        made = platform()
        made.add_resources(self.resources)
        return made

    @property
    def synth_options(self):
        """What is added to Yosys' synthesis command."""
        return self.flow.devices[self.device]

    @property
    def dfu(self):
        """Whether a bootloader on the board takes the bitstream, by USB DFU."""
        return self.loader[0] == "dfu-util"

    def config(self, core):
        """The configuration of a catalogue entry that `build` takes where none is given.

        Raises
        ------
        ValueError
            For a core of which nothing fits; the message says why.
        """
        if core.name in self.unfit:
            raise ValueError(
                f"{core.name} does not fit {self.name}: {self.unfit[core.name]}; -p NAME=VALUE builds it nevertheless"
            )
        return core.config.parse(self.parameters.get(core.name, ()))

    def rate(self, core):
        """Default rate of the serial port with a catalogue entry."""
        return self.fast.get(core.name, self.baud)


#: The boards by name.
BOARDS = {
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            summary="Lattice iCE40 UP5K; FT2232H: channel A programs, channel B is the serial port",
            platform="icebreaker:ICEBreakerPlatform",
            flow=ICE40,
            device="up5k",
            clock_hz=12_000_000,
            baud=115_200,
            heartbeat=1,  # green
            alarm=0,  # red
            loader=("openFPGALoader", "-b", "ice40_generic"),
            usb=("0403", "6010"),
            volatile=False,
            pll_pad=True,
            parameters=_UP5K,
            unfit={
                "machine": "the smallest array, 4 x 4 of operands with 9 bits, takes 16 DSP blocks of 8",
                "sevedo-core": "a 1 x 1 tile beside 2 lanes by 2 columns takes 6,426 LUT4 of 5,280 and 11 DSP blocks "
                "of 8, host link included",
            },
        ),
        Board(
            name="ulx3s-85f",
            summary="Lattice ECP5 LFE5U-85F; FT231X: one channel for programming and the serial port",
            platform="ulx3s:ULX3S_85F_Platform",
            flow=ECP5,
            device="85k",
            clock_hz=25_000_000,
            baud=115_200,
            heartbeat=0,
            alarm=7,
            loader=("openFPGALoader", "-b", "ulx3s"),
            usb=("0403", "6015"),
            volatile=True,
            sdram=True,
            fast={"machine": 3_000_000},
            parameters=_ECP5_85F | {"machine": _MINILM},
        ),
        Board(
            name="orangecrab-85f",
            summary="Lattice ECP5 LFE5U-85F, r0.2; programs over USB; serial port on pins 0 (in) and 1 (out)",
            platform="orangecrab_r0_2:OrangeCrabR0_2_85FPlatform",
            flow=ECP5,
            device="85k",
            clock_hz=48_000_000,
            baud=115_200,
            heartbeat=0,
            alarm=1,
            loader=("dfu-util", "-d", "1209:5af0", "-a", "0", "-D"),
            usb=("1209", "5af0"),
            volatile=False,
            parameters=_ECP5_85F,
            attach="in its bootloader (hold the button while you plug it in)",
            resources=(
                # The first two pins of the feather header, as the board's own examples have them.
                Resource(
                    "uart",
                    0,
                    Subsignal("rx", Pins("0", dir="i", conn=("io", 0))),
                    Subsignal("tx", Pins("1", dir="o", conn=("io", 0))),
                    Attrs(IO_TYPE="LVCMOS33"),
                ),
                # Two colours of the RGB LED.
                Resource("led", 0, PinsN("M3", dir="o"), Attrs(IO_TYPE="LVCMOS33")),  # green
                Resource("led", 1, PinsN("K4", dir="o"), Attrs(IO_TYPE="LVCMOS33")),  # red
            ),
        ),
        Board(
            name="tang-nano-9k",
            summary="Gowin GW1NR-9C; BL702 as FT2232: channel A programs, channel B is the serial port",
            platform="tang_nano_9k:TangNano9kPlatform",
            flow=GOWIN,
            device="GW1N-9C",
            clock_hz=27_000_000,
            baud=115_200,
            heartbeat=0,
            alarm=5,
            loader=("openFPGALoader", "-b", "tangnano9k"),
            usb=("0403", "6010"),
            volatile=True,
            adapt=with_himbaechel,
            parameters=_GW1NR_9,
            unfit={
                "machine": "the smallest one takes 11,112 LUT4 of 8,640 and 8,270 flip-flops of 6,480, host link not "
                "included",
                "sevedo-core": "a 1 x 1 tile beside 2 lanes by 2 columns, rank 4 at most, takes 7,889 of 8,640 LUT4 "
                "and ALU, host link included, and nextpnr does not end with it",
            },
        ),
        Board(
            name="tang-nano-20k",
            summary="Gowin GW2AR-18C; BL616 as FT2232: channel A programs, channel B is the serial port",
            platform=".tang_nano_20k:TangNano20kPlatform",
            flow=GOWIN,
            device="GW2A-18C",
            clock_hz=27_000_000,
            baud=115_200,
            heartbeat=0,
            alarm=5,
            loader=("openFPGALoader", "-b", "tangnano20k"),
            usb=("0403", "6010"),
            volatile=True,
            adapt=with_himbaechel,
            parameters=_GW1NR_9 | {"machine": ("target=gowin",)},
            unfit={
                "sevedo-core": "a 1 x 1 tile beside 2 lanes by 2 columns, rank 4 at most, takes 11,368 of 20,736 LUT4 "
                "and ALU, host link included, and nextpnr had not placed it after 16 minutes"
            },
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
