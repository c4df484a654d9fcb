"""Files that are either whole or absent, whatever happens while they are written."""

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuralNMF.io.faults import writable
from neuralNMF.io.strays import own_name, remove_strays


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path to write to beside `path`, and rename it to `path` when the block succeeds.

    A job that is killed, a machine that loses its power, or a disk that fills up leave the old file
    (or none), never half of a new one. What killed jobs left in the folder is removed.

    Parameters
    ----------
    path : str or Path
        Where the file is to lie. Missing parent folders are made.

    Yields
    ------
    Path
        In the same folder and with the same suffix, since some writers choose the format by it.

    Raises
    ------
    OutputError
        There is no room, or no permission to write there.
    """
    path = Path(path)
    temporary = path.with_name(own_name(path))
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_strays(path.parent)
        try:
            yield temporary
            _to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # some file systems know no such thing
            _to_disk(path.parent)


def check_room(path: Path, size: int) -> None:
    """Raise OutputError where a file of so many bytes would find no room, before it is begun."""
    with writable(path):
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit != resource.RLIM_INFINITY and size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _to_disk(path: Path) -> None:
    """Wait until what was written lies on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
