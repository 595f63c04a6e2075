"""Anda's tile: its cycles on MiniLM, and the areas of its processing elements."""

from bitloom.cores.anda.accumulator import Accumulator, Scaler
from bitloom.cores.anda.pe import Fp16Pe, ParallelPe, SerialPe
from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import Design
from bitloom.golden.anda import tile as anda_tile
from bitloom.hdl.emission.verilog import emit
from bitloom.synth import flow

from .tables import Table

#: MiniLM's linear layers, K and N, in the order of a combination of mantissa lengths; Q, K and V side by side.
MINILM = ((384, 3 * 384), (384, 384), (384, 4 * 384), (4 * 384, 384))


def anda_cycles():
    """Cycles of MiniLM's layers on a 16x16 Anda tile over an FP16 tile of 4 products a cycle in each place."""
    tile = lookup("anda-tile").config
    tokens, size = 128, {"rows": 16, "cols": 16, "adder": 3}
    baseline = tile(**size, pe="fp16", lanes=16)
    whole = sum(anda_tile.cycles(baseline, tokens, k, n) for k, n in MINILM)
    # Those that `bitloom search anda` finds, cut and rounded to nearest, and a few that are the same everywhere.
    for combination in ((7, 7, 6, 6), (5, 3, 5, 4), (4,) * 4, (7,) * 4, (13,) * 4):
        row = [",".join(map(str, combination)), whole]
        for signs in anda_tile.SIGNS:
            config = tile(**size, signs=signs)
            lengths = zip(MINILM, combination, strict=True)
            cycles = sum(anda_tile.cycles(config, tokens, k, n, length) for (k, n), length in lengths)
            row += [cycles, f"{whole / cycles:.2f}"]
        yield row


def anda_areas(liberty):
    """Processing elements with their share of a floating-point unit, and the area of a product a cycle over FP16's."""
    tile = lookup("anda-tile").config

    def area(component, name):
        design = Design(name, name, emit(component, name), (), "clk", "rst", False, {})
        return flow.synthesize(design, liberty=liberty).area.area

    for share in (4, 1):
        units = {}
        for pe in ("fp16", "figna", "anda"):
            config = tile(rows=4, pe=pe, share=share, adder=3)
            element = {"fp16": Fp16Pe, "figna": ParallelPe, "anda": SerialPe}[pe](config)
            # An FP16 processing element serves `share` rows in turn, so the whole of its accumulators is its own.
            shared = 1 if pe == "fp16" else share
            floating = area(Accumulator(config), "accumulator")
            if pe != "fp16":
                floating += area(Scaler(config), "scaler")
            units[pe] = area(element, "element") + floating / shared
            rates = {"fp16": 4, "figna": 4}
            for mantissa in (4, 7, 13, 15) if pe == "anda" else (None,):
                rate = rates.get(pe) or config.group / anda_tile.group_cycles(config, mantissa)
                ratio = units[pe] / rate / (units["fp16"] / 4)
                name = f"{pe}, {share} share" + (f", M = {mantissa}" if mantissa else "")
                yield name, f"{units[pe]:.0f}", f"{rate:.2f}", f"{ratio:.3f}", f"{1 / ratio:.2f}"


CYCLES = Table(
    "anda-cycles",
    "anda-tile 16x16 over an FP16 tile",
    ("MiniLM's layers, 128 tokens, M", "fp16 cycles", "anda cycles", "ratio", "signs beside", "its ratio"),
    anda_cycles,
    units={"signs beside": "cycles"},
)
AREAS = Table(
    "anda-areas",
    "anda's processing elements",
    ("processing element", "area", "products/cycle", "area over fp16", "products per area"),
    anda_areas,
    units={"area": "the library's unit"},
    tools=("yosys",),
    estimates=True,
    liberty=True,
)
