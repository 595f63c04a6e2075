"""What the bitstreams take: minutes each, and kept."""

import itertools
import tempfile

from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream import boards
from bitloom.fpga.bitstream.build import build

from .tables import Table

#: nextpnr's names of what a table of boards counts; a Gowin ALU is a LUT with a carry, an iCE40 LC has a flip-flop.
RESOURCES = {
    "LUT or LC": ("ICESTORM_LC", "TRELLIS_COMB", "LUT4", "ALU"),
    "FF": ("TRELLIS_FF", "DFF"),
    "block RAM": ("ICESTORM_RAM", "DP16KD", "BSRAM"),
    "DSP": ("ICESTORM_DSP", "MULT18X18D", "MULT9X9", "MULT18X18"),
}


def bitstreams(names):
    """What the default of every core takes on every board, host link included."""
    with tempfile.TemporaryDirectory() as folder:
        for board, core in itertools.product(boards.BOARDS.values(), map(lookup, names)):
            name = f"{core.name}, {board.name}"
            if core.name in board.unfit:
                yield name, *["-"] * (len(RESOURCES) + 1), f"  does not fit: {board.unfit[core.name]}"
                continue
            result = build(core, None, board, folder)
            used = (sum(result.utilization.get(kind, (0, 0))[0] for kind in kinds) for kinds in RESOURCES.values())
            clock = f"{result.fmax_mhz:.0f} ({result.clock_mhz:g})" + ("" if result.met else " NOT MET")
            yield name, *used, clock, "  " + " ".join(board.parameters.get(core.name, ()))


BOARDS = Table(
    "boards",
    "bitloom build (estimates)",
    ("core, board", *RESOURCES, "Fmax (needed)", "  parameters"),
    bitstreams,
    by_core=True,
    rare=True,
)
