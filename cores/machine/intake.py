"""Token ids of a pass: where each token stands, sentence by sentence."""

from amaranth import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.primitives.block_ram import NO_BYPASS
from .loader import token_layout

__all__ = ["Intake", "coming_layout", "sentence_layout"]


def sentence_layout(config):
    """What is kept of a sentence: `first`, its first group of lanes; `tokens`."""
    return data.StructLayout({"first": range(config.sizes.groups), "tokens": range(config.tokens + 1)})


def coming_layout(config):
    """A token that comes: its `id`; it is the `last` one of its sentence; `run`: and of the pass."""
    return data.StructLayout({"id": config.id_bits, "last": 1, "run": 1})


class Intake(wiring.Component):
    """Take the sentences of a pass, and keep them until it is over.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i : in stream of `coming_layout`
        Tokens for which there is no place are left out.
    running : out 1
        A pass is under way.
    over : in 1
        It is over.
    sentences, tokens, groups : out
        Of the pass: tokens, and groups of lanes, of all sentences.
    loading, reading : in
        Tokens that are asked for, by two who read.
    loaded, record : out of `token_layout`
        These tokens, two cycles later.
    sentence : in
        Which sentence is asked for.
    place : out of `sentence_layout`
        That sentence, a cycle later.
    overrun : out 1
        High from the first token on for which there was no place, until reset.
    """

    def __init__(self, config):
        self.config = config
        tokens, groups = range(config.tokens + 1), config.sizes.groups
        super().__init__(
            {
                "i": In(stream.Signature(coming_layout(config))),
                "running": Out(1),
                "over": In(1),
                "sentences": Out(range(groups + 1)),
                "tokens": Out(tokens),
                "groups": Out(range(groups + 1)),
                "loading": In(tokens),
                "loaded": Out(token_layout(config)),
                "reading": In(tokens),
                "record": Out(token_layout(config)),
                "sentence": In(range(groups)),
                "place": Out(sentence_layout(config)),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, coming, lanes = self.config, self.i.payload, self.config.lanes
        # Nobody looks at a token while one comes in.
        m.submodules.tokens = tokens = memory.Memory(
            shape=token_layout(config), depth=config.tokens, init=[], attrs=NO_BYPASS
        )
        m.submodules.sentences = kept = memory.Memory(shape=sentence_layout(config), depth=config.sizes.groups, init=[])
        write, note = tokens.write_port(), kept.write_port()
        for place, record in ((self.loading, self.loaded), (self.reading, self.record)):
            port = tokens.read_port()
            m.d.comb += port.addr.eq(place)
            m.d.sync += record.eq(port.data)
        port = kept.read_port()
        m.d.comb += [port.addr.eq(self.sentence), self.place.eq(port.data)]

        position, lane, first = Signal(range(config.tokens)), Signal(range(lanes)), Signal(range(config.sizes.groups))
        taken, full, keeps = Signal(), Signal(), Signal()
        fresh = lane == 0
        m.d.comb += [
            self.i.ready.eq(~self.running),
            taken.eq(self.i.valid & ~self.running),
            full.eq(fresh & (self.groups == config.sizes.groups)),
            keeps.eq(taken & ~full),
            write.addr.eq(self.tokens),
            write.en.eq(keeps),
            write.data.id.eq(coming.id),
            write.data.position.eq(position),
            write.data.lane.eq(lane),
            write.data.fresh.eq(fresh),
        ]
        # Nobody looks at a sentence before the sequencer has read a job: it is kept a cycle after its last token.
        m.d.sync += [
            note.addr.eq(self.sentences),
            note.data.first.eq(first),
            note.data.tokens.eq(position + keeps),
        ]
        with m.If(keeps):
            m.d.sync += [self.tokens.eq(self.tokens + 1), position.eq(position + 1), lane.eq(lane + 1)]
            with m.If(fresh):
                m.d.sync += self.groups.eq(self.groups + 1)
        with m.If(taken & full):
            m.d.sync += self.overrun.eq(1)
        counted = taken & coming.last & ((position != 0) | keeps)
        m.d.sync += note.en.eq(counted)
        with m.If(taken & coming.last):
            m.d.sync += [position.eq(0), lane.eq(0), self.running.eq(coming.run)]
        with m.If(counted):
            m.d.sync += [self.sentences.eq(self.sentences + 1), first.eq(self.groups + (fresh & keeps))]
        with m.If(self.over):
            m.d.sync += [signal.eq(0) for signal in (self.running, self.sentences, self.tokens, self.groups, first)]
        return m
