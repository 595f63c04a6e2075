"""A serial port as two stream components: 8 data bits, no parity, 1 stop bit, least significant bit first."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["MIN_DIVISOR", "UartReceiver", "UartTransmitter", "divisor", "error"]

#: Fewest clock cycles a bit: the receiver then tolerates an error of 2 % in the other side's rate.
MIN_DIVISOR = 4

_FRAME = 10  # start bit, data, stop bit
_MAX_ERROR = 0.02


def divisor(clock_hz, baud):
    """Clock cycles a bit.

    Parameters
    ----------
    clock_hz : int
        Clock frequency.
    baud : int
        Bits a second.

    Returns
    -------
    int
        `MIN_DIVISOR` or more.

    Raises
    ------
    ValueError
        If the rate is too high for the clock, or the nearest whole number of cycles is off by more than 2 %.
    """
    if not 0 < baud <= clock_hz // MIN_DIVISOR:
        raise ValueError(f"baud must be 1 to {clock_hz // MIN_DIVISOR} for a clock of {clock_hz} Hz, not {baud}")
    cycles = round(clock_hz / baud)
    if abs(error(clock_hz, baud)) > _MAX_ERROR:
        raise ValueError(
            f"baud must be within {_MAX_ERROR:.0%} of {clock_hz} Hz divided by a whole number, not {baud}: "
            f"the nearest, {abs(error(clock_hz, baud)):.1%} away, is {clock_hz // cycles}"
        )
    return cycles


def error(clock_hz, baud):
    """How much faster than asked for the line is, as a part of the rate; below 0 where it is slower.

    Parameters
    ----------
    clock_hz : int
        Clock frequency, `MIN_DIVISOR` times `baud` or more.
    baud : int
        Bits a second.
    """
    return clock_hz / round(clock_hz / baud) / baud - 1


def _checked(divisor):
    if type(divisor) is not int:
        raise TypeError(f"divisor must be an int, not {divisor!r}")
    if divisor < MIN_DIVISOR:
        raise ValueError(f"divisor must be {MIN_DIVISOR} or more, not {divisor}")
    return divisor


class UartReceiver(wiring.Component):
    """Serial line to bytes.

    The line passes two flip-flops. Every bit is sampled once, in its middle as counted from the edge of the start bit;
    a start bit that is over by its middle is a glitch and is ignored.

    Parameters
    ----------
    divisor : int
        Clock cycles a bit, `MIN_DIVISOR` or more.

    Attributes
    ----------
    rx : in 1
        The line, asynchronous.
    o : stream of 8 bits
        Bytes. One waits here until it is taken; another one that comes meanwhile is lost.
    framing : out 1
        High for the cycle after a frame without a stop bit; its byte is dropped.
    overflow : out 1
        High for the cycle after a byte was lost.
    """

    def __init__(self, divisor):
        self.divisor = _checked(divisor)
        super().__init__(
            {
                "rx": In(1, init=1),
                "o": Out(stream.Signature(8)),
                "framing": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        timer = Signal(range(self.divisor))
        # The last samples, the newest on top; after a frame its start bit is at the bottom.
        samples = Signal(_FRAME, init=-1)
        left = Signal(range(_FRAME))
        with m.If(timer == 0):
            m.d.sync += [timer.eq(self.divisor - 1), samples.eq(Cat(samples[1:], rx))]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)

        m.d.sync += [self.framing.eq(0), self.overflow.eq(0)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("IDLE"), m.If(~rx):
                m.d.sync += [timer.eq(self.divisor // 2 - 1), left.eq(_FRAME - 1)]
                m.next = "FRAME"
            with m.State("FRAME"), m.If(timer == 0):
                m.d.sync += left.eq(left - 1)
                with m.If((left == _FRAME - 1) & rx):
                    m.next = "IDLE"
                with m.If(left == 0):
                    # From the middle of the stop bit on, a falling edge is the next start bit.
                    m.next = "IDLE"
                    with m.If(~rx):
                        m.d.sync += self.framing.eq(1)
                        m.next = "LOW"
                    with m.Elif(self.o.valid & ~self.o.ready):
                        m.d.sync += self.overflow.eq(1)
                    with m.Else():
                        m.d.sync += [self.o.payload.eq(samples[2:]), self.o.valid.eq(1)]
            with m.State("LOW"), m.If(rx):
                m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Bytes to serial line: a byte each 10 bit times while bytes are there.

    Parameters
    ----------
    divisor : int
        Clock cycles a bit, `MIN_DIVISOR` or more.

    Attributes
    ----------
    i : stream of 8 bits
        Bytes; ready from the end of one frame until the next begins.
    tx : out 1
        The line, from a register; high while idle.
    """

    def __init__(self, divisor):
        self.divisor = _checked(divisor)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        frame = Signal(_FRAME, init=-1)
        left = Signal(range(_FRAME))
        m.d.comb += [self.tx.eq(frame[0]), self.i.ready.eq((timer == 0) & (left == 0))]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1), frame.eq(Cat(frame[1:], 1))]
        with m.Elif(self.i.valid):
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(_FRAME - 1), frame.eq(Cat(0, self.i.payload, 1))]
        return m
