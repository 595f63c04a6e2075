"""Bench of the low-rank vector core: random layers and those of a decomposition, and every corner of the arithmetic."""

import numpy as np

from ...golden.sevedo import decompose, hgq, lvc, lvc_cycles
from ...hdl.stream import codec
from ..bench import Failure, Phase, cover_corners, shares
from ..stream import STALL_PAIRS, describing, packed

__all__ = ["core", "payloads"]

#: What a bench must have compared, by name; `_seen` says when it has.
_CORNERS = (
    "a token of zeros",
    "narrow channels all zero",
    "wide channels all zero",
    "an outlier beyond 256 times the narrow ones",
    "least unit",
    "largest unit",
    "subnormal activation",
    "-0",
    "a narrow value that rounds up to 128",
    "a tie to the even below",
    "a tie to the even above",
    "no shift",
    "largest shift",
    "odd extra shift",
    "extra shift of 8",
    "a half that goes up, below zero",
    "a half that goes up, above zero",
    "8 bits clipped below",
    "8 bits clipped above",
    "16 bits clipped below",
    "16 bits clipped above",
    "a sum that float32 rounds up",
    "a sum that float32 rounds down",
    "a sum that is a tie of float32",
    "a sum of zero",
    "no rank",
    "all channels wide",
    "no channel wide",
    "all ranks wide",
    "no rank wide",
    "channels and ranks that fill no block",
    "outputs that fill no group",
    "least scale",
    "largest scale",
    "least gain",
    "largest gain",
)


async def core(bench):
    """Layers of every size with one and with more tokens, corner cases, tables of a decomposition, resets and stalls.

    Where nothing stalls, the cycles must be those of the model.
    """
    if bench.codes is not None:
        raise Failure("the low-rank vector core takes several streams, no packed codes")
    config, rng = bench.config, bench.rng
    draw = _Draw(config, rng)
    sent = []

    def phase(name, layers, exact=False, **options):
        if options.get("cut") is None:
            sent.extend(layers)
        if exact:
            told = [(t, len(x)) for t, x in layers]
            options |= {"cycles": lvc_cycles.cycles(config, told), "reset": True}
        return Phase(name, **_items(layers, config, rng), **options)

    lanes, columns, most = config.lanes, config.columns, config.max_rank
    wider = min(config.max_channels, 6 * lanes)
    sizes = [
        # K, r, N, wide channels, wide ranks
        (1, 1, 1, 0, 0),
        (1, 1, columns, 1, 1),
        (lanes, most, columns + 1, 0, 0),
        (2 * lanes, most, 3 * columns, lanes, lanes),
        (wider - 1, most - 1, 5 * columns - 1, lanes + 1, 1),
        (wider, columns, 2, 1, 0),
        (lanes + 1, min(lanes + 1, most), 2 * columns, 0, 1),
        (wider, 2, 7 * columns, wider, 2),
        (3, 0, 3 * columns + 1, 2, 0),
    ]
    phases = [phase("worked example", [_worked()], exact=True)] if config.max_channels >= 16 else []
    for size in sizes:
        for tokens in (1, 2, 5):
            phases.append(phase(f"{size}, {tokens} tokens", [draw(tokens, *size)], exact=True))
    phases.append(phase("many tokens", [draw(40, 2, 1, 1, 1, 0)], exact=True))
    phases.append(phase("many outputs", [draw(1, lanes, 2, 600, 0, 1)], exact=True))
    largest = draw(2, min(config.max_channels, 512), most, 4 * columns, min(config.max_channels, 16), most // 2)
    phases.append(phase("largest", [largest], exact=True))
    several = [draw(int(rng.integers(4)), *draw.sizes()) for _ in range(8)] + [draw(1, *draw.sizes())]
    phases.append(phase("layers back to back", several, exact=True))
    phases += [phase(f"corners, {name}", [layer]) for name, layer in draw.corners()]
    # One block of ranks: a group of outputs takes as long as its sums take to leave, and one transfer of weights.
    single = draw(1, 1, 1, 20 * columns, 0, 0)
    phases.append(phase("measured", [single], measured=True, warm_up=1, reset=True))
    decomposed = [_decomposed(config, rng, rank, k) for rank, k in ((most, wider), (max(most // 2, 1), 2 * lanes - 1))]
    phases += [phase(f"a decomposition, {len(t.l1)} x {t.rank}", [(t, x)], exact=True) for t, x in decomposed]
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        for profile in ((source, sink), ("light", sink)):
            left = [draw(3, *draw.sizes()) for _ in range(2)]
            cut = int(rng.integers(1, lvc_cycles.cycles(config, [(t, len(x)) for t, x in left])))
            phases.append(phase("left by a reset", left, source=profile[0], sink=profile[1], cut=cut, reset=True))
        layers, outputs = [], 0
        # A profile without a share of the vectors has a layer, too.
        while outputs < max(count, 1):
            layers.append(draw(int(rng.integers(1, 4)), *draw.sizes()))
            outputs += layers[-1][1].shape[0] * len(layers[-1][0].scales)
        name = f"random layers, stalls {source} in, {sink} out"
        phases.append(phase(name, layers, source=source, sink=sink, reset=True, vectors=count))

    def describe_output(payload):
        value = codec.unpack(config.o_layout, [payload])["value"].view(np.float32)[0]
        return {"number": repr(float(value))} | describing(config.o_layout, "value")(payload)

    await bench.run(phases, describe=(lambda payload: {"payload": f"{payload:#x}"}, describe_output))

    seen = set().union(*(_seen(config, t, x) for t, x in sent))
    inexact = config.max_rank * lvc.WIDE * lvc.NARROW > 1 << 24
    wanted = {corner for corner in _CORNERS if inexact or "float32" not in corner}
    cover_corners(bench, seen, wanted)


class _Draw:
    """Random layers with their tokens, as pairs of `LowRank` and activations."""

    def __init__(self, config, rng):
        self.config, self.rng = config, rng

    def sizes(self):
        """K, r, N, wide channels and wide ranks, of up to a few blocks."""
        config, rng = self.config, self.rng
        k = int(rng.integers(1, min(config.max_channels, 5 * config.lanes) + 1))
        rank = int(rng.choice([0, 1, config.max_rank, rng.integers(config.max_rank + 1)], p=[0.1, 0.1, 0.2, 0.6]))
        wide = [int(rng.choice([0, size, rng.integers(size + 1)])) for size in (k, rank)]
        return k, rank, int(rng.integers(1, 5 * config.columns + 1)), *wide

    def __call__(self, tokens, k, rank, n, wide_channels, wide_ranks, **changes):
        """A layer of these sizes, and tokens of all kinds."""
        rng = self.rng
        extra = rng.integers(0, lvc.MAX_EXTRA + 1, rank).astype(np.uint8)
        extra[:wide_ranks] = 0
        parts = {
            "l1": rng.integers(-127, 128, (k, rank)),
            "l2": rng.integers(-127, 128, (rank, n)),
            "scales": 2.0 ** rng.uniform(-14, 15.9, n),
            "extra": extra,
            "shift": int(rng.choice([rng.integers(17), rng.integers(12)])),
            "gain": int(rng.integers(-32, 32)),
        }
        parts |= changes
        parts = {
            key: value if kind is None else np.asarray(value).astype(kind)
            for (key, value), kind in zip(parts.items(), ("i1", "i1", "f2", "u1", None, None), strict=True)
        }
        t = lvc.LowRank(**parts, wide_channels=wide_channels, wide_ranks=wide_ranks)
        return t, np.array([self.token(k, wide_channels) for _ in range(tokens)], np.float16).reshape(tokens, k)

    def token(self, k, wide_channels):
        """Values around some power of two, or all over the range; parts of it zero, or much larger."""
        rng = self.rng
        kind = rng.integers(5)
        exponents = rng.integers(-14, 16, k) if kind == 0 else rng.integers(-14, 16) - rng.integers(0, 8, k)
        x = np.ldexp(rng.choice([-1, 1], k) * rng.integers(1024, 2048, k), exponents - 10)
        if kind == 1:
            # On a grid so coarse that ties are frequent.
            x = np.ldexp(rng.integers(-255, 256, k), int(rng.integers(-13, 8)))
        elif kind == 2:
            x[: wide_channels if rng.random() < 1 / 2 else k] *= 2.0 ** rng.integers(0, 12)
        elif kind == 3:
            x = np.where(rng.random(k) < 3 / 4, 0, x)
        return hgq.sanitize(np.clip(x, -65504, 65504).astype(np.float16))[0]

    def corners(self):
        """Layers that the random ones may miss, with names."""
        config, rng = self.config, self.rng
        lanes, most = config.lanes, config.max_rank
        k, wide = min(3 * lanes, config.max_channels), lanes // 2
        n = 2 * config.columns + 1
        layers = []

        def layer(name, x, wide_channels=wide, rank=most, wide_ranks=most // 2, **changes):
            t, _ = self(0, k, rank, n, wide_channels, wide_ranks, **changes)
            layers.append((name, (t, np.asarray(x, np.float16).reshape(-1, k))))

        zeros = np.zeros((4, k))
        narrow, broad = np.where(np.arange(k) < wide, 0, 1.5), np.where(np.arange(k) < wide, 40000, 0)
        layer("zeros", zeros)
        layer("one part is zero", [narrow, broad, -narrow, -broad])
        layer("an outlier", np.where(np.arange(k) < wide, 60000, rng.normal(size=(4, k))), shift=4)
        layer("the ends of the range", [narrow * 2.0**-14, np.full(k, 65504), np.full(k, -(2.0**-14))])
        tiny = rng.integers(0, 1024, (2, k)).astype(np.uint16) | rng.choice([0, 1 << 15], (2, k)).astype(np.uint16)
        layer("subnormal values and -0", [*tiny.view(np.float16), np.full(k, -0.0)])
        ties = np.ldexp(rng.integers(-127, 127, (3, k)) * 2 + 1, -1)
        layer("ties", np.where(np.arange(k) == k - 1, 64 + 63 / 64, ties), wide_channels=0, shift=3)
        layer("rounds to 128", [np.full(k, 255.9), np.full(k, -127.75)], wide_channels=0)
        for shift, extra in ((0, 0), (0, 8), (16, 8), (16, 0), (1, 1), (2, 7)):
            extras = np.where(np.arange(most) < most // 2, 0, extra)
            x = rng.integers(-300, 300, (3, k)) / 2
            layer(f"shifts {shift} and {extra}", x, shift=shift, extra=extras)
            layer(
                f"shifts {shift} and {extra}, full",
                np.full((2, k), 127.0),
                shift=shift,
                extra=extras,
                l1=_signs(k, most),
            )
        # Sums that are odd multiples of a half.
        column = np.zeros((k, most))
        column[-1] = np.where(np.arange(most) % 2, 1, -1) * rng.integers(1, 64, most)
        halves = np.where(np.arange(k) == k - 1, rng.integers(33, 64, (4, 1)) * 2.0, 0)
        layer("halves", halves, shift=2, extra=np.arange(most) % 3 * (np.arange(most) >= most // 2), l1=column)
        for scale in (2.0**-14, 65504.0):
            for gain in (-32, 31):
                x = rng.normal(size=(2, k)) * (1000 if gain > 0 else 1e-4)
                layer(f"scale {scale:g}, gain {gain}", x, scales=np.full(n, scale), gain=gain, shift=0)
        # Sums of more than 24 bits, if there are any.
        large = {"wide_ranks": most, "extra": np.zeros(most), "shift": 0, "l1": np.full((k, most), 127)}
        for _ in range(3):
            x = np.where(np.arange(k) < 1, [[2047], [2047], [1999]], 0)
            l2 = rng.choice([127, 127, 126, 125], (most, n))
            # With few ranks, sums have one bit too many: every residue of 4, so that they round down and up.
            l2[:, :4] = 127
            l2[0, :4] -= np.arange(4)
            layer("sums of many bits", x, wide_channels=k, l2=l2, **large)
        layer("no rank", rng.normal(size=(3, k)), rank=0, wide_ranks=0)
        layer("no rank wide", rng.normal(size=(2, k)), wide_ranks=0, shift=5)
        layer("all wide", rng.normal(size=(2, k)), wide_channels=k, wide_ranks=most, shift=5)
        return layers


def _signs(k, rank):
    """Columns of 127 and of -127 in turn."""
    return np.where(np.arange(rank) % 2, -127, 127) + np.zeros((k, 1))


def _worked():
    """A small example that was worked out by hand."""
    l1 = [[127, -20, 5, 0, 3, 0, 0, 1, 10, -7, 2, 0, 0, 0, 4, 9], [-3, 40, 8, 1, 0, 0, 2, 0, 0, 25, 0, -12, 6, 0, 0, 0]]
    t = lvc.LowRank(
        np.array(l1, np.int8).T,
        np.array([[100, -64], [-30, 127]], np.int8),
        np.array([1.5 * 2.0**-10, 1.25 * 2.0**-11], np.float16),
        np.array([0, 2], np.uint8),
        shift=2,
        gain=-4,
        wide_channels=1,
        wide_ranks=1,
    )
    x = [7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0]
    return t, np.array([x], np.float16)


def _decomposed(config, rng, rank, k):
    """A layer as `golden.sevedo.decompose` makes it, of synthetic weights, and tokens with channels that stand out."""
    n = max(5 * config.columns, rank)
    rank = min(rank, k)
    loud = np.where(rng.random(k) < 0.1, 30, 1)
    x = (rng.standard_normal((12, k)) * loud).astype(np.float16)
    weight = rng.standard_normal((n, k)) / np.sqrt(k)
    layer = decompose.decompose(
        weight,
        np.zeros(n),
        x[:8],
        rank,
        smoothings=((0.6, 0),),
        wide_channels=min(config.lanes, k),
        wide_ranks=min(config.lanes // 2, rank),
    )
    return layer.low_rank, hgq.sanitize(x[8:, layer.order])[0]


def payloads(t, x, config, rng):
    """Transfers of a layer and its tokens; what is behind the last channel, rank or output is random.

    Parameters
    ----------
    t : LowRank
        Tables.
    x : ndarray of float16, shape (tokens, K)
    config : LvcConfig
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to list of int
        Payloads of the streams `w`, `layer`, `x` and `scales`.
    """
    lanes, columns = config.lanes, config.columns
    tokens, k = x.shape
    fields = {
        "tokens": tokens,
        "channels": k,
        "wide_channels": t.wide_channels,
        "rank": t.rank,
        "wide_ranks": t.wide_ranks,
        "outputs": len(t.scales),
        "shift": t.shift,
        "gain": t.gain,
        "rank_shifts": np.concatenate([t.extra, rng.integers(0, 9, config.max_rank - t.rank)])[None],
    }

    def filled(table, multiple, axis, low, high):
        short = -table.shape[axis] % multiple
        shape = [short if at == axis else size for at, size in enumerate(table.shape)]
        return np.concatenate([table.astype(np.int64), rng.integers(low, high, shape)], axis=axis)

    values = filled(x.view(np.uint16), lanes, 1, 0, 1 << 16)
    blocks = []
    for table in (t.l1, t.l2) if t.rank else ():
        whole = filled(filled(table, lanes, 0, -128, 128), columns, 1, -128, 128)
        steps, groups = whole.shape[0] // lanes, whole.shape[1] // columns
        # Group by group, block by block, column by column.
        tiles = whole.reshape(steps, lanes, groups, columns).transpose(2, 0, 3, 1)
        blocks += packed(config.w_layout, payload=tiles.reshape(-1, columns, lanes))
    return {
        "w": blocks * tokens,
        "layer": packed(config.layer_layout, **fields),
        "x": packed(config.x_layout, payload=values.reshape(-1, lanes)),
        "scales": t.scales.view(np.uint16).tolist() * tokens,
    }


def _items(layers, config, rng):
    """What goes in and what must come out, as fields of a `Phase`; the stream of weights leads, if there are any."""
    inputs, outputs, after, delay = {name: [] for name in ("w", "layer", "x", "scales")}, [], [], []
    for t, x in layers:
        taken = len(inputs["w"])
        for name, items in payloads(t, x, config, rng).items():
            inputs[name] += items
        n = len(t.scales)
        ends = np.arange(n) == n - 1
        codes = lvc.product(hgq.sanitize(x)[0], t).view(np.uint32)
        outputs += packed(config.o_layout, value=codes.ravel(), last=np.tile(ends, len(codes)))
        # The last weights of each output's group.
        blocks = -(-t.rank // config.lanes)
        group = np.arange(n) // config.columns
        first = -(-t.rank // config.columns) * -(-x.shape[1] // config.lanes)
        token = (
            np.arange(len(x))[:, None] * (first + blocks * (group[-1] + 1)) if t.rank else np.zeros((len(x), 1), int)
        )
        follows = taken - 1 + token + (first + blocks * (group + 1) if t.rank else 0)
        after += np.broadcast_to(follows, codes.shape).ravel().tolist()
        delay += np.tile(np.arange(n) % config.columns, len(x)).tolist()
    if not inputs["w"]:
        del inputs["w"]
        after = [-1] * len(after)
    return {"inputs": inputs, "outputs": outputs, "after": after, "delay": delay}


def _seen(config, t, x):
    """Which corner cases a layer with its tokens has."""
    codes, seen = x.view(np.uint16), set()
    if not len(x):
        return seen
    k, n, wide = x.shape[1], len(t.scales), t.wide_channels
    zeros = ((codes & 0x7FFF) < 0x400).reshape(x.shape)
    clean = np.where(zeros, np.float16(0), x).astype(np.float64)
    qx, kx = lvc.quantize_input(clean.astype(np.float16), wide)
    exact = np.ldexp(clean, -kx[:, None])
    z, zq = lvc.project(qx, t)
    u = (zq << t.extra.astype(np.int64)) @ t.l2.astype(np.int64)
    shift = t.shift + t.extra.astype(np.int64)
    half = (shift > 0) & ((z & ((1 << shift) - 1)) == (1 << shift >> 1))
    rounded = u.astype(np.float32).astype(np.int64)
    ranks, narrow = np.arange(t.rank), np.arange(t.rank) >= t.wide_ranks
    tops = np.abs(u)
    bits = np.frexp(tops.astype(np.float64))[1]
    below = np.maximum(bits - 24, 0)
    tie = (below > 0) & ((tops & ((1 << below) - 1)) == (1 << below >> 1))
    split = np.where(np.arange(k) < wide, 1, 0).astype(bool)
    some = 0 < wide < k
    peaks = np.abs(clean[:, split]).max(axis=1, initial=0), np.abs(clean[:, ~split]).max(axis=1, initial=0)
    limits = np.where(narrow, 127, 32767)
    unclipped = (z + (1 << shift >> 1)) >> shift
    fraction = exact - np.floor(exact)
    named = {
        "a token of zeros": zeros.all(axis=1),
        "narrow channels all zero": some & (peaks[1] == 0) & (peaks[0] > 0),
        "wide channels all zero": some & (peaks[0] == 0) & (peaks[1] > 0),
        "an outlier beyond 256 times the narrow ones": (peaks[0] > 256 * peaks[1]) & (peaks[1] > 0),
        "least unit": kx == -20,
        "largest unit": kx == 9,
        "subnormal activation": zeros & ((codes & 0x7FFF) != 0).reshape(x.shape),
        "-0": codes == 0x8000,
        "a narrow value that rounds up to 128": ~split & (np.abs(np.rint(exact)) == 128),
        "a tie to the even below": (fraction == 0.5) & (np.rint(exact) < exact),
        "a tie to the even above": (fraction == 0.5) & (np.rint(exact) > exact),
        "no shift": shift == 0,
        "largest shift": shift == lvc.MAX_SHIFT + lvc.MAX_EXTRA,
        "odd extra shift": t.extra % 2 == 1,
        "extra shift of 8": t.extra == 8,
        "a half that goes up, below zero": half & (z < 0),
        "a half that goes up, above zero": half & (z > 0),
        "8 bits clipped below": narrow & (unclipped < -limits),
        "8 bits clipped above": narrow & (unclipped > limits),
        "16 bits clipped below": ~narrow & (unclipped < -limits),
        "16 bits clipped above": ~narrow & (unclipped > limits),
        "a sum that float32 rounds up": rounded > u,
        "a sum that float32 rounds down": rounded < u,
        "a sum that is a tie of float32": tie,
        "a sum of zero": (u == 0) & (t.rank > 0),
        "no rank": t.rank == 0,
        "all channels wide": wide == k,
        "no channel wide": wide == 0,
        "all ranks wide": len(ranks) > 0 and not narrow.any(),
        "no rank wide": narrow.any() and t.wide_ranks == 0,
        "channels and ranks that fill no block": k % config.lanes and t.rank % config.lanes,
        "outputs that fill no group": n % config.columns,
        "least scale": t.scales == 2.0**-14,
        "largest scale": t.scales == 65504,
        "least gain": t.gain == -32,
        "largest gain": t.gain == 31,
    }
    return {name for name, where in named.items() if np.any(where)}
