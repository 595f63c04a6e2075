"""The N:M tile beside the dense one."""

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.golden.sat import tile as nm_tile
from bitloom.golden.systolic import tile as systolic
from bitloom.synth import flow

from .tables import Table


def nm_tiles():
    """N:M tiles beside dense ones of the same size; products of 2:8 and of dense weights a second and LUT4, a ratio."""
    t, k, o = 197, 768, 768
    for side, family, formats in [
        (4, "generic", "int8"),
        *((side, "ecp5", "int8") for side in (4, 8)),
        (4, "ecp5", "int4"),
    ]:
        fields = {"rows": side, "cols": side, "target": family, "a_format": formats, "w_format": formats}
        rates = []
        for name, n in (("systolic-tile", None), ("nm-tile", 2)):
            core = lookup(name)
            config = core.config(**fields)
            report = flow.synthesize(generate(core, config), "ecp5-85k")
            use = {item.name: item.used for item in report.uses}
            taken = systolic.cycles(config, t, k, o) if n is None else nm_tile.cycles(config, t, k, o, n)
            rates.append(report.fmax_mhz / taken / use["LUT4"])
            figures = (use.get(kind, 0) for kind in ("LUT4", "FF", "DSP"))
            ratio = f"{rates[1] / rates[0]:.2f}" if n else "1"
            yield f"{name} {side}x{side} {formats}, {family}", *figures, f"{report.fmax_mhz:.0f}", taken, ratio


TILES = Table(
    "nm-rates",
    "768x768 weights, 2:8 on nm-tile over dense on systolic-tile, 197 tokens",
    ("ecp5-85k (estimates)", "LUT4", "FF", "DSP", "Fmax MHz", "cycles", "rate per LUT4"),
    nm_tiles,
    tools=("yosys", "nextpnr-ecp5"),
    estimates=True,
)
