"""An estimate of switching energy: a netlist of library cells is simulated without delays, and its toggles are counted.

Every toggle of a net costs half of C V**2, C being the sum of the input pins on it as the Liberty file has them. That
leaves out much: wires, which in a placed design weigh as much as pins or more; glitches, which an unpipelined datapath
has more of than a pipelined one; what is charged inside cells; leakage; the clock's tree. The clock's pins are counted
apart. So the figures are for comparing designs of the same kind with the same stimuli, and no power of a chip.

Many independent runs go side by side: each net is a row of words, with a bit for each run.
"""

from .bits import merge, slices
from .cells import Cell, read_cells, voltage
from .netlist import Netlist, switching
from .simulation import Simulation, Switching
from .streams import Streamed, stream

__all__ = [
    "Cell",
    "Netlist",
    "Simulation",
    "Streamed",
    "Switching",
    "merge",
    "read_cells",
    "slices",
    "stream",
    "switching",
    "voltage",
]
