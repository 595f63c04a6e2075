"""The requantizer: sums of products to codes of the next layer, with a bias and a dyadic scale for each channel.

What a matrix unit's drain needs in an integer model. Biases, multipliers and shifts come over a stream of their own,
into one of two tables, while the other one is in use; so the results depend on the streams alone, whatever comes first.
All of it is our choice.

Cost of a lane: two products of 16 x 16 bits, a memory of 53 bits for each word of both tables, and some 200 LUTs, most
of them the shifter's.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine import requantizer as golden
from ...hdl.emission.replicate import Replica
from ...hdl.primitives import taking
from ...hdl.stream.stages import SkidBuffer, Stage
from ..config import Config, param
from .requantizer_lane import ENTRY, RequantizerLane

__all__ = ["TARGETS", "FreeRequantizer", "Requantizer", "RequantizerConfig"]

#: The families whose multipliers take what the lanes multiply, 16 bits and a sign.
TARGETS = taking(17)


@dataclass(frozen=True)
class RequantizerConfig(Config):
    """Parameters of `Requantizer`."""

    lanes: int = param(8, "sums per transfer", low=1, high=32)
    output_bits: int = param(8, "of a code", low=8, high=16)
    depth: int = param(256, "words of a table, with an entry for each lane; a power of two", low=2, high=1024)
    residual: bool = param(False, "a second stream of 16-bit codes is added to the results")
    target: str = param(
        "generic",
        "FPGA family whose multipliers are named; generic: none. Of the others none takes 16 bits without sign",
        choices=TARGETS,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.depth & (self.depth - 1):
            raise ValueError(f"depth must be a power of two, not {self.depth}")

    @property
    def sum_layout(self):
        """Payload of the sums: `sums`, lane 0 lowest; `word` of the table with their entries; `release`; `last`.

        `release`: this is the last transfer that needs the table. `last` goes along.
        """
        sums = data.ArrayLayout(signed(32), self.lanes)
        return data.StructLayout({"sums": sums, "word": range(self.depth), "release": 1, "last": 1})

    @property
    def table_layout(self):
        """Payload of a table: `bias`, `multiplier` and `shift` of a channel; `last` of the table.

        `shift` is that of the scale less 8.
        """
        return data.StructLayout({**{name: field.shape for name, field in ENTRY}, "last": 1})

    @property
    def residual_layout(self):
        """Payload of the residual codes: one for each lane, lane 0 lowest, in units of the results."""
        return data.ArrayLayout(signed(16), self.lanes)

    @property
    def out_layout(self):
        """Payload of the output: `codes`, lane 0 lowest; `last`, as it came with the sums."""
        return data.StructLayout({"codes": data.ArrayLayout(signed(self.output_bits), self.lanes), "last": 1})


class Requantizer(wiring.Component):
    """Scale sums channel by channel, equal to `golden.machine.requantize`.

    Two tables: sums wait for the table of their piece of work, which ends with `release`; the next table is loaded
    while they come, the one after that waits for the `release`. A table has a word for each group of channels, with an
    entry for each lane. Where all lanes of a transfer are of one channel, its entry stands in each of them.

    Latency 8 cycles. One transfer per cycle, one entry of a table per cycle. No combinational path from `o.ready` to
    a ready of the inputs.

    Parameters
    ----------
    config : RequantizerConfig
    halved : bool
        Whether the lanes have a register in the middle of their shifters: latency 9, and faster.

    Attributes
    ----------
    i : in stream of `config.sum_layout`
        Sums, in any order of the words that the table has.
    table : in stream of `config.table_layout`
        Entries, table after table, from lane 0 of word 0 on, lane by lane, then word by word. A table ends with a whole
        word: `last` of other lanes has no effect. It ends with the last word that there can be, marked or not.
    residual : in stream of `config.residual_layout`
        Codes for each transfer of sums, in order. Only with `residual`.
    o : out stream of `config.out_layout`
        Codes of each transfer of sums, in order.
    """

    def __init__(self, config, halved=False):
        self.config, self.halved = config, halved
        ports = {
            "i": In(stream.Signature(config.sum_layout)),
            "table": In(stream.Signature(config.table_layout)),
            "o": Out(stream.Signature(config.out_layout)),
        }
        super().__init__(
            ports | ({"residual": In(stream.Signature(config.residual_layout))} if config.residual else {})
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.output = output = Stage(config.out_layout)
        connect(m, output.o, flipped(self.o))
        # Valid and `last` of the transfers in the steps of the lanes.
        steps = golden.LATENCY - 1 + self.halved
        valid, last = Signal(steps), Signal(steps, reset_less=True)
        en, known, taken = Signal(), Signal(), Signal()
        goes = output.i.ready | ~valid[-1]
        if config.residual:
            # They are added in the last step.
            m.submodules.codes = codes = SkidBuffer(config.residual_layout)
            connect(m, flipped(self.residual), codes.i)
            m.d.comb += [en.eq(goes & (codes.o.valid | ~valid[-2])), codes.o.ready.eq(goes & valid[-2])]
            with m.If(output.i.ready):
                m.d.sync += valid[-1].eq(0)
        else:
            m.d.comb += en.eq(goes)
        m.d.comb += [
            self.i.ready.eq(en & known),
            taken.eq(self.i.valid & known),
            output.i.valid.eq(valid[-1]),
            output.i.payload.last.eq(last[-1]),
        ]
        with m.If(en):
            m.d.sync += [valid.eq(Cat(taken, valid)), last.eq(Cat(self.i.payload.last, last))]

        for index, lane in enumerate(_lanes(m, self, en, en & taken & self.i.payload.release, known)):
            m.d.comb += output.i.payload.codes[index].eq(lane.code)
            if config.residual:
                m.d.comb += lane.residual.eq(codes.o.payload[index])
        return m


class FreeRequantizer(wiring.Component):
    """`Requantizer` whose registers never hold: its codes are taken when they come, and the residual's are there.

    Latency 8 cycles, as the lanes have a register in the middle of their shifters; no enable goes to all of them. Our
    choice.

    Parameters
    ----------
    config : RequantizerConfig

    Attributes
    ----------
    i, table : in streams
        As of `Requantizer`; `i` is ready where there is a table, from a register.
    residual : in of `config.residual_layout`
        For the transfer of 7 cycles before. Only with `residual`.
    valid : out 1
        There was a transfer 8 cycles before.
    o : out of `config.out_layout`
        Its codes.
    """

    def __init__(self, config):
        self.config, self.halved = config, True
        ports = {
            "i": In(stream.Signature(config.sum_layout)),
            "table": In(stream.Signature(config.table_layout)),
            "valid": Out(1),
            "o": Out(config.out_layout),
        }
        super().__init__(ports | ({"residual": In(config.residual_layout)} if config.residual else {}))

    def elaborate(self, platform):
        m = Module()
        steps = golden.LATENCY
        valid, last, known, ready = Signal(steps), Signal(steps, reset_less=True), Signal(), Signal()
        taken = self.i.valid & ready
        released = taken & self.i.payload.release
        # From a register; so there is a cycle without sums behind the last one of each table.
        m.d.sync += ready.eq(known & ~released)
        m.d.comb += [self.i.ready.eq(ready), self.valid.eq(valid[-1]), self.o.last.eq(last[-1])]
        m.d.sync += [valid.eq(Cat(taken, valid)), last.eq(Cat(self.i.payload.last, last))]
        for index, lane in enumerate(_lanes(m, self, Const(1, 1), released, known)):
            m.d.comb += self.o.codes[index].eq(lane.code)
            if self.config.residual:
                m.d.comb += lane.residual.eq(self.residual[index])
        return m


def _lanes(m, requantizer, en, released, known):
    """The lanes of a requantizer: their tables, and the sums that come in.

    Parameters
    ----------
    m : Module
    requantizer : Component
        With the streams `i` and `table`.
    en : Value
        Of all registers.
    released : Value
        The table in use is not needed any more.
    known : Signal
        Gets whether there is one.

    Returns
    -------
    list of RequantizerLane
    """
    config, coming = requantizer.config, requantizer.i.payload
    places, address, bank = _tables(m, config, requantizer.table, released, known)
    lanes = []
    for index, place in enumerate(places):
        lane = RequantizerLane(config.output_bits, 2 * config.depth, config.residual, requantizer.halved, config.target)
        m.submodules[f"lane_{index}"] = Replica(lane)
        m.d.comb += [
            lane.write.eq(place),
            lane.write_address.eq(address),
            *(lane.entry[name].eq(requantizer.table.payload[name]) for name, _ in ENTRY),
            lane.en.eq(en),
            # Seen to be never where an entry is written, the memory needs no bypass.
            lane.read.eq(en & known),
            lane.address.eq(Cat(coming.word, bank)),
            lane.sum.eq(coming.sums[index]),
        ]
        lanes.append(lane)
    return lanes


def _tables(m, config, table, released, known):
    """Load one table while the other one is in use; parameters as of `_lanes`.

    Returns
    -------
    places : list of Value
        For each lane, whether it takes the entry.
    write_address, bank : Value
        Where to; and the highest bit of the addresses of the table in use.
    """
    # Tables that were loaded and released, modulo 4; the lowest bit tells the bank.
    loaded, used = Signal(2), Signal(2)
    lane, word = Signal(range(config.lanes)), Signal(range(config.depth))
    taken, word_ends, ends = Signal(), lane == config.lanes - 1, Signal()
    m.d.comb += [
        known.eq(loaded != used),
        table.ready.eq(loaded ^ used != 2),
        taken.eq(table.valid & table.ready),
        ends.eq(taken & word_ends & (table.payload.last | word.all())),
    ]
    m.d.sync += [loaded.eq(loaded + ends), used.eq(used + released)]
    with m.If(taken):
        m.d.sync += lane.eq(Mux(word_ends, 0, lane + 1))
        with m.If(word_ends):
            m.d.sync += word.eq(Mux(ends, 0, word + 1))
    return [taken & (lane == index) for index in range(config.lanes)], Cat(word, loaded[0]), used[0]
