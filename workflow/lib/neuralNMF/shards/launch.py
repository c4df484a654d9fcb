"""Starting the processes of a team, following them, and telling who failed, and why."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from neuralNMF.errors import DeviceError, InputError, NeuralNMFError, OutputError, ProcessError
from neuralNMF.io.team_folder import DONE, FAILED, KEPT, LINE, LOST, TeamFolder, team_folder
from neuralNMF.processes import own_tag
from neuralNMF.shards.job import Hands, Job
from neuralNMF.shards.ranges import check_ranges
from neuralNMF.training.checkpoints import Stop

_log = logging.getLogger(__name__)
_ERRORS = {kind.__name__: kind for kind in (InputError, OutputError, DeviceError, ProcessError)}
# Seconds that processes have to end by themselves, and lines of theirs that are kept for a defect.
_GRACE, _LINES = 10.0, 40
# Between two looks whether this process is told to end; and how long processes that have kept their
# state may take to leave.
_LOOK, _LEAVE = 0.2, 60.0
# What a cluster warns by; Slurm sends it to all processes of a job, and one that does not ignore it
# ends. What ignores it hands that on to what it starts.
_DEAF = ["sh", "-c", 'trap "" USR1; exec "$@"', "deaf"]
_FIRST_OF_TORCHRUN = re.compile(r"Root Cause.*\brank +: (\d+) .*\bexitcode +: -\d", re.DOTALL)
_FIRST_OF_SRUN = re.compile(r"\btask (\d+): (?:Killed|Out Of Memory)")
_WORKER = ["-m", "neuralNMF.shards.worker"]


def run_job(job: Job, stop: Stop | None = None) -> None:
    """Do a job, by as many processes as its options ask for.

    Parameters
    ----------
    job : Job
        With ``options.shards`` above 1, processes of their own are started: by torchrun on this
        machine, or by srun where this is a job of Slurm with so many tasks. The threads of the
        options are those of all processes of this machine together.
    stop : Stop or None
        Says when this process is told to end. Where the job keeps states of its work (`FitJob`),
        it does so then. None keeps nothing.

    Raises
    ------
    InputError, DeviceError, OutputError
        As `Job.work`.
    ProcessError
        A process ended before it was done; the message says which.
    """
    shards = job.options.shards
    if shards == 1:
        job.work(Hands(stop=stop))
    else:
        _run_team(job, shards, stop if job.keeps_states else None)
    job.clear()


def _run_team(job: Job, shards: int, stop: Stop | None) -> None:
    check_ranges(job.dataset, shards, job.options.loss)
    with team_folder(job.output) as folder:
        by_slurm = _tasks_of_slurm() >= shards
        of_one = _of_one(job, by_slurm)
        folder.write_job(of_one, own_tag())
        if by_slurm:
            command = _srun(shards, of_one.options.threads or 1, folder.path)
        else:
            command = _torchrun(shards, folder.path)
        how = f"the tasks of job {os.environ['SLURM_JOB_ID']}" if by_slurm else "on this machine"
        _log.info("%d processes, %s, each with a range of the cells", shards, how)
        with nullcontext() if stop is None else stop.later():
            status, said = _follow(command, folder, stop)
            ends = [folder.read_end(rank) for rank in range(shards)]
            if stop is not None and stop.asked:
                kept = [end["what"] for end in ends if end.get("how") == KEPT]
                stop.now(kept[0] if kept else "nothing half-written is left")
        if status or any(end.get("how") != DONE for end in ends):
            raise failure(folder, shards, said)


def _of_one(job: Job, by_slurm: bool) -> Job:
    """The job as each process has it: with its own threads."""
    options = job.options
    threads = options.threads
    if not by_slurm:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = max(1, (threads or cores or 1) // options.shards)
    return replace(job, options=replace(options, threads=threads))


def _tasks_of_slurm() -> int:
    """Tasks of the job of Slurm that this process runs in; 0 outside of one.

    The environment names those of the step that runs this, which is one.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("srun") is None:
        return 0
    ask = ["squeue", "--noheader", f"--job={job}", "--Format=NumTasks"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    return int(answer) if answer.isdigit() else 0


def _torchrun(shards: int, folder: Path) -> list[str]:
    run = [
        *_DEAF,
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr=localhost",
    ]
    return [*run, f"--nproc-per-node={shards}", *_WORKER, str(folder)]


def _srun(shards: int, threads: int, folder: Path) -> list[str]:
    """The first task meets the others at a port that is free on this machine, which is its own."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    first = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    meet = f"--export=ALL,MASTER_ADDR={first},MASTER_PORT={port}"
    run = ["srun", f"--ntasks={shards}", f"--nodes={os.environ.get('SLURM_JOB_NUM_NODES', '1')}"]
    run += [f"--cpus-per-task={threads}", "--kill-on-bad-exit=1", "--overlap", meet]
    return [*run, *_DEAF, sys.executable, *_WORKER, str(folder)]


def _follow(command: list[str], folder: TeamFolder, stop: Stop | None) -> tuple[int, list[str]]:
    """Run a command to its end and log what it says; its status, and its last other lines."""
    other: deque[str] = deque(maxlen=_LINES)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(_paths())},
        start_new_session=True,
    )
    with process, nullcontext() if stop is None else _handed_on(stop, folder, process):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(LINE):
                    level, _, text = line.removeprefix(LINE).rstrip("\n").partition(":")
                    _log.log(logging.getLevelName(level), "%s", text)
                else:
                    other.append(line)
            return process.wait(), list(other)
        finally:
            _end(process)


@contextmanager
def _handed_on(stop: Stop, folder: TeamFolder, process: subprocess.Popen[str]) -> Iterator[None]:
    """Tell the team where this process is told to end.

    While it trains, it keeps its state and ends; before and after that it is ended at once.
    """
    over = threading.Event()

    def look() -> None:
        quiet = None
        while not over.wait(_LOOK):
            if not stop.asked:
                continue
            folder.ask_to_end()
            if folder.asked_to_end() and folder.some_look():
                quiet = None
                continue
            quiet = quiet or time.monotonic()
            if not folder.some_kept() or time.monotonic() - quiet > _LEAVE:
                _end(process)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def _paths() -> list[str]:
    """Where the processes find this library: where this one has it from."""
    own = str(Path(__file__).resolve().parents[2])
    return [own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it has started, where it still runs."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        pass


def _killed_first(said: list[str]) -> list[int]:
    """The process that was killed first, as torchrun or srun tells; empty where neither does.

    Before they have started the others leave no word either when torchrun or srun ends them.
    """
    text = "".join(said)
    first = _FIRST_OF_TORCHRUN.search(text) or _FIRST_OF_SRUN.search(text)
    return [] if first is None else [int(first.group(1))]


def failure(folder: TeamFolder, shards: int, said: list[str]) -> NeuralNMFError:
    """The error to raise for a team that failed, by what its processes have left.

    Parameters
    ----------
    folder : TeamFolder
    shards : int
        Processes.
    said : list of str
        The last lines that none of them meant for the log.
    """
    ends = {rank: folder.read_end(rank) for rank in range(shards)}
    for rank, end in ends.items():
        if end.get("how") == FAILED:
            if end["kind"]:
                return _ERRORS.get(end["kind"], NeuralNMFError)(end["what"])
            _log.error("%s", end["what"])
            return ProcessError(
                f"process {rank} of {shards} failed in a way that its authors did not foresee: the "
                "log has what it said."
            )
    silent = [rank for rank, end in ends.items() if not end]
    if len(silent) > 1:
        silent = [rank for rank in _killed_first(said) if rank in silent] or silent
    told = [int(end["lost"]) for end in ends.values() if end.get("how") == LOST and end["lost"]]
    if len(silent) == shards or not (silent or told):
        _log.error("%s", "".join(said))
    gone = silent or sorted(set(told)) or list(ends)
    names = ", ".join(map(str, gone))
    kind = "process" if len(gone) == 1 else "processes"
    return ProcessError(
        f"{kind} {names} of {shards} (from 0 on) ended before all was done: killed, out of "
        "memory, or on a machine that cannot be reached; the job has no result, start it again."
    )
