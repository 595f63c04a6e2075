"""cores.interface: every bit of every payload has a name and words, in the manifest, in `info` and in the Verilog."""

import json
import re
from dataclasses import replace

import pytest
from amaranth.lib import wiring
from amaranth.lib.stream import Signature
from amaranth.lib.wiring import In, Out
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.cores import interface as describing
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import INTERFACES, generate, pinout
from bitloom.hdl.stream import codec

#: Parameters that bring other ports or other fields.
MORE = {
    "ovp-decoder": [("bias_port=true", "pairs=3")],
    "systolic-tile": [
        ("a_format=ovp-int4", "w_format=ovp-int4"),
        ("dataflow=weight-stationary", "overflow=false"),
        ("rows=1", "cols=1"),
    ],
    "anda-tile": [("pe=figna",), ("pe=fp16", "lanes=2"), ("signs=beside",), ("output=fp32", "rows=1", "share=1")],
    "hgq-tile": [("scheme=flat",), ("scheme=channel",)],
    "hgq-quantizer": [("shift_bits=0",)],
    "pwl-unit": [("table=gelu-8",), ("table=div-8", "wide=16"), ("kind=fp32",)],
    "softmax-unit": [("mask=true",)],
    "machine": [("memory=port",), ("memory=sdram",)],
}
REQUESTS = [
    (name, parameters, interface)
    for name, core in CATALOGUE.items()
    for parameters in ((), core.small, *MORE.get(name, ()))
    for interface in INTERFACES
]


@pytest.fixture(params=REQUESTS, ids=lambda request: f"{request[0]} {' '.join(request[1])} {request[2]}")
def pins(request):
    name, parameters, interface = request.param
    core = lookup(name)
    return pinout(core, core.config.parse(parameters), interface)


def test_every_stream_and_every_other_port_has_words(pins):
    of_streams = {field["port"] for stream in pins.streams for field in stream["fields"]}
    assert of_streams <= {port.name for port in pins.ports}
    for stream in pins.streams:
        # One word says no order.
        assert len(stream["about"].split()) > 3, stream["name"]
        words = f"{stream['about']} {stream['payload']}"
        # Nothing that only a reader of Python finds.
        assert words.isascii() and not re.search(r"config\.|, as `\w+\.\w+`", stream["payload"])
        for field in stream["fields"]:
            for name in re.sub(r"\[\w\]", "", field["name"]).split("."):
                assert name == "payload" or f"`{name}`" in words, (stream["name"], name)
            if field["arrays"] and max(array["count"] for array in field["arrays"]) > 1:
                assert re.search(r"\b(lowest|order)\b|lane 0|one by one", stream["payload"]), stream
    assert all(len(signal["about"].split()) > 3 for signal in pins.signals), pins.signals


def test_every_bit_of_every_data_port_is_in_one_field(pins):
    """The words of a selection give the offsets, and those cover the payload."""
    widths = {port.name: port.width for port in pins.ports}
    covered = {}
    for stream in pins.streams:
        for field in stream["fields"]:
            bits = covered.setdefault(field["port"], [])
            for indices in _indices(field["arrays"]):
                first, width = _selected(field["bits"], indices, widths[field["port"]])
                strides = (index * array["stride"] for index, array in zip(indices, field["arrays"], strict=True))
                assert width == field["width"] and (not width or first == field["offset"] + sum(strides)), field
                bits += range(first, first + width)
    for port, bits in covered.items():
        padding = -len(bits) % 8 if port.endswith("_tdata") else 0
        assert sorted(bits) == [*range(widths[port] - padding)], port
    data = {port for port in widths if port.endswith(("__payload", "_tdata"))}
    assert data <= set(covered)


def test_a_manifest_is_enough_to_pack(pins):
    """Names, places and signs of the manifest are those of the codec: each field alone, all its bits set."""
    inner = getattr(pins.component, "component", pins.component)
    for stream in pins.streams:
        shape = describing.layouts(inner)[stream["name"]]
        known = codec.named(shape)
        assert [field["key"] for field in stream["fields"]] == [*known]
        for field in stream["fields"]:
            values = dict.fromkeys(known, 0) | {field["key"]: -field["signed"] if field["signed"] else _ones(field)}
            payload = codec.to_integers(codec.pack(shape, **values))[0]
            assert payload.bit_length() <= stream["bits"] and stream["byte_order"] == "little"
            if not field["port"].endswith("_tlast"):
                places = (
                    field["offset"] + sum(i * array["stride"] for i, array in zip(at, field["arrays"], strict=True))
                    for at in _indices(field["arrays"])
                )
                assert payload == sum(_ones(field) << place for place in places), field


def _ones(field):
    return (1 << field["width"]) - 1


def _indices(arrays):
    if not arrays:
        return [()]
    return [(index, *rest) for index in range(arrays[0]["count"]) for rest in _indices(arrays[1:])]


def _selected(text, indices, width):
    """First bit and number of bits that a Verilog selection means."""
    if text.endswith(": none"):
        return 0, 0
    if "[" not in text:
        return 0, width
    inside = text[text.index("[") + 1 : -1]
    for letter, index in zip("ij", indices, strict=False):
        inside = inside.replace(letter, str(index))
    if "+:" in inside:
        first, count = inside.split(" +: ")
        return eval(first), int(count)
    high, _, low = inside.partition(":")
    return int(low or high), int(high) - int(low or high) + 1


class Empty(wiring.Component):
    """A core with a stream and a port of no bits.

    Attributes
    ----------
    i : in stream
        Nothing, in any order.
    o : out stream
        Numbers, in order.
    none : in
        Nothing at all.
    """

    def __init__(self, config=None):
        super().__init__({"i": In(Signature(0)), "o": Out(Signature(4)), "none": In(0)})


@pytest.mark.parametrize("interface", INTERFACES)
def test_what_has_no_bits_is_no_port(interface):
    pins = pinout(replace(lookup("ovp-decoder"), component=Empty), None, interface)
    fields = [field["bits"] for stream in pins.streams for field in stream["fields"]]
    axis = ["s_axis_tdata: none", "m_axis_tdata[3:0]"]
    assert fields == (axis if interface == "axis" else ["i__payload: none", "o__payload"])
    assert pins.signals == []


def test_words_come_from_the_docstrings():
    class Component:
        """Summary.

        Attributes
        ----------
        a, b : in stream of `config.inner.layout`
            Two
            lines.
        c : out 1
        d : out 1
            Words.

        Notes
        -----
        x : none
            Nothing.
        """

    found = describing._attributes(Component())
    assert found == {
        "a": ("in stream of `config.inner.layout`", "Two lines."),
        "b": ("in stream of `config.inner.layout`", "Two lines."),
        "c": ("out 1", ""),
        "d": ("out 1", "Words."),
    }


@pytest.mark.parametrize("interface", INTERFACES)
def test_verilog_manifest_and_info_say_the_same(interface):
    core = lookup("hgq-tile")
    assignments = ("rows=2", "cols=2", "coarse=8", "fine=4")
    design = generate(core, core.config.parse(assignments), interface)
    header = design.verilog[: design.verilog.index("\n\n")]
    words = ["info", "hgq-tile", *(word for text in assignments for word in ("-p", text)), "--interface", interface]
    told = CliRunner().invoke(cli.bitloom, words).output
    manifest = json.loads(CliRunner().invoke(cli.bitloom, [*words, "--json"]).output)
    assert {name: manifest[name] for name in design.manifest} == design.manifest
    stream = design.manifest["streams"][0]
    port, last = ("x__payload", "x__payload[68]") if interface == "stream" else ("s_axis_x_tdata", "s_axis_x_tlast")
    assert (stream["name"], stream["direction"]) == ("x", "input")
    assert stream["fields"][0] == {
        "name": "groups[i].codes[j]",
        "key": "groups.codes",
        "port": port,
        "bits": f"{port}[34*i + 4*j +: 4]",
        "offset": 0,
        "width": 4,
        "signed": True,
        "arrays": [{"count": 2, "stride": 34}, {"count": 4, "stride": 4}],
    }
    assert stream["fields"][-1]["bits"] == last
    line = f"{port}[34*i + 4*j +: 4]  groups[i].codes[j], i = 0..1, j = 0..3, signed"
    assert f"  {line}\n" in told and f"//   {line}\n" in header
    assert all(line.startswith("//") for line in header.splitlines())
    for text in design.manifest["template"].splitlines():
        assert f"//   {text}".rstrip() in header


def test_tlast_of_a_stream_without_ends_is_explained():
    core, decoder = lookup("pwl-unit"), lookup("ovp-decoder")
    about = {
        interface: {
            stream["name"]: stream["about"] for stream in pinout(core, core.config(**options), interface).streams
        }
        for interface, options in (("axis", {"table": "gelu-8"}), ("stream", {"table": "gelu-8"}))
    }
    assert about["axis"]["i"].endswith(" The stream has no ends: s_axis_tlast is ignored.")
    always = " The stream has no ends: m_axis_tlast is always 1: every transfer is a packet of its own."
    assert about["axis"]["o"].endswith(always)
    assert not any("tlast" in words for words in about["stream"].values())
    assert not any("no ends" in stream["about"] for stream in pinout(decoder, decoder.config(), "axis").streams)


def test_hundreds_of_lanes_are_one_line():
    core = lookup("systolic-tile")
    few, many = (pinout(core, core.config(rows=side, cols=side)).text for side in (2, 256))
    assert len(few) == len(many)


def test_an_enumeration_names_its_values():
    field = {"name": "mode", "arrays": [], "signed": False, "values": {"OFF": 0, "ON": 1}}
    assert describing._said(field) == "mode, 0 is OFF, 1 is ON"
