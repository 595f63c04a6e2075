"""Bench of the Anda tile: every kind of processing elements."""

import numpy as np

from ...golden.anda import planes as anda
from ...golden.anda import tile as golden
from ...hdl.floating.formats import FP16
from ...hdl.stream import codec
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing

__all__ = ["tile"]

_BUSY = 0.99  # of the cycles back to back, in which a transfer must be taken

#: Kinds of activations, and of scales, that a bench must have compared.
_ACTIVATIONS = ("codes", "numbers", "zeros", "extreme", "cancelling", "tiny")
_SCALES = ("usual", "any", "zero", "subnormal", "largest")


async def tile(bench):
    """Reductions of every length and mantissa: alone, back to back, after resets and under stalls, and special values.

    Where nothing stalls, cycles, latency and interval must be those of the model.
    """
    if bench.codes is not None:
        raise Failure("the tile takes streams of operands, no packed codes")
    config, rng = bench.config, bench.rng
    draw = _Draw(config, rng)
    mantissas = range(1, config.max_mantissa + 1) if config.pe == "anda" else [None]
    sent = set()

    def phase(name, mantissa, reductions, **options):
        if options.get("cut") is None:
            sent.update((kind, mantissa) for reduction in reductions for kind in reduction.kinds)
        ports = {} if mantissa is None else {"mantissa": mantissa}
        return Phase(name, **_items(reductions, config), ports=ports, **options)

    phases = []
    step = config.lanes if config.pe == "fp16" else config.group
    for mantissa in mantissas:
        at = "" if mantissa is None else f", M = {mantissa}"
        for groups, m, n in ((1, 2 * config.rows, config.cols), (5, config.rows, 2 * config.cols)):
            cycles = golden.cycles(config, m, groups * step, n, mantissa)
            drawn = [draw(groups * step, mantissa) for _ in range(2)]
            name = f"({m}, {groups * step}) x ({groups * step}, {n}){at}"
            phases.append(phase(name, mantissa, drawn, reset=True, cycles=cycles))
        # If there are many mantissas, each has all kinds, and any five together have all pairs of kinds.
        turns = range(len(_SCALES)) if len(mantissas) < len(_SCALES) else [mantissa]
        kinds = [(x, _SCALES[(at + turn) % len(_SCALES)]) for at, x in enumerate(_ACTIVATIONS) for turn in turns]
        drawn = [draw(3 * step if "cancelling" in kind else draw.length(), mantissa, *kind) for kind in kinds]
        phases.append(phase(f"special values{at}", mantissa, drawn))
    longest = mantissas[-1]
    # So long that the way in and out, all cycles of a reduction but those of its transfers, is a hundredth at most, and
    # that results leave in time.
    outside = golden.cycles(config, config.rows, step, config.cols, longest) - golden.group_cycles(config, longest)
    groups = -(-(outside + config.share) // golden.period(config, longest))
    drawn = [draw(groups * step, longest) for _ in range(101)]
    smooth = golden.group_cycles(config, longest) == golden.period(config, longest)
    busy = phase("back to back", longest, drawn, reset=True, measured=smooth)
    phases.append(busy)
    if not smooth:
        # Groups wait for each other: what is left to measure is one, or several where each is a single transfer.
        groups = 1 if golden.group_cycles(config, longest) > 1 else 5
        phases.append(phase("measured", longest, [draw(groups * step, longest)], reset=True, measured=True))
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        for part in shares(count, min(4, len(mantissas))):
            mantissa = mantissas[rng.integers(len(mantissas))]
            cut = int(rng.integers(1, 12 * config.rows + 40))
            left = [draw(draw.length(), mantissa) for _ in range(8)]
            phases.append(phase("left by a reset", mantissa, left, sink="heavy", cut=cut, reset=True))
            # A reduction gives `rows` vectors.
            drawn = [draw(draw.length(), mantissa) for _ in range(max(-(-part // config.rows), 1))]
            name = f"random reductions, stalls {source} in, {sink} out"
            phases.append(phase(name, mantissa, drawn, source=source, sink=sink, reset=True, vectors=part))

    await bench.run(phases, describe=_descriptions(config))

    wanted = {(kind, mantissa) for kind in (*_ACTIVATIONS, *_SCALES) for mantissa in mantissas}
    bench.cover("kinds of activations and of scales at each mantissa", len(sent & wanted), len(wanted))
    if busy.taken:
        share = len(busy.inputs[busy.leading]) / busy.taken
        if smooth and share < _BUSY:
            bench.mismatch("utilization", 0, f"{_BUSY:.0%} or more", f"{share:.2%}")
        products = golden.products(config) / golden.period(config, longest)
        at = "" if longest is None else f", M = {longest}"
        bench.figure("utilization", f"{share:.2%} of the cycles take activations{at}, {products:.1f} products a cycle")


class _Reduction:
    """Operands of one reduction, for all rows and columns, and its results.

    Attributes
    ----------
    kinds : tuple of str
        Of activations and scales.
    activations : AndaTensor, or ndarray of float16
    weights : ndarray of int, shape (cols, K)
    scales : ndarray of float16, shape (cols, ceil(K / 128))
    results : ndarray, shape (rows, cols)
    """

    def __init__(self, config, kinds, activations, weights, scales):
        self.kinds, self.activations, self.weights, self.scales = kinds, activations, weights, scales
        if config.pe == "fp16":
            results = golden.fp16_matmul(activations, weights, scales, config.lanes)
        else:
            results = anda.matmul(activations, weights, scales, config.conversion)
        self.results = results[config.output == "fp16"]


class _Draw:
    """Random reductions."""

    def __init__(self, config, rng):
        self.config, self.rng = config, rng

    def length(self):
        """Some K: around the group, or the 128 weights of a scale, or anything up to three of these."""
        group = self.config.group
        lengths = [1, group - 1, group, group + 1, 2 * group, anda.WEIGHT_GROUP + 1, self.rng.integers(1, 300)]
        return int(self.rng.choice(lengths))

    def __call__(self, k, mantissa, kind=None, scale=None):
        """A reduction of `k` steps; of any kind by default."""
        config, rng = self.config, self.rng
        kind, scale = kind or str(rng.choice(_ACTIVATIONS)), scale or str(rng.choice(_SCALES))
        weights = rng.integers(-8, 8, (config.cols, k))
        x = self._numbers(kind, k)
        if kind == "extreme":
            # All of one sign, all weights the least or the greatest.
            weights = np.where(rng.random((config.cols, 1)) < 1 / 2, -8, 7) + 0 * weights
        scales = self._scales(scale, k)
        if kind == "cancelling":
            # What came first is taken back; what came in between is left, as short as the sum before it let it be.
            part = config.lanes if config.pe == "fp16" else config.group
            part = part if 3 * part <= k else k // 3
            x[:, part : 2 * part] *= np.float16(2.0 ** -rng.integers(0, 20))
            x[:, 2 * part : 3 * part] = -x[:, :part]
            weights[:, 2 * part : 3 * part] = weights[:, :part]
            x[:, 3 * part :] = 0
            scales[:] = scales[:, :1]
        if config.pe != "fp16":
            # Not only what an encoder makes, but any planes.
            x = anda.encode(x, mantissa or golden.ALIGNED, group=config.group)
            if kind == "codes" and k % config.group == 0:
                top = np.uint64((1 << config.group) - 1)
                words = (rng.integers(0, 1 << 64, part.shape, np.uint64) & top for part in (x.signs, x.planes))
                exponents = rng.integers(0, 32, x.exponents.shape, np.uint8)
                x = anda.AndaTensor(*words, exponents, k, config.group)
        return _Reduction(config, (kind, scale), x, weights, scales)

    def _numbers(self, kind, k):
        shape, rng = (self.config.rows, k), self.rng
        if kind == "codes":
            return rng.integers(0, 1 << 16, shape, np.uint16).view(np.float16)
        if kind == "zeros":
            return np.where(rng.random(shape) < 1 / 20, rng.normal(size=shape), 0).astype(np.float16)
        if kind == "extreme":
            signs = np.where(rng.random((len(shape), 1))[:1] < 1 / 2, -1, 1)
            return np.full(shape, rng.choice([65504.0, 255.875, 2.0**-14]) * signs, np.float16)
        if kind == "tiny":
            return (rng.normal(size=shape) * 2.0 ** rng.integers(-24, -12)).astype(np.float16)
        # Outliers of all sizes, as a language model has them.
        return (rng.normal(size=shape) * 2.0 ** rng.integers(-4, 9, (1, k))).astype(np.float16)

    def _scales(self, kind, k):
        shape, rng = (self.config.cols, -(-k // anda.WEIGHT_GROUP)), self.rng
        if kind == "usual":
            scales = rng.uniform(0.001, 0.1, shape) * rng.choice([-1, 1], shape)
        elif kind == "any":
            codes = rng.integers(0, 1 << 15, shape, np.uint16) % 0x7C00
            return (codes | rng.integers(0, 2, shape, np.uint16) << 15).view(np.float16)
        elif kind == "subnormal":
            return (rng.integers(0, 2, shape, np.uint16) << 15 | rng.integers(0, 1 << 10, shape, np.uint16)).view(
                np.float16
            )
        else:
            scales = np.where(rng.random(shape) < 3 / 4, {"zero": 0.0, "largest": -65504.0}[kind], 0.5)
        return scales.astype(np.float16)


def _items(reductions, config):
    """What goes in and what must come out of reductions, as fields of a `Phase`."""
    make = {"anda": _serial, "figna": _parallel, "fp16": _floating}[config.pe]
    inputs, outputs, after, delay, counting = {}, Collected(config.o_layout), [], [], []
    for reduction in reductions:
        sent = make(reduction, config)
        if config.pe == "anda":
            # The mantissa's length counts with a group's first transfer.
            transfers = len(sent["a"]["last"])
            counting += (np.arange(transfers) % (transfers // reduction.activations.signs.shape[1]) == 0).tolist()
        codes = reduction.scales.view(np.uint16).T
        sent["scales"] = {f"scales.{name}": part for name, part in _numbers(codes).items()}
        for name, fields in sent.items():
            inputs.setdefault(name, Collected(getattr(config, f"{name}_layout"))).add(**fields)
        order = np.arange(config.rows)
        results = reduction.results.view(np.uint16 if config.output == "fp16" else np.uint32)
        outputs.add(values=results, last=order == order[-1])
        after += [len(inputs["a"]) - 1] * config.rows
        delay += order.tolist()
    inputs = {name: sent.payloads() for name, sent in inputs.items()}
    return {"inputs": inputs, "outputs": outputs.payloads(), "after": after, "delay": delay, "counting": counting}


def _serial(reduction, config):
    """Fields of the transfers of `anda`; where exponents and `last` do not count, they are not those of the group."""
    t = reduction.activations
    groups, m = t.planes.shape[1:]
    # Group by group, row by row; of each group plane by plane.
    signs, exponents, planes = t.signs.T, t.exponents.T, t.planes.transpose(1, 2, 0)
    # Anything but at the end of a group.
    ends = (np.arange(groups * m) % 3 == 0).reshape(groups, m)
    ends[:, -1] = np.arange(groups) == groups - 1
    if config.signs == "beside":
        transfers = {
            "a": {"words": planes.reshape(-1, config.rows), "last": ends.ravel()},
            "heads": {"signs": signs, "exponents": exponents},
        }
    else:
        # The signs go before the planes.
        words = np.concatenate([signs[:, None], planes], axis=1)
        others = np.repeat(np.roll(exponents, -1, axis=0)[:, None], m, axis=1)
        beside = np.concatenate([exponents[:, None], others], axis=1)
        words, beside = (part.reshape(-1, config.rows) for part in (words, beside))
        ends = np.pad(ends, ((0, 0), (1, 0))).ravel()
        transfers = {"a": {"words": words, "exponents": beside, "last": ends}}
    weights = np.pad(reduction.weights, ((0, 0), (0, groups * config.group - reduction.weights.shape[1])))
    bits = (weights[..., None] >> np.arange(3, -1, -1)) & 1
    # Groups and planes first, then columns with their elements.
    bits = bits.reshape(config.cols, groups, config.group, 4).transpose(1, 3, 0, 2)
    return transfers | {"w": {"planes": _words(bits).reshape(4 * groups, config.cols)}}


def _parallel(reduction, config):
    """Fields of the transfers of `figna`."""
    t = reduction.activations
    groups, times = t.signs.shape[1], config.group // config.lanes
    shape = config.rows, groups * times, config.lanes
    elements = np.arange(config.group, dtype=np.uint64)
    signs = (t.signs[..., None] >> elements) & np.uint64(1)
    planes = (t.planes[..., None] >> elements) & np.uint64(1)
    powers = np.uint64(1) << np.arange(t.mantissa, dtype=np.uint64)[::-1]
    mantissas = (planes * powers[:, None]).sum(axis=2)
    fields = {
        "signs": _words(signs.reshape(shape)).T,
        "mantissas": mantissas.reshape(shape).transpose(1, 0, 2),
        "exponents": np.repeat(t.exponents, times, axis=1).T,
        "last": np.arange(groups * times) == groups * times - 1,
    }
    return {"a": fields, "w": _weights(reduction, config, groups * config.group)}


def _floating(reduction, config):
    """Fields of the transfers of `fp16`: each step along K for one row of every unit after the other."""
    x = reduction.activations.view(np.uint16)
    steps = -(-x.shape[1] // config.lanes)
    x = np.pad(x, ((0, 0), (0, steps * config.lanes - x.shape[1])))
    x = x.reshape(config.units, config.share, steps, config.lanes).transpose(2, 1, 0, 3)
    x = x.reshape(-1, config.units, config.lanes)
    ends = np.repeat(np.arange(steps) == steps - 1, config.share)
    fields = {f"values.{name}": part for name, part in _numbers(x).items()}
    return {"a": {**fields, "last": ends}, "w": _weights(reduction, config, steps * config.lanes)}


def _words(bits):
    """Words of bits along the last axis, up to 64, the first one lowest."""
    places = np.arange(bits.shape[-1], dtype=np.uint64)
    return (bits.astype(np.uint64) << places).sum(axis=-1, dtype=np.uint64)


def _numbers(codes):
    """Fields of FP16 numbers, of their codes."""
    rows = np.ascontiguousarray(codes, "<u2").reshape(-1, 1).view(np.uint8)
    return {name: part.reshape(codes.shape) for name, part in codec.unpack(FP16.layout, rows).items()}


def _weights(reduction, config, k):
    """Fields of transfers of `lanes` weights a column, padded to `k` steps."""
    weights = np.pad(reduction.weights, ((0, 0), (0, k - reduction.weights.shape[1])))
    weights = weights.reshape(config.cols, -1, config.lanes).transpose(1, 0, 2)
    return {"weights": weights}


def _descriptions(config):
    """What a report shows of an activations' and a results' payload."""
    codes = "words", "signs", "mantissas"
    return describing(config.a_layout, *codes), describing(config.o_layout, "values")
