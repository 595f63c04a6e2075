"""An SDRAM that works and watches its rules, in Amaranth's simulator and Verilated."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.memory_port.sdram.pins import Command, SdramPins
from .sdram_rules import Rule, SdramRules

__all__ = ["SdramChip", "SdramModel", "Storage"]


class Storage(wiring.Signature):
    """A memory as the one sees it who uses one address a cycle; what is read comes in the next cycle.

    `testbench.drive` is such a memory for a design that has these ports.

    Parameters
    ----------
    address_bits, width : int

    Attributes
    ----------
    address : out
    write : out 1
    write_data : out
    read_data : in
        What `address` of the cycle before had, before it was written.
    """

    def __init__(self, address_bits, width):
        super().__init__(
            {"address": Out(address_bits), "write": Out(1), "write_data": Out(width), "read_data": In(width)}
        )


class SdramChip(wiring.Component):
    """An SDRAM without its cells: commands become addresses of a storage, rows, banks and columns as the port has them.

    It has no reset. What it does after a violated rule is arbitrary. While nobody drives the data pins, they are high.

    Parameters
    ----------
    timing : SdramTiming
    delay : int
        Cycles by which the columns come later, as of `SdramController`.

    Attributes
    ----------
    pins : in `SdramPins(timing)`
    storage : out `Storage`
        The address of a column: row, bank, column, from the highest bit down.
    broken : out `Rule`
        The first violation.
    """

    def __init__(self, timing, delay=0):
        self.timing, self.delay = timing, delay
        super().__init__(
            {
                "pins": In(SdramPins(timing)),
                "storage": Out(self.storage_of(timing)),
                "broken": Out(Rule, init=Rule.KEPT),
            }
        )

    @staticmethod
    def storage_of(timing):
        """Signature of a storage for all of its columns."""
        return Storage((timing.bits // timing.data_bits - 1).bit_length(), timing.data_bits)

    def elaborate(self, platform):
        m = Module()
        timing, pins, storage = self.timing, self.pins, self.storage
        m.submodules.rules = rules = SdramRules(timing)
        place = data.StructLayout(
            {"column": range(timing.columns), "bank": range(timing.banks), "row": range(timing.rows)}
        )
        command = Signal(Command)
        rows = Signal(data.ArrayLayout(range(timing.rows), timing.banks), reset_less=True)
        reading, writing, at = Signal(reset_less=True), Signal(reset_less=True), Signal(place, reset_less=True)
        written = Signal(timing.data_bits, reset_less=True)
        # Columns that are asked for in this cycle come after the CAS latency, of which two cycles are over then.
        asked = Signal(timing.cas_latency - 1 + self.delay, reset_less=True)
        # All but what goes to the controller.
        watched = [name for name in pins.signature.members if name != "dq"]
        m.d.comb += [
            *(getattr(rules.pins, name).eq(getattr(pins, name)) for name in watched),
            rules.pins.dq.o.eq(pins.dq.o),
            rules.pins.dq.oe.eq(pins.dq.oe),
            command.eq(Cat(pins.we_n, pins.cas_n, pins.ras_n) | pins.cs_n.replicate(3)),
            storage.address.eq(at),
            storage.write.eq(writing),
            storage.write_data.eq(written),
            rules.drives.eq(asked[-1]),
            self.broken.eq(rules.broken),
        ]
        m.d.sync += [writing.eq(0), written.eq(pins.dq.o), asked.eq(Cat(reading, asked))]
        with m.If(reading):
            m.d.sync += at.column.eq(at.column + 1)
        with m.Switch(command):
            with m.Case(Command.ACTIVATE):
                m.d.sync += rows[pins.ba].eq(pins.a)
            with m.Case(Command.READ, Command.WRITE):
                m.d.sync += [at.column.eq(pins.a), at.bank.eq(pins.ba), at.row.eq(rows[pins.ba])]
                m.d.sync += [reading.eq(command == Command.READ), writing.eq(command == Command.WRITE)]
            with m.Case(Command.BURST_TERMINATE):
                m.d.sync += reading.eq(0)
            with m.Case(Command.PRECHARGE), m.If(pins.a[10] | (pins.ba == at.bank)):
                m.d.sync += reading.eq(0)
        column = storage.read_data
        for _ in range(len(asked) - 1):
            late = Signal.like(column, name="late", reset_less=True)
            m.d.sync += late.eq(column)
            column = late
        m.d.comb += pins.dq.i.eq(Mux(asked[-1], column, ~0))
        return m


class SdramModel(wiring.Component):
    """An SDRAM with its cells, for small sizes.

    Parameters
    ----------
    timing : SdramTiming
    delay : int
        As of `SdramChip`.
    init : sequence of int
        First columns; the others are 0.

    Attributes
    ----------
    pins : in `SdramPins(timing)`
    broken : out `Rule`
        The first violation.
    """

    def __init__(self, timing, delay=0, init=()):
        self.timing, self.delay, self.init = timing, delay, init
        super().__init__({"pins": In(SdramPins(timing)), "broken": Out(Rule, init=Rule.KEPT)})

    def elaborate(self, platform):
        m = Module()
        depth = self.timing.bits // self.timing.data_bits
        m.submodules.chip = chip = SdramChip(self.timing, self.delay)
        m.submodules.cells = cells = memory.Memory(shape=self.timing.data_bits, depth=depth, init=self.init)
        store, load = cells.write_port(), cells.read_port()
        connect(m, flipped(self.pins), chip.pins)
        m.d.comb += [
            store.addr.eq(chip.storage.address),
            store.data.eq(chip.storage.write_data),
            store.en.eq(chip.storage.write),
            load.addr.eq(chip.storage.address),
            chip.storage.read_data.eq(load.data),
            self.broken.eq(chip.broken),
        ]
        return m
