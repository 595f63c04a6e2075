"""Memories that stay memories where a design is mapped to cells: an ASIC has macros for them, which are no cells.

A macro here has synchronous ports alone, as memory compilers make them. What is smaller, and what is read without a
clock, becomes flip-flops.
"""

import re

__all__ = ["LIMIT", "TYPE", "describe", "keep", "mark", "tell"]

#: Bits; a memory of more stays a memory (our choice: small queues and tables remain flip-flops, as in an ASIC).
LIMIT = 1024
#: Type of such a memory among the cells of a netlist, and its attribute before.
TYPE = "memory_macro"

_MOST_READ_PORTS = 8
_DECLARATION = re.compile(r"^( *)(reg (?:\[(\d+):0\] )?\S+ +\[(\d+):0\];)$", re.MULTILINE)


def mark(verilog: str) -> str:
    """A design's Verilog with an attribute at each memory of more than `LIMIT` bits; without any, just as it was."""

    def marked(declaration):
        width, words = int(declaration[3] or 0) + 1, int(declaration[4]) + 1
        return f"{declaration[1]}(* {TYPE} *) {declaration[2]}" if width * words > LIMIT else declaration[0]

    return _DECLARATION.sub(marked, verilog)


def keep() -> str:
    """The command of Yosys that keeps marked memories from being mapped; their read ports must all have a clock."""
    clocked = " ".join(f"r:RD_CLK_ENABLE={ports}'b{'1' * ports}" for ports in range(1, _MOST_READ_PORTS + 1))
    # No pass knows the new type: all take it for a black box.
    return f"chtype -set {TYPE} t:$mem_v2 a:{TYPE} %i {clocked} {'%u ' * (_MOST_READ_PORTS - 1)}%i"


def describe(name: str, cell: dict) -> dict:
    """What a memory is, out of Yosys' JSON of its cell.

    Parameters
    ----------
    name : str
    cell : dict
        `parameters` and `connections`, those of ``$mem_v2``.

    Returns
    -------
    dict
        `name`, `words`, `width`; `init`, pairs of an address and a word, without zeros; `reads`, a list of `address`,
        `enable`, `data`, the bits of each, and `through`, the numbers of the write ports whose word such a port gives
        when both have the same address, where all others leave it the old one; `writes`, a list of `address`,
        `enables`, one for each bit, and `data`. A later write port goes before an earlier one.

    Raises
    ------
    ValueError
        For a read port with a reset.
    """
    values, at = cell["parameters"], cell["connections"]
    number = {key: int(values[key], 2) for key in ("SIZE", "WIDTH", "ABITS", "RD_PORTS", "WR_PORTS")}
    width, reads, writes = number["WIDTH"], number["RD_PORTS"], number["WR_PORTS"]
    if {*at["RD_SRST"], *at["RD_ARST"]} - {"0", "x"}:
        raise ValueError(f"the memory {name} must have read ports without a reset, to stay a memory")
    address, enables, data = (_parts(at[key], writes) for key in ("WR_ADDR", "WR_EN", "WR_DATA"))
    through = values["RD_TRANSPARENCY_MASK"][::-1]
    return {
        "name": name,
        "words": number["SIZE"],
        "width": width,
        "init": _words(values["INIT"], width),
        "reads": [
            {
                "address": bits,
                "enable": [enable],
                "data": word,
                "through": [write for write in range(writes) if through[port * writes + write :][:1] == "1"],
            }
            for port, (bits, enable, word) in enumerate(
                zip(_parts(at["RD_ADDR"], reads), at["RD_EN"], _parts(at["RD_DATA"], reads), strict=True)
            )
        ],
        "writes": [
            {"address": bits, "enables": each, "data": word}
            for bits, each, word in zip(address, enables, data, strict=True)
        ],
    }


def tell(memory: dict) -> dict:
    """How large a memory of `describe` is: `words`, `width`, and how many `reads` and `writes` it has."""
    ports = {key: len(memory[key]) for key in ("reads", "writes")}
    return {"words": memory["words"], "width": memory["width"], **ports}


def _parts(bits, count):
    """The bits of each port."""
    size = len(bits) // max(count, 1)
    return [bits[port * size : (port + 1) * size] for port in range(count)]


def _words(text, width):
    """Pairs of address and word of a constant in binary, the last word first; what is not known is zero."""
    text = text.replace("x", "0")
    if "1" not in text:
        return []
    text = text.zfill(-(-len(text) // width) * width)
    words = [int(text[low : low + width], 2) for low in range(0, len(text), width)][::-1]
    return [[address, word] for address, word in enumerate(words) if word]
