"""Names of processes by which another one can tell, later, whether they still run.

``5c0e61f2-4711-90210``: a hash of the machine, the process's number, and when it started.
"""

import contextlib
import os
import socket
import zlib
from functools import cache
from pathlib import Path


def own_tag() -> str:
    """The name of this process."""
    pid = os.getpid()
    return f"{_machine()}-{pid}-{_start(pid)}"


def is_alive(tag: str) -> bool | None:
    """Whether the process of a name still runs; None of another machine's, where nobody knows.

    Parameters
    ----------
    tag : str
        What `own_tag` gave there.
    """
    machine, pid, start = tag.split("-")
    return _start(int(pid)) == int(start) if machine == _machine() else None


@cache
def _machine() -> str:
    """A hash of the host and of its processes' numbers, which a container counts anew."""
    own = socket.gethostname()
    with contextlib.suppress(OSError):
        own += str(Path("/proc/self/ns/pid").readlink())
    return f"{zlib.crc32(own.encode()):08x}"


def _start(pid: int) -> int:
    """When a process started, in ticks since the machine did; -1 if it is gone.

    By ticks, since a clock may be set back. 0 of any that runs where the system does not say.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        with Path(f"/proc/{pid}/stat").open(encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return -1 if fields[0] == "Z" else int(fields[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return -1
    except OSError:  # somebody else's, but there
        pass
    return -1 if Path("/proc/self/stat").exists() else 0
