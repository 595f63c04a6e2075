"""The systolic tile's edge: two streams of operands in, one step of the reduction a cycle out."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.stream.stages import offered_last
from ..olive.ovp import decode_pair
from .processing_element import operand_shape

__all__ = ["Feed", "IntegerFeed", "PairDecoder", "PairEdge", "PairFeed", "StepFeed"]


class Feed(wiring.Component):
    """Operands of the array from the two streams.

    Attributes
    ----------
    en : in 1
        Steps are made only where it is high.
    a, w : in streams
        As of the tile.
    activations : out, array of `config.rows` of `config.a_shape`
    weights : out, array of `config.cols` of `config.w_shape`
    illegal : out 1
        Only for packed pairs: high from the first illegal pair on, until reset.
    """

    def __init__(self, config, **ports):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "a": In(stream.Signature(config.a_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "activations": Out(data.ArrayLayout(config.a_shape, config.rows)),
                "weights": Out(data.ArrayLayout(config.w_shape, config.cols)),
                **ports,
                **({"illegal": Out(1)} if config.operands[0].pairs else {}),
            }
        )


class StepFeed(Feed):
    """Output-stationary: join the operands' streams and give one step a cycle.

    A reduction's last step waits until `rows` steps after the one before it, as long as the drain needs, and until
    there is `room`.

    Attributes
    ----------
    room : in 1
        There is room for a reduction's results.
    made, first, last : out 1
        A step is made; it begins, ends a reduction.
    """

    def __init__(self, config, **ports):
        super().__init__(config, room=In(1, init=1), made=Out(1), first=Out(1), last=Out(1), **ports)

    def _frame(self, m, take, last):
        """Drive the flags for a step that is made where `take` is high; give the flag that `last` may come."""
        fresh, free = Signal(init=1), Signal(init=1)
        busy = Signal(range(self.config.rows), reset_less=True)
        m.d.comb += [self.first.eq(take & fresh), self.last.eq(take & last)]
        with m.If(take):
            m.d.sync += fresh.eq(last)
        # `free` is a register because it decides about `ready`; so is `room`.
        with m.If(self.last):
            m.d.sync += [busy.eq(self.config.rows - 1), free.eq(self.config.rows == 1)]
        with m.Elif(self.en):
            m.d.sync += [busy.eq(busy - 1), free.eq(free | (busy == 1))]
        return free & self.room

    def _operands(self, m, take, activations, weights):
        """Drive the operands of a step that is made where `take` is high; elsewhere zeros, or free-running anything."""
        m.d.comb += self.made.eq(take)
        with m.If(take | self.config.free_running):
            m.d.comb += [self.activations.eq(activations), self.weights.eq(weights)]


class IntegerFeed(StepFeed):
    """`StepFeed` of plain integers: a transfer is a step."""

    def elaborate(self, platform):
        m = Module()
        last = offered_last(self.a) | offered_last(self.w)
        take, free = Signal(), Signal()
        m.d.comb += free.eq(self._frame(m, take, last))
        go = self.en & (free | ~last)
        m.d.comb += [
            take.eq(self.a.valid & self.w.valid & go),
            self.a.ready.eq(self.w.valid & go),
            self.w.ready.eq(self.a.valid & go),
        ]
        self._operands(m, take, self.a.payload.lanes, self.w.payload.lanes)
        return m


class PairFeed(StepFeed):
    """`StepFeed` of packed pairs: a transfer is registered, decoded, and makes two steps (OliVe, Section 4.4)."""

    def elaborate(self, platform):
        m = Module()
        config = self.config
        full, second, last = Signal(), Signal(), Signal(reset_less=True)
        take, free, accept = Signal(), Signal(), Signal()
        m.d.comb += free.eq(self._frame(m, take, last & second))
        m.d.comb += take.eq(self.en & full & (free | ~(last & second)))
        room = self.en & (~full | (take & second))
        m.d.comb += [
            accept.eq(self.a.valid & self.w.valid & room),
            self.a.ready.eq(self.w.valid & room),
            self.w.ready.eq(self.a.valid & room),
        ]
        with m.If(room):
            m.d.sync += full.eq(accept)
        with m.If(take):
            m.d.sync += second.eq(~second)
        with m.If(accept):
            m.d.sync += last.eq(self.a.payload.last | self.w.payload.last)

        illegal, values = [], {"a": [], "w": []}
        for name, operand in zip(values, config.operands, strict=True):
            for lane, codes in enumerate(getattr(self, name).payload.lanes):
                m.submodules[f"{name}_{lane}"] = Replica(edge := PairEdge(operand))
                # Whatever is there while there is room for it: whether it counts comes too late for so many registers.
                m.d.comb += [edge.accept.eq(room), edge.second.eq(second), edge.codes.eq(codes)]
                values[name].append(edge.value)
                illegal.append(edge.illegal)
        self._operands(m, take, Cat(values["a"]), Cat(values["w"]))
        # One flag of all lanes is a cycle behind those of the lanes: decoders are long enough.
        taken, seen = Signal(), Signal(len(illegal), reset_less=True)
        m.d.sync += [taken.eq(take), seen.eq(Cat(illegal))]
        with m.If(taken & seen.any()):
            m.d.sync += self.illegal.eq(1)
        return m


class PairDecoder(Replicable):
    """A register for a packed pair, and the decoder.

    Attributes
    ----------
    accept : in 1
        Load the register.
    codes : in
        Packed pair.
    values : out, array of 2
        The pair in the register, the lower step of the reduction first.
    illegal : out 1
        It is illegal.
    """

    def __init__(self, operand):
        self.operand = operand
        super().__init__(
            {
                "accept": In(1),
                "codes": In(operand.lane_bits),
                "values": Out(data.ArrayLayout(operand_shape(operand), 2)),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fmt = self.operand.pairs
        codes = Signal.like(self.codes, name="codes_q", reset_less=True)
        with m.If(self.accept):
            m.d.sync += codes.eq(self.codes)
        pair, illegal = decode_pair(m, fmt, codes, Const(fmt.bias, fmt.exponent_bits))
        for value, (exponent, integer) in zip(self.values, pair, strict=True):
            m.d.comb += [value.exponent.eq(exponent), value.integer.eq(integer)]
        m.d.comb += self.illegal.eq(illegal)
        return m


class PairEdge(Replicable):
    """`PairDecoder` of one lane, and a choice of its two values.

    Attributes
    ----------
    accept : in 1
        Load the register.
    codes : in
        Packed pair.
    second : in 1
        The second one.
    value : out
        The one that is chosen.
    illegal : out 1
        The pair in the register is illegal.
    """

    def __init__(self, operand):
        self.operand = operand
        super().__init__(
            {
                "accept": In(1),
                "codes": In(operand.lane_bits),
                "second": In(1),
                "value": Out(operand_shape(operand)),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = Replica(decoder := PairDecoder(self.operand))
        m.d.comb += [
            decoder.accept.eq(self.accept),
            decoder.codes.eq(self.codes),
            self.illegal.eq(decoder.illegal),
        ]
        m.d.comb += self.value.eq(Mux(self.second, *reversed(decoder.values)))
        return m
