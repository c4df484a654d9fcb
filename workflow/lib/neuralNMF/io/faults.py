"""What breaks while a file is read or written, in one sentence: what is wrong, and what to do."""

import errno
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuralNMF.errors import InputError, NeuralNMFError, OutputError

# What readers of damaged files raise: HDF5 by h5py, gzip, and what follows from absurd values.
BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    LookupError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
# Why a file cannot be written, whatever its writer does.
NO_ROOM = {
    errno.ENOSPC: "free some room",
    errno.EDQUOT: "free some room, or ask for a larger quota",
    errno.EFBIG: "raise the limit of file sizes (`ulimit -f`), or write to another disk",
    errno.EROFS: "choose a folder that can be written, or mount the disk for writing",
    errno.EACCES: "ask its owner for the right to write, or choose a folder of your own",
    errno.EPERM: "ask its owner for the right to write, or choose a folder of your own",
    errno.EIO: "see to the disk",
    errno.ESTALE: "see to the disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "choose a folder that is none of your files",
    errno.EEXIST: "choose a folder that is none of your files",
}
WRITTEN_AGAIN = "write the file again with the program that made it"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a broken file brings about into an InputError of one sentence."""
    try:
        yield
    except NeuralNMFError:
        raise
    except BROKEN as error:
        raise InputError(told(path, error)) from error


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn what a full or read-only disk brings about into an OutputError of one sentence.

    Parameters
    ----------
    path : Path
        Of the file that is being written.
    """
    try:
        yield
    except NeuralNMFError:
        raise
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number is None:
            raise
        raise OutputError(
            f"'{path}' cannot be written ({os.strerror(number)}): {NO_ROOM[number]}, then run it "
            "again; nothing half-written is left."
        ) from error


def _number(error: BaseException | None) -> int | None:
    """The number of `NO_ROOM` that an error or what led to it has, HDF5's in words among them."""
    while error is not None:
        number = getattr(error, "errno", None)
        if number is None and (told := re.search(r"errno = (\d+)", str(error))):
            number = int(told[1])
        if number in NO_ROOM:
            return number
        error = error.__cause__ or error.__context__
    return None


def told(path: Path, error: Exception) -> str:
    """What an error that a file brought about means, in one sentence.

    Parameters
    ----------
    path : Path
        Of the file or folder.
    error : Exception
        One of `BROKEN`.

    Returns
    -------
    str
        The sentence.
    """
    text = " ".join(str(error).split()).rstrip(".")
    if len(text) > 150:
        text = f"{text[:147]}..."
    if isinstance(error, KeyError):
        part = str(error.args[0] if error.args else "").rstrip(".")[:150]
        return f"'{path}' lacks a part of its layout ({part}): {WRITTEN_AGAIN}."
    if isinstance(error, MemoryError):
        return f"'{path}' announces more than fits into memory: {WRITTEN_AGAIN}, or ask for more."
    if isinstance(error, OSError | RuntimeError):
        return _of_the_system(path, error, text)
    return f"'{path}' is truncated or damaged ({text}): copy or download it again."


def _of_the_system(path: Path, error: Exception, text: str) -> str:
    """The sentence for an error of the operating system or of the HDF5 library."""
    number = getattr(error, "errno", None)
    if isinstance(error, FileNotFoundError):
        return f"There is no file or folder '{path}': check the path in the config."
    if lock := re.search(r"unable to lock file, errno = (\d+)", text):
        return (
            f"'{path}' is held open by another program, such as a notebook (no lock, errno "
            f"{lock[1]}): close it there, or set HDF5_USE_FILE_LOCKING=FALSE if nothing writes "
            "to it."
        )
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in text:
        return (
            f"'{path}' may not be read by you (permission denied): ask its owner for `chmod +r`, "
            "or copy it to a place of your own."
        )
    if "filter" in text or "plugin" in text:
        return _of_a_filter(path, text)
    if sizes := re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text):
        return (
            f"'{path}' is truncated or damaged, it has {sizes[1]} of its {sizes[2]} bytes: copy or "
            "download it again."
        )
    if number is not None and number not in (errno.EINVAL, errno.ENOENT):
        return f"'{path}' cannot be read now ({os.strerror(number)}): see to its disk, try again."
    return f"'{path}' is truncated or damaged ({text}): copy or download it again."


def _of_a_filter(path: Path, text: str) -> str:
    return (
        f"'{path}' is compressed in a way that this installation cannot read, or damaged ({text}): "
        "install the package hdf5plugin, or write the file again with compression='gzip'."
    )
