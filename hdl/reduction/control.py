"""Control of the units: blocks and reductions, the turns of the lanes, and the waits."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Frame", "control_layout", "hold", "sequence", "token_layout"]


def token_layout(lanes):
    """A lane that has its turn: which one, and where its reduction stands."""
    return data.StructLayout({"valid": 1, "first": 1, "last": 1, "index": unsigned((lanes - 1).bit_length())})


def control_layout(schedule):
    """What units do in a cycle.

    `step`, `fresh`, `ended`: the dot products count, as the first or the last ones of a block; `turn`, the lane whose
    integer is taken; `add`, whose term enters the adder, in the next cycle unless all is immediate; `write`, whose sum
    leaves it.
    """
    turns = dict.fromkeys(("turn", "add", "write"), token_layout(schedule.lanes))
    return data.StructLayout({"step": 1, "fresh": 1, "ended": 1} | turns)


class Frame(wiring.Component):
    """Follow blocks and reductions, and hold back what would come too early for the floating-point half.

    Parameters
    ----------
    schedule : Schedule

    Attributes
    ----------
    en : in 1
        Cycles count where it is high.
    take : in 1
        A transfer is taken; only while `en` and `go` are high.
    last : in 1
        The next transfer ends its reduction.
    go : out 1
        The next transfer need not wait.
    fresh, ended : out 1
        It is the first one, the last one of its block.
    first : out 1
        Its block is the first one of its reduction.
    """

    def __init__(self, schedule):
        self.schedule = schedule
        inputs, outputs = ("en", "take", "last"), ("go", "fresh", "ended", "first")
        super().__init__(dict.fromkeys(inputs, In(1)) | dict.fromkeys(outputs, Out(1)))

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        fresh, first = Signal(init=1), Signal(init=1)
        # Where no block ends before its reduction does, or each transfer is one, only reductions wait for each other.
        several = schedule.block is not None and not schedule.immediate
        if several:
            place = Signal(range(schedule.block))
            with m.If(self.take):
                m.d.sync += place.eq(Mux(self.ended, 0, place + 1))
            m.d.comb += self.ended.eq(self.last | (place == schedule.block - 1))
        else:
            m.d.comb += self.ended.eq(self.last | schedule.immediate)
        gate = self.ended if several else self.last
        m.d.comb += [self.fresh.eq(fresh), self.first.eq(first)]
        with m.If(self.take):
            m.d.sync += fresh.eq(self.ended)
            with m.If(self.ended):
                m.d.sync += first.eq(self.last)

        # A register, because it decides about `ready`.
        spaced = Signal(init=1)
        wait = schedule.spacing
        m.d.comb += self.go.eq(spaced | ~gate)
        if wait > 1:
            left = Signal(range(wait))
            with m.If(self.take & gate):
                m.d.sync += [left.eq(wait - 1), spaced.eq(0)]
            with m.Elif(self.en):
                m.d.sync += [left.eq(left - 1), spaced.eq(spaced | (left == 1))]
        return m


def sequence(m, schedule, en, take, fresh, ended, first, last):
    """Control of the units, from the operands of a cycle whose dot products are there in the next one.

    Parameters
    ----------
    m : Module
    schedule : Schedule
    en : Value
        All registers load where it is high.
    take, fresh, ended, first, last : Value
        Operands are there; the first or last ones of a block; which is the first or last one of its reduction.

    Returns
    -------
    Signal
        Of `control_layout(schedule)`.
    """
    control = Signal(control_layout(schedule))
    flags = Signal(data.StructLayout({"first": 1, "last": 1}), reset_less=True)
    step, ends = Signal(), Signal()
    opens = Signal(reset_less=True)
    with m.If(en):
        m.d.sync += [step.eq(take), ends.eq(take & ended), opens.eq(fresh), flags.first.eq(first), flags.last.eq(last)]
    turn = Signal(token_layout(schedule.lanes))
    if schedule.immediate:
        m.d.comb += [turn.valid.eq(step), turn.first.eq(flags.first), turn.last.eq(flags.last)]
    else:
        more = turn.index != schedule.lanes - 1
        with m.If(en & ends):
            m.d.sync += [turn.valid.eq(1), turn.index.eq(0), turn.first.eq(flags.first), turn.last.eq(flags.last)]
        with m.Elif(en):
            m.d.sync += [turn.valid.eq(turn.valid & more), turn.index.eq(turn.index + (turn.valid & more))]
    tokens = [turn]
    for number in range(1, schedule.term + schedule.adder + 1):
        tokens.append(Signal(token_layout(schedule.lanes), name=f"token_{number}"))
        with m.If(en):
            m.d.sync += tokens[number].eq(tokens[number - 1])
    m.d.comb += [
        control.step.eq(step),
        control.fresh.eq(opens),
        control.ended.eq(ends),
        control.turn.eq(turn),
        control.add.eq(tokens[schedule.term - (not schedule.immediate)]),
        control.write.eq(tokens[-1]),
    ]
    return control


def hold(m, schedule, en, control, scales, name):
    """Registers for scales that belong to the dot products, for as long as their lanes have their turns.

    Parameters
    ----------
    m : Module
    schedule : Schedule
    en : Value
        All registers load where it is high.
    control : Signal
        Of `control_layout(schedule)`.
    scales : Value
        Beside the dot products.
    name : str

    Returns
    -------
    Value
        `scales` themselves where all is immediate.
    """
    if schedule.immediate:
        return scales
    held = Signal(len(scales), name=name, reset_less=True)
    with m.If(en & control.ended):
        m.d.sync += held.eq(scales)
    return held
