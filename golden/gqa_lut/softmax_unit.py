"""How long the softmax unit takes, to the cycle."""

from .row_cycles import Buffer, Registers, Stages

__all__ = ["cycles", "equal_cycles", "latency"]

#: Distance from the maximum, select, multiply, add, round.
_EXPONENTIAL = 5
#: Sum, leading one, select, multiply, add.
_RECIPROCAL = 5
#: Operands, product, shift, output.
_PRODUCT = 4


def latency(config):
    """Cycles from the only element of a row to its output."""
    return cycles(config, [1]) - 1


def cycles(config, lengths):
    """Cycles from the first input to the last output, both included, of sides that never stall.

    Parameters
    ----------
    config : SoftmaxUnitConfig
        Or anything with `max_length`.
    lengths : sequence of int
        Of the rows.

    Returns
    -------
    int
        Of equal rows, `equal_cycles`.
    """
    first, second = Buffer(config.max_length), Buffer(config.max_length)
    tops, totals = Stages(), Stages()
    exponential, reciprocal, product = Registers(_EXPONENTIAL), Registers(_RECIPROCAL), Registers(_PRODUCT)
    begin, time, done = None, -1, -1
    for length in lengths:
        for _ in range(length):
            time = max(time + 1, first.room(), tops.room())
            begin = time if begin is None else begin
            first.enter(time)
        ready = tops.enter(time)
        for index in range(length):
            moved = max(ready, first.next(), exponential.room())
            first.leave(moved)
            done = max(exponential.enter(moved), second.room())
            if index == length - 1:
                tops.leave(moved)
                done = max(done, reciprocal.room())
                taken = max(reciprocal.enter(done), totals.room())
                reciprocal.leave(taken)
                ready = totals.enter(taken)
            exponential.leave(done)
            second.enter(done)
        for _ in range(length):
            moved = max(ready, second.next(), product.room())
            second.leave(moved)
            done = product.enter(moved)
            product.leave(done)
        totals.leave(moved)
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
    return latency(config) + (rows + 2) * length - 2
