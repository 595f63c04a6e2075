"""How the numbers were made, what they leave out, and how to make them again."""

import shlex
from collections import Counter
from pathlib import Path

from ...golden.workloads.comparison.rows import ROWS
from ..energy import BYTE_ENERGY
from ..measure import failures
from . import figures

__all__ = ["command", "model", "notes", "through", "tools"]


def model(run):
    """What the model is called: of a file or folder its name alone, wherever it is."""
    return Path(run["model"]).name


def through(run):
    """The records of rows that went through their cores."""
    return [record for record in run["rows"] if record.get("rtl")]


def command(run):
    """The command line that makes the report again."""
    words = ["bitloom", "compare", model(run)]
    names = [record["row"] for record in run["rows"]]
    if names != [*ROWS]:
        words += ["--rows", ",".join(names)]
    if through(run):
        words += ["--on", "rtl"]
    for option in ("inputs", "tokens"):
        if run.get(option) is not None:
            words += [f"--{option}", str(run[option])]
    if part := figures.one(run["rows"], "fpga", "part"):
        words += ["--part", part]
    if library := figures.one(run["rows"], "area", "library"):
        words += ["--liberty", f"{library}.lib"]
    byte = figures.one(run["rows"], "energy", "byte_pj")
    if byte is not None and byte != BYTE_ENERGY:
        words += ["--byte-energy", f"{byte:g}"]
    if {*names} - {*ROWS}:
        words += ["--more", "rows.py"]
    return shlex.join([*words, "-o", "report"])


def tools(run):
    """Tools and versions that the records name, one text each."""
    told = {}
    for record in run["rows"]:
        for part in ("fpga", "area", "energy"):
            named = (record.get(part) or {}).get("tools") or {}
            told |= named if isinstance(named, dict) else dict.fromkeys([str(named)], "")
    return [f"{'Yosys' if name == 'yosys' else name} {version}".strip() for name, version in told.items()]


def notes(run):
    """Sentences, in which words between backquotes are code."""
    return [*_work(run["rows"]), *_simulated(run), *_estimates(run["rows"]), *_missing(run["rows"])]


def _work(records):
    yield (
        "Linear layers and both products of attention are computed as each system does, to the bit; all else stays in "
        "floating point."
    )
    if any(record.get("integer_scores") for record in records):
        yield "In the columns of integer units softmax, GELU and LayerNorm are those of GQA-LUT."
    if own := [record["row"] for record in records if record["row"] not in ROWS]:
        yield f"Of a file of the user's own: {_list(own)}."
    yield (
        "A pass is all inputs of the first measure. Its cycles are those of one core of the row's size, one product "
        "after the other, without stalls."
    )
    if outside := [record["row"] for record in records if not record["attends"]]:
        yield (
            f"The core of {_list(outside)} takes no product of two activations: attention is outside of it, in "
            "floating point, and neither its cycles nor its bytes are counted."
        )
    if alone := [record["row"] for record in records if record["core"] is None]:
        yield f"No core here takes the codes of {_list(alone)}: there is accuracy alone, without cycles and cost."
    if bound := [record["row"] for record in records if record["core"] == "sevedo-core"]:
        yield (
            f"Cycles of {_list(bound)} are a bound that the core does not go below: its parts wait for each other. Its "
            "codes are those of the residual path."
        )
    yield (
        "Bits are those of the values in memory, scales of groups included; a scale of a whole row or tensor is left "
        "out. Megabytes are all operands of a pass, once each."
    )


def _simulated(run):
    records = through(run)
    if not records:
        yield "No product went through a simulated core in this run: `--on rtl` does that."
        return
    equal = [record for record in records if not failures(record)]
    count = sum(record["rtl"]["products"] for record in equal)
    if equal:
        yield (
            f"All {count:,} matrix products of {_rows(len(equal))} went through the Verilated cores: every result is "
            "the golden model's to the bit, and the cycles are what its formula, or bound, says."
        )
    if units := [unit for record in equal for unit in record["rtl"].get("units", {}).values()]:
        yield (
            f"So are {sum(unit['operations'] for unit in units):,} results of softmax, GELU and LayerNorm, which went "
            "through their Verilated units, and the cycles of these; LayerNorm's scale and shift of channels are the "
            "host's."
        )
    for record in records:
        for failure in failures(record)[:1]:
            yield f"{record['row']} differs from the golden model: {failure}"


def _estimates(records):
    if any(figures.clock(record) for record in records):
        yield (
            "Look-up tables and clocks are estimates of Yosys and nextpnr for the core alone, without pins and "
            "neighbours; no board was measured."
        )
    for record in records:
        if why := (record.get("fpga") or {}).get("why"):
            yield f"The core of {record['row']} does not fit on the part: {why}"
    if any(figures.area(record) for record in records):
        yield (
            "Areas are sums of Yosys' cells in the library's unit, for sky130 square micrometres, without wires. This "
            "flow gives no clock: what is divided by area has the clock of the FPGA."
        )
    if any(figures.energy(record) for record in records):
        yield (
            "Switching energies are estimates of what input pins of cells take as they switch, with operands of the "
            "model, without wires, glitches and leakage: they compare rows, and are no power of a chip. The clock's "
            "pins switch in all cycles of a pass."
        )
    yield from _energies(records)


def _energies(records):
    for record in records:
        made = record.get("energy") or {}
        if memories := made.get("memories"):
            bits = sum(memory["words"] * memory["width"] for memory in memories)
            yield (
                f"Area and switching energy of {record['row']} leave out its memories of {bits:,} bits, which an ASIC "
                f"has macros for: {_memories(memories)}."
            )
        for failure in made.get("failures", ())[:1]:
            yield f"The switching energy of {record['row']} is not known: {failure}."
    if (byte := figures.one(records, "energy", "byte_pj")) is not None:
        yield f"That a byte which is moved costs {byte:g} pJ is an assumption, not measured."


def _memories(memories):
    counts = Counter(
        "{words:,} words of {width} bits with {reads} read and {writes} write ports".format_map(memory)
        for memory in memories
    )
    return ", ".join(f"{count} of {each}" for each, count in counts.items())


def _missing(records):
    for name, part in (("clock and size on an FPGA", "fpga"), ("area of cells", "area"), ("energy", "energy")):
        rows = [record["row"] for record in records if record["core"] and not record.get(part)]
        if rows:
            where = "any row" if len(rows) == len(records) else _list(rows)
            yield f"Not measured: {name} of {where}."


def _rows(count):
    return "1 row" if count == 1 else f"{count} rows"


def _list(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
