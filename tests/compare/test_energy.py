"""Switching energy of a row's whole core, with operands of a toy encoder."""

import contextlib
import json
from types import SimpleNamespace

import liberty_files
import numpy as np
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import energy as measuring
from bitloom.compare import kept as keeping
from bitloom.compare import run
from bitloom.golden.workloads.comparison import apply, models, operands, rows
from bitloom.synth import liberty

OWN = """
from bitloom.golden.workloads.comparison.integers import IntegerScheme
from bitloom.golden.workloads.comparison.rows import Row

ROWS = [Row("tiny", "integers on a tiny tile", lambda: IntegerScheme("int4"), {"rows": 1, "cols": 2})]
"""

MEMORIES = """
from bitloom.golden.workloads.comparison.lowrank import SevedoScheme
from bitloom.golden.workloads.comparison.rows import Row

SIZE = {"rows": 1, "cols": 1, "lanes": 4, "columns": 2, "max_channels": 64, "max_outputs": 64}
ROWS = [Row("memories", "a core that has some", lambda: SevedoScheme(4), SIZE)]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Model, row and library."""
    folder = tmp_path_factory.mktemp("energy")
    toy_encoder.write(folder / "model")
    (folder / "own.py").write_text(OWN)
    return str(folder / "model"), folder / "own.py", liberty_files.write(folder)


@pytest.fixture
def nothing_kept(monkeypatch, tmp_path):
    usual = keeping.caches.cache_dir
    monkeypatch.setattr(
        keeping.caches, "cache_dir", lambda *parts: tmp_path if parts == ("compare",) else usual(*parts)
    )


def measure(files):
    model, own, library = files
    return measuring.energy(model, "tiny", liberty.read(library), 1, more=own)


def mapped(monkeypatch, change):
    """Let `change` alter the cells of every netlist, which it gets with the ports."""
    usual = measuring.asic.map_to_library

    def map_to_library(*arguments, **more):
        result = usual(*arguments, **more)
        change(result["netlist"]["ports"], result["netlist"]["cells"])
        return result

    monkeypatch.setattr(measuring.asic, "map_to_library", map_to_library)


def test_a_row_of_ones_own(files, nothing_kept, monkeypatch):
    measured = measure(files)
    assert (measured["library"], measured["volts"], measured["failures"]) == ("small", 2.0, [])
    assert measured["memories"] == []
    # Hidden and feed-forward sizes, the width of a head, and the numbers of tokens.
    assert {32, 48, 16} <= {shape["shape"][1] for shape in measured["shapes"]}
    assert sum(shape["share"] for shape in measured["shapes"]) == pytest.approx(1)
    assert all(shape["data_fj"] > 0 and shape["runs"] <= 64 for shape in measured["shapes"])
    mean = sum(shape["data_fj"] * shape["share"] for shape in measured["shapes"])
    assert measured["data_fj"] == pytest.approx(mean)
    # Each flip-flop has a clock pin of 3 fF, and two toggles a cycle of half of C V**2.
    assert measured["clock_fj_cycle"] == pytest.approx(measured["flip_flops"] * 3 * 2.0**2)
    # It is kept.
    monkeypatch.setattr(measuring, "_measured", None)
    assert measure(files) == measured


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("m, n", [(8, 8), (8, 5), (1, 2)])
def test_whole_products_of_a_core_that_shares_work(shares, m, n):
    """Tables are loaded for a layer, tokens are quantized for all outputs: that is linear in each of the two sizes."""
    once, tokens, outputs, products = (100, 30, 5, 2) if shares else (0, 0, 0, 2)

    def run(group):
        rows, k, cols = group.shape
        assert all(a.shape == (rows, k) and w.shape == (cols, k) for a, w in group.operands)
        energy = once + tokens * rows + outputs * cols + products * rows * cols
        return SimpleNamespace(cycles=rows, switching=SimpleNamespace(data=energy * len(group.operands))), None

    scheme = SimpleNamespace(shares=shares, cut=lambda operand, part: operand[part])
    group = operands.Alike((m, 3, n), {}, ("place",), ((20, 300), (10, 70)), [(np.ones((m, 3)), np.ones((n, 3)))] * 4)
    found = measuring._switched(SimpleNamespace(scheme=scheme, run=run), group)
    if not shares or m > 1:
        whole = [once + tokens * a + outputs * b + products * a * b for a, b in group.sizes]
        assert found["data_fj"] == pytest.approx(sum(whole) / group.products)
    assert (found["cycles"], found["failures"]) == (m, [])


@pytest.mark.long
def test_a_core_with_memories(files, nothing_kept, tmp_path):
    own = tmp_path / "memories.py"
    own.write_text(MEMORIES)
    measured = measuring.energy(files[0], "memories", liberty.read(files[2]), 1, more=own)
    assert measured["failures"] == [] and measured["data_fj"] > 0
    # A row of groups, a token's channels, a coarse group's values, and the low-rank terms; each in two banks but one.
    sizes = {memory["words"] * memory["width"] for memory in measured["memories"]}
    assert sizes == {16 * 82, 32 * 64, 64 * 64, 128 * 32}
    assert all((memory["reads"], memory["writes"]) == (1, 1) for memory in measured["memories"])


def test_a_netlist_that_differs_is_told(files, nothing_kept, monkeypatch):
    def stuck(ports, cells):
        output = ports["o__payload"]["bits"][0]
        (cell,) = (cell for cell in cells if cell["connections"].get("Q") == [output])
        cell["connections"]["D"] = ["1"]

    mapped(monkeypatch, stuck)
    measured = measure(files)
    assert measured["data_fj"] is None
    told = "the netlist's results are not those of the golden model"
    assert measured["failures"][0] == f"energy of layer.0.attention.query and others alike: {told}"
    assert measuring.combined({"cycles": 2, "products": 4}, measured, 1.0)["product_fj"] is None


def test_other_operands_than_those_of_the_golden_model_are_told(files, nothing_kept, monkeypatch):
    scheme = type(rows.table(files[1])["tiny"].scheme())
    usual = scheme.transfers
    monkeypatch.setattr(
        scheme, "transfers", lambda self, a, w, config: usual(self, self.cut(a, np.s_[::-1]), w, config)
    )
    assert "the netlist's results are not those" in measure(files)["failures"][0]


def test_the_clock_runs_in_all_cycles_of_a_pass():
    measured = {"data_fj": 5.0, "clock_fj_cycle": 32.0}
    made = measuring.combined({"cycles": 100, "products": 400}, measured, 7.0)
    assert made == measured | {"clock_fj": 8.0, "product_fj": 13.0, "byte_pj": 7.0}


@pytest.mark.parametrize(
    "name", ["fp16", "int8", "ovp-int4", "anda-4", "int4-g32", "hgq", "sevedo", "2:4", "mxfp4", "nvfp4"]
)
def test_small_products_have_the_numbers_of_the_whole_ones(name, files):
    scheme = rows.ROWS[name].scheme()
    subject = models.subject(files[0], 1).judged()
    caught = operands.catch(subject, apply.prepare(subject, scheme))
    wholes = {id(w): (a, w) for _, _, a, w in caught}
    assert all(len(scheme.product(a, w)) == m for _, m, a, w in caught[:2])
    for a, w in [*wholes.values()][:9]:
        whole, outputs = scheme.product(a, w), np.s_[2:5]
        part = scheme.product(scheme.cut(a, np.s_[1:3]), scheme.cut(w, outputs))
        assert part.tobytes() == whole[1:3, outputs].tobytes()
    groups = operands.alike(caught, scheme, 3, 4, 10)
    assert all(len(group.operands) <= 10 and group.shape[0] == 3 for group in groups)
    assert sum(group.products for group in groups) == sum(m * np.prod(scheme.shape(w)) for _, m, _, w in caught)
    for group in groups:
        for a, w in group.operands:
            assert scheme.product(a, w).shape == (group.shape[0], group.shape[2])
            assert (scheme.shape(w)[1], scheme.ports(w)) == (group.shape[1], group.ports)


def test_products_of_few_tokens_are_left_out_where_there_are_others():
    scheme = rows.ROWS["int8"].scheme()
    rng = np.random.default_rng(3)
    codes = {m: scheme.encode(rng.normal(size=(m, 5)).astype(np.float32), np.float32(0.1)) for m in (2, 4, 6)}
    w = scheme.operand(rng.normal(size=(9, 5)).astype(np.float32), np.float32(0.1))
    caught = [(f"of {m}", m, a, w) for m, a in codes.items()]
    (group,) = operands.alike(caught, scheme, 4, 3, 100)
    assert (group.shape, group.places, group.products) == ((4, 5, 3), ("of 4", "of 6"), (4 + 6) * 5 * 9)
    # All three blocks of outputs of each.
    assert len(group.operands) == 6
    assert operands.alike(caught[:1], scheme, 4, 3, 100)[0].shape == (2, 5, 3)


def test_command(files, tmp_path, monkeypatch):
    # In this process: no others have to begin.
    def results(work, calls, progress=None, each=None):
        made = [work(*call) for call in calls.values()]
        for name, result in zip(calls, made, strict=True):
            if each:
                each(name, result)
        return made

    monkeypatch.setattr(run, "pool", lambda *_: contextlib.nullcontext(results))
    model, own, library = files
    words = ["compare", model, "--rows", "tiny", "--more", own, "--liberty", library, "--byte-energy", "10"]
    told, _ = bitloom(*words, "--inputs", "1", "--json", "rows.json", "-o", "report", cwd=tmp_path)
    assert "area" in told and "fJ data" in told and "bytes, µJ/token" in told
    (record,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    energy = record["energy"]
    assert energy["byte_pj"] == 10 and energy["product_fj"] == energy["data_fj"] + energy["clock_fj"]
    token = energy["product_fj"] * record["products"] / record["tokens"] / 1e9
    assert told.splitlines()[2].split()[-2:] == [f"{token:.3g}", f"{10 * record['bytes'] / record['tokens'] / 1e6:.3g}"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "--byte-energy 10" in page and "costs 10 pJ is an assumption" in page and "energy of a token" in page


def test_a_wrong_request_is_one_line(files, tmp_path):
    model, _, library = files
    assert "byte-energy" in complaint("compare", model, "--byte-energy", "-1", "--liberty", library, cwd=tmp_path)
    assert "takes a Liberty file" in complaint("compare", model, "--byte-energy", "1", cwd=tmp_path)
    bare = tmp_path / "bare.lib"
    bare.write_text(liberty_files.LIBRARY.replace("voltage", "temperature"))
    told = "bare.lib must name operating conditions with a voltage"
    assert told in complaint("compare", model, "--liberty", bare, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bare.lib"]


def test_the_help_has_the_energy_of_a_byte():
    told, _ = bitloom("compare", "--help")
    assert f"{measuring.BYTE_ENERGY:g}" in told
