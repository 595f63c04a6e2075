# amaranth: UnusedElaboratable=no
"""What the host must know of a core before it talks to a board, and the board top without a board."""

import json
from dataclasses import dataclass

from ...cores.catalogue import Core, lookup
from ...cores.config import Config
from ...hdl.emission.verilog import emit
from ..bitstream.build import core_identity
from ..link.core import LinkTop
from ..link.map import LinkMap, link_map

__all__ = ["TWIN_BAUD", "TWIN_DIVISOR", "HeldCore", "described", "expected", "twin_storage", "twin_top"]

#: Of a twin: clock cycles of a bit, as few as there can be, and the rate that its terminal is opened with.
TWIN_DIVISOR, TWIN_BAUD = 4, 1_000_000


@dataclass(frozen=True)
class HeldCore:
    """A core as a board holds it.

    Attributes
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the core.
    channels : LinkMap
        Its streams, settings and flags.
    identity : dict
        What the board says of itself, as `host.Link.hello` takes it.
    """

    core: Core
    config: Config
    channels: LinkMap
    identity: dict


def expected(core, config):
    """What is expected of a board with a core.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.

    Returns
    -------
    HeldCore

    Raises
    ------
    ValueError
        If the core cannot be behind the link.
    """
    channels = link_map(core.component(config))
    return HeldCore(core, config, channels, json.loads(core_identity(core, config)))


def described(identity):
    """The core that a board says it holds.

    Parameters
    ----------
    identity : dict
        As `host.Link.hello` gives it.

    Returns
    -------
    HeldCore

    Raises
    ------
    ValueError
        If this bitloom has no such core, or not with these parameters.
    """
    core = lookup(identity["core"])
    return expected(core, core.config.parse(identity["parameters"]))


def twin_top(core, config):
    """Verilog of the board top with a core, and of its SDRAM if it has one; and the name of its top module."""
    name = f"{core.name.replace('-', '_')}_twin"
    top = LinkTop(core.component(config), core_identity(core, config), TWIN_DIVISOR * TWIN_BAUD, TWIN_BAUD)
    if twin_storage(config) is not None:
        # Not above: few sessions have an SDRAM, and what it needs takes long to import.
        from .sdram_board import SdramBoard

        top = SdramBoard(top, config)
    return emit(top, name), name


def twin_storage(config):
    """The argument `storage` of `twin.build` for a core."""
    if getattr(config, "memory", None) != "sdram":
        return None
    return (config.timing.bits // config.timing.data_bits - 1).bit_length()
