"""Watching over the processes of a team, so that none waits for one that will never come.

Every process says in the team's store that it is alive, and looks at what the others say. A process
whose machine is cut off, or that stands still, ends the fit; one that was killed is noticed at once
by those who wait for its numbers and by what has started it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from torch.distributed import Store  # type: ignore[attr-defined]

from neuralNMF.processes import is_alive
from neuralNMF.shards.processes import Place

_EVERY = 3.0
# A process that says nothing for so many seconds is lost; before it has said anything, it may still
# be starting.
_SILENCE, _START = 40.0, 300.0
# Seconds that the first process, with whom the store lies, waits for the others to leave.
_LEAVE = 10.0
_DONE = b"done"


@contextmanager
def watched(
    place: Place, store: Store, starter: str, lost: Callable[[int], None]
) -> Iterator[None]:
    """Watch the other processes while the block runs; where one is lost, end this process.

    It ends without a word where what has started the processes is gone.

    Parameters
    ----------
    place : Place
        Of this process.
    store : torch.distributed.Store
    starter : str
        The name of the process that has started them all (`processes.own_tag`).
    lost : callable
        Told of the process that is lost, just before this one ends.
    """
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(place, store, starter, lost, over), daemon=True)
    store.set(_key(place.rank), "0")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    with suppress(RuntimeError):  # the store is gone: so are the others
        store.set(_key(place.rank), _DONE.decode())
        end = time.monotonic() + _LEAVE
        while place.rank == 0 and time.monotonic() < end and not _all_done(place, store):
            time.sleep(_LEAVE / 100)


def _all_done(place: Place, store: Store) -> bool:
    return all(store.get(_key(rank)) == _DONE for rank in range(place.size))


def _watch(
    place: Place,
    store: Store,
    starter: str,
    lost: Callable[[int], None],
    over: threading.Event,
) -> None:
    others = [rank for rank in range(place.size) if rank != place.rank]
    said = dict.fromkeys(others, b"")
    since = dict.fromkeys(others, time.monotonic())
    beats = 0
    while not over.wait(_EVERY):
        if is_alive(starter) is False:
            os._exit(1)
        beats += 1
        gone = None
        try:
            store.set(_key(place.rank), str(beats))
            for rank in others:
                now = store.get(_key(rank)) if store.check([_key(rank)]) else b""
                if now != said[rank] or now == _DONE:
                    said[rank], since[rank] = now, time.monotonic()
                elif time.monotonic() - since[rank] > (_SILENCE if now else _START):
                    gone = rank
        except RuntimeError:
            gone = 0  # the store lies with the first process
        if gone is not None and not over.is_set():
            lost(gone)
            os._exit(1)  # the main thread waits in a collective, which nothing interrupts


def _key(rank: int) -> str:
    return f"alive/{rank}"
