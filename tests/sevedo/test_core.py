"""The SeVeDo core against its golden model: the whole layer, bit for bit."""

import dataclasses
import json

import numpy as np
import pytest
from benches import rehearse
from click.testing import CliRunner
from contracts import OutputsHold

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.interface import layouts
from bitloom.cores.sevedo.core import SevedoCore, SevedoCoreConfig
from bitloom.golden.sevedo import core as golden
from bitloom.golden.sevedo import layer as sevedo
from bitloom.golden.sevedo import lvc_cycles
from bitloom.golden.workloads import sevedo_model
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES
from bitloom.golden.workloads.transformer import Encoder
from bitloom.testbench.formal import prove, prove_no_path
from bitloom.testbench.payloads import rows
from bitloom.testbench.runner import simulate
from bitloom.testbench.sevedo.core import Draw, steady, worked_layer
from bitloom.testbench.sevedo.layer import parameters_of, run

CORE = "sevedo-core"
SMALL = lookup(CORE).small
INPUTS = ("layer", "x", "smooth", "w", "low_rank", "scales", "bias")
TINY = {
    **{"rows": 2, "cols": 1, "coarse": 2, "fine": 2, "shift_bits": 1, "adder": 1},
    **{"lanes": 2, "columns": 2, "max_channels": 4, "max_outputs": 2, "max_rank": 2},
}


def test_worked_example():
    """spec/sevedo.md, Section 8."""
    config = lookup(CORE).config.parse(SMALL)
    layer, x = worked_layer()
    result = run(layer, x, config)
    assert result.passed, result.failure
    assert result.y.view(np.uint16).tolist() == [[0x4910, 0xCB7A]]
    # The same program again: several tokens, some of them special, and stalls.
    x = np.repeat(x, 5, axis=0)
    x[1, 3], x[4, 0] = np.inf, np.nan
    result = run(layer, x, config, stall_in=40, stall_out=40, seed=1)
    assert result.passed and result.nonfinite, result.failure
    assert np.array_equal(result.y, sevedo.linear(x, layer))


def bitloom(*words, status=0):
    """Run the command line in this process; its standard output, or the error's line."""
    result = CliRunner().invoke(cli.bitloom, [*map(str, words)], standalone_mode=False)
    if status == 0:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, ValueError | cli.click.ClickException), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_run_layer(tmp_path):
    layer, x = worked_layer()
    layers, tokens, output, report = (tmp_path / name for name in ("l.npz", "x.npy", "y.npy", "r.json"))
    layers.write_bytes(sevedo.to_bytes({"a.b": layer}))
    np.save(tokens, x.astype(np.float32))
    given = {"coarse", "fine", "shift_bits", "threshold"}
    small = [word for text in SMALL if text.partition("=")[0] not in given for word in ("-p", text)]
    words = ["run", "layer", layers, tokens, "-o", output]
    text = bitloom(*words, "--layer", "a.b", *small, "--json", report)
    for word in ("a.b, 2 x 16, rank 2", "tokens", "cycles", "passed", f"wrote {output}"):
        assert word in text
    assert np.load(output).tolist() == [[10.125, -14.953125]]
    assert json.loads(report.read_text())["passed"]
    assert "--layer must be one of a.b, not c" in bitloom(*words, "--layer", "c", status=2)
    assert "'coarse' is given twice" in bitloom(*words, "--layer", "a.b", "-p", "coarse=8", status=2)
    assert "'twin' is not 'rtl'" in bitloom(*words, "--layer", "a.b", "--on", "twin", status=2)
    assert "No such option '--format'" in bitloom(*words, "--layer", "a.b", "--format", "int4", status=2)
    assert "No such option '--layer'" in bitloom("run", "matmul", "--layer", "a", "-o", output, status=2)
    np.save(tokens, np.where(np.arange(16) == 3, 70000.0, 1.0)[None])
    wanted = "X: values from 1 to 7e+04: the largest magnitude must be at most 65504, not 7e+04"
    assert wanted in bitloom(*words, "--layer", "a.b", status=2)
    np.save(tokens, x[:, :3])
    assert "X must hold floating-point numbers, shape (M, 16)" in bitloom(*words, "--layer", "a.b", status=2)


def test_order_of_results():
    config = SevedoCoreConfig(**TINY | {"rows": 2, "cols": 3})
    assert golden.order(3, 4, config).tolist() == [0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10, 11]
    fields = {"value": golden.order(3, 4, config), "last": np.arange(12) == 11}
    y, last = golden.results(fields, 3, 4, config)
    assert y.view(np.uint16).tolist() == np.arange(12).reshape(3, 4).tolist()
    assert last.tolist() == [False] * 11 + [True]


def test_transfers_of_the_worked_example():
    config = lookup(CORE).config.parse(SMALL)
    layer, x = worked_layer()
    found = rows(layouts(SevedoCore(config)), golden.transfers(layer, np.repeat(x, 3, axis=0), config))
    # 3 tokens in 2 blocks, 1 block of outputs, 4 fine groups, 8 blocks of channels and 1 of ranks.
    counts = {"w": 2 * 4, "layer": 1, "x": 3 * 8, "smooth": 3 * 8, "low_rank": 3 * (8 + 1), "scales": 3 * 2, "bias": 2}
    assert {name: len(payloads) for name, payloads in found.items()} == counts
    widths = {port.name: port.width for port in generate(lookup(CORE), config).ports}
    assert all(payloads.shape[1] == -(-widths[f"{name}__payload"] // 8) for name, payloads in found.items())
    # Codes 6 -4 2 0, shift 2, scale 0x3400; codes -7 2 4 -1, shift 3, scale 0x3092.
    first = 0x02C6 | (2 << 16) | (0x3400 << 18) | (0xF429 << 34) | (3 << 50) | (0x3092 << 52)
    assert int.from_bytes(found["w"][0].tobytes(), "little") == first


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="lanes must divide the fine group of 8, not be 16"):
        SevedoCoreConfig(fine=8)
    with pytest.raises(ValueError, match="max_outputs must be a power of two, not 1000"):
        SevedoCoreConfig(max_outputs=1000)
    with pytest.raises(ValueError, match="max_channels must be a power of two from 32 for 16 lanes, not 1000"):
        SevedoCoreConfig(max_channels=1000)
    layer, x = worked_layer()
    assert parameters_of(layer) == ["coarse=8", "fine=4", "shift_bits=2", "threshold=5"]
    with pytest.raises(ValueError, match="coarse of the layer must be the core's 128, not 8"):
        golden.transfers(layer, x, SevedoCoreConfig())
    config = SevedoCoreConfig(**TINY | {"coarse": 8, "fine": 4, "shift_bits": 2})
    with pytest.raises(ValueError, match="input channels of the layer must be at most the core's 4, not 16"):
        golden.transfers(layer, x, config)
    config = lookup(CORE).config.parse(SMALL)
    with pytest.raises(
        ValueError, match=r"x must be float16 of shape \(up to 65535, 16\), not float16 of shape \(16,\)"
    ):
        golden.transfers(layer, x[0], config)
    with pytest.raises(ValueError, match="x must have at least one token"):
        run(layer, x[:0], config)


@pytest.mark.parametrize("parameters", [SMALL], ids=" ".join)
def test_bench(parameters):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=300, seed=2)
    assert result.passed, result.summary()
    assert (result.latency, result.interval) == (core.latency(config), core.interval(config))


#: More blocks of ranks than of channels, and coarse groups of one fine group, which never follow each other at once.
DEEP = (
    *("rows=1", "cols=1", "coarse=2", "fine=2", "lanes=2", "columns=2"),
    *("max_channels=4", "max_outputs=4", "max_rank=6"),
)


@pytest.mark.parametrize("vectors", [1, 2])
def test_bench_at_the_edge(vectors):
    core = lookup(CORE)
    config = core.config.parse(DEEP)
    result = simulate(core, config, vectors=vectors, seed=1)
    assert result.passed, result.summary()
    # A reduction of one transfer has a latency and no interval.
    assert (result.vectors, result.latency, result.interval) == (vectors, core.latency(config), None)
    assert "None" not in result.summary()


def test_steady_layers():
    """Two reductions of whole coarse groups where a legal layer has them, else one of one coarse group at the most."""

    def sizes(*parameters):
        config = lookup(CORE).config.parse(parameters)
        layer, x = steady(config, Draw(config, np.random.default_rng(1)))
        golden.check(layer, config)
        return len(x), *layer.shape

    assert sizes() == (4, 8, 4 * 128)
    assert sizes(*SMALL) == (2, 4, 4 * 8)
    # Fewer outputs than two reductions have, coarse groups of one fine group, and such as are larger than any layer.
    assert sizes("cols=4", "max_outputs=4") == (1, 1, 128)
    assert sizes(*DEEP) == (1, 1, 2)
    assert sizes("max_channels=64") == (1, 1, 64)


EDGES = [
    DEEP,
    # Fewer outputs than the tile has columns; coarse groups larger than any layer; both, and many ranks.
    ("cols=5", "coarse=2", "fine=2", "lanes=2", "columns=2", "max_channels=4", "max_outputs=2", "max_rank=6"),
    ("rows=2", "cols=3", "coarse=128", "fine=4", "lanes=4", "max_channels=16", "max_outputs=4", "max_rank=16"),
    (
        *("rows=6", "cols=7", "coarse=6", "fine=2", "lanes=2", "columns=16"),
        *("max_channels=4", "max_outputs=4", "max_rank=32"),
    ),
]


@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_rehearsal(parameters, vectors):
    rehearse(CORE, parameters, vectors)


@pytest.mark.long
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_bench_at_the_edge_long(parameters):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=300, seed=4)
    assert result.passed, result.summary()
    assert result.latency == core.latency(config)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    [
        ("rows=3", "cols=3", "coarse=16", "fine=8", "lanes=8", "columns=4", "max_channels=64", "max_rank=8"),
        ("rows=8", "cols=1", "coarse=8", "fine=4", "lanes=4", "columns=2", "max_channels=32", "multiplier=blocks"),
        # So many rows that the last result leaves before what belongs to no token.
        ("rows=16", "cols=1", "coarse=32", "fine=2", "lanes=2", "columns=2", "max_channels=64", "max_rank=4"),
        ("rows=1", "cols=4", "coarse=12", "fine=12", "shift_bits=0", "threshold=4", "lanes=4", "max_channels=32"),
        (),
    ],
    ids=" ".join,
)
def test_bench_long(parameters):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=1000, seed=5)
    assert result.passed, result.summary()


@pytest.mark.long
def test_layer_of_minilm():
    """The whole output projection of MiniLM's first attention, 384 x 384 of rank 32, on tokens of a sentence."""
    whole, name = Encoder.load(), "layer.0.attention.output"
    first = {key: linear for key, linear in whole.linears.items() if key.startswith("layer.0.")}
    encoder = dataclasses.replace(whole, layers=1, linears=first)
    layers, _ = sevedo_model.quantize(encoder, CALIBRATION, SENTENCES[:1], 32, smoothings=((0.6, 0),))
    layer = layers[name]
    assert layer.shape == (384, 384) and layer.low_rank.rank == 32
    # Two whole blocks of tokens and one of two.
    x = sevedo.to_half(sevedo_model.activations(encoder, SENTENCES[:2])[name])[:10]
    config = SevedoCoreConfig()
    result = run(layer, x, config)
    assert result.passed, result.failure
    assert np.array_equal(result.y.view(np.uint16), sevedo.linear(x, layer).view(np.uint16))
    assert result.cycles <= 1.01 * result.least_cycles


def test_cycles():
    # The tile's, two in the queue, 13 of the merge: a register, two additions of five, the rounding, the output.
    assert golden.latency(SevedoCoreConfig()) == 12 + 2 + 13
    config, (layer, _) = lookup(CORE).config.parse(SMALL), worked_layer()
    # The low-rank path is the slowest: its tokens follow each other, and nothing comes between.
    counts = (200, 400)
    terms, whole = (
        [found(tokens) for tokens in counts]
        for found in (
            lambda tokens: lvc_cycles.cycles(config.lvc, [(layer.low_rank, tokens)]),
            lambda tokens: golden.least_cycles(config, layer, tokens),
        )
    )
    assert whole[1] - whole[0] == terms[1] - terms[0]
    # Two cycles later on the way in; a cycle in the memory, four results of two tokens, one a cycle, and the merge.
    assert whole[0] == 2 + terms[0] + (4 - 1) + 13 + 1


# -- the streams' rules ------------------------------------------------------------------------------------------------


def test_outputs_hold():
    # By induction: the output register is all that counts, and the floating point before it is too much to search.
    prove(OutputsHold(INPUTS, SevedoCore(SevedoCoreConfig(**TINY))), "sevedo-core", engine="smtbmc", depth=2)


@pytest.mark.parametrize(
    "source", ["o__ready", "layer__valid", "low_rank__valid", "scales__valid", "low_rank__payload"]
)
def test_paths_are_cut(source):
    targets = [f"{name}__ready" for name in INPUTS] + ["o__valid", "o__payload"]
    prove_no_path(SevedoCore(SevedoCoreConfig(**TINY)), source, targets, "sevedo_core")
