"""The number of ones among bits: a tree of full adders."""

from amaranth.hdl import Cat

from .columns import add_columns

__all__ = ["popcount"]


def popcount(m, name, bits):
    """Number of ones, as a tree of full adders.

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
    return Cat(add_columns(m, name, [list(bits)]))
