"""The frames' CRC-32: a byte a cycle."""

from amaranth.lib import crc

__all__ = ["CRC32"]

#: That of zlib: `CRC32.create()` makes the hardware, whose `match_detected` is high after data and their check.
CRC32 = crc.catalog.CRC32_ETHERNET(data_width=8)
