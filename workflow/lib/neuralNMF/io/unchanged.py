"""Which input this is, and whether it is still the one that was opened."""

import re
import zlib
from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.io.faults import readable

# What is another one in a file that was replaced or written to: its place, size and time.
State = dict[str, tuple[int, int, int]]
_BLOCK = 1 << 20
_TEXT = re.compile(r"\.(mtx|tsv|csv|txt)(\.(gz|bz2|xz))?$", re.IGNORECASE)


def state_of(path: Path) -> State:
    """The state of a file, or of the files of a folder; InputError where there is none."""
    with readable(path):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        status = {file.name: file.stat() for file in files}
    return {name: (seen.st_ino, seen.st_size, seen.st_mtime_ns) for name, seen in status.items()}


def checksum_of(path: Path) -> dict[str, int | str]:
    """Size and CRC-32 of a file, or of a folder's files one after the other by their names.

    Of a folder that is no zarr store, only matrices and tables count.

    Returns
    -------
    dict
        ``bytes``, and ``crc32`` as eight hexadecimal digits.
    """
    size, crc = 0, 0
    with readable(path):
        files = [path]
        if path.is_dir():
            is_zarr = any((path / name).exists() for name in (".zgroup", "zarr.json"))
            files = [
                each
                for each in sorted(path.rglob("*") if is_zarr else path.iterdir())
                if is_zarr or _TEXT.search(each.name)
            ]
        for each in files:
            if each.is_file():
                with each.open("rb") as file:
                    while block := file.read(_BLOCK):
                        size, crc = size + len(block), zlib.crc32(block, crc)
    return {"bytes": size, "crc32": f"{crc:08x}"}


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
