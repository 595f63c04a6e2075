"""Blocks of named primitives: equal to the portable ones, cycle by cycle, in the vendor's simulation models."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from amaranth import Shape, signed, unsigned
from amaranth.sim import Simulator

import bitloom
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.emission.verilog import emit
from bitloom.hdl.primitives import FAMILIES, Guard, guard
from bitloom.hdl.primitives.ecp5 import Ecp5GatedAdder, Ecp5OuterProduct, Ecp5Select
from bitloom.hdl.primitives.ecp5_memory import Ecp5RegisteredMemory
from bitloom.hdl.primitives.gowin import GowinOuterProduct
from bitloom.hdl.primitives.ice40 import Ice40OuterProduct
from bitloom.hdl.primitives.portable import GatedAdder, OuterProduct, RegisteredMemory, Select
from bitloom.tools import finding, running

BENCH = """
module bench;
  localparam WIDTH = {width}, COUNT = {count};
  reg clk = 0, rst = 0, en = 1;
  reg [{a_bits}-1:0] a = 0; reg [{b_bits}-1:0] b = 0;
  wire [WIDTH*COUNT-1:0] generic_p, vendor_p;
  wire [COUNT-1:0] carries;
  reg [WIDTH*COUNT-1:0] sums;
  generic generic_i(.clk(clk), .rst(rst), .en(en), .a(a), .b(b), .products(generic_p));
  vendor vendor_i(.clk(clk), .rst(rst), .en(en), .a(a), .b(b), .products(vendor_p){carries});
  integer cycle, at;
  initial begin
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      #5 for (at = 0; at < COUNT; at = at + 1) sums[WIDTH*at +: WIDTH] = vendor_p[WIDTH*at +: WIDTH] + {carry};
      if (cycle > 8 && generic_p !== sums) begin
        $display("DIFFERENT in cycle %0d: %h, not %h", cycle, sums, generic_p); $finish;
      end
      {operands}
      #5 clk = 1; #5 clk = 0;
    end
    $display("EQUAL"); $finish;
  end
endmodule
"""

MEMORIES = """
module bench;
  reg clk = 0;
  reg [{places}-1:0] place = 0, address = 0, corner;
  reg [{parts}-1:0] en = 0;
  reg [{bits}-1:0] word = 0;
  wire [{bits}-1:0] generic_o, vendor_o;
  reg [2:0] known = 0;
  generic generic_i(.clk(clk), .rst(1'b0), .place(place), .word(word), .en(en), .address(address), .o(generic_o));
  vendor vendor_i(.clk(clk), .rst(1'b0), .place(place), .word(word), .en(en), .address(address), .o(vendor_o));
  integer cycle;
  initial begin
    for (cycle = 0; cycle < 20000; cycle = cycle + 1) begin
      #5 if (known[1] && generic_o !== vendor_o) begin
        $display("DIFFERENT in cycle %0d: %h, not %h", cycle, vendor_o, generic_o); $finish;
      end
      // Places that differ in one bit, and the last ones.
      corner = $random % 4 ? 1 << $random % {places} : {depth} - 1 - $random % 4;
      place = corner % {depth}; word = {{{{4{{$random}}}}}}; en = $random;
      corner = $random % 4 ? 1 << $random % {places} : {depth} - 1 - $random % 4;
      address = corner % {depth};
      known = {{known, !(|en && place == address)}};
      #5 clk = 1; #5 clk = 0;
    end
    $display("EQUAL"); $finish;
  end
endmodule
"""

RANDOM = """a = cycle % 3 ? {$random, $random} : {8{$random}} & {16{8'h80}}; b = {$random, $random};
      en = cycle < 4 || $random % 4 != 0;"""

EVERY = "{a, b} = cycle;"


@pytest.mark.parametrize(
    "shapes, width", [((signed(8), signed(8)), 25), ((signed(8), signed(4)), None), ((unsigned(4), signed(5)), 36)]
)
def test_ecp5_multiplier(shapes, width, tmp_path, icarus, primitives):
    vendor = Ecp5OuterProduct(*shapes, 2, 2, width)
    compare(OuterProduct(*shapes, 2, 2, width), vendor, primitives["ecp5"], tmp_path, icarus)


INT4, INT8, MAGNITUDE = signed(4), signed(8), unsigned(3)


@pytest.mark.parametrize(
    "shapes, size", [((INT8, INT4), (1, 2)), ((INT4, INT8), (2, 1)), ((INT4, INT4), (1, 2)), ((MAGNITUDE,) * 2, (2, 2))]
)
def test_ecp5_products_that_share_a_block(shapes, size, tmp_path, icarus, primitives):
    """All operands."""
    vendor = Ecp5OuterProduct(*shapes, *size)
    assert vendor.packing == size
    assert len(re.findall(r"^  MULT18X18D #", emit(vendor, "vendor"), flags=re.M)) == 1
    compare(OuterProduct(*shapes, *size), vendor, primitives["ecp5"], tmp_path, icarus, every=True)


@pytest.mark.parametrize(
    "shapes, size, width, packing",
    [
        ((INT8, INT4), (2, 5), 25, (1, 2)),
        ((INT4, INT8), (3, 2), 12, (2, 1)),
        ((MAGNITUDE,) * 2, (3, 3), None, (1, 3)),
        ((MAGNITUDE,) * 2, (3, 4), None, (2, 2)),
        ((MAGNITUDE,) * 2, (1, 4), 20, (1, 2)),
        ((signed(2), signed(2)), (3, 2), 6, (3, 2)),
        ((signed(4), unsigned(3)), (2, 2), None, (2, 2)),
        # The halves of a sum with its scale, of the requantizer.
        ((unsigned(16), unsigned(16)), (2, 1), None, (1, 1)),
    ],
)
def test_ecp5_packing(shapes, size, width, packing, tmp_path, icarus, primitives):
    """Arrays that the packing does not divide, widths beside that of a product, and several signs in a block."""
    vendor = Ecp5OuterProduct(*shapes, *size, width)
    assert vendor.packing == packing
    compare(OuterProduct(*shapes, *size, width), vendor, primitives["ecp5"], tmp_path, icarus)


@pytest.mark.parametrize(
    "shapes, cols", [((signed(8), signed(8)), 2), ((signed(4), signed(8)), 1), ((unsigned(8), unsigned(7)), 3)]
)
def test_ice40_multiplier(shapes, cols, tmp_path, icarus, primitives):
    block = primitives["ice40"]
    compare(OuterProduct(*shapes, 1, cols), Ice40OuterProduct(*shapes, 1, cols), block, tmp_path, icarus)


@pytest.mark.parametrize("shapes, width", [((INT8, INT8), None), ((signed(9), unsigned(9)), 20), ((INT4, INT8), 25)])
def test_gowin_multiplier(shapes, width, tmp_path, icarus, primitives):
    vendor = GowinOuterProduct(*shapes, 2, 1, width)
    compare(OuterProduct(*shapes, 2, 1, width), vendor, primitives["gowin"], tmp_path, icarus)


def test_ice40_makes_two_products_a_block():
    verilog = emit(Ice40OuterProduct(signed(8), signed(8), 1, 2), "pair")
    assert len(re.findall(r"^  SB_MAC16 #", verilog, flags=re.M)) == 1


@pytest.mark.parametrize("width, carry", [(1, False), (6, False), (7, False), (1, True), (6, True), (7, True)])
def test_ecp5_gated_adder(width, carry, tmp_path):
    """For all operands: proved."""
    prove(GatedAdder(width, carry), Ecp5GatedAdder(width, carry), tmp_path)


def prove(portable, named, tmp_path):
    """That two combinational components of ECP5 cells are equal, for all inputs; the Verilog of the second one."""
    for name, component in (("gold", portable), ("gate", named)):
        (tmp_path / f"{name}.v").write_text(emit(component, name))
    script = (
        "read_verilog -overwrite +/ecp5/cells_sim.v; read_verilog gold.v gate.v; hierarchy -top gate; proc; flatten; "
        "clean; read_verilog gold.v; proc; miter -equiv -flatten -make_assert gold gate miter; hierarchy -top miter; "
        "opt; tee -o proof sat -verify -prove-asserts miter"
    )
    run = subprocess.run([*finding.find("yosys").command, "-p", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "SAT proof finished - no model found: SUCCESS!" in (tmp_path / "proof").read_text()
    return (tmp_path / "gate.v").read_text()


@pytest.mark.parametrize("width, count", [(1, 2), (3, 4), (8, 8), (2, 16)])
def test_select(width, count):
    dut = Select(width, count)

    async def bench(ctx):
        words = [(5 * at + 3) % (1 << width) for at in range(count)]
        for flip in (0, (1 << width) - 1):
            ctx.set(dut.i, [word ^ flip for word in words])
            for index, word in enumerate(words):
                ctx.set(dut.index, index)
                assert ctx.get(dut.o) == word ^ flip

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("width, count", [(1, 4), (1, 8), (3, 8)])
def test_ecp5_select(width, count, tmp_path):
    """For all inputs: proved."""
    verilog = prove(Select(width, count), Ecp5Select(width, count), tmp_path)
    assert verilog.count(" LUT4 #(") == width * count // 2


@pytest.mark.parametrize(
    "bits, parts, depth, blocks",
    [
        (8, 3, 1024, 2),
        (12, 2, 700, 2),
        (40, 1, 1024, 3),
        (8, 2, 2048, 2),
        (16, 1, 1025, 2),
        (8, 2, 4096, 4),
        (8, 1, 8192, 4),
        (3, 1, 16384, 3),
        (8, 2, 16, 0),
    ],
)
def test_ecp5_memory(bits, parts, depth, blocks, tmp_path, icarus, primitives):
    vendor = emit(Ecp5RegisteredMemory(bits, parts, depth), "vendor")
    assert len(re.findall(r"^  DP16KD #", vendor, flags=re.M)) == blocks
    places = (depth - 1).bit_length()
    bench = MEMORIES.format(bits=bits * parts, parts=parts, depth=depth, places=places)
    generic = emit(RegisteredMemory(bits, parts, depth), "generic")
    simulate([generic, vendor, primitives["ecp5"], bench], tmp_path, icarus)


def test_what_does_not_fit_a_block_is_refused():
    with pytest.raises(ValueError, match="up to 18 bits with sign, not unsigned\\(18\\)"):
        emit(Ecp5OuterProduct(unsigned(18), signed(8)), "wide")
    with pytest.raises(ValueError, match="up to 9 bits, not unsigned\\(10\\)"):
        emit(GowinOuterProduct(signed(8), unsigned(10)), "wide")
    with pytest.raises(ValueError, match="up to 8 bits, not signed\\(9\\)"):
        emit(Ice40OuterProduct(signed(9), signed(8)), "wide")
    with pytest.raises(ValueError, match="cells choose one of 4 or 8 words, not of 16"):
        emit(Ecp5Select(1, 16), "wide")
    with pytest.raises(ValueError, match="depth must be 16384 at most, not 16385"):
        emit(Ecp5RegisteredMemory(1, 1, 16385), "deep")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_has_the_interface_of_the_portable_blocks(family):
    operands = [(INT8, INT8), (INT4, INT8), (INT4, INT4), (MAGNITUDE, MAGNITUDE)]
    for shapes in operands:
        height, width = family.packing(*shapes, 4, 3)
        assert 1 <= height <= 4 and 1 <= width <= 3
        named = family.multiplier(*shapes, height, width)
        own = ports(named)
        carries = own.pop("carries", None)
        assert own == ports(OuterProduct(*shapes, height, width)) and named.latency == OuterProduct.latency
        assert carries or not family.has_carry(*shapes)
    for carry in (False, True):
        assert ports(family.adder(5, carry)) == ports(GatedAdder(5, carry))
    assert ports(family.select(5, 4)) == ports(Select(5, 4))
    assert ports(family.memory(5, 2, 9)) == ports(RegisteredMemory(5, 2, 9))
    assert family.memory.latency == RegisteredMemory.latency


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_says_which_cells_its_blocks_name(family):
    blocks = [family.multiplier(INT8, INT8), family.adder(4), family.select(2, 4), family.select(2, 8)]
    blocks.append(family.memory(8, 1, 1024))
    texts = [emit(block, "block") for block in blocks]
    named = {cell for text in texts for cell in re.findall(r"^  (\w+) #?\(?.*\($", text, flags=re.M)} - {"module"}
    assert named == set(family.cells)
    assert family.portable == (not named)


def test_what_needs_a_guard_is_seen_in_the_text():
    pair = emit(Ice40OuterProduct(INT8, INT8), "pair")
    assert guard(pair) == FAMILIES["ice40"].guard != Guard()
    for text in (emit(Ecp5OuterProduct(INT8, INT8), "one"), emit(GowinOuterProduct(INT8, INT8), "one"), ""):
        assert guard(text) == Guard()


def ports(component):
    """Name of each port to its shape and direction."""
    return dict(unwarned(component).signature.members.items())


def compare(portable, vendor, models, folder, icarus, every=False):
    """Simulate both with random operands and enables, extremes among them, or with every operand."""
    bits = {port: len(getattr(portable, port).as_value()) for port in ("a", "b", "products")}
    assert bits == {port: len(getattr(vendor, port).as_value()) for port in bits}
    assert Shape.cast(portable.products.shape()) == Shape.cast(vendor.products.shape())
    two_parts = hasattr(vendor, "carries")
    bench = BENCH.format(
        a_bits=bits["a"],
        b_bits=bits["b"],
        width=portable.product_shape.width,
        count=portable.rows * portable.cols,
        cycles=(1 << (bits["a"] + bits["b"])) + 12 if every else 5000,
        carries=", .carries(carries)" if two_parts else "",
        carry="carries[at]" if two_parts else "0",
        operands=EVERY if every else RANDOM,
    )
    simulate([emit(portable, "generic"), emit(vendor, "vendor"), models, bench], folder, icarus)


def simulate(sources, folder, icarus):
    """Run a bench, which must say that both are equal."""
    (folder / "bench.v").write_text("\n".join(sources))
    running.run([*icarus, "-g2012", "-o", "bench.vvp", "bench.v"], folder)
    assert running.run(["vvp", "-n", "bench.vvp"], folder).stdout.strip() == "EQUAL"


ROOMS = ("cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools")

#: What is said of a family, once for its hardware and once for its programs.
HOMES = ("hdl/primitives/", "tools/flows.py")


def chosen(text):
    """Lines in which a family is told by its name."""
    for node in ast.walk(ast.parse(text)):
        inside = ast.walk(node) if isinstance(node, ast.Compare | ast.MatchValue) else [node]
        names = {"generic"} if isinstance(node, ast.Compare | ast.MatchValue) else set(FAMILIES) - {"generic"}
        for part in inside:
            if isinstance(part, ast.Constant) and part.value in names:
                yield node.lineno


def test_no_room_but_its_own_asks_for_a_family_by_its_name():
    root = Path(bitloom.__file__).parent
    for path in (path for room in ROOMS for path in (root / room).rglob("*.py")):
        if not path.relative_to(root).as_posix().startswith(HOMES) and re.search(r"\bfamily|target", path.read_text()):
            assert not list(chosen(path.read_text())), path


@pytest.mark.parametrize(
    "line",
    [
        'if config.target == "ecp5": pass',
        'if getattr(config, "target", "generic") != "generic": pass',
        'if config.family.name in ("gowin", "generic"): pass',
        'kind = {"ice40": Ice40}.get(config.target, Plain)',
        "match config.target:\n    case 'generic': pass",
    ],
)
def test_a_choice_by_name_is_seen(line):
    assert list(chosen(line))
