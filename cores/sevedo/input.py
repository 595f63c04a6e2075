"""Where activations enter the SeVeDo core: sanitized for both paths, and smoothed for the residual's quantizer."""

import itertools

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import FP16, stage
from ...hdl.floating.half import HalfMultiplier
from .hgq_grid import sanitized
from .lvc_layer import lowest_lanes

__all__ = ["Input"]


class Input(wiring.Component):
    """One transfer of activations and of their factors becomes one for each path.

    Parameters
    ----------
    config : SevedoCoreConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while its tokens come.
    start : in 1
        They come from the next cycle on.
    x, smooth : in streams
        As of the core. They advance together; each ready depends on the other's valid.
    raw : out stream of `config.lvc.x_layout`
        Sanitized; 0 behind the last channel.
    smoothed : out stream of `config.quantizer.value_layout`
        The products; +0 behind the last channel. Three cycles later.
    nonfinite : out 1
        As of the core.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "start": In(1),
                "x": In(stream.Signature(config.x_layout)),
                "smooth": In(stream.Signature(config.x_layout)),
                "raw": Out(stream.Signature(config.lvc.x_layout)),
                "smoothed": Out(stream.Signature(config.quantizer.value_layout)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        coming = Signal(layer.tokens.shape())
        left = Signal(layer.channels.shape(), reset_less=True)
        last, take, go = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(left <= config.lanes),
            self.x.ready.eq(go & self.smooth.valid),
            self.smooth.ready.eq(go & self.x.valid),
            take.eq(self.x.valid & self.x.ready),
        ]
        with m.If(self.start):
            m.d.sync += [coming.eq(layer.tokens), left.eq(layer.channels)]
        with m.Elif(take):
            m.d.sync += [coming.eq(coming - last), left.eq(Mux(last, layer.channels, left - config.lanes))]

        # A register of clean values, from which both paths take at the same time.
        count = stage(m, "count", None, count=lowest_lanes(left, config.lanes)).count
        values = Signal(data.ArrayLayout(FP16.width, config.lanes), reset_less=True)
        factors = Signal.like(values, reset_less=True)
        ends, valid, en, moves = Signal(reset_less=True), Signal(), Signal(), Signal()
        cleaned = [sanitized(value, lane < count) for lane, value in enumerate(self.x.payload)]
        m.d.comb += [moves.eq(~valid | (self.raw.ready & en)), go.eq((coming != 0) & moves)]
        with m.If(moves):
            m.d.sync += [
                valid.eq(take),
                values.eq(Cat(clean for clean, _ in cleaned)),
                factors.eq(self.smooth.payload),
                ends.eq(last),
            ]
        with m.If(take & Cat(special for _, special in cleaned).any()):
            m.d.sync += self.nonfinite.eq(1)
        m.d.comb += [self.raw.valid.eq(valid & en), self.raw.payload.eq(values)]

        valids = [valid & self.raw.ready, *(Signal(name=f"valid_{step}") for step in range(HalfMultiplier.latency))]
        lasts = [ends, *(Signal(name=f"last_{step}", reset_less=True) for step in range(HalfMultiplier.latency))]
        m.d.comb += [
            en.eq(~valids[-1] | self.smoothed.ready),
            self.smoothed.valid.eq(valids[-1]),
            self.smoothed.payload.last.eq(lasts[-1]),
        ]
        with m.If(en):
            for flags in (valids, lasts):
                m.d.sync += [after.eq(before) for before, after in itertools.pairwise(flags)]
        for lane in range(config.lanes):
            m.submodules[f"multiplier_{lane}"] = Replica(multiplier := HalfMultiplier())
            m.d.comb += [
                multiplier.en.eq(en),
                multiplier.a.eq(values[lane]),
                multiplier.b.eq(factors[lane]),
                self.smoothed.payload["values"][lane].eq(multiplier.o),
            ]
        return m
