"""Half-written files of processes that were killed: their names say whose they are.

``.layer1.5c0e61f2-4711-90210-1a2b3c4d.h5nnmf``: a hash of the machine, the process and when it
started. On the same machine it is known whether that process still runs; what another one left is
taken for dead when nobody has written to it for two days.
"""

import contextlib
import os
import re
import secrets
import socket
import time
import zlib
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
_DEAD_AFTER = 2 * 24 * 3600.0  # seconds without a change
_LONGEST = 100  # letters of the file's own name: file systems take 255 bytes


def own_name(path: Path) -> str:
    """A name for what this process writes before it becomes `path`; another one at each call."""
    pid = os.getpid()
    tag = f"{_machine()}-{pid}-{_start(pid)}-{secrets.token_hex(4)}"
    return f".{path.stem[:_LONGEST]}.{tag}{path.suffix}"


def remove_strays(folder: Path) -> None:
    """Remove what processes that are dead have left in a folder."""
    for path in folder.glob(".*"):
        found = _NAME.fullmatch(path.name)
        if found is not None and not _alive(path, *found.group(1, 2, 3)):
            with contextlib.suppress(OSError):
                path.unlink()


def _alive(path: Path, machine: str, pid: str, start: str) -> bool:
    if machine == _machine():
        return _start(int(pid)) == int(start)
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime < _DEAD_AFTER
    return True


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
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return -1
    except OSError:  # somebody else's, but there
        pass
    return -1 if Path("/proc/self/stat").exists() else 0
