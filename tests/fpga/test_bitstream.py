# amaranth: UnusedElaboratable=no
"""Boards, payloads as bytes, bitstreams, and the loaders' commands."""

import dataclasses
import hashlib
import itertools
import json
import random
import shlex
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import generate
from bitloom.fpga.bitstream import boards
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.bitstream.build import bitstream_path, build, core_identity
from bitloom.fpga.bitstream.dfu import SUFFIX, with_suffix
from bitloom.fpga.bitstream.flash import flash, flash_command
from bitloom.fpga.bitstream.top import OnBoard
from bitloom.fpga.link.core import LinkTop
from bitloom.fpga.link.map import link_map
from bitloom.fpga.link.payload import Gather, Scatter, byte_count
from bitloom.tools import finding, inventory, running

ICEBREAKER = BOARDS["icebreaker"]


# Payloads as bytes


def simulate(dut, *benches, background=(), deadline=None):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for bench in benches:
        sim.add_testbench(bench)
    for bench in background:
        sim.add_testbench(bench, background=True)
    if deadline is None:
        sim.run()
    else:
        sim.run_until(deadline)


def source(port, values, rng):
    """Offer values, with stalls between them where there is an `rng`."""

    async def bench(ctx):
        for value in values:
            while rng and rng.random() < 0.5:
                await ctx.tick()
            ctx.set(port.payload, value)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    return bench


def sink(port, count, received, rng):
    """Take values, with stalls where there is an `rng`; a value on offer must hold still."""

    async def bench(ctx):
        while len(received) < count:
            ctx.set(port.ready, not (rng and rng.random() < 0.5))
            _, _, valid, ready, payload = await ctx.tick().sample(port.valid, port.ready, port.payload)
            if valid and ready:
                received.append(payload)
            elif valid:
                assert (ctx.get(port.valid), ctx.get(port.payload)) == (1, payload)
        ctx.set(port.ready, 0)

    return bench


def as_bytes(values, width):
    return [byte for value in values for byte in value.to_bytes(-(-width // 8), "little")]


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize("width", [1, 8, 9, 17, 64])
def test_gather_and_scatter(width, stalls):
    rng = random.Random(width)
    values = [0, (1 << width) - 1, *(rng.getrandbits(width) for _ in range(30))]
    gathered, scattered = [], []
    pace = random.Random(1) if stalls else None

    gather = Gather(width)
    # The bits that fill up the last byte are not looked at.
    noisy = [value | rng.getrandbits(8) << width for value in values]
    noisy = [value & ((1 << 8 * gather.bytes) - 1) for value in noisy]
    benches = source(gather.i, as_bytes(noisy, width), pace), sink(gather.o, len(values), gathered, pace)
    simulate(gather, *benches, deadline=0.01)
    assert gathered == values

    scatter = Scatter(width)
    expected = as_bytes(values, width)
    benches = source(scatter.i, values, pace), sink(scatter.o, len(expected), scattered, pace)
    simulate(scatter, *benches, deadline=0.01)
    assert scattered == expected


@pytest.mark.parametrize("width", [8, 17])
def test_gather_and_scatter_take_a_cycle_for_each_byte_and_one_for_the_payload(width):
    for dut in (Gather(width), Scatter(width)):
        moments = []

        async def flood(ctx, dut=dut):
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.o.ready, 1)
            await ctx.tick().repeat(40)

        async def watch(ctx, dut=dut, moments=moments):
            payloads = dut.o if isinstance(dut, Gather) else dut.i
            cycle = 0
            async for *_, valid, ready in ctx.tick().sample(payloads.valid, payloads.ready):
                if valid and ready:
                    moments.append(cycle)
                cycle += 1

        simulate(dut, flood, background=[watch])
        gaps = {later - earlier for earlier, later in itertools.pairwise(moments)}
        assert gaps == {byte_count(width) + 1}


def test_gather_and_scatter_refuse_a_payload_without_bits():
    for component in (Gather, Scatter):
        with pytest.raises(ValueError, match=r"^a payload must have 1 bit or more, not 0$"):
            component(data.StructLayout({}))


# Boards


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_board_agrees_with_its_platform(board):
    platform = board.make_platform()
    assert platform.default_clk_frequency == board.clock_hz
    assert board.heartbeat != board.alarm
    for led in (board.heartbeat, board.alarm):
        platform.lookup("led", led)
    platform.lookup("uart", 0)
    # Half of the rate that a divisor may be off.
    assert abs(board.clock_hz / round(board.clock_hz / board.baud) / board.baud - 1) < 0.01


def test_lookup_lists_the_boards():
    assert boards.lookup("ulx3s-85f").loader[-1] == "ulx3s"
    with pytest.raises(ValueError, match=rf"^unknown board 'arty': there are {', '.join(BOARDS)}$"):
        boards.lookup("arty")


def test_amaranth_boards_is_not_imported_before_it_is_needed():
    code = "import sys; from bitloom.fpga.bitstream import flash, build; print('amaranth_boards' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_board_can_ask_for_other_parameters_than_the_core():
    core = lookup("ovp-decoder")
    board = dataclasses.replace(ICEBREAKER, parameters={"ovp-decoder": ("pairs=4",)})
    assert board.config(core) == core.config(pairs=4)
    assert ICEBREAKER.config(core) == core.config()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_board_has_a_configuration_of_every_core_or_says_why_not(board):
    assert set(board.parameters) | set(board.unfit) <= set(CATALOGUE)
    assert not set(board.parameters) & set(board.unfit)
    for core in CATALOGUE.values():
        if core.name in board.unfit:
            message = rf"^{core.name} does not fit {board.name}: .+; -p NAME=VALUE builds it nevertheless$"
            with pytest.raises(ValueError, match=message) as raised:
                board.config(core)
            assert "\n" not in str(raised.value)
            continue
        config = board.config(core)
        assert link_map(core.component(config)).inputs
        # Where a core can name the primitives of this part, it does.
        targets = {field.name: field.metadata["choices"] for field in dataclasses.fields(config)}.get("target", ())
        assert board.flow.family not in targets or config.target == board.flow.family


def test_a_core_that_does_not_fit_is_refused_before_any_tool_runs(tmp_path, cache, monkeypatch):
    board = dataclasses.replace(ICEBREAKER, unfit={"ovp-decoder": "its smallest configuration has 9,000 LC of 5,280"})
    core = lookup("ovp-decoder")
    with monkeypatch.context() as without:
        without.setattr(finding, "find", lambda *arguments, **options: pytest.fail("a tool was looked for"))
        with pytest.raises(
            ValueError,
            match=r"^ovp-decoder does not fit icebreaker: its smallest configuration has 9,000 LC of 5,280; -p",
        ):
            build(core, None, board, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    fake_flow(tmp_path, monkeypatch, achieved=40)
    assert build(core, core.config(), board, tmp_path / "out").met


def test_a_core_that_does_not_fit_is_one_line_on_the_command_line(tmp_path):
    command = [sys.executable, "-m", "bitloom", "build", "sevedo-core", "--board", "icebreaker"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("bitloom: sevedo-core does not fit icebreaker: ")
    assert list(tmp_path.iterdir()) == []


# Bitstreams


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(path, text):
    """A Python program at `path`."""
    path.write_text(f"#!{sys.executable}\nimport sys\n{text}")
    path.chmod(0o755)
    return str(path)


def fake_flow(folder, monkeypatch, achieved):
    """Programs that answer like the tools for iCE40 and do next to nothing."""
    calls = folder / "calls"
    record = f"open({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))\n"
    report = {
        "fmax": {"clk": {"achieved": achieved, "constraint": 12.0}},
        "utilization": {"LC": {"used": 3, "available": 9}, "IO": {"used": 0, "available": 2}},
    }
    fakes = {
        "YOSYS": "if sys.argv[1] == '-V': sys.exit('Yosys 0.70')\n" + record,
        "NEXTPNR_ICE40": "if sys.argv[1] == '--version': sys.exit('nextpnr-0.11')\n"
        f"{record}open('top.report.json', 'w').write({json.dumps(report)!r})\n",
        "ICEPACK": f"if sys.argv[1] == '--version': sys.exit()\n{record}open('top.bin', 'w').write('bits')\n",
    }
    for name, text in fakes.items():
        monkeypatch.setenv(name, program(folder / name.lower(), text))
    return calls


def test_build_runs_each_tool_once_for_a_design_and_writes_beside_the_cache(tmp_path, cache, monkeypatch):
    calls = fake_flow(tmp_path, monkeypatch, achieved=40.123)
    core, steps = lookup("ovp-decoder"), []
    first = build(core, None, ICEBREAKER, tmp_path / "out", progress=steps.append)
    assert steps == ["synthesis", "place and route", "bitstream"]
    assert (
        first.bitstream
        == bitstream_path(core, ICEBREAKER, tmp_path / "out")
        == tmp_path / "out/ovp-decoder-icebreaker.bin"
    )
    assert first.bitstream.read_text() == "bits"
    assert (first.fmax_mhz, first.clock_mhz, first.met, first.cached) == (40.12, 12.0, True, False)
    assert first.utilization == {"LC": (3, 9)}
    assert first.tools["yosys"] == "0.70" and first.tools["nextpnr-ice40"] == "0.11"
    described = json.loads(first.description.read_text())
    assert described["parameters"] == core.config().to_dict()
    assert (described["core"], described["board"], described["baud"]) == ("ovp-decoder", "icebreaker", 115_200)
    build_hash = hashlib.sha256(generate(core, core.config()).verilog.encode()).hexdigest()[:16]
    assert described["identity"] == {"link": 1, "core": "ovp-decoder", "parameters": [], "build": build_hash}
    assert described["sha256"] == hashlib.sha256(b"bits").hexdigest()
    commands = calls.read_text().splitlines()
    assert len(commands) == 3
    assert "--timing-allow-fail" in commands[1] and "--up5k --package sg48" in commands[1]
    assert "synth_ice40 -device u -dsp -spram -top top" in (first.work / "top.ys").read_text()
    assert first.work.parent == cache / "build"

    again = build(core, None, ICEBREAKER, tmp_path / "out", output=tmp_path / "mine.bin", progress=steps.append)
    assert again.cached and again.bitstream == tmp_path / "mine.bin" and again.bitstream.read_text() == "bits"
    assert len(steps) == 3
    # Another configuration, and another rate, are other designs.
    assert not build(core, core.config(pairs=2), ICEBREAKER, tmp_path / "out").cached
    assert not build(core, None, ICEBREAKER, tmp_path / "out", baud=1_000_000).cached
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ovp-decoder-icebreaker.bin",
        "ovp-decoder-icebreaker.json",
    ]


def test_build_says_when_the_timing_is_not_met(tmp_path, cache, monkeypatch):
    fake_flow(tmp_path, monkeypatch, achieved=11.99)
    result = build(lookup("ovp-decoder"), None, ICEBREAKER, tmp_path / "out")
    assert not result.met and result.fmax_mhz == 11.99
    assert json.loads(result.description.read_text())["met"] is False


def test_build_that_fails_leaves_no_bitstream_and_names_the_log(tmp_path, cache, monkeypatch):
    fake_flow(tmp_path, monkeypatch, achieved=40)
    text = "if sys.argv[1] == '--version': sys.exit('nextpnr-0.11')\nprint('ERROR: too large')\nsys.exit(1)\n"
    monkeypatch.setenv("NEXTPNR_ICE40", program(tmp_path / "failing", text))
    with pytest.raises(
        running.ToolFailed, match=r"^nextpnr-ice40 failed with status 1: ERROR: too large \(log: .*\.log\)$"
    ):
        build(lookup("ovp-decoder"), None, ICEBREAKER, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_build_that_is_interrupted_leaves_nothing(tmp_path, cache, monkeypatch):
    fake_flow(tmp_path, monkeypatch, achieved=40)

    def interrupt(step):
        if step == "bitstream":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(lookup("ovp-decoder"), None, ICEBREAKER, tmp_path / "out", progress=interrupt)
    assert not (tmp_path / "out").exists()
    assert list((cache / "build").iterdir()) == []


def test_builds_of_the_same_design_at_the_same_time_do_not_meet(tmp_path, cache, monkeypatch):
    fake_flow(tmp_path, monkeypatch, achieved=40)
    core, inner = lookup("ovp-decoder"), []

    def other_process(step):
        if step == "bitstream":
            inner.append(build(core, None, ICEBREAKER, tmp_path / "inner"))

    outer = build(core, None, ICEBREAKER, tmp_path / "outer", progress=other_process)
    assert not outer.cached and not inner[0].cached
    assert outer.bitstream.read_text() == inner[0].bitstream.read_text() == "bits"
    assert [path.name for path in (cache / "build").iterdir()] == [outer.work.name]


def test_build_refuses_a_file_name_of_another_family(tmp_path):
    with pytest.raises(ValueError, match=r"^a bitstream for icebreaker must end in \.bin, not 'x\.bit'$"):
        build(lookup("ovp-decoder"), None, ICEBREAKER, output=tmp_path / "x.bit")


def test_build_takes_another_top_level(tmp_path, cache, monkeypatch):
    fake_flow(tmp_path, monkeypatch, achieved=40)

    class Echo(wiring.Component):
        rx: In(1)
        tx: Out(1)
        alarm: Out(1)
        heartbeat: Out(1)

        def __init__(self, core, identity, clock_hz, baud):
            self.given = identity, clock_hz, baud
            super().__init__()
            made.append(self)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.tx.eq(self.rx)
            return m

    made = []
    core = lookup("ovp-decoder")
    build(core, core.config(pairs=2), ICEBREAKER, tmp_path / "out", top=Echo)
    told = core_identity(core, core.config(pairs=2))
    assert json.loads(told)["parameters"] == ["pairs=2"]
    assert made[0].given == (told, 12_000_000, 115_200)


#: nextpnr's names of LUTs, by family; a Gowin ALU takes the place of one.
LUTS = {"ice40": ("ICESTORM_LC",), "ecp5": ("TRELLIS_COMB",), "gowin": ("LUT4", "ALU")}


def check_bitstream(path, board):
    """The synchronisation word of the board's family is there, the part's number where there is one, and the length."""
    content = path.read_bytes()
    if board.flow.family == "ice40":
        assert bytes.fromhex("7eaa997e") in content[:8]
        assert len(content) == 104_090
    elif board.flow.family == "ecp5":
        part = {"ulx3s-85f": b"LFE5U-85F-6CABGA381", "orangecrab-85f": b"LFE5U-85F-8CSFBGA285"}[board.name]
        assert b"Part: " + part in content[:64]
        if board.dfu:
            assert content == with_suffix(content[:-SUFFIX], 0x1209, 0x5AF0)
        assert bytes.fromhex("ffffbdb3") in content[:64]
    else:
        lines = content.decode().split()
        assert int(lines[2], 2) == 0xA5C3
        assert int(lines[3], 2) & 0xFFFFFFFF == 0x1100481B  # GW1N-9C
        assert len(lines) > 700


def check_build(board, folder, **options):
    result = build(lookup("ovp-decoder"), None, board, folder, **options)
    check_bitstream(result.bitstream, board)
    assert result.met and result.fmax_mhz > result.clock_mhz
    assert 1000 < result.utilization[LUTS[board.flow.family][0]][0] < 1600
    return result


def test_bitstream_for_the_icebreaker(tmp_path):
    """That which `test_readback` simulates."""
    check_build(ICEBREAKER, tmp_path / "out", baud=3_000_000)


@pytest.mark.long
@pytest.mark.parametrize("board", [board for board in BOARDS.values() if board is not ICEBREAKER], ids=lambda b: b.name)
def test_bitstream_for_the_other_boards_is_the_same_every_time(board, tmp_path, monkeypatch):
    contents = []
    for folder in ("cache", "another"):
        monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / folder))
        made = check_build(board, tmp_path / "out")
        assert not made.cached
        contents.append(made.bitstream.read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("core", "board"),
    [
        pytest.param(core, board, id=f"{core.name}-{board.name}")
        for core, board in itertools.product(CATALOGUE.values(), BOARDS.values())
        if core.name not in board.unfit
    ],
)
def test_the_default_of_every_core_fits_every_board_and_meets_its_clock(core, board, tmp_path):
    result = build(core, None, board, tmp_path)
    assert result.met and result.fmax_mhz >= result.clock_mhz, result
    check_bitstream(result.bitstream, board)
    # What is fuller than this is placed by luck.
    luts = [result.utilization.get(name, (0, 0)) for name in LUTS[board.flow.family]]
    assert sum(used for used, _ in luts) < 0.9 * luts[0][1]


def test_gowin_is_placed_and_routed_by_himbaechel():
    core = lookup("ovp-decoder")
    board = BOARDS["tang-nano-9k"]
    top = LinkTop(core.component(core.config()), core_identity(core, core.config()), board.clock_hz, board.baud)
    design = OnBoard(top, board)
    plan = board.make_platform().prepare(design)
    yosys, nextpnr, pack = json.loads(plan.files["build_top.json"])["commands"]
    assert yosys[0] == "yosys"
    assert shlex.join(nextpnr) == (
        "nextpnr-himbaechel-gowin --quiet --log top.tim --device GW1NR-LV9QN88PC6/I5 --vopt family=GW1N-9C "
        "--vopt cst=top.cst --freq 27.0 --json top.syn.json --write top.pnr.json"
    )
    assert pack[:3] == ["gowin_pack", "-d", "GW1N-9C"]
    assert 'IO_LOC "uart_0__rx__io" 18;' in plan.files["top.cst"]


# Flashing


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("icebreaker", ["openFPGALoader", "-b", "ice40_generic", "build/x.bin"]),
        ("ulx3s-85f", ["openFPGALoader", "-b", "ulx3s", "build/x.bit"]),
        ("tang-nano-9k", ["openFPGALoader", "-b", "tangnano9k", "build/x.fs"]),
        ("orangecrab-85f", ["dfu-util", "-d", "1209:5af0", "-a", "0", "-D", "build/x.bit"]),
    ],
)
def test_flash_command(name, expected):
    assert flash_command(expected[-1], boards.lookup(name)) == expected


def test_flash_refuses_a_bitstream_of_another_family():
    with pytest.raises(ValueError, match=r"^a bitstream for tang-nano-9k must end in \.fs, not 'x\.bin'$"):
        flash("x.bin", BOARDS["tang-nano-9k"], dry_run=True)


VERSIONS = {"openFPGALoader": "openFPGALoader v1.1.1", "dfu-util": "dfu-util 0.11"}


@pytest.fixture
def loader(tmp_path, cache, monkeypatch):
    """Put a program in the place of every loader that records how it is called; give a function that makes it."""
    calls = tmp_path / "calls"

    def make(output="", status=0, tool="openFPGALoader"):
        text = (
            f"if sys.argv[1] in ('--Version', '--version'): sys.exit(print({VERSIONS[tool]!r}))\n"
            f"open({str(calls)!r}, 'a').write(repr(sys.argv[1:]) + chr(10))\n"
            f"print({output!r}, file=sys.stderr)\nsys.exit({status})\n"
        )
        path = program(tmp_path / f"a-{tool}", text)
        monkeypatch.setenv(inventory.variable(tool), path)
        return path

    make.calls = lambda: calls.read_text().splitlines() if calls.exists() else []
    make.bitstream = bitstream_of(ICEBREAKER, tmp_path)
    return make


def bitstream_of(board, folder, /, **changes):
    """A bitstream and its description, as `build` leaves them, but for `changes` in the latter."""
    bitstream = folder / f"x{board.flow.suffix}"
    bitstream.write_bytes(b"bits")
    description = {
        "core": "ovp-decoder",
        "board": board.name,
        "clock_mhz": board.clock_hz / 1e6,
        "fmax_mhz": 11.5,
        "met": True,
        "sha256": hashlib.sha256(b"bits").hexdigest(),
        **changes,
    }
    bitstream.with_suffix(".json").write_text(json.dumps(description))
    return bitstream


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_flash_calls_the_loader(board, loader, tmp_path):
    path, bitstream = loader("Wait for CDONE DONE", tool=board.loader[0]), bitstream_of(board, tmp_path)
    command = [path, *flash_command(bitstream, board)[1:]]
    assert flash(bitstream, board, dry_run=True) == command
    assert loader.calls() == []
    assert flash(bitstream, board) == command
    assert loader.calls() == [repr(command[1:])]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"met": False}, r"x\.bin' misses its timing, 11\.5 MHz for a clock of 12 MHz: choose a smaller .* --force "),
        ({"board": "ulx3s-85f"}, r"x\.bin' is for ulx3s-85f, not for icebreaker: give --force to flash it anyway$"),
        ({"sha256": "0"}, r"x\.bin' is not what x\.json describes: build it again, or give --force$"),
        ({"board": None}, r"x\.bin' is for None, not for icebreaker: "),
        ({"core": "gemm"}, r"x\.bin' holds gemm, not ovp-decoder: give --force to flash it anyway$"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_flash_refuses_a_bitstream_that_will_not_work_unless_forced(changes, message, dry_run, loader, tmp_path):
    path, bitstream = loader(), bitstream_of(ICEBREAKER, tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as raised:
        flash(bitstream, ICEBREAKER, dry_run, core="ovp-decoder")
    assert "\n" not in str(raised.value) and loader.calls() == []
    command = [path, "-b", "ice40_generic", str(bitstream)]
    assert flash(bitstream, ICEBREAKER, dry_run, force=True, core="ovp-decoder") == command
    assert len(loader.calls()) == (not dry_run)


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"board": "icebreaker"}'])
def test_flash_refuses_a_bitstream_of_which_nothing_is_known_unless_forced(content, loader):
    loader()
    beside = loader.bitstream.with_suffix(".json")
    beside.unlink()
    if content is not None:
        beside.write_text(content)
    with pytest.raises(ValueError, match=r"x\.json' does not describe x\.bin: build it again, or give --force$"):
        flash(loader.bitstream, ICEBREAKER)
    assert loader.calls() == []
    flash(loader.bitstream, ICEBREAKER, force=True)
    assert len(loader.calls()) == 1


def test_dfu_suffix_is_that_of_the_standard():
    content = with_suffix(b"bits", 0x1209, 0x5AF0)
    device, product, vendor, version, mark, length, check = struct.unpack("<4H3sBI", content[4:])
    assert (device, product, vendor, version) == (0xFFFF, 0x5AF0, 0x1209, 0x0100)
    assert (mark, length) == (b"UFD", SUFFIX)
    # The register of the division itself: not inverted at the end.
    assert check == zlib.crc32(content[:-4]) ^ 0xFFFFFFFF


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_flash_gives_a_name_that_begins_with_a_dash_as_a_path(board, loader, tmp_path, monkeypatch):
    loader(tool=board.loader[0])
    monkeypatch.chdir(tmp_path)
    bitstream = Path(f"-x{board.flow.suffix}")
    bitstream_of(board, tmp_path).rename(bitstream)
    (tmp_path / "x.json").rename("-x.json")
    assert flash(bitstream, board)[-1] == f"./{bitstream}"
    assert Path("calls").read_text().strip().endswith(f"'./{bitstream}']")


@pytest.mark.parametrize("name", ["icebreaker", "orangecrab-85f"])
def test_flash_dry_run_does_without_a_loader(name, tmp_path, monkeypatch):
    board = BOARDS[name]
    tool, *arguments = board.loader
    monkeypatch.setenv(inventory.variable(tool), str(tmp_path / "nothing"))
    bitstream = bitstream_of(board, tmp_path)
    assert flash(bitstream, board, dry_run=True) == [tool, *arguments, str(bitstream)]
    with pytest.raises(finding.ToolMissing, match="names no program"):
        flash(bitstream, board)


@pytest.mark.parametrize("options", [{}, {"force": True}, {"dry_run": True}, {"dry_run": True, "force": True}])
def test_flash_without_a_bitstream_says_to_build_it(options, loader, tmp_path):
    loader()
    with pytest.raises(FileNotFoundError, match=r"make it first, with `bitloom build CORE --board icebreaker`$"):
        flash(tmp_path / "nothing.bin", ICEBREAKER, **options)
    assert loader.calls() == []


# What openFPGALoader 1.1.1 prints: the first two were seen, the others are reported by its users or are in its sources.
NO_BOARD = "empty\nunable to open ftdi device: -3 (device not found)\nError: Failed to claim cable"
NO_BOARD_JTAG = "unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device"
DENIED = "unable to open ftdi device: -4 (libusb_open() failed)\nError: Failed to claim cable"
DENIED_OLD = "unable to open ftdi device: -4 (usb_open() failed)\nJTAG init failed with: unable to open ftdi device"
IN_USE = (
    "unable to open ftdi device: -5 (unable to claim usb device. Make sure the default FTDI driver is not in use)\n"
    "Error: Failed to claim cable"
)
NO_LIBRARY = "loader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file"


@pytest.mark.parametrize(
    ("output", "status", "message"),
    [
        (NO_BOARD, 1, r"^no icebreaker is attached: no USB device 0403:6010 was found; is the board plugged in"),
        (NO_BOARD_JTAG, 1, r"^no icebreaker is attached: "),
        (
            DENIED,
            1,
            r"^no permission for the programmer of icebreaker: put SUBSYSTEM==\"usb\", ATTR\{idVendor\}==\"0403\", "
            r"ATTR\{idProduct\}==\"6010\", .* into /etc/udev/rules\.d/60-icebreaker\.rules",
        ),
        (DENIED_OLD, 1, r"^no permission for the programmer of icebreaker: "),
        (IN_USE, 1, r"^the programmer of icebreaker is in use: "),
        ("Error: no device found", 1, r"^the programmer of icebreaker answers and its FPGA does not"),
        ("Error: cannot find board 'ice40_generic'", 1, r"^this openFPGALoader does not know the board ice40_generic"),
        (
            NO_LIBRARY,
            127,
            r"^openFPGALoader does not start without libusb-1\.0\.so\.0; install it with apt install libusb",
        ),
        (
            "Error: something new",
            3,
            r"^openFPGALoader failed with status 3: Error: something new \(log: .*icebreaker\.log\)$",
        ),
        ("Wait for CDONE FAIL", 0, r"^programming icebreaker failed: Wait for CDONE FAIL \(log: .*icebreaker\.log\)$"),
    ],
    ids=[
        "no board, SPI",
        "no board, JTAG",
        "no permission",
        "no permission, older libftdi",
        "in use",
        "no FPGA behind the programmer",
        "unknown to the loader",
        "no library",
        "something else",
        "failed with status 0",
    ],
)
def test_flash_says_in_one_line_what_went_wrong(loader, output, status, message):
    loader(output, status)
    with pytest.raises(running.ToolFailed, match=message) as raised:
        flash(loader.bitstream, ICEBREAKER)
    assert "\n" not in str(raised.value)
    assert len(loader.calls()) == 1


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "dfu-util: No DFU capable USB device available",
            r"^no orangecrab-85f is attached: no USB device 1209:5af0 was found; is the board plugged in, in its "
            r"bootloader \(hold the button",
        ),
        (
            "dfu-util: Cannot open DFU device 1209:5af0 found on devnum 9 (LIBUSB_ERROR_ACCESS)\n"
            "dfu-util: No DFU capable USB device available",
            r"^no permission for the programmer of orangecrab-85f: .* ATTR\{idVendor\}==\"1209\"",
        ),
        ("dfu-util: Cannot claim interface - LIBUSB_ERROR_BUSY", r"is in use: .* or another dfu-util$"),
        ("dfu-util: error during download", r"^dfu-util failed with status 74: dfu-util: error during download \(log"),
    ],
    ids=["not in its bootloader", "no permission", "in use", "something else"],
)
def test_flash_says_what_went_wrong_with_dfu_util_too(loader, tmp_path, output, message):
    board = BOARDS["orangecrab-85f"]
    loader(output, 74, "dfu-util")
    with pytest.raises(running.ToolFailed, match=message) as raised:
        flash(bitstream_of(board, tmp_path), board)
    assert "\n" not in str(raised.value)
    assert len(loader.calls()) == 1
