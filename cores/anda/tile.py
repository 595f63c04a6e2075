"""The Anda tile: rows x cols processing elements for grouped activations and INT4 weights (HPCA 2025, Section IV).

Output-stationary: a row is a token, a column is an output channel. A group of activations comes as a word of signs and
M words of mantissa planes; each processing element makes the group's integer dot product of it, one plane a cycle, and
what follows is floating point: exponent, weight scale, FP32 sum over the groups, FP16 result. `share` rows of a column
have one floating-point unit, which costs nothing as long as a group has as many transfers.

Beside it, with the same sums and results, two kinds of processing elements to compare it with: `figna`, whole 13-bit
mantissas times INT4 (FIGNA, HPCA 2024), and `fp16`, weights dequantized to FP16, products and sums in FP32, as on a
GPU. Each makes `lanes` products a cycle. With 4 lanes that is as many as an Anda processing element makes with groups
of 64 at M = 15, which makes `64 / (M + 1)`. A `fp16` one serves `share` rows in turn, because an addition takes several
cycles and rows do not depend on each other: a tile has fewer of them, not slower ones, as long as `share` is above
`adder`.

Differs from the paper by our choice: weights are registered for a column, not in each processing element; the FP16
rounding of a dot product, which can overflow, is an option. Our choice where the paper is silent: groups along K, and
symmetric weights only, without a zero point. The M + 1 cycles of a group are derived from the paper's Figure 15.
"""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.anda import tile as golden
from ...golden.anda.planes import CONVERSIONS, MAX_MANTISSA
from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import FP16, FP32
from ...hdl.stream.delay import Delay
from ...hdl.stream.pipeline import registered
from ...hdl.stream.stages import Stage
from ..config import Config, param
from .accumulator import token_layout
from .column import Fp16Column, ParallelColumn, SerialColumn
from .feed import ParallelFeed, SerialFeed
from .pe import WEIGHT_BITS, ParallelRow, SerialRow

__all__ = ["AndaTile", "AndaTileConfig"]


@dataclass(frozen=True)
class AndaTileConfig(Config):
    """Parameters of `AndaTile`."""

    rows: int = param(4, "tokens", low=1, high=64)
    cols: int = param(4, "output channels", low=1, high=64)
    group: int = param(64, "activations that share an exponent", choices=(16, 32, 64))
    max_mantissa: int = param(16, "longest mantissa, anda only; figna has 13 bits", low=1, high=MAX_MANTISSA)
    share: int = param(4, "rows of a column that share a floating-point unit; a divisor of rows", low=1, high=16)
    adder: int = param(5, "cycles of an FP32 addition; a group takes one more at least", low=3, high=5)
    conversion: str = param("fp32", "what a group's integer becomes, fp32: exact to 24 bits", choices=CONVERSIONS)
    output: str = param("fp16", "format of the results; fp32: the accumulators", choices=("fp16", "fp32"))
    signs: str = param("inline", "a group's signs: before its planes, or beside the first one", choices=golden.SIGNS)
    pe: str = param("anda", "arithmetic: bit-serial; aligned integers; floating point", choices=golden.PES)
    lanes: int = param(4, "products a cycle of a figna or fp16 processing element", choices=(1, 2, 4, 8, 16))

    def __post_init__(self):
        super().__post_init__()
        if self.rows % self.share:
            raise ValueError(f"share must divide the {self.rows} rows, not be {self.share}")

    @property
    def units(self):
        """Floating-point units of a column."""
        return self.rows // self.share

    @property
    def dot_shape(self):
        """A group's dot product."""
        return signed(golden.dot_bits(self))

    @property
    def exponent_shape(self):
        """Exponent of a dot product, less M where that may change."""
        return signed(6) if self.pe == "anda" else unsigned(5)

    @property
    def exponent_offset(self):
        """What, with the exponent, makes that of the dot product's unit, 2**(E - 14 - M)."""
        return -14 if self.pe == "anda" else -14 - golden.ALIGNED

    @property
    def normal(self):
        """Whether no sum can be subnormal, infinite or NaN."""
        return self.pe != "fp16" and self.conversion == "fp32"

    @property
    def result_format(self):
        """The `FloatFormat` of the results."""
        return FP16 if self.output == "fp16" else FP32

    @property
    def lanes_layout(self):
        """Mantissas of a row, with sign, for the products of a cycle."""
        return data.ArrayLayout(signed(golden.ALIGNED + 1), self.lanes)

    @property
    def numbers_layout(self):
        """FP16 numbers of a row for the products of a cycle."""
        return data.ArrayLayout(FP16.layout, self.lanes)

    @property
    def weights_layout(self):
        """Weights of a column for the products of a cycle."""
        return data.ArrayLayout(signed(WEIGHT_BITS), self.lanes)

    @property
    def a_layout(self):
        """Payload of the stream `a`: a word for each row, and what belongs to a group; row 0 and step 0 are lowest.

        `anda`: `words`, `group` bits a row. `figna`: `signs` and `mantissas`, `lanes` a row. `fp16`: `values`, `lanes`
        numbers for one row of each `share`, of `fraction`, `exponent` and `sign`. `exponents`, one a row, count in a
        group's first transfer; with `signs` beside they are in `heads`. `last`, the reduction ends, counts in a group's
        last transfer; with `fp16` it must be high in the `share` transfers of the last step.
        """
        fields = {"exponents": data.ArrayLayout(5, self.rows), "last": 1}
        if self.pe == "figna":
            mantissas = data.ArrayLayout(golden.ALIGNED, self.lanes)
            fields = {
                "signs": data.ArrayLayout(self.lanes, self.rows),
                "mantissas": data.ArrayLayout(mantissas, self.rows),
            } | fields
        elif self.pe == "fp16":
            fields = {"values": data.ArrayLayout(self.numbers_layout, self.units), "last": 1}
        elif self.signs == "beside":
            fields = {"words": data.ArrayLayout(self.group, self.rows), "last": 1}
        else:
            fields = {"words": data.ArrayLayout(self.group, self.rows)} | fields
        return data.StructLayout(fields)

    @property
    def heads_layout(self):
        """Payload of the stream `heads`: `signs` and `exponents` of a group; row 0 and step 0 are lowest."""
        signs = data.ArrayLayout(self.group, self.rows)
        return data.StructLayout({"signs": signs, "exponents": data.ArrayLayout(5, self.rows)})

    @property
    def w_layout(self):
        """Payload of the stream `w`: a word for each column; column 0 and step 0 are lowest.

        `anda`: `planes`, one of the four weight planes of a group, `group` bits a column, sign first. Else `weights`,
        `lanes` a column.
        """
        if self.pe == "anda":
            return data.StructLayout({"planes": data.ArrayLayout(self.group, self.cols)})
        return data.StructLayout({"weights": data.ArrayLayout(self.weights_layout, self.cols)})

    @property
    def scales_layout(self):
        """Payload of the stream `scales`: `scales`, for 128 weights along K or the rest of them.

        One FP16 number a column, column 0 lowest: `fraction`, `exponent` and `sign`.
        """
        return data.StructLayout({"scales": data.ArrayLayout(FP16.layout, self.cols)})

    @property
    def o_layout(self):
        """Payload of the stream `o`: `values`, an FP16 or FP32 code a column, column 0 lowest; `last` row."""
        return data.StructLayout({"values": data.ArrayLayout(self.result_format.width, self.cols), "last": 1})


class AndaTile(wiring.Component):
    """Matrix products of grouped activations and INT4 weights with a scale for 128 of them.

    With `anda`, a group is one word of signs and `mantissa` words of planes, most significant first, on `a`, and four
    words of weight planes on `w`, which are loaded while the group before is worked on. A group takes `mantissa + 1`
    cycles; with `signs` beside, where a stream of its own brings the signs, `mantissa`; and never less than `share`, or
    than `adder` and one, by which time the four transfers of the next weights are over too. `figna` and `fp16` take
    weights and activations together.

    Each reduction begins with a scale on `scales`, and takes another one for every 128 steps along K. Its last group
    waits until the results of the one before it have left, so reductions shorter than the latency and `rows` idle. A
    blocked output holds up nothing else. Latency as `golden.anda.tile.latency`; one transfer on `a` a cycle. Weights
    and scales wait in registers, and their `ready` depends on `valid` of `a` and `heads`; that of these two depends on
    `valid` of the other one, and on `last` where `a` offers it.

    A scale that is not finite gives any results of its reduction; a mantissa out of range any results until reset.
    Activations that are not finite are numbers to `anda` and `figna`, and to `fp16` what they are to IEEE 754.

    Parameters
    ----------
    config : AndaTileConfig

    Attributes
    ----------
    mantissa : in
        Only `anda`: bits of a mantissa, 1 to `config.max_mantissa`, taken with a group's first transfer.
    a : in stream of `config.a_layout`
        Activations, group after group along K. `anda`: of each group a word of signs, unless they are beside, and the
        planes of its mantissas, the most significant one first. `figna`: `lanes` steps a transfer. `fp16`: `lanes`
        steps a transfer, of the first row of each unit, then of the second one, to the last of the `share` rows.
    heads : in stream of `config.heads_layout`
        Only with `signs` beside: signs and exponents, one group a transfer.
    w : in stream of `config.w_layout`
        Weights, group after group along K. `anda`: of each group four planes, the sign first. Else `lanes` steps a
        transfer.
    scales : in stream of `config.scales_layout`
        Scales, one transfer for 128 steps along K, the first ones first.
    o : out stream of `config.o_layout`
        Results, one row a transfer, row 0 first: `golden.anda.planes.matmul`, or `golden.anda.tile.fp16_matmul`.
    """

    def __init__(self, config):
        self.config = config
        ports = {name: In(stream.Signature(getattr(config, f"{name}_layout"))) for name in self._inputs(config)}
        if config.pe == "anda":
            ports["mantissa"] = In(config.max_mantissa.bit_length())
        super().__init__(ports | {"o": Out(stream.Signature(config.o_layout))})

    @staticmethod
    def _inputs(config):
        heads = ("heads",) if config.pe == "anda" and config.signs == "beside" else ()
        return "a", *heads, "w", "scales"

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.feed = feed = (SerialFeed if config.pe == "anda" else ParallelFeed)(config)
        taken = self._enter(m, feed)
        kind = {"anda": SerialColumn, "figna": ParallelColumn, "fp16": Fp16Column}[config.pe]
        columns = [kind(config) for _ in range(config.cols)]
        for index, column in enumerate(columns):
            m.submodules[f"column_{index}"] = Replica(column)
            m.d.comb += [column.scale.eq(taken.scales.scales[index]), column.rescale.eq(feed.rescale)]
        connections = {"anda": self._serial, "figna": self._parallel, "fp16": self._floating}[config.pe]
        token, delay = connections(m, feed, columns, taken)
        self._finish(m, feed, columns, token, delay)
        return m

    def _enter(self, m, feed):
        """Connect the input streams; the payloads that the feed takes.

        Weights and scales wait in registers, so what a group waits for does not go from one stream to the next.
        """
        taken = SimpleNamespace()
        for name in self._inputs(self.config):
            port, target = flipped(getattr(self, name)), getattr(feed, name)
            if name in ("w", "scales"):
                port = registered(m, f"{name}_register", port)
            connect(m, port, target)
            setattr(taken, name, port.payload)
        return taken

    def _serial(self, m, feed, columns, taken):
        """Rows and columns of bit-serial processing elements."""
        m.d.comb += feed.mantissa.eq(self.mantissa)
        if self.config.signs == "inline":
            signs, exponents = taken.a.words, taken.a.exponents
        else:
            signs, exponents = taken.heads.signs, taken.heads.exponents
        rows = [SerialRow(self.config) for _ in range(self.config.rows)]
        for index, row in enumerate(rows):
            m.submodules[f"row_{index}"] = Replica(row)
            m.d.comb += [
                row.head.eq(feed.open),
                row.signs.eq(signs[index]),
                row.plane.eq(taken.a.words[index]),
                row.exponent.eq(exponents[index]),
                row.mantissa.eq(self.mantissa),
            ]
            for column in columns:
                m.d.comb += [
                    column.positive[index].eq(row.positive),
                    column.negative[index].eq(row.negative),
                    column.negatives[index].eq(row.negatives),
                    column.shifts[index].eq(row.shift),
                ]
        for index, column in enumerate(columns):
            m.d.comb += [
                column.plane.eq(taken.w.planes[index]),
                column.load.eq(feed.load),
                column.swap.eq(feed.open),
            ]
        return self._integer(m, feed, rows, columns)

    def _parallel(self, m, feed, columns, taken):
        """Rows and columns of bit-parallel processing elements."""
        rows = [ParallelRow(self.config) for _ in range(self.config.rows)]
        for index, row in enumerate(rows):
            m.submodules[f"row_{index}"] = Replica(row)
            m.d.comb += [
                row.head.eq(feed.open),
                row.signs.eq(taken.a.signs[index]),
                row.mantissas.eq(taken.a.mantissas[index]),
                row.exponent.eq(taken.a.exponents[index]),
            ]
            for column in columns:
                m.d.comb += [column.lanes[index].eq(row.lanes), column.shifts[index].eq(row.shift)]
        for index, column in enumerate(columns):
            m.d.comb += column.weights.eq(taken.w.weights[index])
        return self._integer(m, feed, rows, columns)

    def _integer(self, m, feed, rows, columns):
        """Control of dot products; the values that come of a group, and after how many cycles the adders have them."""
        config = self.config
        step, fresh = Signal(golden.SUMMED - 1), Signal(golden.SUMMED - 1, reset_less=True)
        ended = Signal(golden.SUMMED + golden.CONVERT - 1)
        first, last = (Signal(golden.SUMMED, name=name, reset_less=True) for name in ("first", "last"))
        m.d.sync += [
            step.eq(Cat(feed.step, step)),
            fresh.eq(Cat(feed.fresh, fresh)),
            ended.eq(Cat(feed.ended, ended)),
            first.eq(Cat(feed.first, first)),
            last.eq(Cat(feed.last, last)),
        ]
        start = ended[golden.SUMMED - 1]
        m.d.comb += [row.ended.eq(ended[0]) for row in rows]
        for column in columns:
            m.d.comb += [
                column.step.eq(step[-1]),
                column.fresh.eq(fresh[-1]),
                column.ended.eq(ended[1]),
                column.start.eq(start),
                column.hold.eq(ended[-1]),
            ]
        # The rows take their turns from the cycle of `start` on.
        token, following = (Signal(token_layout(config.share), name=name) for name in ("token", "following"))
        with m.If(start):
            m.d.comb += [token.valid.eq(1), token.first.eq(first[-1]), token.last.eq(last[-1])]
        with m.Else():
            m.d.comb += token.eq(following)
        more = token.index != config.share - 1
        m.d.sync += [
            following.eq(token),
            following.valid.eq(token.valid & more),
            following.index.eq(token.index + more),
        ]
        return token, golden.CONVERT + golden.SCALE

    def _floating(self, m, feed, columns, taken):
        """Rows and columns of floating-point processing elements; results as of `_integer`."""
        config = self.config
        width = 16 * config.lanes
        for unit, values in enumerate(taken.a.values):
            m.submodules[f"delay_{unit}"] = Replica(delay := Delay(width, golden.DEQUANTIZE))
            m.d.comb += [delay.en.eq(1), delay.i.eq(values)]
            for column in columns:
                m.d.comb += column.activations[unit].as_value().eq(delay.o)
        for index, column in enumerate(columns):
            m.d.comb += column.weights.eq(taken.w.weights[index])
        token = Signal(token_layout(config.share))
        fields = {"valid": feed.step, "first": feed.first, "last": feed.last, "index": feed.index}
        m.d.comb += [token[name].eq(value) for name, value in fields.items()]
        return token, golden.latency(config) - config.adder - self._round - 2

    @property
    def _round(self):
        return golden.ROUND if self.config.output == "fp16" else 0

    def _finish(self, m, feed, columns, token, delay):
        """Control of the accumulators from the values on, which are at the adders `delay` cycles later; the drain."""
        config = self.config
        stages = [token]
        for stage in range(1, delay + config.adder + self._round + 1):
            stages.append(Signal(token.shape(), name=f"token_{stage}"))
            m.d.sync += stages[stage].eq(stages[stage - 1])
        select, write, store = stages[delay - 1], stages[delay + config.adder], stages[-1]
        row = Signal(range(config.rows))
        draining, free = Signal(), Signal(init=1)
        for column in columns:
            m.d.comb += [
                column.control.select.eq(select),
                column.control.write.eq(write),
                column.control.store.eq(store),
                column.control.store.valid.eq(store.valid & store.last),
                column.row.eq(row),
            ]
        m.submodules.egress = Replica(egress := Stage(config.o_layout))
        connect(m, egress.o, flipped(self.o))
        m.d.comb += [
            feed.free.eq(free),
            egress.i.valid.eq(draining),
            egress.i.payload.last.eq(row == config.rows - 1),
            *(egress.i.payload.values[index].eq(column.result) for index, column in enumerate(columns)),
        ]
        # Rows of integers follow each other without a gap, so the first one may go; others wait for the last one.
        begin = config.share - 1 if config.pe == "fp16" else 0
        with m.If(store.valid & store.last & (store.index == begin)):
            m.d.sync += draining.eq(1)
        with m.If(feed.finish):
            m.d.sync += free.eq(0)
        with m.If(draining & egress.i.ready):
            m.d.sync += row.eq(Mux(row == config.rows - 1, Const(0), row + 1))
            with m.If(row == config.rows - 1):
                m.d.sync += [draining.eq(0), free.eq(1)]
