"""What every script under Snakemake's ``script:`` does first and last: log, errors."""

import contextlib
import errno
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from neuralNMF.errors import NeuralNMFError

logger = logging.getLogger("neuralNMF")

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
# What a disk or its owner does to any program that writes.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
STOPPING = ("SIGTERM", "SIGINT", "SIGHUP")


class Stopped(BaseException):
    """The process was told to end, by the signal of this name; and what is kept of its work."""

    def __init__(self, name: str, kept: str = "nothing half-written is left") -> None:
        super().__init__(name)
        self.kept = kept


class Signals:
    """Ends the process by `Stopped` where it is told to, or at a good moment soon after.

    `neuralNMF.training.checkpoints.Stop` says what is asked of it. Told twice, it does not wait.
    """

    def __init__(self) -> None:
        self._waits = False
        self._name: str | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        told_before, self._name = self.asked, signal.Signals(number).name
        if told_before or not self._waits:
            raise Stopped(self._name)

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._name is not None

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """For as long as it lasts, the first signal waits until its end."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self._name is not None:
            raise Stopped(self._name)

    def now(self, kept: str) -> NoReturn:
        """End, with what is kept."""
        raise Stopped(str(self._name), kept)


class LogFile(logging.FileHandler):
    """A log file that also gets what is known of a crash of compiled code.

    It says nothing of its own failures: where the disk is full, the results will say so.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="w", encoding="utf-8")
        self._tells_of_crashes = not faulthandler.is_enabled()
        if self._tells_of_crashes and self.stream is not None:
            faulthandler.enable(self.stream)

    def close(self) -> None:
        """Close the file."""
        if self._tells_of_crashes:
            faulthandler.disable()
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a line that cannot be written go; stderr has it."""


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with the log set up; end with status 1 if it fails.

    The log of the library and all warnings go to the rule's log file and to stderr. An error that
    the user can act on, and a signal to stop, end in one sentence; anything else is a defect and
    keeps its traceback, which the log holds too. So does a crash of compiled code.

    Parameters
    ----------
    main
        Reads the rule's inputs and params, calls the library, writes the outputs.
    snakemake
        The object that Snakemake puts into the script.
    """
    try:
        handlers = start_logging(Path(snakemake.log[0]) if snakemake.log else None)
    except OSError as error:
        sys.exit(f"The log {snakemake.log[0]} cannot be written: {of_the_disk(error)}")
    if job := cluster_job():
        logger.info("cluster job %s", job)
    try:
        with told_to_stop():
            main(snakemake)
    except NeuralNMFError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Stopped as stop:
        logger.error("stopped by %s: %s; start the workflow again to go on.", stop, stop.kept)
        sys.exit(128 + signal.Signals[str(stop)])
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            logger.error("%s", of_the_disk(error))
        else:
            logger.exception("The rule failed in a way that its authors did not foresee:")
        sys.exit(1)
    finally:
        stop_logging(handlers)


class AboveBars(logging.StreamHandler[TextIO]):
    """Writes each line above the progress bars that are on the terminal, which stay whole.

    It looks for tqdm among what is imported: scripts without bars do not have it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; bars are taken away before it and drawn again below it."""
        tqdm = sys.modules.get("tqdm")
        aside = tqdm.tqdm.external_write_mode(self.stream) if tqdm else contextlib.nullcontext()
        with aside:
            super().emit(record)


@contextlib.contextmanager
def told_to_stop(*others: str) -> Iterator[Signals]:
    """Raise `Stopped` where the process is told to end, so that what is half-written goes.

    Parameters
    ----------
    *others
        Names of further signals that tell so.
    """
    stop = Signals()
    names = (*STOPPING, *others)
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def of_the_disk(error: OSError) -> str:
    """An error of a disk that is full or read only, in a sentence."""
    where = f" '{error.filename}'" if error.filename else ""
    return (
        f"A file{where} cannot be written ({os.strerror(error.errno or 0)}): free some room, or "
        "choose a folder that can be written, and run it again."
    )


def groups_of(size: int, files: Sequence[str]) -> list[Sequence[str]]:
    """The files of each picture, so many, of a rule's files one after the other."""
    return [files[start : start + size] for start in range(0, len(files), size)]


def start_logging(path: Path | None) -> list[logging.Handler]:
    """Send the library's log and all warnings to stderr and, if given, to a file."""
    handlers: list[logging.Handler] = [AboveBars(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(path))
    logging.captureWarnings(True)
    for name in ("neuralNMF", "py.warnings"):
        target = logging.getLogger(name)
        target.setLevel(logging.INFO)
        target.propagate = False
        for handler in handlers:
            handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
            target.addHandler(handler)
    return handlers


def stop_logging(handlers: list[logging.Handler]) -> None:
    """Undo :func:`start_logging`."""
    logging.captureWarnings(False)
    for name in ("neuralNMF", "py.warnings"):
        target = logging.getLogger(name)
        target.propagate = True
        for handler in handlers:
            target.removeHandler(handler)
    for handler in handlers:
        handler.close()


def cluster_job() -> str | None:
    """The id of the Slurm, SGE or LSF job that this process runs in, None if in none.

    It is what the cluster's own accounts and logs know the job by.
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    if array and task:
        return f"{array}_{task}"
    names = ("SLURM_JOB_ID", "LSB_JOBID", "JOB_ID")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
