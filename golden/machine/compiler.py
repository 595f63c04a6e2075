"""An integer encoder as a list of jobs and an image of the memory: what the machine runs.

Weights, and what requantizers need, lie in the order of use. Bank a has the inputs of a layer and, behind them, its
queries, which its contexts replace; bank b keys and values, then what is inside the feed-forward. One list of jobs
serves sentences of any number of tokens. All of it is our choice.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..checks import integer
from . import image, jobs
from .parts import Norm
from .sizes import Sizes

__all__ = ["Program", "assemble", "compile_encoder"]


@dataclass(frozen=True, eq=False)
class Program:
    """What the machine runs.

    Parameters
    ----------
    sizes : Sizes
        Of the machine it is for.
    jobs : tuple
        Of those of `jobs.KINDS`.
    words : ndarray of uint64
        The memory, from address 0 on: the jobs, then all else.
    channels, vocabulary, positions : int
        Of an embedding; of ids; most tokens of a sentence.
    """

    sizes: Sizes
    jobs: tuple
    words: np.ndarray
    channels: int
    vocabulary: int
    positions: int

    def check_length(self, count):
        """Refuse a sentence of more tokens than the machine or the model has places for, or of none.

        Raises
        ------
        ValueError
        """
        integer("tokens of a sentence", count, 1, min(self.positions, self.sizes.tokens))

    def groups(self, counts):
        """Groups of lanes that each sentence of a pass takes.

        Parameters
        ----------
        counts : sequence of int
            Tokens of each sentence.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            As `check_length`, and for sentences that take too many groups together.
        """
        for count in counts:
            self.check_length(count)
        most, lanes = self.sizes.groups, self.sizes.lanes
        groups = [self.sizes.groups_of(count) for count in counts]
        if sum(groups) > most:
            raise ValueError(f"sentences must have at most {most} groups of {lanes} tokens, not {sum(groups)}")
        return groups


def compile_encoder(encoder, sizes):
    """Jobs and image of an encoder.

    Parameters
    ----------
    encoder : Encoder
    sizes : Sizes
        Of the machine.

    Returns
    -------
    Program

    Raises
    ------
    ValueError
        For an encoder that the machine cannot run; names what stands in the way.
    """
    _check(encoder, sizes)
    plan = _Plan(encoder, sizes)
    plan.embeddings()
    following = [layer.attention_input for layer in encoder.layers[1:]]
    for layer, after in zip(encoder.layers, [*following, None], strict=True):
        plan.attention(layer)
        plan.feed_forward(layer, after)
    plan.work(jobs.Sum(plan.channels), jobs.Loop(1), jobs.End())
    return plan.program()


def _check(encoder, sizes):
    """Refuse what does not fit."""
    layers, channels = encoder.layers, encoder.words.shape[1]
    hidden, width = len(layers[0].up.weights), channels // encoder.heads
    for name, value, most in (("channels", channels, sizes.channels), ("hidden", hidden, sizes.hidden)):
        if value > most or value % sizes.lanes:
            raise ValueError(f"{name} must be a multiple of {sizes.lanes} up to the machine's {most}, not {value}")
    if width % sizes.lanes:
        raise ValueError(f"a head's width must be a multiple of the machine's {sizes.lanes} lanes, not {width}")
    if (words := max(channels, hidden) // sizes.packed) > sizes.panels:
        raise ValueError(f"a panel of {words} words is longer than the machine's {sizes.panels}")
    if encoder.format != sizes.format:
        raise ValueError(f"linear layers must have the machine's format {sizes.format}, not {encoder.format}")
    if encoder.entries != sizes.entries:
        raise ValueError(f"the tables must have the machine's {sizes.entries} entries, not {encoder.entries}")
    if Norm.scale(channels) != Norm.scale(sizes.channels):
        raise ValueError(f"LayerNorm of {channels} channels has another scale than the machine's of {sizes.channels}")
    norms = [encoder.norm, *(norm for layer in layers for norm in (layer.attention_norm, layer.feed_forward_norm))]
    if any(norm.epsilon != sizes.epsilon for norm in norms):
        raise ValueError(f"epsilon of each LayerNorm must be the machine's {sizes.epsilon}")
    if any(layer.logit_scale != sizes.logit_scale for layer in layers):
        raise ValueError(f"the scale of logits must be the machine's {sizes.logit_scale} in each layer")


class _Plan:
    """Jobs and words as they are added: in turns what is loaded, and the work that needs it.

    What is loaded for the next work stands in front of this one, so that it comes while this one is done.
    """

    def __init__(self, encoder, sizes):
        self.encoder, self.sizes = encoder, sizes
        self.channels, self.heads = encoder.words.shape[1], encoder.heads
        self.hidden = len(encoder.layers[0].up.weights)
        self.panels = self.channels // sizes.lanes
        # Operand words of a token's inputs.
        self.inputs, self.insides = self.channels // sizes.packed, self.hidden // sizes.packed
        self.queries, self.values = sizes.groups * self.inputs, sizes.groups * self.channels
        self._loads, self._works = [[]], []
        self._parts, self._length, self._gelu = [], 0, None

    def load(self, job):
        """A job of the loading unit, for the next work."""
        self._loads[-1].append(job)

    def work(self, *jobs):
        """Jobs of the other units."""
        self._works.append(jobs)
        self._loads.append([])

    def _place(self, words):
        """Put words behind all others; their address."""
        at = self._length
        self._parts.append(np.asarray(words, np.uint64).ravel())
        self._length += self._parts[-1].size
        return at

    def _tables(self, words, table="product", **more):
        self.load(jobs.Load(self._place(words), 1, len(words), table=table, **more))

    def _linear(self, linear, *more, by_row=True):
        """Load the panels of a layer, each behind its entries and those of requantizers that come later."""
        sizes, lanes = self.sizes, self.sizes.lanes
        panels, heads = image.panels(linear.weights, sizes), []
        for at in range(0, len(linear.weights), lanes):
            head = image.entry_words(_part(linear.requantizer, at, lanes), sizes, spread=by_row)
            for requantizer in more:
                head += image.entry_words(_part(requantizer, at, lanes), sizes, spread=True, second=True)
            heads.append(head)
        words = np.concatenate([np.array(heads, np.uint64), panels], axis=1)
        self.load(jobs.Load(self._place(words), len(panels), len(heads[0]), panels.shape[1]))

    def _product(self, *arguments, **more):
        self.work(jobs.Product(*arguments, **more))

    def _norm(self, norm, following, *before):
        """LayerNorm behind other work, and the codes of what comes next, if anything does."""
        words = image.entry_words(norm.requantizer, self.sizes, signs=norm.signs)
        if following is not None:
            words += image.entry_words(_part(following, 0, self.channels), self.sizes, second=True)
        self._tables(words, "norm")
        more = {"stride": self.inputs, "codes": following is not None, "signal": following is not None}
        self.work(*before, jobs.Normalize(self.channels, wait=not before, **more))

    def embeddings(self):
        encoder, sizes = self.encoder, self.sizes
        tables = [self._place(image.rows(table, sizes)) for table in (encoder.words, encoder.positions)]
        self.load(jobs.Fetch(*tables, self.channels))
        embed = jobs.Embed(self.channels, encoder.word_shift)
        self._norm(encoder.norm, encoder.layers[0].attention_input, embed)

    def attention(self, layer):
        channels, inputs, stride = self.channels, self.inputs, {"column_stride": self.inputs}
        weights = ("weights", "a", inputs, self.panels, 0)
        self._linear(layer.query)
        self._product(*weights, "a", **stride, base=self.queries, stride=channels, wait=True)
        self._linear(layer.key)
        self._product(*weights, "b", **stride, stride=channels)
        # Values are the rows of the product with the probabilities: a word has channels of one token.
        self._linear(layer.value, by_row=False)
        values = {"row_stride": inputs, "base": self.values, "stride": self.sizes.tokens}
        self._product("a", "weights", inputs, 0, self.panels, "b", **values, outer="columns")
        self._heads(layer)
        self._linear(layer.output)
        contexts = {"column_base": self.queries, "column_stride": channels}
        self._product(*weights, "residual", **contexts, stride=channels, drained=True, signal=True)
        self._norm(layer.attention_norm, layer.feed_forward_input)

    def _heads(self, layer):
        """Logits of the next head are made while softmax works on those of this one."""
        lanes, width = self.sizes.lanes, self.channels // self.heads
        logits = image.entry_words(layer.logits, self.sizes, spread=True)
        contexts = []
        for head in range(self.heads):
            context = _part(layer.context, head * width, width)
            parts = [_part(context, at, lanes) for at in range(0, width, lanes)]
            contexts.append([word for part in parts for word in image.entry_words(part, self.sizes, spread=True)])
        words = [*logits]
        for head in range(self.heads):
            words += (logits if head + 1 < self.heads else []) + contexts[head]
        self._tables(words, each=True)
        work = [self._logits(0)]
        for head in range(self.heads):
            work.append(jobs.Softmax(self._scores(head), wait=True, signal=True))
            if head + 1 < self.heads:
                work.append(self._logits(head + 1))
            work.append(self._context(head))
        self.work(*work, jobs.Loop(len(work)))

    def _scores(self, head):
        return head % 2 * self.sizes.groups * self.sizes.tokens

    def _logits(self, head):
        width, stride = self.channels // self.heads, self.channels
        return jobs.Product(
            *("b", "a", width, 0, 0, "logits"),
            **{"row_base": head * width, "row_stride": stride},
            **{"column_base": self.queries + head * width, "column_stride": stride},
            **{"base": self._scores(head), "stride": self.sizes.tokens},
            **{"single": True, "drained": head == 0, "signal": True},
        )

    def _context(self, head):
        """Contexts of a head, where queries were that are not needed any more; pairs leave half of the words free."""
        sizes, width, tokens = self.sizes, self.channels // self.heads, self.sizes.tokens
        panels = width // sizes.lanes
        return jobs.Product(
            *("b", "probabilities", 0, panels, 0, "a"),
            **{"row_base": self.values + head * panels * tokens, "row_stride": tokens},
            **{"column_base": self._scores(head), "column_stride": tokens},
            **{"base": self.queries + head * width // sizes.packed, "stride": self.channels, "pairs": sizes.pairs},
            **{"single": True, "wait": True},
        )

    def feed_forward(self, layer, following):
        panels, pairs = self.hidden // self.sizes.lanes, self.sizes.pairs
        fresh = layer.gelu_scale != self._gelu
        if fresh:
            self._gelu = layer.gelu_scale
            self._tables(image.gelu_words(layer.gelu_scale, self.sizes), "gelu")
        self._linear(layer.up, layer.hidden)
        self._product(
            *("weights", "a", self.inputs, panels, 0, "gelu"),
            **{"column_stride": self.inputs, "stride": self.insides, "pairs": pairs},
            **{"wait": True, "fresh": fresh, "drained": fresh},
        )
        self._linear(layer.down)
        self._product(
            *("weights", "b", self.insides, self.panels, 0, "residual"),
            **{"column_stride": self.insides, "stride": self.channels, "drained": True, "signal": True},
        )
        self._norm(layer.feed_forward_norm, following)

    def program(self):
        """All jobs, and in front of all words their codes."""
        sizes, encoder = self.sizes, self.encoder
        # What is loaded for the first work; then each work behind what is loaded for the next one.
        listed = [*self._loads[0]]
        for loads, work in zip(self._loads[1:], self._works, strict=True):
            listed += [*loads, *work]
        return assemble(sizes, listed, self._parts, self.channels, len(encoder.words), len(encoder.positions))


def assemble(sizes, listed, parts, channels, vocabulary, positions):
    """A program of its jobs and of what lies behind them in the memory.

    Parameters
    ----------
    sizes : Sizes
    listed : sequence
        Jobs, in which addresses are counted from the first word of `parts` on.
    parts : sequence of ndarray of uint64
        Words.
    channels, vocabulary, positions : int
        As of `Program`.

    Returns
    -------
    Program

    Raises
    ------
    ValueError
        For more jobs or words than the machine has room for.
    """
    first = len(listed) * jobs.BITS // sizes.word_bits
    if len(listed) > sizes.jobs:
        raise ValueError(f"the program has {len(listed)} jobs, the machine takes {sizes.jobs}")
    total, room = first + sum(part.size for part in parts), 1 << sizes.address_bits
    if total > room:
        raise ValueError(f"the image has {total:,} words, {total - room:,} more than the machine's memory")
    moved = tuple(_moved(job, first) for job in listed)
    words = np.concatenate([np.array(image.job_words(moved, sizes), np.uint64), *parts])
    return Program(sizes, moved, words, channels, vocabulary, positions)


def _moved(job, words):
    """A job whose addresses are so much higher."""
    names = {"Load": ("address",), "Fetch": ("words", "positions")}.get(type(job).__name__, ())
    return replace(job, **{name: getattr(job, name) + words for name in names})


def _part(requantizer, at, count):
    """Channels of a requantizer; one entry for all of them counts as each one's."""
    size = max(np.size(requantizer.multiplier), np.size(requantizer.bias))
    bias, multiplier, shift = (
        np.broadcast_to(x, max(size, at + count))[at : at + count]
        for x in (requantizer.bias, requantizer.multiplier, requantizer.shift)
    )
    return replace(requantizer, bias=bias, multiplier=multiplier, shift=shift)
