"""The CRC-32 of words of the memory: so a host learns which parts of an image are there, without reading them back."""

from amaranth import Module, Mux, Signal
from amaranth.lib import crc, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.memory_port.port import LONGEST, MemoryPort
from .entry import Item, in_layout
from .machine import out_layout

__all__ = ["MemoryCheck"]

_WORDS = (LONGEST - 1).bit_length()


class MemoryCheck(wiring.Component):
    """It stands between a machine and its host, and between the machine and its memory. A byte a cycle.

    The item CHECK has a number of words, 0 or more, as its data: the CRC-32 of so many words from the last ADDRESS on,
    the lowest byte of each word first, goes out, marked `counter` and `last`. All other items pass by in the same
    cycle. CHECK itself is shown to the machine too, which takes it, and ignores it, when no pass is under way: so the
    memory is free. Our choice.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i, o : in stream of `in_layout`, out stream of `out_layout`
        To the host.
    items, results : out stream of `in_layout`, in stream of `out_layout`
        To the machine.
    port : in `MemoryPort`
        The machine's.
    memory : out `MemoryPort`
    stuck : in 1
        The machine takes items and forgets them: CHECK as well.
    """

    def __init__(self, config):
        self.config = config
        port = MemoryPort(config.address_bits, config.word)
        super().__init__(
            {
                "i": In(stream.Signature(in_layout(config))),
                "o": Out(stream.Signature(out_layout())),
                "items": Out(stream.Signature(in_layout(config))),
                "results": In(stream.Signature(out_layout())),
                "port": In(port),
                "memory": Out(port),
                "stuck": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        coming, idle, told = self.i.payload, Signal(), Signal()
        m.submodules.crc32 = check = crc.catalog.CRC32_ETHERNET(data_width=8).create()
        address, left = Signal(self.config.address_bits), Signal(self.config.address_bits + 1)
        begins = Signal()
        m.d.comb += [
            self.items.payload.eq(coming),
            self.items.valid.eq(self.i.valid & idle),
            self.i.ready.eq(self.items.ready & idle),
            begins.eq(self.i.valid & self.i.ready & (coming.item == Item.CHECK) & ~self.stuck),
            check.start.eq(begins),
        ]
        with m.If(self.i.valid & self.i.ready & (coming.item == Item.ADDRESS)):
            m.d.sync += address.eq(coming.data)
        self._ports(m, idle, told, check)

        request, taken = self.memory.request, Signal(range(LONGEST))
        words = Mux(left > LONGEST, LONGEST - 1, (left - 1)[:_WORDS])
        takes = Signal()
        held, room = self._bytes(m, check, takes)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += idle.eq(1)
                m.d.sync += left.eq(coming.data)
                with m.If(begins):
                    m.next = "ASK"
            with m.State("ASK"):
                with m.If((left == 0) & ~held):
                    m.next = "TELL"
                with m.Elif(left != 0):
                    m.d.comb += [request.valid.eq(1), request.payload.address.eq(address)]
                    m.d.comb += [request.payload.words.eq(words), request.payload.write.eq(0)]
                    m.d.sync += taken.eq(words)
                    with m.If(request.ready):
                        m.d.sync += [address.eq(address + words + 1), left.eq(left - words - 1)]
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += [self.memory.read.ready.eq(room), takes.eq(self.memory.read.valid & room)]
                with m.If(takes):
                    m.d.sync += taken.eq(taken - 1)
                    with m.If(taken == 0):
                        m.next = "ASK"
            with m.State("TELL"):
                m.d.comb += told.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m

    def _bytes(self, m, check, takes):
        """Keep a word and give its bytes: so what a slow memory shows goes into a register and nowhere else.

        Returns
        -------
        held : Signal
            Bytes of a word are left.
        room : Signal
            The next word can be taken.
        """
        count = self.config.word // 8
        word, left = Signal(self.config.word, reset_less=True), Signal(range(count + 1))
        held, room = Signal(), Signal()
        m.d.comb += [
            held.eq(left != 0),
            room.eq(left <= 1),
            check.valid.eq(held),
            check.data.eq(word[:8]),
        ]
        with m.If(takes):
            m.d.sync += [word.eq(self.memory.read.payload), left.eq(count)]
        with m.Elif(held):
            m.d.sync += [word.eq(word >> 8), left.eq(left - 1)]
        return held, room

    def _ports(self, m, idle, told, check):
        """The machine has its memory, and the way out, but for the time of a check."""
        port, memory, results, out = self.port, self.memory, self.results, self.o
        m.d.comb += [memory.write.payload.eq(port.write.payload), memory.write.valid.eq(port.write.valid)]
        m.d.comb += [port.write.ready.eq(memory.write.ready), port.read.payload.eq(memory.read.payload)]
        with m.If(idle):
            m.d.comb += [
                memory.request.payload.eq(port.request.payload),
                memory.request.valid.eq(port.request.valid),
                port.request.ready.eq(memory.request.ready),
                port.read.valid.eq(memory.read.valid),
                memory.read.ready.eq(port.read.ready),
                out.payload.eq(results.payload),
                out.valid.eq(results.valid),
                results.ready.eq(out.ready),
            ]
        with m.If(told):
            m.d.comb += [out.valid.eq(1), out.payload.value.eq(check.crc)]
            m.d.comb += [out.payload.counter.eq(1), out.payload.last.eq(1)]
        return m
