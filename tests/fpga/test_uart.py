# amaranth: UnusedElaboratable=no
"""fpga.uart against waveforms written down here, in time and not in clock cycles."""

import random
from collections import Counter

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from bitloom.fpga.link.uart import MIN_DIVISOR, UartReceiver, UartTransmitter, divisor, error

CLOCK_S = 1e-6


def simulate(dut, *benches, background=()):
    sim = Simulator(dut)
    sim.add_clock(CLOCK_S)
    for bench in benches:
        sim.add_testbench(bench)
    for bench in background:
        sim.add_testbench(bench, background=True)
    sim.run()


def bits(byte, stop=1):
    """A frame: start bit, eight data bits with the lowest first, stop bit."""
    return [0, *(byte >> position & 1 for position in range(8)), stop]


async def drive(ctx, rx, levels, bit_s):
    for level in levels:
        ctx.set(rx, level)
        await ctx.delay(bit_s)


def collector(dut, received):
    async def collect(ctx):
        ctx.set(dut.o.ready, 1)
        async for *_, valid, payload in ctx.tick().sample(dut.o.valid, dut.o.payload):
            if valid:
                received.append(payload)

    return collect


def counter(dut, troubles):
    """Count the cycles in which the receiver says that something is wrong."""

    async def count(ctx):
        async for *_, framing, overflow in ctx.tick().sample(dut.framing, dut.overflow):
            troubles.update(["framing"] * framing + ["overflow"] * overflow)

    return count


@pytest.mark.parametrize("error", [-0.02, 0, 0.02])
@pytest.mark.parametrize("cycles", [MIN_DIVISOR, 5, 16])
def test_receiver_takes_bytes_of_a_clock_that_is_off_by_two_percent(cycles, error):
    dut = UartReceiver(cycles)
    rng = random.Random(cycles)
    sent = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *rng.choices(range(256), k=90)]
    received = []

    async def line(ctx):
        bit_s = cycles * CLOCK_S * (1 + error)
        for byte in sent:
            await drive(ctx, dut.rx, bits(byte), bit_s)
            # Back to back most of the time, else at any phase of the clock.
            await ctx.delay(rng.choice([0, 0, rng.random()]) * bit_s)
        await ctx.delay(2 * bit_s)

    troubles = Counter()
    simulate(dut, line, background=[collector(dut, received), counter(dut, troubles)])
    assert received == sent
    assert not troubles


def test_receiver_gives_a_byte_in_the_middle_of_its_stop_bit():
    dut = UartReceiver(16)

    async def line(ctx):
        await drive(ctx, dut.rx, bits(0xC3)[:-1], 16 * CLOCK_S)
        ctx.set(dut.rx, 1)
        cycles = 0
        while not ctx.get(dut.o.valid):
            await ctx.tick()
            cycles += 1
        assert ctx.get(dut.o.payload) == 0xC3
        # Half a bit, and three flip-flops: two of the synchroniser and the output's.
        assert 16 / 2 <= cycles <= 16 / 2 + 3

    simulate(dut, line)


def test_receiver_ignores_a_glitch():
    dut = UartReceiver(16)
    received = []

    async def line(ctx):
        await drive(ctx, dut.rx, [0], 6 * CLOCK_S)
        await drive(ctx, dut.rx, [1, 1], 16 * CLOCK_S)
        await drive(ctx, dut.rx, [*bits(0x5A), 1], 16 * CLOCK_S)

    troubles = Counter()
    simulate(dut, line, background=[collector(dut, received), counter(dut, troubles)])
    assert received == [0x5A]
    assert not troubles


def test_receiver_drops_a_frame_without_a_stop_bit_and_says_so():
    dut = UartReceiver(8)
    received, troubles = [], Counter()

    async def line(ctx):
        bit_s = 8 * CLOCK_S
        await drive(ctx, dut.rx, [*bits(0x11), *bits(0x22, stop=0), 1, 1], bit_s)
        assert troubles == {"framing": 1}
        await drive(ctx, dut.rx, [*bits(0x33), 1], bit_s)
        assert troubles == {"framing": 1}

    simulate(dut, line, background=[collector(dut, received), counter(dut, troubles)])
    assert received == [0x11, 0x33]


@pytest.mark.parametrize("before", [[], bits(0xFF)[:4], bits(0x80)[:9]], ids=["idle", "amid a byte", "late in a byte"])
def test_receiver_takes_a_line_that_stays_low_for_one_frame_without_a_stop_bit(before):
    dut = UartReceiver(8)
    received, troubles = [], Counter()

    async def line(ctx):
        bit_s = 8 * CLOCK_S
        # The longest low time of data is start bit and eight zeros, here from a slow sender.
        await drive(ctx, dut.rx, [*bits(0x00), 1], 1.02 * bit_s)
        assert not troubles
        await drive(ctx, dut.rx, [*before, *[0] * 40, 1], bit_s)
        assert troubles == {"framing": 1}
        await drive(ctx, dut.rx, [*bits(0x42), 1], bit_s)

    simulate(dut, line, background=[collector(dut, received), counter(dut, troubles)])
    assert received == [0x00, 0x42]
    assert troubles == {"framing": 1}


def test_receiver_holds_a_byte_that_is_not_taken_and_says_that_others_were_lost():
    dut = UartReceiver(8)
    troubles = Counter()

    async def line(ctx):
        bit_s = 8 * CLOCK_S
        await drive(ctx, dut.rx, [*bits(0x11), 1], bit_s)
        assert (ctx.get(dut.o.valid), ctx.get(dut.o.payload), troubles["overflow"]) == (1, 0x11, 0)
        await drive(ctx, dut.rx, [*bits(0x22), 1], bit_s)
        assert (ctx.get(dut.o.valid), ctx.get(dut.o.payload), troubles["overflow"]) == (1, 0x11, 1)
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(dut.o.ready, 0)
        assert ctx.get(dut.o.valid) == 0
        await drive(ctx, dut.rx, [*bits(0x33), 1], bit_s)
        assert (ctx.get(dut.o.valid), ctx.get(dut.o.payload), troubles["overflow"]) == (1, 0x33, 1)

    simulate(dut, line, background=[counter(dut, troubles)])


def test_receiver_loses_nothing_when_a_byte_is_taken_as_the_next_one_comes():
    def run(taken_in):
        """Two bytes; the first is taken in one given cycle, if at all; give the cycles of overflow and what is left."""
        dut = UartReceiver(8)
        overflow, left = [], []

        async def line(ctx):
            await drive(ctx, dut.rx, [*bits(0x11), *bits(0x22), 1], 8 * CLOCK_S)
            left.append((ctx.get(dut.o.valid), ctx.get(dut.o.payload)))

        async def take(ctx):
            cycle = 0
            while True:
                ctx.set(dut.o.ready, cycle == taken_in)
                await ctx.tick()
                cycle += 1
                if ctx.get(dut.overflow):
                    overflow.append(cycle)

        simulate(dut, line, background=[take])
        return overflow, left[0]

    overflow, left = run(None)
    assert left == (1, 0x11)
    # The flag is seen in the cycle after the one in which the byte was lost.
    for cycle in (overflow[0] - 2, overflow[0] - 1):
        assert run(cycle) == ([], (1, 0x22))
    late, left = run(overflow[0])
    assert late and left == (0, 0x11)


@pytest.mark.parametrize("cycles", [MIN_DIVISOR, 13])
def test_transmitter_sends_frames_back_to_back_without_losing_a_cycle(cycles):
    dut = UartTransmitter(cycles)
    sent = [0x00, 0xFF, 0xA5, 0x01, 0x80]
    levels = []

    async def source(ctx):
        await ctx.tick().repeat(3)
        ctx.set(dut.i.valid, 1)
        for byte in sent:
            ctx.set(dut.i.payload, byte)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(12 * cycles)

    async def watch(ctx):
        async for *_, tx in ctx.tick().sample(dut.tx):
            levels.append(tx)

    simulate(dut, source, background=[watch])
    expected = [bit for byte in sent for bit in bits(byte) for _ in range(cycles)]
    start = levels.index(0)
    assert start == 4
    assert levels[start : start + len(expected)] == expected
    assert set(levels[start + len(expected) :]) == {1}


@pytest.mark.parametrize("receiver_cycles", [49, 50, 51])
def test_receiver_and_transmitter_understand_each_other_at_two_percent(receiver_cycles):
    m = Module()
    m.submodules.transmitter = transmitter = UartTransmitter(50)
    m.submodules.receiver = receiver = UartReceiver(receiver_cycles)
    m.d.comb += receiver.rx.eq(transmitter.tx)
    sent = [0x00, 0xFF, 0x55, 0x80, 0x01, 0x7E]
    received = []

    async def source(ctx):
        ctx.set(transmitter.i.valid, 1)
        for byte in sent:
            ctx.set(transmitter.i.payload, byte)
            await ctx.tick().until(transmitter.i.ready)
        ctx.set(transmitter.i.valid, 0)
        await ctx.tick().repeat(600)

    troubles = Counter()
    simulate(m, source, background=[collector(receiver, received), counter(receiver, troubles)])
    assert received == sent
    assert not troubles


def test_echo_through_streams():
    m = Module()
    m.submodules.receiver = receiver = UartReceiver(8)
    m.submodules.transmitter = transmitter = UartTransmitter(8)
    connect(m, receiver.o, transmitter.i)
    levels = []

    async def line(ctx):
        await drive(ctx, receiver.rx, [*bits(0x96), *[1] * 12], 8 * CLOCK_S)

    async def watch(ctx):
        async for *_, tx in ctx.tick().sample(transmitter.tx):
            levels.append(tx)

    simulate(m, line, background=[watch])
    start = levels.index(0)
    assert levels[start : start + 80] == [bit for bit in bits(0x96) for _ in range(8)]


@pytest.mark.parametrize(
    ("clock_hz", "baud", "cycles"),
    [(12_000_000, 115_200, 104), (25_000_000, 115_200, 217), (27_000_000, 115_200, 234), (12_000_000, 3_000_000, 4)],
)
def test_divisor(clock_hz, baud, cycles):
    assert divisor(clock_hz, baud) == cycles


@pytest.mark.parametrize(
    ("baud", "message"),
    [
        (0, r"^baud must be 1 to 3000000 for a clock of 12000000 Hz, not 0$"),
        (3_000_001, r"^baud must be 1 to 3000000 for a clock of 12000000 Hz, not 3000001$"),
        (2_700_000, r"^baud must be within 2% of 12000000 Hz divided by a whole number, not 2700000: .* is 3000000$"),
    ],
)
def test_divisor_refuses_what_the_clock_cannot_give(baud, message):
    with pytest.raises(ValueError, match=message):
        divisor(12_000_000, baud)


def test_three_megabaud_on_an_ulx3s():
    """Its oscillator does not divide to them; a PLL's clock does, exactly or nearly."""
    with pytest.raises(ValueError, match=r"of 25000000 Hz .*, not 3000000: the nearest, 4\.2% away, is 3125000$"):
        divisor(25_000_000, 3_000_000)
    assert (divisor(75_000_000, 3_000_000), error(75_000_000, 3_000_000)) == (25, 0)
    assert divisor(100_000_000, 3_000_000) == 33
    assert error(100_000_000, 3_000_000) == pytest.approx(1 / 99)


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_components_refuse_a_bad_divisor(component):
    with pytest.raises(ValueError, match=r"^divisor must be 4 or more, not 3$"):
        component(3)
    with pytest.raises(TypeError, match=r"^divisor must be an int, not 10\.5$"):
        component(10.5)
