"""HGQ's dequantization unit: fine groups' dot products of some lanes in, FP32 sums of their reductions out.

A lane shifts and adds integers every cycle. The floating-point half, one for all lanes, takes their coarse groups'
integers in turn: the exact product of both scales, the product with the integer, rounded once, and an FP32 sum. It
needs neither infinities nor NaN nor subnormals. An integer that is not zero is at least 1 and at most 2**24; a scale is
a multiple of 2**-24 from 2**-14 to below 2**16; shifts take 2**-14 at the most. So a term is a multiple of 2**-62,
rounded or not, and below 2**56, and so is every sum of up to 2**70 of them below 2**126; FP32 is normal from 2**-126 to
below 2**128. With the default groups terms are multiples of 2**-54 and below 2**45. Integers have no -0, so there is
none at all.

The two baselines take less and more: `channel` has no sums, `flat` has a scale for each dot product, so a lane has a
unit for itself, and adds in one cycle, because the next cycle needs the sum.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import hgq_tile as golden
from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.floating.add import FloatAdder
from ...hdl.floating.formats import FP16, FP32, compress, normalize, pack, stage
from ...hdl.primitives.portable import OuterProduct

__all__ = ["Lane", "Scaler", "Sums", "Unit", "control_layout", "token_layout"]


def token_layout(lanes):
    """A lane that has its turn: which one, and where its reduction stands."""
    return data.StructLayout({"valid": 1, "first": 1, "last": 1, "index": unsigned((lanes - 1).bit_length())})


def control_layout(config):
    """What units do in a cycle.

    `step`, `fresh`, `ended`: the dot products count, as the first or the last ones of a coarse group; `turn`, the lane
    whose integer is taken; `add`, whose term enters the adder; `write`, whose sum leaves it.
    """
    turns = dict.fromkeys(("turn", "add", "write"), token_layout(config.unit_lanes))
    return data.StructLayout({"step": 1, "fresh": 1, "ended": 1} | turns)


class Lane(Replicable):
    """The integer of a coarse group, `sum of dot << shift`.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    x_shift, w_shift : in, `config.shift_width` bits
        To the left; only where there are shifts.
    dot : in, `config.dot_shape`
        One cycle after its shifts.
    step, fresh, ended : in 1
        As of `control_layout`.
    total : out, `config.integer_shape`
        From the cycle after `ended` on until the next one.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "dot": In(config.dot_shape),
                "step": In(1),
                "fresh": In(1),
                "ended": In(1),
                "total": Out(config.integer_shape),
                # No port without bits: Verilog has none.
                **(dict.fromkeys(("x_shift", "w_shift"), In(config.shift_width)) if config.shift_width else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        shifted = self.dot
        if config.shift_width:
            # The sum is never above this, so the widest result has as many bits more.
            left = 2 * ((1 << config.shift_width) - 1)
            shift = Signal(range(left + 1), reset_less=True)
            with m.If(self.en):
                m.d.sync += shift.eq(self.x_shift + self.w_shift)
            for position, bit in enumerate(shift):
                by = 1 << position
                grown = min(by, left)
                left -= grown
                level = Signal(signed(len(shifted) + grown), name=f"by_{by}")
                m.d.comb += level.eq(Mux(bit, shifted.shift_left(by), shifted))
                shifted = level
        accumulator, total = (
            Signal.like(self.total, name=name, reset_less=True) for name in ("accumulator", "total_q")
        )
        base = Signal.like(accumulator, name="base")
        with m.If(~self.fresh):
            m.d.comb += base.eq(accumulator)
        after = Signal.like(accumulator, name="after")
        m.d.comb += [after.eq(base + shifted), self.total.eq(total)]
        with m.If(self.en & self.step):
            m.d.sync += accumulator.eq(after)
        with m.If(self.en & self.ended):
            m.d.sync += total.eq(after)
        return m


class Scaler(Replicable):
    """`o = i * x_scale * w_scale * 2**-top`, rounded once to FP32, one number in each enabled cycle.

    The scales' significands have an exact product of 22 bits; the integer is normalized before it is multiplied with
    that, so that the product has its highest bit in one of three places.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    i : in, `config.integer_shape`
        Never the least number.
    x_scale, w_scale : in, FP16
        Positive and normal.
    o : out, FP32
        `golden.sevedo.hgq_tile.TERM` enabled cycles later.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "i": In(config.integer_shape),
                "x_scale": In(FP16.layout),
                "w_scale": In(FP16.layout),
                "o": Out(FP32.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, precision = len(self.i) - 1, FP16.precision
        x, w = (Cat(scale.fraction, Const(1, 1)) for scale in (self.x_scale, self.w_scale))
        taken = stage(
            m,
            "taken",
            self.en,
            sign=self.i[-1],
            magnitude=Mux(self.i[-1], -self.i, self.i)[:bits],
            scale=x * w,
            exponent=self.x_scale.exponent + self.w_scale.exponent,
        )
        m.submodules.product = product = OuterProduct(unsigned(bits), unsigned(2 * precision))
        # Exponent field of the product's highest bit, where both scales' fields are 0.
        width = bits + 2 * precision
        lowest = 2 * (FP16.bias + FP16.fraction_bits) + 2 * ((1 << self.config.shift_width) - 1)
        offset = FP32.bias + width - 1 - lowest
        significand, exponent = normalize(m, "normalize", taken.magnitude, taken.exponent + offset)
        m.d.comb += [product.en.eq(self.en), product.a[0].eq(significand), product.b[0].eq(taken.scale)]
        # Beside the multiplier's two registers.
        operands = stage(m, "operands", self.en, sign=taken.sign, exponent=exponent)
        multiplied = stage(m, "multiplied", self.en, sign=operands.sign, exponent=operands.exponent)
        whole = product.products[0][0]
        high = Mux(whole[-1], whole, Mux(whole[-2], Cat(Const(0, 1), whole[:-1]), Cat(Const(0, 2), whole[:-2])))
        normalized = stage(
            m,
            "found",
            None,
            significand=compress(stage(m, "high", None, high=high).high, FP32.precision),
            exponent=multiplied.exponent - Mux(whole[-1], 0, 2 - whole[-2]),
        )
        o = pack(m, FP32, multiplied.sign, normalized.exponent, normalized.significand)
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m


class Sums(Replicable):
    """FP32 sums of the lanes, one term a cycle.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    add, write : in, `token_layout(config.unit_lanes)`
        The lane of `term`, and that of `o`.
    term : in, FP32
    o : out, FP32
        The sum, `golden.sevedo.hgq_tile.adder` cycles after its last term.
    """

    def __init__(self, config):
        self.config = config
        token = token_layout(config.unit_lanes)
        super().__init__(
            {"en": In(1), "add": In(token), "write": In(token), "term": In(FP32.layout), "o": Out(FP32.layout)}
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.adder = adder = FloatAdder(FP32, specials=False, stages=golden.adder(config))
        base = Signal(FP32.width)
        m.d.comb += [adder.en.eq(self.en), adder.b.eq(self.term), self.o.eq(adder.o)]
        if config.scheme == "flat":
            # The adder's own register is the sum.
            m.d.comb += adder.en.eq(self.en & self.add.valid)
            last = adder.o.as_value()
        else:
            sums = [Signal(FP32.width, name=f"sum_{index}", reset_less=True) for index in range(config.unit_lanes)]
            for index, total in enumerate(sums):
                with m.If(self.en & self.write.valid & (self.write.index == index)):
                    m.d.sync += total.eq(adder.o)
            last = Array(sums)[self.add.index]
        with m.If(~self.add.first):
            m.d.comb += base.eq(last)
        m.d.comb += adder.a.eq(base)
        return m


class Unit(Replicable):
    """The lanes, and what they share.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    control : in, `control_layout(config)`
    x_shifts : in, array of `config.unit_lanes` of `config.shift_width` bits
    w_shift : in, `config.shift_width` bits
        Only where there are shifts.
    dots : in, array of `config.unit_lanes` of `config.dot_shape`
        One cycle after its shifts.
    x_scale, w_scale : in, FP16
        Of the lane that has its turn.
    o : out, FP32
        The sum of `control.write`; only the last one of a reduction is a result.
    """

    def __init__(self, config):
        self.config = config
        lanes, shifts = config.unit_lanes, {}
        if config.shift_width:
            shifts = {"x_shifts": In(data.ArrayLayout(config.shift_width, lanes)), "w_shift": In(config.shift_width)}
        super().__init__(
            {
                "en": In(1),
                "control": In(control_layout(config)),
                **shifts,
                "dots": In(data.ArrayLayout(config.dot_shape, lanes)),
                "x_scale": In(FP16.layout),
                "w_scale": In(FP16.layout),
                "o": Out(FP32.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, control = self.config, self.control
        totals = []
        for index in range(config.unit_lanes):
            if config.scheme == "flat":
                totals.append(self.dots[index])
                continue
            m.submodules[f"lane_{index}"] = Replica(lane := Lane(config))
            m.d.comb += [
                lane.en.eq(self.en),
                lane.dot.eq(self.dots[index]),
                *(getattr(lane, name).eq(control[name]) for name in ("step", "fresh", "ended")),
            ]
            if config.shift_width:
                m.d.comb += [lane.x_shift.eq(self.x_shifts[index]), lane.w_shift.eq(self.w_shift)]
            totals.append(lane.total)
        m.submodules.scaler = Replica(scaler := Scaler(config))
        m.d.comb += [
            scaler.en.eq(self.en),
            scaler.i.eq(Array(totals)[control.turn.index]),
            scaler.x_scale.eq(self.x_scale),
            scaler.w_scale.eq(self.w_scale),
        ]
        if config.scheme == "channel":
            m.d.comb += self.o.eq(scaler.o)
        else:
            m.submodules.sums = Replica(sums := Sums(config))
            m.d.comb += [
                sums.en.eq(self.en),
                sums.add.eq(control.add),
                sums.write.eq(control.write),
                sums.term.eq(scaler.o),
                self.o.eq(sums.o),
            ]
        return m
