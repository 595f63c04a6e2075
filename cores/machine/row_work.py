"""What the machine's unit of rows is told, and what it writes: layouts."""

from amaranth import signed
from amaranth.lib import data, enum

from ...golden.machine import jobs
from ...golden.machine.parts import WIDE

__all__ = ["READ", "RowOperation", "element_layout", "place_shape", "residual_layout", "row_layout", "work_layout"]


#: Cycles from the request of a word of the residual or of the logits to the cycle in which it is there: a register in
#: front of the memory, the memory, a register behind it.
READ = 3


class RowOperation(enum.Enum, shape=2):
    """What is done."""

    EMBED = 0
    NORM = 1
    SOFTMAX = 2
    SUM = 3


def place_shape(config):
    """A place in the residual, or in the logits."""
    return range(max(config.sizes.residual, config.sizes.scores))


def work_layout(config):
    """A job of the unit of rows, in which nothing depends on the tokens any more.

    `length` of a row; `place` of the first one, `step` from one group's to the next one's; `base`, `stride` of bank a;
    `shift` of words; `codes`, as of `jobs.Normalize`; `tokens`, those of the sentence, or of the pass.
    """
    norm = config.job(jobs.Normalize)
    longest = max(config.channels, config.tokens).bit_length()
    return data.StructLayout(
        {
            "operation": RowOperation,
            "length": longest,
            "place": place_shape(config),
            "step": longest,
            "base": norm["base"].shape,
            "stride": norm["stride"].shape,
            "shift": 4,
            "codes": 1,
            "tokens": range(config.tokens + 1),
            "signal": 1,
        }
    )


def row_layout(config):
    """A row that is under way: its `place`, `lane`, its place in bank a, `end`: it is the job's last one."""
    base = config.job(jobs.Normalize)["base"].shape
    return data.StructLayout({"place": place_shape(config), "lane": range(config.lanes), "a": base, "end": 1})


def residual_layout(config):
    """`element_layout` of the residual."""
    return element_layout(config, place_shape(config), signed(WIDE))


def element_layout(config, place, code=8):
    """One lane of a word of a memory: `place`, `lane`, `code`; `end`, it is the job's last one."""
    return data.StructLayout({"place": place, "lane": range(config.lanes), "code": code, "end": 1})
