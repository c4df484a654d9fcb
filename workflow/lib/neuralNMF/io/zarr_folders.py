"""AnnData in zarr: a folder, read as an ``.h5ad`` where the package zarr is installed."""

from pathlib import Path
from typing import Any

from neuralNMF.errors import InputError
from neuralNMF.io.contents import Contents
from neuralNMF.io.faults import readable
from neuralNMF.io.h5ad import read_h5ad

MARKS = ("zarr.json", ".zgroup", ".zmetadata")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a group of zarr's, of either version."""
    return any((folder / mark).is_file() for mark in MARKS)


def read_zarr(
    folder: Path, layer: str | None, temporary: str | Path | None, *, by_range: bool = False
) -> Contents:
    """Read an AnnData folder.

    Parameters
    ----------
    folder : Path
        Of the group.
    layer : str or None
        As `read_h5ad` has it.
    temporary : str, Path or None
        Folder for the temporary files that a CSC matrix is sorted in.
    by_range : bool
        As `read_h5ad` has it.

    Raises
    ------
    InputError
        As `open_zarr` and `read_h5ad`.
    """
    return read_h5ad(folder, open_zarr(folder), layer, temporary, by_range=by_range)


def open_zarr(folder: Path) -> Any:
    """Open an AnnData folder.

    Returns
    -------
    zarr.Group

    Raises
    ------
    InputError
        The package is not installed, or the folder holds no AnnData.
    """
    try:
        import zarr
    except ImportError as error:
        raise InputError(
            f"'{folder}' is a zarr folder, which needs the package zarr: `pip install zarr`, or "
            "write it as .h5ad."
        ) from error
    with readable(folder):
        root: Any = zarr.open_group(str(folder), mode="r")
        whole = {"obs", "var"} <= set(root) or "mod" in root
    if not whole:
        raise InputError(
            f"'{folder}' is a zarr folder without 'obs' and 'var': give one of AnnData's."
        )
    return root
