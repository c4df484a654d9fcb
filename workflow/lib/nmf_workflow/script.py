"""What every script under Snakemake's ``script:`` does first and last: log, errors."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from neuralNMF.errors import NeuralNMFError

logger = logging.getLogger("neuralNMF")

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with the log set up; end with status 1 if it fails.

    The log of the library and all warnings go to the rule's log file and to stderr. An error that
    the user can act on ends in its one sentence; anything else is a defect and keeps its traceback,
    which the log holds too.

    Parameters
    ----------
    main
        Reads the rule's inputs and params, calls the library, writes the outputs.
    snakemake
        The object that Snakemake puts into the script.
    """
    handlers = start_logging(Path(snakemake.log[0]) if snakemake.log else None)
    if job := cluster_job():
        logger.info("cluster job %s", job)
    try:
        main(snakemake)
    except NeuralNMFError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
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


def pairs(files: Sequence[str]) -> list[tuple[str, str]]:
    """The two files of each picture, of a rule's files one after the other."""
    return list(zip(files[::2], files[1::2], strict=True))


def start_logging(path: Path | None) -> list[logging.Handler]:
    """Send the library's log and all warnings to stderr and, if given, to a file."""
    handlers: list[logging.Handler] = [AboveBars(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
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
