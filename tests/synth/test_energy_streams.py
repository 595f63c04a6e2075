"""Streams through a netlist: a register for a bit, whose energy can be counted by hand."""

import numpy as np
import pytest

from bitloom.synth.energy import Netlist, read_cells, stream

FLIP_FLOP = """library (one) { capacitive_load_unit (1, "ff");
  cell (DFF) { ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; } pin (D) { direction : input; capacitance : 2; }
    pin (CK) { direction : input; capacitance : 3; } pin (Q) { direction : output; function : "IQ"; } } }
"""


def register(valid):
    """A netlist whose output is its input one cycle ago; `valid` is the net that becomes the output's valid."""
    names = {"rst": 2, "clk": 3, "i__payload": 4, "i__valid": 5, "i__ready": "1", "o__payload": 6, "o__valid": 7}
    ports = {name: {"bits": [net]} for name, net in names.items()} | {"o__ready": {"bits": [8]}}
    cells = [
        {"type": "DFF", "connections": {"CK": [3], "D": [4], "Q": [6]}},
        {"type": "DFF", "connections": {"CK": [3], "D": [valid], "Q": [7]}},
    ]
    return Netlist({"ports": ports, "cells": cells}, read_cells(FLIP_FLOP))


@pytest.mark.parametrize("runs", [1, 3, 64, 65, 200])
def test_a_register(runs):
    sent = np.random.default_rng(runs).integers(0, 2, (runs, 9, 1), np.uint8)
    streamed = stream(register(valid=5), {"i": sent}, {"o": 9}, 2.0, reset="rst")
    assert streamed.failure is None and np.array_equal(streamed.outputs["o"], sent)
    # The last payload comes one cycle behind the last one that was taken.
    assert streamed.cycles == 10
    # Two femtofarads on the payload and on its valid, which rises and falls once; half of C V**2 a toggle.
    toggles = np.count_nonzero(np.diff(sent[:, :, 0].astype(int), axis=1, prepend=0)) + 2 * runs
    assert streamed.switching.data == pytest.approx(toggles * 2 * 2.0**2 / 2)
    assert streamed.switching.clock == pytest.approx(2 * 3 * 2 * 10 * runs * 2.0**2 / 2)


def test_runs_that_do_not_keep_step_are_told():
    sent = np.array([[[1]], [[0]]], np.uint8)
    streamed = stream(register(valid=4), {"i": sent}, {"o": 1}, 2.0, reset="rst")
    assert streamed.failure == "runs do not keep step: o__valid depends on the payloads in cycle 1"
    # Alike ones do.
    assert stream(register(valid=4), {"i": sent[:1]}, {"o": 1}, 2.0, reset="rst").failure is None


def test_results_that_do_not_come_are_told():
    sent = np.ones((2, 3, 1), np.uint8)
    failure = stream(register(valid=5), {"i": sent}, {"o": 5}, 2.0, reset="rst").failure
    assert failure == "the netlist hung: no transfer in 10,000 cycles, 2 results were not there"


def test_streams_of_other_numbers_of_runs_are_refused():
    sent = {"i": np.ones((2, 3, 1), np.uint8), "j": np.ones((3, 3, 1), np.uint8)}
    with pytest.raises(ValueError, match=r"payloads of as many runs, not \[2, 3\]"):
        stream(register(valid=5), sent, {"o": 3}, 2.0, reset="rst")
