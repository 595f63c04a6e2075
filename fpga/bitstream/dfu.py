"""Bitstreams for bootloaders that speak USB DFU (Device Firmware Upgrade 1.1): the suffix that says for whom they are.

amaranth-boards calls the program dfu-suffix for it; 16 bytes need no program.
"""

import struct
import zlib

__all__ = ["SUFFIX", "with_suffix", "without_program"]

#: Bytes of the suffix.
SUFFIX = 16


def with_suffix(content, vendor, product):
    """A file with its suffix (DFU 1.1, appendix B).

    Parameters
    ----------
    content : bytes
        The file.
    vendor, product : int
        USB IDs of the bootloader.
    """
    # Any version of the device; version 1.0 of the format; the check is that of zlib, not inverted at its end.
    content += struct.pack("<4H3sB", 0xFFFF, product, vendor, 0x0100, b"UFD", SUFFIX)
    return content + struct.pack("<I", zlib.crc32(content) ^ 0xFFFFFFFF)


def without_program(platform):
    """The platform class `platform`, whose last command is dfu-suffix, without that command."""

    class PlainPlatform(platform):
        required_tools = property(lambda self: super().required_tools[:-1])
        command_templates = property(lambda self: super().command_templates[:-1])

    return PlainPlatform
