"""One lane of the Anda compressor: a group's exponent and its bit-serial aligner (Section IV-C, Figure 12).

The paper gives each value a counter with the distance of its exponent from the group's, which is counted down before
the mantissa begins to shift out. Here the lane counts down from the group's exponent, once, and each value waits for
its own: the same planes, without a subtractor and a counter for each value (our choice).
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replicable
from .planes import EXPONENT, largest

__all__ = ["AndaLane"]

_FRACTION = 10


class AndaLane(Replicable):
    """Take groups of FP16 values, give their bit planes; two groups at a time, one coming in and one going out.

    Parameters
    ----------
    config : AndaCompressorConfig

    Attributes
    ----------
    write : in 1
        Take a transfer of the group that comes in, `values` with their `maxima`, at the place `select`, one-hot.
        Values that a group never gets are +0.
    swap : in 1
        The group that came in goes out from now on; `write` in the same cycle begins the next one.
    step : in 1
        Take the next plane of the group that goes out into `plane`; with `first`, its signs and its exponent too.
    plane, signs : out, a bit each value
    exponent : out 5
        All three from registers.
    nonfinite : out 1
        The last `write` brought the exponent of Inf and NaN.
    """

    def __init__(self, config):
        self.config = config
        beats = config.group // config.width
        super().__init__(
            {
                "write": In(1),
                "select": In(beats),
                "values": In(data.ArrayLayout(16, config.width)),
                "maxima": In(data.ArrayLayout(EXPONENT, config.spans)),
                "swap": In(1),
                "step": In(1),
                "first": In(1),
                "plane": Out(config.group),
                "signs": Out(config.group),
                "exponent": Out(EXPONENT),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The largest exponents of the last transfer, none if there was none, and of those before it.
        filled, merged, reached = Signal(len(self.select)), Signal(EXPONENT), Signal(EXPONENT, init=1)
        top = Signal(EXPONENT)
        m.d.comb += [top.eq(largest(m, [merged, reached], "top")), self.nonfinite.eq(merged.all())]
        m.d.sync += [merged.eq(Mux(self.write, largest(m, list(self.maxima), "merged"), 0)), reached.eq(top)]
        with m.If(self.swap):
            m.d.sync += [filled.eq(0), reached.eq(1)]
        with m.If(self.write):
            m.d.sync += filled.eq(Mux(self.swap, 0, filled) | self.select)

        # The exponent whose numbers begin in the next plane, and that of the group.
        now, shared = Signal(EXPONENT, reset_less=True), Signal(EXPONENT, reset_less=True)
        with m.If(self.step):
            m.d.sync += now.eq(now - 1)
            with m.If(self.first):
                m.d.sync += self.exponent.eq(shared)
        with m.If(self.swap):
            m.d.sync += [now.eq(top), shared.eq(top)]
        subnormals = Signal()
        m.d.comb += subnormals.eq(now == 1)
        for index in range(self.config.group):
            self._value(m, index, filled, now, subnormals)
        return m

    def _value(self, m, index, filled, now, subnormals):
        """Registers of one value. A fraction's bits beyond the longest mantissa are never seen, and not kept."""
        beat, place = divmod(index, self.config.width)
        kept = min(_FRACTION, self.config.max_mantissa - 1)
        value = self.values[place]
        code = Signal(1 + EXPONENT + kept, name=f"code_{index}", reset_less=True)
        with m.If(self.write & self.select[beat]):
            m.d.sync += code.eq(value[_FRACTION - kept :])

        fraction = Signal(kept, name=f"fraction_{index}", reset_less=True)
        exponent = Signal(EXPONENT, name=f"exponent_{index}", reset_less=True)
        negative = Signal(name=f"negative_{index}", reset_less=True)
        running = Signal(name=f"running_{index}", reset_less=True)
        # Exponent 0 of a subnormal begins with 1, and with a zero for the bit that it has not.
        near, same = Signal(name=f"near_{index}"), Signal(name=f"same_{index}")
        m.d.comb += [near.eq(exponent[1:] == now[1:]), same.eq(near & (exponent[0] == now[0]))]
        with m.If(self.step):
            m.d.sync += [
                self.plane[index].eq(Mux(running, fraction[-1] if kept else 0, same)),
                running.eq(running | same | (near & subnormals)),
            ]
            with m.If(running):
                m.d.sync += fraction.eq(Cat(Const(0, 1), fraction)[:kept])
            with m.If(self.first):
                m.d.sync += self.signs[index].eq(negative)
        with m.If(self.swap):
            m.d.sync += [
                Cat(fraction, exponent, negative).eq(Mux(filled[beat], code, 0)),
                running.eq(0),
            ]
