"""SDRAM of single data rate behind the memory port."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..port import MemoryPort
from ..walk import check_size
from .buffers import ReadBuffer, WriteBuffer
from .bursts import LONGEST_BURST, Bursts, longest_burst
from .pins import SdramPins
from .scheduler import Scheduler

__all__ = ["SdramController"]


class SdramController(wiring.Component):
    """A memory port whose words lie in an SDRAM, for long reads: a column a cycle, from page to page without a gap.

    The address of a word is row, bank, column, from the highest bit down. All outputs to the chip are registers, and
    what comes from it goes into one, so that all of them can lie in the pins. After a reset the memory is initialized
    as after power-up; what it holds then is not to be relied on.

    Parameters
    ----------
    timing : SdramTiming
        The chip, and the clock of the controller and of the chip.
    address_bits : int
        Bits of an address of the port, at least as many as the memory has words for.
    width : int
        Bits of a word: 2, 4, 8 ... times those of a column.
    buffer : int
        Words read ahead of the asker, a power of two, at least two bursts of 128 columns or of a page.
    delay : int
        Cycles, 0 or more, by which columns come later than after the CAS latency: for long ways to the chip.

    Attributes
    ----------
    port : in `MemoryPort(address_bits, width)`
    pins : out `SdramPins(timing)`
    error : out 1
        High from the first request on that has words beyond the memory's end, until reset. Addresses wrap there.

    Raises
    ------
    ValueError
        For a number that is not allowed.
    """

    def __init__(self, timing, address_bits, width, *, buffer=512, delay=0):
        word_columns = width // timing.data_bits
        if width % timing.data_bits or word_columns < 2 or word_columns & (word_columns - 1):
            raise ValueError(f"width must be {timing.data_bits} bits of a column times 2, 4, 8 ..., not {width}")
        if word_columns > timing.columns // 2:
            raise ValueError(f"width must be at most half a page of {timing.columns} columns, not {width} bits")
        if delay < 0:
            raise ValueError(f"delay must be 0 or more, not {delay}")
        burst = min(LONGEST_BURST, timing.columns)
        needed = 2 * burst + sum(timing.cycles(name) for name in ("t_rp", "t_rcd", "t_ras", "t_rc", "t_rfc", "t_wr"))
        if timing.refresh_interval < needed:
            raise ValueError(
                f"t_refi must be at least {needed} cycles, as a burst goes before, not {timing.refresh_interval}"
            )
        check_size(address_bits, timing.bits // width)
        longest = longest_burst(timing, word_columns)
        if buffer & (buffer - 1) or buffer < 2 * longest:
            raise ValueError(f"buffer must be a power of two, at least {2 * longest} words, not {buffer}")
        self.timing, self.address_bits, self.word_columns = timing, address_bits, word_columns
        self.buffer, self.delay = buffer, delay
        super().__init__({"port": In(MemoryPort(address_bits, width)), "pins": Out(SdramPins(timing)), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # A register for the command, one for the column, and the chip, which takes the command a cycle later.
        late = self.timing.cas_latency + 2 + self.delay
        m.submodules.bursts = bursts = Bursts(self.timing, self.address_bits, self.word_columns)
        m.submodules.reads = reads = ReadBuffer(self.timing, self.word_columns, late, self.buffer)
        m.submodules.writes = writes = WriteBuffer(self.timing, self.word_columns)
        m.submodules.scheduler = scheduler = Scheduler(self.timing, self.word_columns, self.delay)
        connect(m, flipped(self.port.request), bursts.i)
        connect(m, flipped(self.port.write), writes.i)
        connect(m, bursts.o, scheduler.i)
        connect(m, reads.o, flipped(self.port.read))
        burst, pins, column = bursts.o, self.pins, Signal(self.timing.data_bits, reset_less=True)
        m.d.comb += [
            scheduler.room.eq(reads.room),
            scheduler.loaded.eq(writes.loaded),
            reads.begins.eq(burst.valid & burst.ready & ~burst.payload.write),
            reads.words.eq(burst.payload.words),
            reads.read.eq(scheduler.read),
            reads.dq.eq(column),
            writes.write.eq(scheduler.write),
            self.error.eq(bursts.error),
            # The chip is selected and clocked always: NOP says that there is no command.
            pins.cke.eq(1),
            pins.cs_n.eq(0),
            Cat(pins.we_n, pins.cas_n, pins.ras_n).eq(scheduler.command),
            pins.ba.eq(scheduler.ba),
            pins.a.eq(scheduler.a),
            pins.dqm.eq(scheduler.mask.replicate(len(pins.dqm))),
        ]
        m.d.sync += [pins.dq.o.eq(writes.dq), pins.dq.oe.eq(scheduler.write), column.eq(pins.dq.i)]
        return m
