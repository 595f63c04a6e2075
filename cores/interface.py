"""A core's ports as a Verilog user must know them: the fields of every payload, their order, how it is instantiated.

The words are those of the component's docstring, section Attributes, and of its configuration's layouts; the bits come
from the layouts themselves.
"""

import inspect
import re
import textwrap

from amaranth import Shape
from amaranth.lib.wiring import In

from ..hdl.emission.replicate import unwarned
from ..hdl.stream.axis import prefix
from ..hdl.stream.fields import fields

__all__ = ["layouts", "signals", "streams", "template", "text"]

_INDICES = "ijklmn"
_WIDTH = 116


def layouts(component):
    """Shape of the payload of each of a core's streams, by their names: for `hdl.stream.codec`.

    Parameters
    ----------
    component : wiring.Component
        The core, without a wrapper.

    Returns
    -------
    dict of str to ShapeLike
    """
    streams = (name for name, member in unwarned(component).signature.members.items() if not member.is_port)
    return {name: getattr(component, name).payload.shape() for name in streams}


def streams(component, config, interface, widths):
    """Every stream of a core.

    Parameters
    ----------
    component : wiring.Component
        The core, without a wrapper.
    config : Config
        Its configuration.
    interface : str
        `stream` or `axis`: how the ports are named.
    widths : dict of str to int
        Bits of each port; a port without bits is left out.

    Returns
    -------
    list of dict
        `name`; `direction`; `about`, what comes in which order; `payload`, what its fields mean; `bits` of a payload;
        `byte_order`, of a payload as bytes: always `little`, the lowest bits first, unused upper ones 0; and `fields`,
        the lowest bits first: `name` with an index for each array, `key`, the same without, as `hdl.stream.codec` has
        it, `port` and `bits` as Verilog selects them, `offset` and `width` in bits, `signed` for two's complement,
        `arrays` with `count` and `stride` in bits of each index, and the `values` of an enumeration. Words and order
        are the same for all transfers of the stream.
    """
    described, words = [], _attributes(component)
    for name, member in component.signature.members.items():
        if member.is_port:
            continue
        kind, about = words.get(name, ("", ""))
        payload = getattr(component, name).payload
        described.append(
            {
                "name": name,
                "direction": "input" if member.flow == In else "output",
                "about": about + _ends(name, member, interface, payload),
                "payload": _layout_words(config, kind),
                "bits": Shape.cast(payload.shape()).width,
                "byte_order": "little",
                "fields": [_field(name, member, each, interface, widths) for each in fields(payload.shape())],
            }
        )
    return described


def _ends(name, member, interface, payload):
    """What `tlast` means where the payload has no field for it (`hdl/stream/axis.py`)."""
    if interface != "axis" or any(field.path == ("last",) for field in fields(payload.shape())):
        return ""
    port = f"{prefix(name, member.flow == In)}_tlast"
    meaning = "is ignored" if member.flow == In else "is always 1: every transfer is a packet of its own"
    return f" The stream has no ends: {port} {meaning}."


def signals(component, widths):
    """Every port of a core that belongs to no stream: its `name`, and `about` it; `widths` as of `streams`."""
    words = _attributes(component)
    ports = (name for name, member in component.signature.members.items() if member.is_port and name in widths)
    return [{"name": name, "about": words.get(name, ("", ""))[1]} for name in ports]


def template(top, ports):
    """Verilog text of an instance of a module.

    Parameters
    ----------
    top : str
        The module's name.
    ports : sequence of Port
        Its ports; each is connected to a net of its own name.
    """
    last = ports[-1]
    lines = [
        f"  .{port.name}({port.name}){'' if port is last else ','}  // {port.direction}"
        + (f" [{port.width - 1}:0]" if port.width > 1 else "")
        for port in ports
    ]
    return "\n".join([f"{top} {top}_0 (", *lines, ");"])


def text(described, others, clock):
    """The same as lines of text.

    Parameters
    ----------
    described, others : list of dict
        From `streams` and `signals`.
    clock : str
        Name of the clock.

    Returns
    -------
    list of str
        Lines.
    """
    lines = [f"A transfer of a stream happens at a rising edge of {clock} at which its valid and ready are both high."]
    if any(field["port"].endswith("_tdata") for stream in described for field in stream["fields"]):
        lines += ["Bits of tdata that no field has are zeros at outputs, and of no effect at inputs."]
    for stream in described:
        lines += ["", *_filled(f"{stream['direction'].capitalize()} stream {stream['name']}: {stream['about']}")]
        lines += _filled(stream["payload"])
        width = max(len(field["bits"]) for field in stream["fields"])
        lines += [f"  {field['bits']:<{width}}  {_said(field)}" for field in stream["fields"]]
    for signal in others:
        lines += ["", *_filled(f"{signal['name']}: {signal['about']}")]
    return lines


def _field(name, member, field, interface, widths):
    """One field as the manifest has it."""
    port, offset = f"{name}__payload", field.offset
    if interface == "axis":
        begin = prefix(name, member.flow == In)
        port, offset = (f"{begin}_tlast", 0) if field.path == ("last",) else (f"{begin}_tdata", offset)
    # The index of an only element says nothing.
    indices = [index if array.count > 1 else "0" for array, index in zip(field.arrays, _INDICES, strict=False)]
    told = {
        "name": field.name(indices),
        "key": field.key,
        "port": port,
        "bits": _select(port, widths.get(port, 0), offset, field, indices),
        "offset": offset,
        "width": field.width,
        "signed": field.signed,
        "arrays": [array._asdict() for array in field.arrays],
    }
    return told if field.values is None else {**told, "values": field.values}


def _select(port, bits, offset, field, indices):
    """A field's bits as Verilog selects them from a port of `bits` bits."""
    if field.width == 0:
        return f"{port}: none"
    if field.width == bits:
        return port
    terms = [f"{a.stride}*{index}" for a, index in zip(field.arrays, indices, strict=True) if index != "0"]
    if terms:
        return f"{port}[{' + '.join([str(offset), *terms] if offset else terms)} +: {field.width}]"
    return f"{port}[{offset}]" if field.width == 1 else f"{port}[{offset + field.width - 1}:{offset}]"


def _said(field):
    """A field's name, ranges of its indices, sign, and names of its values."""
    counts = [(index, array["count"]) for index, array in zip(_INDICES, field["arrays"], strict=False)]
    ranges = [f"{index} = 0..{count - 1}" for index, count in counts if count > 1]
    signed = ["signed"] if field["signed"] else []
    values = [f"{value} is {name}" for name, value in field.get("values", {}).items()]
    return ", ".join([field["name"], *ranges, *signed, *values])


def _attributes(component):
    """Name of each attribute that the component's docstring has, to its type and its description."""
    text = inspect.getdoc(component) or ""
    section = re.search(r"^Attributes\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", text, flags=re.M | re.S)
    entries = re.findall(r"^(\w.*?) : (.*)\n((?:^[ \t]+.*\n?|^\n)*)", section[1] + "\n" if section else "", flags=re.M)
    return {name: (kind, _joined(about)) for names, kind, about in entries for name in names.split(", ")}


def _layout_words(config, kind):
    """The description of the layout that an attribute's type names, as `config.a_layout`."""
    named = re.search(r"`config\.((?:\w+\.)*)(\w+)`", kind)
    if not named:
        return ""
    for part in named[1].split(".")[:-1]:
        config = getattr(config, part)
    return _joined(inspect.getdoc(getattr(type(config), named[2])) or "")


def _joined(text):
    return " ".join(text.replace("``", "`").split())


def _filled(text):
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
