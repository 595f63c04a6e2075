"""Memories of a netlist, which are no cells: what they hold in each run, and what their ports do at an edge."""

from typing import NamedTuple

import numpy as np

from .bits import from_octets, merge, octets
from .gates import Taps

__all__ = ["Contents", "Memory", "ReadPort", "WritePort"]


class ReadPort(NamedTuple):
    """A synchronous read port, whose data stay where they are while it is not enabled.

    Attributes
    ----------
    address, enable, data : Taps
    through : tuple of int
        Numbers of the write ports whose word it gives when both have the same address; else it gives the old one.
    """

    address: Taps
    enable: Taps
    data: Taps
    through: tuple


class WritePort(NamedTuple):
    """A write port with an enable for each bit."""

    address: Taps
    enables: Taps
    data: Taps


class Memory(NamedTuple):
    """A memory, and where its ports are among the values of all nodes.

    Attributes
    ----------
    words, width : int
    init : list of (int, int)
        Addresses and their words; all others are zero.
    reads : list of ReadPort
    writes : list of WritePort
        A later one goes before an earlier one.
    """

    words: int
    width: int
    init: list
    reads: list
    writes: list


class _Write(NamedTuple):
    """What a port writes at an edge: an address, and octets of a word and of its mask, for each run."""

    address: np.ndarray
    mask: np.ndarray
    word: np.ndarray

    def over(self, words):
        """Words with what is written in place of what they had."""
        return words & ~self.mask | self.word & self.mask


class Contents:
    """What a memory holds in each run.

    Parameters
    ----------
    memory : Memory
    runs : int
    """

    def __init__(self, memory, runs):
        self._memory, self._runs, self._each = memory, runs, np.arange(runs)
        # Addresses outside of the memory have a word of their own, the last one: nobody may rely on what it holds.
        self._words = np.zeros((runs, memory.words + 1, -(-memory.width // 8)), np.uint8)
        for address, word in memory.init:
            self._words[:, address] = np.frombuffer(word.to_bytes(self._words.shape[2], "little"), np.uint8)

    def edge(self, values):
        """A rising edge of the clock.

        Parameters
        ----------
        values : ndarray of uint64, shape (nodes, words)
            Of all nodes, before the edge.

        Returns
        -------
        list of ndarray of uint64, shape (width, words)
            The read ports' data behind the edge.
        """
        writes = [self._asked(port, values) for port in self._memory.writes]
        data = [self._read(port, values, writes) for port in self._memory.reads]
        for write in writes:
            if write is not None:
                at = self._each, write.address
                self._words[at] = write.over(self._words[at])
        return data

    def _asked(self, port, values):
        enables = port.enables.read(values)
        if not enables.any():
            return None
        word = octets(port.data.read(values), self._runs)
        return _Write(self._address(port, values), octets(enables, self._runs), word)

    def _read(self, port, values, writes):
        held, enable = port.data.read(values), port.enable.read(values)
        if not enable.any():
            return held
        address = self._address(port, values)
        words = self._words[self._each, address]
        for write in (writes[number] for number in port.through):
            if write is not None:
                words = np.where((write.address == address)[:, None], write.over(words), words)
        return from_octets(words, self._memory.width) & enable | held & ~enable

    def _address(self, port, values):
        return np.minimum(merge(port.address.read(values), self._runs), self._memory.words)
