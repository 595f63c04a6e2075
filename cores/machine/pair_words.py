"""The machine's encoders of outlier-victim pairs: words of results, and elements of rows, two of which become one.

What comes in has fixed point, `golden.machine.pairs`; both encoders have the same arithmetic as `ovp-encoder`. Our
choice; the paper tells no hardware for it.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine.pairs import FRACTION, PAIRS
from ...golden.machine.parts import WIDE
from ...hdl.stream.pipeline import delayed, queued
from ..olive.ovp import OvpEncoder, OvpEncoderConfig

__all__ = ["PairElements", "PairWords", "pair_value"]

#: Cycles of the encoder.
_LATENCY = 3
#: Elements in it, at most, and where they are written.
_INSIDE = 4


def _encoder(pairs):
    return OvpEncoder(OvpEncoderConfig(normal=PAIRS.name, pairs=pairs, width=WIDE, fraction=FRACTION))


def pair_value(m, octet, second):
    """One of a pair's two values, of 8 bits with sign; combinational.

    Parameters
    ----------
    m : Module
        Takes the decoder's statements.
    octet : Value
        The pair's byte.
    second : Value
        The value of the byte's higher half.

    Returns
    -------
    Value
    """
    codes = octet[: PAIRS.bits], octet[PAIRS.bits :]
    mine, other, value = Signal(PAIRS.bits), Signal(PAIRS.bits), Signal(signed(8))
    m.d.comb += [mine.eq(Mux(second, codes[1], codes[0])), other.eq(Mux(second, codes[0], codes[1]))]
    # Beside the identifier a code is an outlier. So a value depends on 5 bits, and is read from a table.
    tables = PAIRS.normal_table, PAIRS.outlier_table
    values = [Const(int(number), signed(8)) for exponents, integers in tables for number in integers << exponents]
    m.d.comb += value.eq(Array(values)[Cat(mine, other == PAIRS.identifier)])
    return value


class PairWords(wiring.Component):
    """Words of results, of which two that are to be pairs become one; the others go through.

    Latency 3 cycles; nothing holds.

    Parameters
    ----------
    shape : StructLayout
        Of what goes along; its `codes`, of 16 bits, have fixed point where they become pairs.

    Attributes
    ----------
    valid, pairs, odd : in 1
        There is a word; it becomes half of pairs; the higher half, whose word is the next one behind the lower half.
    i, o : in, out of `shape`
        Of two words `o` is the second one, whose `codes` are the bytes of the pairs.
    written : out 1
        There is a word at `o`.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__(
            {"valid": In(1), "pairs": In(1), "odd": In(1), "i": In(shape), "o": Out(shape), "written": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.shape["codes"].shape.length
        m.submodules.encoder = encoder = _encoder(lanes)
        lower = Signal.like(self.i.codes, name="lower", reset_less=True)
        flags = delayed(m, "flags", data.StructLayout({"valid": 1, "pairs": 1}), _LATENCY)
        words = delayed(m, "along", self.shape, _LATENCY, reset_less=True)
        m.d.comb += [
            flags[0].valid.eq(self.valid & (~self.pairs | self.odd)),
            flags[0].pairs.eq(self.pairs),
            words[0].eq(self.i),
            encoder.i.valid.eq(self.valid & self.pairs & self.odd),
            encoder.o.ready.eq(1),
            self.written.eq(flags[-1].valid),
            self.o.eq(words[-1]),
        ]
        with m.If(self.valid):
            m.d.sync += lower.eq(self.i.codes)
        for lane in range(lanes):
            values = encoder.i.payload.values
            m.d.comb += [values[2 * lane].eq(lower[lane]), values[2 * lane + 1].eq(self.i.codes[lane])]
            with m.If(flags[-1].pairs):
                m.d.comb += self.o.codes[lane].eq(encoder.o.payload.codes[lane].as_signed())
        return m


class PairElements(wiring.Component):
    """Elements of rows, of which two become one: a pair.

    Parameters
    ----------
    shape : StructLayout
        Of an element that goes out: `code`, of 8 bits, and where it goes.

    Attributes
    ----------
    i : in stream
        `code`, of 16 bits, fixed point; `odd`, it is the higher half; `place`, of the pair; `lane`; `end`, of the job.
    o : out stream of `shape`
    """

    def __init__(self, shape):
        self.shape = shape
        members = {name: member.shape for name, member in shape}
        self._along = data.StructLayout({name: members[name] for name in ("place", "lane", "end")})
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(members | {"code": signed(WIDE), "odd": 1}))),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder = encoder = _encoder(1)
        source = stream.Signature(self._along).create(path=("along",))
        along = queued(m, "places", source, _INSIDE)
        lower, coming = Signal(signed(WIDE), reset_less=True), self.i.payload
        offered, given = self.i.valid & coming.odd, encoder.o.valid & along.valid
        m.d.comb += [
            encoder.i.valid.eq(offered & source.ready),
            source.valid.eq(offered & encoder.i.ready),
            self.i.ready.eq(~coming.odd | (encoder.i.ready & source.ready)),
            Cat(encoder.i.payload.values).eq(Cat(lower, coming.code)),
            self.o.valid.eq(given),
            self.o.payload.code.eq(encoder.o.payload.codes[0]),
            encoder.o.ready.eq(self.o.ready & along.valid),
            along.ready.eq(self.o.ready & encoder.o.valid),
        ]
        for name in self._along.members:
            m.d.comb += [source.payload[name].eq(coming[name]), self.o.payload[name].eq(along.payload[name])]
        with m.If(self.i.valid & ~coming.odd):
            m.d.sync += lower.eq(coming.code)
        return m
