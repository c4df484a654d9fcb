"""A data set in several files: what its door says of them, and their counts as one run of numbers.

The door, ``dataset.h5ad``, has all tables and says where each cell begins among the non-zeros; the
counts lie in ``dataset/part-*.h5ad``, data sets of their own. The door names each with its size and
a CRC-32 of its checksums, so no other file is taken for it, whoever put it there.
"""

import json
import re
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from neuralNMF.errors import InputError
from neuralNMF.io.checksums import Checksums, read_checksums
from neuralNMF.io.faults import readable
from neuralNMF.io.stored_counts import StoredCounts

# Where in ``uns`` the door says what its parts are, JSON text.
PLACE = "parts"
_NAME = re.compile(r"part-\d+\.h5ad")


@dataclass(frozen=True)
class Part:
    """What a door says of one of its files.

    Attributes
    ----------
    name : str
        Of the file, in `folder_of` the door.
    cells, nnz : int
        Its cells and their non-zero counts.
    size : int
        Bytes of the file.
    crc32 : int
        Of its checksums.
    indices, data : int
        Bytes from its beginning to the two arrays.
    """

    name: str
    cells: int
    nnz: int
    size: int
    crc32: int
    indices: int
    data: int


def folder_of(door: Path) -> Path:
    """Where the parts of a data set lie: ``dataset/`` beside ``dataset.h5ad``."""
    return door.with_suffix("")


def describe_part(path: Path) -> tuple[Part, np.ndarray]:
    """What a door says of a file that `DatasetWriter` wrote, and its ``indptr`` (cells + 1,).

    Raises
    ------
    InputError
        There is no such file, or it is damaged, or no part.
    """
    with readable(path):
        sums = read_checksums(path)
        if sums is None or not _NAME.fullmatch(path.name):
            raise InputError(f"'{path}' is no part of a data set: delete it, so that it is made.")
        sums.check_start()
        with h5py.File(path, "r") as file:
            group = file["X"]
            indptr = group["indptr"][:].astype(np.int64)
            offsets = {name: group[name].id.get_offset() or 0 for name in ("indices", "data")}
    crc = zlib.crc32(sums.sums.tobytes())
    size = path.stat().st_size
    return Part(path.name, indptr.size - 1, int(indptr[-1]), size, crc, **offsets), indptr


def parts_text(parts: list[Part]) -> str:
    """The parts of a data set as its door has them."""
    return json.dumps([asdict(part) for part in parts])


def read_parts(path: Path, file: h5py.File) -> list[Part] | None:
    """The parts that an open data set names; None of one that holds its counts itself.

    Raises
    ------
    InputError
        A part is said to lie elsewhere than in the folder of the parts.
    """
    if PLACE not in file["uns"]:
        return None
    parts = [Part(**each) for each in json.loads(file["uns"][PLACE].asstr()[()])]
    for part in parts:
        if not _NAME.fullmatch(part.name):
            raise InputError(
                f"'{path}' names '{part.name}' as a part, which is none of '{folder_of(path)}': "
                "delete it, so that it is made again."
            )
    return parts


class StoredParts:
    """The same as `StoredCounts`, of several files one after the other.

    Parameters
    ----------
    path : Path
        Of the door.
    parts : list of Part
        In the order of their cells.
    genes : int
        M.
    wanted : (int, int)
        The non-zeros that are asked for: only files that have some of them are opened.
    sums : Checksums or None
        Of the door, where it has them.

    Raises
    ------
    InputError
        A file is missing, or another one than the door was made for.
    """

    def __init__(
        self,
        path: Path,
        parts: list[Part],
        genes: int,
        wanted: tuple[int, int],
        sums: Checksums | None,
    ) -> None:
        self.path, self.sums = path, sums
        self._text = parts_text(parts)
        self._starts = np.cumsum([0, *(part.nnz for part in parts)], dtype=np.int64)
        self._files: dict[int, StoredCounts] = {}
        for number, part in enumerate(parts):
            there = folder_of(path) / part.name
            self._check_there(there, part)
            start, stop = self._starts[number : number + 2]
            if max(start, wanted[0]) < min(stop, wanted[1]):
                own = self._check_same(there, part)
                offsets = part.indices, part.data
                self._files[number] = StoredCounts(there, part.nnz, genes, *offsets, own)

    def read(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the non-zeros ``first`` to ``last`` into memory: indices int32 and data float32."""
        indices, data = np.empty(last - first, np.int32), np.empty(last - first, np.float32)
        for counts, low, high, start in self._inside(first, last):
            there = slice(start + low - first, start + high - first)
            counts.fill(low, indices[there], data[there])
        return indices, data

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The non-zeros ``first`` to ``last``, mapped; copied where they lie in several files."""
        found = [counts.part(low, high) for counts, low, high, _ in self._inside(first, last)]
        if len(found) == 1:
            return found[0]
        indices = np.concatenate([np.empty(0, np.int32), *(part[0] for part in found)])
        data = np.concatenate([np.empty(0, np.float32), *(part[1] for part in found)])
        for array in (indices, data):
            array.setflags(write=False)
        return indices, data

    def fingerprint(self) -> int:
        """A CRC-32 of all files, from the checksums of the door, which knows those of the parts."""
        known = self._text.encode() if self.sums is None else self.sums.sums.tobytes()
        return zlib.crc32(known)

    def release(self) -> None:
        """Give mapped pages back to the system, where it can; the maps stay valid."""
        for counts in self._files.values():
            counts.release()

    def _inside(self, first: int, last: int) -> list[tuple[StoredCounts, int, int, int]]:
        """The files of some non-zeros: from where to where in each, and where the file begins."""
        begin = int(np.searchsorted(self._starts, first, side="right")) - 1
        end = int(np.searchsorted(self._starts, last, side="left"))
        found = []
        for number in range(begin, end):
            start, stop = (int(place) for place in self._starts[number : number + 2])
            low, high = max(first, start), min(last, stop)
            if low < high:
                found.append((self._files[number], low - start, high - start, start))
        return found

    def _check_there(self, path: Path, part: Part) -> None:
        if not path.is_file():
            raise InputError(
                f"'{path}', a part of the data set '{self.path}', is missing: run the workflow "
                "again, which makes it again, or put it back."
            )
        if path.stat().st_size != part.size:
            raise self._foreign(path)

    def _check_same(self, path: Path, part: Part) -> Checksums:
        sums = read_checksums(path)
        if sums is None or zlib.crc32(sums.sums.tobytes()) != part.crc32:
            raise self._foreign(path)
        return sums

    def _foreign(self, path: Path) -> InputError:
        return InputError(
            f"'{path}' is not the part that '{self.path}' was put together of (it was replaced or "
            "changed): delete both, so that they are made again."
        )
