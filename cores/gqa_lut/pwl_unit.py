"""The piecewise-linear unit of GQA-LUT (DAC 2024), and what it is compared with.

`int8` is the paper's: compare the code with all breakpoints, select slope and intercept, multiply, add the intercept
shifted by the scale, shift, round, saturate. `int16` is the same with numbers of 16 bits, for inputs that 8 bits are
too few for, as GELU's in an encoder. `int32` and `fp32` are the same with wider numbers, the baselines of the
paper's comparison; `fp32` has no shifters, as scales are in the numbers. `rom` is the exact function of every code, for
one fixed scale: 256 bytes, half a block RAM of an iCE40, and smaller than any of them where a block RAM is free.

What is called the paper's is known from summaries and from its public code, see `golden.gqa_lut.pwl`. The ranges of
`wide`, by powers of 8 and 16, are derived; the loading of tables, all roundings and the ROM are our choice.

Loaded tables cost registers: 8 * (3 * entries - 1) of them, twice what the rest of the `int8` unit has for 8 entries;
those of `int16` twice as many.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.gqa_lut import pwl as golden
from ...golden.gqa_lut import pwl_unit
from ...golden.gqa_lut.pwl_functions import FUNCTIONS
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.stages import SkidBuffer
from ..config import Config, param, to_text
from .pwl_datapath import PwlDatapath
from .pwl_float import PwlFloat
from .pwl_ranges import largest_range, scaled

__all__ = ["KINDS", "PwlUnit", "PwlUnitConfig"]

#: Places behind free-running registers: those of the registers, and four for the queue's own way.
_PLACES = 11

#: Kind: bits of a number.
KINDS = {"int8": 8, "int16": 16, "rom": 8, "int32": 32, "fp32": 32}


@dataclass(frozen=True)
class PwlUnitConfig(Config):
    """Parameters of `PwlUnit`."""

    kind: str = param("int8", "the paper's unit, exact values in a ROM, or a baseline", choices=KINDS)
    entries: int = param(8, "segments of a table that is loaded", choices=(8, 16))
    table: str = param(
        "none", "table that is fixed, and function of the ROM; none: load one", choices=("none", *golden.SHIPPED)
    )
    scale: int = param(5, "of a fixed table: a code q stands for q * 2**-scale", low=0, high=7)
    out_scale: int = param(5, "of a fixed table: the same for the output", low=0, high=15)
    unsigned_input: bool = param(False, "codes of a loaded table are 0 to 255")
    negate_input: bool = param(False, "a loaded table's slopes multiply -q")
    unsigned_output: bool = param(False, "outputs are 0 to 255")
    wide: int = param(0, "bits of a wide input for the fixed tables div and rsqrt; 0: 8-bit codes", low=0, high=62)
    fraction: int = param(0, "bits of a wide input below the point", low=0, high=32)
    specials: bool = param(True, "fp32 has subnormals, infinities and NaNs")

    def __post_init__(self):
        super().__post_init__()
        allowed = self._allowed()
        for name, (values, reason) in allowed.items():
            value = getattr(self, name)
            if value not in values:
                words = f"{values[0]} or more" if isinstance(values, range) else ", ".join(map(to_text, values))
                raise ValueError(f"{name} must be {words} {reason}, not {to_text(value)}")

    def _allowed(self):
        """What fields may be because of others: name to (values, reason), in the order in which they are looked at."""
        of_kind, of_table = f"for the kind {self.kind}", f"for the fixed table {self.table}"
        both = f"{of_kind} with the table {self.table}"
        allowed = {}
        if self.kind == "rom":
            allowed["table"] = golden.SHIPPED, "for the kind rom, which holds its function"
        if self.width > 8:
            allowed["table"] = ("none",), of_kind
            allowed |= dict.fromkeys(("unsigned_input", "negate_input", "unsigned_output"), ((False,), of_kind))
        elif not self.loaded:
            allowed |= dict.fromkeys(("unsigned_input", "negate_input"), ((False,), f"{of_table}, which has its own"))
            allowed["entries"] = (8,), f"{of_table}, which has its own"
            if not self.wide:
                allowed["scale"] = tuple(golden.shipped(self.table)), of_table
        if self.kind != "fp32":
            allowed["specials"] = (True,), of_kind
        if self.kind != "int8" or self.function not in golden.MULTI_RANGES:
            allowed["wide"] = (0,), f"{both}: it is for int8 with div or rsqrt"
        elif self.wide:
            allowed["wide"] = range(self.fraction + 3, 63), f"with a fraction of {self.fraction} bits"
        if not self.wide:
            allowed["fraction"] = (0,), "without a wide input"
        return allowed

    @property
    def width(self):
        """Bits of a number."""
        return KINDS[self.kind]

    @property
    def loaded(self):
        """Whether the table is loaded at run time."""
        return self.table == "none"

    @property
    def function(self):
        """Name of the fixed table's function."""
        return self.table.rpartition("-")[0]

    @property
    def fixed(self):
        """The fixed table and its scale, or None twice."""
        if self.loaded:
            return None, None
        scale = 5 if self.wide else self.scale
        return golden.shipped(self.table)[scale], scale

    @property
    def unsigned_codes(self):
        """Whether codes are unsigned."""
        return self.unsigned_input if self.loaded else FUNCTIONS[self.function].first >= 0

    @property
    def in_shape(self):
        """Shape of a code, or of a wide input."""
        if self.wide:
            return unsigned(self.wide)
        return unsigned(self.width) if self.unsigned_codes or self.kind == "fp32" else signed(self.width)

    @property
    def out_shape(self):
        """Shape of an output."""
        if self.wide:
            return signed(17)
        return unsigned(self.width) if self.unsigned_output or self.kind == "fp32" else signed(self.width)

    @property
    def left(self):
        """Bits that a loaded output shift of 0 shifts left: exp, whose output scale is 8, needs 2 at the scale 0."""
        return 2 if self.negate_input else 0

    @property
    def in_layout(self):
        """Payload of the input: `data`, a code; with a loaded table also `load` and `last`.

        `load`: it is a word of the table; `last`: the table's last word.
        """
        framing = {"load": 1, "last": 1} if self.loaded else {}
        return data.StructLayout({"data": self.in_shape, **framing})

    @property
    def out_layout(self):
        """Payload of the output: `data`, the result; of a wide input, `range` too, which tells its scale."""
        more = {"range": largest_range(self.function, self.wide, self.fraction).bit_length()} if self.wide else {}
        return data.StructLayout({"data": self.out_shape, **more})


class PwlUnit(wiring.Component):
    """Evaluate a piecewise-linear function, one result a cycle.

    A loaded table comes over the input stream, in order with the codes: `golden.gqa_lut.pwl_unit.words` gives the
    words. Codes after it use it, those before it do not; its words wait until the unit is empty, and have no output. In
    a wide unit, the result is ``data * 2**-(fraction_bits + 5 + step * range)``, with the step of
    `golden.gqa_lut.pwl.MULTI_RANGES`.

    Latency 7 cycles; 5 with a fixed table, 4 with a wide input, 1 of a ROM, 11 of FP32 (9 without specials), which
    holds fewer codes if they came with gaps. No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : PwlUnitConfig
    free_running : bool
        Only of integer units with a loaded table: registers that never hold, and a queue with room for what is inside.
        Latency 9 cycles; faster, above all with 16 bits.

    Attributes
    ----------
    i : in stream of `config.in_layout`
        Codes, which do not depend on each other, and between them the words of a table: thresholds, slopes, intercepts,
        each the first segment's first, and a word with the scale in its low half and the
        output shift, plus 2 where codes are negated, in its high half.
    o : out stream of `config.out_layout`
        A result for each code, in order, `golden.gqa_lut.pwl.evaluate` of it; 0 while there is no whole table, or one
        with a scale out of range.
    error : out 1
        High from the first code without such a table on, or the first wide input of 0, at the latest with its output,
        until reset. Only with a loaded table or a wide input.
    """

    def __init__(self, config, free_running=False):
        self.config, self.free_running = config, free_running
        ports = {"error": Out(1)} if config.loaded or config.wide else {}
        super().__init__(
            {"i": In(stream.Signature(config.in_layout)), "o": Out(stream.Signature(config.out_layout)), **ports}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.entry = entry = SkidBuffer(self.config.in_layout)
        connect(m, flipped(self.i), entry.i)
        if self.config.kind == "rom":
            self._rom(m, entry.o)
        elif self.config.kind == "fp32":
            self._float(m, entry.o)
        else:
            self._integer(m, entry.o)
        return m

    def _rom(self, m, codes):
        m.submodules.rom = rom = memory.Memory(
            shape=self.config.out_shape, depth=256, init=pwl_unit.exact(self.config).tolist()
        )
        port = rom.read_port()
        m.d.comb += [
            codes.ready.eq(self.o.ready | ~self.o.valid),
            port.addr.eq(codes.payload.data),
            port.en.eq(codes.ready),
            self.o.payload.data.eq(port.data),
        ]
        with m.If(codes.ready):
            m.d.sync += self.o.valid.eq(codes.valid)

    def _integer(self, m, codes):
        config = self.config
        table, scale = config.fixed
        tag = config.out_layout["range"].width if config.wide else 0
        shift = None if config.loaded or config.wide else table.fraction_bits + scale - config.out_scale
        m.submodules.datapath = datapath = PwlDatapath(
            table,
            scale,
            width=config.width,
            entries=config.entries,
            unsigned_codes=config.unsigned_codes,
            negate=config.negate_input if config.loaded else table.negate_input,
            shift=shift,
            left=config.left,
            out=None if config.wide else config.out_shape,
            tag=tag,
            free_running=self.free_running,
        )
        link = self._queue(m, datapath) if self.free_running else datapath.i
        if not self.free_running:
            m.d.comb += [
                self.o.valid.eq(datapath.o.valid),
                datapath.o.ready.eq(self.o.ready),
                self.o.payload.data.eq(datapath.o.payload.value),
            ]
        if not config.loaded:
            m.d.comb += [datapath.i.valid.eq(codes.valid), codes.ready.eq(datapath.i.ready)]
        if config.wide:
            code, range_ = scaled(m, codes.payload.data, config.function, config.fraction)
            m.d.comb += [
                datapath.i.payload.code.eq(code),
                datapath.i.payload.tag.eq(range_),
                self.o.payload.range.eq(datapath.o.payload.tag),
            ]
            with m.If(codes.valid & codes.ready & (codes.payload.data == 0)):
                m.d.sync += self.error.eq(1)
            return
        m.d.comb += datapath.i.payload.code.eq(codes.payload.data)
        if config.loaded:
            word, half = codes.payload.data.as_unsigned(), config.width // 2
            legal = (word[:half] < config.width) & (word[half:] < 2 * config.width)
            table, last, known = self._loaded(m, codes, link, datapath.busy, legal)
            scale, shift = Signal.like(datapath.scale, reset_less=True), Signal.like(datapath.shift, reset_less=True)
            with m.If(last):
                m.d.sync += [scale.eq(word[:half]), shift.eq(word[half:])]
            m.d.comb += [
                Cat(datapath.thresholds).eq(Cat(table[: config.entries - 1])),
                Cat(datapath.slopes, datapath.intercepts).eq(Cat(table[config.entries - 1 :])),
                datapath.known.eq(known),
                datapath.scale.eq(scale),
                datapath.shift.eq(shift),
            ]

    def _queue(self, m, datapath):
        """Free-running: results into a queue; valid and ready of the codes that have room there."""
        m.submodules.results = results = CreditQueue(self.config.out_layout, _PLACES)
        link = stream.Signature(self.config.in_layout).create()
        begins = link.valid & link.ready
        m.d.comb += [
            link.ready.eq(results.room),
            results.begin.eq(begins),
            datapath.i.valid.eq(begins),
            results.valid.eq(datapath.o.valid),
            results.payload.data.eq(datapath.o.payload.value),
        ]
        connect(m, results.o, flipped(self.o))
        return link

    def _float(self, m, codes):
        config = self.config
        m.submodules.datapath = datapath = PwlFloat(config.entries, config.specials)
        valids = Signal(datapath.latency)
        link = stream.Signature(config.in_layout).create()
        table, _, known = self._loaded(m, codes, link, valids[:-1].any(), Const(1))
        m.d.comb += [
            datapath.en.eq(self.o.ready | ~self.o.valid),
            link.ready.eq(datapath.en),
            datapath.x.eq(codes.payload.data),
            datapath.known.eq(known),
            Cat(datapath.breakpoints).eq(Cat(table[: config.entries - 1])),
            Cat(datapath.slopes, datapath.intercepts).eq(Cat(table[config.entries - 1 :])),
            self.o.valid.eq(valids[-1]),
            self.o.payload.data.eq(datapath.o),
        ]
        with m.If(datapath.en):
            m.d.sync += valids.eq(Cat(link.valid, valids))

    def _loaded(self, m, codes, link, busy, legal):
        """Take words of the table out of a stream, pass the codes on.

        Parameters
        ----------
        m : Module
        codes : stream
            Of `config.in_layout`.
        link : stream
            Gets valid and ready of the codes.
        busy : Value
            While it is high, words must wait.
        legal : Value
            Whether the word that comes may be the last one.

        Returns
        -------
        table : list of Signal
            Thresholds, slopes, intercepts.
        last : Value
            High while the table's last word is taken.
        known : Signal
            Whether there is a table.
        """
        config = self.config
        table = [Signal(config.width, name=f"word_{index}", reset_less=True) for index in range(3 * config.entries - 1)]
        take, known = Signal(), Signal()
        m.d.comb += [
            link.valid.eq(codes.valid & ~codes.payload.load),
            take.eq(codes.valid & codes.payload.load & ~busy),
            codes.ready.eq(Mux(codes.payload.load, ~busy, link.ready)),
        ]
        last = take & codes.payload.last
        # The integer units' last word is that of the scales; FP32 has none.
        with m.If(take if config.kind == "fp32" else take & ~codes.payload.last):
            m.d.sync += [
                word.eq(following) for word, following in zip(table, [*table[1:], codes.payload.data], strict=True)
            ]
        with m.If(take):
            m.d.sync += known.eq(codes.payload.last & legal)
        with m.If(link.valid & link.ready & ~known):
            m.d.sync += self.error.eq(1)
        return table, last, known
