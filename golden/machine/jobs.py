"""Jobs of the machine: what its units are told to do, as 128 bits each.

A list of jobs is done in its order by three units: one loads from the memory behind the port, one multiplies, one works
on rows. Each takes its own jobs, and goes on while another one works. What must not overtake is told by three bits: a
job may wait for a signal of the other of the two working units, and for all results of the multiplying unit itself, and
it may give a signal when it is done. All of it is our choice; tokens between units are of VTA (arXiv 1807.04188,
section 2.3).

Where a field counts tokens, 0 stands for those that there are: of all sentences of a pass, or of one with `single`.
"""

import dataclasses
from dataclasses import dataclass

from ..checks import integer

__all__ = [
    "BITS",
    "COUNTERS",
    "DESTINATIONS",
    "KINDS",
    "OPERATION",
    "SOURCES",
    "TABLES",
    "Embed",
    "End",
    "Fetch",
    "Load",
    "Loop",
    "Normalize",
    "Product",
    "Softmax",
    "Sum",
    "decode",
    "encode",
    "fields",
    "text",
    "width",
]

#: Of a job.
BITS = 128
#: Where an operand of a product comes from: the weights that were loaded, a bank of activations, the probabilities.
SOURCES = ("weights", "a", "b", "probabilities")
#: Where results go: a bank of activations, with 8 bits; the logits, with 8; the residual, added to it, with 16; bank b
#: by way of GELU, with 8. In a bank, pairs may be in place of codes of 8 bits.
DESTINATIONS = ("a", "b", "logits", "residual", "gelu")
#: For whom the words in front of a panel are: the requantizers behind products or behind LayerNorm, or GELU's table.
TABLES = ("product", "norm", "gelu")

#: What the machine counts in a pass: its cycles; steps of sums; cycles in which one waited for weights; in which the
#: unit of rows worked; words that the memory gave.
COUNTERS = ("cycles", "steps", "waiting", "rows", "words")

#: Bits of the operation, the lowest ones of a job.
OPERATION = 4


@dataclass(frozen=True)
class End:
    """All units have done their jobs: the pass is over."""


@dataclass(frozen=True)
class Loop:
    """Go back for the next sentence, if there is one.

    Parameters
    ----------
    jobs : int
        The first job that is done again is so many before this one; 1 or more.
    """

    jobs: int


@dataclass(frozen=True)
class Load:
    """Words of the memory in the order of use: panels, and in front of each what its results need.

    Parameters
    ----------
    address : int
        Of the first word.
    panels : int
        1 or more.
    head : int
        Words of tables in front of each panel.
    body : int
        Words of each panel's weights.
    table : str
        One of `TABLES`.
    each : bool
        All of it as often as there are sentences.
    """

    address: int
    panels: int
    head: int
    body: int = 0
    table: str = "product"
    each: bool = False


@dataclass(frozen=True)
class Fetch:
    """Rows of the embedding's two tables, for each token its position's and its word's; for `Embed`.

    Parameters
    ----------
    words, positions : int
        Addresses of the tables.
    channels : int
        Of a row: bytes of a word's, pairs of bytes of a position's.
    """

    words: int
    positions: int
    channels: int


@dataclass(frozen=True)
class Product:
    """Products of panels of rows with panels of columns, each of `lanes` lanes.

    Each panel of the outer side has a table for the requantizer: of rows, entry `r` is for row `r`; of columns, the
    lanes of entry 0 are for the lanes. Logits have one table for the whole job, and entry 0 of it for all.

    Operand word `k` of panel `p` is at ``base + p * stride + k`` of its source; of weights, they come in the order of
    use. A word is a step of the sums; where linear layers have pairs, and one side are weights, it is two steps.
    Results of row `r` of panel `p` of rows with panel `q` of columns go to ``base + q * stride + p * lanes + r``; with
    `pairs`, those of two rows are one word, and go to ``base + q * stride + (p * lanes + r) // 2``.
    With `single`, panels and steps that are tokens are those of the current sentence.

    Parameters
    ----------
    rows, columns : str
        Two of `SOURCES`; weights are the outer side, `a` and `b` different.
    steps : int
        Length of the sums in operand words; 0: as many as there are tokens.
    row_panels, column_panels : int
        0: of as many tokens as there are.
    row_base, row_stride, column_base, column_stride : int
    to : str
        One of `DESTINATIONS`.
    base, stride : int
        Of the results.
    outer : str
        The side, ``rows`` or ``columns``, of which each panel meets all those of the other side before the next one.
    single : bool
        For the current sentence alone.
    fresh : bool
        GELU has its next table from here on; needs `drained`.
    wait : bool
        For a signal of the unit of rows.
    drained : bool
        Wait for all results of the products before.
    signal : bool
        To the unit of rows, when all results are in place.
    pairs : bool
        Results become pairs; only in a machine of such a format.
    """

    rows: str
    columns: str
    steps: int
    row_panels: int
    column_panels: int
    to: str
    row_base: int = 0
    row_stride: int = 0
    column_base: int = 0
    column_stride: int = 0
    base: int = 0
    stride: int = 0
    outer: str = "rows"
    single: bool = False
    fresh: bool = False
    wait: bool = False
    drained: bool = False
    signal: bool = False
    pairs: bool = False

    @property
    def weighted(self):
        """Whether it is a linear layer: one side are weights."""
        return "weights" in (self.rows, self.columns)

    @property
    def per_panel(self):
        """Whether each panel of the outer side has a table."""
        return self.to != "logits"

    @property
    def by_row(self):
        """Whether each row has an entry of the table."""
        return self.per_panel and self.outer == "rows"


@dataclass(frozen=True)
class Embed:
    """Words and positions that `Fetch` brings become the residual.

    Parameters
    ----------
    channels : int
    shift : int
        0 to 8: bits that a word's code is shifted left by.
    """

    channels: int
    shift: int


@dataclass(frozen=True)
class Normalize:
    """LayerNorm of the residual of each token, into the residual and, as inputs of the next layer, into bank a.

    Parameters
    ----------
    channels : int
    base, stride : int
        Of bank a: channel `c` of a group `g` of tokens goes to ``base + g * stride + c``; of pairs, two channels go to
        ``base + g * stride + c // 2``.
    codes : bool
        Whether there is something for bank a, and a table for it.
    wait, signal : bool
        For a signal of the multiplying unit, and to it.
    """

    channels: int
    base: int = 0
    stride: int = 0
    codes: bool = True
    wait: bool = False
    signal: bool = False


@dataclass(frozen=True)
class Softmax:
    """Softmax over the tokens of the current sentence, for each of its tokens.

    Logits of token `t` with others `u` are in lane ``t % lanes`` of ``base + t // lanes * tokens + u``, where `tokens`
    is the most that there can be; probabilities likewise.

    Parameters
    ----------
    base : int
        Of both memories.
    wait, signal : bool
        For a signal of the multiplying unit, and to it.
    """

    base: int
    wait: bool = False
    signal: bool = False


@dataclass(frozen=True)
class Sum:
    """The sum of the residual over the tokens of the current sentence goes out.

    Parameters
    ----------
    channels : int
    """

    channels: int


#: Classes of jobs; a class's place is its operation's number.
KINDS = (End, Loop, Load, Fetch, Product, Embed, Normalize, Softmax, Sum)
_CHOICES = {"rows": SOURCES, "columns": SOURCES, "to": DESTINATIONS, "table": TABLES, "outer": ("rows", "columns")}
_FLAGS = ("single", "fresh", "wait", "drained", "signal", "codes", "each", "pairs")


def fields(kind, config):
    """Fields of a kind of job and their bits, the lowest first, behind the operation's 4.

    Without pairs there is no field for them.

    Parameters
    ----------
    kind : type
        One of `KINDS`.
    config
        Of the machine, as `Sizes`.

    Returns
    -------
    dict of str to int
    """
    widths = {"jobs": 12, "panels": 12, "head": 14, "body": 14, "shift": 4, **dict.fromkeys(_FLAGS, 1)}
    widths |= {name: (len(values) - 1).bit_length() for name, values in _CHOICES.items()}
    widths |= dict.fromkeys(("address", "words", "positions"), config.address_bits)
    word = (max(config.bank_a, config.bank_b, config.scores) - 1).bit_length()
    longest = max(config.channels, config.hidden, config.tokens).bit_length()
    widths |= dict.fromkeys(("channels", "steps", "row_stride", "column_stride", "stride"), longest)
    widths |= dict.fromkeys(("row_base", "column_base", "base"), word)
    widths |= dict.fromkeys(("row_panels", "column_panels"), longest - config.lanes.bit_length() + 1)
    if not config.pairs:
        del widths["pairs"]
    return {field.name: widths[field.name] for field in dataclasses.fields(kind) if field.name in widths}


def width(config):
    """Bits of the longest kind of job, as `fields`; at most `BITS` can be encoded."""
    return OPERATION + max(sum(fields(kind, config).values()) for kind in KINDS)


def encode(job, config):
    """A job as a number of `BITS` bits.

    Parameters
    ----------
    job : object
        Of one of `KINDS`.
    config
        As of `fields`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For a value that its field cannot hold, naming both.
    """
    code, at = KINDS.index(type(job)), OPERATION
    if getattr(job, "pairs", False) and not config.pairs:
        raise ValueError(f"pairs of {type(job).__name__} must be False in a machine of {config.format}, not True")
    for name, bits in fields(type(job), config).items():
        value = getattr(job, name)
        if name in _CHOICES:
            value = _CHOICES[name].index(value)
        code |= integer(f"{name} of {type(job).__name__}", int(value), 0, (1 << bits) - 1) << at
        at += bits
    return code


def decode(code, config):
    """The job of a number.

    Raises
    ------
    ValueError
        For a number that stands for no job.
    """
    operation, rest = code & (1 << OPERATION) - 1, code >> OPERATION
    if operation >= len(KINDS):
        raise ValueError(f"the operation of a job must be 0 to {len(KINDS) - 1}, not {operation}")
    kind, values = KINDS[operation], {}
    for name, bits in fields(kind, config).items():
        value, rest = rest & (1 << bits) - 1, rest >> bits
        if name in _CHOICES:
            if value >= len(_CHOICES[name]):
                raise ValueError(f"{name} of {kind.__name__} must be 0 to {len(_CHOICES[name]) - 1}, not {value}")
            value = _CHOICES[name][value]
        values[name] = bool(value) if name in _FLAGS else value
    if rest:
        raise ValueError(f"bits beyond the fields of {kind.__name__} must be 0, not {rest:#x}")
    return kind(**values)


def text(job):
    """A job as a line, without the fields that are as by default."""
    told = []
    for field in dataclasses.fields(job):
        value = getattr(job, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            told.append(field.name if value is True else f"{field.name}={value}")
    return " ".join([type(job).__name__.lower(), *told])
