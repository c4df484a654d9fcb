"""HDF5 files that are made in memory and written in one piece.

On a disk that fills up, HDF5 leaves files that it cannot close: it prints tracebacks and may end
the process. What is written here is the very same bytes, by the system's own calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.checksums import MARK, checksums_of


@contextmanager
def hdf5_image(path: str | Path, mark: bytes = MARK) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill; write it with its checksums, whole or not at all.

    Takes twice the file's size of memory.

    Parameters
    ----------
    path : str or Path
        Of the file.
    mark : bytes
        Its last bytes, by which it is told from others.

    Yields
    ------
    h5py.File
        Empty, in memory.
    """
    with h5py.File(Path(path).name, "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with atomic_path(path) as temporary, temporary.open("wb") as written:
        written.write(image)
        written.write(checksums_of(image, mark))
