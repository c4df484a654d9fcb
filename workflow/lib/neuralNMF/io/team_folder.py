"""The folder that the processes of a team share.

What they are to do, parts of a model, how each ended, and whether they are told to end.
"""

import contextlib
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuralNMF.io.faults import writable
from neuralNMF.io.strays import own_name

# Begins each line that a process means for the log of whoever has started it.
LINE = "neuralNMF:"
# How a process ended: all was done, it failed, it lost another one, or it kept the state of its fit
# since it was told to end.
DONE, FAILED, LOST, KEPT = "done", "failed", "lost", "kept"


class TeamFolder:
    """Files by which processes that share no memory tell each other what is not a sum.

    Parameters
    ----------
    path : Path
        Of the folder, which all processes reach.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_job(self, job: Any, starter: str) -> None:
        """Write what is to be done, anything that can be pickled, and who has started it."""
        with writable(self.path):
            self._job.write_bytes(pickle.dumps((job, starter)))

    def read_job(self) -> tuple[Any, str]:
        """Read what `write_job` wrote."""
        job, starter = pickle.loads(self._job.read_bytes())
        return job, starter

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

    def ask_to_end(self) -> None:
        """Tell the processes to end where they can go on later."""
        with contextlib.suppress(OSError):
            self._ending.touch()

    def asked_to_end(self) -> bool:
        """Whether they are told so."""
        return self._ending.exists()

    @contextmanager
    def ends_later(self, rank: int) -> Iterator[None]:
        """For as long as it lasts a process looks whether it is told to end."""
        mark = self.path / f"looks-{rank}"
        with contextlib.suppress(OSError):
            mark.touch()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                mark.unlink(missing_ok=True)

    def some_look(self) -> bool:
        """Whether any process looks whether it is told to end."""
        return any(self.path.glob("looks-*"))

    def some_kept(self) -> bool:
        """Whether any process has ended and kept the state of its fit."""
        ranks = (int(end.stem.partition("-")[2]) for end in self.path.glob("end-*.json"))
        return any(self.read_end(rank).get("how") == KEPT for rank in ranks)

    @property
    def _job(self) -> Path:
        return self.path / "job"

    @property
    def _ending(self) -> Path:
        return self.path / "end"

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
