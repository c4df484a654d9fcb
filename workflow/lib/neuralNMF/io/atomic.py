"""Files that are either whole or absent."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path to write to beside `path`, and rename it to `path` when the block succeeds.

    A job that is killed, or a disk that fills up, leaves the old file (or none), never half of a
    new one.

    Parameters
    ----------
    path : str or Path
        Where the file is to lie. Missing parent folders are made.

    Yields
    ------
    Path
        In the same folder and with the same suffix, since some writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
