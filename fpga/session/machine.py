"""A program on a machine behind a link: its image, which is loaded once, and the sentences of its passes."""

import time
from dataclasses import asdict

import numpy as np

from ...cores.machine.core import MachineCoreConfig
from ...golden.machine import host
from ...hdl.stream import codec
from ...testbench.machine.simulated import Ran
from ...testbench.payloads import from_bytes
from ..bitstream.sdram import late
from .host import LinkError

__all__ = ["BLOCK", "LinkedMachine", "check_program", "twin_parameters"]

#: Words of a block of the image: a tenth of a second of a line of 3 Mbaud.
BLOCK = 4096
_CLOCK = 45  # MHz of a twin: that of the boards
_PATIENCE = 600.0  # seconds that a pass may take: a Verilated machine of full size makes 100,000 cycles in one


def check_program(config, program, where):
    """Refuse a machine that a program was not made for.

    Parameters
    ----------
    config : MachineConfig
        Of the machine that is there.
    program : Program
    where : str
        What the message calls the machine.

    Raises
    ------
    ValueError
        Tells both machines' parameters.
    """
    sizes, wanted = ([f"{k}={v}" for k, v in asdict(s).items()] for s in (config.sizes, program.sizes))
    if sizes != wanted:
        raise ValueError(
            f"{where} holds a machine with {' '.join(sizes)}, the program was compiled for one with {' '.join(wanted)}"
        )
    if program.vocabulary > 1 << config.id_bits:
        raise ValueError(
            f"id_bits must be at least {(program.vocabulary - 1).bit_length()} for {program.vocabulary:,} ids, "
            f"not the {config.id_bits} of {where}"
        )


def twin_parameters(parameters):
    """Parameters of the core ``machine`` for a twin of a board: with the board's SDRAM, or for few words block RAM.

    Parameters
    ----------
    parameters : dict
        Of `MachineConfig`.

    Returns
    -------
    list of str
        ``NAME=VALUE`` texts.
    """
    portable = {**parameters, "target": "generic"}
    try:
        config = MachineCoreConfig.of(portable | {"memory": "sdram", "clock": _CLOCK, "delay": late(_CLOCK)[1]})
    except ValueError:
        config = MachineCoreConfig.of(portable | {"memory": "block"})
    return config.assignments()


class LinkedMachine:
    """A machine at the other end of a link.

    Parameters
    ----------
    link : host.Link
        With the machine's channels.
    config : MachineCoreConfig
    identity : dict
        What the board must say of itself.
    """

    def __init__(self, link, config, identity):
        self.link, self.config, self.identity = link, config, identity
        self._size = link.channels.outputs["o"].bytes

    def begin(self):
        """A new session: the machine is reset, its memory keeps what it has."""
        self.link.hello(self.identity)

    def missing(self, words):
        """Blocks of an image that the memory has not: the machine tells the CRC-32 of each.

        Parameters
        ----------
        words : ndarray of uint64
            From address 0 on.

        Returns
        -------
        list of (int, int)
            Address of the first word, and words.
        """
        blocks = [(at, min(BLOCK, len(words) - at)) for at in range(0, len(words), BLOCK)]
        told = self._exchange(host.checks(blocks), len(blocks))
        right = [host.crc(words[at : at + count], self.config.word) for at, count in blocks]
        return [block for block, got, crc in zip(blocks, told, right, strict=True) if int(got) % (1 << 32) != crc]

    def load(self, words, progress=None):
        """Put an image into the memory, but for the blocks that are there.

        Blocks are sent ahead of the answers. When that breaks off, those that came whole are there; where none did, the
        line is so bad that each request waits for its answer.

        Parameters
        ----------
        words : ndarray of uint64
            From address 0 on.
        progress : callable, optional
            Called with (done, total) bytes of the blocks that were missing.

        Returns
        -------
        int
            Blocks that were missing.

        Raises
        ------
        LinkError
            If the line fails, or the memory does not keep what it is given.
        """
        first = missing = self.missing(words)
        total, ahead = sum(count for _, count in first), True
        while missing:
            left = sum(count for _, count in missing)
            data = b"".join(self._bytes(host.image(words[at : at + count], at)) for at, count in missing)

            def told(sent, of, left=left):
                if progress:
                    progress((total - left + sent * left // of) * self.config.word // 8, total * self.config.word // 8)

            whole = self.link.send("i", data, told) if ahead else self._give(data, told)
            if not whole:
                self.begin()
            before, missing = missing, self.missing(words)
            if whole and missing:
                raise LinkError(f"{self.link.name} does not keep what its memory is given, at word {missing[0][0]:,}")
            ahead = len(missing) < len(before)
        return len(first)

    def run(self, program, passes, progress=None):
        """Send passes through the machine, one after the other.

        Parameters
        ----------
        program : Program
            Its image is in the memory.
        passes : list of list of array_like of int
            For each pass its sentences.
        progress : callable, optional
            Called with (done, total) passes.

        Returns
        -------
        Ran
            Zeros for what did not come.

        Raises
        ------
        LinkError
            If the line fails.
        """
        start, failure, values = time.monotonic(), None, []
        for number, each in enumerate(passes):
            count = host.result_count([each], program.channels)
            try:
                values.append(self._exchange(host.passes([each]), count))
            except _Failed as failed:
                failure = f"pass {number}: {failed}"
                break
            if progress:
                progress(number + 1, len(passes))
        whole = np.zeros(host.result_count(passes, program.channels), np.int64)
        got = np.concatenate(values) if values else whole[:0]
        whole[: len(got)] = got
        outcomes = host.outcomes(whole, passes, program.channels)
        return Ran(outcomes, failure, time.monotonic() - start)

    def _give(self, data, progress):
        moved = self.link.exchange({"i": data}, {}, progress)
        if moved.failure:
            raise LinkError(f"{self.link.name}: {moved.failure}")
        return True

    def _bytes(self, fields):
        return codec.pack(self.config.i_layout, **fields).tobytes()

    def _exchange(self, fields, count):
        """Items in, so many values out."""
        data = {"i": self._bytes(fields)}
        moved = self.link.exchange(data, {"o": count * self._size}, patience=_PATIENCE, until=self._wrong)
        if moved.failure or self._wrong():
            raise _Failed(self._state() if self._wrong() else moved.failure)
        return self._values(moved.outputs["o"])

    def _values(self, data):
        whole = len(data) // self._size * self._size
        rows = from_bytes(data[:whole], self._size * 8, False)
        return codec.unpack(self.config.o_layout, rows)["value"]

    def _wrong(self):
        """Whether the machine told an error."""
        return any(self.link.flags.values())

    def _state(self):
        """What the machine says of its error."""
        moved = self.link.exchange({"i": self._bytes(host.ask())}, {"o": None})
        values = self._values(moved.outputs["o"])
        if not len(values):
            return "an error, and no word of which"
        errors, job = int(values[-1]) & 0xFF, (int(values[-1]) & 0xFFFFFFFF) >> 8
        told = ", ".join(text for bit, text in enumerate(host.ERRORS) if errors >> bit & 1)
        return f"{told}, at job {job}"


class _Failed(LinkError):
    """The machine failed, not the line."""
