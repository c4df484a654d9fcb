"""The environment that jobs and scripts inherit."""

import contextlib
import os
import shlex
import signal
import sys

# As it was before `quote_interpreter`.
INTERPRETER = sys.executable


def pass_on(library: str) -> None:
    """Let every process started from here, in whatever Python, import from a folder.

    Parameters
    ----------
    library
        The folder with the packages ``neuralNMF`` and ``nmf_workflow``.
    """
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in before if path not in ("", library)]
    os.environ["PYTHONPATH"] = os.pathsep.join([library, *others])


def quote_interpreter() -> None:
    """Let scripts and jobs run where the path of Python has spaces.

    Snakemake puts ``sys.executable`` into shell commands as it is. A path without spaces and the
    like is its own quotation, and stays.
    """
    sys.executable = shlex.quote(INTERPRETER)


def outlive_warnings() -> None:
    """Let Snakemake, and jobs that do not listen to it, go on where a cluster warns by SIGUSR1.

    It is sent to all processes of a job before its time is over; of these only a fit has something
    to keep.
    """
    with contextlib.suppress(ValueError):  # signals belong to the main thread
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
