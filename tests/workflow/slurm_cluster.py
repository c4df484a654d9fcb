"""A one-node Slurm of the tests' own: all in one scratch folder, on the loopback interface."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel")
PACKAGES = "slurmctld slurmd slurm-client munge"
# More than there may be: small jobs side by side, each asking for what the workflow asks for.
CPUS = 32
MEMORY_MB = 64000

CONF = """\
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
SwitchType=switch/none
MaxArraySize=1001
MinJobAge=3600
SchedulerParameters=sched_interval=1,batch_sched_delay=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=testing Nodes=localhost Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class SlurmError(RuntimeError):
    """Slurm did not start; the text says how far it came."""


def find(program: str) -> str | None:
    """Where a program is; the daemons are in a folder that users rarely have in PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def missing_programs() -> list[str]:
    """What of Slurm is not installed."""
    return [program for program in PROGRAMS if find(program) is None]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in sockets]


@dataclass
class Slurm:
    """The running cluster.

    Attributes:
        folder: everything that it writes.
        environment: what its clients need to find it.
        daemons: the processes started, in this order.
    """

    folder: Path
    environment: dict[str, str]
    daemons: list[subprocess.Popen] = field(default_factory=list)

    def start(self) -> None:
        """Start authentication, controller and node, and wait until the node takes jobs."""
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.daemon(
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={munge / 'socket'}",
            f"--pid-file={munge / 'pid'}",
            f"--log-file={munge / 'log'}",
            f"--seed-file={munge / 'seed'}",
        )
        self.wait_for(lambda: (munge / "socket").exists(), "munged has no socket")
        self.daemon("slurmctld", "-D", "-c")
        self.daemon("slurmd", "-D", "-N", "localhost")
        self.wait_for(
            lambda: "idle" in self.call("sinfo", "-h", "-o", "%T"), "the node is not idle"
        )

    def daemon(self, program: str, *arguments: str) -> None:
        """Start a process that stays until :meth:`stop`."""
        with (self.folder / f"{program}.out").open("wb") as output:
            process = subprocess.Popen(
                [find(program), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )
        self.daemons.append(process)

    def call(self, program: str, *arguments: str) -> str:
        """What a client command prints; nothing if it fails."""
        done = subprocess.run(
            [find(program), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
        )
        return done.stdout if done.returncode == 0 else ""

    def wait_for(self, condition, complaint: str, seconds: float = 60) -> None:
        """Wait until a condition holds; if it does not, or a daemon ends, say so with the logs."""
        end = time.monotonic() + seconds
        while not condition():
            ended = [daemon.args[0] for daemon in self.daemons if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                raise SlurmError(f"{complaint}; ended: {ended or 'none'}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """The ends of all logs."""
        paths = [*self.folder.glob("*.out"), *self.folder.glob("*.log"), self.folder / "munge/log"]
        parts = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in paths
            if path.is_file()
        ]
        return "\n".join(parts)

    def stop(self) -> None:
        """Cancel what still runs and end the processes started here, and only those."""
        self.call("scancel", "--user", getpass.getuser())
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start() -> Slurm:
    """A cluster that takes jobs.

    Raises:
        SlurmError: if it does not start.
    """
    # Not below pytest's own folder: the path of a socket may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munged wants no folder that others could replace
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    ports = free_ports(2)
    (folder / "slurm.conf").write_text(
        CONF.format(
            user=getpass.getuser(),
            munge=folder / "munge" / "socket",
            controller_port=ports[0],
            node_port=ports[1],
            folder=folder,
            cpus=CPUS,
            memory=MEMORY_MB,
        ),
        encoding="utf-8",
    )
    # Inside a job the plugin's step drops SLURM_CONF, so srun is reached by one that knows it.
    shim = folder / "bin" / "srun"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {find("srun")} "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}:{os.environ['PATH']}"
    slurm = Slurm(folder, {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path})
    try:
        slurm.start()
    except BaseException:
        slurm.stop()
        raise
    return slurm
