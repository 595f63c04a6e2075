# amaranth: UnusedElaboratable=no
"""Clocks of boards: what is chosen, what the tools are told, the reset, and builds with several seeds."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
from amaranth import Module, Signal
from amaranth.back import verilog
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream import build as bitstreams
from bitloom.fpga.bitstream import clock as clocks
from bitloom.fpga.bitstream import readback
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.bitstream.top import OnBoard
from bitloom.hdl.primitives import Guard
from bitloom.tools import finding, running

ICEBREAKER = BOARDS["icebreaker"]
CORE = lookup("ovp-decoder")


class Echo(wiring.Component):
    """A board's top level with next to nothing in it: a register behind the line."""

    rx: In(1)
    tx: Out(1)
    alarm: Out(1)
    heartbeat: Out(1)

    def __init__(self, core=None, identity=b"", clock_hz=0, baud=0):
        self.clock_hz = clock_hz
        given.append(clock_hz)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.tx.eq(self.rx), self.heartbeat.eq(~self.heartbeat)]
        return m


given = []


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_oscillator_needs_no_pll(board):
    for mhz in (None, board.clock_hz / 1e6):
        assert clocks.choose(board, mhz) == clocks.Clock(board.clock_hz)
        assert clocks.choose(board, mhz).to_dict() == {}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_clock_is_within_a_hundredth_or_the_nearest_are_told(board):
    clock = clocks.choose(board, 66.6)
    assert abs(clock.hz - 66.6e6) <= 0.666e6 and clock.to_dict()["pll"]["oscillator_mhz"] == board.clock_hz / 1e6
    with pytest.raises(ValueError, match=rf"of what the PLL makes of {board.clock_hz / 1e6:g} MHz, not 2000 MHz: the"):
        clocks.choose(board, 2000)
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"^clock must be a number of MHz above 0, not "):
            clocks.choose(board, wrong)


def plan(board, mhz):
    clock = clocks.choose(board, mhz)
    return bitstreams._plan(OnBoard(Echo(), board, clock.setting), board, Guard())


#: What place and route are told of a clock of 60 MHz: file, or the command, and a pattern.
TOLD = {
    "icebreaker": ("top.pcf", r"set_frequency \S*clk 60\.0\n"),
    "ulx3s-85f": ("top.lpf", r'FREQUENCY NET "\S*clk" 60000000\.0 HZ;'),
    "orangecrab-85f": ("top.lpf", r'FREQUENCY NET "\S*clk" 60000000\.0 HZ;'),
    "tang-nano-9k": (None, r"--freq 60\.0 "),
    "tang-nano-20k": (None, r"--freq 60\.0 "),
}


@pytest.mark.parametrize("name", BOARDS)
def test_place_and_route_is_told_the_clock(name):
    file, pattern = TOLD[name]

    def told(mhz):
        made = plan(BOARDS[name], mhz)
        commands = " ".join(" ".join(command) for command in bitstreams._commands(made))
        return re.search(pattern, made.files[file] if file else commands), made.files["top.il"]

    found, design = told(60)
    cells = r"EHXPLLL|SB_PLL40_PAD|rPLL"
    assert found and re.search(cells, str(design))
    # Without a clock neither is there.
    found, design = told(None)
    assert not found and not re.search(cells, str(design))


class Platform:
    """As much of a platform as a clock's domain asks for."""

    default_clk = "clk"

    def request(self, name, dir):
        return io.SimulationPort("i", 1)

    def add_clock_constraint(self, clock, frequency):
        self.clock, self.frequency = clock, frequency


BENCH = """
module bench;
  reg osc = 0; integer cycles = 0; integer counted;
  always #5 osc = !osc;
  top dut(.osc(osc), .lock(lock), .value(value));
  reg lock = 0; wire [15:0] value;
  always @(posedge osc) cycles = cycles + 1;
  initial begin
    #1000 $write("%0d ", value);
    @(negedge osc) lock = 1; counted = cycles; wait (value == 1) $write("%0d ", cycles - counted);
    #1000 $write("%0d ", value != 1);
    @(negedge osc) lock = 0; #100 $write("%0d ", value);
    @(negedge osc) lock = 1; counted = cycles; wait (value == 1) $display("%0d", cycles - counted);
    $finish;
  end
endmodule
"""


def test_the_reset_lasts_until_the_pll_is_locked_and_comes_back_when_it_is_not(tmp_path, icarus, monkeypatch):
    """With a PLL that runs with its input, and says that it is locked when it is told to."""
    monkeypatch.setattr(clocks, "HOLD", 2e-6)
    monkeypatch.setenv("YOSYS", finding.find("yosys").command[0])
    osc, lock, value = Signal(name="osc"), Signal(name="lock"), Signal(16, name="value")

    class Loop(wiring.Component):
        i: In(1)
        clk: Out(1)
        locked: Out(1)
        resets_globally = False

        def __init__(self, setting):
            super().__init__()

        def elaborate(self, platform):
            m = Module()
            m.d.comb += [self.clk.eq(osc), self.locked.eq(lock)]
            return m

    monkeypatch.setitem(clocks.FAMILIES, "ice40", SimpleNamespace(pll=Loop))
    board, platform = SimpleNamespace(flow=ICEBREAKER.flow, pll_pad=False), Platform()
    m = Module()
    m.submodules.clock = clock = clocks.PllDomain(board, SimpleNamespace(output_hz=10_000_000, late=None))
    m.domains += clock.domain
    m.d.sync += value.eq(value + 1)
    text = verilog.convert(m, name="top", ports=[osc, lock, value], platform=platform, emit_src=False)
    assert platform.frequency == 10e6
    (tmp_path / "bench.v").write_text(text + BENCH)
    running.run([*icarus, "-g2012", "-o", "bench.vvp", "bench.v"], tmp_path)
    held, first, running_on, again, second = map(
        int, running.run(["vvp", "-n", "bench.vvp"], tmp_path).stdout.split()[-5:]
    )
    assert (held, running_on, again) == (0, 1, 0)
    # 2 us of 10 MHz, and the registers on the way.
    assert 20 < first <= 25 and first == second


def test_an_ecp5_is_reset_as_a_whole():
    """As without a PLL: no register has a reset of its own."""
    design = str(plan(BOARDS["ulx3s-85f"], 60).files["top.il"])
    cells = re.findall(r"cell \\(SGSR|FD1S3AX|EHXPLLL) ", design)
    assert sorted(cells) == ["EHXPLLL", "FD1S3AX", "FD1S3AX", "SGSR"]
    assert not re.search(r"wire width 1 \\rst\b", design)
    assert re.search(r"wire width 1 \\rst\b", str(plan(ICEBREAKER, 60).files["top.il"]))


# Builds


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """Programs that answer like the tools for iCE40; the clock that is reached depends on the seed."""
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "cache"))
    calls = tmp_path / "calls"
    record = f"open({str(calls)!r}, 'a').write(' '.join(sys.argv) + chr(10))\n"
    nextpnr = (
        "import json, os\n"
        "seed = int(sys.argv[sys.argv.index('--seed') + 1])\n"
        "assert os.path.exists('top.json')\n"
        "fmax = {'clk': {'achieved': {1: 30.0, 2: 50.0, 3: 20.0, 4: 41.0}[seed], 'constraint': 24.0}}\n"
        "json.dump({'fmax': fmax, 'utilization': {}}, open('top.report.json', 'w'))\n"
        "open('top.asc', 'w').write(f'seed {seed}')\n"
    )
    fakes = {
        "YOSYS": f"if sys.argv[1] == '-V': sys.exit('Yosys 0.70')\n{record}open('top.json', 'w').write('netlist')\n",
        "NEXTPNR_ICE40": f"if sys.argv[1] == '--version': sys.exit('nextpnr-0.11')\n{record}{nextpnr}",
        "ICEPACK": "if sys.argv[1] == '--version': sys.exit()\n"
        f"{record}open('top.bin', 'w').write(open('top.asc').read())\n",
    }
    for name, text in fakes.items():
        path = tmp_path / name.lower()
        path.write_text(f"#!{sys.executable}\nimport sys\n{text}")
        path.chmod(0o755)
        monkeypatch.setenv(name, str(path))
    return calls


def test_everything_follows_the_clock(flow, tmp_path):
    made = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "out", clock_mhz=24, baud=3_000_000, top=Echo)
    assert given[-1] == 24_000_000 and (made.clock_mhz, made.oscillator_mhz, made.baud_error) == (24.0, 12.0, 0)
    told = json.loads(made.description.read_text())
    assert told["clock_mhz"] == 24.0 and told["met"]
    assert told["pll"] == {
        "oscillator_mhz": 12.0,
        "vco_mhz": 768.0,
        **{"DIVR": 0, "DIVF": 63, "DIVQ": 5, "FILTER_RANGE": 1},
    }
    plain = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "plain", top=Echo)
    told = json.loads(plain.description.read_text())
    assert given[-1] == 12_000_000 and told["clock_mhz"] == 12.0 and not {"pll", "seed", "seeds"} & set(told)


def test_the_fastest_of_several_seeds_is_kept(flow, tmp_path):
    made = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "out", seeds=4, jobs=2, top=Echo)
    assert (made.seed, made.fmax_mhz, made.median_mhz) == (2, 50.0, 35.5)
    assert made.seeds == {1: 30.0, 2: 50.0, 3: 20.0, 4: 41.0}
    assert made.bitstream.read_text() == "seed 2"
    told = json.loads(made.description.read_text())
    assert told["seed"] == 2 and told["seeds"] == {"1": 30.0, "2": 50.0, "3": 20.0, "4": 41.0}
    # One netlist for all of them, and nothing twice.
    programs = [line.split()[0].rsplit("/", 1)[-1] for line in flow.read_text().splitlines()]
    assert programs.count("yosys") == 1 and programs.count("nextpnr_ice40") == 4
    again = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "out", seeds=2, top=Echo)
    assert again.cached and again.seed == 2 and len(flow.read_text().splitlines()) == len(programs)
    # Without the option it is the first seed, as ever.
    first = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "out", top=Echo)
    assert (first.bitstream.read_text(), first.seed, first.seeds) == ("seed 1", 1, {})
    with pytest.raises(ValueError, match=r"^seeds must be 1 or more, not 0$"):
        bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "out", seeds=0, top=Echo)


def test_a_pll_goes_through_the_tools_and_its_bits_say_what_it_makes(icestorm, tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "cache"))
    made = bitstreams.build(CORE, None, ICEBREAKER, tmp_path, clock_mhz=24, top=Echo)
    assert made.met and made.utilization["ICESTORM_PLL"] == (1, 1)
    (reached,) = json.loads((made.work / "top.report.json").read_text())["fmax"].values()
    assert reached["constraint"] == pytest.approx(24, rel=1e-3)
    assert "a PLL that makes 24000000 Hz of 12000000 Hz" in readback.read_back(made.bitstream).summary
    # Of another bitstream the description is not believed.
    other = bitstreams.build(CORE, None, ICEBREAKER, tmp_path / "other", clock_mhz=24, top=Echo).description
    told = json.loads(other.read_text())
    other.write_text(json.dumps(told | {"clock_mhz": 48.0}))
    with pytest.raises(ValueError, match=r"its clock is 24000000 Hz, and its description says 48000000 Hz$"):
        readback.read_back(other.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--clock 13", r"clock must be within 1% .* of 12 MHz, not 13 MHz: the nearest is 16\.125 MHz$"),
        ("--clock 0", r"Invalid value for '--clock'"),
        ("--clock fast", r"Invalid value for '--clock'"),
        ("--clock 24 --baud 7000000", r"baud must be 1 to 6000000 for a clock of 24000000 Hz, not 7000000$"),
        ("--jobs 2", r"--jobs needs --seeds"),
        ("--seeds 0", r"Invalid value for '--seeds'"),
    ],
)
def test_a_wrong_request_is_one_line(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["bitloom", "build", "ovp-decoder", "--board", "icebreaker", *options.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output, told = capsys.readouterr()
    assert (ended.value.code, output, told.count("\n")) == (2, "", 1)
    assert re.search(message, told.strip()), told
    assert list(tmp_path.iterdir()) == []
