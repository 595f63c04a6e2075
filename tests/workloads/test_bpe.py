"""The tokenizer, against what the `tokenizers` library gave for awkward texts (see the note in data/bpe.json)."""

import json
from pathlib import Path

import numpy as np
import pytest
import toy_causal

from bitloom.golden.workloads import gguf, lee
from bitloom.golden.workloads.bpe import BytePair, split
from bitloom.golden.workloads.causal import model_file

CASES = json.loads((Path(__file__).parents[1] / "data" / "bpe.json").read_text())["cases"]
#: Bytes that SmolLM2 has no token for and that text may hold.
NO_TOKEN = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2}


@pytest.fixture(scope="module")
def tokenizer():
    return BytePair.from_gguf(gguf.load(model_file()))


@pytest.fixture(scope="module")
def small():
    merges = [tuple(merge.split()) for merge in toy_causal.MERGES]
    special = frozenset({"<unk>", "<|a|>", "<|a|>b", "né é"})
    return BytePair(toy_causal.TOKENS, merges, special, toy_causal.TOKENS.index("<unk>"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_ids_of_the_tokenizers_library(tokenizer, case):
    ids = tokenizer.encode(case["text"])
    assert ids.dtype == np.int64 and ids.tolist() == case["ids"]
    if not NO_TOKEN & set(case["text"].encode()):
        assert tokenizer.decode(ids) == case["text"]


def test_a_long_text_comes_back(tokenizer):
    text = lee.background()
    ids = tokenizer.encode(text)
    assert len(ids) == 75678 and tokenizer.decode(ids) == text


def test_special_tokens_of_the_installed_model(tokenizer):
    assert len(tokenizer.tokens) == 49152 and len(tokenizer.special) == 17 and tokenizer.unknown == 0
    assert tokenizer.tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def test_words():
    assert split("He's 12 years   old,\n\nisn't he?") == [
        *("He", "'s", " ", "1", "2", " years", "  ", " old", ",", "\n", "\n", "isn", "'t", " he", "?")
    ]
    assert split("a  1") == ["a", "  ", "1"]
    assert split(" é½\u2003_ſ'ſ") == [" é", "½", "\u2003", "_", "ſ", "'", "ſ"]
    assert split("") == []


def spelled(tokenizer, text):
    return [tokenizer.tokens[index] for index in tokenizer.encode(text)]


def test_the_pair_that_is_first_in_the_list_is_merged_first(small):
    assert spelled(small, "the the") == ["t", "he", "Ġthe"]
    assert spelled(small, "abc") == ["abc"]
    assert spelled(small, "aab") == ["a", "ab"]
    assert spelled(small, "aaa") == ["aaa"]
    assert spelled(small, "aaaaaaab") == ["aa", "aa", "aa", "ab"]


def test_special_tokens_stay_whole_the_longest_first(small):
    assert spelled(small, "a<|a|>b<|a|>né é<|a|") == ["a", "<|a|>b", "<|a|>", "né é", "<", "|", "a", "|"]


def test_every_byte_comes_back(small):
    text = "".join(map(chr, range(0x250))) + "é漢😀<|a|>né é"
    assert small.decode(small.encode(text)) == text
    assert small.decode([small.ids["Ã"]]) == "\ufffd"
    assert small.decode([]) == "" and small.encode("").shape == (0,)


def test_a_byte_without_a_token():
    tokens = ["a", "b", "ab", "?"]
    assert BytePair(tokens, [("a", "b")], unknown=3).encode("abxb").tolist() == [2, 3, 1]
    with pytest.raises(ValueError, match="byte 120 has no token, and there is no unknown one"):
        BytePair(tokens, [("a", "b")]).encode("abxb")


def test_wrong_requests(small):
    with pytest.raises(TypeError, match="text to encode must be a string, not bytes"):
        small.encode(b"a")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        small.encode("\ud800")
    for index in (-1, len(small.tokens), 1.5):
        with pytest.raises(ValueError, match=f"a token id must be 0 to {len(small.tokens) - 1}, not {index}"):
            small.decode([index])
    with pytest.raises(ValueError, match="token 'a' is there twice"):
        BytePair(["a", "b", "a"], [])
    for missing, merge in (("b", ("a", "b")), ("aa", ("a", "a"))):
        with pytest.raises(ValueError, match=f"needs the token '{missing}', which is missing"):
            BytePair(["a"], [merge])
    with pytest.raises(ValueError, match="the unknown token must be 0 to 0, not 1"):
        BytePair(["a"], [], unknown=1)


@pytest.mark.parametrize(
    ("key", "item", "message"),
    [
        ("model", None, "model is missing"),
        ("model", ("string", "llama"), "model is 'llama', this tokenizer has 'gpt2'"),
        ("pre", ("string", "llama-bpe"), "pre is 'llama-bpe', this tokenizer has 'smollm'"),
        ("add_bos_token", ("bool", True), "add_bos_token is True, this tokenizer has False"),
        ("add_eos_token", ("bool", True), "add_eos_token is True, this tokenizer has False"),
        ("add_space_prefix", ("bool", True), "add_space_prefix is True, this tokenizer has False"),
        ("add_space_prefix", ("u8", 0), "add_space_prefix must be of type bool, not int"),
        ("tokens", ("[u8]", [1, 2]), "tokens must be of type list, not ndarray"),
        ("tokens", ("[string]", [*toy_causal.TOKENS[:-1], "a"]), " token 'a' is there twice"),
        ("token_type", ("[i32]", [1, 1]), "token_type has 2 entries, not 268"),
        ("merges", ("[string]", ["a b", "a"]), "merges: 1 is 'a', expected two parts"),
        ("merges", ("[string]", ["b b"]), " the merge of 'b' and 'b' needs the token 'bb', which is missing"),
        ("unknown_token_id", ("u32", 268), " the unknown token must be 0 to 267, not 268"),
    ],
)
def test_metadata_of_another_tokenizer(tmp_path, key, item, message):
    pairs = toy_causal.PAIRS | {f"tokenizer.ggml.{key}": item}
    pairs = {name: value for name, value in pairs.items() if value is not None}
    file = gguf.load(toy_causal.write(tmp_path / "x.gguf", {}, pairs))
    with pytest.raises(ValueError) as caught:
        BytePair.from_gguf(file)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'x.gguf'}: tokenizer.ggml") and message in text and "\n" not in text


def test_a_file_without_an_unknown_token(tmp_path):
    pairs = {key: item for key, item in toy_causal.PAIRS.items() if not key.endswith("unknown_token_id")}
    tokenizer = BytePair.from_gguf(gguf.load(toy_causal.write(tmp_path / "x.gguf", {}, pairs)))
    assert tokenizer.unknown is None and tokenizer.special == {"<unk>", "<|a|>", "<|a|>b", "né é"}
