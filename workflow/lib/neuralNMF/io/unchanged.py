"""Whether an input is still the one that was opened: passes over two of them would be mixed."""

from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.io.faults import readable

# What is another one in a file that was replaced or written to: its place, size and time.
State = dict[str, tuple[int, int, int]]


def state_of(path: Path) -> State:
    """The state of a file, or of the files of a folder; InputError where there is none."""
    with readable(path):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        status = {file.name: file.stat() for file in files}
    return {name: (seen.st_ino, seen.st_size, seen.st_mtime_ns) for name, seen in status.items()}


def check_unchanged(path: Path, before: State) -> None:
    """Raise InputError where an input is another one than at the start.

    Files that have come or gone beside those of the start do not count, unless they are among them.
    """
    now = state_of(path)
    for name, state in before.items():
        if now.get(name) != state:
            raise InputError(
                f"'{path}' was changed while it was read ('{name}' was replaced, written to or cut "
                "off): run it again when nothing else writes there."
            )
