"""The columns of the low-rank vector core beside each other, and how their sums leave them."""

import itertools

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import lvc_cycles
from ...hdl.emission.replicate import Replica
from .lvc_column import Column

__all__ = ["Sums", "group_layout"]


def group_layout():
    """Where a pass stands: `first` and `last` of its group; `second` product; `end`, of its last group."""
    return data.StructLayout(dict.fromkeys(("first", "last", "second", "end"), 1))


class Sums(wiring.Component):
    """Add passes, and give a group's sums one a cycle: those of ranks, filled up to whole groups, and those of outputs.

    A group must end `columns` cycles or more behind the one before.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    add : in 1
        There is a pass, as `group` says; its operands are there.
    group : in, `group_layout()`
    operands : in, array of `config.operand_shape`
    shifts : in, array of unsigned(3)
        As of `Column`; without meaning where `config.multiplier` is blocks.
    weights : in, `config.w_layout`
    outputs : in
        So many has a token.
    valid, second, last : out 1
        There is a sum; of an output, else of a rank; the last one.
    sum : out signed(32)
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "add": In(1),
                "group": In(group_layout()),
                "operands": In(data.ArrayLayout(config.operand_shape, config.lanes)),
                "shifts": In(data.ArrayLayout(unsigned(3), config.lanes)),
                "weights": In(config.w_layout),
                "outputs": In(config.layer_layout["outputs"].shape),
                "valid": Out(1),
                "second": Out(1),
                "last": Out(1),
                "sum": Out(signed(32)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, columns = self.config, self.config.columns
        operands, shifts, weights = (
            Signal(port.shape(), name=f"{name}_q", reset_less=True)
            for name, port in (("operands", self.operands), ("shifts", self.shifts), ("weights", self.weights))
        )
        with m.If(self.en):
            m.d.sync += [operands.eq(self.operands), shifts.eq(self.shifts), weights.eq(self.weights)]

        steps = lvc_cycles.column_latency(config) + 1
        adds = [self.add, *(Signal(name=f"add_{step}") for step in range(steps))]
        groups = [self.group, *(Signal(group_layout(), name=f"group_{step}", reset_less=True) for step in range(steps))]
        with m.If(self.en):
            for flags in (adds, groups):
                m.d.sync += [after.eq(before) for before, after in itertools.pairwise(flags)]
        totals = []
        for index in range(columns):
            column = Column(config)
            m.submodules[f"column_{index}"] = Replica(column)
            m.d.comb += [
                column.en.eq(self.en),
                column.operands.eq(operands.as_value()),
                column.weights.eq(weights[index].as_value()),
                # The adder tree's last register is a cycle before the sum.
                column.add.eq(adds[-2]),
                column.first.eq(groups[-2].first),
            ]
            if config.sliced:
                m.d.comb += column.shifts.eq(shifts.as_value())
            totals.append(column.total.as_signed())

        leaving = [Signal(signed(32), name=f"leaving_{index}", reset_less=True) for index in range(columns)]
        place, end = Signal(range(columns), reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            self.sum.eq(leaving[0]),
            self.last.eq(end & (place == Mux(self.second, (self.outputs - 1)[: len(place)], columns - 1))),
        ]
        with m.If(self.en):
            with m.If(adds[-1] & groups[-1].last):
                m.d.sync += [self.valid.eq(1), place.eq(0), self.second.eq(groups[-1].second), end.eq(groups[-1].end)]
                m.d.sync += [value.eq(total) for value, total in zip(leaving, totals, strict=True)]
            with m.Else():
                m.d.sync += [self.valid.eq(self.valid & (place != columns - 1) & ~self.last), place.eq(place + 1)]
                m.d.sync += [value.eq(behind) for value, behind in itertools.pairwise(leaving)]
        return m
