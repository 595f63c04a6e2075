"""The machine's jobs on arrays, one after the other: what each memory holds after each, bit for bit.

It has no clock and no units side by side: a list of jobs is right if the machine, whose units overtake each other,
gives the same. Lanes of no token are computed as all others, from what the memories happened to hold.
"""

from collections import deque

import numpy as np

from .. import exact
from ..checks import integer
from ..gqa_lut import integer_ops, pwl
from . import image, jobs, pairs, parts
from .parts import Norm
from .requantizer import requantize

__all__ = ["Executor"]

_ROOT_SCALE = 6


class Executor:
    """A machine with a program.

    Parameters
    ----------
    program : Program

    Attributes
    ----------
    a, b, logits, probabilities, residual : ndarray of int64, shape (words, lanes)
        The memories, 0 at first.
    """

    def __init__(self, program):
        self.program, sizes = program, program.sizes
        lanes = sizes.lanes
        self.a, self.b = (np.zeros((words, lanes), np.int64) for words in (sizes.bank_a, sizes.bank_b))
        self.logits, self.probabilities = (np.zeros((sizes.scores, lanes), np.int64) for _ in range(2))
        self.residual = np.zeros((sizes.residual, lanes), np.int64)
        self._panels, self._tables = deque(), {name: deque() for name in jobs.TABLES}
        self._gelu, self._rows = None, deque()

    def __call__(self, sentences, watch=lambda index, job, executor: None):
        """Sums of the last hidden states of some sentences, in one pass.

        Parameters
        ----------
        sentences : sequence of array_like of int
            Token ids, of each sentence 1 or more; each begins a new group of lanes.
        watch : callable, optional
            Called with each job's number, the job and the executor, after the job; in loops, once for each sentence.

        Returns
        -------
        ndarray of int64, shape (sentences, channels)

        Raises
        ------
        ValueError
            For too many tokens, ids that there are not, and jobs that cannot be done.
        """
        self._take(sentences)
        self._sums, index, sentence = [], 0, 0
        while not isinstance(job := self.program.jobs[index], jobs.End):
            if isinstance(job, jobs.Loop):
                sentence += 1
                if sentence < len(self._counts):
                    index -= job.jobs
                    continue
                sentence = 0
            else:
                self._sentence = sentence
                getattr(self, f"_{type(job).__name__.lower()}")(job)
                watch(index, job, self)
            index += 1
        return np.array(self._sums)

    def _take(self, sentences):
        """Where each sentence's tokens are."""
        self._ids = [np.asarray(ids) for ids in sentences]
        self._counts = [len(ids) for ids in self._ids]
        groups = self.program.groups(self._counts)
        for token in np.concatenate(self._ids).tolist():
            integer("a token's id", token, 0, self.program.vocabulary - 1)
        self._first = np.concatenate([[0], np.cumsum(groups)]).tolist()

    @property
    def _places(self):
        """Group and lane of each token of all sentences."""
        return [place for sentence in range(len(self._counts)) for place in self._places_of(sentence)]

    def _places_of(self, sentence):
        lanes, first = self.program.sizes.lanes, self._first[sentence]
        return [(first + token // lanes, token % lanes) for token in range(self._counts[sentence])]

    # -- the loading unit ----------------------------------------------------------------------------------------------

    def _load(self, job):
        words = self.program.words[job.address : job.address + job.panels * (job.head + job.body)]
        words = np.tile(words.reshape(job.panels, job.head + job.body), (len(self._counts) if job.each else 1, 1))
        for head, body in zip(words[:, : job.head], words[:, job.head :], strict=True):
            if job.table == "gelu":
                self._tables["gelu"].append(image.parse_gelu(head.tolist()))
            else:
                self._tables[job.table].extend(image.parse_entries(head.tolist(), self.program.sizes))
            if job.body:
                self._panels.append(self._bytes(body))

    def _bytes(self, words):
        """Bytes with sign of words, (words, lanes)."""
        return image.octets(words, self.program.sizes.word_bits).view(np.int8).astype(np.int64)

    def _fetch(self, job):
        words, lanes = self.program.words, self.program.sizes.lanes
        size = job.channels // lanes
        for ids in self._ids:
            for position, token in enumerate(ids.tolist()):
                at = job.positions + 2 * size * position
                octets = self._bytes(words[at : at + 2 * size]).astype(np.int8)
                at = job.words + size * token
                row = self._bytes(words[at : at + size]).ravel()
                self._rows.append((row, octets.reshape(-1).view("<i2").astype(np.int64)))

    # -- the multiplying unit ------------------------------------------------------------------------------------------

    def _product(self, job):
        lanes, single = self.program.sizes.lanes, job.single
        if job.fresh:
            self._gelu = self._tables["gelu"].popleft()
        first = self._first[self._sentence] if single else 0
        tokens = self._counts[self._sentence] if single else 0
        groups = self.program.sizes.groups_of(tokens) if single else self._first[-1]
        words, sides = job.steps or tokens, {}
        for side in ("rows", "columns"):
            panels, base, stride = (getattr(job, f"{side[:-1]}_{name}") for name in ("panels", "base", "stride"))
            source = getattr(job, side)
            if source in ("a", "b"):
                base += first * stride if not panels else first * lanes if not job.steps else 0
            operand = self._operand(source, panels or groups, words, base, stride)
            sides[side] = pairs.decoded(operand) if job.weighted and self.program.sizes.pairs else operand
        steps = sides["rows"].shape[-1]
        sums = exact.wrap(exact.product(sides["rows"].reshape(-1, steps), sides["columns"].reshape(-1, steps)), 32)
        rows, columns = (len(sides[side]) for side in ("rows", "columns"))
        sums = sums.reshape(rows, lanes, columns, lanes)
        base = job.base + (first * job.stride if not job.column_panels and job.to != "logits" else 0)
        outer = rows if job.outer == "rows" else columns
        tables = [[] for _ in _seconds(job)]
        for _ in range(outer if job.per_panel else 1):
            for second, kept in enumerate(tables):
                kept.append(self._table(second))
        self._drain(job, sums, base, [_spread(job, kept) for kept in tables])

    def _operand(self, source, panels, words, base, stride):
        """Operands of a side, (panels, lanes, words)."""
        if source == "weights":
            taken = [self._panels.popleft() for _ in range(panels)]
            return np.array(taken).transpose(0, 2, 1)
        memory = getattr(self, source)
        at = base + np.arange(panels)[:, None] * stride + np.arange(words)
        return memory[at].transpose(0, 2, 1)

    def _table(self, second):
        """The next table of a requantizer: arrays of bias, multiplier and shift, (entries, lanes)."""
        lanes, entries, queue = self.program.sizes.lanes, [], self._tables["product"]
        while True:
            entry = queue.popleft()
            if entry["second"] != second:
                raise ValueError("an entry is for another requantizer than the next one of the job")
            entries += [entry] * (lanes if entry["spread"] else 1)
            if entry["last"]:
                break
        return [np.array([e[n] for e in entries]).reshape(-1, lanes) for n in ("bias", "multiplier", "shift")]

    def _drain(self, job, sums, base, tables):
        """Results, (panels, lanes, panels, lanes), to where they belong; no place has two of them."""
        rows, lanes, columns, _ = sums.shape
        at = base + np.arange(columns) * job.stride + np.arange(rows * lanes).reshape(rows, lanes, 1)
        memory = self.b if job.to == "gelu" else getattr(self, job.to)
        if job.to == "residual":
            self.residual[at] = requantize(sums, *tables[0], bits=16, residual=self.residual[at])
            return
        if job.to == "gelu":
            sums = self._gelu(requantize(sums, *tables[0], bits=16))
        if not job.pairs:
            memory[at] = requantize(sums, *tables[-1])
            return
        # Two rows of a column are a word.
        fixed = requantize(sums, *tables[-1], bits=parts.WIDE).reshape(rows * lanes, columns, lanes)
        at = base + np.arange(columns) * job.stride + np.arange(rows * lanes // 2)[:, None]
        memory[at] = np.moveaxis(pairs.encoded(np.moveaxis(fixed, 0, -1)), -1, 0)

    # -- the unit of rows ----------------------------------------------------------------------------------------------

    def _embed(self, job):
        for group, lane in self._places:
            word, position = self._rows.popleft()
            at = group * job.channels + np.arange(job.channels)
            self.residual[at, lane] = parts.saturated((word << job.shift) + position)

    def _normalize(self, job):
        sizes = self.program.sizes
        first, second = self._norm_tables(job)
        table = pwl.shipped(f"rsqrt-normalized-{sizes.entries}")[_ROOT_SCALE]
        for group, lane in self._places:
            at = group * job.channels + np.arange(job.channels)
            # At the machine's scale, whatever the length of the row: the hardware knows no other one.
            y = integer_ops.layernorm(
                self.residual[at, lane],
                Norm.scale(sizes.channels),
                epsilon=sizes.epsilon,
                table=table,
                input_bits=parts.WIDE,
                output_bits=parts.WIDE,
            )
            y = requantize(np.where(first["negative"], -y, y), *_numbers(first), bits=16)
            self.residual[at, lane] = y
            if second:
                codes = self._inputs(y, second)
                self.a[job.base + group * job.stride + np.arange(len(codes)), lane] = codes

    def _inputs(self, y, table):
        """What the next linear layer takes of a token's residual."""
        if not self.program.sizes.pairs:
            return requantize(y, *_numbers(table))
        return pairs.encoded(requantize(y, *_numbers(table), bits=parts.WIDE))

    def _norm_tables(self, job):
        """Tables of both requantizers, by the names of fields; the second one is None where there are no codes."""
        taken = []
        for _ in range(2 if job.codes else 1):
            entries = [self._tables["norm"].popleft() for _ in range(job.channels)]
            taken.append({name: np.array([entry[name] for entry in entries]) for name in image.ENTRY})
        return taken if job.codes else (*taken, None)

    def _softmax(self, job):
        sizes = self.program.sizes
        tokens = self._counts[self._sentence]
        for token in range(tokens):
            at = job.base + token // sizes.lanes * sizes.tokens + np.arange(tokens)
            lane = token % sizes.lanes
            self.probabilities[at, lane] = parts.softmax(self.logits[at, lane], sizes.logit_scale, sizes.entries)

    def _sum(self, job):
        places = self._places_of(self._sentence)
        channels = np.arange(job.channels)
        self._sums.append(sum(self.residual[group * job.channels + channels, lane] for group, lane in places))


def _seconds(job):
    """Whether a table is for the requantizer behind GELU, of those that a panel has, in order."""
    return (0, 1) if job.to == "gelu" else (0,)


def _spread(job, tables):
    """A table for each panel of the outer side, as arrays for all results."""
    numbers = [np.array(values) for values in zip(*tables, strict=True)]
    if not job.by_row:
        numbers = [values[:, :1] for values in numbers]
    if job.outer == "rows":
        return [values[:, :, None] for values in numbers]
    return [values.transpose(1, 0, 2)[None] for values in numbers]


def _numbers(table):
    return [table[name] for name in ("bias", "multiplier", "shift")]
