"""Threads of a fit: how many there are, and that no library takes more.

The compiled loops of `kernels` and the products of dense blocks run on a pool of this module's own,
one block of cells or genes a thread at a time, and sums over blocks are added up in the order of
the blocks. So the number of threads changes how long a fit takes, and not one byte of its result.
All else (torch, BLAS) is small work on one thread: pools of theirs beside this one would wait in
busy loops and take the cores from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import count, pairwise
from threading import RLock
from typing import Any

import threadpoolctl
import torch


class Threads:
    """A number of threads that share out independent pieces of work.

    Parameters
    ----------
    count : int, default 1
        How many; with one, all work is done where it is asked for and no thread is started.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1, "neuralNMF") if count > 1 else None

    def run(self, task: Callable[..., Any], pieces: Iterable[Sequence[Any]]) -> list[Any]:
        """Call ``task(*piece)`` for every piece, and return the results in their order.

        Parameters
        ----------
        task : callable
            Must release the interpreter's lock to gain anything, as compiled loops and torch do.
        pieces : iterable of sequences
            The arguments of each call.
        """
        pieces = list(pieces)
        helpers = min(self.count, len(pieces)) - 1
        if self._pool is None or helpers < 1:
            return [task(*piece) for piece in pieces]
        results: list[Any] = [None] * len(pieces)
        numbers = count()

        def work() -> None:
            # Whoever is free takes the next piece; the calling thread works, too.
            while (number := next(numbers)) < len(pieces):
                results[number] = task(*pieces[number])

        futures = [self._pool.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            # One that nobody has begun has nothing left to do: it is not waited for.
            futures = [future for future in futures if not future.cancel()]
            wait(futures)
        for future in futures:
            future.result()
        return results

    def split(self, size: int, unit: int = 1) -> list[tuple[int, int]]:
        """Ranges of about equal length that cover ``size`` items, at most one a thread.

        Parameters
        ----------
        size : int
        unit : int, default 1
            Every range but the last is a multiple of this many items long.

        Returns
        -------
        list of (int, int)
            First item and the one past the last; none is empty.
        """
        if size == 0:
            return []
        units = -(-size // unit)
        parts = max(1, min(self.count, units))
        borders = [min(size, unit * (units * part // parts)) for part in range(parts + 1)]
        return list(pairwise(borders))

    def close(self) -> None:
        """End the pool's threads."""
        if self._pool is not None:
            self._pool.shutdown()


SERIAL = Threads(1)


# Torch's and BLAS's threads belong to the process: fits of several Python threads take turns.
_TURN = RLock()


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Within the block torch and BLAS work on one thread; yields how many torch had before."""
    with _TURN:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with threadpoolctl.threadpool_limits(1):
                yield before
        finally:
            torch.set_num_threads(before)


@contextmanager
def threads_of_a_fit(count: int | None) -> Iterator[Threads]:
    """The threads of one fit, for its time, and no others; fits in several threads take turns.

    Parameters
    ----------
    count : int or None
        None takes as many as torch would: the cores of this process, or ``OMP_NUM_THREADS``.
    """
    with _one_thread_each() as before:
        threads = Threads(count or before)
        try:
            yield threads
        finally:
            threads.close()
