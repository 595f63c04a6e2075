"""Benches of the outlier-victim-pair decoder and encoder."""

import numpy as np

from ...golden.olive import ovp
from ..bench import Failure, Phase, shares
from ..stream import describing, packed
from . import stream_model

__all__ = ["decoder", "encoder"]

#: Stalls of the producer and of the consumer in the random phases.
_PROFILES = (
    ("light", "light"),
    ("heavy", "eager"),
    ("eager", "heavy"),
    ("bursts", "bursts"),
    ("eager", "patient"),
    ("heavy", "heavy"),
)


async def decoder(bench):
    """Every code, legal ones first so that the flag must stay low, then illegal ones; random ones under stalls.

    With one pair, or codes of 4 bits, every code comes in every lane; else every code comes in some lane. Where the
    request brings codes, those and no others.
    """
    config, rng = bench.config, bench.rng
    fmt, pairs = config.format, config.pairs
    words = np.arange(1 << (2 * fmt.bits))
    is_illegal = ovp.illegal(stream_model.to_bytes(words[:, None], fmt), fmt)[:, 0]
    legal, illegal = words[~is_illegal], words[is_illegal]
    every_lane = pairs == 1 or fmt.bits == 4
    biases = range(fmt.max_bias + 1) if config.bias_port else [fmt.bias]
    sent = []

    def phase(name, chosen, bias, **options):
        items = _decoder_items(chosen, rng.integers(2, size=len(chosen)), config, fmt.with_bias(bias))
        ports = {"bias": bias} if config.bias_port else {}
        sent.append((chosen, bias, options.get("cut")))
        return Phase(name, *items, ports=ports, **options)

    describe = describing(config.packed_layout, "codes"), _decoded_description(config)
    if bench.codes is not None:
        given = phase("given codes", _words(bench.codes, fmt), fmt.bias, measured=True)
        await bench.run([given], describe=describe, flag="illegal")
        return

    phases = []
    left, right = _sides(legal, fmt)
    with_victim = legal[(left == fmt.identifier) | (right == fmt.identifier)]
    for bias in biases:
        # Only codes beside a victim depend on the bias.
        chosen = legal if bias == biases[0] or fmt.bits == 4 else with_victim
        dealt = _deal(chosen, pairs, every_lane, rng)
        phases.append(phase(f"every legal code, bias {bias}", dealt, bias, measured=True, reset=True))
        dealt = _deal(np.concatenate([illegal, rng.choice(legal, len(illegal))]), pairs, every_lane, rng)
        phases.append(phase(f"every illegal code, bias {bias}", dealt, bias, measured=True))

    # Each illegal code must raise the flag by itself.
    lanes = range(pairs) if fmt.bits == 4 else None
    probes = [(code, lane) for n, code in enumerate(illegal) for lane in lanes or [n % pairs]]
    for code, lane in probes:
        chosen = rng.choice(legal, (5, pairs))
        chosen[2, lane] = code
        phases.append(phase(f"illegal code {code:#x} alone in lane {lane}", chosen, biases[0], reset=True))

    for (source, sink), count in zip(_PROFILES, shares(bench.vectors, len(_PROFILES)), strict=True):
        chosen, cut = _random_codes(words, (64, pairs), fmt, rng), int(rng.integers(4, 64))
        phases.append(phase("left by a reset", chosen, biases[0], sink="heavy", cut=cut, reset=True))
        chosen = _random_codes(words, (max(count, 1), pairs), fmt, rng)
        # Legal for the first half, so that the flag is seen low under stalls too.
        first = chosen[: count // 2]
        first[np.isin(first, illegal)] = legal[-1]
        name = f"random codes, stalls {source} in, {sink} out"
        bias = int(rng.choice(biases))
        phases.append(phase(name, chosen, bias, source=source, sink=sink, reset=True, vectors=count))

    for source in ("eager", "sparse"):
        chosen, options = rng.choice(legal, (16, pairs)), {"capacity": _capacity(bench), "reset": True}
        phases.append(phase(f"full, stalls {source} in", chosen, biases[0], source=source, **options))

    await bench.run(phases, describe=describe, flag="illegal")
    complete = [(chosen, bias) for chosen, bias, cut in sent if cut is None]
    seen = [np.unique(np.concatenate([chosen[:, lane] for chosen, _ in complete])) for lane in range(pairs)]
    if every_lane:
        bench.cover("codes in every lane", sum(map(len, seen)) / pairs, len(words))
    else:
        bench.cover("codes", len(np.unique(np.concatenate(seen))), len(words))
    if config.bias_port:
        bench.cover("biases", len({bias for _, bias in complete}), len(biases))


async def encoder(bench):
    """Every threshold of the encoder and its neighbours, both signs, both positions, several partners; random pairs."""
    if bench.codes is not None:
        raise Failure("the encoder takes no packed codes")
    config, rng = bench.config, bench.rng
    pairs, width, fraction = config.pairs, config.width, config.fraction
    fmt = config.format
    points = _boundaries(fmt, width, fraction)
    directed = _with_partners(points, width, fraction)
    exhaustive = 2 * width <= 16
    if exhaustive:
        every = np.arange(-(1 << (width - 1)), 1 << (width - 1))
        directed = np.concatenate([directed, np.stack(np.meshgrid(every, every), axis=-1).reshape(-1, 2)])
    sent = []

    def phase(name, values, **options):
        items = _encoder_items(values, rng.integers(2, size=len(values)), config)
        sent.append((values, options.get("cut")))
        return Phase(name, *items, **options)

    phases = [phase("every threshold", _deal(directed, pairs, False, rng), measured=True)]
    for (source, sink), count in zip(_PROFILES, shares(bench.vectors, len(_PROFILES)), strict=True):
        values, cut = _random_values((64, pairs), config, rng), int(rng.integers(4, 64))
        phases.append(phase("left by a reset", values, sink="heavy", cut=cut, reset=True))
        values = _random_values((max(count, 1), pairs), config, rng)
        name = f"random values, stalls {source} in, {sink} out"
        phases.append(phase(name, values, source=source, sink=sink, reset=True, vectors=count))
    for source in ("eager", "sparse"):
        values, capacity = _random_values((16, pairs), config, rng), _capacity(bench)
        phases.append(phase(f"full, stalls {source} in", values, source=source, capacity=capacity, reset=True))

    describe_values = describing(config.value_layout)

    def describe_input(payload):
        shown = describe_values(payload)
        return shown | {"values": [value / 2**fraction for value in shown["values"]]}

    await bench.run(phases, describe=(describe_input, describing(config.packed_layout, "codes")))
    complete = np.concatenate([values.reshape(-1, 2) for values, cut in sent if cut is None])
    covered = sum(np.isin(points, complete[:, side]).sum() for side in range(2))
    bench.cover("thresholds and neighbours, by position", covered, 2 * len(points))
    if exhaustive:
        bench.cover("pairs of values", len(np.unique(complete, axis=0)), 1 << (2 * width))


def _capacity(bench):
    """Items that these cores hold: one in each stage, and one in the spare register that cuts the path of ready."""
    return bench.core.latency(bench.config) + 1


def _decoder_items(words, last, config, fmt):
    """Input payloads, output payloads and illegal flags of packed pairs, shape (N, pairs)."""
    return packed(config.packed_layout, codes=words, last=last), *stream_model.decoded(words, last, config, fmt)


def _decoded_description(config):
    """What a report shows of a decoder's output: each value as its integer, shifted."""
    describe = describing(config.decoded_layout)

    def describe_output(payload):
        shown = describe(payload)
        values = zip(shown["values.integer"], shown["values.exponent"], strict=True)
        return {"values": [f"{integer}<<{exponent}" for integer, exponent in values], "last": shown["last"]}

    return describe_output


def _encoder_items(values, last, config):
    """Input and output payloads of pairs of fixed-point values, shape (N, pairs, 2)."""
    flat = values.reshape(len(values), -1)
    return packed(config.value_layout, values=flat, last=last), stream_model.encoded(flat, last, config)


def _sides(words, fmt):
    """The two codes of packed pairs."""
    return words & ((1 << fmt.bits) - 1), words >> fmt.bits


def _words(packed, fmt):
    """Bytes that the golden model gives as packed pairs, shape (..., pairs)."""
    return (packed if fmt.bits == 4 else np.ascontiguousarray(packed).view("<u2")).astype(np.int64)


def _deal(items, pairs, every_lane, rng):
    """Shuffle items into lanes, shape (N, pairs, ...): all of them into each lane, or each of them into some lane."""
    if every_lane:
        return np.stack([rng.permutation(items) for _ in range(pairs)], axis=1)
    more = rng.choice(items, -len(items) % pairs)
    return rng.permutation(np.concatenate([items, more])).reshape(-1, pairs, *items.shape[1:])


def _random_codes(words, shape, fmt, rng):
    """Random packed pairs of `words`; in half of them one side is a victim."""
    chosen = rng.choice(words, shape)
    left, right = _sides(chosen, fmt)
    victim = rng.integers(4, size=shape)
    left, right = np.where(victim == 0, fmt.identifier, left), np.where(victim == 1, fmt.identifier, right)
    return left | (right << fmt.bits)


def _boundaries(fmt, width, fraction):
    """Signed fixed-point values at and beside every point at which an encoder's result changes, and the extremes.

    Powers of two too: each bit alone must make an outlier of a value, and saturate it.
    """
    normal, outlier = fmt.normal_magnitudes, fmt.outlier_magnitudes
    doubled = np.concatenate(
        [
            2 * normal,
            normal[1:] + normal[:-1],
            2 * outlier,
            outlier[1:] + outlier[:-1],
            [int(2 * fmt.outlier_threshold)],
        ]
    )
    half = 1 << (fraction - 1)
    magnitudes = (doubled[:, None] * half + np.array([-half, -1, 0, 1, half])).ravel()
    powers = 1 << np.arange(width - 1)
    magnitudes = np.concatenate([magnitudes, powers, powers - 1])
    lowest = -(1 << (width - 1))
    points = np.concatenate([magnitudes, -magnitudes, [lowest, lowest + 1]])
    return np.unique(points[(points >= lowest) & (points < -lowest)])


def _with_partners(points, width, fraction):
    """Pairs, shape (N, 2): each point in both positions, beside zero, its equals, its neighbours and the extremes."""
    lowest = -(1 << (width - 1))
    others = [0 * points, points, -points, 0 * points + (1 << fraction), 0 * points + lowest, 0 * points - lowest - 1]
    others += [sign * (np.abs(points) + step) for sign in (1, -1) for step in (-1, 1)]
    pairs = np.concatenate([np.stack([points, other], axis=1) for other in others])
    # One bit apart: each bit of the two magnitudes decides which is larger.
    bits = 1 << np.arange(width - 1)
    close = np.stack([0 * bits - lowest - 1, (-lowest - 1) ^ bits], axis=1)
    pairs = np.concatenate([pairs, close, -close])
    pairs = pairs[((pairs >= lowest) & (pairs < -lowest)).all(axis=1)]
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)


def _random_values(shape, config, rng):
    """Random pairs, shape (*shape, 2): log-uniform magnitudes, values about the threshold, and near ties."""
    width, fraction = config.width, config.fraction
    high = (1 << (width - 1)) - 1
    full = (*shape, 2)
    values = np.exp2(rng.uniform(0, width - 1, full)).astype(np.int64)
    small = min(int(2 * config.format.outlier_threshold * 2**fraction), high)
    values = np.where(rng.random(shape)[..., None] < 1 / 4, rng.integers(0, small, full, endpoint=True), values)
    tie = rng.random(shape) < 1 / 4
    values[tie, 1] = values[tie, 0] + rng.integers(-1, 2, tie.sum())
    values = np.clip(values, 0, high)
    return np.where(rng.random(full) < 1 / 2, -values, values)
