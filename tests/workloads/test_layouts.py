"""Which tensors of a checkpoint are weights, in the spellings of public model families; and files of such tensors."""

import json

import numpy as np
import pytest

from bitloom.golden import mx
from bitloom.golden.workloads import checkpoint, layouts, quantize, safetensors

# Model family: what of it is taken, and what is left, each with its reason.
TAKEN = {
    "BERT": ["encoder.layer.0.attention.self.query.weight", "cls.predictions.decoder.weight", "pooler.dense.weight"],
    "ALBERT": ["albert.encoder.embedding_hidden_mapping_in.weight"],
    "ELECTRA": ["electra.embeddings_project.weight"],
    "DeBERTa": ["deberta.embeddings.embed_proj.weight"],
    "Llama": ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"],
    "GPT-NeoX": ["gpt_neox.layers.0.attention.query_key_value.weight"],
    "T5": ["encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"],
    "ViT": ["vit.encoder.layer.0.attention.attention.query.weight", "vision.embeddings.patch_embedding.weight"],
    "CLIP": ["text_projection.weight", "visual_projection.weight"],
    "llama.cpp": ["blk.0.attn_q.weight", "blk.0.ffn_down.weight"],
    "diffusion": ["time_embedding.linear_1.weight", "label_emb.0.0.weight"],
    "PyTorch": ["self_attn.in_proj_weight", "norm1.linear.weight"],
    "others": ["blk[bold].w", "weight", "a/b.weight"],
}
HEADS = ["lm_head.weight", "embed_out.weight", "output.weight", "model.lm_head.weight"]
TABLES = {
    "BERT": [
        "bert.embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "roberta.embeddings.token_type_embeddings.weight",
    ],
    "MPNet": ["encoder.relative_attention_bias.weight"],
    "Llama, Mistral, Qwen": ["model.embed_tokens.weight", "tok_embeddings.weight"],
    "GPT": ["transformer.wte.weight", "wpe.weight", "tokens_embed.weight", "positions_embed.weight"],
    "GPT-NeoX": ["gpt_neox.embed_in.weight"],
    "OPT, BART": ["model.decoder.embed_positions.weight", "model.shared.weight"],
    "T5": ["shared.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"],
    "CLIP": ["text_model.embeddings.token_embedding.weight", "positional_embedding"],
    "ViT, Swin": ["embeddings.position_embeddings", "pos_embed", "attn.relative_position_bias_table"],
    "Mamba, RWKV": ["backbone.embeddings.weight", "rwkv.emb.weight"],
    "llama.cpp": ["token_embd.weight", "position_embd.weight", "token_types.weight"],
    "Flax": ["bert.embeddings.word_embeddings.embedding"],
}
LEFT = {
    "scales of a quantized tensor": ["q_proj.weight_scale_inv", "a.weight.scales", "q_proj.weight_scale"],
    "vectors of several heads or experts": ["mlp.experts.gate_up_proj_bias", "self_attn.q_norm.weight", "mixer.A_log"],
}


def lists(families):
    return [name for names in families.values() for name in names]


def matrices(names):
    return {name: np.ones((8, 16), np.float32) for name in names}


@pytest.mark.parametrize("name", lists(TAKEN))
def test_weights_of_linear_layers_are_taken(name):
    assert layouts.choose(matrices([name]))[name] == layouts.Choice((8, 16), True, "linear layer")


@pytest.mark.parametrize("name", HEADS)
def test_output_heads_are_linear_layers(name):
    assert layouts.choose(matrices([name]))[name] == layouts.Choice((8, 16), True, "output head")


@pytest.mark.parametrize("name", lists(TABLES))
def test_tables_of_embeddings_are_left(name):
    assert layouts.choose(matrices([name]))[name] == layouts.Choice((8, 16), False, "table of embeddings")


@pytest.mark.parametrize(("name", "why"), [(name, why) for why, names in LEFT.items() for name in names])
def test_matrices_that_are_no_weights_are_left(name, why):
    assert layouts.choose(matrices([name]))[name] == layouts.Choice((8, 16), False, why)


def test_tensors_that_are_no_matrices_are_left():
    tensors = {
        "ids": np.zeros((1, 8), np.int64),
        "ln.weight": np.ones(8, np.float32),
        "patch_embed.proj.weight": np.ones((4, 3, 2, 2), np.float32),
        "empty.weight": np.ones((16, 0), np.float32),
        "a.weight": np.ones((2, 2), np.float16),
    }
    found = layouts.choose(tensors)
    assert [*found] == [*tensors]
    assert [choice.why for choice in found.values()] == [
        "no floating-point numbers",
        "of 1 axis",
        "of 4 axes",
        "empty",
        "linear layer",
    ]
    assert [choice.taken for choice in found.values()] == [False] * 4 + [True]
    assert layouts.summary(found) == "no floating-point numbers (1), of 1 axis (1), of 4 axes (1), empty (1)"


def block(parts, linear):
    """Parts of a block with GPT-2's names; `linear` stores outputs first, as PyTorch's own layers do."""
    shapes = {"attn.c_attn": (8, 24), "attn.c_proj": (8, 8), "mlp.c_fc": (8, 32), "mlp.c_proj": (32, 8)}
    chosen = {name: shape for name, shape in shapes.items() if any(part in name for part in parts)}
    return {f"h.0.{name}.weight": np.ones(shape[::-1] if linear else shape) for name, shape in chosen.items()}


@pytest.mark.parametrize("parts", [("attn", "mlp"), ("attn",), ("c_fc",), ("mlp.c_proj",)])
@pytest.mark.parametrize("linear", [False, True])
def test_conv1d_is_told_from_linear_layers_of_the_same_names_by_its_shapes(parts, linear):
    tensors = block(parts, linear)
    for choice in layouts.choose(tensors).values():
        assert choice.taken and choice.transposed is not linear
        assert choice.why == ("linear layer" if linear else "Conv1D, in x out")


def test_a_square_matrix_alone_has_gpt2s_layout():
    assert layouts.choose({"h.0.attn.c_proj.weight": np.ones((8, 8))})["h.0.attn.c_proj.weight"].transposed


def test_kernels_and_right_operands_have_inputs_first():
    found = layouts.choose(matrices(["layer.0.query.kernel", "params/dense/kernel", "text_projection", "visual.proj"]))
    assert all(choice.taken and choice.transposed for choice in found.values())


def test_patterns_overrule_names_and_shapes():
    names = ["wte.weight", "lm_head.weight", "a.weight", "b.weight", "c[0].weight"]
    tensors = matrices(names) | {"a.bias": np.ones(4)}

    def choose(**patterns):
        return {name: (c.taken, c.transposed) for name, c in layouts.choose(tensors, **patterns).items()}

    plain = choose()
    assert choose(take=["wte*"]) == plain | {"wte.weight": (True, False)}
    assert choose(skip=["lm_head.*"]) == plain | {"lm_head.weight": (False, False)}
    assert choose(transposed=["[ab].weight"]) == plain | {"a.weight": (True, True), "b.weight": (True, True)}
    # A name is its own pattern, brackets and all.
    assert choose(skip=["c[0].weight"]) == plain | {"c[0].weight": (False, False)}
    everything = choose(take=["*"], transposed=["?.weight"], skip=["b*"])
    assert everything == {
        "wte.weight": (True, False),
        "lm_head.weight": (True, False),
        "a.weight": (True, True),
        "b.weight": (False, False),
        "c[0].weight": (True, False),
        "a.bias": (False, False),
    }
    # Linear layers with GPT-2's names, whatever the shapes say.
    assert not layouts.choose(block(("attn", "mlp"), False), take=["*"])["h.0.attn.c_attn.weight"].transposed


@pytest.mark.parametrize("option", ["take", "skip", "transposed"])
def test_a_pattern_that_matches_no_matrix_is_refused(option):
    tensors = matrices(["a.weight"]) | {"a.bias": np.ones(4)}
    for pattern in ("b*", "a.bias", "A.weight"):
        with pytest.raises(ValueError) as caught:
            layouts.choose(tensors, **{option: [pattern]})
        assert str(caught.value) == f"--{option} {pattern!r} matches no matrix of floating-point numbers"


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["int4", "ovp-int4", "hgq", "mxfp4", "nvfp4"])
def test_what_is_stored_with_inputs_first_is_quantized_along_its_outputs(name, tmp_path):
    fmt = quantize.HgqFormat() if name == "hgq" else quantize.BLOCKED.get(name) or quantize.lookup(name)
    rng = np.random.default_rng(0)
    # Outputs of very different sizes: one step for each of them is needed.
    weight = (rng.normal(size=(24, 8)) * 2.0 ** rng.integers(-6, 6, (24, 1))).astype(np.float32)
    safetensors.save(tmp_path / "linear", {"h.0.attn.c_attn.weight": weight})
    safetensors.save(tmp_path / "conv1d", {"h.0.attn.c_attn.weight": weight.T, "wte.weight": weight})
    (linear, codes), (conv1d, same) = (checkpoint.quantize(tmp_path / file, fmt) for file in ("linear", "conv1d"))
    assert codes.keys() == same.keys()
    for key, array in codes.items():
        np.testing.assert_array_equal(array, same[key])
    (row,), (turned,) = linear["tensors"], conv1d["tensors"]
    assert row["transposed"] is False and turned == row | {
        "shape": [8, 24],
        "why": "Conv1D, in x out",
        "transposed": True,
    }
    assert conv1d["left"] == [{"name": "wte.weight", "shape": [24, 8], "why": "table of embeddings"}]


@pytest.mark.parametrize("name", mx.FORMATS)
def test_blocks_are_those_of_the_golden_model(name, tmp_path):
    """A K that is no multiple of the block; what is written is read back as a tensor."""
    fmt = quantize.BLOCKED[name]
    weight = np.random.default_rng(5).normal(size=(6, 45)).astype(np.float32)
    safetensors.save(tmp_path / "w", {"a.weight": weight, "a.bias": weight[0]})
    report, tensors = checkpoint.quantize(tmp_path / "w", fmt)
    checkpoint.write(tmp_path / "q", tensors, fmt)
    read = safetensors.load(tmp_path / "q")
    wanted = mx.quantize(weight, name)
    parts = {"codes": wanted.codes, "scales": wanted.scales}
    if name == "nvfp4":
        parts["tensor_scale"] = wanted.tensor_scale
    assert read.keys() == {f"a.weight.{part}" for part in parts}
    for part, array in parts.items():
        found = read[f"a.weight.{part}"]
        assert found.dtype == array.dtype and found.shape == np.shape(array) and (found == array).all()
    restored = mx.dequantize(
        mx.MxTensor(fmt.blocks, read["a.weight.codes"], read["a.weight.scales"], 45, read.get("a.weight.tensor_scale"))
    )
    (row,) = report["tensors"]
    assert row["max_error"] == np.abs(restored - weight.astype(float)).max()
    assert row["mse"] == pytest.approx(np.mean((restored - weight) ** 2))
    least = {"mxfp4": 15, "nvfp4": 18, "mxfp6-e2m3": 25, "mxfp6-e3m2": 23, "mxint8": 38}[name]
    assert least < row["sqnr_db"] < least + 12


def test_the_metadata_say_which_codes_are_transposed(tmp_path):
    fmt, codes = quantize.lookup("int4"), {"a.codes": np.zeros((2, 2), np.int8)}

    def metadata(*transposed):
        checkpoint.write(tmp_path / "q", codes, fmt, transposed)
        data = (tmp_path / "q").read_bytes()
        return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]

    about = {"bitloom.format": "int4", "bitloom.summary": fmt.summary}
    assert metadata() == about
    assert metadata("a", "b") == about | {"bitloom.transposed": '["a", "b"]'}


def test_a_file_without_a_weight_is_refused_and_says_what_it_holds(tmp_path):
    file = tmp_path / "w.safetensors"
    for tensors, held in (
        ({}, "it is empty"),
        ({"wte.weight": np.ones((4, 4)), "a": np.ones(3), "b": np.ones(3)}, "of 1 axis (2), table of embeddings (1)"),
    ):
        safetensors.save(file, tensors)
        with pytest.raises(ValueError) as caught:
            checkpoint.weights(file)
        assert str(caught.value) == f"{file}: it holds no weight matrix: {held}"
    with pytest.raises(ValueError, match=r"w.safetensors: --take 'x' matches no matrix"):
        checkpoint.weights(file, take=["x"])


def test_a_matrix_out_of_a_formats_range_is_refused_by_name(tmp_path):
    file = tmp_path / "w.safetensors"
    safetensors.save(file, {"a.weight": np.ones((2, 2)), "b.weight": np.array([[1e300, -2e300]])})
    for fmt, largest in (
        (quantize.lookup("int8"), "1.40130e-45 to 1.70141e+38"),
        (quantize.HgqFormat(), "65504"),
        (quantize.BLOCKED["mxfp4"], "2.93874e-39 to 3.40282e+38"),
        (quantize.BLOCKED["nvfp4"], "3.15973e-35 to 3.40282e+38"),
    ):
        with pytest.raises(ValueError) as caught:
            checkpoint.quantize(file, fmt)
        where = f"{file}: tensor 'b.weight' as {fmt.name}: values from -2e+300 to 1e+300: "
        assert str(caught.value).startswith(where) and largest.replace("1.40130e", "1.4013e") in str(caught.value)
    report, _ = checkpoint.quantize(file, quantize.lookup("int8"), skip=["b.weight"])
    assert [row["name"] for row in report["tensors"]] == ["a.weight"]
