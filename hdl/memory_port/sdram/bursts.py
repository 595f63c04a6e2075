"""Requests cut into bursts: what the controller does without asking again."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...stream.stages import PipelineRegister
from ..port import LONGEST, request_layout
from ..walk import Walk

__all__ = ["LONGEST_BURST", "Bursts", "burst_layout", "longest_burst"]

#: Most columns of a burst. Refresh waits for a burst to end, so it is far shorter than the interval of refresh; and
#: long enough that the next row is open before it ends.
LONGEST_BURST = 128


def longest_burst(timing, word_columns):
    """Most words of a burst, a power of two."""
    return max(1, min(LONGEST_BURST, timing.columns, LONGEST * word_columns) // word_columns)


def burst_layout(timing, word_columns):
    """Layout of a burst: words of one row.

    `words` is their number less 1, `column` the first one's first column divided by the columns of a word. The order is
    that of the address: consecutive pages lie in different banks.
    """
    return data.StructLayout(
        {
            "words": range(longest_burst(timing, word_columns)),
            "column": range(timing.columns // word_columns),
            "bank": range(timing.banks),
            "row": range(timing.rows),
            "write": 1,
        }
    )


class Bursts(wiring.Component):
    """Cut requests into bursts: reads where the address is a multiple of the longest burst, writes into single words.

    A burst of a write is a word, as the controller begins it when the word is there.

    Parameters
    ----------
    timing : SdramTiming
    address_bits : int
        Bits of an address of the port.
    word_columns : int
        Columns of a word, a power of two.

    Attributes
    ----------
    i : in stream of `request_layout(address_bits)`
    o : out stream of `burst_layout(timing, word_columns)`
    error : out 1
        High from the first request on that has words beyond the memory's end, until reset. Addresses wrap there.
    """

    def __init__(self, timing, address_bits, word_columns):
        self.timing, self.address_bits, self.word_columns = timing, address_bits, word_columns
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(address_bits))),
                "o": Out(stream.Signature(burst_layout(timing, word_columns))),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        longest = longest_burst(self.timing, self.word_columns)
        size = self.timing.bits // self.timing.data_bits // self.word_columns
        m.submodules.walk = walk = Walk(self.address_bits, size, longest)
        m.submodules.register = register = PipelineRegister(self.o.payload.shape())
        connect(m, flipped(self.i), walk.i)
        connect(m, register.o, flipped(self.o))
        place = data.StructLayout({name: self.o.payload.shape()[name].shape for name in ("column", "bank", "row")})
        m.d.comb += [
            walk.step.eq(walk.valid & register.i.ready),
            register.i.valid.eq(walk.valid),
            register.i.payload.words.eq(walk.words),
            register.i.payload.write.eq(walk.write),
            *(register.i.payload[name].eq(place(walk.address)[name]) for name in ("column", "bank", "row")),
            self.error.eq(walk.error),
        ]
        return m
