"""The machine as a core of the catalogue: it, and what is behind its memory port.

Block RAM suits a toy that anyone simulates in seconds, the SDRAM controller a whole model on a board; with the port
itself any other memory can stand behind it. All of it is our choice.
"""

from dataclasses import dataclass, replace

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.memory_port.block_ram import BlockRam
from ...hdl.memory_port.port import request_layout
from ...hdl.memory_port.sdram.controller import SdramController
from ...hdl.memory_port.sdram.pins import SdramPins
from ...hdl.memory_port.sdram.timing import ULX3S
from ..config import again, param
from .config import MachineConfig
from .entry import in_layout
from .machine import ERRORS, STUCK, Engine, out_layout
from .memory_check import MemoryCheck

__all__ = ["SDRAM_PINS", "MachineCore", "MachineCoreConfig"]

#: Port of the core to the pin of `SdramPins` that it is; all but the last one are outputs.
SDRAM_PINS = {
    f"sdram_{name}": tuple(name.split("_", 1)) if name.startswith("dq_") else (name,)
    for name in ("cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq_o", "dq_oe", "dq_i")
}
#: Bits of an address of block RAM, at most: as many words are more than the block RAM of any part of ours.
_BLOCK_BITS = 16
#: MHz up to which the SDRAM can have a CAS latency of 2.
_SLOW = 1000 / ULX3S.t_ck2


@dataclass(frozen=True)
class MachineCoreConfig(MachineConfig):
    """Parameters of `MachineCore`: those of the machine, a toy by default, and its memory."""

    lanes: int = again(MachineConfig, "lanes", 4)
    tokens: int = again(MachineConfig, "tokens", 16)
    channels: int = again(MachineConfig, "channels", 16)
    hidden: int = again(MachineConfig, "hidden", 32)
    panels: int = again(MachineConfig, "panels", 64)
    jobs: int = again(MachineConfig, "jobs", 64)
    address_bits: int = again(MachineConfig, "address_bits", 12)
    id_bits: int = again(MachineConfig, "id_bits", 8)
    entries: int = again(MachineConfig, "entries", 8)
    memory: str = param(
        "block",
        "behind the memory port: block RAM, an SDRAM's controller, or nothing, the port itself being ports",
        choices=("block", "sdram", "port"),
    )
    delay: int = param(0, "cycles by which registers in its pins have the SDRAM's columns come later", low=0, high=3)
    clock: int = param(100, "MHz, for the times of the SDRAM; above 100 its CAS latency is 3", low=40, high=133)

    def __post_init__(self):
        super().__post_init__()
        least, most = {"block": (8, _BLOCK_BITS), "sdram": self._sdram_bits(), "port": (8, 28)}[self.memory]
        if not least <= self.address_bits <= most:
            raise ValueError(
                f"address_bits must be {least} to {most} with memory {self.memory} and {self.lanes} lanes, "
                f"not {self.address_bits}"
            )

    def _sdram_bits(self):
        """Least and most bits of an address: a chip has 2 rows or more, and no more than the ULX3S'."""
        row, whole = ((size // self.word).bit_length() - 1 for size in (ULX3S.bits // ULX3S.rows, ULX3S.bits))
        return row + 1, whole

    @property
    def timing(self):
        """The ULX3S' SDRAM at this clock, with as many rows as there are addresses for."""
        # Of another memory there are more addresses, and nothing of this counts.
        chip = ULX3S.holding(min(self.word << self.address_bits, ULX3S.bits))
        return replace(chip, clock=self.clock, cas_latency=2 if self.clock <= _SLOW else 3)

    @property
    def i_layout(self):
        """What comes in: `data`, an address, a word for the memory or a token's id; `item`, which of them it is. TOKEN:
        a token's id; SENTENCE: that of a sentence's last token; PASS: that of a pass' last token; QUIET: the same, of a
        pass that does not tell its counters. ASK: for the state. CHECK: for the CRC-32 of `data` words from the address
        given last on."""
        return in_layout(self)

    @property
    def o_layout(self):
        """A channel's sum over the tokens of a sentence: `value`. With `counter` it is a counter of the pass, or, where
        it was asked for, the state: the errors in the lowest 8 bits, behind them the number of the job that was given
        out last, or when the first error came; or a CRC-32. `last` is the last channel, counter, or such an answer."""
        return out_layout()

    @property
    def request_layout(self):
        """`address` of the first word, in words; `words`: number of consecutive words less 1, 1 to 256; `write`:
        whether they are written."""
        return request_layout(self.address_bits)


class MachineCore(wiring.Component):
    """The machine with its memory.

    Latency: a pass takes the cycles of its jobs (`golden.machine.cycles`); the shortest one that gives something, a
    token and no job but the sum, is exact in `golden.machine.pass_cycles`.

    Parameters
    ----------
    config : MachineCoreConfig

    Attributes
    ----------
    i : in stream of `config.i_layout`
        An address and the words that lie in the memory from there on; then the tokens of passes, sentence by sentence.
        Items wait while a pass is under way. A program's jobs lie at address 0.
    o : out stream of `config.o_layout`
        For each sentence of a pass the sums of its channels, in order; behind the last one the pass' counters: cycles,
        steps of sums, cycles in which a step waited for weights, cycles of the unit of rows, words that the memory
        gave.
    request : out stream of `config.request_layout`
        With memory `port`: what is read or written, in the order in which it happens.
    write : out stream of words
        With memory `port`: the words of write requests, each after its request.
    read : in stream of words
        With memory `port`: the words of read requests, in the order of the requests.
    sdram_cke, sdram_cs_n, sdram_ras_n, sdram_cas_n, sdram_we_n : out 1
        With memory `sdram`: a pin of the SDRAM, from a register or constant.
    sdram_ba : out
        With memory `sdram`: the bank, from a register.
    sdram_a : out
        With memory `sdram`: row, column or mode, from a register; address pins above these are 0.
    sdram_dqm : out
        With memory `sdram`: masks of the data pins' bytes, from a register.
    sdram_dq_o : out
        With memory `sdram`: what to drive on the data pins, from a register.
    sdram_dq_oe : out 1
        With memory `sdram`: whether to drive the data pins, from a register.
    sdram_dq_i : in
        With memory `sdram`: what the data pins have; it goes into a register.
    error : out 6
        Sticky, until reset: bit 0, more tokens than there are places for; 1, a job that is none; 2, a row that is too
        long; 3, GELU without a table; 4, nothing has moved for 65,536 cycles of a pass: items are taken and forgotten
        until reset; 5, words beyond the memory's end.
    pins : tuple of str
        Those of the ports that are pins of a chip.
    """

    def __init__(self, config):
        self.config = config
        self.pins = tuple(SDRAM_PINS) if config.memory == "sdram" else ()
        ports = {
            "i": In(stream.Signature(config.i_layout)),
            "o": Out(stream.Signature(config.o_layout)),
            "error": Out(ERRORS),
        }
        if config.memory == "port":
            ports |= {
                "request": Out(stream.Signature(config.request_layout)),
                "write": Out(stream.Signature(config.word)),
                "read": In(stream.Signature(config.word)),
            }
        if config.memory == "sdram":
            pins = SdramPins(config.timing)
            for name, path in SDRAM_PINS.items():
                member = pins.members[path[0]]
                ports[name] = member if member.is_port else member.signature.members[path[1]]
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.engine = engine = Engine(config)
        m.submodules.check = check = MemoryCheck(config)
        connect(m, flipped(self.i), check.i)
        connect(m, check.items, engine.i)
        connect(m, engine.o, check.results)
        connect(m, check.o, flipped(self.o))
        connect(m, engine.memory, check.port)
        m.d.comb += [self.error.eq(engine.error), check.stuck.eq(engine.error[STUCK])]
        getattr(self, f"_{config.memory}")(m, check.memory)
        return m

    def _block(self, m, port):
        config = self.config
        m.submodules.memory = block = BlockRam(config.address_bits, config.word, 1 << config.address_bits)
        connect(m, port, block.port)

    def _sdram(self, m, port):
        config = self.config
        m.submodules.memory = controller = SdramController(
            config.timing, config.address_bits, config.word, delay=config.delay
        )
        connect(m, port, controller.port)
        for name, path in SDRAM_PINS.items():
            pin = controller.pins
            for part in path:
                pin = getattr(pin, part)
            m.d.comb += pin.eq(self.sdram_dq_i) if name == "sdram_dq_i" else getattr(self, name).eq(pin)

    def _port(self, m, port):
        connect(m, port.request, flipped(self.request))
        connect(m, port.write, flipped(self.write))
        connect(m, flipped(self.read), port.read)
