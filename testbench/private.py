"""The private parts of cocotb 2.1 that we use: all of them, here alone. cocotb may change any of them in any version.

In a simulation of many cycles most time would be cocotb's: a value that is read or written through its public face
becomes an object and is checked, and a task that wakes up goes through a scheduler.
"""

from cocotb.triggers import RisingEdge

__all__ = ["Cycles", "Wire"]

_DEPOSIT = 0  # the simulator's number for a plain write


class Wire:
    """A port of the design, as integers.

    Parameters
    ----------
    handle : cocotb handle
        Of the port. Verilator has no values but 0 and 1.

    Attributes
    ----------
    width : int
        Bits.
    get : callable
        Its value.
    set : callable
        Takes the value that it gets, which is not checked.
    """

    def __init__(self, handle):
        raw, self.width = handle._handle, len(handle)
        read, write_word, write_bits = raw.get_signal_val_binstr, raw.set_signal_val_int, raw.set_signal_val_binstr
        digits = f"0{self.width}b"
        self.get = lambda: int(read(), 2)
        if self.width <= 32:
            self.set = lambda value: write_word(_DEPOSIT, value)
        else:
            self.set = lambda value: write_bits(_DEPOSIT, format(value, digits))


class Cycles(RisingEdge):
    """Rising edges of a clock, at each of which a function is called; who awaits them goes on after the last one.

    Parameters
    ----------
    clock : cocotb handle
        Clock.
    step : callable
        Whether there must be another edge. What it raises, `run` raises.
    """

    def __new__(cls, clock, step):
        return cls._make(clock)

    def __init__(self, clock, step):
        self._step, self._error = step, None

    async def run(self):
        """Until `step` gives False."""
        await self
        if self._error:
            raise self._error

    def _react(self):
        try:
            again = self._step()
        except BaseException as error:
            self._error, again = error, False
        if again:
            self._prime()
        else:
            super()._react()
