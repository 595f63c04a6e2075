"""The parts of a sheet that tell figures of long work: cost on each part and board, proofs, mutation score."""

from . import html, measured

__all__ = ["checks", "cost"]


def cost(sheet, text):
    """Kept figures of area and speed; what was not measured says so."""
    name = sheet.core.name
    synthesis, boards, area = (measured.rows(table, name) for table in ("synth", "boards", "area"))
    rows = [
        (row["target"], _parameters(row), _uses(row), _mhz(row), row["tools"], _date(row))
        for row in (*synthesis, *(_missing(name, synthesis)))
    ]
    pieces = [html.paragraph(_ALONE)]
    pieces.append(html.table(["part", "parameters", "resources", "Fmax, MHz", "tools", "date"], rows))
    pieces.append(html.paragraph("Behind the host link of a board, the whole bitstream: nextpnr's estimates."))
    rows = [
        (row["board"], _parameters(row), _uses(row), f"{_mhz(row)} of {row['clock_mhz']:g}", row["tools"], _date(row))
        for row in boards
    ]
    pieces.append(
        html.table(["board", "parameters", "resources", "Fmax of clock, MHz", "tools", "date"], rows or [_NONE])
    )
    pieces.append(html.paragraph("In standard cells, without wires: an estimate of Yosys."))
    rows = [
        (row["library"], _parameters(row), f"{row['area']:,.0f}", f"{row['flip_flops']:,}", row["tools"], _date(row))
        for row in area
    ]
    columns = ["library", "parameters", "area, square micrometres", "flip-flops", "tools", "date"]
    pieces.append(html.table(columns, rows or [_NONE]))
    return "\n".join(pieces)


_ALONE = (
    "The core alone, out of context: estimates of synthesis, place and route, not of a board. A copied figure is of a "
    "table of that day, and was not measured again since."
)
_NONE = ("not measured", "", "", "", "", "")


def _missing(core, rows):
    """A row for each part on which the default was not measured."""
    had = {row["target"] for row in rows if not row["parameters"]}
    blank = {"parameters": [], "uses": {}, "fmax_mhz": None, "tools": "", "date": ""}
    return [blank | {"target": target} for target in measured.TARGETS if target not in had]


def _date(row):
    """The day of a figure; a copied one is of a table of that day, and was not measured again since."""
    return f"{row['date']}, copied" if row.get("copied") else row["date"]


def _parameters(row):
    return f"`{' '.join(row['parameters'])}`" if row["parameters"] else "default"


def _uses(row):
    if "why" in row:
        return row["why"]
    return ", ".join(f"{used:,} {name}" for name, used in row["uses"].items() if used) or "not measured"


def _mhz(row):
    return "-" if row["fmax_mhz"] is None else f"{row['fmax_mhz']:.0f}"


def checks(sheet, text):
    """Proofs, and the score of the bench on mutants."""
    name = sheet.core.name
    proofs = [(row["what"], f"`{row['test']}`") for row in measured.proofs(name)]
    pieces = [
        html.paragraph("Proved for all inputs and all times, unless it says less, by SymbiYosys or by structure:")
    ]
    pieces.append(html.table(["property", "test"], proofs or [("none", "")]))
    mutants = [
        (_parameters(r), r["mutants"], r["killed"], r["equivalent"], r["survived"], f"{r['score']:.1%}", _date(r))
        for r in measured.rows("mutation", name)
    ]
    pieces.append(
        html.paragraph("Small faults that were put into the Verilog (`bitloom mutate`), and what became of them:")
    )
    columns = ["parameters", "mutants", "killed by the bench", "equivalent", "survived", "score", "date"]
    pieces.append(html.table(columns, mutants or [("not measured", *[""] * 6)]))
    return "\n".join(pieces)
