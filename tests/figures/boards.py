"""What the bitstreams take: minutes each, and kept."""

import itertools
import tempfile

from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream import boards
from bitloom.fpga.bitstream.build import build

from .kept import versions
from .tables import Table

#: Resources of a bitstream, and nextpnr's names for them; a Gowin ALU is a LUT with a carry, an LC has a flip-flop.
RESOURCES = {
    "LC": ("ICESTORM_LC",),
    "LUT": ("TRELLIS_COMB", "LUT4", "ALU"),
    "FF": ("TRELLIS_FF", "DFF"),
    "block RAM": ("ICESTORM_RAM", "DP16KD", "BSRAM"),
    "DSP": ("ICESTORM_DSP", "MULT18X18D", "MULT9X9", "MULT18X18", "MULT36X36"),
}


def bitstreams(names):
    """What the default of every core takes on every board, host link included."""
    with tempfile.TemporaryDirectory() as folder:
        for board, core in itertools.product(boards.BOARDS.values(), map(lookup, names)):
            row = {"core": core.name, "board": board.name, "clock_mhz": board.clock_hz / 1e6}
            row["parameters"] = list(board.parameters.get(core.name, ()))
            if core.name in board.unfit:
                yield row | {"uses": {}, "why": board.unfit[core.name], "fmax_mhz": None, "tools": ""}
                continue
            result = build(core, None, board, folder)
            uses = {
                name: sum(result.utilization.get(kind, (0, 0))[0] for kind in kinds)
                for name, kinds in RESOURCES.items()
                # An iCE40 has no LUT or flip-flop beside its logic cells, and others have no logic cells.
                if name in ("block RAM", "DSP") or (name == "LC") == ("ICESTORM_LC" in result.utilization)
            }
            # The release is the file's.
            others = {name: version for name, version in result.tools.items() if name != "bitloom"}
            found = {"uses": uses, "fmax_mhz": round(result.fmax_mhz, 1), "tools": versions(others)}
            yield row | {"clock_mhz": result.clock_mhz} | found


def cells(row):
    """What is printed of a core on a board."""
    name, uses = f"{row['core']}, {row['board']}", row["uses"]
    if not uses:
        return name, *["-"] * 5, f"  does not fit: {row['why']}"
    clock = f"{row['fmax_mhz']:.0f} ({row['clock_mhz']:g})" + (
        "" if row["fmax_mhz"] >= row["clock_mhz"] else " NOT MET"
    )
    logic = uses.get("LC", uses.get("LUT"))
    return (
        name,
        logic,
        *(uses.get(kind, 0) for kind in ("FF", "block RAM", "DSP")),
        clock,
        "  " + " ".join(row["parameters"]),
    )


BOARDS = Table(
    "boards",
    "bitloom build (estimates)",
    ("core, board", "LUT or LC", "FF", "block RAM", "DSP", "Fmax (needed)", "  parameters"),
    bitstreams,
    cells,
    key=("core", "board"),
    units={"clock_mhz": "MHz", "fmax_mhz": "MHz"},
    estimates=True,
    by_core=True,
    rare=True,
)
