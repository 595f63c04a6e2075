"""Proofs on small systolic tiles: the streams' rules under every pattern of stalls and resets."""

import itertools

import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.systolic.tile import SystolicConfig, SystolicTile
from bitloom.golden.systolic import tile as golden
from bitloom.testbench.formal import ProofFailed, held, prove, prove_emission, prove_no_path

SMALL = {"rows": 2, "cols": 1, "block": 1, "a_format": "int4", "w_format": "int4", "accumulator": 8}


class TileContract(wiring.Component):
    """What an output-stationary tile owes at its streams, for any stalls on the three of them and a reset at any time.

    - Its results hold until ready if its operands do.
    - Both operands' streams advance together.
    - Each reduction gives its rows of results, the last one marked, and nothing else: none is lost or repeated.
    - With something inside, a result comes in time whatever `ready` was; without stalls, operands are taken in time.
    - A watched reduction of one step gives the products of its operands, with the reductions before and after it any.

    Parameters
    ----------
    core : SystolicTile
        Output-stationary, of plain integers.
    rows_inside : int
        Rows of results that are on the way at most.
    watched : bool
        Whether to watch a reduction.
    """

    def __init__(self, core, rows_inside, watched=False):
        self.core, self.rows_inside, self.watched = core, rows_inside, watched
        ports = {f"{name}_payload": In(len(Value.cast(getattr(core, name).payload))) for name in "aw"}
        super().__init__(ports | {name: In(1) for name in ("a_valid", "w_valid", "o_ready", "watch")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        config = core.config
        for name in "aw":
            port = getattr(core, name)
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        m.d.comb += core.o.ready.eq(self.o_ready)
        held(m, core.o, Assert)

        taken, given = core.a.valid & core.a.ready, core.o.valid & core.o.ready
        ends = taken & (core.a.payload.last | core.w.payload.last)
        inside = Signal(range(self.rows_inside + config.rows + 1))
        place = Signal(range(config.rows))
        m.d.sync += inside.eq(inside + Mux(ends, config.rows, 0) - given)
        with m.If(given):
            m.d.sync += place.eq(Mux(place == config.rows - 1, 0, place + 1))
        m.d.comb += [
            Assert(taken == (core.w.valid & core.w.ready), "both operands are taken together"),
            Assert(inside <= self.rows_inside, "no more rows of results inside than there is room for"),
            Assert((inside != 0) | ~core.o.valid, "valid only with a result inside"),
            Assert(~core.o.valid | (core.o.payload.last == (place == config.rows - 1)), "last marks the last row"),
            Cover(inside == self.rows_inside, "as many rows of results inside as there is room for"),
        ]
        if self.watched:
            self._watch(m, taken, ends, given, inside, place)
        waited = Signal(range(64))
        m.d.sync += waited.eq(Mux((inside != 0) & ~core.o.valid, waited + 1, 0))
        m.d.comb += Assert(waited < golden.latency(config), "a result inside comes in time, whatever ready was")
        refused = Signal(range(64))
        m.d.sync += refused.eq(Mux(core.a.valid & core.w.valid & ~core.a.ready & core.o.ready, refused + 1, 0))
        # Behind a full queue, a reduction's rows leave first, and their places are known two cycles later.
        patience = config.rows + 2 * config.free_running
        m.d.comb += Assert(refused <= patience, "operands are taken in time while nothing stalls")
        return m

    def _watch(self, m, taken, ends, given, inside, place):
        """Follow one reduction of one step, any one, and hold its results against its operands."""
        core, config = self.core, self.core.config
        fresh, watching, ahead = Signal(init=1), Signal(), Signal.like(inside)
        enters = ends & fresh & self.watch & ~watching
        leaves = watching & (ahead < config.rows) & (ahead == config.rows - 1 - place) & core.o.valid
        operands = [Signal.like(Value.cast(getattr(core, name).payload.lanes), name=f"watched_{name}") for name in "aw"]
        m.d.comb += [operand.eq(AnyConst(len(operand))) for operand in operands]
        a, w = (
            [operand.word_select(lane, shape.width).as_signed() for lane in range(lanes)]
            for operand, shape, lanes in zip(
                operands, (config.a_shape, config.w_shape), (config.rows, config.cols), strict=True
            )
        )
        with m.If(taken):
            m.d.sync += fresh.eq(core.a.payload.last | core.w.payload.last)
        with m.If(enters):
            m.d.sync += [watching.eq(1), ahead.eq(inside + config.rows - 1 - given)]
            m.d.comb += [
                Assume(Value.cast(core.a.payload.lanes) == operands[0], "the watched activations"),
                Assume(Value.cast(core.w.payload.lanes) == operands[1], "the watched weights"),
            ]
        with m.Elif(watching & given):
            m.d.sync += [ahead.eq(ahead - 1), watching.eq(ahead != 0)]
        for row, col in itertools.product(range(config.rows), range(config.cols)):
            wrong = core.o.payload.sums[col] != (a[row] * w[col])[: config.accumulator].as_signed()
            m.d.comb += Assert(~(leaves & (place == row) & wrong), "a watched reduction gives its products")
        m.d.comb += Cover(leaves & given, "a watched row leaves")


def tile(**fields):
    return SystolicTile(SystolicConfig(**SMALL | fields))


def test_tile_keeps_the_contract():
    prove(TileContract(tile(), 9), "tile")


def test_tile_fills():
    prove(TileContract(tile(), 9), "tile", mode="cover", depth=30)


def free_running():
    """Its queue, whose own contract is proved for all times, has as many places as all else needs for a pause."""
    this = tile(pipeline="free-running")
    return this, golden.latency(this.config) + this.config.rows + 3


@pytest.mark.parametrize("depth", [14, pytest.param(18, marks=pytest.mark.long)])
def test_free_running_tile_keeps_the_contract_in_the_first_cycles(depth):
    # In 16 cycles the queue can be full, as the next test says; of 22 there is no answer in five minutes.
    prove(TileContract(*free_running()), "tile-free", mode="bmc", depth=depth)


@pytest.mark.long
def test_free_running_tile_fills():
    prove(TileContract(*free_running()), "tile-free", mode="cover", depth=16)


@pytest.mark.long
def test_watched_reduction_gives_its_products():
    # Up to the results of a reduction that begins in any of the first cycles.
    prove(TileContract(tile(), 9, watched=True), "tile-watched", mode="bmc", depth=11)


def test_room_is_not_larger_than_it_is():
    with pytest.raises(ProofFailed, match="no more rows of results inside"):
        prove(TileContract(tile(), 8), "tile-wrong")


@pytest.mark.parametrize("dataflow", golden.DATAFLOWS)
@pytest.mark.parametrize("a_format", ["int4", "ovp-int4"])
def test_tile_cuts_paths(a_format, dataflow):
    core = tile(a_format=a_format, w_format=a_format, accumulator=32, dataflow=dataflow)
    targets = ["a__ready", "w__ready", "o__valid", "o__payload"]
    prove_no_path(core, "o__ready", targets, "tile")
    prove_no_path(tile(), "a__payload", ["o__valid", "o__payload"], "tile")
    prove_no_path(tile(pipeline="free-running"), "o__ready", targets, "tile")


def test_verilog_is_what_amaranth_gives():
    core = lookup("systolic-tile")
    config = core.config.parse(core.small)
    prove_emission(generate(core, config), core.component(config))
