"""Bench of the Anda decompressor: every mantissa of 12 bits and less with every exponent, and many longer ones."""

import numpy as np

from ...golden.anda import cycles as anda_cycles
from ...golden.anda import planes as golden
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed
from .planes import plane_payloads

__all__ = ["decompressor"]

_EXPONENTS = 32
_EXHAUSTIVE = 12  # bits of a mantissa
_SAMPLES = 1 << 11  # of longer ones, for each exponent


async def decompressor(bench):
    """Mantissas with every exponent, 0 and 31 too; every length to the cycle; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the decompressor takes bit planes, no packed codes")
    config, rng = bench.config, bench.rng
    longest, shape = config.max_mantissa, (config.lanes, config.group)
    sent = []

    def phase(name, mantissas, exponents, length, extra=0, **options):
        if options.pop("exact", False):
            options["cycles"] = anda_cycles.decompressor_cycles(config, [length] * len(mantissas))
        if options.get("cut") is None:
            sent.append((mantissas, exponents, length))
        return Phase(name, **_items(mantissas, exponents, length, extra, config, rng), **options)

    def draw(count, length):
        mantissas = rng.integers(0, 1 << length, (count, *shape)) >> rng.integers(0, length, (count, *shape))
        return mantissas, rng.integers(0, _EXPONENTS, (count, config.lanes)), length

    lengths, phases = range(1, longest + 1), []
    for length in lengths:
        mantissas, exponents = _every_mantissa(length, shape, rng)
        phases.append(phase(f"M = {length}, every exponent", mantissas, exponents, length))
    for length in lengths:
        for count in (1, 4):
            name = f"M = {length}, {count} sets back to back"
            phases.append(phase(name, *draw(count, length), reset=True, exact=True))
    # At least as many planes as a set's values take cycles to leave, or the planes wait for them.
    more = max(config.load - longest, 0)
    phases.append(phase("measured", *draw(20, longest), extra=more, reset=True, measured=True))
    phases.append(phase("more planes than there are bits", *draw(6, longest), extra=3))
    parts = shares(bench.vectors, len(STALL_PAIRS) * len(lengths))
    for index, count in enumerate(parts):
        (source, sink), length = STALL_PAIRS[index % len(STALL_PAIRS)], lengths[index // len(STALL_PAIRS)]
        if index < 2 * len(STALL_PAIRS):
            cut = int(rng.integers(1, 4 * (config.load + length)))
            phases.append(phase("left by a reset", *draw(8, length), sink="heavy", cut=cut, reset=True))
        name = f"random planes, M = {length}, stalls {source} in, {sink} out"
        options = {"source": source, "sink": sink, "reset": True, "vectors": count}
        phases.append(phase(name, *draw(max(-(-count // config.load), 1), length), **options))
    for source in ("eager", "sparse"):
        # Two sets in the shift registers, and the values of four transfers behind them: the first set is still there
        # unless these are all of it.
        held = 2 * longest + 4 // config.load * longest
        options = {"source": source, "capacity": held, "reset": True}
        phases.append(phase(f"full, stalls {source} in", *draw(8, longest), **options))

    describe = describing(config.planes_layout, "plane", "signs"), describing(config.value_layout, "values")
    await bench.run(phases, describe=describe)

    # Longer ones by the place of the leading one.
    sizes = [1 << length if length <= _EXHAUSTIVE else length + 1 for length in lengths]
    kinds = {length: np.zeros((size, _EXPONENTS), bool) for length, size in zip(lengths, sizes, strict=True)}
    for mantissas, exponents, length in sent:
        kind = mantissas if length <= _EXHAUSTIVE else np.frexp(mantissas)[1]
        kinds[length][kind.ravel(), np.repeat(exponents.ravel(), config.group)] = True
    covered = [sum(seen.sum() for seen in kinds.values()), sum(seen.size for seen in kinds.values())]
    bench.cover("mantissas by length and exponent", *covered)


def _every_mantissa(length, shape, rng):
    """Mantissas, shape (N, lanes, group), and exponents, shape (N, lanes): each with each, or samples of them."""
    count = 1 << length
    if length > _EXHAUSTIVE:
        count = _SAMPLES
    count = -(-count // shape[1]) * shape[1]
    mantissas = np.arange(_EXPONENTS * count).reshape(_EXPONENTS, count) % (1 << length)
    if length > _EXHAUSTIVE:
        mantissas = rng.integers(0, 1 << length, mantissas.shape) >> rng.integers(0, length + 1, mantissas.shape)
    exponents = np.repeat(np.arange(_EXPONENTS), count // shape[1])
    groups = rng.permuted(mantissas, axis=1).reshape(-1, shape[1])
    order = rng.permutation(-(-len(groups) // shape[0]) * shape[0]) % len(groups)
    return groups[order].reshape(-1, *shape), exponents[order].reshape(-1, shape[0])


def _items(mantissas, exponents, length, extra, config, rng):
    """What goes in and what must come out; `extra`: planes before the first one, of which nothing is left."""
    count = len(mantissas)
    bits = np.arange(config.group, dtype=np.uint64)
    weights = np.arange(length - 1, -1, -1)
    planes = (((mantissas[..., None, :] >> weights[:, None]) & 1).astype(np.uint64) << bits).sum(-1, dtype=np.uint64)
    signs = (rng.integers(0, 2, mantissas.shape).astype(np.uint64) << bits).sum(-1, dtype=np.uint64)
    tensor = golden.AndaTensor(
        signs[..., None], planes[..., None, :], exponents[..., None].astype(np.uint8), config.group, config.group
    )
    codes = golden.to_float16(tensor).view(np.uint16).reshape(-1, config.width)
    if extra:
        lost = rng.integers(0, 1 << 63, (count, config.lanes, extra)).astype(np.uint64) & np.uint64(
            (1 << config.group) - 1
        )
        planes = np.concatenate([lost, planes], axis=-1)
    transfers = length + extra
    place = np.arange(len(codes)) % config.load
    return {
        "inputs": plane_payloads(signs, planes, exponents, config.group),
        "outputs": packed(config.value_layout, values=codes, last=place == config.load - 1),
        "after": np.repeat(transfers * np.arange(1, count + 1) - 1, config.load).tolist(),
        "delay": place.tolist(),
    }
