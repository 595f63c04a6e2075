"""How long the low-rank vector core takes, to the cycle.

All counts are for sides that never stall. A block is `lanes` channels or ranks; it takes one pass through the
multipliers, or two if one of its operands has 16 bits and operands go in slices. Ranks, and outputs, come in groups of
`columns`; a group takes the passes of all its blocks, and ends `columns` cycles or more behind the one before, as its
sums leave one a cycle.

The slices are those of `lvc`; lanes, columns and the pipeline are our choice.
"""

__all__ = ["FRONT", "column_latency", "cycles", "latency", "passes", "tree_stages"]

#: From a slot to the operands: memory, significand, shift, integer.
FRONT = 4
#: Of a rank: its shift, rounding, clipping, and the word.
_RANK = 4
#: Operands, held sums, conversion, product and output register.
_BACK = 1 + 1 + 3 + 3 + 1


def tree_stages(config):
    """Registers of an adder tree of four terms each, and of a tree that finds the largest one; `config` has `lanes`."""
    return config.lanes.bit_length() // 2


def column_latency(config):
    """Cycles from the operands' registers to a sum: product, adder tree, sum."""
    return 1 + tree_stages(config) + 1


def latency(config):
    """Cycles from the last weights of a group of outputs to the first of them."""
    return column_latency(config) + _BACK


def passes(config, operands, wide):
    """Passes of a reduction.

    Parameters
    ----------
    config : LvcConfig
        Or anything with its fields `lanes` and `multiplier`.
    operands, wide : int
        How many there are, and how many of the first have 16 bits.

    Returns
    -------
    int
        1 for no operands at all: sums of nothing take a cycle, too.
    """
    return max(-(-operands // config.lanes), 1) + (-(-wide // config.lanes) if config.multiplier == "slices" else 0)


def cycles(config, layers):
    """Cycles from the first layer's transfer to the last output, both included.

    Parameters
    ----------
    config : LvcConfig
        Or anything with its fields.
    layers : sequence of (LowRank, int)
        Tables and number of tokens of each layer; the last one has tokens.
    """
    return sum(_layer(config, t, tokens) for t, tokens in layers) + 1


def _layer(config, t, tokens):
    """Cycles from a layer's transfer to the one of its last output, when the next layer is taken."""
    if tokens == 0:
        return 1
    columns = config.columns
    k, rank = t.l1.shape
    words = -(-k // config.lanes)
    # Passes of a group, cycles from group to group, and groups, of both products.
    sizes = ((k, t.wide_channels, rank), (rank, t.wide_ranks, len(t.scales)))
    counts = [passes(config, operands, wide) for operands, wide, _ in sizes]
    periods = [max(count, columns) for count in counts]
    groups = [-(-results // columns) for *_, results in sizes]
    stops, vacated, taken, free = [], [1, 1], 0, -columns
    for token in range(tokens):
        # Its words come once the one before is complete, and the last but one has been read.
        taken = max(taken + 1, vacated[token]) + words - 1
        begin = max(free, taken + 2 + tree_stages(config)) + 1
        # The first group keeps its distance from the last one of the token before.
        product = 0 if rank else 1
        between = sum(not any(a <= cycle < b for a, b in stops) for cycle in range(free, begin)[:columns])
        group = max(counts[product], columns - between)
        first = (group + (groups[0] - 1) * periods[0]) if rank else 0
        last = first + groups[1] * periods[1] - 1 if rank else group + (groups[1] - 1) * periods[1] - 1
        vacated.append((_moved(stops, begin, first - 1) if rank else begin - 1) + 1)
        start = 0
        if rank:
            # The first pass wants ranks, and waits for its distance if it is the last one, too; they are complete.
            pause = periods[1] - 1 if counts[1] == 1 else 0
            wanted = _moved(stops, begin, first + pause + FRONT - 1) + 1
            summed = _moved(stops, begin, first - 1 + FRONT - 1) + 1 + column_latency(config) + 1
            start = summed + columns + _RANK
            if start > wanted:
                stops.append((wanted, start))
        free = _moved(stops, begin, last) + 1
        weights = max(_moved(stops, begin, last + FRONT - 1) + 1, start)
    return weights + latency(config) + (len(t.scales) - 1) % columns


def _moved(stops, cycle, count):
    """Cycle in which what stands there in `cycle` has moved on `count` times, and moves on again, past the stops."""
    for begin, end in stops:
        if cycle < end and cycle + count >= begin:
            count -= max(begin - cycle, 0)
            cycle = end
    return cycle + count
