"""The uncased BERT WordPiece tokenizer: text to token ids.

Basic tokenizer (clean, isolate CJK characters, strip accents, lower case, split at white space and punctuation), then
greedy longest match of each word against the vocabulary. Source: Devlin et al., BERT, 2018, with the details of the
Hugging Face `tokenizers` library, which defines what the published vocabularies mean. Character classes come from
Python's Unicode data; the library's are older, so characters added to Unicode since may be split differently. That
library is not used because its wheel is 3.4 MB, for one of its many tokenizers.
"""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# As in the library, whose extension E begins at 2B920 instead of 2B820.
_CJK = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_REMOVED = ("Cc", "Cf", "Co")  # control, format, private use


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary and the rules to apply it.

    Parameters
    ----------
    vocabulary : dict of str to int
        Token to id; holds the five special tokens. Tokens inside a word carry the prefix ``##``.
    max_word : int
        Words of more characters become ``[UNK]`` whole.
    """

    vocabulary: dict = field(repr=False)
    max_word: int = 100

    def __post_init__(self):
        for token in SPECIAL_TOKENS:
            if token not in self.vocabulary:
                raise ValueError(f"the vocabulary lacks the special token {token}")

    @classmethod
    def load(cls, folder):
        """Read ``tokenizer.json`` of a model folder or, where there is none, ``vocab.txt`` (one token a line).

        Raises
        ------
        ValueError
            When both files are missing, or the tokenizer is not an uncased BERT WordPiece; names the file and the key.
        """
        folder = Path(folder)
        if (folder / "tokenizer.json").is_file():
            return _from_tokenizer_json(folder / "tokenizer.json")
        if (folder / "vocab.txt").is_file():
            return _from_vocab_txt(folder)
        raise ValueError(f"{folder}: tokenizer.json and vocab.txt are missing, one of them is needed")

    def tokenize(self, text):
        """Split a text into tokens, without ``[CLS]`` and ``[SEP]``.

        Special tokens that are spelled out in the text, ``[MASK]`` say, stay whole.
        """
        if not isinstance(text, str):
            raise TypeError(f"text to tokenize must be a string, not {type(text).__name__}")
        tokens = []
        for part in _SPECIAL_SPLIT.split(text):
            if part in SPECIAL_TOKENS:
                tokens.append(part)
            else:
                for word in basic_tokenize(part):
                    tokens += self._match(word)
        return tokens

    def encode(self, texts, max_length=512):
        """Turn texts into one padded batch of ids.

        Parameters
        ----------
        texts : sequence of str
        max_length : int, >= 2
            Longer token sequences are cut, ``[SEP]`` stays.

        Returns
        -------
        ids, mask : ndarray of int64, shape (texts, longest)
            ``[CLS] tokens [SEP] [PAD]...``; the mask is 1 at tokens and 0 at padding.
        """
        if isinstance(texts, str):
            raise TypeError("texts to encode must be a sequence of strings, not one string")
        if max_length < 2:
            raise ValueError(f"max_length must be 2 or more to hold [CLS] and [SEP], not {max_length}")
        rows = [[CLS, *self.tokenize(text)[: max_length - 2], SEP] for text in texts]
        longest = max(map(len, rows), default=0)
        ids = np.full((len(rows), longest), self.vocabulary[PAD], dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = [self.vocabulary[token] for token in row]
            mask[i, : len(row)] = 1
        return ids, mask

    def _match(self, word):
        """Cut a word greedily into the longest tokens of the vocabulary; one misfit makes the whole word ``[UNK]``."""
        if len(word) > self.max_word:
            return [UNK]
        tokens = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                token = prefix + word[start:end]
                if token in self.vocabulary:
                    break
            else:
                return [UNK]
            tokens.append(token)
            start = end
        return tokens


_SPECIAL_SPLIT = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")


def basic_tokenize(text):
    """Normalise a text and split it into words and single punctuation marks.

    Order as in the library: clean, isolate CJK, decompose (NFD) and drop accents, lower case, split.
    """
    cleaned = "".join(_clean(char) for char in text)
    stripped = "".join(char for char in unicodedata.normalize("NFD", cleaned) if unicodedata.category(char) != "Mn")
    # Character by character: str.lower of the whole word would turn a final sigma into its final form.
    lowered = "".join(char.lower() for char in stripped)
    return "".join(f" {char} " if _is_punctuation(char) else char for char in lowered).split()


def _clean(char):
    if char in "\t\n\r":
        return " "
    if char == "\ufffd" or unicodedata.category(char) in _REMOVED:
        return ""
    code = ord(char)
    return f" {char} " if any(low <= code <= high for low, high in _CJK) else char


def _is_punctuation(char):
    # BERT counts every printing ASCII sign as punctuation, such as $ + < ^, which Unicode calls symbols.
    return (char.isascii() and char.isprintable() and not char.isalnum() and char != " ") or (
        unicodedata.category(char)[0] == "P"
    )


def _from_tokenizer_json(path):
    spec = read_json(path)
    model = spec.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise ValueError(f"{path}: model.type must be WordPiece")
    wanted = {
        ("model", "unk_token"): (UNK,),
        ("model", "continuing_subword_prefix"): ("##",),
        ("normalizer", "type"): ("BertNormalizer",),
        ("normalizer", "clean_text"): (True,),
        ("normalizer", "handle_chinese_chars"): (True,),
        ("normalizer", "strip_accents"): (None, True),
        ("normalizer", "lowercase"): (True,),
        ("pre_tokenizer", "type"): ("BertPreTokenizer",),
    }
    for (part, key), allowed in wanted.items():
        section = spec.get(part)
        value = section.get(key) if isinstance(section, dict) else None
        if value not in allowed:
            raise ValueError(f"{path}: {part}.{key} is {value!r}, an uncased BERT tokenizer has {allowed[-1]!r}")
    for token in spec.get("added_tokens") or ():
        if not isinstance(token, dict) or token.get("content") not in SPECIAL_TOKENS:
            raise ValueError(f"{path}: added_tokens holds {token!r}, known are {', '.join(SPECIAL_TOKENS)}")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not all(type(index) is int and index >= 0 for index in vocabulary.values()):
        raise ValueError(f"{path}: model.vocab must map tokens to non-negative integers")
    max_word = model.get("max_input_chars_per_word", 100)
    if type(max_word) is not int or max_word < 1:
        raise ValueError(f"{path}: model.max_input_chars_per_word must be a positive integer, not {max_word!r}")
    return _build(path, vocabulary, max_word)


def _from_vocab_txt(folder):
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    wanted = {"do_lower_case": (True,), "tokenize_chinese_chars": (True,), "strip_accents": (True, None)}
    for key, allowed in wanted.items():
        value = config.get(key, allowed[-1])
        if value not in allowed:
            raise ValueError(f"{config_path}: {key} is {value!r}, an uncased BERT tokenizer has {allowed[-1]!r}")
    path = folder / "vocab.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error}") from None
    # Not str.splitlines: a vocabulary may hold Unicode's other line separators as tokens.
    lines = text.removesuffix("\n").split("\n")
    vocabulary = {token: index for index, token in enumerate(lines)}
    if len(vocabulary) < len(lines):
        token = next(token for index, token in enumerate(lines) if vocabulary[token] != index)
        raise ValueError(f"{path}: token {token!r} is on two lines")
    return _build(path, vocabulary, WordPiece.max_word)


def _build(path, vocabulary, max_word):
    try:
        return WordPiece(vocabulary, max_word)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_json(path):
    """Read a JSON object; ValueError, one line with the file's name, for anything else."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{Path(path).parent}: {Path(path).name} is missing") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a JSON {type(value).__name__}, expected an object")
    return value
