"""Snakemake's locks of a run that was killed, taken away where that run is provably dead.

Snakemake writes down which files a run reads and makes, and does not say which run. So each run
keeps a record of the locks that it holds; before it has any, of its being there. The next one takes
away those of a process that no longer runs on this machine. Of any other lock, Snakemake says what
it is and that `--unlock` removes it.
"""

import contextlib
import json
from pathlib import Path

from neuralNMF.processes import is_alive, own_tag

RECORDS = Path(".snakemake", "neuralnmf-runs")
LOCKS = Path(".snakemake", "locks")


def announce() -> None:
    """Write down that this run is there, before Snakemake locks anything."""
    _write(None)


def keep_record() -> None:
    """Write down the locks that this run holds, once Snakemake has them."""
    claimed = _claimed(_records())
    _write([lock for lock in _present() if lock not in claimed])


def unlock_the_dead() -> None:
    """Remove the locks of runs that were killed on this machine, and their records.

    Of a run that was killed before it had written its locks down, these are the locks that are
    younger than the run and nobody else's. Where another run has not written down its own yet, it
    cannot be told whose they are: they stay, and the record too.
    """
    records = _records()
    claimed = _claimed(records)
    dead = [(path, locks) for path, locks in records if is_alive(path.stem) is False]
    others = [path for path, locks in records if locks is None and is_alive(path.stem) is not False]
    for path, locks in dead:
        if locks is None and others:
            continue
        with contextlib.suppress(OSError):
            if locks is None:
                since = path.stat().st_mtime_ns
                locks = [
                    [name, identity]
                    for name, identity in _present()
                    if [name, identity] not in claimed and int(identity.split()[1]) >= since
                ]
            for lock in _present():
                if lock in locks:
                    Path(LOCKS, lock[0]).unlink()
            path.unlink()
    for half in RECORDS.glob("*-*-*.half"):
        if is_alive(half.stem) is False:
            with contextlib.suppress(OSError):
                half.unlink()


def _write(locks: list[list[str]] | None) -> None:
    with contextlib.suppress(OSError):
        RECORDS.mkdir(parents=True, exist_ok=True)
        path = RECORDS / f"{own_tag()}.json"
        half = path.with_suffix(".half")
        half.write_text(json.dumps(locks), encoding="utf-8")
        half.replace(path)


def _claimed(records: list[tuple[Path, list[list[str]] | None]]) -> list[list[str]]:
    """All locks that some run has written down."""
    return [lock for _, locks in records for lock in locks or []]


def _records() -> list[tuple[Path, list[list[str]] | None]]:
    """The records of all runs, each with its locks; None where it had none yet."""
    found = []
    for path in sorted(RECORDS.glob("*-*-*.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append((path, json.loads(path.read_text(encoding="utf-8"))))
    return found


def _present() -> list[list[str]]:
    """The locks that are there: name, and what is another one in a later file of that name."""
    found = []
    for path in sorted(LOCKS.glob("*.lock")):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append([path.name, f"{status.st_ino} {status.st_mtime_ns}"])
    return found
