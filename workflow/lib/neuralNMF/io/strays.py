"""Half-written files of processes that were killed: their names say whose they are.

``.layer1.5c0e61f2-4711-90210-1a2b3c4d.h5nnmf``: the process by `processes.own_tag`, and a number.
On the same machine it is known whether that process still runs; what another one left is taken for
dead when nobody has written to it for two days.
"""

import contextlib
import re
import secrets
import shutil
import time
from pathlib import Path

from neuralNMF.processes import is_alive, own_tag

_NAME = re.compile(r"\..*\.([0-9a-f]{8}-\d+-\d+)-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
_DEAD_AFTER = 2 * 24 * 3600.0  # seconds without a change
_LONGEST = 100  # letters of the file's own name: file systems take 255 bytes


def own_name(path: Path) -> str:
    """A name for what this process writes before it becomes `path`; another one at each call."""
    return f".{path.stem[:_LONGEST]}.{own_tag()}-{secrets.token_hex(4)}{path.suffix}"


def remove_strays(folder: Path) -> None:
    """Remove what processes that are dead have left in a folder."""
    for path in folder.glob(".*"):
        found = _NAME.fullmatch(path.name)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            alive = is_alive(found[1])
            if alive is None:
                alive = time.time() - path.stat().st_mtime < _DEAD_AFTER
            if not alive and path.is_dir():
                shutil.rmtree(path)
            elif not alive:
                path.unlink()
