"""How long the Anda compressor, decompressor and bit-plane buffer take, to the cycle.

A set is what lies side by side in a transfer of planes: one group of each lane. All counts are for sides that never
stall, from the first input transfer to the last output, both included. Sources: anda paper, Sections IV-C and IV-D,
give the plane a cycle and the double buffering; the pipelines are our choice.
"""

__all__ = [
    "buffer_cycles",
    "buffer_latency",
    "compressor_cycles",
    "compressor_latency",
    "decompressor_cycles",
    "decompressor_latency",
    "set_address",
]

#: Input register, largest exponents, lanes, aligner, output register.
_COMPRESSOR = 5
#: What the rounder has more: largest exponent, two cycles through the queue, shift distance, rounding.
_ROUNDER = 5


def compressor_latency(config):
    """Cycles from the last transfer of a set to its first plane; `config` has `rounding`, `group` and `width`."""
    # Rounding needs the group's exponent: what is rounded waits until the last transfer of its group has come.
    waiting = config.group // config.width - 1 if config.rounding == "nearest" else 0
    return _COMPRESSOR + (_ROUNDER + waiting if config.rounding == "nearest" else 0)


def compressor_cycles(config, loads, mantissas):
    """Cycles of a compressor.

    Parameters
    ----------
    config : AndaCompressorConfig
        Or anything with its fields.
    loads : sequence of int
        Input transfers of each set: `lanes * group / width` of a full one; whole groups where it rounds to nearest.
    mantissas : sequence of int
        Planes of each set.

    Returns
    -------
    int
        For S full sets of L transfers and M planes: latency - 1 + L + (S - 1) * max(M, L) + M.
    """
    # While the planes of one set leave, the next one is loaded.
    overlapped = sum(max(load, planes) for load, planes in zip(loads[1:], mantissas[:-1], strict=True))
    return compressor_latency(config) - 1 + loads[0] + overlapped + mantissas[-1]


def decompressor_latency(config):
    """Cycles from the last plane of a set to its first values: planes, values, zeros, distance, output register."""
    return 5


def decompressor_cycles(config, mantissas):
    """Cycles of a decompressor.

    Parameters
    ----------
    config : AndaDecompressorConfig
        Or anything with its fields.
    mantissas : sequence of int
        Planes of each set.

    Returns
    -------
    int
        For S sets of M planes and L output transfers: latency - 1 + M + (S - 1) * max(M, L) + L.
    """
    load = config.lanes * config.group // config.width
    overlapped = sum(max(load, planes) for planes in mantissas[1:])
    return decompressor_latency(config) - 1 + mantissas[0] + overlapped + load


def buffer_latency(config):
    """Cycles from a command that reads to the first plane: command, signs, plane."""
    return 3


def buffer_cycles(commands):
    """Cycles of the buffer: one for each command, one for each word that it moves, and one until the last is out.

    Parameters
    ----------
    commands : sequence of (int, int)
        Sets and planes of a set; the last one of some set reads.
    """
    return 1 + sum(1 + sets * (planes + 1) for sets, planes in commands)


def set_address(base, block, blocks, step, mantissa):
    """First word of a set in a memory of planes: the signs; the M planes follow.

    Parameters
    ----------
    base : int
        First word of the tensor.
    block : int
        Block of tokens, one token a lane.
    blocks : int
        Groups in a row of the tensor.
    step : int
        Group in the row.
    mantissa : int
        Planes of a set; 0 gives the address in a memory of exponents.
    """
    return base + (block * blocks + step) * (mantissa + 1)
