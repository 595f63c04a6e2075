"""The machine's loading unit: words of the memory to where they are used, in the order of use."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine import jobs
from ...hdl.memory_port.port import request_layout

__all__ = ["BURST", "Loader", "token_layout"]

#: Words of a request, at most.
BURST = 64
#: Requests whose words are on their way.
_AHEAD = 8


class Kind(enum.Enum, shape=3):
    """For whom a word is."""

    PANEL = 0
    PRODUCT = 1
    NORM = 2
    GELU = 3
    POSITION = 4
    WORD = 5


def token_layout(config):
    """What is kept of a token: `id`; `position` in its sentence; `lane`; `fresh`, it begins a group."""
    lanes = range(config.lanes)
    return data.StructLayout({"id": config.id_bits, "position": range(config.tokens), "lane": lanes, "fresh": 1})


class Loader(wiring.Component):
    """Do `Load` and `Fetch` jobs, one after the other.

    Requests run ahead of their words by some bursts. Words wait in front of who is not ready.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    job : in stream
        `fetch`: it is of the kind `Fetch`, not `Load`; `fields`, of the larger layout.
    sentences, tokens : in
        Of the pass.
    token : out
        Which token is asked for.
    record : in of `token_layout`
        Of that token, two cycles later.
    request : out stream
        As of the memory's port.
    read : in stream of words
        The same.
    panels : out stream of words
        For the ring.
    product, norm : out stream of `config.entry`
        Entries of tables.
    gelu : out stream
        Words of GELU's table: `data`; `last`.
    rows : out stream
        Rows of embeddings: `word`; `position`: it has positions, of 16 bits, not a word's channels of 8.
    idle : out 1
        No job is under way, and all words have gone.
    """

    def __init__(self, config):
        self.config = config
        word, tokens = config.word, config.tokens
        fields = max(config.job(kind).size for kind in (jobs.Load, jobs.Fetch))
        super().__init__(
            {
                "job": In(stream.Signature(data.StructLayout({"fetch": 1, "fields": fields}))),
                "sentences": In(range(tokens // config.lanes + 1)),
                "tokens": In(range(tokens + 1)),
                "token": Out(range(tokens + 1)),
                "record": In(token_layout(config)),
                "request": Out(stream.Signature(request_layout(config.address_bits))),
                "read": In(stream.Signature(word)),
                "panels": Out(stream.Signature(word)),
                "product": Out(stream.Signature(config.entry)),
                "norm": Out(stream.Signature(config.entry)),
                "gelu": Out(stream.Signature(data.StructLayout({"data": 16, "last": 1}))),
                "rows": Out(stream.Signature(data.StructLayout({"word": word, "position": 1}))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        burst = data.StructLayout({"kind": Kind, "words": range(BURST), "last": 1})
        m.submodules.bursts = bursts = fifo.SyncFIFOBuffered(width=burst.size, depth=_AHEAD)
        self._requests(m, burst, bursts)
        self._words(m, data.View(burst, bursts.r_data), bursts)
        return m

    # -- requests ------------------------------------------------------------------------------------------------------

    def _requests(self, m, burst, bursts):
        """Cut a job into regions of one kind, and these into bursts."""
        config, job = self.config, self.job.payload
        load = data.View(config.job(jobs.Load), job.fields[: config.job(jobs.Load).size])
        fetch = data.View(config.job(jobs.Fetch), job.fields[: config.job(jobs.Fetch).size])
        # The region under way: words that are not requested yet, and for whom they are.
        address, left, kind = Signal(config.address_bits), Signal(16), Signal(Kind)
        done = self._bursts(m, burst, bursts, address, left, kind)
        panel, sentence = Signal(range(1 << 12)), Signal(self.sentences.shape())
        position = Signal(config.address_bits)
        channels = fetch.channels >> (config.lanes.bit_length() - 1)
        product = Signal(config.address_bits)
        head = Signal(Kind)
        with m.Switch(load.table):
            for index, value in enumerate((Kind.PRODUCT, Kind.NORM, Kind.GELU)):
                with m.Case(index):
                    m.d.comb += head.eq(value)
        with m.FSM(name="requests") as fsm:
            with m.State("IDLE"):
                m.d.sync += [panel.eq(0), sentence.eq(0), self.token.eq(0)]
                with m.If(self.job.valid & job.fetch):
                    m.next = "TOKEN"
                with m.Elif(self.job.valid):
                    m.d.sync += address.eq(load.address)
                    m.next = "HEAD"
            with m.State("HEAD"), m.If(done):
                m.d.sync += [left.eq(load.head), kind.eq(head)]
                m.next = "BODY"
            with m.State("BODY"), m.If(done):
                m.d.sync += [left.eq(load.body), kind.eq(Kind.PANEL), panel.eq(panel + 1)]
                m.next = "HEAD"
                with m.If(panel + 1 == load.panels):
                    m.next = "PANELS"
            with m.State("PANELS"), m.If(done):
                m.d.sync += [panel.eq(0), sentence.eq(sentence + 1), address.eq(load.address)]
                m.next = "HEAD"
                with m.If(~load.each | (sentence + 1 == self.sentences)):
                    m.d.comb += self.job.ready.eq(1)
                    m.next = "IDLE"
            with m.State("TOKEN"):
                # The record comes, then the place of its word.
                m.next = "RECORD"
            with m.State("RECORD"):
                m.next = "PRODUCT"
            with m.State("PRODUCT"):
                m.d.sync += product.eq(self.record.id * channels)
                with m.If(self.record.position == 0):
                    m.d.sync += position.eq(fetch.positions)
                m.next = "POSITION"
            with m.State("POSITION"):
                m.d.sync += [address.eq(position), left.eq(channels << 1), kind.eq(Kind.POSITION)]
                m.next = "WORD"
            with m.State("WORD"), m.If(done):
                m.d.sync += [
                    position.eq(address),
                    address.eq(fetch.words + product),
                    left.eq(channels),
                    kind.eq(Kind.WORD),
                    self.token.eq(self.token + 1),
                ]
                m.next = "TOKENS"
            with m.State("TOKENS"), m.If(done):
                m.next = "TOKEN"
                with m.If(self.token == self.tokens):
                    m.d.comb += self.job.ready.eq(1)
                    m.next = "IDLE"
        m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & ~self.job.valid & ~bursts.r_rdy)

    def _bursts(self, m, burst, bursts, address, left, kind):
        """Requests of a region, each cut in one cycle and given in the next; whether all have been."""
        done, cut, ends, size = Signal(), Signal(), Signal(), Signal(range(BURST + 1), reset_less=True)
        entry, sends = data.View(burst, bursts.w_data), Signal()
        m.d.comb += [
            done.eq(~cut & (left == 0)),
            sends.eq(cut & self.request.ready & bursts.w_rdy),
            self.request.valid.eq(cut & bursts.w_rdy),
            self.request.payload.address.eq(address),
            self.request.payload.words.eq(size - 1),
            bursts.w_en.eq(sends),
            entry.kind.eq(kind),
            entry.words.eq(size - 1),
            entry.last.eq(ends),
        ]
        with m.If(sends):
            m.d.sync += [cut.eq(0), address.eq(address + size)]
        with m.Elif(~cut & (left != 0)):
            m.d.sync += [
                cut.eq(1),
                ends.eq(left <= BURST),
                size.eq(Mux(left <= BURST, left, BURST)),
                left.eq(Mux(left <= BURST, 0, left - BURST)),
            ]
        return done

    # -- words ---------------------------------------------------------------------------------------------------------

    def _words(self, m, burst, bursts):
        """Give each word to whom its burst names."""
        left = Signal(range(BURST))
        first, last = Signal(init=1), Signal()
        words = Mux(first, burst.words, left)
        ready, moves = Signal(), Signal()
        m.d.comb += [
            last.eq(words == 0),
            self.read.ready.eq(bursts.r_rdy & ready),
            moves.eq(self.read.valid & self.read.ready),
            bursts.r_en.eq(moves & last),
        ]
        with m.If(moves):
            m.d.sync += [left.eq(words - 1), first.eq(last)]
        given = self.read.valid & bursts.r_rdy
        entry, whole = self._entry(m, moves, burst.kind)
        m.d.comb += [
            self.panels.payload.eq(self.read.payload),
            self.product.payload.eq(entry),
            self.norm.payload.eq(entry),
            self.gelu.payload.data.eq(self.read.payload),
            self.gelu.payload.last.eq(last & burst.last),
            self.rows.payload.word.eq(self.read.payload),
            self.rows.payload.position.eq(burst.kind == Kind.POSITION),
        ]
        with m.Switch(burst.kind):
            for kind, sink in ((Kind.PANEL, self.panels), (Kind.GELU, self.gelu)):
                with m.Case(kind):
                    m.d.comb += [sink.valid.eq(given), ready.eq(sink.ready)]
            for kind, sink in ((Kind.PRODUCT, self.product), (Kind.NORM, self.norm)):
                with m.Case(kind):
                    m.d.comb += [sink.valid.eq(given & whole), ready.eq(sink.ready | ~whole)]
            with m.Case(Kind.POSITION, Kind.WORD):
                m.d.comb += [self.rows.valid.eq(given), ready.eq(self.rows.ready)]

    def _entry(self, m, moves, kind):
        """An entry out of its words, and whether this one is its last word: an entry has 64 bits."""
        config = self.config
        count = 64 // config.word
        if count == 1:
            return data.View(config.entry, self.read.payload[: config.entry.size]), 1
        held, place = Signal(64 - config.word), Signal(range(count))
        with m.If(moves & ((kind == Kind.PRODUCT) | (kind == Kind.NORM))):
            m.d.sync += [held.eq(Cat(held, self.read.payload)[config.word :]), place.eq(place + 1)]
        return data.View(config.entry, Cat(held, self.read.payload)[: config.entry.size]), place == count - 1
