"""The memory port: requests of consecutive words, and two streams of words."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LONGEST", "MemoryPort", "request_layout"]

#: Most words of a request.
LONGEST = 256


def request_layout(address_bits):
    """Layout of a request.

    Parameters
    ----------
    address_bits : int
        Bits of an address, 1 or more.

    Returns
    -------
    StructLayout
        `address`: of the first word, counted in words; `words`: number of consecutive words less 1, 8 bits, so 1 to 256
        words; `write`: whether they are written.
    """
    return data.StructLayout({"address": address_bits, "words": range(LONGEST), "write": 1})


class MemoryPort(wiring.Signature):
    """A memory as the one who asks sees it.

    Words of write requests come over `write`, those of read requests go over `read`, both in the order of the requests.
    A request sees the writes of all requests before it. A memory may take a request before the words of the last one
    have gone; it may wait with a request for words that the asker owes it, so an asker that waits for a read first and
    writes afterwards must ask in that order. All three are streams: a transfer happens when valid and ready are high,
    valid does not wait for ready, and the payload holds still meanwhile. Our choice.

    Parameters
    ----------
    address_bits : int
        Bits of an address of a word, 1 or more.
    width : int
        Bits of a word, 1 or more. The machine has 64 or 128.

    Attributes
    ----------
    request : out stream of `request_layout(address_bits)`
    write : out stream of `width` bits
    read : in stream of `width` bits

    Raises
    ------
    ValueError
        For a number below 1.
    """

    def __init__(self, address_bits, width):
        for name, value in (("address_bits", address_bits), ("width", width)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        self.address_bits, self.width = address_bits, width
        super().__init__(
            {
                "request": Out(stream.Signature(request_layout(address_bits))),
                "write": Out(stream.Signature(width)),
                "read": In(stream.Signature(width)),
            }
        )

    def __eq__(self, other):
        same = isinstance(other, MemoryPort)
        return same and (self.address_bits, self.width) == (other.address_bits, other.width)

    def __repr__(self):
        return f"MemoryPort({self.address_bits}, {self.width})"
