"""The non-zero counts of a data set in its file, looked at before a compiled loop sees them.

A loop takes the numbers of genes for granted, and a page of a map that lies behind the end of its
file ends the process without a word. So every stretch is checked when it is asked for first: its
checksums, where the file has them, and its numbers of genes; and at each request that the file is
still the one that was opened.
"""

import mmap
import os
import zlib
from pathlib import Path

import numpy as np

from neuralNMF.errors import InputError
from neuralNMF.io.checksums import BLOCK, Checksums

_STRETCH = 1 << 18  # non-zeros that are looked at together: a MiB of each array


class StoredCounts:
    """Two arrays in a file: the gene of each non-zero count, and the count.

    No file stays open, apart from the map once it is asked for.

    Parameters
    ----------
    path : Path
        Of the file.
    nnz : int
        Non-zero counts.
    genes : int
        M.
    indices_offset, data_offset : int
        Bytes from the file's beginning to the numbers of genes (int32) and to the counts
        (float32).
    sums : Checksums or None
        Of the file, where it has them.
    """

    def __init__(
        self,
        path: Path,
        nnz: int,
        genes: int,
        indices_offset: int,
        data_offset: int,
        sums: Checksums | None,
    ) -> None:
        self.path, self.nnz, self.genes, self.sums = path, nnz, genes, sums
        self.offsets = {"indices": indices_offset, "data": data_offset}
        self._opened = _identity(path.stat())
        self._end = max(self.offsets.values()) + 4 * nnz
        self._pages: mmap.mmap | None = None
        self._unseen = np.ones(-(-nnz // _STRETCH), dtype=bool)
        self._check_size(self._opened[1])

    def read(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the non-zeros ``first`` to ``last`` into memory: indices int32 and data float32."""
        indices, data = np.empty(last - first, np.int32), np.empty(last - first, np.float32)
        self.fill(first, indices, data)
        return indices, data

    def fill(self, first: int, indices: np.ndarray, data: np.ndarray) -> None:
        """Read the non-zeros from ``first`` on into two arrays, as many as these hold."""
        try:
            with self.path.open("rb", buffering=0) as file:
                self._check_same(os.fstat(file.fileno()))
                for name, array in (("indices", indices), ("data", data)):
                    start = self.offsets[name] + 4 * first
                    self._fill(array.view(np.uint8).data, start, file.fileno())
                self._check_same(os.fstat(file.fileno()))
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        self._check_genes(indices)

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The non-zeros ``first`` to ``last`` of both arrays, from the map without a copy."""
        if self.nnz == 0:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        pages = self._mapped()
        indices = np.frombuffer(pages, np.int32, self.nnz, self.offsets["indices"])
        data = np.frombuffer(pages, np.float32, self.nnz, self.offsets["data"])
        stretches = np.arange(first // _STRETCH, -(-last // _STRETCH))
        for number in stretches[self._unseen[stretches]]:
            inside = slice(number * _STRETCH, min((number + 1) * _STRETCH, self.nnz))
            for offset in self.offsets.values():
                self._check_blocks(pages, offset + 4 * inside.start, offset + 4 * inside.stop)
            self._check_genes(indices[inside])
            self._unseen[number] = False
        return indices[first:last], data[first:last]

    def fingerprint(self) -> int | None:
        """A CRC-32 of the whole file, from its checksums; None where it has none."""
        return None if self.sums is None else zlib.crc32(self.sums.sums.tobytes())

    def release(self) -> None:
        """Give mapped pages back to the system, where it can; the map stays valid."""
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)

    def _mapped(self) -> mmap.mmap:
        """The map of the whole file, which must still be what it was when it was opened.

        A file that is gone is no fault: the map holds what it was.
        """
        try:
            if self._pages is None:
                with self.path.open("rb") as file:
                    self._check_same(os.fstat(file.fileno()))
                    self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._check_size(self._pages.size())
            if self.path.exists():
                self._check_same(self.path.stat())
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        return self._pages

    def _fill(self, room: memoryview, offset: int, file: int) -> None:
        """Read as many bytes of the file as there is room for, block by block."""
        for number in range(offset // BLOCK, -(-(offset + len(room)) // BLOCK)):
            first, past = number * BLOCK, (number + 1) * BLOCK
            if self.sums is not None:
                past = min(past, self.sums.size)
            content = os.pread(file, past - first, first)
            if self.sums is not None:
                self.sums.check(number, content)
            start, stop = max(first, offset), min(past, offset + len(room))
            if len(content) < stop - first:
                raise self._gone("it was cut off")
            room[start - offset : stop - offset] = content[start - first : stop - first]

    def _check_blocks(self, pages: mmap.mmap, first: int, past: int) -> None:
        if self.sums is not None:
            whole = memoryview(pages)
            for number in self.sums.blocks(first, past):
                end = min((number + 1) * BLOCK, self.sums.size)
                self.sums.check(number, whole[number * BLOCK : end])

    def _check_genes(self, indices: np.ndarray) -> None:
        """Raise InputError where a number of a gene is none; negative ones are the largest here."""
        if indices.size and indices.view(np.uint32).max() >= self.genes:
            raise InputError(
                f"'{self.path}' holds counts of genes that it does not have: it is damaged, make "
                "the data set again with create_dataset."
            )

    def _check_size(self, size: int) -> None:
        if size < self._end:
            raise self._gone("it was cut off")

    def _check_same(self, now: os.stat_result) -> None:
        self._check_size(now.st_size)
        if _identity(now) != self._opened:
            raise self._gone("it was replaced or written to")

    def _gone(self, what: str) -> InputError:
        return InputError(
            f"'{self.path}' cannot be read to its end ({what} while it was in use): run it again "
            "when nothing else changes the data set."
        )


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    """What is another one in a file that was replaced or written to."""
    return found.st_ino, found.st_size, found.st_mtime_ns
