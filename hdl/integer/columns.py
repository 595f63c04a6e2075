"""Sums of bits of different weights: a tree of full adders, which compresses columns of bits.

A full adder makes of three bits of a weight one of it and one of twice of it, a half adder of two. Columns are worked
off from the lowest weight on, so that each is one bit in the end.
"""

from amaranth.hdl import Cat, Const, Signal

__all__ = ["add_columns"]


def add_columns(m, name, columns, width=None, *, together=False):
    """Add words of bits in a tree of full adders.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between; the rest follows from the column and the bits that it has yet.
    columns : sequence of sequences of Value
        For each weight, from 1 on, words of bits that have it.
    width : int, optional
        Bits of a sum; what is above is lost. By default all that it can have.
    together : bool
        Add all bits of all words. Full adders of a column that stand side by side are words, for a shorter text and a
        faster simulation. Else all words are equally wide, and each bit of them belongs to a sum of its own.

    Returns
    -------
    list of Value
        For each weight a word with that bit of each sum; of one bit if `together`.
    """
    columns, sums = [list(column) for column in columns], []
    while len(sums) < (len(columns) if width is None else width):
        column, carries = columns[len(sums)] if len(sums) < len(columns) else [], []
        while (size := len(Cat(column)) if together else len(column)) > 1:
            (a, b, c), column = _three(column, together)
            place = f"{len(sums)}_{max(size - 3, 0)}"
            low, high = Signal(len(a), name=f"{name}_sum_{place}"), Signal(len(a), name=f"{name}_carry_{place}")
            m.d.comb += [low.eq(a ^ b ^ c), high.eq((a & b) | ((a ^ b) & c))]
            column.append(low)
            carries.append(high)
        if carries and len(sums) + 1 == len(columns):
            columns.append([])
        if carries:
            columns[len(sums) + 1] += carries
        sums.append(Cat(column) if len(Cat(column)) else Const(0, 1))
    return sums


def _three(column, together):
    """What goes into full adders next, the third word zero for half adders; and what is left."""
    if not together:
        return (*column[:3], Const(0, 1))[:3], column[3:]
    bits = Cat(column)
    side = max(len(bits) // 3, 1)
    return [bits[place * side : (place + 1) * side] for place in range(3)], [bits[3 * side :]]
