"""Made-up files of figures."""

from bitloom.cores.sheet import measured

__all__ = ["figures", "row", "write"]


def row(core, target, luts, mhz, **more):
    """A row of a core in its default configuration on a part; without LUTs it does not fit."""
    uses = {} if luts is None else {"LUT4": luts, "FF": 100, "DSP": 0}
    return {"core": core, "target": target, "parameters": [], "uses": uses, "fmax_mhz": mhz, "tools": "Yosys 1"} | more


def figures(release, *rows, boards=()):
    """A release with rows on parts, and on boards."""
    common = {"title": "t", "command": "c", "units": {}, "estimates": True}
    tables = {"synth": common | {"key": ["core", "parameters", "target"], "rows": list(rows)}}
    if boards:
        tables["boards"] = common | {"key": ["core", "board"], "rows": list(boards)}
    return {"release": release, "tables": tables}


def write(folder, release, *rows, **more):
    """Write such a release into a folder; its path."""
    path = folder / f"{release}.json"
    measured.write(path, figures(release, *rows, **more))
    return path
