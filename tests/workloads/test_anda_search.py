"""golden.anda_search against the paper's tables and Algorithm 1 taken literally; golden.anda_model and the command."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.golden.anda import planes as anda
from bitloom.golden.workloads import anda_model, anda_search, transformer
from bitloom.golden.workloads.anda_search import Step, bops, last_accepted, recall, record, saving, search
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES

OPT = (3, 1, 4, 4)
LLAMA_7B = (3 * 4096, 4096, 2 * 11008, 11008)
LLAMA_13B = (3 * 5120, 5120, 2 * 13824, 13824)

# Figure 14 and Table II: combinations, then savings; WikiText2, PTB and C4, each at 0.1 % and at 1 %.
PAPER = {
    ("OPT-1.3B", OPT): (
        "8,6,5,5 8,5,5,4 11,8,10,9 8,7,7,6 9,8,9,8 7,6,7,6",
        (2.74, 2.95, 1.64, 2.31, 1.86, 2.43),
    ),
    ("OPT-2.7B", OPT): (
        "7,5,5,5 6,5,5,4 8,6,8,7 6,5,6,6 8,7,8,7 6,5,6,5",
        (2.91, 3.25, 2.13, 2.70, 2.11, 2.86),
    ),
    ("OPT-6.7B", OPT): (
        "7,5,5,4 6,4,5,4 8,6,7,7 6,5,6,5 8,6,7,7 6,5,6,4",
        (3.10, 3.31, 2.23, 2.86, 2.23, 3.05),
    ),
    ("LLaMA-7B", LLAMA_7B): (
        "9,8,8,7 7,6,6,6 8,7,7,7 6,7,6,7 8,6,7,8 6,5,6,6",
        (1.99, 2.56, 2.21, 2.54, 2.16, 2.70),
    ),
    ("LLaMA2-7B", LLAMA_7B): (
        "9,7,8,8 7,6,6,6 7,8,8,6 7,6,7,6 8,6,8,8 6,6,6,6",
        (1.96, 2.56, 2.19, 2.39, 2.04, 2.67),
    ),
    ("OPT-13B", OPT): (
        "7,6,5,5 6,6,5,4 9,9,8,9 6,6,6,6 8,6,7,7 6,5,6,5",
        (2.86, 3.20, 1.84, 2.67, 2.23, 2.86),
    ),
    ("LLaMA-13B", LLAMA_13B): (
        "10,8,8,8 7,5,6,6 8,7,6,7 6,6,6,6 8,6,7,8 6,5,6,6",
        (1.88, 2.59, 2.35, 2.67, 2.16, 2.70),
    ),
    ("LLaMA2-13B", LLAMA_13B): (
        "10,10,8,9 7,7,6,7 7,4,5,6 6,5,5,6 8,7,7,8 6,5,6,6",
        (1.80, 2.44, 2.84, 2.92, 2.14, 2.70),
    ),
    ("OPT-30B", OPT): (
        "7,5,5,4 6,4,5,4 8,6,8,6 6,5,6,5 7,6,7,7 6,4,6,4",
        (3.10, 3.31, 2.23, 2.86, 2.31, 3.09),
    ),
}

FIGURE_9 = [
    ((4, 4, 4, 4), 0.308, False),
    ((5, 5, 5, 5), 0.385, False),
    ((6, 6, 6, 6), 0.462, False),
    ((7, 7, 7, 7), 0.538, True),
    ((7, 7, 6, 7), 0.513, True),
    ((7, 7, 5, 7), 0.487, False),
    ((7, 7, 6, 6), 0.487, True),
    ((7, 7, 5, 6), 0.462, False),
    ((7, 7, 6, 5), 0.462, True),
    ((7, 7, 5, 5), 0.436, False),
]


def test_all_54_savings_of_table_2():
    checked = 0
    for (_, macs), (combinations, savings) in PAPER.items():
        for combination, expected in zip(combinations.split(), savings, strict=True):
            assert saving(tuple(map(int, combination.split(","))), macs) == pytest.approx(expected, abs=0.01)
            checked += 1
    assert checked == 54


def test_savings_of_figna_and_vs_quant():
    for macs in (OPT, LLAMA_7B, LLAMA_13B):
        assert saving((13,) * 4, macs) == pytest.approx(1.23, abs=0.005)
        assert saving((4,) * 4, macs) == 4


def test_the_ten_steps_of_figure_9():
    good = {combination for combination, _, accepted in FIGURE_9 if accepted}
    steps = list(search(lambda c: float(c in good), 1.0, OPT, 0.01, iterations=10))
    assert [(step.combination, step.accepted) for step in steps] == [(c, a) for c, _, a in FIGURE_9]
    for step, (_, relative, _) in zip(steps, FIGURE_9, strict=True):
        assert step.bops / bops((13,) * 4, OPT) == pytest.approx(relative, abs=0.0005)
    assert last_accepted(steps).combination == (7, 7, 6, 5)


def algorithm_1(evaluate, reference, macs, tolerance, iterations, floor=1):
    """The paper's pseudo-code, taken literally: no early end, and duplicates may stay in the queue."""
    queue = [(m, m, m, m) for m in range(4, 14)]
    best, best_bops, visited, order = None, float("inf"), set(), []
    for _ in range(iterations):
        costs = [sum(4 * count * m for count, m in zip(macs, c, strict=True)) for c in queue]
        combination = queue.pop(costs.index(min(costs)))
        visited.add(combination)
        order.append(combination)
        cost = min(costs)
        if cost < best_bops and evaluate(combination) >= (1 - tolerance) * reference:
            best, best_bops = combination, cost
            for j in range(4):
                n = tuple(m - (i == j) for i, m in enumerate(combination))
                if n[j] >= floor and n not in visited:
                    queue.append(n)
        if not queue:
            break
    return best, order


@pytest.mark.parametrize("seed", range(40))
def test_the_early_end_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    macs = tuple(int(m) for m in rng.integers(1, 9, 4))
    loss = rng.uniform(0.02, 3, 4)

    def evaluate(combination):
        # Falls with every bit, and a little at random, the same for the same combination.
        digest = hashlib.sha256(f"{seed} {combination}".encode()).digest()
        return 1 - float((loss * 2.0 ** -np.array(combination)).sum()) - digest[0] * 1e-5 * (seed % 3)

    for iterations in (5, 32, 200):
        steps = list(search(evaluate, 1.0, macs, 0.03, iterations=iterations))
        best, order = algorithm_1(evaluate, 1.0, macs, 0.03, iterations)
        combinations = [step.combination for step in steps]
        assert combinations == order[: len(steps)] and len(set(combinations)) == len(steps)
        assert (last_accepted(steps) and last_accepted(steps).combination) == best
        assert [step.quality for step in steps] == [evaluate(c) for c in combinations]
    assert best is None or all(step.quality < 0.97 for step in steps[steps.index(last_accepted(steps)) + 1 :])


def test_floor_and_the_start():
    steps = list(search(lambda c: 1.0, 1.0, OPT, 0, iterations=100))
    assert last_accepted(steps).combination == (1, 1, 1, 1) and len(steps) == 13
    assert steps[0].combination == (4, 4, 4, 4) and all(step.accepted for step in steps)
    steps = list(search(lambda c: 1.0, 1.0, OPT, 0, lowest=6, floor=5, iterations=100))
    assert steps[0].combination == (6, 6, 6, 6) and last_accepted(steps).combination == (5, 5, 5, 5)


def test_nothing_is_good_enough():
    steps = list(search(lambda c: 0.5, 1.0, OPT, 0.01))
    assert [step.combination for step in steps] == [(m,) * 4 for m in range(4, 14)]
    assert last_accepted(steps) is None and last_accepted([]) is None


def test_a_search_goes_on_where_it_was_interrupted():
    measured = []

    def evaluate(combination):
        measured.append(combination)
        return 1 - 2.0 ** -min(combination)

    settings = {"model": "m", "tolerance": 0.02}
    whole = list(search(evaluate, 1.0, OPT, 0.02))
    order = list(measured)
    assert len(order) == len(whole) == 7
    for stop in range(len(whole) + 1):
        first = list(itertools.islice(search(evaluate, 1.0, OPT, 0.02), stop))
        state = json.loads(json.dumps(record(settings, 1.0, first, 32)))
        reference, known = recall(state, settings, 32)
        measured.clear()
        assert list(search(evaluate, reference, OPT, 0.02, known=known)) == whole
        assert measured == order[stop:]


def test_record():
    steps = [Step((4, 4, 4, 4), 192, 0.5, False), Step((5, 5, 5, 5), 240, 0.99, True)]
    state = record({"model": "m"}, 1.0, steps, 32, saving=3.2)
    assert state == {
        "settings": {"model": "m"},
        "iterations": 32,
        "reference": 1.0,
        "steps": [
            {"combination": [4, 4, 4, 4], "bops": 192, "quality": 0.5, "accepted": False},
            {"combination": [5, 5, 5, 5], "bops": 240, "quality": 0.99, "accepted": True},
        ],
        "found": [5, 5, 5, 5],
        "saving": 3.2,
    }
    assert record({}, 1.0, steps[:1], 32)["found"] is None
    assert recall(state, {"model": "m"}, 2) == (1.0, {(4, 4, 4, 4): 0.5, (5, 5, 5, 5): 0.99})
    with pytest.raises(ValueError, match="it holds a search with model m, not n"):
        recall(state, {"model": "n"}, 32)
    with pytest.raises(ValueError, match="it holds a search with tolerance None, not 1"):
        recall(state, {"model": "m", "tolerance": 1}, 32)
    with pytest.raises(ValueError, match="it holds a search of 2 steps, more than 1"):
        recall(state, {"model": "m"}, 1)
    # Lengths and qualities are numbers, not texts or fractions that Python makes numbers of.
    steps = [[{"combination": [length], "quality": quality}] for length, quality in ((1.5, 1), ("1_0", 1), (1, "1"))]
    references = [state | {"reference": reference} for reference in ("x", "1_0", float("nan"), True)]
    one = state | {"steps": [{"combination": [1]}]}
    for wrong in (None, [], {}, {"settings": 3}, one, *references, *(state | {"steps": step} for step in steps)):
        with pytest.raises(ValueError, match="it is not a record of a precision search"):
            recall(wrong, {"model": "m"}, 32)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tolerance": 1}, "tolerance must be 0 or more and below 1, not 1"),
        ({"tolerance": -0.1}, r"tolerance must be 0 or more and below 1, not -0\.1"),
        ({"reference": 0.0}, r"the reference quality must be a finite number above 0, not 0\.0"),
        ({"reference": float("nan")}, "the reference quality must be a finite number above 0, not nan"),
        ({"iterations": 0}, "iterations must be 1 or more, not 0"),
        ({"lowest": 14}, "mantissa lengths must be 1 <= floor <= lowest <= highest <= 16, not 1, 14 and 13"),
        ({"floor": 0}, "mantissa lengths must be .* not 0, 4 and 13"),
        ({"macs": (1, 2, 3)}, r"macs must be 4 numbers above 0, not \(1, 2, 3\)"),
        ({"macs": (1, 2, 3, 0)}, r"macs must be 4 numbers above 0, not \(1, 2, 3, 0\)"),
        ({"evaluate": lambda c: float("nan")}, r"the quality of \(4, 4, 4, 4\) must be finite, not nan"),
    ],
)
def test_wrong_requests_name_the_value(change, message):
    arguments = {"evaluate": lambda c: 1.0, "reference": 1.0, "macs": OPT, "tolerance": 0.01} | change
    with pytest.raises(ValueError, match=message):
        list(search(**arguments))


def test_wrong_combinations_name_the_value():
    with pytest.raises(ValueError, match="a combination must have 4 mantissa lengths, not 3"):
        bops((4, 4, 4), OPT)
    with pytest.raises(ValueError, match="a mantissa length must be 1 to 16, not 17"):
        saving((4, 4, 4, 17), OPT)


# -- weights -----------------------------------------------------------------------------------------------------------


def test_quantized_weights_are_the_best_of_the_candidates():
    weight = (np.random.default_rng(1).standard_t(4, (3, 300)) * 0.05).astype(np.float32)
    codes, scales = anda_model.quantize_weight(weight)
    assert codes.shape == (3, 300) and codes.dtype == np.int8 and codes.min() >= -8 and codes.max() <= 7
    assert scales.shape == (3, 3) and scales.dtype == np.float16
    for row, group in itertools.product(range(3), range(3)):
        part = weight[row, 128 * group : 128 * group + 128].astype(np.float64)
        extreme = part[np.abs(part).argmax()]
        errors = []
        for landing in np.arange(7, 12.5, 0.5):
            scale = float(np.float16(extreme / -landing))
            errors.append(np.square(np.clip(np.rint(part / scale), -8, 7) * scale - part).sum())
        scale = float(scales[row, group])
        found_codes = codes[row, 128 * group : 128 * group + 128]
        np.testing.assert_array_equal(found_codes, np.clip(np.rint(part / scale), -8, 7))
        assert np.square(found_codes * scale - part).sum() == pytest.approx(min(errors), rel=1e-5)
        assert np.sign(scale) == -np.sign(extreme)


def test_corner_cases_of_quantized_weights():
    codes, scales = anda_model.quantize_weight([[0.0] * 128 + [1e-30] * 128 + [-8.0, 7.0, 1.0, 0.4] + [0.0] * 124])
    assert scales.tolist() == [[1, 1, 1]] and not codes[0, :256].any()
    assert codes[0, 256:260].tolist() == [-8, 7, 1, 0]
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"x must be finite, not {wrong} at index \(0, 1\)"):
            anda_model.quantize_weight([[1.0, wrong]])
    for wrong in (5e5, 1e300, -1e-7, 1e-300):
        with pytest.raises(ValueError, match=r"must be 0 or 4.17233e-07 to 458528, not"):
            anda_model.quantize_weight([[wrong, 0.0]])
    for shape in ((2, 0), (0, 2)):
        with pytest.raises(ValueError, match="a weight must have a value, not shape"):
            anda_model.quantize_weight(np.ones(shape))
    with pytest.raises(ValueError, match=r"a weight must have two axes, not shape \(2,\)"):
        anda_model.quantize_weight([1.0, 2.0])


# -- the model ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return anda_model.AndaEncoder(transformer.Encoder.load())


def test_multiplications_and_fingerprint(model):
    assert np.array(model.macs) / model.macs[1] == pytest.approx([3, 1, 4, 4])
    assert sum(model.macs) == 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    prints = {model.fingerprint(CALIBRATION), model.fingerprint(SENTENCES), model.fingerprint(CALIBRATION[::-1])}
    assert len(prints) == 3 and model.fingerprint(CALIBRATION) in prints


def test_linear_layers_take_the_length_of_their_module(model):
    names = {module: [] for module in anda_search.MODULES}
    for name, layer in model.encoder.linears.items():
        names[layer.kind].append(name)
    assert {module: len(found) for module, found in names.items()} == {
        "qkv": 18,
        "attention_output": 6,
        "feed_forward_up": 6,
        "feed_forward_down": 6,
    }
    rng = np.random.default_rng(3)
    combination = (3, 5, 7, 9)
    for module, length in zip(anda_search.MODULES, combination, strict=True):
        name = names[module][-1]
        codes, scales = model.weights[name]
        x = (rng.normal(size=(5, codes.shape[1])) * np.exp(rng.normal(size=(5, 1)))).astype(np.float32)
        bias = rng.normal(size=len(codes)).astype(np.float32)
        got = model.linear(name, x, bias, combination)
        encoded = anda.encode(x.astype(np.float16), length)
        _, outputs = anda.matmul(encoded, codes, scales)
        np.testing.assert_array_equal(got, outputs.astype(np.float32) + bias)
        # The same in float64: the roundings of the accumulation are far below those of FP16.
        weight = codes * np.repeat(scales.astype(np.float64), 128, axis=1)
        exact = anda.decode(encoded) @ weight.T
        np.testing.assert_allclose(got - bias, exact, rtol=2.0**-10, atol=1e-4)
        plain = model.linear(name, x, bias, None)
        np.testing.assert_allclose(plain - bias, x.astype(np.float16) @ weight.T, rtol=2.0**-10, atol=1e-4)


def test_quality_rises_with_the_lengths(model):
    told = []
    sentences = CALIBRATION[:2]
    fp16 = model.quality(sentences, progress=lambda *counts: told.append(counts))
    assert told == [(done, 36) for done in range(36)]
    coarse, middle, fine = (model.quality(sentences, (m,) * 4) for m in (3, 6, 13))
    assert coarse < 0.8 < middle < fine and fine == pytest.approx(fp16, abs=1e-3) and 0.9 < fp16 < 1
    assert model.quality(sentences, (6,) * 4) == middle
    mixed = {c: model.quality(sentences, c) for c in set(itertools.permutations((3, 13, 13, 13)))}
    assert len(set(mixed.values())) == 4 and all(coarse < quality < fine for quality in mixed.values())


def test_rounding_to_nearest_is_worth_a_bit(model):
    rounded = anda_model.AndaEncoder(model.encoder, "nearest")
    sentences = CALIBRATION[:2]
    assert rounded.quality(sentences, (4,) * 4) > model.quality(sentences, (4,) * 4) + 0.05
    assert rounded.fingerprint(sentences) != model.fingerprint(sentences)


@pytest.mark.long
def test_search_on_the_model(model):
    reference = model.quality(CALIBRATION)
    steps = list(search(lambda c: model.quality(CALIBRATION, c), reference, model.macs, 0.01))
    best = last_accepted(steps)
    assert best.quality >= 0.99 * reference and saving(best.combination, model.macs) > 2.4
    assert model.quality(SENTENCES, best.combination) > 0.98 * model.quality(SENTENCES)


# -- the command -------------------------------------------------------------------------------------------------------


class FakeModel:
    """Stands for the model, so that the command is tested in no time."""

    macs = OPT
    calls = []

    def __init__(self, encoder, rounding):
        self.rounding = rounding

    def fingerprint(self, sentences):
        return f"fake {len(sentences)}"

    def quality(self, sentences, combination=None, progress=None):
        FakeModel.calls.append((len(sentences), combination))
        return 0.9 if combination is None else 0.9 - 2.0 ** -min(combination)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run `bitloom search anda` with the fake model; gives (status, output, measured combinations)."""
    monkeypatch.setattr(anda_model, "AndaEncoder", FakeModel)
    monkeypatch.setattr(transformer.Encoder, "load", lambda folder=None: None)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        FakeModel.calls = []
        result = CliRunner().invoke(cli.bitloom, ["search", "anda", *words], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.return_value, result.output, FakeModel.calls

    return run


def test_command(command, tmp_path):
    status, output, calls = command("--tolerance", "0.01", "-o", "found.json")
    lines = output.splitlines()
    assert status == 0
    assert lines[:2] == [
        "8 calibration sentences; 4-bit weights, FP16 activations: quality 0.900000",
        "accepted from 0.891000; lengths are those of qkv, attention_output, feed_forward_up, feed_forward_down",
    ]
    assert lines[2].split() == ["step", "lengths", "MBOPs/token", "saving", "quality", "accepted"]
    assert lines[3].split() == ["1", "4,4,4,4", "0.0", "4.00x", "0.837500", "no"]
    assert lines[6].split() == ["4", "7,7,7,7", "0.0", "2.29x", "0.892188", "yes"]
    assert lines[-3] == "found 7,7,7,7: 2.29x fewer BOPs than FP16, quality -0.87%"
    assert lines[-1] == "wrote found.json"
    assert calls[0] == (8, None) and calls[-2:] == [(24, None), (24, (7, 7, 7, 7))]
    state = json.loads((tmp_path / "found.json").read_text())
    assert state["found"] == [7, 7, 7, 7] and state["saving"] == pytest.approx(16 / 7)
    assert len(state["steps"]) == len(calls) - 3 and state["test"] == {"fp16": 0.9, "found": 0.9 - 2.0**-7}

    again = command("--tolerance", "0.01", "-o", "found.json")
    assert again[0] == 0 and again[2] == [(24, None), (24, (7, 7, 7, 7))]
    assert [line for line in again[1].splitlines() if " has " not in line or "seen" in line] == lines
    assert json.loads((tmp_path / "found.json").read_text()) == state


def test_command_goes_on_after_an_interruption(command, monkeypatch, tmp_path):
    quality = FakeModel.quality

    def interrupted(self, sentences, combination=None, progress=None):
        if combination == (6, 6, 6, 6):
            raise KeyboardInterrupt
        return quality(self, sentences, combination, progress)

    monkeypatch.setattr(FakeModel, "quality", interrupted)
    with pytest.raises((KeyboardInterrupt, cli.click.Abort)):
        command()
    state = json.loads((tmp_path / "anda-search.json").read_text())
    assert [step["combination"] for step in state["steps"]] == [[4] * 4, [5] * 4]
    monkeypatch.setattr(FakeModel, "quality", quality)
    status, output, calls = command()
    assert status == 0 and calls[0] == (8, (6, 6, 6, 6)) and "anda-search.json has 2 steps" in output
    assert [path.name for path in tmp_path.iterdir()] == ["anda-search.json"]


def test_command_finds_nothing(command, tmp_path):
    status, output, _ = command("--iterations", "2")
    assert status == cli.FAILED
    assert output.splitlines()[-1] == "found nothing within the tolerance in 2 steps; wrote anda-search.json"
    assert json.loads((tmp_path / "anda-search.json").read_text())["found"] is None
    status, _, calls = command("--iterations", "4")
    assert status == 0 and calls[:2] == [(8, (6, 6, 6, 6)), (8, (7, 7, 7, 7))]


def test_command_refuses_another_search_and_keeps_the_file(command, tmp_path):
    command("--tolerance", "0.02")
    before = (tmp_path / "anda-search.json").read_bytes()
    refused = "anda-search.json cannot be continued, name another file with -o: it holds a search"
    with pytest.raises(ValueError, match=rf"{refused} with tolerance 0\.02, not 0\.01"):
        command("--tolerance", "0.01")
    with pytest.raises(ValueError, match=f"{refused} with rounding truncate, not nearest"):
        command("--tolerance", "0.02", "--rounding", "nearest")
    with pytest.raises(ValueError, match=f"{refused} of .* steps, more than 3"):
        command("--tolerance", "0.02", "--iterations", "3")
    assert (tmp_path / "anda-search.json").read_bytes() == before
    for text in ("", "{}", "[1]", '{"settings": 1}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"other\.json cannot be continued, name another file with -o: "):
            command("-o", "other.json")
        assert (tmp_path / "other.json").read_text() == text


@pytest.mark.parametrize(
    "words, message",
    [
        (["--tolerance", "1"], "1.0 is not in the range 0<=x<1"),
        (["--tolerance", "-1"], "-1.0 is not in the range 0<=x<1"),
        (["--iterations", "0"], "0 is not in the range x>=1"),
        (["--rounding", "up"], "'up' is not one of 'truncate', 'nearest'"),
    ],
)
def test_command_refuses_wrong_options(command, words, message):
    with pytest.raises(cli.click.ClickException) as error:
        command(*words)
    assert message in error.value.format_message()


def test_command_refuses_a_folder_that_is_no_model(tmp_path):
    result = CliRunner().invoke(cli.bitloom, ["search", "anda", "--model", str(tmp_path / "none")])
    assert isinstance(result.exception, ValueError) and "no such folder" in str(result.exception)
