"""`make bench`: rates of the models, generation time and size, and every core's row of figures.

`python tests/bench.py boards` makes the bitstream of every core for every board and prints what it takes; a bitstream
takes minutes, and is kept. `python tests/bench.py synth CORE...` prints the figures of some cores on every target.

Times are of this machine, for comparison within one run; the figures of the tools are their estimates.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bitloom.cores.anda.accumulator import Accumulator, Scaler
from bitloom.cores.anda.pe import Fp16Pe, ParallelPe, SerialPe
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import Design, generate
from bitloom.cores.sevedo.hgq_feed import Drain, Feed
from bitloom.cores.sevedo.hgq_pe import DotProduct
from bitloom.cores.sevedo.hgq_unit import Unit
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.bitstream.build import build
from bitloom.golden.anda import tile as anda_tile
from bitloom.golden.olive import ovp
from bitloom.golden.sat import tile as nm_tile
from bitloom.golden.sevedo import hgq, hgq_tile
from bitloom.golden.systolic import tile as systolic
from bitloom.golden.workloads.product import prepare
from bitloom.hdl.emission.verilog import emit
from bitloom.synth import energy, flow
from bitloom.synth.room import TooSmall
from bitloom.testbench import runner
from bitloom.testbench.sevedo import hgq_stimuli
from bitloom.testbench.systolic import product as gemm_run

TARGETS = ("ice40-up5k", "ice40-hx8k", "ecp5-25k", "ecp5-85k", "gowin-gw1n-9")
#: Configurations of each core; its default one where none is listed.
ROWS = {
    "ovp-decoder": ([], ["normal=flint4"], ["normal=int8"]),
    "ovp-encoder": ([], ["normal=flint4"], ["normal=int8"]),
    "anda-compressor": (["lanes=1"], ["lanes=1", "rounding=nearest"]),
    "anda-decompressor": (["lanes=1"],),
    "anda-buffer": (["lanes=1"],),
    "gemm": (["rows=4", "cols=4", "a_depth=256", "w_depth=256"],),
    "hgq-dequantizer": ([], ["adder=5"]),
    "hgq-tile": (
        ["rows=1", "cols=1", "dot=2"],
        ["rows=2", "cols=2", "dot=2"],
        ["rows=2", "cols=2", "dot=2", "adder=5"],
    ),
    "lvc": (
        ["lanes=2", "columns=2", "max_channels=512", "max_rank=16"],
        ["lanes=4", "columns=2", "max_channels=512"],
    ),
    "sevedo-core": (list(BOARDS["ulx3s-85f"].parameters["sevedo-core"]),),
    "nm-tile": (["rows=4", "cols=4"],),
    "pwl-unit": ([], ["entries=16"], ["kind=rom", "table=gelu-8"]),
    "anda-tile": tuple(
        ["rows=1", "cols=1", "group=16", "max_mantissa=5", "share=1", f"pe={pe}"] for pe in ("anda", "figna", "fp16")
    ),
}


def show(title, columns, rows):
    """Print an aligned table, row by row as they come."""
    print(f"\n{title}")
    widths = [36, *(max(15, len(name) + 2) for name in columns[1:])]
    print("".join(name.rjust(width) for name, width in zip(columns, widths, strict=True)))
    for row in rows:
        print("".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)


def seconds(function):
    """Least of five."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def model_rates():
    """Million values a second of the golden OVP model."""
    x = np.random.default_rng(0).normal(size=(1000, 1000)) * 4
    for fmt in ovp.FORMATS.values():
        codes = ovp.encode(x, fmt)
        yield (
            fmt.name,
            *(
                f"{x.size / seconds(work) / 1e6:.1f}"
                for work in (
                    lambda fmt=fmt: ovp.encode(x, fmt),
                    lambda fmt=fmt, codes=codes: ovp.decode(codes, fmt),
                    lambda fmt=fmt: ovp.round_trip(x, fmt),
                )
            ),
        )


def configurations(names=CATALOGUE):
    """(core, name of the row, config) of every row of some cores."""
    for core in map(lookup, names):
        for assignments in ROWS.get(core.name, ([],)):
            yield core, " ".join([core.name, *assignments]), core.config.parse(assignments)


def generation():
    """Time and size of the Verilog."""
    for core, name, config in configurations():
        design = generate(core, config)
        taken = seconds(lambda core=core, config=config: generate(core, config))
        yield name, f"{taken:.2f}", len(design.verilog), design.manifest["modules"]


def large_generation():
    """What `bitloom generate` takes for tiles of many sides: start of the interpreter, file and tools included."""
    for side in (8, 16, 32, 64, 128):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "tile.v"
            command = [sys.executable, "-m", "bitloom", "generate", "systolic-tile", "-o", str(output)]
            command += ["-p", f"rows={side}", "-p", f"cols={side}"]
            taken = []
            for _ in range(3):
                start = time.perf_counter()
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                # The largest process below the command counts, Yosys.
                _, status, usage = os.wait4(process.pid, 0)
                taken.append(time.perf_counter() - start)
                process.returncode = os.waitstatus_to_exitcode(status)
            yield f"{side}x{side}", f"{min(taken):.2f}", f"{output.stat().st_size:,}", f"{usage.ru_maxrss / 1024:.0f}"


def simulation():
    """What the benches measure."""
    for core, name, config in configurations():
        result = runner.simulate(core, config, seed=1)
        yield (
            name,
            "pass" if result.passed else "FAIL",
            result.transfers,
            result.cycles,
            f"{result.cycles / result.seconds:,.0f}",
        )


def tile_runs():
    """A matrix product through the Verilated tile, as `bitloom run matmul` does it."""
    rng = np.random.default_rng(0)
    m, k, n = 128, 384, 384
    core = lookup("systolic-tile")
    for dataflow in systolic.DATAFLOWS:
        for formats in (["a_format=int8", "w_format=int8"], ["a_format=ovp-int4", "w_format=ovp-flint4"]):
            tile = ["rows=16", "cols=16", "partials=128", f"dataflow={dataflow}"]
            problem = prepare(
                rng.integers(-8, 8, (m, k)), rng.integers(-8, 8, (k, n)), core.config.parse([*tile, *formats])
            )
            result = gemm_run.run(problem.a, problem.w, core.config.parse([*tile, *formats]), k=k)
            name = f"16x16 {dataflow}, {formats[0].partition('=')[2]}"
            verdict = "pass" if result.passed else "FAIL"
            yield name, verdict, result.cycles, f"{result.utilization:.2%}", f"{result.macs_per_second / 1e6:.1f}"


def processing_elements():
    """What a processing element of each pair of formats takes, its share of edges and control included."""
    core = lookup("systolic-tile")
    for a, w in itertools.product(systolic.FORMATS, repeat=2):
        try:
            systolic.check_formats(a, w)
        except ValueError:
            continue  # not defined
        for side, target, part in ((2, "generic", "ice40-hx8k"), (4, "ecp5", "ecp5-85k")):
            fields = {"rows": side, "cols": side, "a_format": a, "w_format": w, "target": target}
            report = flow.synthesize(generate(core, core.config(**fields)), target=part)
            use = {item.name: item.used / side**2 for item in report.uses}
            figures = (f"{use.get(kind, 0):.2f}" for kind in ("LUT4", "FF", "DSP"))
            yield f"{a} x {w}, {side}x{side}", part, *figures, f"{report.fmax_mhz:.0f}"


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


def nm_tiles():
    """N:M tiles beside dense ones of the same size; products of 2:8 and of dense weights a second and LUT4, a ratio."""
    t, k, o = 197, 768, 768
    for side, target, formats in [
        (4, "generic", "int8"),
        *((side, "ecp5", "int8") for side in (4, 8)),
        (4, "ecp5", "int4"),
    ]:
        fields = {"rows": side, "cols": side, "target": target, "a_format": formats, "w_format": formats}
        rates = []
        for name, n in (("systolic-tile", None), ("nm-tile", 2)):
            core = lookup(name)
            config = core.config(**fields)
            report = flow.synthesize(generate(core, config), target="ecp5-85k")
            use = {item.name: item.used for item in report.uses}
            taken = systolic.cycles(config, t, k, o) if n is None else nm_tile.cycles(config, t, k, o, n)
            rates.append(report.fmax_mhz / taken / use["LUT4"])
            figures = (use.get(kind, 0) for kind in ("LUT4", "FF", "DSP"))
            ratio = f"{rates[1] / rates[0]:.2f}" if n else "1"
            yield f"{name} {side}x{side} {formats}, {target}", *figures, f"{report.fmax_mhz:.0f}", taken, ratio


def hgq_areas(liberty):
    """HGQ tiles of one size and rate: where their area is, dequantization in it, and all of it over the flat one's."""
    tile = lookup("hgq-tile").config
    k = 384

    def area(component):
        design = Design("part", "part", emit(component, "part"), (), "clk", "rst", False, {})
        return flow.synthesize(design, liberty=liberty).area.area

    flat = None
    for scheme in ("flat", "hgq", "channel"):
        config = tile(rows=8, cols=8, scheme=scheme)
        places = config.rows * config.cols
        dots = places * area(DotProduct(config))
        dequantization = places // config.unit_lanes * area(Unit(config))
        rest = area(Feed(config)) + area(Drain(config))
        whole = dots + dequantization + rest
        flat = flat or (dequantization, whole)
        yield (
            f"{scheme}, {config.unit_lanes} share",
            *(f"{part:.0f}" for part in (dots, dequantization, rest, whole)),
            f"{dequantization / whole:.1%}",
            f"{hgq_tile.float_operations(config, k):.5f}",
            f"{dequantization / flat[0]:.3f}",
            f"{whole / flat[1]:.3f}",
        )


def hgq_energies(liberty):
    """Switching energy of a product in an HGQ tile's processing element and in its share of a dequantization unit.

    Estimates, with what `synth.energy` leaves out. The netlists' results are held against the golden model.
    """
    rows, cols, steps, warm_up = 8, 32, 512, 24
    whole = None
    for scheme in ("flat", "hgq"):
        config = lookup("hgq-tile").config(rows=rows, cols=8, scheme=scheme)
        x, w = hgq_stimuli.operands(config, rows, cols, steps)
        cycles, results = hgq_stimuli.unit_fields(config, x, w)
        energies = []
        for component, fields, each in (
            (DotProduct(config), list(hgq_stimuli.dot_fields(config, x, w)), 1),
            (Unit(config), cycles, config.unit_lanes),
        ):
            runs = len(fields[0]["en"][0][0])
            stimuli = [
                {name: [bits for part in parts for bits in energy.slices(*part)] for name, parts in ports.items()}
                for ports in fields
            ]
            design = Design("part", "part", emit(component, "part"), (), "clk", "rst", False, {})
            found = energy.switching(design, liberty, stimuli, runs, "o", warm_up)
            products = (len(fields) - warm_up) * runs * each * config.fine
            energies += [found.data / products, found.clock / products]
        expected = hgq.matmul(x, w).view(np.uint32)
        for row, (cycle, first) in enumerate(results):
            values = energy.merge(found.outputs[cycle], runs)[first : first + cols]
            if not np.array_equal(values, expected[row]):
                raise ValueError(f"the netlist of {scheme} differs from the golden model in row {row}")
        whole = whole or (sum(energies[2:]), sum(energies))
        ratios = sum(energies[2:]) / whole[0], sum(energies) / whole[1]
        yield scheme, *(f"{part:.1f}" for part in energies), *(f"{ratio:.3f}" for ratio in ratios)


def pwl_areas(liberty):
    """Piecewise-linear units with tables that are loaded, and what the INT8 one saves of the others."""
    core = lookup("pwl-unit")
    kinds = {"int8": {}, "int32": {"kind": "int32"}, "fp32": {"kind": "fp32"}}
    kinds["fp32, normal numbers only"] = {"kind": "fp32", "specials": False}
    for entries in (8, 16):
        areas = {}
        for name, fields in kinds.items():
            found = flow.synthesize(generate(core, core.config(entries=entries, **fields)), liberty=liberty).area
            areas[name] = found.area
            saved = f"{1 - areas['int8'] / found.area:.1%}"
            yield f"{entries} entries, {name}", f"{found.area:.0f}", found.flip_flops, saved


def synthesis(names=CATALOGUE):
    """Area and Fmax of some cores on every target."""
    for core, name, config in configurations(names):
        design = generate(core, config)
        for target in TARGETS:
            try:
                report = flow.synthesize(design, target=target)
            except TooSmall:
                yield name, target, *["-"] * 3, "too small"
                continue
            use = {item.name: item.used for item in report.uses}
            yield name, target, *(use.get(kind, 0) for kind in ("LUT4", "FF", "DSP")), f"{report.fmax_mhz:.0f}"


#: nextpnr's names of what a table of boards counts; a Gowin ALU is a LUT with a carry, an iCE40 LC has a flip-flop.
RESOURCES = {
    "LUT or LC": ("ICESTORM_LC", "TRELLIS_COMB", "LUT4", "ALU"),
    "FF": ("TRELLIS_FF", "DFF"),
    "block RAM": ("ICESTORM_RAM", "DP16KD", "BSRAM"),
    "DSP": ("ICESTORM_DSP", "MULT18X18D", "MULT9X9", "MULT18X18"),
}


def boards():
    """What the default of every core takes on every board, host link included."""
    with tempfile.TemporaryDirectory() as folder:
        for board, core in itertools.product(BOARDS.values(), CATALOGUE.values()):
            name = f"{core.name}, {board.name}"
            if core.name in board.unfit:
                yield name, *["-"] * (len(RESOURCES) + 1), f"  does not fit: {board.unfit[core.name]}"
                continue
            result = build(core, None, board, folder)
            used = (sum(result.utilization.get(kind, (0, 0))[0] for kind in kinds) for kinds in RESOURCES.values())
            clock = f"{result.fmax_mhz:.0f} ({result.clock_mhz:g})" + ("" if result.met else " NOT MET")
            yield name, *used, clock, "  " + " ".join(board.parameters.get(core.name, ()))


def area(liberty):
    """Area in a cell library."""
    for core, name, config in configurations():
        found = flow.synthesize(generate(core, config), liberty=liberty).area
        yield name, f"{found.area:.1f}", f"{found.nand2_equivalents:.0f}", found.flip_flops


def main():
    """Print every table, or one that is asked for; a Liberty file as the argument adds the ASIC areas."""
    if sys.argv[1:] == ["boards"]:
        columns = ["core, board", *RESOURCES, "Fmax (needed)", "  parameters"]
        show("bitloom build (estimates)", columns, boards())
        return
    synthesized = ["core", "target", "LUT4", "FF", "DSP", "Fmax MHz"]
    if sys.argv[1:2] == ["synth"]:
        show("synthesis (estimates)", synthesized, synthesis(sys.argv[2:] or CATALOGUE))
        return
    show("golden.ovp, million values a second", ["format", "encode", "decode", "round trip"], model_rates())
    show("generation", ["core", "seconds", "bytes", "modules"], generation())
    show("bitloom generate systolic-tile", ["tile", "seconds", "bytes", "MB"], large_generation())
    show("simulation", ["core", "result", "transfers", "cycles", "cycles/s"], simulation())
    columns = ["tile, 128x384x384", "result", "cycles", "utilization", "million MAC/s"]
    show("bitloom run matmul", columns, tile_runs())
    columns = ["systolic-tile", "part", "LUT4/PE", "FF/PE", "DSP/PE", "Fmax MHz"]
    show("a processing element (estimates)", columns, processing_elements())
    columns = ["MiniLM's layers, 128 tokens, M", "fp16 cycles", "anda cycles", "ratio", "signs beside", "ratio"]
    show("anda-tile 16x16 over an FP16 tile", columns, anda_cycles())
    columns = ["ecp5-85k (estimates)", "LUT4", "FF", "DSP", "Fmax MHz", "cycles", "rate per LUT4"]
    show("768x768 weights, 2:8 on nm-tile over dense on systolic-tile, 197 tokens", columns, nm_tiles())
    show("synthesis (estimates)", synthesized, synthesis())
    for liberty in map(Path, sys.argv[1:]):
        show(f"area in {liberty.name}", ["core", "area", "NAND2", "FF"], area(liberty))
        columns = ["processing element", "area", "products/cycle", "area over fp16", "products per area"]
        show(f"anda's processing elements in {liberty.name}", columns, anda_areas(liberty))
        columns = ["scheme", "dot products", "dequantization", "rest", "tile", "its share", "FP ops/MAC"]
        columns += ["dequant. ratio", "tile ratio"]
        show(f"hgq-tile 8x8, K = 384, in {liberty.name}", columns, hgq_areas(liberty))
        columns = ["scheme", "dot product", "its clock", "dequantization", "its clock", "dequant. ratio", "both, ratio"]
        show(f"hgq-tile, fJ a product (estimates), in {liberty.name}", columns, hgq_energies(liberty))
        columns = ["pwl-unit", "area", "FF", "saved by INT8"]
        show(f"piecewise-linear units in {liberty.name}", columns, pwl_areas(liberty))


if __name__ == "__main__":
    main()
