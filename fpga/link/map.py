"""The ports of a core on the host link: streams, settings, flags; and those beside it, which are a board's pins."""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth import Value
from amaranth.lib import stream
from amaranth.lib.wiring import In

from .payload import byte_count
from .protocol import MAX_PAYLOAD, NO_CHANNEL

__all__ = ["LinkMap", "LinkStream", "link_map"]

_MAX_FLAGS = 8


@dataclass(frozen=True)
class LinkStream:
    """A stream: its channel, the bits of a payload, and its bytes as `payload` counts them."""

    channel: int
    bits: int
    bytes: int


@dataclass(frozen=True)
class LinkMap:
    """The ports of a core as the host link sees them, all in the order of the core's signature.

    Attributes
    ----------
    inputs, outputs : mapping of str to LinkStream
        Streams into the core and out of it; each direction counts its channels from 0.
    settings : mapping of str to int
        Inputs that belong to no stream, and their widths; the first one is the lowest in the payload of SET.
    flags : tuple of str
        Names of the bits of MOVE's flags byte, the lowest first. An output of several bits has one for each:
        `name[0]`, `name[1]`, …
    pins : tuple of str
        Ports that are no part of the link: those that the core has in its attribute `pins`, if there is one.
    """

    inputs: Mapping[str, LinkStream]
    outputs: Mapping[str, LinkStream]
    settings: Mapping[str, int]
    flags: tuple[str, ...]
    pins: tuple[str, ...] = ()

    @property
    def settings_bytes(self):
        """Length of the payload of SET."""
        return -(-sum(self.settings.values()) // 8)


def link_map(component):
    """The map of a core.

    Parameters
    ----------
    component : wiring.Component
        The core. Its outputs that belong to no stream, and are no pins, are taken for flags.

    Returns
    -------
    LinkMap

    Raises
    ------
    ValueError
        If it has more than 15 streams of a direction, more than 8 bits of flags, more settings than fit into a payload,
        or a port that is neither a stream nor plain.
    """
    core = type(component).__name__
    inputs, outputs, settings, flags = {}, {}, {}, []
    pins = tuple(getattr(component, "pins", ()))
    for name, member in component.signature.members.items():
        if member.dimensions or (member.is_signature and not isinstance(member.signature, stream.Signature)):
            raise ValueError(f"a core behind the host link must have streams and plain ports only; {core} has {name}")
        port = getattr(component, name)
        if name in pins:
            continue
        if member.is_signature:
            streams = inputs if member.flow == In else outputs
            bits = len(Value.cast(port.payload))
            streams[name] = LinkStream(len(streams), bits, byte_count(bits))
        elif member.flow == In:
            settings[name] = len(Value.cast(port))
        else:
            bits = len(Value.cast(port))
            flags += [name] if bits == 1 else [f"{name}[{bit}]" for bit in range(bits)]
    channels = LinkMap(inputs, outputs, settings, tuple(flags), pins)
    for count, most, things in (
        (len(inputs), NO_CHANNEL, "input streams"),
        (len(outputs), NO_CHANNEL, "output streams"),
        (len(flags), _MAX_FLAGS, "bits of outputs beside its streams"),
        (channels.settings_bytes, MAX_PAYLOAD, "bytes of inputs beside its streams"),
    ):
        if count > most:
            raise ValueError(f"a core behind the host link must have at most {most} {things}; {core} has {count}")
    return channels
