"""Checksums of the blocks of a file that this library wrote, behind its end.

HDF5 says in its own header where a file ends and looks at nothing behind it. There stand a CRC-32
of each MiB and a footer. AnnData, scanpy and R read such a file as any other; a program that opens
it for writing cuts it off where HDF5 ends, and so takes away the checksums of what it may have
changed. A file without them is read as before.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralNMF.errors import InputError
from neuralNMF.options import SIMULATED

BLOCK = 1 << 20
MARK = b"neuralNMF crc32\n"
# Bytes before the checksums; the range that is looked at when it is read; CRC-32 of the checksums
# and of these numbers; the mark.
_FOOTER = struct.Struct("<QQQI16s")


def add_checksums(path: Path, later: tuple[int, int] = (0, 0)) -> None:
    """Append the checksums of a file to it.

    Parameters
    ----------
    path : Path
        Of a file that was written whole and is closed.
    later : (int, int)
        A range of its bytes that `Checksums.check_start` leaves to those who read it.
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        blocks = (file.read(BLOCK) for _ in range(0, size, BLOCK))
        tail = _tail(blocks, size, later)
        file.seek(size)
        file.write(tail)


def checksums_of(content: bytes, mark: bytes = MARK) -> bytes:
    """What `add_checksums` appends to a file with this content; `mark` says what it is."""
    parts = memoryview(content)
    blocks = (parts[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return _tail(blocks, len(content), (0, 0), mark)


def _tail(
    blocks: Iterable[bytes | memoryview], size: int, later: tuple[int, int], mark: bytes = MARK
) -> bytes:
    sums = np.array([zlib.crc32(block) for block in blocks], "<u4").tobytes()
    total = zlib.crc32(sums + struct.pack("<QQQ", size, *later))
    return sums + _FOOTER.pack(size, *later, total, mark)


@dataclass
class Checksums:
    """The checksums of a file, and which of its blocks were found to be sound.

    Attributes
    ----------
    path : Path
        Of the file.
    size : int
        Its bytes without the checksums.
    later : (int, int)
        The range that `check_start` leaves out.
    sums : ndarray of uint32
        A CRC-32 for each block.
    sound : ndarray of bool
        The blocks that were looked at.
    """

    path: Path
    size: int
    later: tuple[int, int]
    sums: np.ndarray
    sound: np.ndarray

    def check_start(self) -> None:
        """Look at all blocks but those that lie in the range of `later`; InputError if one is not.

        Raises
        ------
        InputError
            A block was changed.
        """
        first, past = -(-self.later[0] // BLOCK), self.later[1] // BLOCK
        with self.path.open("rb") as file:
            for number in range(self.sums.size):
                if not first <= number < past:
                    file.seek(number * BLOCK)
                    self.check(number, file.read(min(BLOCK, self.size - number * BLOCK)))

    def blocks(self, first: int, past: int) -> list[int]:
        """The numbers of the blocks that hold the bytes ``first`` to ``past`` and were not seen."""
        numbers = np.arange(first // BLOCK, -(-past // BLOCK) if past > first else 0)
        return numbers[~self.sound[numbers]].tolist()

    def check(self, number: int, content: bytes | memoryview) -> None:
        """Raise InputError where the content of a block is not what was written."""
        if not self.sound[number]:
            if zlib.crc32(content) != self.sums[number]:
                raise _changed(self.path)
            self.sound[number] = True


def read_checksums(path: Path) -> Checksums | None:
    """Read the checksums of a file; None where it has none.

    Raises
    ------
    InputError
        They are damaged, or do not fit the file.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        if length < _FOOTER.size:
            return None
        file.seek(length - _FOOTER.size)
        *numbers, total, mark = _FOOTER.unpack(file.read(_FOOTER.size))
        if mark not in (MARK, SIMULATED):
            return None
        size, first, past = numbers
        count = -(-size // BLOCK)
        if size + 4 * count + _FOOTER.size != length or not first <= past <= size:
            raise _changed(path)
        file.seek(size)
        stored = file.read(4 * count)
    if zlib.crc32(stored + struct.pack("<QQQ", *numbers)) != total:
        raise _changed(path)
    sums = np.frombuffer(stored, "<u4")
    return Checksums(path, size, (first, past), sums, np.zeros(count, dtype=bool))


def check_whole(path: Path) -> None:
    """Raise InputError where any byte of a file with checksums was changed.

    Done before HDF5 sees the file: what is damaged may keep its library busy for ever.
    """
    sums = read_checksums(path)
    if sums is not None:
        sums.later = (0, 0)
        sums.check_start()


def _changed(path: Path) -> InputError:
    return InputError(
        f"'{path}' was damaged after it was written (a checksum does not fit): delete it, so that "
        "it is made again, and see to the disk."
    )
