"""The Anda bit-plane buffer: groups of any mantissa length in a memory of words that never change their width.

A set, one group of each lane, takes M + 1 words: the signs, then the planes from the most significant (Section IV-B,
Figure 10). Only the number of words depends on M, so all of the memory's bandwidth is used, and a shorter mantissa is
as much faster as it is smaller. The exponents lie in a memory of their own, one word a set, in the same order.

Commands are carried out one after the other, so one port to each memory is enough, as large memories have. Where one
tensor is to be read while the next one is written, take two buffers (our choice).
"""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.anda import planes as golden
from ..config import Config, param
from .planes import EXPONENT, AndaPlanesConfig, clamped, mantissa_bits

__all__ = ["AndaBuffer", "AndaBufferConfig"]


@dataclass(frozen=True)
class AndaBufferConfig(Config):
    """Parameters of `AndaBuffer`."""

    lanes: int = param(4, "groups side by side; 16 in the paper", low=1, high=64)
    group: int = param(64, "values that share an exponent; 64 in the paper", choices=(16, 32, 64))
    depth: int = param(256, "words of signs and planes, a power of two; 8192 in the paper", low=4, high=1 << 20)
    max_mantissa: int = param(
        golden.MAX_MANTISSA, "longest mantissa in bits, the leading one counted", low=1, high=golden.MAX_MANTISSA
    )

    def __post_init__(self):
        super().__post_init__()
        if self.depth & (self.depth - 1):
            raise ValueError(f"depth must be a power of two, not {self.depth}")
        if self.depth <= self.max_mantissa:
            raise ValueError(f"depth must be more than max_mantissa, {self.max_mantissa}, not {self.depth}")

    @property
    def exponents(self):
        """Words of exponents: those of the sets that the other memory holds if they have one plane each."""
        return self.depth // 2

    @property
    def command_layout(self):
        """Payload of the stream of commands.

        Fields: `word_address`, where the signs of the first set lie; `exponent_address`, where its exponents lie;
        `sets`, how many follow each other there; `mantissa`, the planes of a set that is read; `read`, or else write.
        """
        return data.StructLayout(
            {
                "word_address": range(self.depth),
                "exponent_address": range(self.exponents),
                "sets": range(self.exponents + 1),
                "mantissa": mantissa_bits(self.max_mantissa),
                "read": 1,
            }
        )

    planes_layout = AndaPlanesConfig.planes_layout


class AndaBuffer(wiring.Component):
    """Write sets of bit planes into a memory, and read them.

    The signs of the set with token block tb and group kb of a tensor lie in word `base + (tb * KB + kb) * (M + 1)`, its
    exponents in word `base + tb * KB + kb`, where KB is the number of groups in a row: after each other in the order in
    which a compressor gives them, and as `golden.anda.planes.pack` lays them out. A token block, or all of a tensor, is
    one command.

    A command takes one cycle, and each of its sets one for each word, M + 1. Latency 3 cycles from a command that
    reads to the first plane; a command of one set with one plane every 3 cycles. No combinational path from `o.ready`
    to `command.ready` or `i.ready`.

    Parameters
    ----------
    config : AndaBufferConfig

    Attributes
    ----------
    command : in stream of `config.command_layout`
        What to do, one transfer a command, done one after the other. Addresses wrap at the end of a memory. No sets: no
        effect. A mantissa length of 0 counts as 1, one that is too long as `max_mantissa` (our choice). Reset ends the
        command that is under way; it leaves the memories as they are.
    i : in stream of `config.planes_layout`
        Sets to be written, one plane a transfer, the most significant one first; signs and exponents are taken with the
        first plane of a set, and `last` tells its length.
    o : out stream of `config.planes_layout`
        Sets that are read, one plane a transfer, the most significant one first, as they were written if `mantissa` is
        the length that they were written with.
    """

    def __init__(self, config):
        self.config = config
        planes = stream.Signature(config.planes_layout)
        super().__init__({"command": In(stream.Signature(config.command_layout)), "i": In(planes), "o": Out(planes)})

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command.payload
        lanes, group = config.lanes, config.group
        m.submodules.words = words = memory.Memory(shape=lanes * group, depth=config.depth, init=[])
        m.submodules.exponents = exponents = memory.Memory(shape=lanes * EXPONENT, depth=config.exponents, init=[])
        write, read = words.write_port(), words.read_port()
        exponents_write, exponents_read = exponents.write_port(), exponents.read_port()

        word = Signal(range(config.depth), reset_less=True)
        at = Signal(range(config.exponents), reset_less=True)
        sets = Signal(command.sets.shape(), reset_less=True)
        mantissa = Signal(mantissa_bits(config.max_mantissa), reset_less=True)
        left = Signal(len(mantissa), reset_less=True)
        # Of the word under way: whether it holds signs, and whether it ends its set.
        signs, done = Signal(reset_less=True), Signal()
        # Whether signs, or a plane, come out of the memory next.
        header, plane, move = Signal(), Signal(), Signal()
        m.d.comb += [
            *(port.addr.eq(word) for port in (write, read)),
            *(port.addr.eq(at) for port in (exponents_write, exponents_read)),
            write.data.eq(Mux(signs, self.i.payload.signs.as_value(), self.i.payload.plane.as_value())),
            exponents_write.data.eq(self.i.payload.exponents),
            exponents_write.en.eq(write.en & signs),
            read.en.eq((header | plane) & move),
            exponents_read.en.eq(read.en & signs),
            move.eq(self.o.ready | ~self.o.valid),
        ]
        with m.If(write.en | read.en):
            m.d.sync += [word.eq(word + 1), signs.eq(done)]
            with m.If(done):
                m.d.sync += [at.eq(at + 1), sets.eq(sets - 1)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += [
                    word.eq(command.word_address),
                    at.eq(command.exponent_address),
                    sets.eq(command.sets),
                    mantissa.eq(clamped(command.mantissa, config.max_mantissa)),
                    signs.eq(1),
                ]
                with m.If(self.command.valid & (command.sets != 0)):
                    with m.If(command.read):
                        m.next = "READ"
                    with m.Else():
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [
                    self.i.ready.eq(~signs),
                    write.en.eq(self.i.valid),
                    done.eq(~signs & self.i.payload.last),
                ]
                with m.If(write.en & done & (sets == 1)):
                    m.next = "IDLE"
            with m.State("READ"):
                m.d.comb += [
                    header.eq(signs),
                    plane.eq(~signs),
                    done.eq(~signs & (left == 1)),
                ]
                with m.If(move):
                    m.d.sync += left.eq(Mux(signs, mantissa, left - 1))
                with m.If(move & done & (sets == 1)):
                    m.next = "IDLE"

        ends = {"first": left == mantissa, "last": left == 1}
        self._show(m, move, header, plane, ends, read.data, exponents_read.data)
        return m

    def _show(self, m, move, header, plane, ends, word, exponents):
        """What comes out of the memories: signs and exponents are caught, a plane goes to the output as it is."""
        caught = Signal()
        with m.If(move):
            m.d.sync += [
                caught.eq(header),
                self.o.valid.eq(plane),
                *(self.o.payload[name].eq(flag) for name, flag in ends.items()),
            ]
            with m.If(caught):
                m.d.sync += [
                    self.o.payload.signs.eq(word),
                    self.o.payload.exponents.eq(exponents),
                ]
        m.d.comb += self.o.payload.plane.eq(word)
