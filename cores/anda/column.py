"""A column of the Anda tile: one output channel's weights, its processing elements, and the way out of its results."""

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.anda import tile as golden
from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.floating.convert import FloatConverter, IntegerToFloat
from ...hdl.floating.formats import FP16
from ...hdl.floating.multiply import FloatMultiplier
from .accumulator import NORMAL_SCALE, Accumulator, Scaler, control_layout
from .pe import WEIGHT_BITS, Fp16Pe, ParallelPe, SerialPe

__all__ = ["Fp16Column", "ParallelColumn", "SerialColumn"]


class _Column(Replicable):
    """What all columns have: FP32 accumulators, and a choice of one row's result.

    Attributes
    ----------
    scale : in, FP16
        The weights' next scale.
    rescale : in 1
        Take it: one cycle after the first transfer of its first group.
    control : in, `control_layout(config)`
    row : in
        Row of the result.
    result : out, `config.result_format`
    """

    def __init__(self, config, **ports):
        self.config = config
        super().__init__(
            {
                **ports,
                "scale": In(FP16.layout),
                "rescale": In(1),
                "control": In(control_layout(config)),
                "row": In(range(config.rows)),
                "result": Out(config.result_format.width),
            }
        )

    def _accumulate(self, m, unit, term):
        """The unit's accumulators; their results."""
        m.submodules[f"accumulate_{unit}"] = Replica(accumulator := Accumulator(self.config))
        m.d.comb += [accumulator.control.eq(self.control), accumulator.term.eq(term)]
        return accumulator.results

    def _choose(self, m, units):
        results = [result for unit in units for result in unit]
        m.d.comb += self.result.eq(Array(results)[self.row])


class _IntegerColumn(_Column):
    """Processing elements with integers, `config.share` of them with one scaler.

    Attributes
    ----------
    shifts : in, array of `config.rows` of `config.exponent_shape`
        Exponents of the rows' dot products.
    step, fresh : in 1
        Four cycles after a transfer with operands: as of the processing elements.
    ended, start, hold : in 1
        A group's last transfer was taken two cycles before; its dot products are there; they are due at the scale.
        At least four cycles are between groups.
    """

    def __init__(self, config, **ports):
        shifts = data.ArrayLayout(config.exponent_shape, config.rows)
        flags = ("step", "fresh", "ended", "start", "hold")
        super().__init__(config, **ports, shifts=In(shifts), **{name: In(1) for name in flags})

    def _finish(self, m, dots):
        """From the rows' dot products to results."""
        config, units = self.config, []
        # The scale of a group waits until its last transfer, is normalized once for all rows, and waits for the dot
        # products and for their conversion, each time no longer than the next group needs.
        opened = Signal(FP16.layout, name="scale_opened", reset_less=True)
        with m.If(self.rescale):
            m.d.sync += opened.eq(self.scale)
        m.submodules.normalize = Replica(normalize := FloatConverter(FP16, NORMAL_SCALE))
        m.d.comb += [normalize.en.eq(self.ended), normalize.i.eq(opened)]
        scale = normalize.o
        for name, take in (("started", self.start), ("q", self.hold)):
            later = Signal(NORMAL_SCALE.layout, name=f"scale_{name}", reset_less=True)
            with m.If(take):
                m.d.sync += later.eq(scale)
            scale = later
        for unit, first in enumerate(range(0, config.rows, config.share)):
            rows = slice(first, first + config.share)
            m.submodules[f"scale_{unit}"] = Replica(scaler := Scaler(config))
            m.d.comb += [
                scaler.start.eq(self.start),
                Cat(scaler.dots).eq(Cat(dots[rows])),
                Cat(scaler.exponents).eq(Cat(list(self.shifts)[rows])),
                scaler.scale.eq(scale),
            ]
            units.append(self._accumulate(m, unit, scaler.o))
        self._choose(m, units)


class SerialColumn(_IntegerColumn):
    """Bit-serial processing elements, and two sets of a group's weights for all of them.

    Attributes
    ----------
    plane : in, `config.group` bits
        A weight plane.
    load : in, 3 bits
        Which plane it is, one hot, sign first; or none.
    swap : in 1
        Work with the weights that were loaded, and this last plane of them.
    positive, negative, negatives : in, arrays of `config.rows`
        As of `SerialRow`.
    """

    def __init__(self, config):
        words = data.ArrayLayout(config.group, config.rows)
        super().__init__(
            config,
            plane=In(config.group),
            load=In(WEIGHT_BITS - 1),
            swap=In(1),
            positive=In(words),
            negative=In(words),
            negatives=In(data.ArrayLayout(range(config.group + 1), config.rows)),
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        weights = Signal(data.ArrayLayout(config.group, WEIGHT_BITS), reset_less=True)
        loaded = Signal(data.ArrayLayout(config.group, WEIGHT_BITS - 1), reset_less=True)
        for bit, load in enumerate(self.load):
            with m.If(load):
                m.d.sync += loaded[bit].eq(self.plane)
        with m.If(self.swap):
            m.d.sync += weights.eq(Cat(loaded, self.plane))
        dots = []
        for row in range(config.rows):
            m.submodules[f"pe_{row}"] = Replica(pe := SerialPe(config))
            m.d.comb += [
                pe.weights.eq(weights),
                pe.positive.eq(self.positive[row]),
                pe.negative.eq(self.negative[row]),
                pe.negatives.eq(self.negatives[row]),
                pe.step.eq(self.step),
                pe.fresh.eq(self.fresh),
            ]
            dots.append(pe.dot)
        self._finish(m, dots)
        return m


class ParallelColumn(_IntegerColumn):
    """Bit-parallel processing elements.

    Attributes
    ----------
    weights : in, array of `config.lanes` of signed(4)
        For the mantissas that come with them.
    lanes : in, array of `config.rows` of the mantissas of `ParallelRow`
    """

    def __init__(self, config):
        lanes = data.ArrayLayout(config.lanes_layout, config.rows)
        super().__init__(config, weights=In(config.weights_layout), lanes=In(lanes))

    def elaborate(self, platform):
        m = Module()
        weights = Signal(self.config.weights_layout, name="weights_q", reset_less=True)
        m.d.sync += weights.eq(self.weights)
        dots = []
        for row in range(self.config.rows):
            m.submodules[f"pe_{row}"] = Replica(pe := ParallelPe(self.config))
            m.d.comb += [
                pe.weights.eq(weights),
                pe.lanes.eq(self.lanes[row]),
                pe.step.eq(self.step),
                pe.fresh.eq(self.fresh),
            ]
            dots.append(pe.dot)
        self._finish(m, dots)
        return m


class Fp16Column(_Column):
    """Floating-point processing elements, one for `config.share` rows in turn, and the dequantization of weights.

    Attributes
    ----------
    weights : in, array of `config.lanes` of signed(4)
    activations : in, array of `config.units` arrays of `config.lanes` of FP16
        `golden.DEQUANTIZE` cycles after their weights.
    """

    def __init__(self, config):
        super().__init__(
            config,
            weights=In(config.weights_layout),
            activations=In(data.ArrayLayout(config.numbers_layout, config.units)),
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        scale = Signal(FP16.layout, name="scale_next", reset_less=True)
        with m.If(self.rescale):
            m.d.sync += scale.eq(self.scale)
        # Beside the rest of a conversion.
        for stage in range(2, golden.CONVERT):
            later = Signal(FP16.layout, name=f"scale_{stage}", reset_less=True)
            m.d.sync += later.eq(scale)
            scale = later
        weights = []
        for lane, weight in enumerate(self.weights):
            m.submodules[f"convert_{lane}"] = Replica(convert := IntegerToFloat(weight.shape(), FP16))
            m.submodules[f"dequantize_{lane}"] = Replica(multiply := FloatMultiplier(FP16, FP16, FP16))
            m.d.comb += [
                convert.en.eq(1),
                convert.i.eq(weight),
                multiply.en.eq(1),
                multiply.a.eq(convert.o),
                multiply.b.eq(scale),
            ]
            weights.append(multiply.o)
        units = []
        for unit in range(config.units):
            m.submodules[f"pe_{unit}"] = Replica(pe := Fp16Pe(config))
            m.d.comb += [Cat(pe.weights).eq(Cat(weights)), Cat(pe.activations).eq(Cat(self.activations[unit]))]
            units.append(self._accumulate(m, unit, pe.o))
        self._choose(m, units)
        return m
