"""How long the LayerNorm unit takes, to the cycle."""

from .row_cycles import Buffer, Registers, Stages

__all__ = ["cycles", "equal_cycles", "latency"]

#: Element, sums, products, distance, their product, increment of the spread.
_SPREAD = 6
#: Spread, leading one, select, multiply, add; by whether the table is in a memory, which takes one more.
_ROOT = {False: 5, True: 6}
#: Operands, product with the count, deviation, product, shift, output.
_PRODUCT = 6


def latency(config):
    """Cycles from the last element of a row to its first output."""
    return cycles(config, [1]) - 1


def cycles(config, lengths):
    """Cycles from the first input to the last output, both included, of sides that never stall.

    Parameters
    ----------
    config : LayernormUnitConfig
        Or anything with `max_length` and `fine`.
    lengths : sequence of int
        Of the rows.

    Returns
    -------
    int
        Of equal rows, `equal_cycles`.
    """
    elements, spreads = Buffer(config.max_length), Stages()
    spread, root, product = Registers(_SPREAD), Registers(_ROOT[config.fine]), Registers(_PRODUCT)
    begin, time, done = None, -1, -1
    for length in lengths:
        for index in range(length):
            time = max(time + 1, elements.room(), spread.room())
            begin = time if begin is None else begin
            elements.enter(time)
            moved = spread.enter(time)
            if index == length - 1:
                moved = max(moved, root.room())
                taken = max(root.enter(moved), spreads.room())
                root.leave(taken)
                ready = spreads.enter(taken)
            spread.leave(moved)
        for _ in range(length):
            moved = max(ready, elements.next(), product.room())
            elements.leave(moved)
            done = product.enter(moved)
            product.leave(done)
        spreads.leave(moved)
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
