"""Words on their way to and from columns."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...stream.stages import PipelineRegister
from .bursts import longest_burst

__all__ = ["ReadBuffer", "WriteBuffer"]


class ReadBuffer(wiring.Component):
    """Gather columns to words, and keep words until they are taken.

    Room is counted when a burst begins, not when its words come: what has been asked for is never lost.

    Parameters
    ----------
    timing : SdramTiming
    word_columns : int
        Columns of a word, a power of two from 2 on.
    delay : int
        Cycles from `read` to its column at `dq`.
    depth : int
        Words that are kept, a power of two, at least two of the longest bursts.

    Attributes
    ----------
    begins : in 1
        A burst of `words` + 1 words begins.
    words : in
    read : in 1
        A column is asked for.
    dq : in
        A column, the lowest bits of a word first.
    room : out 1
        The longest burst has room; it tells of what began before the last cycle.
    o : out stream of words
    """

    def __init__(self, timing, word_columns, delay, depth):
        self.longest = longest_burst(timing, word_columns)
        self.word_columns, self.delay, self.depth = word_columns, delay, depth
        super().__init__(
            {
                "begins": In(1),
                "words": In(range(self.longest)),
                "read": In(1),
                "dq": In(timing.data_bits),
                "room": Out(1),
                "o": Out(stream.Signature(timing.data_bits * word_columns)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width, column = len(self.o.payload), len(self.dq)
        asked, place = Signal(self.delay), Signal(range(self.word_columns))
        gathered = Signal(width - column, reset_less=True)
        word = Cat(gathered, self.dq)
        m.d.sync += asked.eq(Cat(self.read, asked))
        with m.If(asked[-1]):
            m.d.sync += [place.eq(place + 1), gathered.eq(word[column:])]
        m.submodules.words = words = memory.Memory(shape=width, depth=self.depth, init=[])
        # What leaves a block RAM is late in its cycle.
        m.submodules.register = register = PipelineRegister(width)
        store, load = words.write_port(), words.read_port()
        kept, fetched = Signal(range(self.depth + 1)), Signal()
        m.d.comb += [
            store.en.eq(asked[-1] & place.all()),
            store.data.eq(word),
            # Never with a write: a block RAM that need not do both in one cycle takes no logic beside it. Words come in
            # every other cycle at most.
            load.en.eq(~store.en & (kept != 0) & (~fetched | register.i.ready)),
            register.i.payload.eq(load.data),
            register.i.valid.eq(fetched),
        ]
        with m.If(store.en):
            m.d.sync += [store.addr.eq(store.addr + 1), kept.eq(kept + 1)]
        with m.If(load.en):
            m.d.sync += [load.addr.eq(load.addr + 1), kept.eq(kept - 1), fetched.eq(1)]
        with m.Elif(register.i.ready):
            m.d.sync += fetched.eq(0)
        connect(m, register.o, flipped(self.o))
        left = Signal(range(self.depth + 1), init=self.depth)
        taken = Mux(self.begins, self.words + 1, 0)
        m.d.sync += [
            left.eq(left + (self.o.valid & self.o.ready) - taken),
            self.room.eq(left >= self.longest),
        ]
        return m


class WriteBuffer(wiring.Component):
    """Take a word and give its columns.

    Parameters
    ----------
    timing : SdramTiming
    word_columns : int
        Columns of a word, a power of two from 2 on.

    Attributes
    ----------
    i : in stream of words
        Ready while no word is there, and with the last column of one.
    loaded : out 1
        A word is there.
    write : in 1
        The next column is taken; only while `loaded` is high.
    dq : out
        That column, the lowest bits of a word first.
    """

    def __init__(self, timing, word_columns):
        self.word_columns = word_columns
        super().__init__(
            {
                "i": In(stream.Signature(timing.data_bits * word_columns)),
                "loaded": Out(1),
                "write": In(1),
                "dq": Out(timing.data_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, place = Signal(len(self.i.payload), reset_less=True), Signal(range(self.word_columns - 1))
        # The next change is a new word. A register, as each bit of the word looks at it.
        turn = Signal(init=1)
        m.d.comb += [self.dq.eq(word), self.i.ready.eq(turn & (~self.loaded | self.write))]
        with m.If(self.i.ready):
            m.d.sync += [self.loaded.eq(self.i.valid), turn.eq(~self.i.valid), place.eq(0)]
        with m.Elif(self.write):
            m.d.sync += [place.eq(place + 1), turn.eq(place == self.word_columns - 2)]
        with m.If(self.i.ready | self.write):
            m.d.sync += word.eq(Mux(turn, self.i.payload, word >> len(self.dq)))
        return m
