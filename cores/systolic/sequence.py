"""The systolic tile's control: which row of the array does what, and when results are at its lower edge."""

from amaranth import Cat, Mux, Signal

from ...golden.systolic import tile as golden

__all__ = ["output_stationary", "weight_stationary"]


def output_stationary(m, config, feed, array):
    """Connect the feed's activations and flags; give `valid` and `last` of the results."""
    blocks = len(config.row_blocks)
    latency = golden.term_latency(config)
    keep = Signal(latency + blocks - 1, reset_less=True)
    ended = Signal(latency + blocks)
    moving = Signal(blocks)
    load = ended[latency:]
    # The drain moves from the cycle after the last row has loaded it; each row until it loads again.
    with m.If(array.en):
        m.d.sync += [
            keep.eq(Cat(~feed.first, keep)),
            ended.eq(Cat(feed.last, ended)),
            moving.eq(Mux(load[-1], ~0, moving & ~load)),
        ]
    for index, control in enumerate(array.control):
        m.d.comb += [
            control.keep.eq(keep[latency - 1 + index]),
            control.load.eq(load[index]),
            control.move.eq(load[index] | moving[index]),
        ]
    if config.free_running:
        add = Signal(latency + blocks - 1)
        m.d.sync += add.eq(Cat(feed.made, add))
        m.d.comb += [control.add.eq(add[latency - 1 + index]) for index, control in enumerate(array.control)]
    # The drain gives the lowest row first: row 0 of the operands enters there.
    lanes = Cat(feed.activations[lane] for lane in reversed(range(config.rows)))
    m.d.comb += array.a.as_value().eq(lanes)

    complete = Signal(len(config.col_blocks))
    with m.If(array.en):
        m.d.sync += complete.eq(Cat(load[-1], complete))
    # Rows that follow the one at the lower edge. That there is one is a flag: it enables much.
    valid, following = Signal(name="row_valid"), Signal(range(config.rows), reset_less=True)
    with m.If(array.en & complete[-1]):
        m.d.sync += [valid.eq(1), following.eq(config.rows - 1)]
    with m.Elif(array.en):
        m.d.sync += [valid.eq(valid & (following != 0)), following.eq(following - 1)]
    return valid, following == 0


def weight_stationary(m, config, feed, array):
    """Connect the feed's activations and flags; give `valid` and `last` of the results."""
    rows, blocks, latency = config.rows, config.row_blocks, golden.term_latency(config)
    # A weight goes down a block of rows a cycle, into the first row whose spare weights are not its own yet; `swap`
    # comes a row a cycle. So the next block's weights may follow right behind it.
    entering = Signal(len(blocks))
    swap, full = Signal(rows), Signal(rows)
    swapping, held, load = (Signal(rows, name=name) for name in ("swapping", "held", "load"))
    m.d.comb += [swapping.eq(Cat(feed.swap, swap)), held.eq(full & ~swapping)]
    loads, passed = [], []
    for index, token in enumerate(Cat(feed.load, entering)[: len(blocks)]):
        own = held[index * config.block :][: blocks[index]]
        loads.append(Mux(token, (own + 1)[: len(own)] & ~own, 0))
        passed.append(token & own.all())
    m.d.comb += [load.eq(Cat(loads)), array.control.eq(Cat(zip(load, swapping, full, strict=True)))]
    with m.If(array.en):
        m.d.sync += [entering.eq(Cat(passed)), swap.eq(swapping), full.eq(held | load)]

    # Where the activations' sums are: at the first row after `latency` cycles, `rows` later below the last one.
    resume = Signal(latency - 1)
    write = Signal(latency + rows)
    valid, last = (Signal(latency + rows + len(config.col_blocks), name=name) for name in ("valid", "last"))
    with m.If(array.en):
        m.d.sync += [
            resume.eq(Cat(feed.issue & feed.resume, resume)),
            write.eq(Cat(feed.issue & ~feed.finish, write)),
            valid.eq(Cat(feed.issue & feed.finish, valid)),
            last.eq(Cat(feed.issue & feed.last, last)),
        ]
    m.d.comb += [
        array.a.eq(feed.activations),
        array.partials.read.eq(resume[-1]),
        array.partials.write.eq(write[-1]),
    ]
    return valid[-1], last[-1]
