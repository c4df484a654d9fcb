"""What each process of a team runs: ``python -m neuralNMF.shards.worker FOLDER``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch

from neuralNMF.device import resolve_device
from neuralNMF.errors import NeuralNMFError
from neuralNMF.io.team_folder import DONE, FAILED, KEPT, LINE, LOST, TeamFolder
from neuralNMF.shards.job import Hands, Job
from neuralNMF.shards.processes import LeftAloneError, Place, joined, meeting, own_place
from neuralNMF.shards.watch import watched

# Seconds; less than the others wait for a sign of life (`shards.watch`).
_PATIENCE = 30.0


class _KeptError(BaseException):
    """The state of the fit is kept, and the process is to end."""


@dataclass(frozen=True)
class _ToldByStarter:
    """What has started the processes tells them to end; `training.checkpoints.Stop`."""

    folder: TeamFolder
    rank: int

    @property
    def asked(self) -> bool:
        return self.folder.asked_to_end()

    def later(self) -> AbstractContextManager[None]:
        return self.folder.ends_later(self.rank)

    def now(self, kept: str) -> NoReturn:
        self.folder.write_end(self.rank, how=KEPT, what=kept)
        raise _KeptError


def main(folder: Path) -> int:
    """Do the part of this process in the job of a folder; the status to exit with."""
    place, shared = own_place(), TeamFolder(folder)
    _log_to_stdout(place)
    _end_when_told(lambda: shared.write_end(place.rank, how=LOST, lost=""))
    job, starter = shared.read_job()

    def lost(rank: int) -> None:
        shared.write_end(place.rank, how=LOST, lost=str(rank))

    try:
        device = _own_device(job, place)
        job = replace(job, options=replace(job.options, device=str(device)))
        store = meeting(place)
        with watched(place, store, starter, lost), joined(place, store, device) as team:
            job.work(Hands(team, shared, _ToldByStarter(shared, place.rank)))
    except _KeptError:
        _wait_for_others(shared)
        return 0
    except LeftAloneError:
        # Others that were told to end as well have left; whoever still trains keeps its state.
        _wait_for_others(shared)
        shared.write_end(place.rank, how=LOST, lost="")
    except NeuralNMFError as error:
        shared.write_end(place.rank, how=FAILED, kind=type(error).__name__, what=str(error))
    except Exception:
        shared.write_end(place.rank, how=FAILED, kind="", what=traceback.format_exc())
    else:
        shared.write_end(place.rank, how=DONE)
        return 0
    return 1


def _wait_for_others(shared: TeamFolder) -> None:
    """Where all are told to end, let those that train keep their states.

    The first process that leaves takes the others with it.
    """
    end = time.monotonic() + _PATIENCE
    while shared.asked_to_end() and shared.some_look() and time.monotonic() < end:
        time.sleep(0.1)


def _own_device(job: Job, place: Place) -> torch.device:
    """The device of this process: of several GPUs of a machine each process has one."""
    device = resolve_device(job.options.device)
    if device == torch.device("cuda"):
        return torch.device("cuda", place.local % torch.cuda.device_count())
    return device


def _end_when_told(record: Callable[[], None]) -> None:
    """End at once where torchrun or Slurm ends the processes, also while others are waited for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        record()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _log_to_stdout(place: Place) -> None:
    """Log what the first process says, and nothing of the others, which say the same."""
    logger = logging.getLogger("neuralNMF")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(f"{LINE}%(levelname)s:%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if place.rank == 0 else logging.CRITICAL)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    # Without the interpreter's end: threads of torch may wait for a process that is gone.
    os._exit(status)
