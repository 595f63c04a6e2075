"""A queue in a block RAM, and nothing beside it."""

from amaranth.lib import fifo

from ..primitives.block_ram import NO_BYPASS

__all__ = ["Queue"]


class Queue(fifo.SyncFIFOBuffered):
    """`amaranth.lib.fifo.SyncFIFOBuffered`, whose memory has `NO_BYPASS`: it reads no word that it writes.

    Where both addresses are the same, the memory is empty and is not read, or it is full and is not written.
    """

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if self.depth > 1:
            m.submodules.storage.attrs.update(NO_BYPASS)
        return m
