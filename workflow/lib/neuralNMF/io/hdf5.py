"""HDF5 files of others: opened, held to what is in them, and their sizes checked before reading."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

import h5py

from neuralNMF.errors import InputError
from neuralNMF.io.faults import readable
from neuralNMF.io.first_bytes import HDF5

logger = logging.getLogger(__name__)

# Places where an HDF5 file may begin, after a block of the user's own.
OFFSETS = (0, 512, 1024, 2048)
FILTERS = {32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32015: "zstd", 32026: "blosc2"}
LARGE = 1 << 26  # bytes of an array that is looked at more closely
DENSEST = 2000  # times that an array may be larger than its file; gzip reaches 1032


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with readable(path), path.open("rb") as file:
        for offset in OFFSETS:
            file.seek(offset)
            if file.read(len(HDF5)) == HDF5:
                return True
    return False


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading; InputError of one sentence where that fails.

    A file system that has no locks is no reason to fail; another program's lock is.
    """
    with readable(path):
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if re.search(r"unable to lock file, errno = (37|38|95)\b", str(error)):
                return h5py.File(path, "r", locking=False)
            raise


def check_inside(path: Path, file: h5py.File, *parts: h5py.Group | h5py.Dataset) -> None:
    """Check all that is below some parts of a file before any of it is read.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    file : h5py.File
        The same, or a group of it.
    *parts : h5py.Group or h5py.Dataset
        What is to be read.

    Raises
    ------
    InputError
        Something lies in another file, to which an input may not lead; or it is larger than the
        file can hold, or compressed by a filter that is not installed.
    """
    seen: set[int] = set()
    waiting = list(parts)
    with readable(path):
        while waiting:
            part = waiting.pop()
            if part.file.filename != file.file.filename:
                _refuse_elsewhere(path, part.name, part.file.filename)
            address = h5py.h5o.get_info(part.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(part, h5py.Dataset):
                _check_array(path, part)
                continue
            for name in part:
                link = part.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    _refuse_elsewhere(path, f"{part.name}/{name}", link.filename)
                found = part[name]
                if isinstance(found, h5py.Group | h5py.Dataset):
                    waiting.append(found)


def _refuse_elsewhere(path: Path, name: str, other: str) -> None:
    raise InputError(
        f"'{path}' does not hold '{name}' but takes it from another file ('{other}'), which is not "
        "followed: write all into one file, as `h5repack` does, or give the other one."
    )


def _check_array(path: Path, array: h5py.Dataset) -> None:
    """Raise InputError where an array lies elsewhere, cannot be read, or cannot be so large."""
    if array.external or array.is_virtual:
        other = array.external[0][0] if array.external else array.virtual_sources()[0].file_name
        _refuse_elsewhere(path, array.name, str(other))
    plan = array.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        code = plan.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            with contextlib.suppress(ImportError):
                import hdf5plugin  # noqa: F401  # adds its filters where it is installed
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"'{path}' is compressed by {FILTERS.get(code, f'HDF5 filter {code}')}, which is "
                "not installed: `pip install hdf5plugin`, or write the file again with "
                "compression='gzip'."
            )
    size = (array.size or 0) * array.dtype.itemsize
    if size > LARGE and size > DENSEST * path.stat().st_size:
        raise InputError(
            f"'{path}' announces {size} bytes in '{array.name}', more than the file can hold: copy "
            "or download it again."
        )
