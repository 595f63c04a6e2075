"""The N:M selector against its golden model, and what its bench cannot see."""

import itertools

import numpy as np
import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.sat.selector import NmSelector, NmSelectorConfig
from bitloom.cores.sat.tile import NmTileConfig
from bitloom.golden.sat import selector as golden
from bitloom.golden.sat import sparse as nm_sparse
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import held, prove, prove_emission, prove_no_path
from bitloom.testbench.runner import simulate

CORE = "nm-selector"


def through(config, w, n, **options):
    """Values and indices of weights, shape (lanes, K), that go through the Verilated selector; its cycles."""
    bits, m, (lanes, k) = config.bits, config.group, w.shape
    fields = np.concatenate([(w.T[..., None] >> np.arange(bits)) & 1, np.zeros((k, 1, bits), int)], axis=1)
    fields[-1, -1, 0] = 1
    flat = fields.reshape(k, -1)[:, : lanes * bits + 1].astype(np.uint8)
    design = generate(lookup(CORE), config)
    slots = -(-k // m) * n
    inputs = {"i": np.packbits(flat, axis=1, bitorder="little")}
    driven = drive(design, inputs, {"o": slots}, constants={"slots": n}, **options)
    assert driven.failure is None
    width = bits + nm_sparse.index_bits(m)
    got = np.unpackbits(driven.outputs["o"], axis=1, bitorder="little")[:, : lanes * width + 1].astype(int)
    assert got[:, -1].tolist() == [0] * (slots - 1) + [1]
    got = got[:, :-1].reshape(slots, lanes, width).transpose(1, 0, 2)
    values, indices = ((part << np.arange(part.shape[-1])).sum(-1) for part in (got[..., :bits], got[..., bits:]))
    values -= (values >> (bits - 1)) << bits
    return values.reshape(lanes, -1, n), indices.reshape(lanes, -1, n), driven.cycles


def test_every_group_of_four_int4_weights():
    config = NmSelectorConfig(8, 4, "int4")
    w = np.array(list(itertools.product(range(-8, 8), repeat=4))).reshape(8, -1)
    for n in (1, 2, 3, 4):
        values, indices, cycles = through(config, w, n)
        expected = nm_sparse.select(w, n, 4)
        assert (values == expected[0]).all() and (indices == expected[1]).all()
        assert cycles == golden.cycles(config, w.shape[1] // 4, n)


@pytest.mark.parametrize(
    "group, n, slots",
    [
        ([3] * 8, 2, [(0, 3), (1, 3)]),
        ([0] * 8, 2, [(0, 0), (1, 0)]),
        ([-128, 127, 127, -128, 0, 1, 2, 3], 2, [(0, -128), (3, -128)]),
        ([-5, 5, -5, 5, 6, -6, 0, 0], 2, [(4, 6), (5, -6)]),
        ([-5, 5, -5, 5, 6, -6, 0, 0], 4, [(0, -5), (1, 5), (4, 6), (5, -6)]),
    ],
)
def test_vectors_of_the_specification(group, n, slots):
    values, indices, _ = through(NmSelectorConfig(1), np.array([group]), n)
    assert list(zip(indices[0, 0].tolist(), values[0, 0].tolist(), strict=True)) == slots


def test_a_row_that_ends_within_a_group_is_filled_with_zeros():
    config = NmSelectorConfig(1)
    w = np.array([[1, -2, 3, -4, 5, -6, 7, -8, 0, 0, -9]])
    values, indices, cycles = through(config, w, 4)
    assert values.tolist() == [[[5, -6, 7, -8], [0, 0, -9, 0]]]
    assert indices.tolist() == [[[4, 5, 6, 7], [0, 1, 2, 3]]]
    assert cycles == golden.cycles(config, 2, 4)


def test_slots_are_what_the_tile_takes():
    for group in golden.GROUPS:
        selector, tile = NmSelectorConfig(5, group, "int4"), NmTileConfig(2, 5, group, w_format="int4")
        assert selector.o_layout == tile.w_layout


def test_cycles():
    """A group in M cycles whatever N; its slots behind it."""
    config = NmSelectorConfig()
    assert [golden.cycles(config, 1, n) for n in (1, 2, 8)] == [8 + 4, 8 + 5, 8 + 11]
    assert golden.cycles(config, 96, 8) - golden.cycles(config, 95, 8) == 8


@pytest.mark.parametrize(
    "parameters",
    [["lanes=2"], ["lanes=3", "group=4"], ["lanes=1", "format=int4"], ["lanes=5", "group=4", "format=int4"]],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=500, seed=4)
    assert result.passed, result.summary()
    assert (result.vectors, result.latency, result.interval) == (500, golden.LATENCY, 1)


class SelectorContract(wiring.Component):
    """What the selector owes at its streams, for any stalls, any N for each group and a reset at any time.

    - Its slots hold until ready if its weights do.
    - Each group gives N slots, and nothing else comes.
    - With a group inside, a slot comes in time whatever `ready` was; weights are taken in time if nothing stalls.

    Parameters
    ----------
    core : NmSelector
        Of one lane.
    """

    def __init__(self, core):
        self.core = core
        super().__init__(
            {
                "slots": In(len(core.slots)),
                "i_payload": In(len(Value.cast(core.i.payload))),
                "i_valid": In(1),
                "o_ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        group = core.config.group
        m.d.comb += [
            Assume((self.slots > 0) & (self.slots <= group), "a legal N"),
            core.slots.eq(self.slots),
            core.i.valid.eq(self.i_valid),
            Value.cast(core.i.payload).eq(self.i_payload),
            core.o.ready.eq(self.o_ready),
        ]
        held(m, core.i, Assume)
        held(m, core.o, Assert)

        taken, given = core.i.valid & core.i.ready, core.o.valid & core.o.ready
        place, taken_n, n = Signal(range(group)), Signal.like(core.slots), Signal.like(core.slots)
        ends = taken & ((place == group - 1) | core.i.payload.last)
        m.d.comb += n.eq(Mux(place == 0, self.slots, taken_n))
        with m.If(taken):
            m.d.sync += [place.eq(Mux(ends, 0, place + 1)), taken_n.eq(n)]
        room = 3 * group + 2
        inside = Signal(range(room + group + 1))
        m.d.sync += inside.eq(inside + Mux(ends, n, 0) - given)
        m.d.comb += [
            Assert(inside <= room, "no more slots inside than there is room for"),
            Assert((inside != 0) | ~core.o.valid, "valid only with a slot inside"),
            Cover(inside == 3 * group, "three groups inside"),
        ]
        waited, refused = Signal(range(64)), Signal(range(64))
        m.d.sync += [
            waited.eq(Mux((inside != 0) & ~core.o.valid, waited + 1, 0)),
            refused.eq(Mux(core.i.valid & ~core.i.ready & core.o.ready, refused + 1, 0)),
        ]
        m.d.comb += [
            # Weights that are missing in the group come first.
            Assert(waited < golden.LATENCY + group - 1, "a slot comes in time, whatever ready was"),
            Assert(refused <= 2 * group, "weights are taken in time while nothing stalls"),
        ]
        return m


def small():
    return NmSelector(NmSelectorConfig(1, 4, "int4"))


def test_selector_keeps_the_contract_for_two_groups():
    """They come in, and the first slot of the second one goes out, within these cycles."""
    prove(SelectorContract(small()), "nm-selector", mode="bmc", depth=12)


@pytest.mark.long
def test_selector_keeps_the_contract():
    prove(SelectorContract(small()), "nm-selector")


def test_selector_fills():
    prove(SelectorContract(small()), "nm-selector", mode="cover", depth=24)


def test_no_path_from_ready_to_ready():
    prove_no_path(small(), "o__ready", ["i__ready", "o__valid", "o__payload"], "nm-selector")


def test_verilog_is_what_amaranth_gives():
    core = lookup(CORE)
    config = core.config.parse(core.small)
    prove_emission(generate(core, config), core.component(config))


def test_wrong_requests_are_refused():
    for message, request in {
        "group must be one of 8, 4, not 2": lambda: NmSelectorConfig(group=2),
        "format must be one of int8, int4, not 'int16'": lambda: NmSelectorConfig(format="int16"),
        "N of M = 8 must be 1 to 8, not 9": lambda: golden.cycles(NmSelectorConfig(), 1, 9),
        "groups must be 1 or more, not 0": lambda: golden.cycles(NmSelectorConfig(), 0, 1),
    }.items():
        with pytest.raises(ValueError, match=message):
            request()
