"""Snakemake's locks of a run that was killed, taken away where that run is provably dead.

Snakemake writes down which files a run reads and makes, and does not say which run. So each run
keeps a record of the locks that it holds. The next one takes away those of a process that no longer
runs on this machine; of any other lock, Snakemake says what it is and that `--unlock` removes it.
"""

import contextlib
import json
from pathlib import Path

from neuralNMF.processes import is_alive, own_tag

RECORDS = Path(".snakemake", "neuralnmf-runs")
LOCKS = Path(".snakemake", "locks")


def keep_record() -> None:
    """Write down the locks that this run holds, once Snakemake has them."""
    others = [lock for _, locks in _records() for lock in locks]
    own = [lock for lock in _present() if lock not in others]
    with contextlib.suppress(OSError):
        RECORDS.mkdir(parents=True, exist_ok=True)
        (RECORDS / f"{own_tag()}.json").write_text(json.dumps(own), encoding="utf-8")


def unlock_the_dead() -> None:
    """Remove the locks of runs that were killed on this machine, and their records."""
    for path, locks in _records():
        if is_alive(path.stem) is False:
            with contextlib.suppress(OSError):
                for lock in _present():
                    if lock in locks:
                        Path(LOCKS, lock[0]).unlink()
                path.unlink()


def _records() -> list[tuple[Path, list[list[str]]]]:
    """The records of all runs, each with its locks."""
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
