"""A board of one's own: one entry, held against its Amaranth platform; with --build also a bitstream for it.

Run it: python examples/own_board.py [--build]
"""

import sys

from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream.boards import BOARDS, Board
from bitloom.fpga.bitstream.build import bitstream_path, build
from bitloom.fpga.bitstream.flash import flash_command
from bitloom.tools.flows import ICE40

ICESUGAR = Board(
    name="icesugar",
    summary="Lattice iCE40 UP5K; iCELink: programs, and is the serial port",
    platform="icesugar:ICESugarPlatform",  # of amaranth-boards
    flow=ICE40,
    device="up5k",
    clock_hz=12_000_000,
    baud=115_200,
    heartbeat=1,
    alarm=0,
    loader=("openFPGALoader", "-b", "ice40_generic"),
    usb=("1d50", "602b"),
    volatile=False,
    parameters=BOARDS["icebreaker"].parameters,  # the same part, so the same cores fit
    unfit=BOARDS["icebreaker"].unfit,
)


def check(board):
    """What a board's entry must agree with: its platform's clock, serial port and LEDs."""
    platform = board.make_platform()
    assert platform.default_clk_frequency == board.clock_hz
    for name, number in (("uart", 0), ("led", board.heartbeat), ("led", board.alarm)):
        platform.lookup(name, number)


def main(*arguments):
    check(ICESUGAR)
    core = lookup("systolic-tile")
    print(f"{core.name} on {ICESUGAR.name}: {' '.join(ICESUGAR.config(core).assignments())}")
    print(" ".join(flash_command(bitstream_path(core, ICESUGAR), ICESUGAR)))
    if "--build" in arguments:
        result = build(lookup("ovp-decoder"), None, ICESUGAR)
        print(f"wrote {result.bitstream}: {result.fmax_mhz} MHz, the clock is {result.clock_mhz} MHz")
        assert result.met


if __name__ == "__main__":
    main(*sys.argv[1:])
