"""golden.pwl_search against exhaustive search and plain loops; the command and its plot."""

import contextlib
import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.cli import search as search_commands
from bitloom.golden.gqa_lut import pwl, pwl_search
from bitloom.golden.gqa_lut.pwl import mse
from bitloom.golden.gqa_lut.pwl_functions import FUNCTIONS, Function, expression
from bitloom.golden.gqa_lut.pwl_search import exact, genetic, search
from bitloom.testbench.gqa_lut import pwl_picture as pwl_plot
from bitloom.tools import pictures

BOTH = pytest.mark.parametrize("name, entries", [*itertools.product(FUNCTIONS, (8, 16))])


def assert_exact_is_never_worse(name, entries, generations, seeds):
    function = FUNCTIONS[name]
    tables = search(function, entries, "dp")
    assert [*tables] == [*function.scales]
    for seed in seeds:
        found = search(function, entries, "ga", seed, generations=generations)
        for s, table in tables.items():
            assert len(table.slopes) == entries
            assert mse(table, s, function) <= mse(found[s], s, function) * (1 + 1e-12)


@BOTH
def test_exact_is_never_worse_than_genetic(name, entries):
    assert_exact_is_never_worse(name, entries, generations=25, seeds=(1,))


@pytest.mark.long
@BOTH
def test_exact_is_never_worse_than_genetic_of_the_full_budget(name, entries):
    assert_exact_is_never_worse(name, entries, pwl_search.GENERATIONS, seeds=(1, 2, 3))


# -- exact -------------------------------------------------------------------------------------------------------------


def small(values, first=0, negate_input=False, fraction_bits=6, s=4):
    """A function of few codes, by their order."""
    sign = -1 if negate_input else 1
    known = {sign * (first + i) / 2**s: value for i, value in enumerate(values)}
    call = np.vectorize(lambda x: known[float(x)], otypes=[float])
    codes = {"first": first, "last": first + len(values) - 1, "scales": (s,)}
    return Function(
        *("small", "small", call, 0, 1, (0, 1), (0, 1)), **codes, fraction_bits=fraction_bits, negate_input=negate_input
    )


def best_of_all(function, entries, s):
    """Least squared error of all cuts and all 8-bit slopes and intercepts, one after the other."""
    codes = function.codes(s)
    x = function.inputs(codes, s)
    target = function(x) * 2.0**function.fraction_bits
    k, b = np.arange(-128, 128)[:, None, None], np.arange(-128, 128)[None, :, None]
    run = {}
    for i, j in itertools.combinations(range(len(codes) + 1), 2):
        run[i, j] = np.square(k * x[i:j] + b - target[i:j]).sum(axis=2).min()
    cuts = itertools.combinations(range(1, len(codes)), min(entries, len(codes)) - 1)
    totals = (sum(run[ends] for ends in itertools.pairwise((0, *cut, len(codes)))) for cut in cuts)
    return min(totals) / len(codes) * 4.0**-function.fraction_bits


@pytest.mark.parametrize("seed", range(6))
def test_exact_against_every_table_there_is(seed):
    rng = np.random.default_rng(seed)
    reach = (0.05, 0.5, 1.5, 3)[seed % 4]
    values = rng.uniform(-reach, reach, 7)
    function = small(values, first=(0, -4, 100)[seed % 3], negate_input=seed % 3 == 0, s=seed)
    for entries in (2, 3, 4):
        found = mse(exact(function, entries, seed), seed, function)
        assert found == pytest.approx(best_of_all(function, entries, seed), rel=1e-9, abs=1e-15)


def test_exact_finds_coefficients_at_the_ends_of_8_bits():
    steep = small([0.0, 1.0, 2.0, 3.0, 4.0], fraction_bits=6)  # 16 a unit of x: a slope of 1024 would do
    table = exact(steep, 2, 4)
    assert mse(table, 4, steep) == pytest.approx(best_of_all(steep, 2, 4), rel=1e-12)
    assert all(-128 <= v <= 127 for v in (*table.slopes, *table.intercepts))


def test_a_function_that_is_piecewise_linear_has_no_error():
    function = expression("where(x < 0, 0.25 * x, 0.75 * x) + 0.5")
    for s, table in search(function, 2, "dp").items():
        assert mse(table, s, function) == 0
        # The code 0 is on both lines, so the cut is at either side of it.
        assert table.thresholds in ((-1,), (0,)) and table.slopes == (16, 48) and table.intercepts == (32, 32)


def test_fewer_codes_than_entries():
    table = exact(small([0.5, -0.25, 1.0], first=10), 8, 4)
    assert len(table.slopes) == 8 and table.thresholds == (10, 11, 12, 12, 12, 12, 12)
    assert table.slopes[2:] == table.slopes[2:3] * 6 and mse(table, 4, small([0.5, -0.25, 1.0], first=10)) == 0


def test_more_entries_are_never_worse():
    for name, s in (("gelu", 5), ("exp", 4), ("rsqrt", 5)):
        errors = [mse(exact(FUNCTIONS[name], n, s), s, FUNCTIONS[name]) for n in (2, 3, 5, 8, 13, 16)]
        assert errors == sorted(errors, reverse=True) and errors[0] > 5 * errors[-1]


def test_the_shipped_tables_are_the_exact_ones_or_hardly_worse():
    # Those of 8 entries at these scales are older: a search of coefficients near the best line made them.
    older = {("exp-8", 4): 1.001, ("exp-8", 5): 1.006, ("div-8", 5): 1.001, ("rsqrt-normalized-8", 6): 1.06}
    for name, s in (*older, ("gelu-8", 5), ("gelu-8", 2), ("exp-16", 7), ("hswish-16", 0), ("div-normalized-8", 7)):
        function = FUNCTIONS[name.rpartition("-")[0]]
        least = mse(exact(function, int(name.rpartition("-")[2]), s), s, function)
        ratio = mse(pwl.shipped(name)[s], s, function) / least
        assert 1 - 1e-9 <= ratio <= older.get((name, s), 1 + 1e-9)
        assert ((name, s) in older) == (ratio > 1 + 1e-9)


# -- genetic -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_tables():
    first, again, other = (genetic(FUNCTIONS["gelu"], 8, seed, 15) for seed in (7, 7, 8))
    assert first == again and first.breakpoints != other.breakpoints
    assert search(FUNCTIONS["gelu"], 8, "ga", 7, generations=15) == {s: first.table(s) for s in range(8)}


def test_a_seed_gives_what_it_gave_before():
    found = genetic(FUNCTIONS["div"], 4, 1, 3)
    assert found.breakpoints == pytest.approx((0.9604845213773365, 1.5364429742093169, 3.1901578174673375), abs=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_of_the_genetic_search_is_that_of_its_chords_on_the_grid(name):
    function = FUNCTIONS[name]
    found = genetic(function, 8, 3, 10)
    points, unit = found.breakpoints, 2.0**function.fraction_bits
    assert [*points] == sorted(points) and len(points) == 7
    assert function.bounds[0] <= points[0] and points[-1] <= function.bounds[1]
    knots = [function.ends[0], *points, function.ends[1]]
    lines = []
    for left, right in itertools.pairwise(knots):
        at_left, at_right = float(function(left)), float(function(right))
        k = (at_right - at_left) / (right - left) if right > left else 0
        lines.append((round(k * unit), round((at_left - k * left) * unit)))
    assert [*zip(found.slopes, found.intercepts, strict=True)] == lines
    errors = []
    for x in function.grid():
        k, b = lines[sum(point <= x for point in points)]
        errors.append(((k * x + b) / unit - float(function(x))) ** 2)
    assert found.error == pytest.approx(math.fsum(errors) / len(errors), rel=1e-9)


def test_more_generations_are_never_worse():
    errors = [genetic(FUNCTIONS["gelu"], 8, 5, generations).error for generations in (0, 5, 20, 60)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 2 * errors[-1]


def test_rounding_mutation():
    function, low, high = FUNCTIONS["gelu"], -4, 4
    random = np.random.RandomState(0)
    before = np.sort(random.uniform(low, high, (4000, 7)), axis=1)
    counts = {}
    for entries, rounding in ((8, True), (8, False), (9, True)):
        people = before[:, : entries - 1].copy() if entries == 8 else np.hstack([before, before[:, :1]])
        original = people.copy()
        pwl_search._mutate(random, people, replace(function, rounding=rounding), low, high)
        changed = people != original
        share = changed.any(axis=1).mean()
        assert 0.1 < share <= pwl_search.MUTATION + 0.02
        on_grid = np.rint(people * 64) == people * 64
        counts[entries, rounding] = (changed & on_grid & (np.abs(people) < 4)).sum() / changed.any(axis=1).sum()
        # A rounded breakpoint moves by half of the coarsest step at most.
        assert np.abs(people - original)[changed & on_grid & (np.abs(people) < 4)].max(initial=0) <= 0.5
        assert people.min() >= low and people.max() <= high
    # 5 precisions of 8 entries of GELU, from 2 bits on; 7 of 9 entries; 5 % each.
    assert counts[8, True] == pytest.approx(7 * 0.25, rel=0.1)
    assert counts[9, True] == pytest.approx(8 * 0.35, rel=0.1)
    assert counts[8, False] < 0.01


def test_crossover_swaps_a_run_between_neighbours():
    people = np.arange(50 * 7.0).reshape(50, 7)
    before = people.copy()
    pwl_search._cross(np.random.RandomState(1), people)
    swapped = 0
    for i in range(0, 50, 2):
        moved = people[i] != before[i]
        assert (people[i + 1] != before[i + 1]).tolist() == moved.tolist()
        assert (people[i][moved] == before[i + 1][moved]).all() and (people[i + 1][moved] == before[i][moved]).all()
        assert np.count_nonzero(np.diff(np.r_[0, moved, 0])) in (0, 2)
        swapped += moved.any()
    assert 8 <= swapped <= 20
    assert sorted(people.ravel()) == sorted(before.ravel())


def test_between_equal_breakpoints_is_the_function_and_not_0():
    people = np.array([[-1.0, 0.0, 0.0]])
    _, slope, intercept = pwl_search._fitness(FUNCTIONS["exp"], people, np.array([-0.5]), np.array([0.0]))
    assert slope[0, 2:].tolist() == [0, 0] and intercept[0, 2:].tolist() == [64, 64]


def test_the_genetic_table_of_a_scale_is_that_of_the_rounded_breakpoints():
    found = genetic(FUNCTIONS["exp"], 8, 2, 5)
    for s, table in search(FUNCTIONS["exp"], 8, "ga", 2, generations=5).items():
        codes = {"first": 0, "last": 255, "negate_input": True}
        arguments = (found.breakpoints, found.slopes, found.intercepts, 6, s)
        assert table == pwl.from_breakpoints(*arguments, **codes)


def test_div_does_not_fit_8_bits_with_6_fraction_bits():
    with pytest.raises(ValueError, match=r"^no chords of div fit 8 bits with 6 fraction bits$"):
        genetic(replace(FUNCTIONS["div"], fraction_bits=6), 8, 1, 3)


@pytest.mark.long
def test_the_genetic_search_is_as_good_as_the_specification_says():
    errors = [mse(genetic(FUNCTIONS["gelu"], 8, seed).table(5), 5, FUNCTIONS["gelu"]) for seed in (1, 2, 3)]
    assert max(errors) < 1.0e-4 and min(errors) < 8e-5
    errors = [mse(genetic(FUNCTIONS["exp"], 8, seed).table(5), 5, FUNCTIONS["exp"]) for seed in (1, 2, 3)]
    assert max(errors) < 1.0e-4 and min(errors) < 6e-5


def test_bad_requests():
    f = FUNCTIONS["gelu"]
    for entries in (1, 65):
        for found in (lambda n=entries: exact(f, n, 5), lambda n=entries: genetic(f, n)):
            with pytest.raises(ValueError, match=rf"^entries must be 2 to 64, not {entries}$"):
                found()
    for s in (-1, 8):
        with pytest.raises(ValueError, match=rf"^the scale s must be 0 to 7, not {s}$"):
            exact(f, 8, s)
    with pytest.raises(ValueError, match=r"^the method must be ga or dp, not 'sa'$"):
        search(f, 8, "sa")
    with pytest.raises(ValueError, match=r"^generations must be 0 or more, not -1$"):
        genetic(f, 8, 1, -1)
    with pytest.raises(ValueError, match=r"^the seed must be 0 to 2\*\*32 - 1, not -1$"):
        genetic(f, 8, -1)
    with pytest.raises(ValueError, match=r"^no code of x counts at the scale s = 7$"):
        exact(expression("x", 100, 120), 8, 7)
    holes = replace(f, name="holes", call=lambda x: np.where(x == 0.5, np.nan, x))
    with pytest.raises(ValueError, match=r"^holes must be finite on its range, not nan at x = 0\.5$"):
        exact(holes, 8, 1)
    with pytest.raises(ValueError, match=r"^holes must be finite on its range, not nan at x = "):
        genetic(replace(holes, call=lambda x: np.where(x < 0, np.nan, x)), 8)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run `bitloom search pwl` in an empty folder; gives its lines."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        result = CliRunner().invoke(cli.bitloom, ["search", "pwl", *words], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output.splitlines()

    return run


def test_command_exact(command, tmp_path):
    lines = command("--function", "div", "-o", "new/div.json", "--plot", "div.png")
    function = FUNCTIONS["div"]
    table = exact(function, 8, 5)
    assert lines[0] == "div, 8 entries, method dp"
    assert lines[1].split() == ["scale", "codes", "MSE", "largest", "error"]
    assert lines[2].split() == ["2^-5", "112", f"{mse(table, 5, function):.4g}", "0.01163"]
    assert pwl.largest_error(table, 5, function) == pytest.approx(0.01163, abs=5e-6)
    assert lines[3].endswith(" seconds") and lines[4:] == ["wrote new/div.json", "wrote div.png"]
    assert pwl.load(tmp_path / "new" / "div.json") == {5: table}
    about = json.loads((tmp_path / "new" / "div.json").read_text())["about"]
    wanted = {"function": "1 / x, 0.5 <= x < 4", "range": [0.5, 4], "entries": 8, "method": "dp"}
    assert about == wanted | {"mse": {"5": mse(table, 5, function)}}


def test_command_genetic(command, monkeypatch, tmp_path):
    monkeypatch.setattr(pwl_search.search, "__defaults__", (1, lambda done, total: None, 4))
    lines = command("--function", "exp", "--entries", "16", "--method", "ga", "--seed", "9", "-o", "a.json")
    assert lines[0] == "exp, 16 entries, method ga seed 9" and len(lines) == 12
    assert [line.split()[0] for line in lines[2:10]] == ["1", *(f"2^-{s}" for s in range(1, 8))]
    expected = search(FUNCTIONS["exp"], 16, "ga", 9, generations=4)
    assert pwl.load(tmp_path / "a.json") == expected
    about = json.loads((tmp_path / "a.json").read_text())["about"]
    assert (about["method"], about["seed"], about["entries"]) == ("ga", 9, 16)
    assert about["mse"] == {str(s): mse(table, s, FUNCTIONS["exp"]) for s, table in expected.items()}
    command("--function", "exp", "--entries", "16", "--method", "ga", "--seed", "9", "-o", "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_command_with_an_expression(command, tmp_path):
    words = ("--function", "np.tanh(x)", "--range", "-3", "3", "--fraction-bits", "5", "--entries", "4")
    lines = command(*words)
    assert lines[0] == "np.tanh(x), 4 entries, method dp" and lines[-1] == "wrote pwl-table.json"
    tables = pwl.load(tmp_path / "pwl-table.json")
    assert [*tables] == [*range(8)] and {table.fraction_bits for table in tables.values()} == {5}
    assert tables[5] == exact(expression("np.tanh(x)", -3, 3, 5), 4, 5)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--function", "log(x)"], "log(x) must be finite on -4.0 to 4.0, not nan at x = -4"),
        (["--function", "x", "--range", "3", "-3"], "the range must be within -128 to 127, or 0 to 255, and not empty"),
        (["--function", "gelu", "--entries", "1"], "entries must be 2 to 64, not 1"),
        (["--function", "gelu", "--plot", "gelu.jpg"], "a plot must end in .png, .svg, .pdf, not 'gelu.jpg'"),
        (["--function", "gelu", "--range", "-3", "3"], "gelu has a range and fraction bits of its own"),
        (["--function", "x", "--fraction-bits", "17"], "fraction bits must be 0 to 16, not 17"),
        (["--function", "40 * x", "--method", "ga"], "no chords of 40 * x fit 8 bits with 6 fraction bits"),
        (["--function", "gelu", "--method", "sa"], "'sa' is not one of 'ga', 'dp'"),
        (["--function", "gelu", "--seed", "1"], "--seed needs --method ga"),
        ([], "Missing option '--function'"),
    ],
)
def test_command_refuses(command, tmp_path, words, message):
    with pytest.raises((ValueError, cli.click.ClickException)) as error:
        command(*words)
    told = error.value.format_message() if isinstance(error.value, cli.click.ClickException) else str(error.value)
    assert message in told and not [*tmp_path.iterdir()]


def test_a_wrong_function_is_one_line_and_exit_2(tmp_path):
    words = [sys.executable, "-m", "bitloom", "search", "pwl", "--function", "1 / x"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and not [*tmp_path.iterdir()]
    assert done.stderr == "bitloom: 1 / x must be finite on -4.0 to 4.0, not inf at x = 0\n"


def test_an_interrupted_search_leaves_no_file(command, monkeypatch, tmp_path):
    def interrupted(done, total):
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(search_commands, "bar", lambda text: contextlib.nullcontext(interrupted))
    for method in ("ga", "dp"):
        with pytest.raises((KeyboardInterrupt, cli.click.Abort)):
            command("--function", "gelu", "--method", method)
        assert not [*tmp_path.iterdir()]


def test_plots_are_the_same_bytes_and_show_what_they_say(tmp_path):
    function, tables = FUNCTIONS["div"], pwl.shipped("div-8")
    for suffix in pictures.SUFFIXES:
        for name in ("a", "b"):
            pwl_plot.draw(tmp_path / f"{name}{suffix}", function, tables, "DIV")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    pwl_plot.draw(tmp_path / "c.png", function, pwl.shipped("div-16"), "DIV")
    assert (tmp_path / "c.png").read_bytes() != (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match=r"a plot must end in \.png, \.svg, \.pdf, not 'f\.gif'"):
        pwl_plot.draw(tmp_path / "f.gif", function, tables, "DIV")


def test_a_table_without_an_error_has_no_place_on_a_log_axis(tmp_path):
    function = expression("x")
    pwl_plot.draw(tmp_path / "x.png", function, search(function, 2, "dp") | {5: pwl.shipped("gelu-8")[5]}, "x")
    pwl_plot.draw(tmp_path / "y.png", function, {5: exact(function, 2, 5), 6: exact(function, 2, 6)}, "x")
    assert (tmp_path / "x.png").stat().st_size > 10000 and (tmp_path / "y.png").stat().st_size > 10000


def test_progress_counts_generations_and_scales():
    told = []
    search(FUNCTIONS["div"], 4, "ga", 1, lambda *counts: told.append(counts), 3)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    told.clear()
    search(FUNCTIONS["div"], 4, "dp", progress=lambda *counts: told.append(counts))
    assert told == [(0, 1), (1, 1)]
