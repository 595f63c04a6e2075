"""Panels of weights on their way to the array: a ring of words that is filled while the first of them is in use."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .bank import Bank

__all__ = ["PanelRing"]


class PanelRing(wiring.Component):
    """Keep words in order; read the first panel as often as it is needed, then let go of it.

    A word can be read two cycles after it came in.

    Parameters
    ----------
    payload : ShapeLike
        A word.
    depth : int
        Words that it holds, a power of two; a panel has at most so many.
    family : Family
        Of FPGAs, as of `hdl.primitives`.

    Attributes
    ----------
    i : in stream of `payload`
        Words of all panels, one after the other. Ready while there is room.
    available : out 1
        There is a word at the place that is read next.
    read : in 1
        Read it, and go on to the next place; only while it is `available`.
    again : in 1
        With `read`, of a panel's last word: the panel is read once more, from its first word on.
    release : in 1
        With `read`, of a panel's last word: it is not needed any more.
    o : out `payload`
        The word that was read, three cycles later.
    """

    def __init__(self, payload, depth, family):
        self.payload, self.depth, self.family = payload, depth, family
        super().__init__(
            {
                "i": In(stream.Signature(payload)),
                "available": Out(1),
                "read": In(1),
                "again": In(1),
                "release": In(1),
                "o": Out(payload),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Bank(Shape.cast(self.payload).width, 1, self.depth, self.family)
        # Places and a bit more, which tells a full ring from an empty one.
        bits = self.depth.bit_length()
        first, place, end = (Signal(bits, name=name) for name in ("first", "place", "end"))
        # As of the cycle before, and so a word that is written is there.
        seen = Signal(bits)
        following = (place + 1)[:bits]
        # Words in the ring, and words to be read; both flags are those of the next cycle, from registers.
        held, ahead = (end - first)[:bits], (seen - place)[:bits]
        room, available, address = Signal(init=1), Signal(), Signal(bits - 1, reset_less=True)
        # A word comes late in its cycle: nothing but registers takes it.
        taken, coming = self.i.valid & room, Signal()
        m.d.sync += [coming.eq(taken), words.word.eq(self.i.payload)]
        m.d.comb += [
            self.i.ready.eq(room),
            words.place.eq(end[:-1]),
            words.en.eq(coming),
            self.available.eq(available),
            words.address.eq(address),
            self.o.eq(words.o),
        ]
        m.d.sync += [
            end.eq(end + words.en),
            seen.eq(end),
            address.eq(place[:-1]),
            room.eq((held + coming < self.depth - 1) | ((held + coming == self.depth - 1) & ~taken)),
            # A panel that is read again is there from its first word on.
            available.eq((self.read & self.again) | (ahead > 1) | ((ahead == 1) & ~self.read)),
        ]
        with m.If(self.read):
            m.d.sync += place.eq(Mux(self.again, first, following))
            with m.If(self.release):
                m.d.sync += first.eq(following)
        return m
