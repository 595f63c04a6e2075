"""Programs of the machine that are drawn at random: every kind of job, and what may run side by side does.

They are no encoders, only lists of jobs that read nothing but what they wrote before. All numbers are drawn so that
codes spread over their range. What the right sums are, `golden.machine.executor` says.
"""

from dataclasses import replace

import numpy as np

from ...golden.machine import image, jobs
from ...golden.machine.compiler import assemble
from ...golden.machine.pairs import FRACTION, PAIRS
from ...golden.machine.parts import GELU_SCALES, WIDE, Norm, Requantizer
from ...golden.olive import ovp

__all__ = ["STAGES", "Draft", "NoRoom", "draw", "draw_sentences", "shortest"]

#: What adds to the residual behind the embedding.
STAGES = ("linear", "chain", "feed_forward", "attention")

#: Spread of codes of 8 bits, of codes of 16 bits, and of the products of two weights or activations; the same of pairs:
#: in fixed point, and of products of their values.
_NARROW, _WIDE, _PRODUCT = 40.0, 3000.0, 73.0 * 40.0
_FIXED, _PAIRED = 4.0 * (1 << FRACTION), 6.0 * 6.0


def draw(rng, config, first=(), stages=8):
    """A program for a machine, with as many stages as its jobs and its memory have room for.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    config : MachineConfig
    first : sequence of str
        Of `STAGES`: those that are tried first.
    stages : int
        Most of them.

    Returns
    -------
    Program
    """
    draft = Draft(rng, config)
    draft.embed()
    for at in range(stages):
        kinds = [*first[at : at + 1], *rng.permutation(STAGES).tolist()]
        if not any(draft.attempt(getattr(draft, kind)) for kind in kinds):
            break
    return draft.program()


def shortest(rng, config):
    """A program that gives the sums of its embeddings, and nothing else."""
    draft = Draft(rng, config, few=True)
    draft.embed(norm=False)
    return draft.program()


def draw_sentences(rng, program):
    """Sentences of a pass: ids of each.

    Parameters
    ----------
    rng : numpy.random.Generator
    program : Program

    Returns
    -------
    list of ndarray of int
    """
    sentences, left, lanes = [], program.sizes.groups, program.sizes.lanes
    while left and (not sentences or rng.random() < 0.6):
        count = int(rng.integers(1, min(left * lanes, program.positions) + 1))
        sentences.append(rng.integers(0, program.vocabulary, count))
        left -= -(-count // lanes)
    return sentences


class Draft:
    """A program that grows work by work: what is loaded, and the jobs that need it."""

    def __init__(self, rng, config, few=False):
        self.rng, self.sizes = rng, config.sizes
        sizes = self.sizes
        self.room = (1 << sizes.address_bits) - sizes.jobs * jobs.BITS // sizes.word_bits
        self.works, self.parts, self.length, self.gelu = [], [], 0, None
        lanes, share = sizes.lanes, self.room // 4
        # A quarter of the memory each for both tables of embeddings; one for what a linear layer has.
        most = min(sizes.channels, sizes.panels, max(lanes, int((share * lanes) ** 0.5) // lanes * lanes))
        self.channels = lanes if few else lanes * int(rng.integers(1, most // lanes + 1))
        row = self.channels // lanes
        self.vocabulary = int(min(1 << config.id_bits, 4 if few else 40, share // row))
        self.positions = int(min(sizes.tokens, 6 if few else sizes.tokens, share // (2 * row)))

    def attempt(self, stage):
        """Add a stage, unless there is no room for it; whether it was added."""
        kept = vars(self) | {"works": [*self.works], "parts": [*self.parts]}
        try:
            stage()
            self.program()
        except NoRoom:
            vars(self).update(kept)
            return False
        return True

    # -- parts of a program --------------------------------------------------------------------------------------------

    def work(self, loads, *listed):
        self.works.append((loads, listed))

    def place(self, words):
        """Put words behind all others; their address."""
        at = self.length
        self.parts.append(np.asarray(words, np.uint64).ravel())
        self.length += self.parts[-1].size
        return at

    def flips(self, odds=0.5):
        return bool(self.rng.random() < odds)

    def multiple(self, most):
        """Some number of channels, up to `most`."""
        lanes = self.sizes.lanes
        return lanes * int(self.rng.integers(1, max(1, most // lanes) + 1))

    def base(self, words, most, least=0):
        """Where so many words begin in a memory, between two of its places."""
        if most - words < least:
            raise NoRoom
        return int(self.rng.integers(least, most - words, endpoint=True))

    def requantizer(self, count, spread, wanted, bits=8):
        """Entries for sums of some spread to codes of another one; of some, the bias is large and counts more."""
        less = self.rng.choice([0, 0, 0, 0, 0, 4, 8, 12], count)
        scale = wanted / spread * 2.0 ** (self.rng.uniform(-1, 1, count) - less)
        return Requantizer.of(np.minimum(scale, 255), self.rng.normal(0, wanted / 2, count), bits)

    def inputs(self, count, spread, pairs=True):
        """Entries for sums that become the inputs of a linear layer, in the machine's format."""
        if self.sizes.pairs and pairs:
            return self.requantizer(count, spread, _FIXED, WIDE)
        return self.requantizer(count, spread, _NARROW)

    def tables(self, words, table="product", **more):
        return [jobs.Load(self.place(words), 1, len(words), table=table, **more)]

    def weights(self, outputs, words, to, by_row=True, pairs=False):
        """Load panels for products with activations of so many words, in one job or in two."""
        sizes, lanes = self.sizes, self.sizes.lanes
        if words > sizes.panels:
            raise NoRoom
        panels, steps = image.panels(self.codes(outputs, words * sizes.packed), sizes), words * sizes.packed
        spread = (_PAIRED if sizes.pairs else _PRODUCT) * steps**0.5
        heads = []
        for _ in range(len(panels)):
            if to == "residual":
                first = self.requantizer(lanes, spread, _WIDE / 2, WIDE)
            elif to == "gelu":
                first = self.requantizer(lanes, spread, self.gelu_spread, WIDE)
            else:
                first = self.inputs(lanes, spread, pairs)
            head = image.entry_words(first, sizes, spread=by_row)
            if to == "gelu":
                head += image.entry_words(self.inputs(lanes, self.gelu_spread), sizes, spread=True, second=True)
            heads.append(head)
        whole = np.concatenate([np.array(heads, np.uint64), panels], axis=1)
        address, cut = self.place(whole), int(self.rng.integers(0, len(panels)))
        sizes_of = [count for count in (cut, len(panels) - cut) if count]
        loads = []
        for count in sizes_of:
            loads.append(jobs.Load(address, count, len(heads[0]), words))
            address += count * whole.shape[1]
        return loads

    def codes(self, outputs, steps):
        """Weights; of pairs their values, outliers among them."""
        if self.sizes.pairs:
            return ovp.round_trip(self.rng.normal(0, 4, (outputs, steps)), PAIRS).astype(np.int8)
        return self.rng.integers(-127, 128, (outputs, steps)).astype(np.int8)

    def norm(self, *, waits, codes=True):
        """LayerNorm of the residual; with codes, bank a has what the next stage takes."""
        channels, sizes = self.channels, self.sizes
        first = self.requantizer(channels, 2.0 ** Norm.scale(sizes.channels), _WIDE, 16)
        words = image.entry_words(first, sizes, signs=self.rng.choice([-1, 1], channels))
        more = {}
        if codes:
            words += image.entry_words(self.inputs(channels, _WIDE), sizes, second=True)
            stride = int(self.rng.integers(channels, sizes.channels, endpoint=True)) // sizes.packed
            base = self.base((sizes.groups - 1) * stride + channels // sizes.packed, self.lower)
            more, self.input = {"base": base, "stride": stride}, ("a", base, stride, channels // sizes.packed)
        job = jobs.Normalize(channels, codes=codes, wait=waits, signal=codes, **more)
        self.work(self.tables(words, "norm"), job)

    def sums(self):
        """The sums of all sentences go out; what multiplies may go on with the residual only behind a LayerNorm."""
        self.work([], jobs.Sum(self.channels), jobs.Loop(1))

    def product(self, loads, source, outputs, to, **more):
        """Weights with activations; where the results are, as a source."""
        bank, base, stride, words = source
        panels, result = outputs // self.sizes.lanes, self.results(to, outputs, more.get("pairs", False))
        job = jobs.Product(
            *("weights", bank, words, panels, 0, to),
            **{"column_base": base, "column_stride": stride, "base": result[1], "stride": result[2]},
            **more,
        )
        self.work(loads, job)
        return result

    @property
    def lower(self):
        """Words of bank a that have inputs of a stage."""
        return self.sizes.bank_a // (1 + self.sizes.packed)

    def results(self, to, outputs, pairs=False):
        """Room for codes of so many channels of each token: bank, base, stride, words."""
        sizes, width = self.sizes, outputs // (2 if pairs else 1)
        if to == "residual":
            return "residual", 0, self.channels, self.channels
        stride = width + int(self.rng.integers(0, 3))
        words = (sizes.groups - 1) * stride + width
        if to == "a":
            return "a", self.base(words, sizes.bank_a, self.lower), stride, width
        return "b", self.base(words, sizes.bank_b), stride, width

    # -- stages --------------------------------------------------------------------------------------------------------

    def embed(self, norm=True):
        rng, sizes = self.rng, self.sizes
        # Of some rows all channels are near each other, or the same: LayerNorm divides by how far they are apart.
        words = rng.integers(-128, 128, (self.vocabulary, self.channels)).astype(np.int8)
        words >>= rng.choice([0, 0, 0, 6, 7], (self.vocabulary, 1)).astype(np.int8)
        spread = _WIDE * 2.0 ** -rng.integers(0, 13, (self.positions, 1))
        positions = np.clip(rng.normal(0, spread, (self.positions, self.channels)), -32768, 32767).astype(np.int16)
        tables = [self.place(image.rows(table, sizes)) for table in (words, positions)]
        embed = jobs.Embed(self.channels, int(rng.integers(0, 9)))
        self.work([jobs.Fetch(*tables, self.channels)], embed, jobs.Sum(self.channels), jobs.Loop(1))
        if norm:
            self.norm(waits=False)

    def ends(self):
        """A stage has added to the residual: LayerNorm, and often the sums of it."""
        if self.flips():
            self.norm(waits=True)
            return
        self.norm(waits=True, codes=False)
        self.sums()
        self.norm(waits=False)

    def linear(self):
        """A linear layer onto the residual."""
        loads = self.weights(self.channels, self.input[3], "residual")
        self.product(loads, self.input, self.channels, "residual", wait=True, signal=True)
        self.ends()

    def chain(self):
        """Two or three linear layers, by way of bank b and perhaps a."""
        source, pairs, waits = self.input, self.sizes.pairs, {"wait": True}
        for to in ("b", "a")[: int(self.rng.integers(1, 3))]:
            outputs = self.multiple(self.sizes.channels)
            loads = self.weights(outputs, source[3], to, pairs=True)
            source = self.product(loads, source, outputs, to, pairs=pairs, **waits)
            waits = {"drained": True}
        loads = self.weights(self.channels, source[3], "residual")
        self.product(loads, source, self.channels, "residual", signal=True, **waits)
        self.ends()

    def feed_forward(self):
        """Through GELU, with a table of its own or with the last one."""
        loads, outputs = [], self.multiple(self.sizes.hidden)
        fresh = self.gelu is None or self.flips()
        if fresh:
            self.gelu = int(self.rng.choice(GELU_SCALES))
            loads = self.tables(image.gelu_words(self.gelu, self.sizes), "gelu")
        loads += self.weights(outputs, self.input[3], "gelu")
        more = {"wait": True, "fresh": fresh, "drained": fresh or self.flips(), "pairs": self.sizes.pairs}
        hidden = self.product(loads, self.input, outputs, "gelu", **more)
        loads = self.weights(self.channels, hidden[3], "residual")
        self.product(loads, hidden, self.channels, "residual", drained=True, signal=True)
        self.ends()

    @property
    def gelu_spread(self):
        """Of its input: up to 3 or so."""
        return 2.0 ** (self.gelu or 0)

    def attention(self):
        """Queries, keys and values of one head or two; contexts take the places of queries."""
        sizes, rng, lanes = self.sizes, self.rng, self.sizes.lanes
        heads = int(rng.integers(1, 3))
        width = self.multiple(min(self.channels, sizes.channels) // heads)
        outputs = heads * width
        if outputs > sizes.channels:
            raise NoRoom
        half = sizes.bank_b // 2
        queries = self.product(self.weights(outputs, self.input[3], "a"), self.input, outputs, "a", wait=True)
        keys = "b", self.base((sizes.groups - 1) * outputs + outputs, half), outputs, outputs
        bank, base, stride, steps = self.input
        loads = self.weights(outputs, steps, "b")
        job = {"column_base": base, "column_stride": stride, "base": keys[1], "stride": outputs}
        self.work(loads, jobs.Product("weights", bank, steps, outputs // lanes, 0, "b", **job))
        values = self.base(outputs // lanes * sizes.tokens, sizes.bank_b, half)
        loads = self.weights(outputs, steps, "b", by_row=False)
        job = {"row_base": base, "row_stride": stride, "base": values, "stride": sizes.tokens, "outer": "columns"}
        self.work(loads, jobs.Product("a", "weights", steps, 0, outputs // lanes, "b", **job))
        self.heads(heads, width, queries, keys, values)
        contexts = *queries[:3], outputs // sizes.packed
        loads = self.weights(self.channels, contexts[3], "residual")
        self.product(loads, contexts, self.channels, "residual", drained=True, signal=True)
        self.ends()

    def heads(self, heads, width, queries, keys, values):
        """For each sentence, and each head: logits, softmax, context."""
        sizes, lanes = self.sizes, self.sizes.lanes
        scores = [head * sizes.groups * sizes.tokens for head in range(heads)]
        spread = _NARROW**2 * width**0.5
        entries = [self.requantizer(1, spread, 2.0 ** (sizes.logit_scale + 1)) for _ in scores]
        tables = [image.entry_words(entry, sizes, spread=True) for entry in entries]
        words, listed = list(tables[0]), [self.logits(0, width, queries, keys, scores, drained=True)]
        for head, at in enumerate(scores):
            listed.append(jobs.Softmax(at, wait=True, signal=True))
            if head + 1 < heads:
                words += tables[head + 1]
                listed.append(self.logits(head + 1, width, queries, keys, scores))
            for _ in range(width // lanes):
                words += image.entry_words(self.contexts(lanes), sizes, spread=True)
            listed.append(
                jobs.Product(
                    *("b", "probabilities", 0, width // lanes, 0, "a"),
                    **{"row_base": values + head * width // lanes * sizes.tokens, "row_stride": sizes.tokens},
                    **{"column_base": at, "column_stride": sizes.tokens},
                    **{"base": queries[1] + head * width // sizes.packed, "stride": queries[2], "pairs": sizes.pairs},
                    **{"single": True, "wait": True},
                )
            )
        self.work(self.tables(words, each=True), *listed, jobs.Loop(len(listed)))

    def contexts(self, count):
        """Entries for products of probabilities and values."""
        return self.inputs(count, 256.0 * _NARROW) if self.sizes.pairs else self.requantizer(count, 256.0, 1.0)

    def logits(self, head, width, queries, keys, scores, **more):
        return jobs.Product(
            *("b", "a", width, 0, 0, "logits"),
            **{"row_base": keys[1] + head * width, "row_stride": keys[2]},
            **{"column_base": queries[1] + head * width, "column_stride": queries[2]},
            **{"base": scores[head], "stride": self.sizes.tokens, "single": True, "signal": True},
            **more,
        )

    # -- the whole -----------------------------------------------------------------------------------------------------

    def program(self, sums=True):
        """The program as it is now, with the sums at its end, or without."""
        sizes = self.sizes
        *before, (loads, (*work, last)) = self.works
        if isinstance(last, jobs.Normalize):
            # Nobody waits for it any more, and a signal would be there still in the next pass.
            last = replace(last, signal=False)
        before.append((loads, (*work, last)))
        works = [*before, ([], (*([jobs.Sum(self.channels), jobs.Loop(1)] if sums else []), jobs.End()))]
        listed, early = [], False
        for index, (loads, work) in enumerate(works):
            listed += [] if early else loads
            following = works[index + 1][0] if index + 1 < len(works) else []
            # So many wait in front of their unit: else a job behind them that they wait for is not reached.
            early = len(loads) + len(following) <= 4 and self.flips()
            listed += [*(following if early else []), *work]
        if len(listed) > sizes.jobs or self.length > self.room:
            raise NoRoom
        return assemble(sizes, listed, self.parts, self.channels, self.vocabulary, self.positions)


class NoRoom(Exception):
    """The machine has no room for it."""
