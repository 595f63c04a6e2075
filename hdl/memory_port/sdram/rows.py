"""Which rows are open, when the memory is refreshed, and how it is initialized."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .bursts import burst_layout
from .hold import Hold
from .pins import ALL_BANKS, Command, mode, pins_of_address
from .refresh import RefreshTimer

__all__ = ["Rows"]


class Rows(wiring.Component):
    """Open the row of the next burst while the one before is under way, and say when it starts.

    A row stays open until another one of its bank is wanted, or until a refresh is due, which no further burst goes
    before. A burst starts when its row is open, the one before has no columns left, and it cannot be held up: a read
    with room for all of its words, a write with its word there. So no stall of a stream reaches the pins.

    Parameters
    ----------
    timing : SdramTiming
    word_columns : int
        Columns of a word, a power of two from 2 on.

    Attributes
    ----------
    i : in stream of `burst_layout(timing, word_columns)`
        A burst is taken when it starts.
    room : in 1
        The longest read has room, counted up to the second cycle before.
    loaded : in 1
        The word of the next write is there.
    free, quiet, silent, bank, write : in
        Of `Columns`.
    start : out 1
        To `Columns`.
    command : out `Command`
        Other than NOP only while `silent` is high and `start` is low.
    ba, a : out
        Bank, and row or mode; 0 without a command.
    starting : out 1
        The memory is not yet initialized.
    """

    def __init__(self, timing, word_columns):
        self.timing, self.word_columns = timing, word_columns
        bank = range(timing.banks)
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(timing, word_columns))),
                "bank": In(bank),
                "start": Out(1),
                "starting": Out(1, init=1),
                "command": Out(Command, init=Command.NOP),
                "ba": Out(bank),
                "a": Out(pins_of_address(timing)),
            }
            | dict.fromkeys(("room", "loaded", "free", "quiet", "silent", "write"), In(1))
        )

    def elaborate(self, platform):
        m = Module()
        cycles, burst = self.timing.cycles, self.i.payload
        m.submodules.refresh = refresh = RefreshTimer(self.timing.refresh_interval)
        # ACTIVATE of another bank comes behind the start of a burst at the earliest, so tRRD is part of tRCD's wait.
        m.submodules.wait = wait = Hold(
            activate=max(cycles("t_rcd"), cycles("t_rrd")),
            precharge=cycles("t_rp"),
            refresh=cycles("t_rfc"),
            set_mode=cycles("t_mrd"),
        )
        # For all banks together: the one that opened last decides. PRECHARGE waits for tRC, too, so ACTIVATE need not.
        m.submodules.stay = stay = Hold(
            activate=max(cycles("t_ras"), cycles("t_rc") - cycles("t_rp")), write=cycles("t_wr")
        )
        opened, row = self._table(m, burst, wait)
        # Refreshes of the beginning, and before them intervals of refresh that the memory is given to power up.
        intervals = -(-cycles("power_up") // self.timing.refresh_interval)
        count = Signal(range(max(intervals, self.timing.first_refreshes) + 1), init=intervals)
        closable = wait.free & stay.free & self.silent

        def give(command, time, a=0):
            m.d.comb += [self.command.eq(command), self.a.eq(a), getattr(wait, time).eq(1)]

        m.d.comb += [stay.activate.eq(wait.activate), stay.write.eq(self.write), self.i.ready.eq(self.start)]
        with m.FSM(init="POWER"):
            with m.State("POWER"), m.If(refresh.tick):
                m.d.sync += count.eq(count - 1)
                with m.If(count == 1):
                    m.d.sync += count.eq(self.timing.first_refreshes)
                    m.next = "CLOSE ALL"
            with m.State("LOOK"):
                with m.If(refresh.due):
                    m.next = "CLOSE ALL"
                with m.Elif(self.i.valid):
                    with m.If(~opened):
                        m.next = "OPEN"
                    with m.Elif(row == burst.row):
                        m.next = "START"
                    with m.Else():
                        m.next = "CLOSE"
            with m.State("CLOSE"), m.If(closable & (self.free | (self.bank != burst.bank))):
                m.d.comb += self.ba.eq(burst.bank)
                give(Command.PRECHARGE, "precharge")
                m.next = "OPEN"
            with m.State("OPEN"), m.If(wait.free & self.silent):
                m.d.comb += self.ba.eq(burst.bank)
                give(Command.ACTIVATE, "activate", burst.row)
                m.next = "START"
            with m.State("START"):
                with m.If(refresh.due):
                    m.next = "CLOSE ALL"
                with m.Elif(wait.free & self.free & Mux(burst.write, self.loaded & self.quiet, self.room)):
                    m.d.comb += self.start.eq(1)
                    m.next = "LOOK"
            with m.State("CLOSE ALL"), m.If(closable & self.free):
                give(Command.PRECHARGE, "precharge", 1 << ALL_BANKS)
                m.next = "REFRESH"
            with m.State("REFRESH"), m.If(wait.free):
                give(Command.REFRESH, "refresh")
                m.d.comb += refresh.done.eq(1)
                m.next = "LOOK"
                with m.If(self.starting):
                    m.d.sync += count.eq(count - 1)
                    m.next = "REFRESH"
                    with m.If(count == 1):
                        m.next = "SET MODE"
            with m.State("SET MODE"), m.If(wait.free):
                give(Command.MODE_REGISTER_SET, "set_mode", mode(self.timing))
                m.d.sync += self.starting.eq(0)
                m.next = "LOOK"
        return m

    def _table(self, m, burst, wait):
        """Whether the burst's bank has an open row, and which one."""
        m.submodules.rows = rows = memory.Memory(shape=range(self.timing.rows), depth=self.timing.banks, init=[])
        store, load = rows.write_port(), rows.read_port(domain="comb")
        opened = Signal(self.timing.banks)
        m.d.comb += [
            store.addr.eq(burst.bank),
            store.data.eq(burst.row),
            store.en.eq(wait.activate),
            load.addr.eq(burst.bank),
        ]
        with m.If(wait.activate):
            m.d.sync += opened.bit_select(burst.bank, 1).eq(1)
        # One that is closed alone is opened next.
        with m.If(wait.precharge & self.a[ALL_BANKS]):
            m.d.sync += opened.eq(0)
        return opened.bit_select(burst.bank, 1), load.data
