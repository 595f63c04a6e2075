"""The softmax unit against its golden model, its cycles, and its streams."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from benches import passes

from bitloom.cores.catalogue import lookup
from bitloom.cores.gqa_lut.softmax_unit import SoftmaxUnit, SoftmaxUnitConfig, sum_width
from bitloom.golden.gqa_lut import softmax_unit as golden
from bitloom.golden.gqa_lut.integer_ops import softmax
from bitloom.golden.gqa_lut.row_cycles import SPARE, Buffer, Registers, Spare, Stages
from bitloom.testbench.formal import prove_no_path

CORE = lookup("softmax-unit")


def test_registers_hold_one_element_each():
    chain = Registers(2)
    assert [chain.room(), chain.enter(0)] == [-1, 2]
    chain.leave(2)
    # The next one follows in each cycle; that what follows took the last one late holds up the others.
    assert chain.enter(1) == 3
    chain.leave(9)
    assert chain.enter(2) == 10 and chain.room() == 9


def test_stages_hold_two_values_each():
    chain, ends = Stages(), []
    for time in range(4):
        assert chain.room() <= time
        ends.append(chain.enter(time))
        chain.leave(20 + time)
    assert ends[0] == 2
    # The fourth is in the first spare register, until the first one has left.
    assert chain.room() > 20


def test_a_buffer_has_room_for_a_row():
    buffer = Buffer(4)
    for time in range(4 + SPARE):
        assert buffer.room() <= time
        buffer.enter(time)
        if time == 0:
            assert buffer.next() == 3
            buffer.leave(50)
    # The second one has gone on to the spare register, and waits for it.
    assert buffer.next() == 51
    buffer.leave(60)
    assert buffer.next() == 61


def test_a_spare_register_holds_one_or_none():
    spare = Spare()
    assert spare.room() == 0
    # What goes through makes room for the next cycle; what waits does when it leaves.
    spare.leave(3)
    assert spare.room() == 4


def test_cycles():
    config = SoftmaxUnitConfig()
    assert golden.latency(config) == 22
    for length in (1, 2, 7, 100, 1008):
        for count in (1, 2, 5):
            assert golden.cycles(config, [length] * count) == 22 + (count + 2) * length - 2
    # A few rows behind a longer one wait without a gap; of more, all that follow wait until it has been added up.
    assert golden.cycles(config, [100, 1, 1, 1, 100]) == 22 + 403 - 2
    assert golden.cycles(config, [100, 1, 1, 1, 1, 100]) == 22 + 404 - 2 + 99


def test_width_of_a_sum():
    assert sum_width(SoftmaxUnitConfig(max_length=1)) == 8
    assert sum_width(SoftmaxUnitConfig(max_length=1024)) == 18
    assert sum_width(SoftmaxUnitConfig(max_length=1 << 16)) == 24


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"^out_bits must be 1 to 15, not 16$"):
        SoftmaxUnitConfig(out_bits=16)
    with pytest.raises(ValueError, match=r"^max_length must be 1 to 65536, not 0$"):
        SoftmaxUnitConfig(max_length=0)


def test_no_path_from_ready_to_ready():
    core = SoftmaxUnit(SoftmaxUnitConfig(max_length=2))
    prove_no_path(core, "o__ready", ["i__ready", "o__valid", "o__payload", "error"], "softmax_unit")


def test_a_mask_bit_means_what_it_means_to_the_model():
    """1 keeps a logit, in the unit, in its model, and in an attention mask, where padding is 0."""
    logits, mask = np.array([3, 100, -20, 127, 9]), np.array([1, 1, 1, 0, 0])
    dut = SoftmaxUnit(SoftmaxUnitConfig(max_length=8, mask=True))
    found = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for place, (logit, kept) in enumerate(zip(logits.tolist(), mask.tolist(), strict=True)):
            ctx.set(dut.i.payload, {"logit": logit, "mask": kept, "last": place == len(logits) - 1})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        for _ in logits:
            (probability,) = await ctx.tick().sample(dut.o.payload.probability).until(dut.o.valid)
            found.append(probability)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == softmax(logits, dut.config.scale, mask=mask).tolist()
    assert found == [*softmax(logits[:3], dut.config.scale).tolist(), 0, 0]


def check(parameters, vectors, seed=1):
    config, result = passes(CORE.name, parameters, vectors, seed)
    assert (result.latency, result.interval) == (golden.latency(config), 1)


@pytest.mark.parametrize("parameters", (["max_length=40", "mask=true"], ["max_length=1"]), ids=" ".join)
def test_unit_matches_its_golden_model(parameters):
    check(parameters, 1500)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    (
        ["scale=5"],
        ["out_bits=15", "mask=true", "entries=16", "scale=4"],
        ["out_bits=1", "max_length=2", "scale=0"],
        ["out_bits=12", "max_length=3", "scale=7", "mask=true"],
        ["out_bits=15", "max_length=4096"],
    ),
    ids=" ".join,
)
def test_unit_matches_its_golden_model_long(parameters):
    check(parameters, 20_000, seed=2)
