# amaranth: UnusedElaboratable=no
"""Boards, the top level behind its serial pins against golden models, bitstreams, and the loader's command."""

import dataclasses
import itertools
import json
import random
import shlex
import subprocess
import sys

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.catalogue import lookup
from bitloom.fpga import boards
from bitloom.fpga.boards import BOARDS
from bitloom.fpga.build import bitstream_path, build
from bitloom.fpga.flash import flash, flash_command
from bitloom.fpga.payload import Gather, Scatter, byte_count
from bitloom.fpga.top import FIFO_BYTES, OnBoard, SerialTop
from bitloom.golden import ovp
from bitloom.hdl import tools

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


# The top level, through its pins. A bit lasts 4 clock cycles.

CLOCK_HZ, BAUD = 1_000_000, 250_000
BIT_S = 1 / BAUD


async def send(ctx, pin, sent):
    for byte in sent:
        for level in (0, *(byte >> position & 1 for position in range(8)), 1):
            ctx.set(pin, level)
            await ctx.delay(BIT_S)


def listener(pin, received):
    """Bytes of a serial line, sampled in the middle of the bits."""

    async def bench(ctx):
        while True:
            await ctx.negedge(pin)
            await ctx.delay(BIT_S / 2)
            frame = []
            for _ in range(10):
                frame.append(ctx.get(pin))
                await ctx.delay(BIT_S if len(frame) < 10 else BIT_S / 4)
            assert frame[0] == 0 and frame[9] == 1
            received.append(sum(bit << position for position, bit in enumerate(frame[1:9])))

    return bench


def make_top(name, **parameters):
    core = lookup(name)
    config = core.config(**parameters)
    return SerialTop(core.component(config), CLOCK_HZ, BAUD), config


def exchange(top, sent, count):
    """Send bytes, wait for `count` in return, or too long; give those and whether the alarm was on at the end."""
    received, alarm = [], []

    async def host(ctx):
        await send(ctx, top.rx, sent)
        await ctx.delay(12 * BIT_S * (count + 3))
        alarm.append(ctx.get(top.alarm))

    simulate(top, host, background=[listener(top.tx, received)])
    assert len(received) == count
    return received, alarm[0]


def decoder_bytes(config, codes, lasts):
    """Bytes to send for packed codes, shape (transfers, bytes), and the bytes that must come back."""
    fmt = config.format
    sent, expected = [], []
    integers, exponents = ovp.decode(codes, fmt)
    for transfer, last in enumerate(lasts):
        packed = int.from_bytes(codes[transfer].tobytes(), "little") | last << 8 * codes.shape[1]
        sent += packed.to_bytes(codes.shape[1] + 1, "little")
        fields = 0
        width = fmt.exponent_bits + fmt.integer_bits
        for index, (integer, exponent) in enumerate(zip(integers[transfer], exponents[transfer], strict=True)):
            code = int(exponent) | (int(integer) % (1 << fmt.integer_bits)) << fmt.exponent_bits
            fields |= code << index * width
        bits = width * integers.shape[1]
        expected += (fields | last << bits).to_bytes(bits // 8 + 1, "little")
    return sent, expected


@pytest.mark.parametrize(
    "parameters",
    [{}, {"normal": "flint4", "pairs": 3}, {"normal": "int8", "pairs": 2}],
    ids=["default", "flint4", "int8"],
)
def test_top_decodes_what_comes_through_its_pins(parameters):
    top, config = make_top("ovp-decoder", **parameters)
    rng = np.random.default_rng(3)
    values = rng.standard_t(2, (24, 2 * config.pairs)) * config.format.max_normal / 3
    codes = ovp.encode(values, config.format)
    lasts = [int(last) for last in rng.integers(0, 2, len(codes))]
    sent, expected = decoder_bytes(config, codes, lasts)
    assert len(set(expected)) > 10
    received, alarm = exchange(top, sent, len(expected))
    assert received == expected
    assert not alarm


def test_top_encodes_what_comes_through_its_pins():
    top, config = make_top("ovp-encoder", width=20, fraction=4)
    rng = np.random.default_rng(4)
    fixed = np.clip(np.round(rng.standard_t(2, (20, 2)) * 60), -(1 << 19), (1 << 19) - 1).astype(int)
    codes = ovp.encode(fixed / 16, config.format)
    assert len(np.unique(codes)) > 10
    sent = []
    for transfer, (first, second) in enumerate(fixed.tolist()):
        last = transfer == len(fixed) - 1
        sent += (first % (1 << 20) | second % (1 << 20) << 20 | last << 40).to_bytes(6, "little")
    expected = [byte for transfer, code in enumerate(codes) for byte in (*code, transfer == len(codes) - 1)]
    received, alarm = exchange(top, sent, len(expected))
    assert received == expected
    assert not alarm


def test_top_answers_all_that_may_be_left_unanswered():
    # Three bytes of an answer for two of a question: the answers fall behind and questions wait.
    top, config = make_top("ovp-decoder")
    codes = np.random.default_rng(5).integers(0, 256, (FIFO_BYTES // 2, 1), dtype=np.uint8)
    codes[ovp.illegal(codes, config.format).any(axis=1)] = 0
    sent, expected = decoder_bytes(config, codes, [0] * len(codes))
    assert len(sent) == FIFO_BYTES
    received, alarm = exchange(top, sent, len(expected))
    assert received == expected
    assert not alarm


def test_top_raises_the_alarm_for_an_illegal_code_and_for_a_lost_byte():
    top, config = make_top("ovp-decoder")
    codes = np.array([[0x88]], np.uint8)
    assert ovp.illegal(codes, config.format).all()
    sent, expected = decoder_bytes(config, codes, [1])
    assert exchange(top, sent, len(expected)) == (expected, 1)

    # Far more questions than may wait.
    count, received, alarm = 4 * FIFO_BYTES, [], []
    top, _ = make_top("ovp-decoder")

    async def host(ctx):
        await send(ctx, top.rx, [0] * count)
        alarm.append(ctx.get(top.alarm))

    simulate(top, host, background=[listener(top.tx, received)])
    assert alarm == [1]
    assert len(received) < 3 * count // 2


@pytest.mark.parametrize(("wait_bits", "break_bits"), [(0, 10), (3, 10), (6, 40)])
def test_top_starts_afresh_after_a_break(wait_bits, break_bits):
    top, config = make_top("ovp-decoder", pairs=8)
    sent, expected = decoder_bytes(config, np.array([range(8)], np.uint8), [1])
    illegal, answer = decoder_bytes(config, np.full((1, 8), 0x88, np.uint8), [0])
    before, received = [], []

    async def host(ctx):
        # Answers of 17 bytes to questions of 9: at the break a byte is on the line, others wait before and behind the
        # core.
        await send(ctx, top.rx, illegal * 8)
        await ctx.delay(wait_bits * BIT_S)
        assert ctx.get(top.alarm) == 1
        ctx.set(top.rx, 0)
        await ctx.delay(break_bits * BIT_S)
        ctx.set(top.rx, 1)
        # A byte may have begun just before the break was one.
        await ctx.delay(11 * BIT_S)
        before.extend(received)
        for _ in range(200):
            assert (ctx.get(top.alarm), ctx.get(top.tx)) == (0, 1)
            await ctx.delay(BIT_S / 4)
        await send(ctx, top.rx, sent)
        await ctx.delay(12 * BIT_S * len(expected))

    simulate(top, host, background=[listener(top.tx, received)])
    assert 17 < len(before) < 8 * 17
    assert before == (answer * 8)[: len(before)]
    assert received[len(before) :] == expected


def test_top_forgets_an_incomplete_question_at_a_break():
    top, config = make_top("ovp-decoder", pairs=3)
    sent, expected = decoder_bytes(config, np.array([[0x12, 0x34, 0x56]], np.uint8), [1])
    received = []

    async def host(ctx):
        await send(ctx, top.rx, sent[:3])
        ctx.set(top.rx, 0)
        await ctx.delay(10 * BIT_S)
        ctx.set(top.rx, 1)
        await ctx.delay(BIT_S)
        await send(ctx, top.rx, sent)
        await ctx.delay(12 * BIT_S * len(expected))

    simulate(top, host, background=[listener(top.tx, received)])
    assert received == expected


def test_top_has_a_heartbeat_of_about_a_second():
    core = lookup("ovp-decoder")
    top = SerialTop(core.component(core.config()), 1000, 250)
    edges = []

    async def watch(ctx):
        before, cycle = 0, 0
        async for *_, level in ctx.tick().sample(top.heartbeat):
            if level != before:
                edges.append(cycle)
            before, cycle = level, cycle + 1

    simulate(top, background=[watch], deadline=4200e-6)
    assert edges[:4] == [512, 1024, 1536, 2048]


def test_top_refuses_a_core_that_does_not_fit_between_two_serial_lines():
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match=r"^a core .* no input beside its stream; OvpDecoder has bias in this config"):
        SerialTop(core.component(core.config(bias_port=True)), CLOCK_HZ, BAUD)

    class TwoOutputs(wiring.Component):
        i: In(stream.Signature(8))
        o: Out(stream.Signature(8))
        p: Out(stream.Signature(8))

    with pytest.raises(ValueError, match=r"1 input and 1 output stream; TwoOutputs has 1 and 2$"):
        SerialTop(TwoOutputs(), CLOCK_HZ, BAUD)
    with pytest.raises(ValueError, match=r"^baud must be 1 to 250000 for a clock of 1000000 Hz, not 1000000$"):
        SerialTop(core.component(core.config()), CLOCK_HZ, CLOCK_HZ)


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
    assert boards.lookup("ulx3s-85f").loader == "ulx3s"
    with pytest.raises(ValueError, match=r"^unknown board 'arty': there are icebreaker, ulx3s-85f, tang-nano-9k$"):
        boards.lookup("arty")


def test_amaranth_boards_is_not_imported_before_it_is_needed():
    code = "import sys, bitloom.fpga.flash, bitloom.fpga.build; print('amaranth_boards' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_board_can_ask_for_other_parameters_than_the_core():
    core = lookup("ovp-decoder")
    board = dataclasses.replace(ICEBREAKER, parameters={"ovp-decoder": ("pairs=4",)})
    assert board.config(core) == core.config(pairs=4)
    assert ICEBREAKER.config(core) == core.config()


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
        tools.ToolFailed, match=r"^nextpnr-ice40 failed with status 1: ERROR: too large \(log: .*\.log\)$"
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

        def __init__(self, core, clock_hz, baud):
            self.given = clock_hz, baud
            super().__init__()
            made.append(self)

        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.tx.eq(self.rx)
            return m

    made = []
    build(lookup("ovp-decoder"), None, ICEBREAKER, tmp_path / "out", top=Echo)
    assert made[0].given == (12_000_000, 115_200)


def check_bitstream(path, board):
    """The synchronisation word of the board's family is there, the part's number where there is one, and the length."""
    content = path.read_bytes()
    if board.family.name == "ice40":
        assert bytes.fromhex("7eaa997e") in content[:8]
        assert len(content) == 104_090
    elif board.family.name == "ecp5":
        assert b"Part: LFE5U-85F-6CABGA381" in content[:64]
        assert bytes.fromhex("ffffbdb3") in content[:64]
    else:
        lines = content.decode().split()
        assert int(lines[2], 2) == 0xA5C3
        assert int(lines[3], 2) & 0xFFFFFFFF == 0x1100481B  # GW1N-9C
        assert len(lines) > 700


def check_build(board, folder):
    result = build(lookup("ovp-decoder"), None, board, folder)
    assert not result.cached
    check_bitstream(result.bitstream, board)
    assert result.met and result.fmax_mhz > result.clock_mhz
    logic = {"ice40": "ICESTORM_LC", "ecp5": "TRELLIS_COMB", "gowin": "LUT4"}[board.family.name]
    assert 200 < result.utilization[logic][0] < 400
    return result.bitstream.read_bytes()


def test_bitstream_for_the_icebreaker(tmp_path, cache):
    check_build(ICEBREAKER, tmp_path / "out")


@pytest.mark.long
@pytest.mark.parametrize("board", [board for board in BOARDS.values() if board is not ICEBREAKER], ids=lambda b: b.name)
def test_bitstream_for_the_other_boards_is_the_same_every_time(board, tmp_path, cache, monkeypatch):
    first = check_build(board, tmp_path / "out")
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "another"))
    assert check_build(board, tmp_path / "out") == first


def test_gowin_is_placed_and_routed_by_himbaechel():
    core = lookup("ovp-decoder")
    board = BOARDS["tang-nano-9k"]
    design = OnBoard(SerialTop(core.component(core.config()), board.clock_hz, board.baud), board)
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
    ],
)
def test_flash_command(name, expected):
    assert flash_command(expected[-1], boards.lookup(name)) == expected


def test_flash_refuses_a_bitstream_of_another_family():
    with pytest.raises(ValueError, match=r"^a bitstream for tang-nano-9k must end in \.fs, not 'x\.bin'$"):
        flash("x.bin", BOARDS["tang-nano-9k"], dry_run=True)


@pytest.fixture
def loader(tmp_path, cache, monkeypatch):
    """Put a program in the place of openFPGALoader that records how it is called; give a function that makes it."""
    calls = tmp_path / "calls"

    def make(output="", status=0):
        text = (
            "if '--Version' in sys.argv: sys.exit(print('openFPGALoader v1.1.1'))\n"
            f"open({str(calls)!r}, 'a').write(repr(sys.argv[1:]) + chr(10))\n"
            f"print({output!r}, file=sys.stderr)\nsys.exit({status})\n"
        )
        path = program(tmp_path / "loader", text)
        monkeypatch.setenv("OPENFPGALOADER", path)
        return path

    make.calls = lambda: calls.read_text().splitlines() if calls.exists() else []
    make.bitstream = tmp_path / "x.bin"
    make.bitstream.write_bytes(b"bits")
    return make


def test_flash_calls_the_loader(loader):
    path = loader("Wait for CDONE DONE")
    command = [path, "-b", "ice40_generic", str(loader.bitstream)]
    assert flash(loader.bitstream, ICEBREAKER) == command
    assert loader.calls() == [repr(command[1:])]


def test_flash_dry_run_gives_the_command_and_calls_nothing(loader, tmp_path):
    path = loader()
    missing = tmp_path / "not-built.bin"
    assert flash(missing, ICEBREAKER, dry_run=True) == [path, "-b", "ice40_generic", str(missing)]
    assert loader.calls() == []


def test_flash_dry_run_does_without_a_loader(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENFPGALOADER", str(tmp_path / "nothing"))
    assert flash("x.bin", ICEBREAKER, dry_run=True) == ["openFPGALoader", "-b", "ice40_generic", "x.bin"]
    (tmp_path / "x.bin").write_bytes(b"bits")
    with pytest.raises(tools.ToolMissing, match="names no program"):
        flash(tmp_path / "x.bin", ICEBREAKER)


def test_flash_without_a_bitstream_says_to_build_it(loader, tmp_path):
    loader()
    with pytest.raises(FileNotFoundError, match=r"make it first, with `bitloom build CORE --board icebreaker`$"):
        flash(tmp_path / "nothing.bin", ICEBREAKER)
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
    with pytest.raises(tools.ToolFailed, match=message) as raised:
        flash(loader.bitstream, ICEBREAKER)
    assert "\n" not in str(raised.value)
    assert len(loader.calls()) == 1
