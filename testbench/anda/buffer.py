"""Bench of the Anda bit-plane buffer: tensors of every mantissa length, and the memory word by word."""

import numpy as np
from amaranth.lib import data

from ...golden.anda import cycles as anda_cycles
from ...golden.anda import planes as golden
from ...hdl.stream import codec
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing
from .planes import plane_payloads, plane_words

__all__ = ["buffer"]


async def buffer(bench):
    """Write and read tensors of every length, several at a time, all over the memory; resets and stalls.

    Read with M = 1, two words at a time, the memory must be the image that the golden model packs.
    """
    if bench.codes is not None:
        raise Failure("the buffer takes bit planes, no packed codes")
    config, rng = bench.config, bench.rng
    lengths = range(1, config.max_mantissa + 1)
    complete = []

    def phase(name, script, **options):
        if options.get("cut") is None:
            complete.append(script)
        if options.pop("exact", False):
            options["cycles"] = anda_cycles.buffer_cycles(script.moved)
        inputs = {"command": script.commands.payloads(), "i": script.planes}
        return Phase(name, inputs, script.outputs, after=script.after, **options)

    phases = []
    for length in lengths:
        # In order, all of a tensor at once; then group by group in any order; then as it lies in the memory.
        script = _Script(config)
        tensor = _Tensor(config, length, config.depth, rng)
        script.write(tensor, 0, tensor.sets)
        script.read(tensor, 0, tensor.sets)
        for index in rng.permutation(tensor.sets).tolist():
            script.read(tensor, index, index + 1)
        script.read_image(tensor)
        phases.append(phase(f"M = {length}", script, reset=True, exact=True))

    # Single sets with single planes: the shortest commands.
    script = _Script(config)
    tensor = _Tensor(config, 1, config.depth, rng)
    script.write(tensor, 0, tensor.sets)
    for index in range(tensor.sets):
        script.read(tensor, index, index + 1)
    phases.append(phase("measured", script, measured=True, warm_up=1, reset=True))

    for illegal, legal in [(0, 1), ((1 << config.max_mantissa.bit_length()) - 1, config.max_mantissa)]:
        script = _Script(config)
        tensor = _Tensor(config, legal, config.depth, rng)
        script.write(tensor, 0, tensor.sets)
        script.read(tensor, 0, tensor.sets, mantissa=illegal)
        phases.append(phase(f"length {illegal}", script))

    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        script, cut = _random(config, 40, rng), int(rng.integers(1, 100))
        phases.append(phase("left by a reset", script, sink="heavy", cut=cut, reset=True))
        script = _random(config, max(count, 1), rng)
        name = f"random tensors, stalls {source} in, {sink} out"
        phases.append(phase(name, script, source=source, sink=sink, reset=True, vectors=count))

    describe = describing(config.command_layout), describing(config.planes_layout, "plane", "signs")
    await bench.run(phases, describe=describe)

    bench.cover("words", len(set().union(*(script.touched for script in complete))), config.depth)
    bench.cover("mantissa lengths", len({length for script in complete for _, length in script.moved}), len(lengths))


class _Tensor:
    """A random tensor and where it lies: at some place in at most `room` words, from which addresses wrap.

    Attributes
    ----------
    payloads : list of list of int
        Of each set, in the order of the memory: token block by token block, group by group.
    image : (ndarray, ndarray)
        Lanes of the words of the two memories, as the golden model packs them.
    """

    def __init__(self, config, length, room, rng, start=None):
        lanes, group = config.lanes, config.group
        most = room // (length + 1)
        groups = int(rng.integers(1, most + 1))
        blocks = max(most // groups, 1)
        tokens = blocks * lanes - int(rng.integers(lanes))
        shape = tokens, groups * group - int(rng.integers(group))
        x = (rng.normal(size=shape) * np.exp2(rng.integers(-18, 10, (tokens, 1)))).astype(np.float16)
        tensor = golden.encode(x, length, group=group)
        fill = blocks * lanes - tokens
        sides = [
            np.pad(field, ((0, fill), *[(0, 0)] * (field.ndim - 1)), constant_values=value)
            for field, value in ((tensor.signs, 0), (tensor.planes, 0), (tensor.exponents, 1))
        ]
        sides = [
            field.reshape(blocks, lanes, *field.shape[1:]).swapaxes(1, 2).reshape(-1, lanes, *field.shape[2:])
            for field in sides
        ]
        payloads = plane_payloads(*sides, group)
        self.length, self.sets, self.groups = length, blocks * groups, groups
        self.payloads = [payloads[index : index + length] for index in range(0, len(payloads), length)]
        self.start = int(rng.integers(config.depth)) if start is None else start[0]
        self.exponents = int(rng.integers(config.exponents)) if start is None else start[1]
        image = np.frombuffer(golden.pack(tensor, lanes), np.uint8)
        words = self.sets * (length + 1)
        size = -(-words * lanes * group // 8)
        self.image = _words(image[:size], words, lanes, group), _words(image[size:], self.sets, lanes, 5)


def _words(image, words, lanes, bits):
    """Lanes of words that lie one after the other without gaps: shape (words, lanes)."""
    shape = data.ArrayLayout(data.ArrayLayout(bits, lanes), words)
    return codec.unpack(shape, image[None])["payload"][0]


class _Script:
    """Commands one after the other, the planes that they take, and those that they give.

    Attributes
    ----------
    commands : Collected
    planes, outputs, after : list of int
        As of a `Phase`.
    moved : list of (int, int)
        Sets and planes of a set of each command.
    touched : set of int
        Addresses that were read.
    """

    def __init__(self, config):
        self.config = config
        self.commands = Collected(config.command_layout)
        self.planes, self.outputs, self.after, self.moved = [], [], [], []
        self.touched = set()

    def write(self, tensor, first, last, mantissa=0):
        """Write sets of a tensor; the command's `mantissa` has no meaning."""
        self._command(tensor, first, last - first, mantissa, 0)
        self.planes += [payload for payloads in tensor.payloads[first:last] for payload in payloads]

    def read(self, tensor, first, last, mantissa=None):
        """Read sets of a tensor."""
        self._command(tensor, first, last - first, tensor.length if mantissa is None else mantissa, 1)
        self._expect([payload for payloads in tensor.payloads[first:last] for payload in payloads])
        words = range(first * (tensor.length + 1), last * (tensor.length + 1))
        self.touched.update((tensor.start + word) % self.config.depth for word in words)

    def read_image(self, tensor):
        """Read all words of a tensor, two at a time, each time beside other exponents."""
        config, (words, exponents) = self.config, tensor.image
        first = np.array([*{min(2 * index, len(words) - 2) for index in range(-(-len(words) // 2))}])
        beside = first % len(exponents)
        pairs = plane_words(np.stack([words[first], words[first + 1]], axis=1), exponents[beside], config.group)
        for word, at, payload in zip(first.tolist(), beside.tolist(), pairs, strict=True):
            self._add(tensor.start + word, tensor.exponents + at, 1, 1, 1, 1)
            self._expect([payload])

    def nothing(self, rng):
        """A command of no sets."""
        words, exponents, read = rng.integers(self.config.depth), rng.integers(self.config.exponents), rng.integers(2)
        self._add(int(words), int(exponents), 0, 1, int(read), 1)

    def _command(self, tensor, first, sets, mantissa, read):
        block, step = divmod(first, tensor.groups)
        word = anda_cycles.set_address(tensor.start, block, tensor.groups, step, tensor.length)
        at = anda_cycles.set_address(tensor.exponents, block, tensor.groups, step, 0)
        self._add(word, at, sets, mantissa, read, tensor.length)

    def _add(self, word, at, sets, mantissa, read, length):
        fields = {
            "word_address": word % self.config.depth,
            "exponent_address": at % self.config.exponents,
            "sets": sets,
            "mantissa": mantissa,
            "read": read,
        }
        self.commands.add(**{name: [value] for name, value in fields.items()})
        self.moved.append((sets, length))

    def _expect(self, payloads):
        self.outputs += payloads
        self.after += [len(self.commands) - 1] * len(payloads)


def _random(config, count, rng):
    """Two tensors at a time, of any lengths, in halves of the memory; parts of them read in turn; `count` planes."""
    script = _Script(config)
    most = min(config.max_mantissa, config.depth // 2 - 1)
    while len(script.outputs) < count:
        start, at = int(rng.integers(config.depth)), int(rng.integers(config.exponents))
        half, other = config.depth // 2, config.exponents // 2
        places = [(start, at), ((start + half) % config.depth, (at + other) % config.exponents)]
        tensors = [_Tensor(config, int(rng.integers(1, most + 1)), half, rng, place) for place in places]
        for tensor in tensors:
            cut = int(rng.integers(tensor.sets + 1))
            script.write(tensor, 0, cut, int(rng.integers(config.max_mantissa + 1)))
            script.write(tensor, cut, tensor.sets)
        for _ in range(6):
            tensor = tensors[rng.integers(2)]
            first = int(rng.integers(tensor.sets))
            script.read(tensor, first, int(rng.integers(first + 1, tensor.sets + 1)))
            if rng.random() < 1 / 4:
                script.nothing(rng)
    return script
