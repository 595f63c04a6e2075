"""Every tensor of an encoder, as the simulated machine writes it, held against the golden ones.

What is written is put, job by job, into arrays as the machine's memories are. After each job these must be the
executor's; and of a compiled encoder, each tensor in them must be the encoder's, by its name. Both start from the ids.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ...cores.generate import bare
from ...cores.machine.machine import out_layout
from ...golden.machine import jobs, pairs
from ...golden.machine.executor import Executor
from ...hdl.stream import codec
from .simulated import drive_passes
from .watched import WatchedMachine, written_layouts

__all__ = ["Checked", "Mirror", "check", "check_encoder", "design", "order"]

#: Destination of a product's results to the memory that has them.
_MEMORIES = {"a": "a", "b": "b", "logits": "logits", "residual": "residual", "gelu": "b"}


@dataclass
class Checked:
    """What a check compared.

    Attributes
    ----------
    tensors, values : int
        Compared.
    wrong : int
        Values that differ.
    failure : str or None
        One line: the first difference.
    cycles : int
        Of the machine.
    seconds : float
        Of the simulation.
    names : set of str
        Of the tensors.
    """

    tensors: int = 0
    values: int = 0
    wrong: int = 0
    failure: str | None = None
    cycles: int = 0
    seconds: float = 0.0
    names: set = field(default_factory=set, repr=False)

    def compare(self, name, got, expected):
        """Hold one tensor against another one."""
        differs = np.argwhere(got != expected)
        self.names.add(name)
        self.tensors += 1
        self.values += expected.size
        self.wrong += len(differs)
        if len(differs) and self.failure is None:
            at = tuple(differs[0].tolist())
            self.failure = (
                f"{name}: {len(differs):,} of {expected.size:,} values differ, the first at {at}: expected "
                f"{expected[at]}, got {got[at]}"
            )

    def add(self, other):
        """What another check compared, too."""
        for name in ("tensors", "values", "wrong", "cycles", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failure = self.failure or other.failure
        self.names |= other.names


def design(config):
    """The Verilog of the machine and its watcher; parameters as of `WatchedMachine`."""
    return bare(WatchedMachine(config), "watched_machine")


def check(config, program, passes, *, made=None, **more):
    """Run passes, and hold what each job left in the memories against the executor's.

    Parameters
    ----------
    config : MachineConfig
    program : Program
    passes : list of list of array_like of int
    made : Design, optional
        In place of `design`'s.
    **more
        As of `drive`: `progress`, `patience`, `stall_in`.

    Returns
    -------
    Checked
    """
    checked, mirror = _run(config, program, passes, made, more)
    executor = Executor(program)

    def watch(index, job, executor):
        # What is behind the first difference has it, too.
        if checked.failure is None:
            for name in mirror.take(index, job):
                told = f"{name} behind job {index}, {jobs.text(job)}"
                checked.compare(told, mirror.arrays[name], getattr(executor, name))

    for sentences in passes:
        mirror.begin(sentences)
        sums = executor(sentences, watch)
        if checked.failure is None:
            checked.compare("sums", np.array(mirror.sums), sums)
    return checked


def check_encoder(config, program, encoder, sentences, *, made=None, workers=2, progress=None):
    """Run sentences, each in a pass of its own, and hold every tensor against the encoder's.

    Parameters
    ----------
    config : MachineConfig
    program : Program
        `compile_encoder` of the encoder.
    encoder : golden.machine.Encoder
    sentences : list of array_like of int
        Ids.
    made : Design, optional
        In place of `design`'s.
    workers : int
        Simulations at a time.
    progress : callable, optional
        Called with (done, total) sentences.

    Returns
    -------
    Checked
        Of all sentences together.
    """
    made = made or design(config)
    whole = Checked()

    def one(ids):
        expected = {}
        encoder(ids, expected.__setitem__)
        checked, mirror = _run(config, program, [[ids]], made, {})
        mirror.begin([ids])
        names = _Names(len(ids), encoder.heads, program.sizes)
        for index, job in order(program, 1):
            mirror.take(index, job)
            for name, tensor in names.tensors(job, mirror):
                if name in expected:
                    checked.compare(name, tensor, expected.pop(name))
        if expected and checked.failure is None:
            checked.failure = f"nothing was written of {', '.join(expected)}"
        return checked

    with ThreadPoolExecutor(workers) as pool:
        for done, checked in enumerate(pool.map(one, sentences), 1):
            whole.add(checked)
            if progress:
                progress(done, len(sentences))
    return whole


def _run(config, program, passes, made, more):
    """Simulate passes: an account with nothing compared yet, and what was written."""
    layouts = written_layouts(config) | {"o": out_layout()}
    counts = dict.fromkeys(layouts, 0)
    for sentences in passes:
        for name, count in Mirror(program, None).counted(sentences).items():
            counts[name] += count
    made = made or design(config)
    driven = drive_passes(made, config, program, passes, counts, cell=config.word, counted=False, **more)
    checked = Checked(failure=driven.failure, cycles=driven.cycles, seconds=driven.seconds)
    if any(len(driven.outputs[name]) != count for name, count in counts.items()):
        checked.failure = checked.failure or "not all was written"
        # So that what was written is compared all the same.
        for name, count in counts.items():
            rows = driven.outputs[name]
            driven.outputs[name] = np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]), np.uint8)])
    return checked, Mirror(program, {name: codec.unpack(layouts[name], rows) for name, rows in driven.outputs.items()})


def order(program, sentences):
    """Each job that is done in a pass of so many sentences, and its number; loops and the end are none."""
    index = sentence = 0
    while not isinstance(job := program.jobs[index], jobs.End):
        if isinstance(job, jobs.Loop):
            sentence = (sentence + 1) % sentences
            if sentence:
                index -= job.jobs
                continue
        else:
            yield index, job
        index += 1


class Mirror:
    """What was written, in arrays as the machine's memories.

    Parameters
    ----------
    program : Program
    written : dict of str to dict of str to ndarray
        Of each stream of `WatchedMachine`, and of its sums, the fields of all payloads.

    Attributes
    ----------
    arrays : dict of str to ndarray
        As of `Executor`; `up` and `up_gelu`, GELU's input and output, in the places that bank b has its codes at; where
        it has pairs, in twice as many.
    sums : list of ndarray
        Of the pass.
    """

    def __init__(self, program, written):
        self._program, self._sizes, self._written = program, program.sizes, written
        self._at = {}
        sizes = program.sizes
        words = {"a": sizes.bank_a, "b": sizes.bank_b, "logits": sizes.scores, "probabilities": sizes.scores}
        words |= {"residual": sizes.residual} | dict.fromkeys(("up", "up_gelu"), sizes.bank_b * sizes.packed)
        self.arrays = {name: np.zeros((count, sizes.lanes), np.int64) for name, count in words.items()}

    def begin(self, sentences):
        """A pass of these sentences comes."""
        self._counts = [len(ids) for ids in sentences]
        self._groups, self._seen, self.sums = self._program.groups(self._counts), Counter(), []

    def counted(self, sentences):
        """How much is written in a pass: of each stream."""
        self.begin(sentences)
        total = Counter()
        for index, job in order(self._program, len(sentences)):
            total.update(self._amounts(index, job))
        return total

    def take(self, index, job):
        """What a job wrote, into the arrays; the names of the memories that it wrote to."""
        taken = {name: self._next(name, count) for name, count in self._amounts(index, job).items()}
        if isinstance(job, jobs.Product):
            fields, name = taken["products"], _MEMORIES[job.to]
            self.arrays[name][fields["place"]] = fields["codes"]
            if job.to == "gelu":
                for inner, stream in (("up", "up"), ("up_gelu", "gelu")):
                    codes = taken[stream]["payload"].reshape(-1, self._sizes.lanes)
                    packed = len(codes) // len(fields["place"])
                    places = packed * fields["place"][:, None] + np.arange(packed)
                    self.arrays[inner][places.ravel()] = codes
            return (name,)
        if isinstance(job, jobs.Sum):
            self.sums.append(taken["o"]["value"])
            return ()
        for name, fields in taken.items():
            # Of an embedding the position comes first; the last one counts. Bank a takes codes as bytes.
            codes = fields["code"].astype(np.int8) if name == "a" else fields["code"]
            self.arrays[name][fields["place"], fields["lane"]] = codes
        return tuple(taken)

    def _next(self, name, count):
        at = self._at.get(name, 0)
        self._at[name] = at + count
        return {key: values[at : at + count] for key, values in self._written[name].items()}

    def _amounts(self, index, job):
        """Payloads of each stream that a job gives."""
        sentence = self._seen[index] % len(self._counts)
        self._seen[index] += 1
        tokens, total, lanes = self._counts[sentence], sum(self._counts), self._sizes.lanes
        match job:
            case jobs.Product():
                groups = self._groups[sentence] if job.single else sum(self._groups)
                words = (job.row_panels or groups) * lanes * (job.column_panels or groups)
                codes = dict.fromkeys(("up", "gelu"), words * lanes) if job.to == "gelu" else {}
                return {"products": words // 2 if job.pairs else words} | codes
            case jobs.Embed():
                return {"residual": 2 * total * job.channels}
            case jobs.Normalize():
                codes = {"a": total * job.channels // self._sizes.packed} if job.codes else {}
                return {"residual": total * job.channels} | codes
            case jobs.Softmax():
                return {"probabilities": tokens * tokens}
            case jobs.Sum():
                return {"o": job.channels}
        return {}


class _Names:
    """Names of tensors for the jobs of a compiled encoder, one after the other, in a pass of one sentence."""

    def __init__(self, tokens, heads, sizes):
        self._tokens, self._heads, self._sizes = tokens, heads, sizes
        self._norms, self._parts = 0, {"logits": [], "softmax": [], "context": []}

    def tensors(self, job, mirror):
        """Name and codes of each tensor that is complete with a job."""
        match job:
            case jobs.Embed():
                yield "embeddings.sum", self._channels(mirror, "residual", 0, job.channels, job.channels)
            case jobs.Normalize():
                yield from self._normalized(job, mirror)
            case jobs.Product():
                yield from self._product(job, mirror)
            case jobs.Softmax():
                yield from self._collected("softmax", self._scores(mirror, "probabilities", job.base))
            case jobs.Sum():
                yield "embedding", mirror.sums[-1]

    @property
    def _layer(self):
        """Number of the layer: two LayerNorms in each, and one in front of all."""
        return (self._norms - 1) // 2

    def _normalized(self, job, mirror):
        names = ["feed_forward.norm", "attention.norm"][self._norms % 2]
        name = f"layer.{self._layer}.{names}" if self._norms else "embeddings.norm"
        yield name, self._channels(mirror, "residual", 0, job.channels, job.channels)
        self._norms += 1
        if job.codes:
            side = ["feed_forward", "attention"][self._norms % 2]
            codes = self._inputs(mirror, "a", job.base, job.stride, job.channels)
            yield f"layer.{self._layer}.{side}.input", codes

    def _product(self, job, mirror):
        name, channels = f"layer.{self._layer}.", job.row_panels * self._sizes.lanes
        place = job.base, job.stride, channels
        if job.to == "logits":
            yield from self._collected("logits", self._scores(mirror, "logits", job.base))
        elif job.columns == "probabilities":
            yield from self._collected("context", self._inputs(mirror, "a", *place))
        elif job.columns == "weights":
            yield name + "attention.value", self._values(mirror, job)
        elif job.to == "gelu":
            whole = job.base * self._sizes.packed, job.stride * self._sizes.packed, channels
            for tensor, memory in (("up", "up"), ("gelu", "up_gelu")):
                yield f"{name}feed_forward.{tensor}", self._channels(mirror, memory, *whole)
            yield f"{name}feed_forward.hidden", self._inputs(mirror, "b", *place)
        elif job.to == "residual":
            side = "attention" if job.columns == "a" else "feed_forward"
            yield f"{name}{side}.sum", self._channels(mirror, "residual", *place)
        else:
            tensor = "query" if job.to == "a" else "key"
            yield f"{name}attention.{tensor}", self._channels(mirror, job.to, *place)

    def _collected(self, name, part):
        """What heads have, when it is there of all of them."""
        self._parts[name].append(part)
        if len(parts := self._parts[name]) == self._heads:
            self._parts[name] = []
            tensor = np.concatenate(parts, axis=1) if name == "context" else np.array(parts)
            yield f"layer.{self._layer}.attention.{name}", tensor

    def _channels(self, mirror, memory, base, stride, channels):
        """Codes of channels, a word for a channel of `lanes` tokens: (tokens, channels)."""
        token = np.arange(self._tokens)[:, None]
        return mirror.arrays[memory][
            base + token // self._sizes.lanes * stride + np.arange(channels), token % self._sizes.lanes
        ]

    def _inputs(self, mirror, memory, base, stride, channels):
        """The same, of inputs of a linear layer: codes, or the values of pairs."""
        codes = self._channels(mirror, memory, base, stride, channels // self._sizes.packed)
        return pairs.decoded(codes) if self._sizes.pairs else codes

    def _values(self, mirror, job):
        """The same, a word for a token of `lanes` channels."""
        panel, token = np.arange(job.column_panels), np.arange(self._tokens)[:, None]
        return mirror.arrays["b"][job.base + panel * job.stride + token].reshape(self._tokens, -1)

    def _scores(self, mirror, memory, base):
        """Of one head: (tokens, tokens)."""
        stride = self._sizes.tokens
        token = np.arange(self._tokens)[:, None]
        return mirror.arrays[memory][
            base + token // self._sizes.lanes * stride + np.arange(self._tokens), token % self._sizes.lanes
        ]
