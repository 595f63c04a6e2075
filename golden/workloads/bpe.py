"""The byte-level BPE tokenizer of SmolLM2: text to token ids and back.

A text is split into words, numbers into single digits; the UTF-8 bytes of each word are spelled with 256 printing
characters; then, of the neighbours in a word, the pair that is first in the list of merges becomes one, over and over.
Sources: Sennrich et al. 2016 (byte pair encoding); Radford et al. 2019 (GPT-2: bytes, and the pattern of a word); the
keys ``tokenizer.ggml.*`` of the GGUF format. Where these are silent, our choice: special tokens that are spelled out in
a text stay whole, and a byte that has no token becomes the unknown token. The library `tokenizers` is not used because
its wheel is 3.4 MB, for one of its many tokenizers.
"""

import itertools
import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np

from ..checks import integer, named

# Keys that change what becomes of a text: what they must say, if the file has them.
_FIXED = {"add_bos_token": False, "add_eos_token": False, "add_space_prefix": False}
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens

# A word of a text in which all that is not ASCII is replaced, see `_shadow`. GPT-2's pattern, which follows a split at
# every digit: white space before a digit stays together, as it does at the end of a text.
_WORD = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[a-zA-Z]+|[0-9]| ?[^\sa-zA-Z0-9]+|\s+(?![^\s0-9])|\s+", re.ASCII)
# Unicode's property White_Space, without ASCII.
_SPACES = {*"\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}


@dataclass(frozen=True)
class BytePair:
    """A vocabulary, its merges, and the rules to apply them.

    Parameters
    ----------
    tokens : list of str
        By id; in the spelling of bytes, but for the special ones.
    merges : list of (str, str)
        The first comes first. The parts of each and what they make are tokens.
    special : frozenset of str
        Tokens that stay whole where a text spells them out.
    unknown : int, optional
        Id for a byte that has no token.

    Attributes
    ----------
    ids : dict of str to int
        The id of each token.
    """

    tokens: list = field(repr=False)
    merges: list = field(repr=False)
    special: frozenset = frozenset()
    unknown: int | None = None

    def __post_init__(self):
        ids = {token: index for index, token in enumerate(self.tokens)}
        if len(ids) < len(self.tokens):
            token = next(token for index, token in enumerate(self.tokens) if ids[token] != index)
            raise ValueError(f"token {token!r} is there twice")
        for left, right in self.merges:
            for token in (left, right, left + right):
                if token not in ids:
                    raise ValueError(f"the merge of {left!r} and {right!r} needs the token {token!r}, which is missing")
        if self.unknown is not None and not 0 <= self.unknown < len(ids):
            raise ValueError(f"the unknown token must be 0 to {len(ids) - 1}, not {self.unknown}")
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "_ranks", {pair: rank for rank, pair in enumerate(self.merges)})
        # The longest first, where one begins another.
        special = "|".join(re.escape(token) for token in sorted(self.special, key=len, reverse=True))
        object.__setattr__(self, "_special", re.compile(f"({special})" if special else "(?!)"))

    @classmethod
    def from_gguf(cls, file):
        """The tokenizer that the metadata of a GGUF file describe.

        Parameters
        ----------
        file : gguf.Gguf

        Raises
        ------
        ValueError
            For another kind of tokenizer, and for metadata that contradict each other; names file and key.
        """

        def get(key, *arguments):
            return file.get(f"tokenizer.ggml.{key}", *arguments)

        wanted = {"model": (get("model", str), "gpt2"), "pre": (get("pre", str), "smollm")}
        wanted |= {key: (get(key, bool, value), value) for key, value in _FIXED.items()}
        for key, (value, expected) in wanted.items():
            if value != expected:
                raise ValueError(f"{file.path}: tokenizer.ggml.{key} is {value!r}, this tokenizer has {expected!r}")
        tokens, kinds = get("tokens", list), get("token_type", np.ndarray)
        if len(kinds) != len(tokens):
            raise ValueError(f"{file.path}: tokenizer.ggml.token_type has {len(kinds)} entries, not {len(tokens)}")
        special = np.nonzero((kinds == _CONTROL) | (kinds == _USER_DEFINED))[0]
        merges = [tuple(merge.split(" ")) for merge in get("merges", list)]
        for index, merge in enumerate(merges):
            if len(merge) != 2:
                raise ValueError(
                    f"{file.path}: tokenizer.ggml.merges: {index} is {' '.join(merge)!r}, expected two parts"
                )
        unknown = get("unknown_token_id", int, -1)
        with named(f"{file.path}: tokenizer.ggml"):
            return cls(tokens, merges, frozenset(tokens[i] for i in special), None if unknown == -1 else unknown)

    def encode(self, text):
        """Turn a text into ids; no token is put before or after it.

        Parameters
        ----------
        text : str

        Returns
        -------
        ndarray of int64, shape (tokens,)

        Raises
        ------
        ValueError
            For a byte that has no token, if there is no unknown one, and for a lone surrogate.
        """
        if not isinstance(text, str):
            raise TypeError(f"text to encode must be a string, not {type(text).__name__}")
        known, ids = {}, []
        for part in self._special.split(text):
            if part in self.special:
                ids.append(self.ids[part])
                continue
            for word in split(part):
                if word not in known:
                    known[word] = [self._id(token) for token in self._merge(word)]
                ids += known[word]
        return np.array(ids, dtype=np.int64)

    def decode(self, ids):
        """Turn ids into a text; bytes that are no UTF-8 become U+FFFD.

        Parameters
        ----------
        ids : sequence of int
            Each 0 to the number of tokens less 1.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            For another id.
        """
        indices = [integer("a token id", index, 0, len(self.tokens) - 1) for index in ids]
        return b"".join(self._bytes(self.tokens[index]) for index in indices).decode(errors="replace")

    def _merge(self, word):
        """The tokens of a word."""
        parts = [_CHARACTERS[byte] for byte in word.encode()]
        while len(parts) > 1:
            first = min(itertools.pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if first not in self._ranks:
                break
            parts = _joined(parts, first)
        return parts

    def _bytes(self, token):
        # What cannot be a spelling of bytes stands for itself, as special tokens do.
        spelled = token not in self.special and _BYTES.keys() >= set(token)
        return bytes(map(_BYTES.get, token)) if spelled else token.encode()

    def _id(self, token):
        index = self.ids.get(token, self.unknown)
        if index is None:
            raise ValueError(f"byte {_BYTES[token]} has no token, and there is no unknown one")
        return index


def split(text):
    """Split a text into words, which keep the space before them; every digit is a word.

    A letter is of Unicode's categories L, a digit of its categories N, white space has its property White_Space. The
    categories are those of Python's Unicode data.
    """
    return [text[slice(*match.span())] for match in _WORD.finditer(_shadow(text))]


def _shadow(text):
    """A text of the same length, each character that is not ASCII replaced by one of its class.

    The standard library's regular expressions know no categories. No contraction has the letter.
    """
    return text if text.isascii() else "".join(char if char.isascii() else _class(char) for char in text)


def _class(char):
    if char in _SPACES:
        return "\t"
    return {"L": "a", "N": "0"}.get(unicodedata.category(char)[0], "!")


def _joined(parts, pair):
    """The parts, with each occurrence of a pair made one, from the left."""
    joined = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _spelling():
    """GPT-2's characters of the 256 bytes: printing ones of Latin-1 are themselves, the rest follow from U+0100."""
    printing = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = (byte for byte in range(256) if byte not in printing)
    return {byte: chr(byte) for byte in printing} | {byte: chr(256 + index) for index, byte in enumerate(rest)}


_CHARACTERS = _spelling()
_BYTES = {char: byte for byte, char in _CHARACTERS.items()}
