"""What comes into the machine: proofs for all times, on a memory of a few words."""

from types import SimpleNamespace

from amaranth import Module, Mux, Signal, Value
from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitloom.cores.machine.entry import Entry, Item
from bitloom.testbench.formal import held, prove, prove_no_path

#: Addresses of 3 bits, words of 5, ids of 2.
CONFIG = SimpleNamespace(address_bits=3, word=5, id_bits=2)


class Promises(wiring.Component):
    """What the entry owes, whatever comes, whatever stalls, and with a reset at any time.

    Requests and words hold until ready. A word of any one address, the last one that was given it, is the last one that
    is written there; none is written that was not given. Tokens come in the cycle in which they are taken, none in a
    pass. A question is told until it has been answered.
    """

    def __init__(self):
        self.core = Entry(CONFIG)
        ready = ("request_ready", "write_ready", "ends", "told", "stops")
        super().__init__(
            {"payload": In(len(Value.cast(self.core.i.payload))), "valid": In(1)} | dict.fromkeys(ready, In(1))
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        running, stands = Signal(), Signal()
        m.d.comb += [
            Value.cast(core.i.payload).eq(self.payload),
            core.i.valid.eq(self.valid),
            core.request.ready.eq(self.request_ready),
            core.write.ready.eq(self.write_ready),
            core.told.eq(self.told & core.asked),
            core.running.eq(running),
            core.stands.eq(stands),
        ]
        # A pass begins with its last token, and ends, or stands, whenever it likes.
        begins = core.tokens.valid & core.tokens.payload.run
        m.d.sync += [running.eq(Mux(running, ~self.ends | stands, begins)), stands.eq(stands | (running & self.stops))]
        held(m, core.i, Assume)
        held(m, core.request, Assert)
        held(m, core.write, Assert)
        taken, item = core.i.valid & core.i.ready, core.i.payload.item
        self._words(m, taken & ~stands, item)
        token = (item == Item.TOKEN) | (item == Item.SENTENCE) | (item == Item.PASS) | (item == Item.QUIET)
        asked = Signal()
        m.d.sync += asked.eq((taken & (item == Item.ASK)) | (asked & ~self.told))
        m.d.comb += [
            Assert(core.tokens.valid == (taken & token & ~stands), "tokens come as they are taken"),
            Assert(~(core.tokens.valid & running), "no token comes in a pass"),
            Assert(~(running & (core.request.valid | core.write.valid)), "no word goes in a pass"),
            Assert(core.asked == asked, "a question stays until it is answered"),
            Assert(~stands | core.asked | core.i.ready, "where a pass stands, items are taken"),
            Cover(core.write.valid & core.write.ready & core.beyond, "a word is written, and one lies beyond"),
        ]
        return m

    def _words(self, m, taken, item):
        """One address: what was given for it last, and what was written there last."""
        core = self.core
        watched, at = Signal(CONFIG.address_bits), Signal(CONFIG.address_bits)
        m.d.comb += watched.eq(AnyConst(CONFIG.address_bits))
        given, written = Signal(CONFIG.word), Signal(CONFIG.word)
        owed, requested = Signal(), Signal()
        here = taken & (item == Item.WORD) & (at == watched)
        with m.If(taken & (item == Item.ADDRESS)):
            m.d.sync += at.eq(core.i.payload.data)
        with m.If(taken & (item == Item.WORD)):
            m.d.sync += at.eq(at + 1)
        with m.If(here):
            m.d.sync += [given.eq(core.i.payload.data), owed.eq(1)]
        asks = core.request.valid & core.request.ready
        with m.If(asks):
            m.d.sync += requested.eq(core.request.payload.address == watched)
        gives = core.write.valid & core.write.ready
        with m.If(gives & requested):
            m.d.sync += [written.eq(core.write.payload), owed.eq(0)]
        m.d.comb += [
            Assert(~(gives & requested) | (owed & (core.write.payload == given)), "the word is that which was given"),
            Assert(owed | (written == given), "what was given last is written"),
            Assert(~(here & owed), "the next word waits for the one before"),
            Assert(
                ~core.request.valid | ((core.request.payload.words == 0) & core.request.payload.write), "one word each"
            ),
        ]


def test_promises_are_kept():
    prove(Promises(), "machine-entry")


def test_a_word_is_written_at_all():
    prove(Promises(), "machine-entry-cover", mode="cover", depth=25)


def test_no_ready_depends_on_another_one():
    for source in ("request__ready", "write__ready"):
        prove_no_path(Entry(CONFIG), source, ["i__ready", "request__valid", "write__valid"], f"machine-entry-{source}")
