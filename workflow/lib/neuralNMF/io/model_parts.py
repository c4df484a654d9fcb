"""A model file from parts: each holds the rows of some cells, and no process holds all of them."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from neuralNMF.io.atomic import atomic_path, check_room
from neuralNMF.io.checksums import add_checksums
from neuralNMF.io.faults import writable
from neuralNMF.io.model import Model, elements, usage_name, write_elements

_CHUNK = 65_536
# What a file takes beside its rows of cells and its programs.
_ROOM = 1 << 20


def save_part(path: str | Path, model: Model, columns: Sequence[str]) -> None:
    """Write what a model has a row for each cell of, for `join_parts`.

    Parameters
    ----------
    path : str or Path
        Of a file for these cells alone.
    model : Model
        Of these cells.
    columns : sequence of str
        Of ``obs``, those that the data set does not have: numbers.
    """
    path = Path(path)
    with writable(path), h5py.File(path, "w") as file:
        file.create_dataset("theta", data=model.thetas[0])
        for name in columns:
            file.create_dataset(name, data=model.obs[name].to_numpy(np.float64))


def join_parts(
    path: str | Path, parts: Sequence[str | Path], model: Model, dataset: str | Path
) -> None:
    """Write a model file from the parts of all cells, whole or not at all.

    It holds what `io.model.save_model` would write of the model of all cells.

    Parameters
    ----------
    path : str or Path
        Of the file, which ends in ``.h5nnmf``.
    parts : sequence of str or Path
        Of `save_part`, in the order of the cells.
    model : Model
        Of some of the cells: all but their rows is taken from it.
    dataset : str or Path
        The data set of all cells, whose table is copied.

    Raises
    ------
    OutputError
        There is no room for it.
    """
    path = Path(path)
    model.check()
    held = elements(model, path.stem, cells=False)
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w") as file, h5py.File(dataset, "r") as source:
            cells = int(source["X"].attrs["shape"][0])
            item = model.thetas[0].dtype.itemsize
            check_room(path, cells * item * (model.layers[0] + sum(model.layers)) + _ROOM)
            source.copy("obs", file)
            file.create_group("obsm").attrs.update(_encoded("dict", "0.1.0"))
            write_elements(file, held)
            _fill(file, parts, cells, model.thetas)
        add_checksums(temporary)


def _fill(
    file: h5py.File, parts: Sequence[str | Path], cells: int, thetas: Sequence[np.ndarray]
) -> None:
    """Write the rows of all cells, part by part."""
    table, kind = file["obs"], thetas[0].dtype
    first = _array(file["uns"], "theta_l1", (cells, thetas[0].shape[1]), kind)
    usages = []
    for layer, theta in enumerate(thetas, start=1):
        kind = np.result_type(kind, theta.dtype)
        usages.append(_array(file["obsm"], usage_name(layer), (cells, theta.shape[1]), kind))
    start = 0
    for path in parts:
        with h5py.File(path, "r") as part:
            rows = part["theta"].shape[0]
            for name in sorted(set(part) - {"theta"}):
                if name not in table:
                    _array(table, name, (cells,), np.dtype(np.float64))
                    order = [*table.attrs["column-order"], name]
                    table.attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
                table[name][start : start + rows] = part[name][:]
            for low in range(0, rows, _CHUNK):
                usage = part["theta"][low : low + _CHUNK]
                inside = slice(start + low, start + low + len(usage))
                first[inside] = usage
                for number, stored in enumerate(usages):
                    usage = usage @ thetas[number] if number else usage
                    stored[inside] = usage
            start += rows


def _array(group: h5py.Group, name: str, shape: tuple[int, ...], kind: np.dtype) -> h5py.Dataset:
    array = group.create_dataset(name, shape, kind)
    array.attrs.update(_encoded("array", "0.2.0"))
    return array


def _encoded(kind: str, version: str) -> dict[str, str]:
    return {"encoding-type": kind, "encoding-version": version}
