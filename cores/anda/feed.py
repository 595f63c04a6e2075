"""The edge of the Anda tile: streams of operands in, transfers in step out, and the waits that keep sums exact."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.anda import tile as golden
from ...golden.anda.planes import WEIGHT_GROUP
from ...hdl.stream.stages import offered_last
from .pe import WEIGHT_BITS

__all__ = ["ParallelFeed", "SerialFeed"]


class _Feed(wiring.Component):
    """What the feeds have in common: groups, or with `fp16` steps along K, of `config.lanes` products.

    Attributes
    ----------
    a, w, scales : in streams
        As of the tile; `w` and `scales` from registers.
    free : in 1
        The results of the last complete reduction are out.
    open : out 1
        The first transfer of a group is taken.
    rescale : out 1
        So was one in the cycle before, and now a scale is, which stood at its port then.
    step, fresh : out 1
        Operands are taken; they are the first ones of their group.
    ended, first, last : out 1
        They are the last ones of their group; which is the first, the last one of its reduction.
    finish : out 1
        Results will come that need the drain.
    """

    def __init__(self, config, **ports):
        self.config = config
        flags = ("open", "rescale", "step", "fresh", "ended", "first", "last", "finish")
        super().__init__(
            {
                "a": In(stream.Signature(config.a_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "scales": In(stream.Signature(config.scales_layout)),
                "free": In(1),
                **{name: Out(1) for name in flags},
                **ports,
            }
        )

    def _frame(self, m, gate):
        """Follow groups and reductions.

        Parameters
        ----------
        gate : Value
            The next transfer is one that may have to wait.

        Returns
        -------
        due : Signal
            The next group has a new scale.
        go : Signal
            The next transfer need not wait.
        """
        config = self.config
        groups = WEIGHT_GROUP // (config.lanes if config.pe == "fp16" else config.group)
        due, begins, rescale = Signal(init=1), Signal(init=1), Signal()
        # Two cycles at least are between groups.
        m.d.sync += rescale.eq(self.open & due)
        m.d.comb += [self.rescale.eq(rescale), self.scales.ready.eq(rescale)]
        count = Signal(range(groups))
        m.d.comb += [self.first.eq(begins), self.last.eq(offered_last(self.a))]
        with m.If(self.ended):
            m.d.sync += begins.eq(self.last)
            with m.If(self.last | (count == groups - 1)):
                m.d.sync += [count.eq(0), due.eq(1)]
            with m.Else():
                m.d.sync += [count.eq(count + 1), due.eq(0)]

        # A sum must be there when the next term comes, and the rows that share an adder must have had their turns. With
        # `fp16` they take them as the transfers come: what counts is the last one.
        passing, go, spaced = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            passing.eq(self.step & gate),
            self.finish.eq(passing & self.last),
            go.eq(~gate | (spaced & (self.free | ~self.last))),
        ]
        late = config.pe == "fp16"
        wait = golden.spacing(config) - (config.share - 1 if late else 0)
        if wait > 1:
            left = Signal(range(wait))
            with m.If(self.ended if late else passing):
                m.d.sync += [left.eq(wait - 1), spaced.eq(0)]
            with m.Else():
                m.d.sync += [left.eq(left - 1), spaced.eq(spaced | (left == 1))]
        return due, go


class SerialFeed(_Feed):
    """Planes of weights are loaded while those of activations go through.

    Attributes
    ----------
    heads : in stream
        Only with `signs` beside: as of the tile.
    mantissa : in
        Of the group that is opened.
    load : out, 3 bits
        Which weight plane but the last one is taken, one hot, sign first; or none. The last one is taken as a group is
        opened.
    """

    def __init__(self, config):
        ports = {"mantissa": In(config.max_mantissa.bit_length()), "load": Out(WEIGHT_BITS - 1)}
        if config.signs == "beside":
            ports["heads"] = In(stream.Signature(config.heads_layout))
        super().__init__(config, **ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beside = config.signs == "beside"

        # The last plane of a group's weights waits at the input until all are taken over.
        place, full = Signal(WEIGHT_BITS, init=1), Signal()
        m.d.comb += [
            self.load.eq(place & self.w.valid.replicate(WEIGHT_BITS - 1)),
            full.eq(place[-1] & self.w.valid),
            self.w.ready.eq(~place[-1] | self.open),
        ]
        with m.If(self.load.any() | self.open):
            m.d.sync += place.eq(place.rotate_left(1))

        # Planes that remain of the group, and whether that is one: a register, since all streams wait for it.
        opening, ends = Signal(init=1), Signal()
        remaining = Signal(range(config.max_mantissa + 1), reset_less=True)
        following = Signal.like(remaining, name="following")
        m.d.comb += following.eq(Mux(opening, self.mantissa - beside, remaining - 1))
        closing = (ends | (opening & (self.mantissa == 1))) if beside else ends
        due, go = self._frame(m, closing)
        ready = full & (self.scales.valid | ~due)
        take = self.a.valid & self.a.ready
        if beside:
            ready &= self.heads.valid
            m.d.comb += self.heads.ready.eq(opening & full & (self.scales.valid | ~due) & self.a.valid & go)
        m.d.comb += [
            self.a.ready.eq(Mux(opening, ready & go if beside else ready, go)),
            # Not of `take`, which waits for more.
            self.open.eq(opening & self.a.valid & (ready & go if beside else ready)),
            self.step.eq(take & (Const(1) if beside else ~opening)),
            self.ended.eq(self.step & closing),
        ]
        with m.If(take):
            m.d.sync += [opening.eq(closing), remaining.eq(following), ends.eq(following == 1)]
        fresh = Signal(reset_less=True)
        if beside:
            m.d.comb += self.fresh.eq(opening)
        else:
            m.d.comb += self.fresh.eq(fresh)
            with m.If(take):
                m.d.sync += fresh.eq(opening)
        return m


class ParallelFeed(_Feed):
    """A transfer on `a` goes with weights; with `fp16`, `config.share` of them with the same.

    Attributes
    ----------
    index : out
        Number of the transfer in its group.
    """

    def __init__(self, config):
        super().__init__(config, index=Out(range(golden.group_cycles(config, None))))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        transfers = golden.group_cycles(config, None)
        index = Signal.like(self.index, name="index_q")
        opening, closing = index == 0, index == transfers - 1
        # With `fp16`, results begin to come with the first transfer of a step, not with the last one.
        floating = config.pe == "fp16"
        due, go = self._frame(m, opening if floating else closing)
        scaled = self.scales.valid | ~(opening & due)
        m.d.comb += [
            self.index.eq(index),
            self.a.ready.eq(go & self.w.valid & scaled),
            self.w.ready.eq(go & self.a.valid & scaled & (closing if floating else Const(1))),
            self.step.eq(self.a.valid & self.a.ready),
            self.open.eq(self.step & opening),
            self.fresh.eq(opening),
            self.ended.eq(self.step & closing),
        ]
        with m.If(self.step):
            m.d.sync += index.eq(Mux(closing, 0, index + 1))
        return m
