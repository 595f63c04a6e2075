"""The columns of the comparison: one list for the page's tables and for the CSV file."""

from collections.abc import Callable
from dataclasses import dataclass

from . import figures
from .measures import measure

__all__ = ["Column", "base", "comparing", "measured", "whole"]

#: Resources that the page's table has; the others are in the sections of the rows, and in the files.
_RESOURCES = ("LUT4", "FF", "DSP", "block RAM", "EBRAM")


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    name : str
        In the CSV file, with its unit.
    title, group : str
        On the page; the columns of a group share a head.
    about : str
        One line.
    value : callable
        Of a record; a number, a text, or None.
    form : callable
        Number to text of the page.
    page : bool
        Whether the page's tables have it.
    """

    name: str
    title: str
    group: str
    about: str
    value: Callable
    form: Callable = str
    page: bool = True

    @property
    def number(self):
        """Whether its values are numbers."""
        return self.form is not str


def whole(value):
    """Digits in threes."""
    return f"{value:,.0f}"


def three(value):
    """Three digits that count, or more before the point."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}" if abs(value) >= 0.01 or not value else f"{value:.2e}"


def _fixed(digits, unit=1, sign=""):
    return lambda value: f"{value / unit:,.{digits}f}{sign}"


def _in(unit):
    return lambda value: three(value / unit)


def base(records):
    """The record that others are compared with: int8, or else the first one."""
    return next((record for record in records if record["row"] == "int8"), records[0])


def measured(records):
    """What was measured of each row."""
    return [
        Column("row", "row", "", "number format and system", lambda r: r["row"]),
        Column("core", "core", "", "name in the catalogue", lambda r: r["core"] or "none"),
        *_scores(records),
        Column("weight_bits", "W", "bits", "bits of a weight in memory, scales included", *_key("weight_bits", 2)),
        Column("activation_bits", "A", "bits", "bits of an activation in memory", *_key("activation_bits", 2)),
        Column("bytes_per_pass", "MB", "a pass", "all operands once", lambda r: r["bytes"], _fixed(2, 1e6)),
        Column("products_per_pass", "M products", "a pass", "products", lambda r: r["products"], _fixed(1, 1e6)),
        Column("cycles_per_pass", "M cycles", "a pass", "cycles without stalls", lambda r: r["cycles"], _fixed(2, 1e6)),
        Column(
            "utilization",
            "busy",
            "a pass",
            "share of the multipliers' cycles that make products",
            lambda r: r["utilization"],
            "{:.1%}".format,
        ),
        *_through(records),
        *_part(records),
        *_cells(records),
    ]


def _key(name, digits):
    return lambda r: r[name], _fixed(digits)


def _scores(records):
    for key, group in (("scores", "accuracy"), ("integer_scores", "accuracy, integer units")):
        names = dict.fromkeys(name for record in records for name in record.get(key) or {})
        for name in names:
            prefix = "score" if key == "scores" else "integer_score"
            about = measure(name).about
            yield Column(f"{prefix}_{name}", name, group, about, _score(key, name), _fixed(4))


def _score(key, name):
    return lambda record: (record.get(key) or {}).get(name)


def _through(records):
    if not any("rtl" in record for record in records):
        return
    about = "products that went through the Verilated core and were compared with the golden model"
    yield Column("rtl_products", "products", "RTL", about, lambda r: (r.get("rtl") or {}).get("products"), whole)
    yield Column("rtl_failures", "differ", "RTL", "products whose results or cycles differ", _failures, whole)

    units = "results of softmax, GELU and LayerNorm that came out of their Verilated units and were compared"
    yield Column("rtl_unit_operations", "unit results", "RTL", units, _sum("operations"), whole)
    yield Column(
        "rtl_unit_cycles", "unit cycles", "RTL", "cycles of the integer units", _sum("cycles"), whole, page=False
    )
    differ = "runs of the integer units whose results or cycles differ"
    yield Column("rtl_unit_failures", "units differ", "RTL", differ, _unit_failures, whole)


def _sum(key):
    return lambda record: sum(unit[key] for unit in _run_units(record)) if _run_units(record) else None


def _unit_failures(record):
    return sum(len(unit["failures"]) for unit in _run_units(record)) if _run_units(record) else None


def _run_units(record):
    return (record.get("rtl") or {}).get("units", {}).values()


def _failures(record):
    return len(record["rtl"]["failures"]) if record.get("rtl") else None


def _part(records):
    names = dict.fromkeys(name for record in records for name in (record.get("fpga") or {}).get("uses") or {})
    group = figures.one(records, "fpga", "part") or "FPGA"
    yield Column("part", "part", group, "FPGA", lambda r: (r.get("fpga") or {}).get("part"), page=False)
    for name in names or ("LUT4",):
        plain = name.lower().replace(" ", "_")
        yield Column(f"fpga_{plain}", name, group, f"{name} of the core", _use(name), whole, page=name in _RESOURCES)
    yield Column("fmax_mhz", "MHz", group, "highest clock, an estimate", figures.clock, three)


def _use(name):
    return lambda record: figures.uses(record, name)


def _cells(records):
    library = figures.one(records, "area", "library") or "cells"
    yield Column(
        "area_library", "library", library, "cells", lambda r: (r.get("area") or {}).get("library"), page=False
    )
    yield Column(
        "area", "k area", library, "area of the cells, in thousands of the library's unit", figures.area, _in(1e3)
    )
    yield from _energies()


def _energies():
    group, token = "energy", "energy a token"
    data, clock = "switching energy of a product, all nets but the clock", "of the clock pins, for a product"
    yield Column("data_energy_per_product_fj", "fJ data", group, data, figures.data_energy, three)
    yield Column("clock_energy_per_product_fj", "fJ clock", group, clock, figures.clock_energy, three)
    yield Column("energy_per_product_fj", "fJ", group, "switching energy of a product, both", figures.energy, three)
    yield Column("energy_per_pass_uj", "µJ a pass", group, "of all products", figures.pass_energy, three)
    switching, moved = figures.switching_token_energy, figures.byte_token_energy
    yield Column("switching_energy_per_token_uj", "µJ switching", token, "of a token's products", switching, three)
    yield Column("byte_energy_per_token_uj", "µJ bytes", token, "bytes at a stated energy each", moved, three)
    yield Column("energy_per_token_uj", "µJ", token, "switching and bytes", figures.token_energy, three)


def comparing(records):
    """What lets rows be compared: rates, and the three normalizations."""
    first = base(records)
    same = "same elements"
    area, lut = f"area of {first['row']}", f"LUT4 of {first['row']}"
    speed = f"throughput of {first['row']}"

    def relative(function):
        return lambda r: figures.ratio(function(r), function(first))

    def per(size):
        return lambda r: figures.ratio(figures.product_rate(r), size(r))

    def scaled(size):
        return lambda r: figures.scaled(r, first, size)

    def cost(size):
        return lambda r: figures.cost(r, first, size)

    return [
        Column("passes_per_second", "passes/s", "one core", "highest clock by cycles of a pass", figures.passes, three),
        Column(
            "products_per_second_per_lut4",
            "k products/s / LUT4",
            "one core",
            "thousands of products a second and look-up table",
            per(figures.luts),
            _in(1e3),
        ),
        Column(
            "products_per_second_per_area",
            "k products/s / area",
            "one core",
            "thousands of products a second and unit of area, at the clock of the part",
            per(figures.area),
            _in(1e3),
        ),
        Column(
            "speed_same_elements_same_clock",
            "same clock",
            same,
            "speed of a core as configured, at one clock",
            lambda r: figures.ratio(first["cycles"], r["cycles"]),
            _fixed(2, sign="×"),
        ),
        Column(
            "speed_same_elements",
            "own clock",
            same,
            "speed of a core as configured, each at its highest clock",
            relative(figures.passes),
            _fixed(2, sign="×"),
        ),
        Column("passes_per_second_same_area", "passes/s", area, "of so many cores", scaled(figures.area), three),
        Column("passes_per_second_same_lut4", "passes/s", lut, "of so many cores", scaled(figures.luts), three),
        Column("area_same_throughput", "k area", speed, "of so many cores", cost(figures.area), _in(1e3)),
        Column("lut4_same_throughput", "LUT4", speed, "of so many cores", cost(figures.luts), whole),
        Column(
            "power_same_throughput_mw",
            "mW",
            speed,
            "switching power of the products at that throughput",
            lambda r: _power(r, first),
            three,
        ),
    ]


def _power(record, first):
    pass_energy, rate = figures.pass_energy(record), figures.passes(first)
    return None if pass_energy is None or rate is None else pass_energy * rate / 1e3
