"""What a file is by its first bytes, whatever its name; for what is not read, how to unpack it."""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import IO

from neuralNMF.errors import InputError
from neuralNMF.io.faults import readable

HEAD = 512  # a tar archive says so 257 bytes in
HDF5 = b"\x89HDF\r\n\x1a\n"
# Streams of one file that are read as they are.
STREAMS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
COMMANDS = {b"\x1f\x8b": "gzip -dc", b"BZh": "bzip2 -dc", b"\xfd7zXZ\x00": "xz -dc"}
# What is no counts file: an archive, with the command that unpacks it, or another program's.
ARCHIVES = {
    b"PK\x03\x04": ("a zip archive or an Excel file", "unzip"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x"),
    b"Rar!": ("a rar archive", "unrar x"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unzstd"),
}
HDF5_NAMES = (".h5", ".hdf5", ".h5ad", ".h5mu", ".loom")
R_OBJECT = (b"X\n\x00\x00", b"RDX2", b"RDX3", b"RDA2", b"RDA3", b"A\n2\n", b"A\n3\n")


def head_of(path: Path) -> bytes:
    """The first `HEAD` bytes of a file; InputError where it cannot be read."""
    with readable(path), path.open("rb") as file:
        return file.read(HEAD)


def stream_of(head: bytes) -> bytes | None:
    """The mark of the compressed stream that a file is, None if it is none."""
    return next((mark for mark in STREAMS if head.startswith(mark)), None)


def uncompressed(file: IO[bytes], head: bytes) -> IO[bytes]:
    """An open file itself, or the stream that is compressed in it."""
    mark = stream_of(head)
    return file if mark is None else STREAMS[mark](file, "rb")  # type: ignore[operator]


def refuse_other(path: Path, head: bytes) -> None:
    """Raise InputError where a file is no text, or has to be unpacked or written otherwise first.

    Parameters
    ----------
    path : Path
        Of the file, which is not HDF5.
    head : bytes
        What `head_of` gave.

    Raises
    ------
    InputError
        It is empty, an archive, a compressed HDF5 file, a file of R's or the like; the message
        says what to do, with the command that unpacks it.
    """
    if not head:
        raise InputError(f"'{path}' is empty: copy or download it again.")
    for mark, (what, command) in ARCHIVES.items():
        if head.startswith(mark):
            raise InputError(
                f"'{path}' is {what}: unpack it with `{command} {path.name}` and give what is in "
                "it."
            )
    stream = stream_of(head)
    inside = head
    if stream is not None:
        with readable(path), path.open("rb") as file:
            inside = uncompressed(file, head).read(HEAD)
    if inside[257:262] == b"ustar":
        raise InputError(
            f"'{path}' is an archive: unpack it with `tar xf {path.name}` and give the file or "
            "folder that is in it."
        )
    if inside.startswith(R_OBJECT):
        raise InputError(
            f"'{path}' is a file of R's: write its counts in R as .h5ad (package anndataR or "
            "zellkonverter) or as a folder with matrix.mtx (DropletUtils::write10xCounts)."
        )
    if stream is not None and inside.startswith(HDF5):
        plain = path.stem if path.suffix in (".gz", ".bz2", ".xz") else f"{path.name}.h5"
        raise InputError(
            f"'{path}' is a compressed HDF5 file: unpack it with `{COMMANDS[stream]} {path.name} > "
            f"{plain}` and give {plain}."
        )
    _refuse_no_text(path, inside)


def _refuse_no_text(path: Path, inside: bytes) -> None:
    """Raise InputError where the first bytes are those of no table."""
    if inside.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(
            f"'{path}' is a web page, as a download that failed leaves it: download it again."
        )
    if inside.startswith(b"version https://git-lfs"):
        raise InputError(f"'{path}' only points to a file in Git LFS: get it with `git lfs pull`.")
    wide = inside.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    if path.suffix in HDF5_NAMES or (b"\0" in inside and not wide):
        raise InputError(
            f"'{path}' is no HDF5 file{'' if path.suffix in HDF5_NAMES else ' and no text'}, or "
            "its first bytes are damaged: copy or download it again."
        )
