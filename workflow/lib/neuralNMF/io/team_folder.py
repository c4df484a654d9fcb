"""The folder that the processes of a team share: what to do, parts of a model, how each ended."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuralNMF.io.faults import writable
from neuralNMF.io.strays import own_name

# Begins each line that a process means for the log of whoever has started it.
LINE = "neuralNMF:"
# How a process ended: all was done, it failed, or it lost another one.
DONE, FAILED, LOST = "done", "failed", "lost"


class TeamFolder:
    """Files by which processes that share no memory tell each other what is not a sum.

    Parameters
    ----------
    path : Path
        Of the folder, which all processes reach.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_job(self, job: dict[str, Any]) -> None:
        """Write what is to be done, plain JSON types."""
        with writable(self.path):
            self._job.write_text(json.dumps(job), encoding="utf-8")

    def read_job(self) -> dict[str, Any]:
        """Read what `write_job` wrote."""
        found: dict[str, Any] = json.loads(self._job.read_text(encoding="utf-8"))
        return found

    def part(self, rank: int) -> Path:
        """Where a process writes its part of the model."""
        return self.path / f"part-{rank}.h5"

    def write_end(self, rank: int, **record: str) -> None:
        """Write how a process ended. A process that was killed writes nothing."""
        with contextlib.suppress(OSError):
            self._end(rank).write_text(json.dumps(record), encoding="utf-8")

    def read_end(self, rank: int) -> dict[str, str]:
        """Read how a process ended; empty where it left nothing, or not all of it."""
        try:
            found: dict[str, str] = json.loads(self._end(rank).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    @property
    def _job(self) -> Path:
        return self.path / "job.json"

    def _end(self, rank: int) -> Path:
        return self.path / f"end-{rank}.json"


@contextmanager
def team_folder(beside: Path) -> Iterator[TeamFolder]:
    """Make a folder beside a file that is to be written, and remove it afterwards."""
    path = beside.with_name(own_name(beside.with_suffix(".shards")))
    with writable(path):
        path.mkdir(parents=True)
    try:
        yield TeamFolder(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
