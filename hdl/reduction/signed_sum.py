"""The sum of products that are magnitudes with signs: a negative one is inverted instead of negated.

An inverted product of `bits` bits is ``2**bits - 1 - product``: ``2**bits`` too much and one too little, as many times
as there are negative ones. With their number all is corrected once.
"""

from amaranth import Cat, Const, Signal

from ..floating.formats import stage
from ..integer.columns import add_columns

__all__ = ["signed_sum"]


def signed_sum(m, en, products, negative, o, cycles):
    """Add products, the negative ones taken away.

    In one cycle, all bits of the products, and of the number of negative ones, are added in one tree of full adders,
    for cells. In two cycles, sums of two products each are in registers between, and all sums are carry chains, for
    FPGAs, where a tree is slow.

    Parameters
    ----------
    m : Module
    en : Value
        All registers load where it is high.
    products : list of Value
        For each weight, from 1 on, a word with that bit of the magnitude of each product.
    negative : Signal
        A bit a product.
    o : Value
        Signed: where the sum goes, `cycles` enabled cycles later. It must hold the sum.
    cycles : int
        1 or 2.
    """
    count = Signal(range(len(negative) + 1))
    m.d.comb += count.eq(Cat(add_columns(m, "negatives", [[negative]], len(count), together=True)))
    inverted = [bit ^ negative for bit in products]
    dot = Signal.like(o, name="dot", reset_less=True)
    with m.If(en):
        if cycles == 1:
            m.d.sync += dot.eq(_tree(m, inverted, count, len(o)))
        else:
            m.d.sync += dot.eq(_chains(m, en, inverted, count))
    m.d.comb += o.eq(dot)


def _tree(m, inverted, count, width):
    """The sum in one tree of full adders."""
    bits = len(inverted)
    columns = [[bit] for bit in inverted] + [[] for _ in range(width - bits)]
    for at, bit in enumerate(count):
        columns[at].append(bit)
    for at in range(bits, width):
        columns[at].append(~count[at - bits] if at - bits < len(count) else Const(1, 1))
    columns[bits].append(Const(1, 1))
    return Cat(add_columns(m, "total", columns, width, together=True))


def _chains(m, en, inverted, count):
    """The sum by carry chains, behind a register for each sum of two products."""
    pairs = _pairs(m, "pair", [Cat(bit[lane] for bit in inverted) for lane in range(len(inverted[0]))])
    numbers = [stage(m, f"pair_{index}", en, taken=pair).taken for index, pair in enumerate(pairs)]
    negatives = stage(m, "negatives", en, taken=count).taken
    while len(numbers) > 1:
        numbers = _pairs(m, f"total_of_{len(numbers)}", numbers)
    return numbers[0] + negatives - (negatives << len(inverted))


def _pairs(m, name, numbers):
    """Sums of two unsigned numbers each, and the last one itself where their number is odd."""
    sums = []
    for index, (a, b) in enumerate(zip(numbers[::2], numbers[1::2], strict=False)):
        sums.append(Signal(max(len(a), len(b)) + 1, name=f"{name}_{index}"))
        m.d.comb += sums[-1].eq(a + b)
    return sums + numbers[2 * len(sums) :]
