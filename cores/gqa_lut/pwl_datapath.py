"""The integer datapath of a piecewise-linear unit: compare, select, multiply, add, and round to the output's scale.

Each step ends in a register that holds when the next one does; in a free-running pipeline none of them ever holds, for
who has room for all that is inside. Comparison and selection have a cycle each. A constant output shift is none, and
rounds in one cycle; another one takes two, and its rounding a third.
"""

import functools
import operator
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.floating.formats import stage
from ...hdl.integer.bits import resize
from ...hdl.integer.rounding import round_saturate, shift_noting
from ...hdl.stream.pipeline import free_registered, registered

__all__ = ["PwlDatapath", "select"]


def select(m, name, passed, rows):
    """The row of a table that increasing thresholds choose.

    Each row is gated by its own line, and all are joined: multiplexers behind comparators would let synthesis share the
    comparators, one after the other, which is smaller by little and slower by much.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of the signals.
    passed : list of Value
        For each threshold, whether the code is beyond it.
    rows : list of Value
        One more.

    Returns
    -------
    Value
        Row n where n thresholds are passed, for thresholds that do not decrease.
    """
    lines = [above & ~below for above, below in zip([Const(1, 1), *passed], [*passed, Const(0, 1)], strict=True)]
    lines = vars(stage(m, f"{name}_line", None, **{f"row_{n}": line for n, line in enumerate(lines)})).values()
    gated = [row & line.replicate(len(row)) for row, line in zip(rows, lines, strict=True)]
    return functools.reduce(operator.or_, gated)


def _fields(payload, *names):
    """Fields of a payload by name."""
    return {name: payload[name] for name in names}


def _offset(code):
    """Unsigned bits in the order of a code: a comparison of those is a carry, one with signs is more."""
    return Cat(code[:-1], ~code[-1]) if code.shape().signed else code


class PwlDatapath(wiring.Component):
    """Piecewise-linear function of a stream of codes, with tags that go along.

    Latency 4 cycles; with an output scale three more, or one more where it is constant and the registers may hold. One
    code per cycle. `o.ready` has a path to `i.ready`; free-running, `i.ready` is always high, and `o.ready` has no
    effect.

    Parameters
    ----------
    table : PwlTable or None
        Fixed table; None takes it from ports.
    s : int or None
        Fixed scale of the codes, 0 to `width` - 1.
    width : int
        Bits of codes, thresholds, slopes and intercepts.
    entries : int
        Of a table from ports: a power of two.
    unsigned_codes, negate : bool
        Whether codes are unsigned; whether their negatives are multiplied.
    shift : int or None
        Fixed output shift, as of `golden.gqa_lut.pwl.evaluate`.
    left : int
        The output shifts by ``shift - left`` bits, where that comes from a port.
    out : Shape or None
        Of the output; None gives the sum itself, exact.
    tag : int
        Bits that go along.
    free_running : bool
        Whether the registers never hold.

    Attributes
    ----------
    i : in stream
        `code` and `tag`.
    o : out stream
        `value` and `tag`.
    busy : out 1
        Whether a code is inside whose output is not yet known.
    thresholds, slopes, intercepts : in
        The table, where none is fixed; must hold while `busy`.
    known : in 1
        Where it is low, the sum is 0.
    scale, shift : in
        Must hold while `busy`.
    """

    def __init__(
        self,
        table=None,
        s=None,
        *,
        width=8,
        entries=8,
        unsigned_codes=False,
        negate=False,
        shift=None,
        left=0,
        out=None,
        tag=0,
        free_running=False,
    ):
        self.free_running, self.step = free_running, free_registered if free_running else registered
        self.table, self.s, self.width, self.shift_bits, self.left = table, s, width, shift, left
        self.negate, self.out, self.entries = negate, out, entries if table is None else len(table.slopes)
        self.code = unsigned(width) if unsigned_codes else signed(width)
        factor = signed(width + (unsigned_codes or negate))
        self.factor = factor
        # Codes and slopes are below 2**(factor.width - 1) and 2**(width - 1) in magnitude, or equal: a bit for the sum.
        self.sum = signed(2 * width + (unsigned_codes and width == 8))
        ports = {
            "i": In(stream.Signature(data.StructLayout({"code": self.code, "tag": tag}))),
            "o": Out(stream.Signature(data.StructLayout({"value": out or self.sum, "tag": tag}))),
            "busy": Out(1),
        }
        if table is None:
            ports |= {
                "thresholds": In(data.ArrayLayout(self.code, entries - 1)),
                "slopes": In(data.ArrayLayout(signed(width), entries)),
                "intercepts": In(data.ArrayLayout(signed(width), entries)),
                "known": In(1),
                "scale": In(range(width)),
                "shift": In(range(2 * width)),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        width, code = self.width, self.i.payload.code
        if self.table is None:
            slopes, intercepts, scale = self.slopes, self.intercepts, self.scale
            passed = [_offset(code) > _offset(threshold) for threshold in self.thresholds]
        else:
            passed = [code > threshold for threshold in self.table.thresholds]
            slopes, intercepts = (
                [Const(value, signed(width)) for value in values]
                for values in (self.table.slopes, self.table.intercepts)
            )
            scale = Const(self.s, max(1, self.s.bit_length()))
        passed = stage(m, "passed", None, **{f"threshold_{n}": beyond for n, beyond in enumerate(passed)})
        factor = Signal(self.factor)
        m.d.comb += factor.eq(-code if self.negate else code)
        compared = self.step(
            m, "compared", self.i, passed=Cat(vars(passed).values()), factor=factor, tag=self.i.payload.tag
        )
        rows = [Cat(slope, intercept) for slope, intercept in zip(slopes, intercepts, strict=True)]
        row = select(m, "select", list(compared.payload.passed), rows)
        if self.table is None:
            row = row & self.known.replicate(2 * width)
        chosen = self.step(
            m,
            "chosen",
            compared,
            slope=row[:width].as_signed(),
            intercept=row[width:].as_signed(),
            **_fields(compared.payload, "factor", "tag"),
        )
        product, total = self._sum(m, chosen, scale)
        m.d.comb += self.busy.eq(Cat(step.valid for step in (compared, chosen, product, total)).any())
        last = self._rounded(m, total)
        m.d.comb += [
            self.o.valid.eq(last.valid),
            last.ready.eq(self.o.ready),
            self.o.payload.value.eq(last.payload.value),
            self.o.payload.tag.eq(last.payload.tag),
        ]
        return m

    def _sum(self, m, chosen, scale):
        """The product and the shifted intercept, added."""
        fields = chosen.payload
        product = self.step(
            m,
            "product",
            chosen,
            product=fields.slope * fields.factor,
            # Shifted while the product is made.
            intercept=self._shifted(m, fields.intercept, scale),
            tag=fields.tag,
        )
        fields = product.payload
        total = self.step(
            m, "total", product, value=resize(fields.product + fields.intercept, self.sum.width), tag=fields.tag
        )
        return product, total

    def _shifted(self, m, intercept, scale):
        shifted = Value.cast(intercept)
        for place, bit in enumerate(scale):
            moved = Mux(bit, Cat(Const(0, 1 << place), shifted).as_signed(), shifted)
            shifted = stage(m, f"intercept_by_{1 << place}", None, moved=moved).moved
        return shifted

    def _rounded(self, m, total):
        """The sum on the output's scale, if there is one."""
        if self.out is None:
            return total
        left = self.left if self.table is None else max(0, -self.shift_bits)
        shift = self.shift if self.table is None else Const(self.shift_bits + left)
        # One bit below the last one, for the half.
        halves = Cat(Const(0, left + 1), total.payload.value).as_signed()
        streams = [SimpleNamespace(stream=total, sign=total.payload.value[-1], tag=total.payload.tag)]

        def through(name, **values):
            """What is known, through a register; that is where the next step takes it from."""
            known = streams[-1]
            after = self.step(m, name, known.stream, sign=known.sign, tag=known.tag, **values)
            streams.append(SimpleNamespace(stream=after, **_fields(after.payload, "sign", "tag")))
            return after.payload

        stepwise = self.free_running or self.table is None
        between = functools.partial(through, "half") if stepwise else None
        bits = self.out.width + (not self.out.signed)
        moved, beyond = shift_noting(m, "output", halves, shift, bits, between=between)
        if stepwise:
            fields = through("moved", moved=moved.as_signed(), beyond=beyond)
            moved, beyond = fields.moved, fields.beyond
        known = streams[-1]
        value = round_saturate(m, "output", moved, beyond, known.sign, self.out)
        return self.step(m, "rounded", known.stream, value=value, tag=known.tag)
