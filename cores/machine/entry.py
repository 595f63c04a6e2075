"""What comes into the machine: words for its memory, tokens of passes, questions for its state."""

from amaranth import Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.memory_port.port import request_layout
from .intake import coming_layout

__all__ = ["Entry", "Item", "in_layout"]


class Item(enum.Enum, shape=3):
    """What comes in: the address of the words that follow; such a word; a token's id; that of a sentence's last token;
    that of a pass' last token; the same, of a pass whose counters are not told; a question for the state; one for the
    CRC-32 of so many words of the memory, which `MemoryCheck` answers and the machine takes and forgets."""

    ADDRESS = 0
    WORD = 1
    TOKEN = 2
    SENTENCE = 3
    PASS = 4
    QUIET = 5
    ASK = 6
    CHECK = 7


def in_layout(config):
    """What comes in: `data`, an address, a word or a token's id; `item`, which of them, an `Item`."""
    return data.StructLayout({"data": config.word, "item": Item})


class Entry(wiring.Component):
    """Lead each item to where it belongs; a word is held until it is in the memory, and all else waits meanwhile.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i : in stream of `in_layout`
        Its ready depends on registers and on `running` and `stands` alone.
    running : in 1
        A pass is under way: items wait. It begins with a token behind which there is `run`.
    stands : in 1
        It will go on no more: items are forgotten, but for questions.
    request : out stream of `request_layout`
        Writes of one word each; between passes only.
    write : out stream of words
        Each behind its request.
    changed : out 1
        A word is on its way.
    tokens : out stream of `coming_layout`
        For `Intake`, which is ready between passes.
    quiet : out 1
        The counters of the pass are not told.
    asked : out 1
        The state is to be told.
    told : in 1
        It goes in this cycle.
    beyond : out 1
        High from the first word on that has no place in the memory, and the first address, until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(in_layout(config))),
                "running": In(1),
                "stands": In(1),
                "request": Out(stream.Signature(request_layout(config.address_bits))),
                "write": Out(stream.Signature(config.word)),
                "changed": Out(1),
                "tokens": Out(stream.Signature(coming_layout(config))),
                "quiet": Out(1),
                "asked": Out(1),
                "told": In(1),
                "beyond": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, coming = self.config.address_bits, self.i.payload
        held, sent = Signal(), Signal()
        # One bit more: behind the last address there is none.
        address = Signal(bits + 1)
        m.d.comb += self.i.ready.eq((self.stands | ~(self.running | held)) & ~self.asked)
        taken = self.i.valid & self.i.ready
        with m.If(self.told):
            m.d.sync += self.asked.eq(0)
        with m.If(taken & (coming.item == Item.ASK)):
            m.d.sync += self.asked.eq(1)
        with m.If(taken & ~self.stands), m.Switch(coming.item):
            with m.Case(Item.ADDRESS):
                m.d.sync += [address.eq(coming.data[:bits]), self.beyond.eq(self.beyond | coming.data[bits:].any())]
            with m.Case(Item.WORD):
                m.d.sync += [held.eq(1), self.write.payload.eq(coming.data), self.beyond.eq(self.beyond | address[-1])]
            with m.Case(Item.TOKEN, Item.SENTENCE, Item.PASS, Item.QUIET):
                m.d.comb += self.tokens.valid.eq(1)
                m.d.sync += self.quiet.eq(coming.item == Item.QUIET)
        m.d.comb += [
            self.tokens.payload.id.eq(coming.data),
            self.tokens.payload.last.eq(coming.item != Item.TOKEN),
            self.tokens.payload.run.eq((coming.item == Item.PASS) | (coming.item == Item.QUIET)),
            # A request, then its word.
            self.request.payload.address.eq(address),
            self.request.payload.write.eq(1),
            self.request.valid.eq(held & ~sent),
            self.write.valid.eq(sent),
            self.changed.eq(held),
        ]
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += sent.eq(1)
        with m.If(sent & self.write.ready):
            m.d.sync += [sent.eq(0), held.eq(0), address.eq(address + 1)]
        return m
