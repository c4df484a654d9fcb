"""The processes that fit one model together, each with a range of the cells.

All that a fit knows of other processes is here: sums over the cells of all of them, and lists of
what each of them has. A process that works alone is a team of one, for which all of this does
nothing, so the code of a fit is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from neuralNMF.errors import NeuralNMFError

Value = TypeVar("Value")


class Team:
    """A process that works alone; `shards.processes.Processes` are several.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        How many there are.
    here : int
        How many of them share this machine's memory.
    sent : int
        Bytes that this process has given away for others so far.
    """

    rank: int = 0
    size: int = 1
    here: int = 1
    sent: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports and writes for all."""
        return self.rank == 0

    def add(self, *arrays: np.ndarray) -> None:
        """Replace each array, in place, by its sum over all processes.

        Parameters
        ----------
        *arrays : ndarray of float64
            Of the same shapes in each process. They are added up in the order of the processes, so
            that all of them get the same bytes, and get them again.
        """

    def gathered(self, value: Value) -> list[Value]:
        """What each process has, in the order of the processes.

        Parameters
        ----------
        value
            Anything that can be pickled; small, since each process gets all of them.
        """
        return [value]

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Around what each process does by itself: where one fails, all raise its error.

        Without it the others would wait for one that does something else by now. Within it no
        process may ask for what others have.
        """
        failed = None
        try:
            yield
        except NeuralNMFError as error:
            failed = error
        for of_process in self.gathered(failed):
            if of_process is not None:
                of_process.of_all = True
                raise of_process

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        array = np.array(value, dtype=np.float64)
        self.add(array)
        return float(array)

    def median(self, values: np.ndarray) -> float:
        """The median of the values (n,) of all processes, all at least zero; exact.

        The numbers themselves are not sent: the two in the middle are found by halving, since
        doubles that are not negative stand in the order of their bits.
        """
        if self.size == 1:
            return float(np.median(values))
        own = np.sort(np.asarray(values, dtype=np.float64))
        number = int(self.total(own.size))
        low, high = self._ordered(own, (number - 1) // 2), self._ordered(own, number // 2)
        return float(np.mean([low, high]))

    def _ordered(self, own: np.ndarray, place: int) -> float:
        """The value that stands in a place, from 0, of the sorted values of all processes."""
        bits = own.view(np.int64)
        low, high = 0, int(np.array(np.inf).view(np.int64))
        while low < high:
            middle = (low + high) // 2
            if self.total(int(np.searchsorted(bits, middle, side="right"))) > place:
                high = middle
            else:
                low = middle + 1
        return float(np.array(low, np.int64).view(np.float64))


ALONE = Team()
