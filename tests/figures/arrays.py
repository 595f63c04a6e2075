"""Arrays of INT8 multipliers on an FPGA, in GMAC/s, beside one that is written plainly."""

from dataclasses import replace

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.synth import flow
from bitloom.synth.seeds import Seeds

from .plain_array import PlainArray
from .tables import Table

_PART, _SEEDS = "ecp5-85k", 3
_STALLING, _RUNNING = {"pipeline": "stalling"}, {"pipeline": "free-running", "block": 2}
_ARRAYS = {
    "plain": (True, {}),
    "portable, stalling": (False, _STALLING),
    "stalling": (False, {"target": "ecp5", **_STALLING}),
    "free-running": (False, {"target": "ecp5", **_RUNNING}),
}


def arrays():
    """All arrays, without flags of overflow, as the plain one has none."""
    tile = lookup("systolic-tile")
    for side in (4, 8):
        for name, (plain, fields) in _ARRAYS.items():
            config = tile.config(rows=side, cols=side, accumulator=32, overflow=False, **fields)
            core = replace(tile, component=PlainArray) if plain else tile
            design = generate(core, config)
            found = Seeds(tuple(flow.synthesize(design, _PART, seed=seed) for seed in range(1, _SEEDS + 1)))
            use = {item.name: item.used for item in found.best.uses}
            rate = found.median_mhz * side**2 / 1000
            figures = f"{found.median_mhz:.0f}", f"{rate:.2f}", f"{rate / use['LUT4'] * 1000:.2f}"
            yield f"{name}, {side}x{side}", *(use[kind] for kind in ("LUT4", "FF", "DSP")), *figures


ARRAYS = Table(
    "arrays",
    f"arrays of INT8 on {_PART}, 32 bits, median of seeds 1 to {_SEEDS} (estimates)",
    ("array", "LUT4", "FF", "DSP", "Fmax MHz", "GMAC/s", "GMAC/s/kLUT"),
    arrays,
    units={"GMAC/s": "1e9/s", "GMAC/s/kLUT": "1e9/s"},
    tools=("yosys", "nextpnr-ecp5"),
    estimates=True,
    rare=True,
)
