"""Designs that were generated before: kept by what decides them, as elaborating a large core takes a second."""

import dataclasses
import hashlib
import importlib.metadata
import json

from ..golden import strict_json
from ..tools import caches, finding, sources, texts
from .catalogue import CATALOGUE
from .generate import Design, Port, generate

__all__ = ["kept_design"]

#: Folders of the package whose code decides what is generated.
_ROOMS = ("cores", "golden", "hdl", "tools")


def kept_design(core, config):
    """What `generate` gives for a core of the catalogue with streams, or gave before with the same code and tools.

    Parameters
    ----------
    core : Core
        Entry of the catalogue; of another core the code is not known, and it is generated.
    config : Config
        Of the type `core.config`.

    Returns
    -------
    Design

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As `generate`.
    """
    if CATALOGUE.get(core.name) is not core:
        return generate(core, config)
    yosys = finding.find("yosys")
    key = [sources.digest(*_ROOMS), importlib.metadata.version("amaranth"), yosys.key, yosys.version]
    key += [core.name, config.assignments(all_fields=True)]
    digest = hashlib.sha256(strict_json.dumps(key).encode()).hexdigest()
    text = texts.kept(
        caches.cache_dir("designs") / f"{digest}.gz",
        lambda: strict_json.dumps(dataclasses.asdict(generate(core, config))),
    )
    fields = json.loads(text)
    return Design(**fields | {"ports": tuple(Port(**port) for port in fields["ports"])})
