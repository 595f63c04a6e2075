"""The arithmetic of the N:M tile's processing elements: an activation is chosen out of a group, then multiplied.

One multiplier and one accumulator a processing element, both those of the dense tile, whatever N is: a slot takes a
cycle, so a group takes N of them, and dense weights M. What is added is a multiplexer of M activations, which cannot be
shared, as the choice depends on row and column. Our reconstruction of SAT's unified sparse processing element, whose
inside is not public.
"""

from amaranth import Module

from ...hdl.emission.replicate import Replica
from ..systolic.processing_element import Terms, carries, terms

__all__ = ["GroupTerms"]


class GroupTerms(Terms):
    """Products of each column's weight with the activation that its index chooses out of each row's group.

    The activations that meet one weight differ, the weight is the same: only those share a multiplier block.
    """

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config, self.rows, self.cols
        kind = config.family.select
        for col in range(cols):
            m.submodules[f"multiply_{col}"] = Replica(products := terms(config.dense, rows, 1))
            m.d.comb += [products.en.eq(self.en), products.w[0].eq(self.w[col].value)]
            for row in range(rows):
                m.submodules[f"select_{row}_{col}"] = Replica(select := kind(config.operands[0].bits, config.group))
                m.d.comb += [
                    select.i.as_value().eq(self.a[row].as_value()),
                    select.index.eq(self.w[col].index),
                    products.a[row].eq(select.o.as_signed()),
                    self.terms[row][col].eq(products.terms[row][0]),
                ]
                if carries(config):
                    m.d.comb += self.carries[row][col].eq(products.carries[row][0])
        return m
