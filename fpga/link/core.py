"""A core behind the host link: any core with streams, its frames as `protocol` describes them."""

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Elaboratable,
    Module,
    ResetInserter,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.emission.replicate import Modules
from ...hdl.stream.stages import PipelineRegister
from .map import link_map
from .payload import Gather, Scatter
from .receiver import FrameReceiver
from .responder import Responder
from .sender import BODY, FrameSender
from .uart import UartReceiver, UartTransmitter, divisor

__all__ = ["FIFO_BYTES", "Link", "LinkTop"]

#: Bytes that wait between the link and a stream of the core: one block RAM on every part.
FIFO_BYTES = 512


class Link(wiring.Component):
    """A core behind frames, as bytes.

    Each stream of the core has a FIFO of `FIFO_BYTES` bytes; what the core does not take waits there, and a full FIFO
    takes no more. HELLO resets the core, the FIFOs and the settings.

    Parameters
    ----------
    core : wiring.Component
        As `link_map.link_map` takes it.
    identity : bytes
        As `protocol.identity` makes it.

    Attributes
    ----------
    i, o : stream of 8 bits
        Bytes from the host, always ready, and bytes to it.
    alarm : out 1
        High while a flag of the core is, and from the first damaged frame on until HELLO.
    restart : out 1
        High for a cycle at each HELLO.
    """

    def __init__(self, core, identity):
        self.core, self.map = core, link_map(core)
        self.identity = identity
        super().__init__(
            {"i": In(stream.Signature(8)), "o": Out(stream.Signature(8)), "alarm": Out(1), "restart": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        channels, core = self.map, self.core
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.sender = sender = FrameSender()
        m.submodules.responder = responder = Responder(
            len(channels.inputs), len(channels.outputs), channels.settings_bytes, self.identity
        )
        connect(m, flipped(self.i), receiver.i)
        connect(m, receiver.o, responder.i)
        # It cuts the way from a byte of an answer, through its escape, to the address of the next one.
        m.submodules.body = body = PipelineRegister(BODY)
        connect(m, responder.o, body.i)
        connect(m, body.o, sender.i)
        connect(m, sender.o, flipped(self.o))
        m.d.comb += [receiver.address.eq(responder.address), responder.data.eq(receiver.data)]

        restart = ResetInserter(responder.restart)
        m.submodules.core = _Restarted(core, responder.restart)
        for name, port in channels.inputs.items():
            waiting = fifo.SyncFIFOBuffered(width=8, depth=FIFO_BYTES)
            gather = Gather(getattr(core, name).payload.shape())
            m.submodules[f"{name}_waiting"], m.submodules[f"{name}_gather"] = restart(waiting), restart(gather)
            connect(m, responder.to_core[port.channel], waiting.w_stream)
            connect(m, waiting.r_stream, gather.i)
            connect(m, gather.o, getattr(core, name))
        for name, port in channels.outputs.items():
            waiting = fifo.SyncFIFOBuffered(width=8, depth=FIFO_BYTES)
            scatter = Scatter(getattr(core, name).payload.shape())
            m.submodules[f"{name}_waiting"], m.submodules[f"{name}_scatter"] = restart(waiting), restart(scatter)
            connect(m, getattr(core, name), scatter.i)
            connect(m, scatter.o, waiting.w_stream)
            connect(m, waiting.r_stream, responder.from_core[port.channel])
        if channels.settings:
            self._settings(m, responder, restart)

        outputs = [n for n, member in core.signature.members.items() if member.is_port and member.flow == Out]
        flags = Cat(getattr(core, name) for name in outputs if name not in channels.pins)
        m.d.comb += responder.flags.eq(flags)
        damaged = Signal()
        with m.If(receiver.o.valid & receiver.o.payload.damaged):
            m.d.sync += damaged.eq(1)
        with m.If(responder.restart):
            m.d.sync += damaged.eq(0)
        m.d.comb += [self.alarm.eq(damaged | responder.flags.any()), self.restart.eq(responder.restart)]
        return m

    def _settings(self, m, responder, restart):
        """The core's settings change all at once, when the last byte has come."""
        ports = [Value.cast(getattr(self.core, name)) for name in self.map.settings]
        inputs, reset = Cat(ports), Cat(Const(port.init, len(port)) for port in ports)
        gather = Gather(len(inputs))
        m.submodules.settings_gather = restart(gather)
        connect(m, responder.settings, gather.i)
        settings = Signal(len(inputs), init=Const.cast(reset).value)
        m.d.comb += [gather.o.ready.eq(1), inputs.eq(settings)]
        with m.If(gather.o.valid):
            m.d.sync += settings.eq(gather.o.payload)
        with m.If(responder.restart):
            m.d.sync += settings.eq(settings.init)


class _Restarted(Elaboratable):
    """A core with one more reset.

    `ResetInserter` does not reach into modules that are emitted once (`hdl.emission.replicate`): they are instances,
    with the reset of their domain. The simulator of Amaranth in turn has no order between a clock and its copy.
    """

    def __init__(self, core, reset):
        self.core, self.reset = core, reset

    def elaborate(self, platform):
        if not isinstance(platform, Modules):
            return ResetInserter(self.reset)(self.core)
        m = Module()
        m.domains.core = ClockDomain(local=True)
        m.d.comb += [
            ClockSignal("core").eq(ClockSignal()),
            ResetSignal("core").eq(ResetSignal(allow_reset_less=True) | self.reset),
        ]
        m.submodules.core = DomainRenamer("core")(self.core)
        return m


class LinkTop(wiring.Component):
    """A core behind a serial port, without the board: it can be simulated through its pins.

    Parameters
    ----------
    core : wiring.Component
        As `link_map.link_map` takes it.
    identity : bytes
        As `protocol.identity` makes it.
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
        As `Link.alarm`, and from the first byte on that was no byte or was lost, until HELLO.
    heartbeat : out 1
        Half a second to a second high, as long low, while the clock runs.
    map : LinkMap
        Of the core. Each of its `pins` is a port here, too.

    Raises
    ------
    ValueError
        If the core cannot be behind the link, or the rate does not go with the clock.
    """

    def __init__(self, core, identity, clock_hz, baud):
        self.divisor = divisor(clock_hz, baud)
        self.core, self.identity, self.map = core, identity, link_map(core)
        self._beat_bits = (clock_hz - 1).bit_length()
        pins = {name: core.signature.members[name] for name in self.map.pins}
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "alarm": Out(1), "heartbeat": Out(1)} | pins)

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.link = link = Link(self.core, self.identity)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        connect(m, receiver.o, link.i)
        connect(m, link.o, transmitter.i)
        lost = Signal()
        with m.If(receiver.framing | receiver.overflow):
            m.d.sync += lost.eq(1)
        with m.Elif(link.restart):
            m.d.sync += lost.eq(0)
        beat = Signal(self._beat_bits)
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.alarm.eq(link.alarm | lost),
            self.heartbeat.eq(beat[-1]),
        ]
        for name in self.map.pins:
            outer, inner = getattr(self, name), getattr(self.core, name)
            m.d.comb += inner.eq(outer) if self.signature.members[name].flow == In else outer.eq(inner)
        return m
