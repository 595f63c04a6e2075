# amaranth: UnusedElaboratable=no
"""The SDRAM controller with the SDRAM that watches its rules: against an array, its rate, and its faults."""

import os
import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator
from askers import Asker, Request, drawn, expected, run
from sdram_parts import TOY, cycles

from bitloom.cores.generate import bare
from bitloom.hdl.memory_port.sdram import columns
from bitloom.hdl.memory_port.sdram.controller import SdramController
from bitloom.hdl.memory_port.sdram.hold import Hold
from bitloom.hdl.memory_port.sdram.timing import ULX3S
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove_no_path
from bitloom.testbench.memory_port.sdram_memory import SdramMemory
from bitloom.testbench.memory_port.sdram_rules import Rule


def exchange(timing, requests, stalls=(0, 0, 0), patience=20_000, width=8, cells=(), **options):
    """What an asker reads, its array would give, and the rule that was broken; the last one and whether an error is."""
    words = timing.bits // width
    options = {"buffer": 4 * timing.columns * timing.data_bits // width} | options
    memory = SdramMemory(timing, (words - 1).bit_length(), width, cells=cells, **options)
    asker, last = Asker(memory.port, requests, stalls), {}

    async def watch(ctx):
        async for _, _, broken, error in ctx.tick().sample(memory.broken, memory.error):
            last.update(broken=broken, error=error)

    run(memory, [asker], patience, watch)
    array = [0] * words
    for place, column in enumerate(cells):
        array[place * timing.data_bits // width] |= column << (place * timing.data_bits % width)
    return asker, expected(requests, array), last


@pytest.mark.parametrize("stalls", [(0, 0, 0), (0.9, 0, 0), (0, 0.8, 0), (0, 0, 0.8), (0.3, 0.3, 0.3), (0, 0, 0.9)])
def test_reads_what_an_array_reads(stalls):
    requests = [*drawn(3, 24, 0, 32, 8)]
    asker, wanted, last = exchange(TOY, requests, stalls, cells=[number % 16 for number in range(64)])
    assert (asker.read, last) == (wanted, {"broken": Rule.KEPT, "error": 0})


def drawn_timing(generator):
    """Any times, any small size; the interval of refresh as short as the controller takes it."""
    some = {
        name: cycles(generator.randint(1, 9))
        for name in ("t_rcd", "t_rp", "t_ras", "t_rc", "t_wr", "t_rrd", "t_rfc", "t_mrd")
    }
    timing = replace(
        TOY,
        columns=generator.choice([8, 16, 32]),
        rows=generator.choice([2, 8]),
        banks=generator.choice([2, 4]),
        data_bits=generator.choice([1, 4]),
        cas_latency=generator.choice([2, 3]),
        clock=70,
        first_refreshes=generator.randint(1, 3),
        power_up=cycles(generator.randint(1, 300)),
        **some,
    )
    burst = sum(timing.cycles(name) for name in ("t_rp", "t_rcd", "t_ras", "t_rc", "t_rfc", "t_wr"))
    return replace(timing, t_refi=cycles(2 * timing.columns + burst))


@pytest.mark.parametrize("number", [0, 1, *(pytest.param(number, marks=pytest.mark.long) for number in range(2, 30))])
def test_any_times_are_kept(number):
    generator = random.Random(f"{os.environ['BITLOOM_SEED']} {number}")
    timing = drawn_timing(generator)
    width = timing.data_bits * generator.choice([2, 4])
    words = timing.bits // width
    requests = [*drawn(number, 25, 0, words, width, longest=40)]
    stalls = [generator.choice([0, 0.3, 0.8]) for _ in range(3)]
    asker, wanted, last = exchange(timing, requests, stalls, width=width, delay=generator.randint(0, 2))
    assert (asker.read, last) == (wanted, {"broken": Rule.KEPT, "error": 0}), timing


#: What the SDRAM wants, and of what the controller believes some cycles less; each is what decides then. ACTIVATE comes
#: three cycles behind the wait for tRRD at the earliest, so a cycle is not enough there.
SHORTER = {
    Rule.T_RCD: ({"t_rrd": 2}, "t_rcd", 1),
    Rule.T_RP: ({"t_rc": 2}, "t_rp", 1),
    Rule.T_RAS: ({"t_rc": 2}, "t_ras", 1),
    Rule.T_RC: ({"t_rc": 30}, "t_rc", 1),
    Rule.T_WR: ({"t_wr": 12}, "t_wr", 1),
    Rule.T_RRD: ({"t_rrd": 12}, "t_rrd", 4),
    Rule.T_RFC: ({}, "t_rfc", 1),
    Rule.T_MRD: ({"t_mrd": 6}, "t_mrd", 3),
}


@pytest.mark.parametrize("rule", SHORTER)
def test_sdram_tells_a_controller_that_does_not_wait(rule):
    change, name, less = SHORTER[rule]
    timing = replace(TOY, **{key: cycles(value) for key, value in change.items()})
    controlled = replace(timing, **{name: cycles(timing.cycles(name) - less)})
    # A row for a word, in both banks; back to another row at once.
    requests = [Request(place * 4 % 32, 1, (place,) if place % 3 == 0 else None) for place in (0, 2, 4, 1, 3, 0, 6, 2)]
    for believed, broken in ((timing, Rule.KEPT), (controlled, rule)):
        _, _, last = exchange(timing, requests, controlled=believed)
        assert last["broken"] == broken


@pytest.mark.parametrize(
    "change, rule",
    [
        ({"cas_latency": 3}, Rule.MODE_VALUE),
        ({"power_up": cycles(1), "t_refi": cycles(60)}, Rule.POWER_UP),
        ({"first_refreshes": 1}, Rule.POWER_UP),
        ({"t_refi": cycles(1000)}, Rule.STARVED),
    ],
)
def test_sdram_tells_a_controller_that_believes_otherwise(change, rule):
    timing = replace(TOY, power_up=cycles(100))
    requests = [Request(0, 32)] * 12
    _, _, last = exchange(timing, requests, controlled=replace(timing, **change))
    assert last["broken"] == rule


def test_sdram_tells_a_controller_that_drives_too_soon(monkeypatch):
    monkeypatch.setattr(columns, "Hold", lambda running: Hold(running=1))
    _, _, last = exchange(TOY, [Request(0, 2), Request(0, 1, (1,)), Request(1, 2), Request(1, 1, (1,))])
    assert last["broken"] == Rule.CONTENTION


@pytest.mark.parametrize("delay", [1, 2])
def test_it_does_not_drive_while_columns_are_late(delay):
    requests = [Request(0, 2), Request(0, 1, (1,)), Request(1, 2), Request(1, 1, (1,)), Request(0, 4)]
    asker, wanted, last = exchange(TOY, requests, delay=delay)
    assert (asker.read, last["broken"]) == (wanted, Rule.KEPT)


@pytest.mark.parametrize("latency", [2, 3])
def test_nothing_is_lost_while_the_asker_stalls_and_refresh_goes_on(latency):
    timing = replace(TOY, cas_latency=latency)
    memory = SdramMemory(timing, 5, 8, cells=[number % 16 for number in range(64)], buffer=8)
    simulator = Simulator(memory)
    simulator.add_clock(1e-8)

    async def bench(ctx):
        ctx.set(memory.port.request.payload, {"address": 0, "words": 31, "write": 0})
        ctx.set(memory.port.request.valid, 1)
        await ctx.tick().until(memory.port.request.ready)
        ctx.set(memory.port.request.valid, 0)
        for word in range(32):
            await ctx.tick().repeat(450 if word % 8 == 0 else 1)
            ctx.set(memory.port.read.ready, 1)
            (seen,) = await ctx.tick().sample(memory.port.read.payload).until(memory.port.read.valid)
            ctx.set(memory.port.read.ready, 0)
            assert seen == (2 * word % 16) | (2 * word + 1) % 16 << 4
        assert ctx.get(memory.broken) == Rule.KEPT

    simulator.add_testbench(bench)
    simulator.run()


def test_after_a_reset_at_any_time_it_works_and_no_rule_is_broken():
    generator, line = random.Random(5), Signal()
    memory = SdramMemory(TOY, 5, 8, cells=(), buffer=16)
    simulator = Simulator(ResetInserter(line)(memory))
    simulator.add_clock(1e-8)

    async def bench(ctx):
        async def ask(address, words, write):
            ctx.set(memory.port.request.payload, {"address": address, "words": words - 1, "write": write})
            ctx.set(memory.port.request.valid, 1)
            await ctx.tick().until(memory.port.request.ready)
            ctx.set(memory.port.request.valid, 0)

        for moment in range(24):
            value = generator.getrandbits(8)
            await ask(moment, 1, 1)
            ctx.set(memory.port.write.payload, value)
            ctx.set(memory.port.write.valid, 1)
            await ctx.tick().until(memory.port.write.ready)
            ctx.set(memory.port.write.valid, 0)
            await ask(moment, 1, 0)
            ctx.set(memory.port.read.ready, 1)
            (seen,) = await ctx.tick().sample(memory.port.read.payload).until(memory.port.read.valid)
            assert (seen, ctx.get(memory.broken)) == (value, Rule.KEPT)
            # In the middle of a long read, or of a write.
            await ask(0, 32, moment % 2)
            ctx.set(memory.port.write.valid, 1)
            await ctx.tick().repeat(moment + 1)
            ctx.set(memory.port.write.valid, 0)
            ctx.set(line, 1)
            await ctx.tick()
            ctx.set(line, 0)
            ctx.set(memory.port.read.ready, 0)

    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("requests", [[Request(31, 2)], [Request(30, 5, (1, 2, 3, 4, 5)), Request(0, 32)]])
def test_beyond_the_end_it_wraps_and_says_so(requests):
    asker, wanted, last = exchange(TOY, requests, cells=[number % 16 for number in range(64)])
    assert (asker.read, last) == (wanted, {"broken": Rule.KEPT, "error": 1})


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((ULX3S, 22, 24), {}, "width must be 16 bits of a column times 2, 4, 8 ..., not 24"),
        ((ULX3S, 22, 16), {}, "width must be 16 bits of a column times 2, 4, 8 ..., not 16"),
        ((TOY, 5, 32), {}, "width must be at most half a page of 8 columns, not 32 bits"),
        ((ULX3S, 21, 64), {}, r"memory must have a power of two from 2 to 2\*\*21 words, not 4194304"),
        ((ULX3S, 22, 64), {"buffer": 48}, "buffer must be a power of two, at least 64 words, not 48"),
        ((ULX3S, 22, 64), {"buffer": 32}, "buffer must be a power of two, at least 64 words, not 32"),
        ((ULX3S, 22, 64), {"delay": -1}, "delay must be 0 or more, not -1"),
        (
            (replace(ULX3S, t_refi=cycles(100)), 22, 64),
            {},
            "t_refi must be at least 283 cycles, as a burst goes before, not 100",
        ),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SdramController(*arguments, **options)


def test_no_stall_reaches_the_pins_or_another_stream():
    pins = ["ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq__o", "dq__oe"]
    sinks = [*(f"pins__{pin}" for pin in pins), "port__read__valid", "port__read__payload", "port__request__ready"]
    controller = SdramController(TOY, 5, 8, buffer=16)
    for source in ("port__read__ready", "port__request__valid", "port__write__valid", "pins__dq__i"):
        prove_no_path(controller, source, [*sinks, "port__write__ready"], "SdramController")


def rate(timing, width, words, first, count, **options):
    """Columns a cycle of a long read, in requests of some words, each of which is checked."""
    bits = (timing.bits // width - 1).bit_length()
    design = bare(SdramMemory(timing, bits, width, **options), "sdram_memory")
    image = np.random.default_rng(1).integers(0, 256, (22 << 19, 2), np.uint8)
    requests = [(first + place * words) | (words - 1) << bits for place in range(count)]
    size = -(-(bits + 9) // 8)
    payloads = np.array([[*request.to_bytes(size, "little")] for request in requests], np.uint8)
    done = drive(
        design,
        {"port__request": payloads, "port__write": np.zeros((0, width // 8), np.uint8)},
        {"port__read": words * count},
        memories={"storage": image},
        patience=2 * timing.cycles("power_up"),
    )
    assert done.failure is None and done.status == {"error": 0, "broken": Rule.KEPT.value}
    assert np.array_equal(done.outputs["port__read"], image.reshape(-1, width // 8)[first : first + words * count])
    read = done.last["port__read"] - done.first["port__read"]
    return (words * count - 1) * width // timing.data_bits / read


def test_a_long_read_has_95_per_cent_of_the_peak_with_refresh():
    assert rate(ULX3S, 64, 64, 127, 1000) > 0.98


@pytest.mark.long
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("words, first", [(256, 0), (256, 3), (64, 125), (16, 0), (4, 1), (1, 0)])
@pytest.mark.parametrize("latency, clock", [(2, 100), (3, 100), (3, 133)])
def test_every_long_read_has_95_per_cent(width, words, first, latency, clock):
    timing = replace(ULX3S, cas_latency=latency, clock=clock)
    assert rate(timing, width, words, first, 40_000 // words) > 0.95


def test_first_word_of_a_row_that_is_closed_or_open():
    timing = replace(ULX3S, columns=16, rows=4, power_up=cycles(100))
    memory = SdramMemory(timing, 6, 64, cells=(), buffer=16)
    simulator, waited = Simulator(memory), []
    simulator.add_clock(1e-8)

    async def bench(ctx):
        ctx.set(memory.port.read.ready, 1)
        await ctx.tick().repeat(1000)
        # A row of a bank without one; the same row; another one of the bank; the other bank's.
        for address in (0, 1, 16, 4):
            ctx.set(memory.port.request.payload, {"address": address, "words": 0, "write": 0})
            ctx.set(memory.port.request.valid, 1)
            await ctx.tick().until(memory.port.request.ready)
            ctx.set(memory.port.request.valid, 0)
            count = 1
            while not ctx.get(memory.port.read.valid):
                await ctx.tick()
                count += 1
            waited.append(count)
            await ctx.tick().repeat(30)

    simulator.add_testbench(bench)
    simulator.run()
    assert waited == [16, 13, 19, 16]
