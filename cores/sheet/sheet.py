"""What a data sheet is made of: a core in a configuration, and each generated part of its page as HTML.

The page itself, `docs/cores/NAME.md`, is written by hand. In it stand fences ```` ```{sheet} PART ````, and each is
replaced by what the function of that name in `PARTS` gives; the fence's text goes to the function.
"""

from dataclasses import dataclass
from functools import cache, cached_property

from ..catalogue import Core
from ..config import Config, to_text
from ..generate import Pinout, pinout
from . import bits, diagram, formulae, html, kept, run, stimuli, timing

__all__ = ["PARTS", "Sheet"]


@dataclass(frozen=True)
class Sheet:
    """A core in a configuration.

    Attributes
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    interface : str
        `stream` or `axis`, how the ports are named.
    """

    core: Core
    config: Config
    interface: str = "stream"

    @cached_property
    def pins(self) -> Pinout:
        """Ports and streams."""
        return pinout(self.core, self.config, self.interface)

    @property
    def parameters(self):
        """What differs from the default, in words."""
        return " ".join(self.config.assignments()) or "default"

    @property
    def port_names(self):
        """The streams and the other ports."""
        return [port["name"] for port in (*self.pins.streams, *self.pins.signals)]


def blocks(sheet, text):
    """The block diagram that the text describes."""
    return html.figure(diagram.draw(f"Block diagram of {sheet.core.name}", diagram.parse(text), sheet.port_names), "")


def parameters(sheet, text):
    """Every parameter: its value, its default, what is allowed."""
    values = sheet.config.shown()
    rows = [
        (f"`{each['name']}`", values[each["name"]], to_text(each["default"]), each["allowed"], each["doc"])
        for each in sheet.core.config.describe()
    ]
    return html.table(["parameter", "value", "default", "allowed", "what it is"], rows)


def ports(sheet, text):
    """The ports, and of each stream what it carries, bit by bit."""
    pins = sheet.pins
    widths = {port.name: port.width for port in pins.ports}
    pieces = [html.paragraph(f"Configuration: `{sheet.parameters}`.")]
    pieces.append(
        html.table(["port", "direction", "bits"], [(f"`{p.name}`", p.direction, p.width) for p in pins.ports])
    )
    pieces.append(html.paragraph(_BYTES))
    for stream in pins.streams:
        pieces.append(f"<h3>{stream['direction'].capitalize()} stream <code>{stream['name']}</code></h3>")
        pieces += [html.paragraph(words) for words in (stream["about"], stream["payload"]) if words]
        for picture in bits.pictures(stream, widths):
            pieces.append(html.figure(bits.draw(picture), f"`{picture.name}`, {picture.width} bits"))
        pieces.append(html.table(["field", "bits", "width", "number"], map(_field, stream["fields"])))
    if pins.signals:
        pieces.append("<h3>Other ports</h3>")
        pieces.append(html.table(["port", "what it is"], [(f"`{s['name']}`", s["about"]) for s in pins.signals]))
    return "\n".join(pieces)


_BYTES = (
    "A transfer happens at a rising edge of the clock at which `valid` and `ready` are both high. Bit 0 is the lowest. "
    "Byte b of a payload is its bits 8b + 7 to 8b: in files, over the link to a board and in `tdata` the lowest byte "
    "comes first, and bits that no field has are 0."
)


def _field(told):
    counts = [(index, array["count"]) for index, array in zip("ijklmn", told["arrays"], strict=False)]
    ranges = ", ".join(f"{index} = 0..{count - 1}" for index, count in counts if count > 1)
    kind = "two's complement" if told["signed"] else "unsigned"
    if "values" in told:
        kind = ", ".join(f"{value} is {name}" for name, value in told["values"].items())
    return f"`{told['name']}`" + (f", {ranges}" if ranges else ""), f"`{told['bits']}`", told["width"], kind


def waves(sheet, text):
    """The timing diagram: a run of the core's small configuration."""
    core = sheet.core
    flags = {stream["name"]: _flags(stream) for stream in _small(core).streams}
    caption = (
        f"A run of `{' '.join(core.small)}` in Amaranth's simulator, where no side stalls. A filled box is a transfer "
        f"with its number, a dashed one waits for `ready`.{_legend(flags)}"
    )
    return html.figure(timing.draw(f"Timing of {core.name}", _ran(core), flags), caption)


@cache
def _small(core):
    return pinout(core, _config(core))


@cache
def _ran(core):
    component = _small(core).component
    return run.simulate(component, *stimuli.payloads(core.name, component, _config(core)))


def _config(core):
    return core.config.parse(core.small)


def _flags(stream):
    """Marks of a stream: fields of one bit, by the bit."""
    return {f["name"]: f["offset"] for f in stream["fields"] if f["name"] in ("first", "last")}


def _legend(flags):
    names = dict.fromkeys(name for raised in flags.values() for name in raised)
    return "".join(f" {name[0].upper()} behind a number: `{name}` is set." for name in names)


def cycles(sheet, text):
    """Latency and interval: what they count, the formulae, and the value in this configuration."""
    known = formulae.FORMULAE[sheet.core.name]
    values = {"latency": sheet.core.latency(sheet.config), "interval": sheet.core.interval(sheet.config)}
    rows = [
        (f"{name}, {getattr(known, name).about}", _cases(getattr(known, name).cases), value)
        for name, value in values.items()
    ]
    pieces = [html.table(["what, in cycles without stalls", "formula", sheet.parameters], rows)]
    if known.where:
        pieces.append(html.paragraph("In the formulae:"))
        pieces.append(html.table(["name", "is"], [(f"`{name}`", _cases(cases)) for name, cases in known.where.items()]))
        if any("bits(" in case.formula for cases in known.where.values() for case in cases):
            pieces.append(html.paragraph("`bits(n)` is the number of binary digits of n."))
    return "\n".join(pieces)


def _cases(cases):
    return "; ".join(f"`{c.formula}` where `{c.when}`" if c.when else f"`{c.formula}`" for c in cases).replace(
        "; `", "; else `"
    )


#: Name in a page's fence to the function of the part.
PARTS = {
    "diagram": blocks,
    "parameters": parameters,
    "ports": ports,
    "timing": waves,
    "latency": cycles,
    "cost": kept.cost,
    "checks": kept.checks,
}
