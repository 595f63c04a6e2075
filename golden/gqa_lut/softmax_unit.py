"""How long the softmax unit takes, to the cycle."""

from .row_cycles import Buffer, Registers, Spare, Stages

__all__ = ["cycles", "equal_cycles", "latency"]

#: Distance from the maximum, compare, select, multiply, add, round.
_EXPONENTIAL = 6
#: Sum, zeros before its leading one, what follows that, compare, select, multiply, add.
_RECIPROCAL = 7
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
    top, tops, totals = Registers(1), Stages(), Stages()
    exponential, reciprocal, product = Registers(_EXPONENTIAL), Registers(_RECIPROCAL), Registers(_PRODUCT)
    results = Spare()
    begin, time, done = None, -1, -1
    for length in lengths:
        for _ in range(length):
            time = max(time + 1, first.room(), top.room())
            begin = time if begin is None else begin
            first.enter(time)
        taken = max(top.enter(time), tops.room())
        top.leave(taken)
        ready = tops.enter(taken)
        for index in range(length):
            moved = max(ready, first.next(), exponential.room())
            first.leave(moved)
            done = max(exponential.enter(moved), results.room())
            exponential.leave(done)
            done = max(done, second.room())
            if index == length - 1:
                tops.leave(moved)
                done = max(done, reciprocal.room())
                taken = max(reciprocal.enter(done), totals.room())
                reciprocal.leave(taken)
                ready = totals.enter(taken)
            results.leave(done)
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
