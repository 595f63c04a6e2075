"""Where tokens enter the low-rank vector core: their largest exponent, two buffers, and integers on the way out."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.floating.formats import FP16, shift_right_jam, stage
from .lvc_layer import BASE, lowest_lanes

__all__ = ["InputQuantizer", "TokenBuffer"]


class TokenBuffer(wiring.Component):
    """Two buffers of a token each, one being filled while the other is read.

    The unit of a token's integers is ``2**kx``. With exponent fields E (a value below 2**-14 counts as 2**-14, E = 1)
    ``kx + 20 = max(E_narrow - 1, E_wide - 9)``: one maximum, over what each channel asks for, is enough.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while its tokens come.
    start : in 1
        The tokens of a layer, `expected` of them, come from the next cycle on.
    x : in stream of `config.x_layout`
        Channels behind the last one count as 0. `ready` comes from registers.
    available : out 1
        There is a token that can be read; `base`, its exponent.
    begin : in 1
        It is about to be read: `available` and `base` are those of the one behind it from the next cycle on.
    vacate : in 1
        What is read in this cycle is the last word of its token.
    en, word : in
        Read that word of the token.
    data : out, `config.x_layout`
        A cycle later, until the next read.
    """

    def __init__(self, config):
        self.config = config
        words = config.max_channels // config.lanes
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "start": In(1),
                "expected": In(config.layer_layout["tokens"].shape),
                "x": In(stream.Signature(config.x_layout)),
                "available": Out(1),
                "base": Out(BASE),
                "begin": In(1),
                "vacate": In(1),
                "en": In(1),
                "word": In(range(words)),
                "data": Out(config.x_layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        lanes, words = config.lanes, config.max_channels // config.lanes
        m.submodules.tokens = tokens = memory.Memory(shape=lanes * FP16.width, depth=2 * words, init=[])
        write, read = tokens.write_port(), tokens.read_port()

        # Of the token that comes in: what is left of it, where it goes.
        coming = Signal(self.expected.shape())
        left, wide_left = (Signal(layer.channels.shape(), name=name, reset_less=True) for name in ("left", "wide_left"))
        place = Signal(range(words))
        filling, reading, known, told = Signal(), Signal(), Signal(), Signal()
        used, waiting = Signal(range(3)), Signal(range(3))
        valid, fresh = Signal(), Signal(init=1)
        count, wide = (Signal(range(lanes + 1), name=name) for name in ("count", "wide"))
        last = Signal()
        # The fields are in the layer until a token's first transfer.
        now, wide_now = Signal.like(left), Signal.like(left)
        m.d.comb += [
            now.eq(Mux(fresh, layer.channels, left)),
            wide_now.eq(Mux(fresh, layer.wide_channels, wide_left)),
            count.eq(lowest_lanes(now, lanes)),
            wide.eq(lowest_lanes(wide_now, lanes)),
            last.eq(now <= lanes),
            self.x.ready.eq((coming != 0) & ~used[1]),
            valid.eq(self.x.valid & self.x.ready),
        ]
        with m.If(self.start):
            m.d.sync += coming.eq(self.expected)
        with m.If(valid):
            m.d.sync += [
                left.eq(now - lanes),
                wide_left.eq(Mux(wide_now[lanes.bit_length() - 1 :].any(), wide_now - lanes, 0)),
                place.eq(Mux(last, 0, place + 1)),
                fresh.eq(last),
                filling.eq(filling ^ last),
                coming.eq(coming - last),
            ]
        ends, vacated = Signal(), Signal()
        m.d.comb += [ends.eq(valid & last), vacated.eq(self.vacate)]
        m.d.sync += [used.eq(used + ends - vacated), reading.eq(reading ^ vacated)]

        asked = self._ask(m, count, wide, write.data)
        m.d.comb += [
            write.addr.eq(Cat(place, filling)),
            write.en.eq(valid),
            read.addr.eq(Cat(self.word, reading)),
            read.en.eq(self.en),
            self.data.eq(read.data),
        ]

        flags = _delayed(m, "asked", {"valid": valid, "first": fresh, "last": last})
        largest, flags = _largest(m, asked, flags)
        so_far, highest = Signal(BASE, reset_less=True), Signal(BASE)
        bases = [Signal(BASE, name=f"base_{bank}", reset_less=True) for bank in range(2)]
        complete = Signal()
        m.d.comb += [
            highest.eq(Mux(~flags["first"] & (so_far > largest), so_far, largest)),
            complete.eq(flags["valid"] & flags["last"]),
            self.available.eq(waiting != 0),
            self.base.eq(Array(bases)[told]),
        ]
        with m.If(flags["valid"]):
            m.d.sync += so_far.eq(highest)
        with m.If(complete):
            m.d.sync += known.eq(~known)
            for bank in range(2):
                with m.If(known == bank):
                    m.d.sync += bases[bank].eq(highest)
        m.d.sync += [waiting.eq(waiting + complete - self.begin), told.eq(told ^ self.begin)]
        return m

    def _ask(self, m, count, wide, word):
        """What counts of a transfer, into the memory's `word`; a cycle later what each channel asks for."""
        asked = []
        for lane in range(self.config.lanes):
            counts = lane < count
            value = Signal(FP16.width, name=f"value_{lane}")
            m.d.comb += [
                value.eq(self.x.payload[lane] & counts.replicate(FP16.width)),
                word.word_select(lane, FP16.width).eq(value),
            ]
            exponent, least = value[FP16.fraction_bits : FP16.width - 1], Mux(lane < wide, 9, 1)
            wanted = Signal(BASE, name=f"wanted_{lane}", reset_less=True)
            m.d.sync += wanted.eq(Mux(exponent > least, exponent - least, 0))
            asked.append(wanted)
        return asked


def _largest(m, values, flags):
    """The largest of some values, four at a time in each cycle, and the flags as many cycles later."""
    level = 0
    while len(values) > 1:
        registered = []
        for index in range(0, len(values), 4):
            top = values[index : index + 4]
            while len(top) > 1:
                pairs = []
                for a, b in zip(top[::2], top[1::2], strict=True):
                    larger = Signal(BASE, name=f"larger_{level}_{index}_{len(top)}_{len(pairs)}")
                    m.d.comb += larger.eq(Mux(a > b, a, b))
                    pairs.append(larger)
                top = pairs
            registered.append(Signal(BASE, name=f"largest_{level}_{index}", reset_less=True))
            m.d.sync += registered[-1].eq(top[0])
        flags = _delayed(m, f"largest_{level}", flags)
        values, level = registered, level + 1
    return values[0], flags


def _delayed(m, name, flags):
    """Flags a cycle later."""
    later = {key: Signal(name=f"{name}_{key}") for key in flags}
    m.d.sync += [later[key].eq(flag) for key, flag in flags.items()]
    return later


class InputQuantizer(wiring.Component):
    """FP16 values to integers with a common unit, to the nearest, ties to even; magnitudes clipped to 127, wide 32767.

    `base` is 8 or more above E - 1 of a wide value and no less than E - 1 of a narrow one, so ``value / 2**kx`` is the
    significand with 4 places more, shifted right by ``base + 9 - E``, which is 0 or more, and 8 or more if narrow. A
    wide one is at most 2047 * 2**4 then: only narrow ones can need clipping, those that round up to 128.

    Three cycles with `en`; `wide` belongs to what is rounded, the values of two of them before.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    x : in, `config.x_layout`
        Subnormal values count as 0; Inf and NaN, which must not come, as numbers of 2**16 and more.
    base : in 5
        As of `TokenBuffer`, for `x`.
    wide : in
        So many first lanes are, of the values that are rounded.
    o : out, array of signed(16)
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "x": In(config.x_layout),
                "base": In(BASE),
                "wide": In(range(config.lanes + 1)),
                "o": Out(data.ArrayLayout(16, config.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for lane in range(self.config.lanes):
            number = Signal(FP16.layout, name=f"number_{lane}")
            m.d.comb += number.eq(self.x[lane])
            distance = stage(m, f"distance_{lane}", None, by=(self.base + 9 - number.exponent).as_unsigned()).by
            # 15 places: nothing is left of what goes further, not even by rounding.
            counts = number.exponent.any() & ~distance[4:].any()
            taken = stage(
                m,
                f"taken_{lane}",
                self.en,
                sign=number.sign,
                by=distance[:4],
                # 4 places above the unit, a place below it.
                significand=Cat(Const(0, 5), number.fraction, Const(1, 1)) & counts.replicate(16),
            )
            shifted = stage(
                m,
                f"shifted_{lane}",
                self.en,
                sign=taken.sign,
                value=shift_right_jam(m, f"shift_{lane}", taken.significand, taken.by),
            )
            sticky, half, whole = shifted.value[0], shifted.value[1], shifted.value[2:]
            rounded = stage(m, f"rounded_{lane}", None, value=whole + (half & (sticky | whole[0]))).value
            # Of a narrow one that bit is set in 128 only.
            clipped = Mux((lane >= self.wide) & rounded[7], 127, rounded)[:15]
            magnitude = stage(m, f"clipped_{lane}", None, value=clipped).value
            signed = Mux(shifted.sign, -magnitude, magnitude)[:16]
            m.d.comb += self.o[lane].eq(stage(m, f"integer_{lane}", self.en, value=signed).value)
        return m
