"""Top levels: a core behind a serial port, and what ties a top level to a board's pins.

The link is as plain as it can be. A payload of the core's input stream, `last` included, is its bits as bytes, the
lowest first and filled up with zeros (see `payload`); so is a payload of the output stream, on the way back. There is
no header and no flow control:

- the host leaves at most `FIFO_BYTES` bytes unanswered, or bytes may get lost and the alarm stays on;
- a break on the line (low for longer than a byte) resets the core and all that is under way, flags included, so that
  the next byte is the first one of a payload. Answers end with the byte that is on the line.
"""

from amaranth import Cat, Elaboratable, Module, ResetInserter, Signal, Value
from amaranth.lib import fifo, io, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from .payload import Gather, Scatter
from .uart import UartReceiver, UartTransmitter, divisor

__all__ = ["FIFO_BYTES", "OnBoard", "SerialTop"]

#: Bytes that wait between the serial port and the core: one block RAM on every part.
FIFO_BYTES = 512


class SerialTop(wiring.Component):
    """A core behind a serial port, without the board: it can be simulated through its pins.

    Parameters
    ----------
    core : wiring.Component
        With one input stream, one output stream, and no other input. Its one-bit outputs are taken for sticky flags.
    clock_hz : int
        Clock frequency.
    baud : int
        Rate of the serial port, in bits a second; see `uart.divisor` for what is possible.

    Attributes
    ----------
    rx : in 1
        Serial line from the host, asynchronous.
    tx : out 1
        Serial line to the host.
    alarm : out 1
        High while a flag of the core or of the serial port is.
    heartbeat : out 1
        Half a second to a second high, as long low, while the clock runs.

    Raises
    ------
    ValueError
        If the core has other ports than said above, or the rate does not go with the clock.
    """

    def __init__(self, core, clock_hz, baud):
        self.core = core
        self.divisor = divisor(clock_hz, baud)
        self._beat_bits = (clock_hz - 1).bit_length()
        self._i, self._o, self._flags = _ports(core)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "alarm": Out(1), "heartbeat": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        reset = ResetInserter(receiver.line_break)
        waiting = fifo.SyncFIFOBuffered(width=8, depth=FIFO_BYTES)
        gather = Gather(self._i.payload.shape())
        scatter = Scatter(self._o.payload.shape())
        transmitter = UartTransmitter(self.divisor)
        m.submodules.waiting = reset(waiting)
        m.submodules.gather = reset(gather)
        m.submodules.core = reset(self.core)
        m.submodules.scatter = reset(scatter)
        # The byte that is on the line is finished: the host never sees half of one.
        m.submodules.transmitter = transmitter
        connect(m, receiver.o, waiting.w_stream)
        connect(m, waiting.r_stream, gather.i)
        connect(m, gather.o, self._i)
        connect(m, self._o, scatter.i)
        connect(m, scatter.o, transmitter.i)

        beat = Signal(self._beat_bits)
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.alarm.eq(Cat(receiver.framing, receiver.overflow, *self._flags).any()),
            self.heartbeat.eq(beat[-1]),
        ]
        return m


def _ports(core):
    """The input stream, the output stream and the flags of a core."""
    streams, flags, inputs = {In: [], Out: []}, [], []
    for name, member in core.signature.members.items():
        port = getattr(core, name)
        if member.is_signature and isinstance(member.signature, stream.Signature):
            streams[member.flow].append(port)
        elif member.flow == In:
            inputs.append(name)
        elif member.is_port and len(Value.cast(port)) == 1:
            flags.append(port)
    if len(streams[In]) != 1 or len(streams[Out]) != 1:
        raise ValueError(
            f"a core behind a serial port must have 1 input and 1 output stream; "
            f"{type(core).__name__} has {len(streams[In])} and {len(streams[Out])}"
        )
    if inputs:
        raise ValueError(
            f"a core behind a serial port must have no input beside its stream; "
            f"{type(core).__name__} has {', '.join(inputs)} in this configuration"
        )
    return streams[In][0], streams[Out][0], flags


class OnBoard(Elaboratable):
    """Tie a top level to the pins of a board.

    Parameters
    ----------
    top : wiring.Component
        With the ports of `SerialTop`.
    board : Board
        Which LEDs to light; the platform it is elaborated for must be the board's.
    """

    def __init__(self, top, board):
        self.top, self.board = top, board

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = self.top
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.d.comb += self.top.rx.eq(rx.i)
        outputs = {
            "tx": (uart.tx, self.top.tx),
            "heartbeat": (platform.request("led", self.board.heartbeat, dir="-"), self.top.heartbeat),
            "alarm": (platform.request("led", self.board.alarm, dir="-"), self.top.alarm),
        }
        for name, (port, value) in outputs.items():
            m.submodules[name] = buffer = io.Buffer("o", port)
            m.d.comb += buffer.o.eq(value)
        return m
