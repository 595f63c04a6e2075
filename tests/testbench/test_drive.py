"""The fast driver on a small design written by hand, one that also hangs or goes on on request."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from bitloom.cores.generate import Design, Port
from bitloom.testbench import drive as driver
from bitloom.testbench.drive import drive

# Sums of two streams and a constant, the first one shifted beyond 64 bits. Mode 1 hangs after five of them, mode 2
# never takes the last one back. `unset` is never reset.
VERILOG = """
module box(
  input clk, input rst, input [1:0] mode, input [11:0] bias,
  input [11:0] a__payload, input a__valid, output a__ready,
  input [7:0] b__payload, input b__valid, output b__ready,
  output [69:0] o__payload, output o__valid, input o__ready,
  output [8:0] count, output [15:0] unset
);
  reg valid; reg [69:0] payload; reg [8:0] taken; reg [15:0] never;
  wire go = a__valid & b__valid & (~valid | o__ready) & ~(mode == 1 & taken == 5);
  assign a__ready = go, b__ready = go;
  assign o__payload = payload, o__valid = valid, count = taken, unset = never;
  always @(posedge clk) begin
    if (go) begin
      valid <= 1; payload <= {a__payload, 46'd0, a__payload + {4'd0, b__payload} + bias}; taken <= taken + 1;
    end else if (o__ready & mode != 2) valid <= 0;
    if (rst) begin valid <= 0; taken <= 0; end
  end
endmodule
"""


def stream(name, bits, direction):
    """Ports of a stream."""
    back = "input" if direction == "output" else "output"
    widths = {"payload": (direction, bits), "valid": (direction, 1), "ready": (back, 1)}
    return [Port(f"{name}__{part}", *port) for part, port in widths.items()]


PORTS = (
    *(Port(name, "input", bits) for name, bits in (("clk", 1), ("rst", 1), ("mode", 2), ("bias", 12))),
    *stream("a", 12, "input"),
    *stream("b", 8, "input"),
    *stream("o", 70, "output"),
    *(Port(name, "output", bits) for name, bits in (("count", 9), ("unset", 16))),
)
BOX = Design("box", "box", VERILOG, PORTS, "clk", "rst", False, {})
BIAS = 77


def numbers(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << 12, count), rng.integers(0, 1 << 8, count)


def payloads(values, size):
    return np.array([list(int(value).to_bytes(size, "little")) for value in values], np.uint8).reshape(-1, size)


def run(a, b, mode=0, expected=None, **options):
    return drive(
        BOX,
        {"a": payloads(a, 2), "b": payloads(b, 1)},
        {"o": len(a) if expected is None else expected},
        constants={"bias": BIAS, "mode": mode},
        **options,
    )


def sums(driven):
    return [int.from_bytes(payload.tobytes(), "little") for payload in driven.outputs["o"]]


def expected(a, b):
    return [(int(x) << 58) | ((int(x) + int(y) + BIAS) % (1 << 12)) for x, y in zip(a, b, strict=True)]


def test_what_goes_in_comes_out_in_as_many_cycles():
    a, b = numbers(300)
    seen = []
    driven = run(a, b, progress=lambda done, total: seen.append((done, total)))
    assert sums(driven) == expected(a, b)
    assert driven.failure is None
    assert driven.transfers == {"a": 300, "b": 300, "o": 300}
    assert driven.first == {"a": 0, "b": 0, "o": 1}
    assert driven.last == {"a": 299, "b": 299, "o": 300}
    assert driven.cycles == 301
    assert driven.status["count"] == 300
    assert driven.seconds > 0
    assert seen[-1] == (300, 300)


@pytest.mark.parametrize("stall_in, stall_out", [(50, 0), (0, 50), (30, 70), (99, 99)])
def test_nothing_is_lost_under_stalls(stall_in, stall_out):
    a, b = numbers(100, seed=1)
    cycles = set()
    for seed in range(3):
        driven = run(a, b, stall_in=stall_in, stall_out=stall_out, seed=seed)
        assert (sums(driven), driven.failure) == (expected(a, b), None)
        assert driven.status["count"] == 100
        assert driven.cycles > 130
        assert run(a, b, stall_in=stall_in, stall_out=stall_out, seed=seed).cycles == driven.cycles
        cycles.add(driven.cycles)
    assert len(cycles) == 3


def test_registers_hold_anything_before_reset():
    a, b = numbers(3)
    found = [run(a, b, seed=seed) for seed in range(4)]
    assert all(sums(driven) == expected(a, b) and driven.status["count"] == 3 for driven in found)
    assert len({driven.status["unset"] for driven in found}) == 4


def test_nothing_to_do_is_no_failure():
    driven = run([], [])
    assert (driven.failure, driven.cycles, driven.outputs["o"].shape) == (None, 0, (0, 9))
    assert driven.first == driven.last == {"a": None, "b": None, "o": None}


def test_a_design_that_hangs_is_told_apart():
    a, b = numbers(8)
    driven = run(a, b, mode=1, patience=200)
    message = "the design hung: no transfer in 200 cycles, after a 5 of 8, b 5 of 8, o 5 of 8"
    assert driven.failure == message
    assert sums(driven) == expected(a, b)[:5]
    assert "o 8 of 9" in run(a, b, expected=9, patience=200).failure


def test_a_design_that_gives_too_much_is_told_apart():
    a, b = numbers(8)
    message = "the design gave a payload after the last one expected"
    assert run(a, b, mode=2).failure == message
    assert run(a, b, expected=7).failure == message


GOOD = {"a": np.zeros((2, 2), np.uint8), "b": np.zeros((2, 1), np.uint8)}


@pytest.mark.parametrize(
    "inputs, outputs, options, message",
    [
        ({"a": GOOD["a"]}, {"o": 2}, {}, "input streams of box are a, b, not a"),
        (GOOD, {}, {}, "output streams of box are o, not none"),
        (GOOD, {"o": 2}, {"constants": {"gain": 1}}, "constant inputs of box are bias, mode, not bias, gain, mode"),
        (GOOD, {"o": 2}, {"constants": {"mode": 4}}, "mode must be 0 to 3, not 4"),
        (GOOD, {"o": -1}, {}, "number of payloads of o must be 0 or more, not -1"),
        (GOOD, {"o": 2}, {"stall_in": 100}, "stall_in must be 0 to 99, not 100"),
        (GOOD, {"o": 2}, {"seed": -1}, "seed must be 0 to 18446744073709551615, not -1"),
        (GOOD, {"o": 2}, {"patience": 0}, "patience must be 1 or more, not 0"),
        (GOOD | {"b": np.zeros((2, 2), np.uint8)}, {"o": 2}, {}, "payloads of b must be uint8 of shape (N, 1), not"),
        (GOOD | {"b": np.zeros((2, 1))}, {"o": 2}, {}, "not float64 of shape (2, 1)"),
        (GOOD | {"a": np.array([[9, 15], [0, 16]], np.uint8)}, {"o": 2}, {}, "payload 1 of a must have 12 bits"),
    ],
)
def test_wrong_requests_are_refused(inputs, outputs, options, message):
    with pytest.raises(ValueError) as caught:
        drive(BOX, inputs, outputs, **options)
    assert message in str(caught.value)


# Gives words of a memory outside by their address; a request with its highest bit writes its lower bits there first.
SHELF_VERILOG = """
module shelf(
  input clk, input rst, input [8:0] i__payload, input i__valid, output i__ready,
  output [10:0] o__payload, output o__valid, input o__ready,
  output [2:0] cells__address, output cells__write, output [10:0] cells__write_data, input [10:0] cells__read_data
);
  reg busy, ready;
  assign i__ready = ~busy;
  assign cells__address = i__payload[2:0], cells__write = i__valid & ~busy & i__payload[8];
  assign cells__write_data = {i__payload, 2'b01};
  reg [10:0] kept; reg fresh;
  assign o__payload = fresh ? cells__read_data : kept, o__valid = busy;
  always @(posedge clk) begin
    fresh <= i__valid & ~busy;
    if (fresh) kept <= cells__read_data;
    if (i__valid & ~busy) busy <= 1; else if (o__ready) busy <= 0;
    if (rst) busy <= 0;
  end
endmodule
"""
CELLS = (
    *(Port(f"cells__{name}", "output", bits) for name, bits in (("address", 3), ("write", 1), ("write_data", 11))),
    Port("cells__read_data", "input", 11),
)
CLOCKING = tuple(Port(name, "input", 1) for name in ("clk", "rst"))
SHELF_PORTS = (*CLOCKING, *stream("i", 9, "input"), *stream("o", 11, "output"), *CELLS)
SHELF = Design("shelf", "shelf", SHELF_VERILOG, SHELF_PORTS, "clk", "rst", False, {})


@pytest.mark.parametrize("stall", [0, 60])
def test_a_memory_outside_has_an_image_and_is_written(stall):
    asked, image = [1, 256 + 2, 2, 7, 256 + 7, 7, 0], [1500, 3, 1029, 77]
    driven = drive(
        SHELF,
        {"i": payloads(asked, 2)},
        {"o": len(asked)},
        memories={"cells": payloads(image, 2)},
        stall_in=stall,
        stall_out=stall,
    )
    # A word that is written gives what was there before.
    assert sums(driven) == [3, 1029, (258 << 2) + 1, 0, 0, (263 << 2) + 1, 1500]
    assert driven.failure is None and driven.status == {}


def test_a_memory_without_an_image_is_zero():
    assert sums(drive(SHELF, {"i": payloads([3], 2)}, {"o": 1})) == [0]


@pytest.mark.parametrize(
    "memories, message",
    [
        ({"cell": np.zeros((1, 2), np.uint8)}, "memories of shelf are cells, not cell, cells"),
        ({"cells": np.zeros((9, 2), np.uint8)}, "cells must have at most 8 words, not 9"),
        ({"cells": np.zeros((1, 1), np.uint8)}, "cells must be uint8 of shape (N, 2), not"),
        ({"cells": np.array([[0, 8]], np.uint8)}, "cells must have 11 bits"),
    ],
)
def test_wrong_images_are_refused(memories, message):
    with pytest.raises(ValueError) as caught:
        drive(SHELF, {"i": payloads([3], 2)}, {"o": 1}, memories=memories)
    assert message in str(caught.value)


def test_a_design_without_streams_is_refused():
    wires = Design("wires", "wires", "", (Port("i_tdata", "input", 8),), "clk", "rst", False, {})
    with pytest.raises(ValueError, match=r"wires must have streams of payload, valid and ready; its ports are i_tdata"):
        driver.build(wires)


def test_the_driver_is_in_the_package():
    root = Path(__file__).parents[2]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    programs = {
        str(path.relative_to(root)) for path in root.glob("*/**/*.cpp") if path.parts[len(root.parts)] != ".venv"
    }
    assert programs == {"testbench/drive.cpp", "fpga/session/twin.cpp"}
    assert listed["bitloom.testbench"] == listed["bitloom.fpga.session"] == ["*.cpp"]
