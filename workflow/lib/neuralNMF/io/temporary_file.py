"""Arrays in files without a name, which are whole or end in a sentence.

NumPy's own `tofile` and `fromfile` say nothing of a tail that a full disk has lost.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from neuralNMF.errors import OutputError
from neuralNMF.io.faults import writable


class TemporaryArray:
    """Values of one type, appended on disk and read back; the file vanishes with the object.

    Parameters
    ----------
    dtype : dtype
        Of the values.
    folder : str, Path or None
        Where the file lies; made if it is missing. None: the system's temporary folder.
    """

    def __init__(self, dtype: DTypeLike, folder: str | Path | None) -> None:
        self.dtype, self.size = np.dtype(dtype), 0
        self.folder = Path(tempfile.gettempdir() if folder is None else folder)
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115

    def append(self, values: np.ndarray) -> None:
        """Add values (n,) at the end; OutputError where there is no room for all of them."""
        waiting = _bytes(np.ascontiguousarray(values, dtype=self.dtype))
        place = self.size * self.dtype.itemsize
        with writable(self.folder):
            while waiting:
                done = os.pwrite(self._file.fileno(), waiting, place)
                waiting, place = waiting[done:], place + done
        self.size += values.size

    def read(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """The values ``first`` to ``last``; of all, by default."""
        values = np.empty((self.size if last is None else last) - first, self.dtype)
        room, place = _bytes(values), first * self.dtype.itemsize
        while room:
            done = os.preadv(self._file.fileno(), [room], place)
            if done == 0:
                raise OutputError(
                    f"A temporary file in '{self.folder}' was cut off while it was in use: see to "
                    "the disk, then run it again."
                )
            room, place = room[done:], place + done
        return values

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _bytes(values: np.ndarray) -> memoryview:
    return values.view(np.uint8).data
