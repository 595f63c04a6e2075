"""The number of ones among bits: a tree of full adders."""

from amaranth.hdl import Cat, Const, Signal

__all__ = ["popcount"]


def popcount(m, name, bits):
    """Number of ones, as a tree of full adders: three ones of a weight make one of it and one of twice of it.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    bits : Value

    Returns
    -------
    Value
        Unsigned.
    """
    columns, count, at = [list(bits)], [], 0
    while at < len(columns):
        column = columns[at]
        while len(column) > 1:
            taken = [column.pop(0) for _ in range(min(3, len(column)))]
            low, high = Signal(name=f"{name}_sum_{at}_{len(column)}"), Signal(name=f"{name}_carry_{at}_{len(column)}")
            a, b, c = (*taken, Const(0, 1))[:3]
            m.d.comb += [low.eq(a ^ b ^ c), high.eq((a & b) | ((a ^ b) & c))]
            column.append(low)
            if at + 1 == len(columns):
                columns.append([])
            columns[at + 1].append(high)
        count += column
        at += 1
    return Cat(count)
