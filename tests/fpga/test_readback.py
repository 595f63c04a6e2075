"""Bitstreams read back: what a packed file holds, simulated through its pins."""

import hashlib
import json
import random
import re
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream import boards, ice40_loop, ice40_netlist, readback
from bitloom.fpga.bitstream import build as bitstreams
from bitloom.fpga.session import held_core, selftest, twin
from bitloom.fpga.session.host import Link, LinkError, open_port
from bitloom.hdl.primitives import guard
from bitloom.tools import finding, running

ICEBREAKER = boards.lookup("icebreaker")
BAUD = 3_000_000  # as few cycles a bit as there can be

# What icebox_vlog prints, cut short: a registered output pin, and a DSP block of which one result is used.
LISTING = """
// Reading file 'top.asc'..

module bitstream (input clk, output tx);

wire clk;
// (1, 0, 'io_0/D_IN_0')
// (0, 7, 'lutff_global/clk')
wire n1;
// (0, 6, 'lutff_2/in_1')
// (1, 1, 'lutff_0/out')
reg tx = 0;
// (1, 1, 'lutff_1/out')
wire n2;
// (0, 7, 'mult/O_17')
// (1, 1, 'lutff_1/in_0')
wire n3;

assign n3 = /* LUT    1  1  1 */ !n2;
assign n1 = /* LUT    1  1  0 */ 1'b1;
/* DSP0    0  5 */ assign dsp0_0_5_clk = clk;
/* FF  1  1  1 */ always @(posedge clk) if (1'b1) tx <= 1'b0 ? 1'b0 : n3;

endmodule

"""


def tile(kind, x, y, *cbits, negative=False):
    rows = [["0"] * 54 for _ in range(16)]
    rows[0][0] = "01"[negative]
    for index in cbits:
        rows[index ^ 1][7] = "1"
    return f".{kind}_tile {x} {y}\n" + "".join("".join(row) + "\n" for row in rows)


def dsp(x, y, *config, negative=False):
    """A DSP block with these configuration bits, the lowest one numbered 0."""
    cbits = [[index % 8 for index in config if index // 8 == up] for up in range(4)]
    return "\n".join(tile(f"dsp{up}", x, y + up, *cbits[up], negative=negative and up == 2) for up in range(4))


def test_a_netlist_of_a_listing():
    found = ice40_netlist.netlist(LISTING, dsp(0, 5, 1, 9, 24, negative=True))
    assert found.counts == {"LUTs": 1, "carries": 0, "flip-flops": 1, "block RAMs": 0, "DSPs": 1}
    text = found.verilog[found.verilog.index("module bitstream") :]
    assert text.startswith("module bitstream (input clk, output reg tx = 0);\nwire n1;\nwire n2;\nwire n3;\n")
    parameters, ports = re.search(r"SB_MAC16 #\((.*)\) dsp_0_5_block \((.*?)\);", text, flags=re.S).groups()
    given = {name for name in parameters.split(", ") if not name.endswith("(0)")}
    assert given == {".NEG_TRIGGER(1)", ".A_REG(1)", ".TOPOUTPUT_SELECT(2)", ".B_SIGNED(1)"}
    # Bit 10 of B comes in at in_1 of the second tile.
    assert f".B({{{', '.join(['1' + chr(39) + 'b0'] * 5 + ['n1'] + ['1' + chr(39) + 'b0'] * 10)}}})" in ports
    for port in (".CLK(clk)", ".CE(1'b1)", ".OLOADTOP(1'b0)", ".O(dsp_0_5)"):
        assert port in ports
    assert "assign n2 = dsp_0_5[17];" in text and "dsp0_0_5_clk" not in text


def test_the_dsp_block_whose_bits_lie_elsewhere():
    listing = LISTING.replace("(0, 7, ", "(0, 17, ").replace("(0, 6, ", "(0, 16, ")
    # Its own places of bits 9 to 13 mean nothing; 3 to 7 of the tile above it are those.
    unpacked = dsp(0, 15, 10, 11) + "\n" + tile("ipcon", 0, 19, 3, 6)
    text = ice40_netlist.netlist(listing, unpacked).verilog
    parameters = re.search(r"SB_MAC16 #\((.*)\) dsp_0_15_block", text)[1]
    given = {name for name in parameters.split(", ") if not name.endswith("(0)")}
    assert given == {".TOPOUTPUT_SELECT(2)", ".TOPADDSUB_UPPERINPUT(1)"}


@pytest.mark.parametrize(
    ("listing", "config", "message"),
    [
        (LISTING, (17, 18), r"^its DSP at \(0, 5\) is chained to another one$"),
        (LISTING, (21,), r"^its DSP at \(0, 5\) is chained to another one$"),
        (LISTING.replace("endmodule", "SB_PLL40_CORE #(\n) p ();\nendmodule"), (), "^it uses SB_PLL40_CORE$"),
        (LISTING.replace("// (1, 1, 'lutff_0/out')\n", ""), (), "^it reads a block that is no LUT, .*: SPRAM, "),
    ],
)
def test_what_cannot_be_read_back_is_told(listing, config, message):
    with pytest.raises(ValueError, match=message):
        ice40_netlist.netlist(listing, dsp(0, 5, *config))


# What icebox_vlog prints of a PLL, with fewer ports.
PLL = """
SB_PLL40_PAD #(
  .FEEDBACK_PATH("SIMPLE"),
  .PLLOUT_SELECT("GENCLK"),
  .DIVR(4'b0001),
  .DIVF(7'b0111111),
  .DIVQ(3'b101),
  .FILTER_RANGE(3'b001)
) PLL_12_31 (
  .PACKAGEPIN(n8),
  .PLLOUTGLOBAL(n5),
  .LOCK(n6),
  .BYPASS(1'b0),
  .RESETB(n7)
);
"""


def test_a_pll_of_a_listing():
    body, loop = ice40_loop.with_model(f"wire n5;\n{PLL}wire n9;\n", "clk")
    assert loop == ice40_loop.Loop(Fraction(64, 2 << 5), frozenset({"n5", "n6"}))
    assert "SB_PLL40" not in body and "assign n5 = clk;" in body and "assign n6 = &pll_cycles;" in body
    assert "if (1'b0 || !n7) pll_cycles <= 0;" in body and body.startswith("wire n5;") and body.endswith("wire n9;\n")
    assert ice40_loop.with_model(LISTING, "clk") == (LISTING, None)


@pytest.mark.parametrize("other", [("SIMPLE", "DELAY"), ("GENCLK", "GENCLK_HALF"), ("40_PAD", "40_CORE")])
def test_a_pll_with_other_settings_is_told(other):
    listing = LISTING.replace("endmodule", PLL.replace(*other) + "endmodule")
    with pytest.raises(ValueError, match=r"^it uses SB_PLL40_(PAD|CORE)$"):
        ice40_netlist.netlist(listing, dsp(0, 5))


def test_a_clock_that_is_not_what_the_description_says_is_told(tmp_path, monkeypatch):
    listing = LISTING.replace("endmodule", PLL + "endmodule")
    monkeypatch.setattr(readback, "_ice40", lambda *given: ice40_netlist.netlist(listing, dsp(0, 5)))
    with pytest.raises(ValueError, match=r"cannot be read back: its clock is 12000000 Hz, .* says 24000000 Hz$"):
        readback.read_back(described(tmp_path, clock_mhz=24.0))
    back = readback.read_back(described(tmp_path, clock_mhz=12.0))
    assert "1 DSPs, a PLL that makes 12000000 Hz of 12000000 Hz; not covered" in back.summary


def described(folder, board=ICEBREAKER, content=b"bits", **changes):
    bitstream = folder / f"x{board.flow.suffix}"
    bitstream.write_bytes(content)
    told = {"board": board.name, "baud": 115_200, "clock_mhz": board.clock_hz / 1e6, "identity": {}}
    told["sha256"] = hashlib.sha256(content).hexdigest()
    bitstream.with_suffix(".json").write_text(json.dumps(told | changes))
    return bitstream


@pytest.fixture
def bitloom(tmp_path, monkeypatch, capsys):
    """The command line in this process, in a folder of its own; what it prints, and what it says of an error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)

    def run(*words, status=0):
        monkeypatch.setattr(sys, "argv", ["bitloom", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        found = capsys.readouterr()
        assert ended.value.code == status, f"{words}: {ended.value.code} {found}"
        return found

    return run


def test_a_bitstream_is_told_from_a_port():
    assert all(map(readback.is_bitstream, ("build/x.bin", "x.bit", "/tmp/x.fs")))
    assert not any(map(readback.is_bitstream, ("/dev/ttyUSB0", "COM3", "twin", "rtl")))


def test_every_family_is_read_back_or_says_why_not(tmp_path):
    for board in boards.BOARDS.values():
        if board.flow.family != "ice40":
            with pytest.raises(ValueError, match=rf"x\{board.flow.suffix}' is for .*, and cannot be read back: \w+"):
                readback.read_back(described(tmp_path, board))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, r"there is no bitstream '.*x\.bin': make it first, with `bitloom build`"),
        (lambda folder: described(folder).write_bytes(b"other"), r"x\.bin' is not what x\.json describes: build it"),
        (lambda folder: described(folder, identity=None).with_suffix(".json").unlink(), r"does not describe x\.bin"),
        (lambda folder: described(folder, board=boards.lookup("ulx3s-85f")).rename(folder / "x.bin"), "is for ecp5"),
    ],
)
def test_a_bitstream_that_cannot_be_tested_is_one_line(prepare, message, bitloom, tmp_path):
    prepare(tmp_path)
    np.save(tmp_path / "a.npy", np.zeros((1, 2), np.uint8))
    for command in (["selftest"], ["run", "ovp-decoder", "--in", "a.npy", "-o", "y.npy"]):
        output, error = bitloom(*command, "--on", "x.bin", status=2)
        assert output == "" and error.startswith("bitloom: ") and error.count("\n") == 1 and re.search(message, error)
    assert not (tmp_path / "y.npy").exists()


def test_a_missing_tool_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(finding.ToolMissing, match=r"^icebox_vlog .*; install it with: apt install fpga-icestorm$"):
        readback.read_back(described(tmp_path))


def test_garbage_is_refused_by_the_tool(tmp_path, icestorm):
    with pytest.raises(running.ToolFailed, match=r"^iceunpack failed with status \d"):
        readback.read_back(described(tmp_path, content=b"no bitstream"))


# The block of `hdl.primitives.ice40` for two products of 8 x 8 bits.
BLOCK = """
module top(input clk, en, input [15:0] a, b, output [31:0] o);
  SB_MAC16 #(.A_REG(1'b1), .TOP_8x8_MULT_REG(1'b1), .TOPOUTPUT_SELECT(2'd2), .BOTOUTPUT_SELECT(2'd2), .MODE_8x8(1'b1))
    block(.CLK(clk), .CE(en), .A(a), .B(b), .C(16'd0), .D(16'd0), .O(o));
endmodule
"""


def test_synthesis_leaves_a_named_dsp_block_as_it_is(tmp_path):
    class Platform:
        def prepare(self, design, name, *, synth_opts, script_after_read, script_after_synth, **options):
            script = ["read_verilog top.v", script_after_read, f"synth_ice40 {synth_opts} -top top"]
            return "\n".join([*script, script_after_synth, "write_json top.json"])

    board = SimpleNamespace(make_platform=Platform, synth_options=ICEBREAKER.synth_options)
    (tmp_path / "top.ys").write_text(bitstreams._plan(None, board, guard(BLOCK)))
    (tmp_path / "top.v").write_text(BLOCK)
    running.run([*finding.find("yosys", override=True).command, "-q", "top.ys"], tmp_path)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    (block,) = [cell for cell in cells if "MAC16" in cell["type"]]
    parameters = {name: int(value, 2) for name, value in block["parameters"].items()}
    wanted = {"A_REG": 1, "TOP_8x8_MULT_REG": 1, "TOPOUTPUT_SELECT": 2, "BOTOUTPUT_SELECT": 2, "MODE_8x8": 1}
    assert (block["type"], parameters) == ("SB_MAC16", wanted)
    assert all(len(set(block["connections"][port])) == size for port, size in (("CLK", 1), ("A", 16), ("O", 32)))
    assert "0" not in block["connections"]["CLK"]


# -- real ones ---------------------------------------------------------------------------------------------------------


def start(bitstream):
    back = readback.read_back(bitstream)
    return back, twin.start(twin.build(back.verilog, readback.TOP, back.divisor, back.power_on))


def fault_of(bitstream, vectors):
    """The self-test's result, or why there is none."""
    back, started = start(bitstream)
    with started as board, Link(open_port(board.path, back.baud), margin=2.0, retries=3) as link:
        try:
            there = held_core.described(link.hello(back.identity))
            link.channels = there.channels
            recorded = selftest.record(there.core, there.config, vectors, 1)
            result = selftest.replay(link, recorded, there.identity)
        except LinkError as error:
            return str(error)
    return "" if result.passed else result.summary()


@pytest.fixture(scope="module")
def decoder(icestorm, tmp_path_factory):
    """The bitstream of a core, and its description."""
    core = lookup("ovp-decoder")
    return bitstreams.build(
        core, None, ICEBREAKER, output=tmp_path_factory.mktemp("decoder") / "d.bin", baud=BAUD
    ).bitstream


# Of the 16 bits of a LUT, that for each value of its inputs, the lowest first (Project IceStorm, `get_lutff_lut_bits`).
LUT_BITS = (4, 14, 15, 5, 6, 16, 17, 7, 3, 13, 12, 2, 1, 11, 10, 0)


def luts(verilog):
    """Places of the LUTs that are no constants."""
    found = re.findall(r"/\* LUT +(\d+) +(\d+) +(\d+) \*/ (?!1'b[01];)", verilog)
    return [tuple(map(int, place)) for place in found]


def mutant(bitstream, folder, place, *values):
    """The bitstream with other results of the LUT in `place` when its inputs have one of `values`."""
    x, y, index = place
    (folder / "top.bin").write_bytes(bitstream.read_bytes())
    running.run([*finding.find("iceunpack").command, "top.bin", "top.asc"], folder)
    unpacked = (folder / "top.asc").read_text()
    header = f".logic_tile {x} {y}\n"
    start = unpacked.index(header) + len(header)
    for bit in (LUT_BITS[value] for value in values):
        at = start + 55 * (2 * index + bit // 10) + 36 + bit % 10
        unpacked = unpacked[:at] + "10"[int(unpacked[at])] + unpacked[at + 1 :]
    (folder / "top.asc").write_text(unpacked)
    running.run([*finding.find("icepack").command, "top.asc", "mutant.bin"], folder)
    changed = folder / "mutant.bin"
    told = json.loads(bitstream.with_suffix(".json").read_text())
    told["sha256"] = hashlib.sha256(changed.read_bytes()).hexdigest()
    changed.with_suffix(".json").write_text(json.dumps(told))
    return changed


def test_the_bits_of_a_file_pass_the_bench(decoder, bitloom, tmp_path):
    output, _ = bitloom("selftest", "--on", decoder, "--vectors", 200, "--seed", 1, "--json", "r.json")
    lines = output.splitlines()
    assert re.fullmatch(
        r"d\.bin, [\d,]+ bytes, read back: [\d,]+ LUTs, \d+ carries, \d+ flip-flops, \d block RAMs; not covered: .*",
        lines[0],
    )
    assert re.fullmatch(r"ovp-decoder on .*d\.bin, build \w{16}: passed, seed 1", lines[1])
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["passed"] and result["vectors"] == 200 and result["mismatches"] == 0


def test_another_core_than_the_one_in_the_file_is_refused(decoder, bitloom):
    _, error = bitloom("selftest", "ovp-encoder", "--on", decoder, status=2)
    assert re.match(r"bitloom: .*d\.bin holds ovp-decoder, not ovp-encoder: ", error.splitlines()[-1])


def test_power_off_and_on_is_a_reset(decoder):
    back, started = start(decoder)
    with started as board, Link(open_port(board.path, back.baud), margin=2.0) as link:
        link.channels = held_core.described(link.hello()).channels
        board.reset()
        with pytest.raises(LinkError, match="does not know this session: it was reset"):
            link.exchange({"i": bytes(200)}, {"o": 300})
        link.hello()
        assert link.exchange({"i": bytes(200)}, {"o": 300}).outputs["o"] == bytes(300)


@pytest.mark.long
def test_a_wrong_lut_fails(decoder, tmp_path):
    verilog = readback.read_back(decoder).verilog
    net = re.search(r"^assign tx = (?:\w+ \? )?(\w+)", verilog, flags=re.M)[1]
    place = re.search(rf"/\* FF +(\d+) +(\d+) +(\d+) \*/ .*\b{net} <?= ", verilog).groups()
    # What it sends is the other way round.
    changed = mutant(decoder, tmp_path, tuple(map(int, place)), *range(16))
    assert readback.read_back(changed).identity == readback.read_back(decoder).identity
    assert re.search("nobody answers|no whole answer", fault_of(changed, 50))


@pytest.mark.long
def test_wrong_bits_of_luts_are_found(decoder, tmp_path):
    rng = random.Random(1)
    good = readback.read_back(decoder).verilog
    places, found, survived = luts(good), 0, []
    while found + len(survived) < 12:
        place, value = rng.choice(places), rng.randrange(16)
        changed = mutant(decoder, tmp_path, place, value)
        # Inputs that are not wired never have this value.
        if readback.read_back(changed).verilog == good:
            continue
        if fault_of(changed, 200):
            found += 1
        else:
            survived.append((place, value))
    # Values that the inputs of a LUT never have together are not found, nor what only the LEDs show.
    assert found >= 5, survived


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "parameters", "dsps"),
    [
        ("ovp-encoder", (), 0),
        ("nm-selector", (), 0),
        ("systolic-tile", ("rows=2", "cols=2", "accumulator=24", "target=ice40"), 2),
    ],
)
def test_the_bits_of_other_cores_pass_their_benches(name, parameters, dsps, icestorm, tmp_path):
    core = lookup(name)
    config = core.config.parse(parameters) if parameters else ICEBREAKER.config(core)
    made = bitstreams.build(core, config, ICEBREAKER, output=tmp_path / "x.bin", baud=BAUD)
    assert made.utilization.get("ICESTORM_DSP", (0, 0))[0] == dsps
    assert fault_of(Path(made.bitstream), 100) == ""
    assert (f", {dsps} DSPs;" in readback.read_back(made.bitstream).summary) == (dsps > 0)


@pytest.mark.long
def test_the_bits_of_a_pll_make_the_clock_that_was_asked_for(icestorm, tmp_path):
    """The divider of the serial port follows it: the bench would not understand a byte at another rate."""
    made = bitstreams.build(lookup("ovp-decoder"), None, ICEBREAKER, output=tmp_path / "d.bin", baud=BAUD, clock_mhz=24)
    back = readback.read_back(made.bitstream)
    assert "a PLL that makes 24000000 Hz of 12000000 Hz" in back.summary and back.divisor == 8
    assert fault_of(made.bitstream, 100) == ""
