"""How long the LayerNorm unit takes, to the cycle."""

from .row_cycles import Buffer, Registers, Spare, Stages

__all__ = ["cycles", "equal_cycles", "latency"]

#: Element, sums, products.
_PRODUCTS = 3
#: Distance, two halves of its product, product, increment of the spread.
_SPREAD = 4
#: Of the spread, zeros before its leading one, what follows that, compare, select, multiply, add; or of a table in a
#: memory: address, word, multiply, add.
_ROOT = 6
#: Operands, product with the count, deviation, two halves of the product, product, shift, rounding, output.
_OUTPUT = 8


def latency(config):
    """Cycles from the last element of a row to its first output."""
    return cycles(config, [1]) - 1


def cycles(config, lengths):
    """Cycles from the first input to the last output, both included, of sides that never stall.

    Parameters
    ----------
    config : LayernormUnitConfig
        Or anything with `max_length`.
    lengths : sequence of int
        Of the rows.

    Returns
    -------
    int
        Of equal rows, `equal_cycles`.
    """
    products, spread, whole = Registers(_PRODUCTS), Registers(_SPREAD), Registers(1)
    root, output = Registers(_ROOT), Registers(_OUTPUT)
    elements, multiplied, spreads, roots = Buffer(config.max_length), Spare(), Spare(), Stages()
    begin, time, done = None, -1, -1
    for length in lengths:
        for index in range(length):
            time = max(time + 1, elements.room(), products.room())
            begin = time if begin is None else begin
            elements.enter(time)
            moved = max(products.enter(time), multiplied.room())
            products.leave(moved)
            passed = max(moved, spread.room())
            multiplied.leave(passed)
            moved = spread.enter(passed)
            if index == length - 1:
                moved = max(moved, whole.room())
                cut = max(whole.enter(moved), spreads.room())
                whole.leave(cut)
                passed = max(cut, root.room())
                spreads.leave(passed)
                taken = max(root.enter(passed), roots.room())
                root.leave(taken)
                ready = roots.enter(taken)
            spread.leave(moved)
        for _ in range(length):
            moved = max(ready, elements.next(), output.room())
            elements.leave(moved)
            done = output.enter(moved)
            output.leave(done)
        roots.leave(moved)
    return done - begin + 1


def equal_cycles(config, shape):
    """Cycles of equal rows, without going through them one by one.

    Parameters
    ----------
    config
        As of `cycles`.
    shape : (int, int)
        Rows, and the length of each, which is at most `max_length`.
    """
    rows, length = shape
    return latency(config) + (rows + 1) * length - 1
