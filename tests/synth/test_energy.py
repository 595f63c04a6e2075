"""The estimate of switching energy, on a netlist small enough to count by hand."""

import numpy as np
import pytest

from bitloom.synth.energy import Netlist, merge, read_cells, slices

LIBRARY = """
library (tiny) { capacitive_load_unit (1, "pf");
  cell (ND2) { pin (A) { direction : input; capacitance : 0.002; } pin (B) { direction : input; capacitance : 0.003; }
    pin (Y) { direction : output; function : "!(A&B)"; } }
  cell (XR2) { pin (A) { direction : input; capacitance : 0.004; } pin (B) { direction : input; capacitance : 0.005; }
    pin (Y) { direction : output; function : "A ^ B"; } }
  cell (DFE) { ff (IQ, IQN) { clocked_on : "CK"; next_state : "(D&E) | (IQ&!E)"; }
    pin (D) { direction : input; capacitance : 0.001; } pin (E) { direction : input; capacitance : 0.007; }
    pin (CK) { direction : input; capacitance : 0.006; }
    pin (Q) { direction : output; function : "IQ"; } pin (QN) { direction : output; function : "IQN"; } }
  cell (DFR) { ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : "R"; }
    pin (D) { direction : input; } pin (R) { direction : input; } pin (CK) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; } }
}
"""

# A counter of two bits: bit 0 toggles always, bit 1 while `up` is high and bit 0 set.
NETLIST = {
    "ports": {
        "clk": {"bits": [2]},
        "up": {"bits": [3]},
        "count": {"bits": [4, 5]},
    },
    "cells": [
        {"type": "DFE", "connections": {"CK": [2], "D": [6], "E": ["1"], "Q": [4], "QN": [6]}},
        {"type": "DFE", "connections": {"CK": [2], "D": [7], "E": [3], "Q": [5]}},
        {"type": "XR2", "connections": {"A": [4], "B": [5], "Y": [7]}},
    ],
}


def test_cells_and_their_functions():
    cells = read_cells(LIBRARY)
    assert sorted(cells) == ["DFE", "ND2", "XR2"]
    assert cells["ND2"].inputs == {"A": 2.0, "B": 3.0}
    assert cells["ND2"].outputs == {"Y": "(M^(A&B))"}
    assert cells["DFE"].clock == "CK" and cells["DFE"].outputs["QN"] == "(M^IQ)"


def test_a_counter_counted_by_hand():
    netlist = Netlist(NETLIST, read_cells(LIBRARY))
    # Two runs: `up` is high in the first one always, in the second one never.
    found = netlist.run([{"up": slices([1, 0], 1)} for _ in range(5)], 2, 2.0, "count")
    assert [merge(bits, 2).tolist() for bits in found.outputs] == [[1, 1], [2, 0], [3, 1], [0, 0], [1, 1]]
    # Toggles of nets times the pins on them, fF: bit 0, ten on the pin A of the XOR; its inverse, ten on a pin D; bit
    # 1, two on the pin B of the XOR; the XOR, on a pin D, whenever one of both bits changes and not both, so three in
    # the first run and five in the second; `up`, one on a pin E.
    total = 10 * 4 + 10 * 1 + 2 * 5 + (3 + 5) * 1 + 1 * 7
    assert found.data == pytest.approx(total * 2.0**2 / 2)
    # Two flip-flops, two toggles in each of five cycles of two runs.
    assert found.clock == pytest.approx(2 * 6 * 2 * 5 * 2 * 2.0**2 / 2)


def test_other_cells_and_loops_are_refused():
    with pytest.raises(ValueError, match="must be of gates and plain flip-flops, not DFR"):
        Netlist({"ports": {}, "cells": [{"type": "DFR", "connections": {}}]}, read_cells(LIBRARY))
    loop = [{"type": "XR2", "connections": {"A": [2], "B": [3], "Y": [3]}}]
    with pytest.raises(ValueError, match="must have no loop of gates"):
        Netlist({"ports": {"i": {"bits": [2]}}, "cells": loop}, read_cells(LIBRARY))


def test_slices_and_back():
    values = np.random.default_rng(1).integers(0, 1 << 20, 77)
    assert merge(slices(values, 20), 77).tolist() == values.tolist()
