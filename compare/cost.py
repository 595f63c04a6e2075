"""What the core of a row costs: on an FPGA, and in a library of standard cells. Estimates of Yosys and nextpnr."""

from dataclasses import replace

from ..cores.catalogue import lookup
from ..cores.generate import generate
from ..golden.workloads.comparison import rows
from ..hdl.primitives import FAMILIES
from ..synth import asic, flow, parts
from ..synth.liberty import Library, read
from ..synth.room import TooSmall

__all__ = ["area", "configuration", "fpga"]


def configuration(row):
    """The configuration of a row's core.

    Parameters
    ----------
    row : Row

    Returns
    -------
    Config or None
        None for a row without a core.
    """
    scheme = row.scheme()
    if scheme.core is None:
        return None
    return lookup(scheme.core).config(**scheme.parameters | row.size)


def fpga(name, part, more=None):
    """Resources and clock of a row's core.

    Where a core can name the part's own blocks, it does; what else it would choose for them stays, and so do its
    cycles.

    Parameters
    ----------
    name : str
        Of the row, as of `rows.lookup`.
    part : str
        As of `synth.parts.PARTS`.
    more : path, optional
        As of `rows.table`.

    Returns
    -------
    dict or None
        None without a core. `part`; `uses`, by resource; `fmax_mhz`, of seed 1, out of context; `tools`, names and
        versions. A core that does not fit has `why` in place of the last three.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As `flow.synthesize`.
    """
    row = rows.lookup(name, more)
    config, family = configuration(row), parts.lookup(part).flow.family
    if config is None:
        return None
    if hasattr(config, "target") and family in FAMILIES:
        config = replace(config, target=family, **config.decided())
    try:
        report = flow.synthesize(generate(lookup(row.scheme().core), config), part)
    except TooSmall as error:
        return {"part": part, "why": str(error)}
    uses = {use.name: use.used for use in report.uses}
    return {"part": part, "uses": uses, "fmax_mhz": report.fmax_mhz, "tools": report.tools}


def area(name, liberty, more=None):
    """Area of a row's core, without its memories of more than `macros.LIMIT` bits; smaller ones are flip-flops.

    Parameters
    ----------
    name : str
        Of the row, as of `rows.lookup`.
    liberty : path or Library
        A Liberty file, or what was read of it.
    more : path, optional
        As of `rows.table`.

    Returns
    -------
    dict or None
        None without a core. `library`; `area`, in the library's units, and in its NAND2 gates, `nand2`; `tools`.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As `flow.synthesize`.
    """
    row = rows.lookup(name, more)
    config = configuration(row)
    if config is None:
        return None
    library = liberty if isinstance(liberty, Library) else read(liberty)
    report = asic.measure_area(generate(lookup(row.scheme().core), config), library, keep=True)
    cells = report.area
    return {"library": cells.library, "area": cells.area, "nand2": cells.nand2_equivalents, "tools": report.tools}
