"""When the elements of rows pass the registers and queues of the softmax and LayerNorm units, to the cycle.

A time is the cycle in which something is taken. A register takes one element a cycle, and holds it until the next one
takes it; a queue has so many places. So each time is the latest of a few others: of the same element one place before,
and of the earlier element that must have made room.
"""

__all__ = ["ROWS", "SPARE", "Buffer", "Registers", "Spare", "Stages"]

#: Words of a row buffer's memory beyond the longest row: for the way of the row's value.
SPARE = 16
#: Stages, of two places each, for the values of rows.
ROWS = 2


class Registers:
    """A chain of pipeline registers."""

    def __init__(self, count):
        self._count = count
        # By each register, and by what follows the last one: when the element before was taken.
        self._taken = [-1] * (count + 1)

    def room(self):
        """First cycle in which the next element may be taken."""
        return self._taken[1]

    def enter(self, time):
        """Take an element, at `room()` or later; when it may leave, at the earliest."""
        for index in range(self._count):
            time = max(time, self._taken[index + 1])
            self._taken[index] = time
            time += 1
        return time

    def leave(self, time):
        """What follows takes the element."""
        self._taken[self._count] = time


class Stages:
    """A chain of `ROWS` stages: a register, and a spare one before it, each."""

    def __init__(self):
        self._moved = [-1] * ROWS
        self._taken = [-1] * (ROWS + 1)

    def room(self):
        """First cycle in which the next value may be taken."""
        return self._moved[0] + 1

    def enter(self, time):
        """Take a value, at `room()` or later; when it may leave, at the earliest."""
        for index in range(ROWS):
            time = max(time, self._moved[index] + 1)
            self._taken[index] = time
            self._moved[index] = max(time, self._taken[index + 1])
            time = self._moved[index] + 1
        return time

    def leave(self, time):
        """What follows takes the value."""
        self._taken[ROWS] = time


class Spare:
    """A spare register: an element goes through it, or waits in it."""

    def __init__(self):
        self._left = -1

    def room(self):
        """First cycle in which the next element may be taken; in the same one it may leave."""
        return self._left + 1

    def leave(self, time):
        """What follows takes the element."""
        self._left = time


class Buffer:
    """The memory of a row buffer: a row goes in, and out, before the next one goes in.

    Behind it there are two registers, and a spare one.
    """

    def __init__(self, length):
        # The last place is the first register behind the memory.
        self._words = length + SPARE - 1
        self._entered, self._read = [], []
        self._out, self._spare = Registers(2), Spare()

    def room(self):
        """First cycle in which the next element may be taken."""
        index = len(self._entered) - self._words
        return self._read[index] + 1 if index >= 0 else 0

    def enter(self, time):
        """Take an element."""
        self._entered.append(time)

    def next(self):
        """When the next element may leave, at the earliest."""
        self._read.append(max(self._entered[len(self._read)] + 1, self._out.room()))
        offered = max(self._out.enter(self._read[-1]), self._spare.room())
        self._out.leave(offered)
        return offered

    def leave(self, time):
        """What follows takes the element."""
        self._spare.leave(time)
