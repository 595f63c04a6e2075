"""The rules of an SDRAM: which command may come when."""

from amaranth import Cat, Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.memory_port.sdram.pins import ALL_BANKS, Command, SdramPins

__all__ = ["OWED", "Rule", "SdramRules"]

#: Refreshes that may be owed. The intervals are ours, not the controller's: one may begin before each of both ends.
OWED = 2


class Rule(enum.Enum, shape=5):
    """What was violated; `KEPT` while nothing was."""

    KEPT = 0
    #: A command before the power-up wait is over, or before the first refreshes and the mode register are done.
    POWER_UP = 1
    #: A command that the model has not: precharge with READ or WRITE, a clock that stops, masked data.
    UNKNOWN = 2
    #: MODE REGISTER SET with a row open.
    MODE_OPEN = 3
    #: A mode that is not full page, sequential, this CAS latency, writes of one column.
    MODE_VALUE = 4
    #: Times from one command to another, under their names in data sheets.
    T_MRD = 5
    T_RP = 6
    T_RC = 7
    T_RRD = 8
    T_RFC = 9
    T_RCD = 10
    T_RAS = 11
    T_WR = 12
    #: ACTIVATE of a bank with an open row.
    OPEN = 13
    #: READ or WRITE where no row is open.
    CLOSED = 14
    #: REFRESH with a row open.
    REFRESH_OPEN = 15
    #: ACTIVATE, READ or WRITE with more refreshes owed than `OWED`.
    STARVED = 16
    #: The controller drives the data pins in a cycle in which the chip does, or in the one behind it.
    CONTENTION = 17
    #: The controller drives the data pins without WRITE.
    DRIVEN = 18
    #: WRITE without data.
    UNDRIVEN = 19


def _kept(shape, init=None, name=None):
    """A register without a reset."""
    return Signal(shape, init=init, name=name, reset_less=True, src_loc_at=1)


class SdramRules(wiring.Component):
    """Watch the pins of an SDRAM and tell the first rule that is violated.

    Written after data sheets (MT48LC16M16A2, AS4C32M16SB), not after the controller, of which it has the names of pins
    and the values of `timing` alone. As a chip has none, nothing here has a reset. Not checked: which row a refresh is
    of, self refresh, analogue times.

    Parameters
    ----------
    timing : SdramTiming

    Attributes
    ----------
    pins : in `SdramPins(timing)`
        Levels that the chip takes at the next edge of the clock; `dq.i` is not driven.
    drives : in 1
        The chip drives `dq` in this cycle.
    opened : out
        For each bank, whether a row is open.
    broken : out `Rule`
        The first violation, from the next cycle on.
    """

    def __init__(self, timing):
        self.timing = timing
        super().__init__(
            {
                "pins": In(SdramPins(timing)),
                "drives": In(1),
                "opened": Out(timing.banks),
                "broken": Out(Rule, init=Rule.KEPT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pins, banks = self.pins, range(self.timing.banks)
        opened, first = _kept(self.timing.banks), _kept(Rule, init=Rule.KEPT)
        m.d.comb += [self.opened.eq(opened), self.broken.eq(first)]
        command = Signal(Command)
        m.d.comb += command.eq(Cat(pins.we_n, pins.cas_n, pins.ras_n) | pins.cs_n.replicate(3))
        whole = pins.a[ALL_BANKS]
        given = {name: Signal(name=name.name.lower()) for name in Command}
        m.d.comb += [signal.eq(command == name) for name, signal in given.items()]
        activate, precharge = given[Command.ACTIVATE], given[Command.PRECHARGE]
        access = given[Command.READ] | given[Command.WRITE]
        at = [pins.ba == bank for bank in banks]
        closes = [precharge & (whole | at[bank]) for bank in banks]
        for bank in banks:
            with m.If(activate & at[bank]):
                m.d.sync += opened[bank].eq(1)
            with m.If(closes[bank]):
                m.d.sync += opened[bank].eq(0)
        since = {
            "refresh": self._age(m, given[Command.REFRESH], "refresh"),
            "mode": self._age(m, given[Command.MODE_REGISTER_SET], "mode"),
            "activate": [self._age(m, activate & at[bank], f"activate_{bank}") for bank in banks],
            "precharge": [self._age(m, closes[bank], f"precharge_{bank}") for bank in banks],
            "write": [self._age(m, given[Command.WRITE] & at[bank], f"write_{bank}") for bank in banks],
        }

        def early(event, time, which):
            """The time since an event is not over, in any of the banks that are asked for."""
            cycles, ages = self.timing.cycles(time), since[event]
            if isinstance(ages, list):
                return Cat(which[bank] & (ages[bank] < cycles) for bank in banks).any()
            return ages < cycles

        every, refresh, set_mode = [1] * len(banks), given[Command.REFRESH], given[Command.MODE_REGISTER_SET]
        broken = {
            Rule.UNKNOWN: ~pins.cke | (access & (whole | pins.dqm.any())),
            Rule.MODE_OPEN: set_mode & opened.any(),
            Rule.MODE_VALUE: set_mode & ((pins.a != 0x207 + (self.timing.cas_latency << 4)) | (pins.ba != 0)),
            Rule.T_MRD: (command != Command.NOP) & early("mode", "t_mrd", None),
            Rule.T_RP: (activate & early("precharge", "t_rp", at))
            | ((refresh | set_mode) & early("precharge", "t_rp", every)),
            Rule.T_RC: (activate & early("activate", "t_rc", at)) | (refresh & early("activate", "t_rc", every)),
            Rule.T_RRD: activate & early("activate", "t_rrd", [~here for here in at]),
            Rule.T_RFC: (command != Command.NOP) & early("refresh", "t_rfc", None),
            Rule.T_RCD: access & early("activate", "t_rcd", at),
            Rule.T_RAS: early("activate", "t_ras", closes),
            Rule.T_WR: early("write", "t_wr", closes),
            Rule.OPEN: activate & (opened & Cat(at)).any(),
            Rule.CLOSED: access & ~(opened & Cat(at)).any(),
            Rule.REFRESH_OPEN: refresh & opened.any(),
            Rule.POWER_UP: self._powering(m, given, whole),
            Rule.STARVED: (activate | access) & self._starved(m, refresh, set_mode),
            **self._data(m, given[Command.WRITE]),
        }
        with m.If(first == Rule.KEPT):
            for rule, violated in broken.items():
                with m.If(violated):
                    m.d.sync += first.eq(rule)
        return m

    def _age(self, m, event, name):
        """Cycles from the last event to this one, up to all that is asked for; at first as many."""
        top = max(self.timing.cycles(f"t_{time}") for time in ("rcd", "rp", "ras", "rc", "wr", "rrd", "rfc", "mrd"))
        age = _kept(range(top + 1), init=top, name=f"since_{name}")
        with m.If(event):
            m.d.sync += age.eq(1)
        with m.Elif(age != top):
            m.d.sync += age.eq(age + 1)
        return age

    def _powering(self, m, given, whole):
        """A command for which the chip is not yet ready."""
        wait = self.timing.cycles("power_up")
        powered, closed, moded = _kept(range(wait + 1)), _kept(1), _kept(1)
        refreshed = _kept(range(self.timing.first_refreshes + 1))
        with m.If(powered != wait):
            m.d.sync += powered.eq(powered + 1)
        with m.If(given[Command.PRECHARGE] & whole):
            m.d.sync += closed.eq(1)
        with m.If(given[Command.REFRESH] & (refreshed != self.timing.first_refreshes)):
            m.d.sync += refreshed.eq(refreshed + 1)
        with m.If(given[Command.MODE_REGISTER_SET]):
            m.d.sync += moded.eq(1)
        return (
            (~given[Command.NOP] & (powered != wait))
            | ((given[Command.REFRESH] | given[Command.MODE_REGISTER_SET]) & ~closed)
            | (given[Command.MODE_REGISTER_SET] & (refreshed != self.timing.first_refreshes))
            | ((given[Command.ACTIVATE] | given[Command.READ] | given[Command.WRITE]) & ~moded)
        )

    def _starved(self, m, refresh, set_mode):
        """More refreshes are owed than may be, since the mode register was set."""
        interval = self.timing.refresh_interval
        left, owed = _kept(range(interval), init=interval - 1), _kept(range(OWED + 2))
        tick = left == 0
        m.d.sync += left.eq(left - 1)
        with m.If(tick):
            m.d.sync += left.eq(interval - 1)
        with m.If(tick & ~refresh & (owed != OWED + 1)):
            m.d.sync += owed.eq(owed + 1)
        with m.Elif(refresh & ~tick & (owed != 0)):
            m.d.sync += owed.eq(owed - 1)
        with m.If(set_mode):
            m.d.sync += owed.eq(0)
        return owed == OWED + 1

    def _data(self, m, write):
        """Who drives the data pins."""
        drove = _kept(1)
        m.d.sync += drove.eq(self.drives)
        return {
            Rule.DRIVEN: self.pins.dq.oe & ~write,
            Rule.UNDRIVEN: write & ~self.pins.dq.oe,
            Rule.CONTENTION: self.pins.dq.oe & (self.drives | drove),
        }
