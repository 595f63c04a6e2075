"""Weight-stationary: the systolic tile's edge, weights a step a cycle and activations a row a cycle."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib.wiring import Out

from ...hdl.emission.replicate import Replica
from .feed import Feed, PairDecoder, PairEdge

__all__ = ["IntegerWeightFeed", "PairWeightFeed"]


class WeightFeed(Feed):
    """Weights of a block of the reduction ahead, then the activations that meet them.

    A block is `rows` steps of the reduction, or what is left of it. Its weights go in while the activations of the
    block before it do; its activations wait for its last weight and, beyond the first block, for their partial sums.

    Attributes
    ----------
    load : out 1
        `weights` go to the next row.
    issue : out 1
        `activations` go in.
    swap, resume, finish, last : out 1
        The activations are the first of their block, come to a partial sum, complete it, are the last of the reduction.
    """

    def __init__(self, config):
        super().__init__(config, **{name: Out(1) for name in ("load", "issue", "swap", "resume", "finish", "last")})

    def _schedule(self, m, w_valid, w_last, a_valid, a_last):
        """Drive the flags from what the two edges hold; they give it up with `load` and `issue`."""
        config = self.config
        place, loaded = Signal(range(config.rows)), Signal()
        # For the block that is being loaded, the one that is loaded, and the one in use.
        resumes = Signal()
        ready, used = (Signal(2, name=name, reset_less=True) for name in ("ready", "used"))
        first, complete = Signal(init=1), Signal()
        m.d.comb += [
            self.load.eq(self.en & w_valid & (~loaded | self.swap)),
            complete.eq(self.load & (w_last | (place == config.rows - 1))),
        ]
        with m.If(self.load):
            m.d.sync += place.eq(Mux(complete, 0, place + 1))
        with m.If(complete):
            m.d.sync += [loaded.eq(1), ready.eq(Cat(resumes, w_last)), resumes.eq(~w_last)]
        with m.Elif(self.swap):
            m.d.sync += loaded.eq(0)

        # A partial sum can be read two cycles after it came out of the last row, `rows` cycles after the first row.
        partials = Signal(range(config.partials + 1))
        coming = Signal(config.rows + 1)
        m.d.comb += [
            Cat(self.resume, self.finish).eq(Mux(first, ready, used)),
            self.issue.eq(self.en & a_valid & (~first | loaded) & (~self.resume | (partials != 0))),
            self.swap.eq(self.issue & first),
            self.last.eq(a_last & self.finish),
        ]
        with m.If(self.issue):
            m.d.sync += [first.eq(a_last), used.eq(Cat(self.resume, self.finish))]
        with m.If(self.en):
            m.d.sync += [
                coming.eq(Cat(self.issue & ~self.finish, coming)),
                partials.eq(partials + coming[-1] - (self.issue & self.resume)),
            ]


class IntegerWeightFeed(WeightFeed):
    """`WeightFeed` of plain integers."""

    def elaborate(self, platform):
        m = Module()
        a, w = self.a, self.w
        self._schedule(m, w.valid, w.payload.last, a.valid, a.payload.last)
        m.d.comb += [
            a.ready.eq(self.issue),
            w.ready.eq(self.load),
            self.activations.eq(a.payload.lanes),
            self.weights.eq(w.payload.lanes),
        ]
        return m


class PairWeightFeed(WeightFeed):
    """`WeightFeed` of packed pairs: transfers are registered and decoded; one of weights makes two steps."""

    def elaborate(self, platform):
        m = Module()
        a_operand, w_operand = self.config.operands
        second = Signal()
        a_full, a_last, a_accept = _register(m, "a", self.a, self.en, self.issue)
        w_full, w_last, w_accept = _register(m, "w", self.w, self.en, self.load & second)
        with m.If(self.load):
            m.d.sync += second.eq(~second)
        self._schedule(m, w_full, w_last & second, a_full, a_last)

        a_illegal, w_illegal = [], []
        for lane, codes in enumerate(self.a.payload.lanes):
            m.submodules[f"a_{lane}"] = Replica(edge := PairDecoder(a_operand))
            m.d.comb += [edge.accept.eq(a_accept), edge.codes.eq(codes)]
            m.d.comb += [self.activations[2 * lane + at].eq(edge.values[at]) for at in range(2)]
            a_illegal.append(edge.illegal)
        for lane, codes in enumerate(self.w.payload.lanes):
            m.submodules[f"w_{lane}"] = Replica(edge := PairEdge(w_operand))
            m.d.comb += [
                edge.accept.eq(w_accept),
                edge.second.eq(second),
                edge.codes.eq(codes),
                self.weights[lane].eq(edge.value),
            ]
            w_illegal.append(edge.illegal)
        with m.If((self.issue & Cat(a_illegal).any()) | (self.load & Cat(w_illegal).any())):
            m.d.sync += self.illegal.eq(1)
        return m


def _register(m, name, port, en, give):
    """Control of a register on a stream: whether it is full, its `last`, and whether it loads."""
    full = Signal(name=f"{name}_full")
    last = Signal(name=f"{name}_last", reset_less=True)
    accept = Signal(name=f"{name}_accept")
    m.d.comb += [port.ready.eq(en & (~full | give)), accept.eq(port.valid & port.ready)]
    with m.If(port.ready):
        m.d.sync += full.eq(port.valid)
    with m.If(accept):
        m.d.sync += last.eq(port.payload.last)
    return full, last, accept
