"""What the size of a machine decides: the words of its memories."""

from dataclasses import dataclass

from ..systolic import tile

__all__ = ["FORMATS", "Sizes"]

#: Of weights and inputs of linear layers.
FORMATS = ("int8", "ovp-int4")


@dataclass(frozen=True)
class Sizes:
    """Sizes of a machine; the configuration of the core has the same names.

    A word of the banks has 8 bits for each lane, a code or a pair of codes, one of the residual has 16 bits.

    Parameters
    ----------
    lanes : int
        Rows, and columns, of the array: 4, 8 or 16.
    tokens : int
        Of all sentences of a pass, each rounded up to whole groups of `lanes`: a multiple of `lanes`.
    channels : int
        Most of the residual; a multiple of `lanes`.
    hidden : int
        Most of the feed-forward; a multiple of `lanes`.
    panels : int
        Words of weights that wait: a power of two.
    jobs : int
        Most of a program: a power of two.
    address_bits : int
        Of an address of the memory behind the port, in words of `8 * lanes` bits.
    logit_scale : int
        0 to 7.
    entries : int
        Of the tables of exp, 1/x, 1/sqrt(x) and GELU, 8 or 16.
    epsilon : int
        As of `integer_ops.layernorm`.
    format : str
        One of `FORMATS`: of weights and inputs of linear layers.
    """

    lanes: int = 8
    tokens: int = 64
    channels: int = 384
    hidden: int = 1536
    panels: int = 4096
    jobs: int = 512
    address_bits: int = 22
    logit_scale: int = 3
    entries: int = 16
    epsilon: int = 1
    format: str = "int8"

    @property
    def word_bits(self):
        """Of the memory behind the port."""
        return 8 * self.lanes

    @property
    def pairs(self):
        """Whether linear layers have pairs of codes."""
        return tile.FORMATS[self.format].pairs is not None

    @property
    def packed(self):
        """Codes of a lane in an operand word of a linear layer."""
        return tile.FORMATS[self.format].steps

    @property
    def groups(self):
        """Most groups of tokens."""
        return self.tokens // self.lanes

    def groups_of(self, tokens):
        """Groups that a sentence of so many tokens takes."""
        return -(-tokens // self.lanes)

    @property
    def residual(self):
        """Words of the residual."""
        return self.groups * self.channels

    @property
    def bank_a(self):
        """Words of bank a: the inputs of a layer; its queries, which its contexts replace."""
        return self.groups * (self.channels // self.packed + self.channels)

    @property
    def bank_b(self):
        """Words of bank b: keys and values, or what is inside the feed-forward."""
        return self.groups * max(2 * self.channels, self.hidden // self.packed)

    @property
    def scores(self):
        """Words of the logits, and of the probabilities: two heads'."""
        return 2 * self.groups * self.tokens
