"""The port's fields and signals."""

import pytest
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from bitloom.hdl.memory_port.port import MemoryPort, request_layout


def test_request_has_an_address_a_number_of_words_and_a_direction():
    layout = request_layout(22)
    assert {name: (field.offset, field.width) for name, field in layout} == {
        "address": (0, 22),
        "words": (22, 8),
        "write": (30, 1),
    }


def test_streams_go_as_the_asker_sees_them():
    members = MemoryPort(5, 64).members
    assert {name: (member.flow, member.signature) for name, member in members.items()} == {
        "request": (Out, stream.Signature(request_layout(5))),
        "write": (Out, stream.Signature(64)),
        "read": (In, stream.Signature(64).flip()),
    }
    assert MemoryPort(5, 64) == MemoryPort(5, 64) != MemoryPort(5, 128)
    assert repr(MemoryPort(5, 64)) == "MemoryPort(5, 64)"


@pytest.mark.parametrize(
    "arguments, message",
    [((0, 64), "address_bits must be 1 or more, not 0"), ((5, 0), "width must be 1 or more, not 0")],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MemoryPort(*arguments)
