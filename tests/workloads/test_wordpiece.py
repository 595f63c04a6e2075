"""The tokenizer, against what the `tokenizers` library gave for awkward texts (see the note in data/wordpiece.json)."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitloom.golden.workloads.sentences import SENTENCES
from bitloom.golden.workloads.transformer import model_folder
from bitloom.golden.workloads.wordpiece import SPECIAL_TOKENS, WordPiece, basic_tokenize

CASES = json.loads((Path(__file__).parents[1] / "data" / "wordpiece.json").read_text())["cases"]
TOKENS = [*SPECIAL_TOKENS, "un", "##aff", "##able", "##a", "aff", ",", "a", "\u2028"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPiece.load(model_folder())


@pytest.fixture
def small():
    return WordPiece({token: index for index, token in enumerate(TOKENS)})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_tokens_and_ids_of_the_tokenizers_library(tokenizer, case):
    assert ["[CLS]", *tokenizer.tokenize(case["text"]), "[SEP]"] == case["tokens"]
    ids, mask = tokenizer.encode([case["text"]])
    assert ids.tolist() == [case["ids"]]
    assert mask.all()


def test_longest_match_first(small):
    assert small.tokenize("unaffable") == ["un", "##aff", "##able"]
    assert small.tokenize("Aff,A") == ["aff", ",", "a"]


def test_one_misfit_makes_the_whole_word_unknown(small):
    assert small.tokenize("unaffx a") == ["[UNK]", "a"]
    assert WordPiece(small.vocabulary, max_word=2).tokenize("una un") == ["[UNK]", "un"]


def test_basic_tokenizer():
    assert basic_tokenize("Ångström,\t2 µm\x00 (ΟΔΟΣ) 東京") == [
        "angstrom",
        ",",
        "2",
        "µm",
        "(",
        "οδοσ",
        ")",
        "東",
        "京",
    ]
    assert basic_tokenize(" \n") == []


def test_batch_is_padded_to_its_longest(small):
    ids, mask = small.encode(["a", "unaffable, a", ""])
    assert ids.dtype == mask.dtype == np.int64
    assert ids.tolist() == [[2, 11, 3, 0, 0, 0, 0], [2, 5, 6, 7, 10, 11, 3], [2, 3, 0, 0, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0], [1] * 7, [1, 1, 0, 0, 0, 0, 0]]


def test_truncation_keeps_the_separator(small):
    ids, mask = small.encode(["a, a, a", "a"], max_length=4)
    assert ids.tolist() == [[2, 11, 10, 3], [2, 11, 3, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert small.encode(["a, a, a"], max_length=2)[0].tolist() == [[2, 3]]


def test_no_texts(small):
    ids, mask = small.encode([])
    assert ids.shape == mask.shape == (0, 0)


def test_wrong_requests(small):
    with pytest.raises(TypeError, match="sequence of strings, not one string"):
        small.encode("a")
    with pytest.raises(TypeError, match="must be a string, not int"):
        small.encode([3])
    with pytest.raises(ValueError, match="max_length must be 2 or more"):
        small.encode(["a"], max_length=1)
    with pytest.raises(ValueError, match=r"lacks the special token \[UNK\]"):
        WordPiece({"[PAD]": 0})


def test_vocab_txt_says_the_same_as_tokenizer_json(tokenizer, tmp_path):
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).symlink_to(model_folder() / name)
    other = WordPiece.load(tmp_path)
    assert other == tokenizer
    assert (other.encode(SENTENCES)[0] == tokenizer.encode(SENTENCES)[0]).all()


def test_vocab_txt_alone(small, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    assert WordPiece.load(tmp_path) == small


def make_tokenizer_json():
    return {
        "added_tokens": [{"id": index, "content": token} for index, token in enumerate(SPECIAL_TOKENS)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 7,
            "vocab": {token: index for index, token in enumerate(TOKENS)},
        },
    }


def test_tokenizer_json_comes_before_vocab_txt(small, tmp_path):
    (tmp_path / "vocab.txt").write_text("of another model")
    (tmp_path / "tokenizer.json").write_text(json.dumps(make_tokenizer_json()))
    assert WordPiece.load(tmp_path) == WordPiece(small.vocabulary, max_word=7)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("model", "type", "BPE", "model.type must be WordPiece"),
        ("model", "unk_token", "<unk>", "model.unk_token is '<unk>', an uncased BERT tokenizer has '[UNK]'"),
        ("model", "continuing_subword_prefix", "@@", "model.continuing_subword_prefix is '@@'"),
        ("model", "max_input_chars_per_word", 0, "max_input_chars_per_word must be a positive integer, not 0"),
        ("model", "vocab", ["a"], "model.vocab must map tokens to non-negative integers"),
        ("model", "vocab", {"a": "b"}, "model.vocab must map tokens to non-negative integers"),
        ("model", "vocab", {"a": 0}, "lacks the special token [PAD]"),
        ("normalizer", "lowercase", False, "normalizer.lowercase is False, an uncased BERT tokenizer has True"),
        ("normalizer", "strip_accents", False, "normalizer.strip_accents is False"),
        ("pre_tokenizer", "type", "Whitespace", "pre_tokenizer.type is 'Whitespace'"),
        ("added_tokens", 0, {"content": "<s>"}, "added_tokens holds {'content': '<s>'}"),
    ],
)
def test_foreign_tokenizer_json(tmp_path, part, key, value, message):
    spec = make_tokenizer_json()
    spec[part][key] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    assert_refused(tmp_path, tmp_path / "tokenizer.json", message)


@pytest.mark.parametrize("content", ["", "[1, 2", "[]", "{}", '{"model": 3}', '{"model": {}, "normalizer": "x"}'])
def test_broken_tokenizer_json(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    assert_refused(tmp_path, tmp_path / "tokenizer.json", "")


@pytest.mark.parametrize(
    ("vocab", "config", "file", "message"),
    [
        (None, "{}", "", "tokenizer.json and vocab.txt are missing"),
        ("[PAD]\na\na\n", "{}", "vocab.txt", "token 'a' is on two lines"),
        ("a\n", "{}", "vocab.txt", "lacks the special token [PAD]"),
        ("\udcff", "{}", "vocab.txt", "not UTF-8"),
        ("a\n", '{"do_lower_case": false}', "tokenizer_config.json", "do_lower_case is False"),
        ("a\n", '{"strip_accents": false}', "tokenizer_config.json", "strip_accents is False"),
        ("a\n", "{", "tokenizer_config.json", "not valid JSON"),
    ],
)
def test_foreign_vocab_txt(tmp_path, vocab, config, file, message):
    if vocab is not None:
        (tmp_path / "vocab.txt").write_bytes(vocab.encode("utf-8", "surrogateescape"))
    (tmp_path / "tokenizer_config.json").write_text(config)
    assert_refused(tmp_path, tmp_path / file, message)


def assert_refused(folder, file, message):
    with pytest.raises(ValueError) as caught:
        WordPiece.load(folder)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and message in text and "\n" not in text
