"""Components in a design of a user's own, in Amaranth alone: its simulator, its Verilog, a platform of amaranth-boards.

The design is a systolic tile behind an `ovp-decoder`: packed outlier-victim pairs are decoded, each value is shifted to
an int8, and multiplied by int8 weights. Nothing of the generator is used, but `bitloom.core`.
"""

import re
import subprocess

import linters
import numpy as np
import pytest
from amaranth import Elaboratable, Module
from amaranth.back import verilog
from amaranth.lib import io, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

import bitloom
from bitloom.golden import olive, systolic
from bitloom.hdl.stream.codec import to_integers
from bitloom.tools import finding
from bitloom.tools.environment import shell_setup

ROWS, COLS = 4, 3
DECODER = bitloom.core("ovp-decoder", pairs=ROWS // 2)


def tile(target="generic"):
    """Accumulators of 16 bits, which the long product below leaves."""
    return bitloom.core("systolic-tile", rows=ROWS, cols=COLS, block=2, accumulator=16, target=target)


class PairProduct(wiring.Component):
    """Packed pairs times int8, as a user of both cores writes it."""

    def __init__(self, target="generic"):
        self.tile = tile(target)
        layouts = {"i": DECODER.streams["i"], **{name: self.tile.streams[name] for name in "wo"}}
        flows = {"i": In, "w": In, "o": Out}
        super().__init__({name: flows[name](stream.Signature(layout)) for name, layout in layouts.items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = DECODER.component()
        m.submodules.tile = product = self.tile.component()
        connect(m, flipped(self.i), decoder.i)
        connect(m, flipped(self.w), product.w)
        connect(m, product.o, flipped(self.o))
        m.d.comb += [
            product.a.valid.eq(decoder.o.valid),
            decoder.o.ready.eq(product.a.ready),
            product.a.payload.last.eq(decoder.o.payload.last),
        ]
        for row in range(ROWS):
            value = decoder.o.payload.values[row]
            m.d.comb += product.a.payload.lanes[row].eq(value.integer << value.exponent)
        return m


@pytest.fixture(scope="module")
def vectors():
    """Payloads of three products, of K = 1, 9 and 80, and what their results must be."""
    rng = np.random.default_rng(16)
    given, wanted = {"i": [], "w": []}, []
    for k in (1, 9, 80):
        # Every outlier that int4 pairs have: beyond 96 they saturate.
        codes = olive.encode(rng.normal(0, 30, (k, ROWS)), olive.INT4)
        weights = rng.integers(-128, 128, (k, COLS))
        ends = np.arange(k) == k - 1
        given["i"] += to_integers(DECODER.pack("i", codes=codes, last=ends))
        given["w"] += to_integers(tile().pack("w", lanes=weights, last=ends))
        product, overflow = systolic.matmul(olive.values(codes, olive.INT4).T, weights.T, tile().config)
        ends = np.arange(ROWS) == ROWS - 1
        wanted += to_integers(tile().pack("o", sums=product, overflow=overflow, last=ends))
    assert any(tile().unpack("o", wanted)["overflow"].flat)
    return given, wanted


@pytest.mark.parametrize("target", ["generic", "ice40", "ecp5"])
def test_in_amaranths_simulator(target, vectors):
    (given, wanted), dut = vectors, PairProduct(target)
    taken = []

    def sender(name):
        port = getattr(dut, name)

        async def send(ctx):
            for index, payload in enumerate(given[name]):
                await ctx.tick().repeat(1 + index % 3)
                ctx.set(port.payload.as_value(), payload)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)

        return send

    async def receive(ctx):
        ctx.set(dut.o.ready, 1)
        for _ in wanted:
            (payload,) = await ctx.tick().sample(dut.o.payload.as_value()).until(dut.o.valid)
            taken.append(payload)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for process in (sender("i"), sender("w"), receive):
        sim.add_testbench(process)
    sim.run_until(2e-3)
    assert taken == wanted


@pytest.fixture
def yosys(monkeypatch):
    """What `bitloom doctor --shell` sets: Amaranth finds the Yosys that comes with bitloom."""
    for line in shell_setup():
        name, _, value = line.removeprefix("export ").partition("=")
        if name != "PATH":
            monkeypatch.setenv(name, value.strip("'"))


def bench(given, wanted):
    """A Verilog top that feeds the streams, and prints what comes out."""
    feeds, widths = [], {"i": DECODER.streams["i"].size, "w": tile().streams["w"].size}
    for name, width in widths.items():
        words = ", ".join(f"{width}'h{word:x}" for word in reversed(given[name]))
        count = len(given[name])
        feeds.append(
            f"""
  wire [{width * count - 1}:0] {name}_words = {{{words}}};
  integer {name}_at = 0;
  wire {name}_ready;
  always @(posedge clk) if (!rst && {name}_ready && {name}_at < {count}) {name}_at <= {name}_at + 1;"""
        )
    ports = "".join(
        f"""
    .{name}__payload({name}_words[{width} * {name}_at +: {width}]), .{name}__ready({name}_ready),
    .{name}__valid(!rst && {name}_at < {len(given[name])}),"""
        for name, width in widths.items()
    )
    width = tile().streams["o"].size
    return f"""
module bench;
  reg clk = 0, rst = 1;
  always #5 clk = ~clk;
  initial begin #42 rst = 0; #20000 $finish; end{"".join(feeds)}
  wire [{width - 1}:0] result;
  wire result_valid;
  integer results = 0;
  always @(posedge clk) if (!rst && result_valid) begin
    $display("result %h", result);
    results <= results + 1;
    if (results + 1 == {len(wanted)}) $finish;
  end
  user_design dut (.clk(clk), .rst(rst),{ports}
    .o__payload(result), .o__valid(result_valid), .o__ready(1'b1));
endmodule
"""


def test_as_verilog_of_amaranth(vectors, yosys, icarus, tmp_path):
    text = verilog.convert(PairProduct(), name="user_design", emit_src=False)
    (tmp_path / "user_design.v").write_text(text)
    (tmp_path / "bench.v").write_text(bench(*vectors))
    status, said = linters.run([*icarus, "-g2005", "-o", "a.vvp", "bench.v", "user_design.v"], tmp_path)
    assert status == 0, said
    done = subprocess.run(["vvp", "-n", "a.vvp"], cwd=tmp_path, capture_output=True, text=True)
    found = [int(word, 16) for word in re.findall(r"^result ([0-9a-f]+)$", done.stdout, flags=re.M)]
    assert found == vectors[1]


class OnBoard(Elaboratable):
    """The design on a board: operands from memories, over and over, and a parity of the results on a light."""

    def __init__(self, target):
        self.target = target

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = PairProduct(self.target)
        for name in ("i", "w"):
            port = getattr(product, name)
            words = [0x5A5A, 0x1234, 0xFFFF, 0x8001]
            memory = Memory(shape=len(port.payload.as_value()), depth=len(words), init=words)
            m.submodules[f"{name}_words"] = memory
            read = memory.read_port()
            m.d.comb += [port.payload.as_value().eq(read.data), port.valid.eq(1)]
            with m.If(port.ready):
                m.d.sync += read.addr.eq(read.addr + 1)
        m.d.comb += product.o.ready.eq(1)
        m.submodules.led = led = io.Buffer("o", platform.request("led", 0, dir="-"))
        with m.If(product.o.valid):
            m.d.sync += led.o.eq(product.o.payload.as_value().xor())
        return m


@pytest.mark.parametrize(
    ("board", "target", "multiplier", "library"),
    [
        (ICEBreakerPlatform, "generic", "$mul", "+/ice40/cells_sim.v"),
        (ICEBreakerPlatform, "ice40", "SB_MAC16", "+/ice40/cells_sim.v"),
        (ULX3S_85F_Platform, "ecp5", "MULT18X18D", "+/ecp5/cells_sim.v +/ecp5/cells_bb.v"),
    ],
)
def test_on_a_platform_of_amaranth_boards(board, target, multiplier, library, yosys, tmp_path):
    plan = board().build(OnBoard(target), do_build=False)
    rtlil = plan.files["top.il"]
    (tmp_path / "top.il").write_text(rtlil if isinstance(rtlil, str) else rtlil.decode())
    script = f"read_verilog -lib {library}; read_rtlil top.il; hierarchy -check -top top; "
    script += f"select -assert-min 1 t:{multiplier}; proc; flatten; check -assert"
    status, said = linters.run([*finding.find("yosys").command, "-q", "-p", script], tmp_path)
    assert status == 0, said
    modules = re.findall(r"^module (\S+)$", (tmp_path / "top.il").read_text(), flags=re.M)
    assert {"\\top.product.decoder", "\\top.product.tile"} <= {*modules}
