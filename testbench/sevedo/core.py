"""Bench of the SeVeDo core: random layers, those of a decomposition, corner cases of both paths and of the merge."""

from dataclasses import replace

import numpy as np

from ...cores.interface import layouts
from ...cores.sevedo.core import SevedoCore
from ...golden.sevedo import core as golden
from ...golden.sevedo import decompose, hgq, lvc
from ...golden.sevedo import layer as sevedo
from ...hdl.stream import codec
from .. import payloads
from ..bench import Failure, Phase, cover_corners, shares
from ..stream import STALL_PAIRS, describing, packed
from . import sums as sevedo_sums

__all__ = ["Draw", "core", "steady", "worked_layer"]

#: Input streams, of which the residual's weights lead.
_STREAMS = ("w", "layer", "x", "smooth", "low_rank", "scales", "bias")
#: What a bench must have compared, by name; `_seen` says when it has.
_CORNERS = (
    "one token",
    "tokens that fill no block",
    "one input channel",
    "input channels that fill no coarse group",
    "one output",
    "outputs that fill no block",
    "no rank",
    "NaN",
    "Inf",
    "subnormal activation",
    "-0",
    "a coarse group of zeros",
    "a smoothed value below 2**-14",
    "a smoothed value above 65504",
    "no bias",
    "largest bias",
    "a result above 65504",
    "a result below -65504",
    "a result of 65504 that is not clipped",
    "a result below 2**-14",
    "a result of 2**-14",
    "a residual above zero that its term takes away",
    "a residual below zero that its term takes away",
    "a sum above zero that the bias takes away",
    "a sum below zero that the bias takes away",
    "a tie to the even below",
    "a tie to the even above",
)


async def core(bench):
    """Layers of every size, alone and one after another, corner cases, resets and stalls.

    Where nothing stalls, no layer may be faster than the model's bound.
    """
    if bench.codes is not None:
        raise Failure("the SeVeDo core takes several streams, no packed codes")
    config, rng = bench.config, bench.rng
    draw = Draw(config, rng)
    sent, bounds = [], []

    def phase(name, layers, timed=False, **options):
        if options.get("cut") is None:
            sent.extend(layers)
        made = Phase(name, **_items(layers, config, rng), **options)
        if timed:
            made.reset = True
            bounds.append((made, golden.least_cycles(config, layers[0][0], len(layers[0][1]))))
        return made

    rows, cols, lanes, coarse = config.rows, config.cols, config.lanes, config.coarse
    wider = min(config.max_channels, 2 * coarse + lanes + 1)
    sizes = [
        # N, K, rank
        (1, 1, 1),
        (min(cols, config.max_outputs), lanes, 0),
        (min(cols + 1, config.max_outputs), min(coarse + 1, config.max_channels), config.max_rank),
        (min(3 * cols - 1, config.max_outputs), wider, min(config.columns + 1, config.max_rank)),
    ]
    phases = [phase("worked example", [worked_layer()], timed=True)] if _takes_worked(config) else []
    for size in sizes:
        for tokens in sorted({1, rows, 2 * rows + 1}):
            phases.append(phase(f"{size}, {tokens} tokens", [draw(tokens, *size)], timed=True))
    largest = min(config.max_outputs, 8 * cols), min(config.max_channels, 512), config.max_rank
    busy = phase("largest", [draw(2 * rows, *largest)], timed=True)
    several = [draw(int(rng.integers(2 * rows)), *draw.sizes()) for _ in range(5)] + [draw(1, *draw.sizes())]
    phases += [busy, phase("layers back to back", several)]
    phases += [phase(f"corners, {name}", [layer], reset=name == "NaN and Inf") for name, layer in draw.corners()]
    sums = sevedo_sums.layers(config, rng)
    phases.append(phase("sums", sums))
    decomposed = _decomposed(config, rng, min(wider, 4 * coarse))
    phases.append(phase("a decomposition", [decomposed], timed=True))
    phases.append(phase("measured", [steady(config, draw)], measured=True, reset=True))
    phases[-1].delay = (np.arange(len(phases[-1].outputs)) % (rows * cols)).tolist()
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        left = [draw(rows + 1, *draw.sizes()) for _ in range(2)]
        cut = int(rng.integers(1, sum(golden.least_cycles(config, layer, len(x)) for layer, x in left)))
        phases.append(phase("left by a reset", left, source=source, sink=sink, cut=cut, reset=True))
        layers, outputs = [], 0
        # A profile without a share of the vectors has a layer, too.
        while outputs < max(count, 1):
            layers.append(draw(int(rng.integers(1, 2 * rows + 2)), *draw.sizes()))
            outputs += len(layers[-1][1]) * layers[-1][0].shape[0]
        name = f"random layers, stalls {source} in, {sink} out"
        phases.append(phase(name, layers, source=source, sink=sink, reset=True, vectors=count))

    def describe_output(payload):
        value = codec.unpack(config.o_layout, [payload])["value"].view(np.float16)[0]
        return {"number": repr(float(value))} | describing(config.o_layout, "value")(payload)

    describe = (lambda payload: {"payload": f"{payload:#x}"}, describe_output)
    await bench.run(phases, describe=describe, flag="nonfinite")

    for made, least in bounds:
        if made.taken and made.taken < least:
            bench.mismatch("cycles", 0, f"{least} cycles or more in {made.name!r}", f"{made.taken} cycles")
    taken, least = (sum(part) for part in zip(*((made.taken or 0, least) for made, least in bounds), strict=True))
    bench.figure("cycles", f"{taken:,} of layers alone, {taken / least - 1:.1%} above the bound")
    seen = set().union(*(_seen(config, layer, x) for layer, x in sent if len(x)))
    cover_corners(bench, seen, set(_CORNERS))
    covered, wanted = set().union(*(sevedo_sums.seen(*pair) for pair in sums)), sevedo_sums.wanted(config)
    bench.cover("sums that nearly cancel, or are ties", len(covered & wanted), len(wanted))


class Draw:
    """Random layers with their tokens, as pairs of `SevedoLayer` and FP16 activations."""

    def __init__(self, config, rng):
        self.config, self.rng = config, rng

    def sizes(self):
        """N, K and rank, of up to a few blocks."""
        config, rng = self.config, self.rng
        k = int(rng.integers(1, min(config.max_channels, config.coarse + 3 * config.lanes) + 1))
        n = int(rng.integers(1, min(config.max_outputs, 3 * config.cols) + 1))
        return n, k, int(rng.choice([0, rng.integers(config.max_rank + 1)], p=[0.2, 0.8]))

    def __call__(self, tokens, n, k, rank, **changes):
        """A layer of these sizes, and tokens of all kinds; `changes` of what `SevedoLayer` holds."""
        rng = self.rng
        # Residual and term of like size, if they are not wild.
        size, wild = 2.0 ** rng.integers(-14, 10), rng.random() < 1 / 4
        extra, wide = rng.integers(0, lvc.MAX_EXTRA + 1, rank), int(rng.integers(rank + 1))
        extra[:wide] = 0
        scales = 2.0 ** (rng.uniform(-14, 15.9, n) if wild else rng.uniform(-1, 1, n))
        low_rank = lvc.LowRank(
            rng.integers(-127, 128, (k, rank)).astype(np.int8),
            rng.integers(-127, 128, (rank, n)).astype(np.int8),
            scales.astype(np.float16),
            extra.astype(np.uint8),
            shift=int(rng.integers(12)),
            gain=int(rng.integers(-32, 32)) if wild else int(np.clip(np.log2(size) - rng.integers(4, 12), -32, 31)),
            wide_channels=int(rng.integers(k + 1)),
            wide_ranks=wide,
        )
        parts = {
            "order": rng.permutation(k).astype(np.int32),
            "smoothing": (2.0 ** rng.uniform(-3, 3, k)).astype(np.float16),
            "residual": self.quantized(rng.normal(size=(n, k)) * size),
            "low_rank": low_rank,
            "bias": sevedo.to_half(rng.normal(size=n) * size * rng.choice([0, 1, 30])),
        }
        layer = sevedo.SevedoLayer(**parts | changes, threshold=self.config.threshold)
        x = np.array([self.token(k) for _ in range(tokens)], np.float16).reshape(tokens, k)
        if tokens and not changes and rng.random() < 1 / 2:
            # Rounded to FP16, a result does not show the last bits of the sums, but where the bias takes the rest away.
            arranged = sevedo.arrange(x[:1], layer)
            y = sevedo.residual(arranged, layer) + lvc.product(arranged, layer.low_rank)
            layer = replace(layer, bias=sevedo.to_half(-y[0]))
        return layer, x

    def quantized(self, weight):
        config = self.config
        return hgq.quantize(sevedo.to_half(weight), config.coarse, config.fine, config.shift_bits, config.threshold)

    def token(self, k):
        """Values around some power of two, some larger, some zero; or any codes."""
        rng = self.rng
        x = rng.normal(size=k) * 2.0 ** rng.integers(-6, 6) * np.where(rng.random(k) < 1 / 16, 40, 1)
        x = np.where(rng.random(k) < rng.choice([0, 0.5, 1], p=[0.5, 0.4, 0.1]), 0, x)
        codes = np.clip(x, -65504, 65504).astype(np.float16).view(np.uint16)
        if rng.random() < 1 / 8:
            codes = rng.integers(0, 1 << 16, k).astype(np.uint16)
        elif rng.random() < 1 / 2:
            odd = np.array([0x8000, 0x0001, 0x83FF, 0x0400], np.uint16)
            codes = np.where(rng.random(k) < 1 / 16, rng.choice(odd, k), codes)
        return codes.view(np.float16)

    def corners(self):
        """Layers that the random ones may miss, with names."""
        config, rng = self.config, self.rng
        k, n = min(config.coarse + 2, config.max_channels), min(config.cols + 1, config.max_outputs)
        rank = min(2, config.max_rank)
        plain = {"smoothing": np.ones(k, np.float16), "order": np.arange(k, dtype=np.int32)}

        def codes(*values):
            return np.resize(np.array(values, np.uint16).view(np.float16), (2, k))

        def layer(name, x, n=n, rank=rank, **changes):
            return name, (self(0, n, k, rank, **changes)[0], np.asarray(x, np.float16).reshape(-1, k))

        # Activations with which a coarse group's scale is 1, and one weight, a power of two.
        x = np.zeros((4, k))
        x[:, 0], x[:, 1] = 7, [1, -1, 0, 1]

        def exactly(weight, bias):
            t = self.quantized(np.zeros((n, k)))
            t.codes[:, 1], t.shifts[:, 0], t.scales[:, 0] = 1, (1 << config.shift_bits) - 1, weight
            biases = np.full(n, bias, np.float16)
            return layer(f"sums of {weight} and {bias}", x, rank=0, residual=t, bias=biases, **plain)

        def taken_away():
            """Residuals of 1 and -1, and terms that are the same with the other sign."""
            _, (whole, _) = exactly(1.0, 0.5)
            l1, l2 = np.zeros((k, 1), np.int8), np.full((1, n), -64, np.int8)
            l1[1] = 64
            tables = {"l1": l1, "l2": l2, "scales": np.ones(n, np.float16), "extra": np.zeros(1, np.uint8)}
            low_rank = lvc.LowRank(**tables, shift=5, gain=0, wide_channels=0, wide_ranks=0)
            # A power of two, which the gain brings to 1.
            term = lvc.product(x[:1].astype(np.float16), low_rank)[0, 0]
            low_rank = replace(low_rank, gain=-int(np.log2(-term)))
            return layer("terms that take the residual away", x, residual=whole.residual, low_rank=low_rank, **plain)

        wide, tiny = np.full(k, 60000, np.float16), np.full(k, 2.0**-14, np.float16)
        return [
            layer("NaN and Inf", codes(0x7C00, 0x3C00, 0xFC00, 0x7E00, 0xFC01)),
            layer("subnormal values and -0", codes(0x8000, 0x03FF, 0x8001, 0x3C00)),
            layer("zeros", np.zeros((2, k))),
            layer("large factors", rng.normal(size=(2, k)) * 100, smoothing=wide),
            layer("least factors", rng.normal(size=(2, k)), smoothing=tiny),
            layer("largest values", codes(0x7BFF, 0x7BFF), residual=self.quantized(np.full((n, k), 60000.0))),
            layer("least values", codes(0x7BFF, 0x7BFF), residual=self.quantized(np.full((n, k), -60000.0))),
            layer("no bias", rng.normal(size=(1, k)), bias=np.zeros(n, np.float16)),
            layer("largest bias", rng.normal(size=(1, k)), bias=np.full(n, 65504, np.float16)),
            exactly(2.0**-11, 1.0),
            exactly(2.0**-11, 1 + 2.0**-10),
            exactly(1.0, 1.0),
            exactly(1.0, -1.0),
            taken_away(),
            exactly(2.0**-13, 2.0**-14),
            exactly(2.0**-14, 2.0**-14),
            exactly(1.5 * 2.0**-14, 2.0**-14),
            exactly(8.0, 65504.0),
            exactly(64.0, 65504.0),
        ]


def steady(config, draw):
    """A layer and its tokens, in which nothing waits but for the last weights: latency and interval show.

    Its rank is 0, and its reductions are whole coarse groups, and so long that all results of one leave before those of
    the next. Where no legal layer has such, it is one reduction of one coarse group, for one result.
    """
    count = config.rows * config.cols
    whole = max(-(-count // config.groups), min(config.max_channels // config.coarse, 4))
    n, k = 2 * config.cols, whole * config.coarse
    if n <= config.max_outputs and k <= config.max_channels and config.tile.schedule.spacing <= config.groups:
        layer, x = draw(config.rows, n, k, 0)
        if not golden.waits_for_terms(config, layer, len(x)):
            return layer, x
    return draw(1, 1, min(config.coarse, config.max_channels), 0)


def worked_layer():
    """The example of spec/sevedo.md, Section 8: the layer, and its token."""
    w = [
        [0.75, -0.5, 0.25, 0, 1.75, 0.625, -1.125, 0.375, 0.125, -0.25, 0.5, 0.0625, -0.875, 0.4375, 0.21875, 1],
        [-1, 0.3, 0.6, -0.2, 0.05, -0.1, 0.12, 0.02, 2, -1.5, 0.7, 0.1, 0.3, 0.2, -0.4, 0.25],
    ]
    l1 = [[127, -20, 5, 0, 3, 0, 0, 1, 10, -7, 2, 0, 0, 0, 4, 9], [-3, 40, 8, 1, 0, 0, 2, 0, 0, 25, 0, -12, 6, 0, 0, 0]]
    low_rank = lvc.LowRank(
        np.array(l1, np.int8).T,
        np.array([[100, -64], [-30, 127]], np.int8),
        np.array([1.5 * 2.0**-10, 1.25 * 2.0**-11], np.float16),
        np.array([0, 2], np.uint8),
        shift=2,
        gain=-4,
        wide_channels=1,
        wide_ranks=1,
    )
    layer = sevedo.SevedoLayer(
        np.arange(16, dtype=np.int32),
        np.ones(16, np.float16),
        hgq.quantize(np.array(w, np.float16), 8, 4),
        low_rank,
        np.array([0.5, -0.25], np.float16),
    )
    x = [7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0]
    return layer, np.array([x], np.float16)


def _takes_worked(config):
    try:
        golden.check(worked_layer()[0], config)
    except ValueError:
        return False
    return True


def _decomposed(config, rng, k):
    """A layer as `golden.sevedo.decompose` makes it, of synthetic weights, and tokens with channels that stand out."""
    n = min(config.max_outputs, 4 * config.cols)
    rank = min(config.max_rank, n, k)
    x = (rng.standard_normal((8 + config.rows, k)) * np.where(rng.random(k) < 0.1, 30, 1)).astype(np.float16)
    layer = decompose.decompose(
        rng.standard_normal((n, k)) / np.sqrt(k),
        rng.standard_normal(n) / 4,
        x[:8],
        rank,
        smoothings=((0.6, 0),),
        wide_channels=min(config.lanes, k),
        wide_ranks=rank // 2,
        coarse=config.coarse,
        fine=config.fine,
        shift_bits=config.shift_bits,
        threshold=config.threshold,
    )
    return layer, x[8:]


def _items(layers, config, rng):
    """What goes in and what must come out, as fields of a `Phase`; the residual's weights lead."""
    shapes = layouts(SevedoCore(config))
    inputs, outputs, after, flags, offending = {name: [] for name in _STREAMS}, [], [], [], {}
    for layer, x in layers:
        (tokens, k), n = x.shape, layer.shape[0]
        taken, before = len(inputs["w"]), len(inputs["x"])
        for name, rows in payloads.rows(shapes, golden.transfers(layer, x, config, rng)).items():
            inputs[name] += codec.to_integers(rows)
        at = golden.order(tokens, n, config)
        values = sevedo.linear(x, layer).view(np.uint16).ravel()[at]
        ends = np.arange(len(at)) == len(at) - 1
        outputs += packed(config.o_layout, value=values, last=ends)
        # The last weights of the block of tokens and of that of outputs.
        block, column = at // n // config.rows, at % n // config.cols
        reduction = block * -(-n // config.cols) + column
        after += (taken + (reduction + 1) * -(-k // config.fine) - 1).tolist()
        special = ((x[:, layer.order].view(np.uint16) & 0x7FFF) >= 0x7C00).reshape(tokens, k)
        first = np.argwhere(special)
        # All tokens of a block are there before its results.
        flags += (block >= first[0, 0] // config.rows).tolist() if len(first) else [False] * len(at)
        if len(first) and not offending:
            offending = {"x": before + int(first[0, 0]) * -(-k // config.lanes) + int(first[0, 1]) // config.lanes}
    # A stream without transfers has nothing to be random about.
    inputs = {name: payloads for name, payloads in inputs.items() if payloads}
    return {"inputs": inputs, "outputs": outputs, "after": after, "flags": flags, "offending": offending}


def _seen(config, layer, x):
    """Which corner cases a layer with its tokens has."""
    tokens, (n, k) = len(x), layer.shape
    magnitudes = x.view(np.uint16) & 0x7FFF
    arranged = sevedo.arrange(x, layer)
    smoothed = arranged.astype(np.float32) * layer.smoothing.astype(np.float32)
    groups = np.zeros((tokens, -(-k // config.coarse) * config.coarse), np.float16)
    groups[:, :k] = sevedo.to_half(smoothed)
    residual = sevedo.residual(arranged, layer)
    y = residual + lvc.product(arranged, layer.low_rank)
    total = y + layer.bias.astype(np.float32)
    exact, size = total.astype(np.float64), np.abs(total).astype(np.float64)
    # Between two FP16 numbers, exactly in the middle.
    scaled = np.ldexp(size, 11 - np.frexp(size)[1])
    tie = (size >= 2.0**-14) & (size < 65504) & (scaled % 1 == 0.5)
    even = np.rint(scaled)
    named = {
        "one token": tokens == 1,
        "tokens that fill no block": tokens % config.rows if config.rows > 1 else True,
        "one input channel": k == 1,
        "input channels that fill no coarse group": k % config.coarse,
        "one output": n == 1,
        "outputs that fill no block": n % config.cols if config.cols > 1 else True,
        "no rank": layer.low_rank.rank == 0,
        "NaN": magnitudes > 0x7C00,
        "Inf": magnitudes == 0x7C00,
        "subnormal activation": (magnitudes > 0) & (magnitudes < 0x0400),
        "-0": x.view(np.uint16) == 0x8000,
        "a coarse group of zeros": (groups == 0).reshape(tokens, -1, config.coarse).all(axis=-1),
        "a smoothed value below 2**-14": (smoothed != 0) & (np.abs(smoothed) < 2.0**-14),
        "a smoothed value above 65504": np.abs(smoothed) > 65504,
        "no bias": layer.bias == 0,
        "largest bias": layer.bias == 65504,
        "a result above 65504": exact > 65504,
        "a result below -65504": exact < -65504,
        "a result of 65504 that is not clipped": exact == 65504,
        "a result below 2**-14": (size > 0) & (size < 2.0**-14),
        "a result of 2**-14": size == 2.0**-14,
        "a residual above zero that its term takes away": (residual > 0) & (y == 0),
        "a residual below zero that its term takes away": (residual < 0) & (y == 0),
        "a sum above zero that the bias takes away": (y > 0) & (total == 0),
        "a sum below zero that the bias takes away": (y < 0) & (total == 0),
        "a tie to the even below": tie & (even < scaled),
        "a tie to the even above": tie & (even > scaled),
    }
    return {name for name, cases in named.items() if np.any(cases)}
