"""The rows of the tables that go by core: some configurations of each one."""

from bitloom.cores.catalogue import lookup
from bitloom.fpga.bitstream.boards import BOARDS

__all__ = ["configurations"]

#: Configurations of each core; its default one where none is listed.
ROWS = {
    "ovp-decoder": ([], ["normal=flint4"], ["normal=int8"]),
    "ovp-encoder": ([], ["normal=flint4"], ["normal=int8"]),
    "anda-compressor": (["lanes=1"], ["lanes=1", "rounding=nearest"]),
    "anda-decompressor": (["lanes=1"],),
    "anda-buffer": (["lanes=1"],),
    "gemm": (["rows=4", "cols=4", "a_depth=256", "w_depth=256"],),
    "hgq-dequantizer": ([], ["adder=5"]),
    "hgq-tile": (
        ["rows=1", "cols=1", "dot=2"],
        ["rows=2", "cols=2", "dot=2"],
        ["rows=2", "cols=2", "dot=2", "adder=5"],
    ),
    "lvc": (
        ["lanes=2", "columns=2", "max_channels=512", "max_rank=16"],
        ["lanes=4", "columns=2", "max_channels=512"],
    ),
    "sevedo-core": (list(BOARDS["ulx3s-85f"].parameters["sevedo-core"]),),
    "nm-tile": (["rows=4", "cols=4"],),
    "pwl-unit": ([], ["entries=16"], ["kind=rom", "table=gelu-8"]),
    "anda-tile": tuple(
        ["rows=1", "cols=1", "group=16", "max_mantissa=5", "share=1", f"pe={pe}"] for pe in ("anda", "figna", "fp16")
    ),
}

#: Further ones for parts alone: in a cell library memories would be flip-flops, and no simulator has the primitives.
ON_PARTS = {
    # For MiniLM, but for the memory behind its port, which is of 32 KB.
    "machine": (
        [
            *("lanes=8", "tokens=64", "channels=384", "hidden=1536", "panels=4096", "jobs=512", "id_bits=16"),
            *("entries=16", "target=ecp5"),
        ],
    ),
}


def configurations(names, parts=False):
    """(core, name of the row, config) of every row of some cores; of those for `parts` too."""
    for core in map(lookup, names):
        for assignments in (*ROWS.get(core.name, ([],)), *(ON_PARTS.get(core.name, ()) if parts else ())):
            yield core, " ".join([core.name, *assignments]), core.config.parse(assignments)
