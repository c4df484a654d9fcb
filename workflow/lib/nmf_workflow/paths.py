"""Paths of a config: what cannot be a path is one where nothing is, not an error."""

from pathlib import Path


def expanded(path: str) -> str:
    """A path with ``~`` filled in, as it is where that names nobody."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        return path


def is_there(path: str) -> bool:
    """Whether there is a file or folder; false for a name that is too long, or has a zero byte."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_file(path: str) -> bool:
    """Whether there is a file, as `is_there`."""
    return is_there(path) and Path(path).is_file()
