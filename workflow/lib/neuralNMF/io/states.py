"""Files with the state of work that goes on: nested dictionaries and lists of numbers and arrays.

Of a fit, in its checkpoints, and of a data set that is made in parts.

A mark, the length of a JSON text, that text, and behind it the arrays as they lie in memory; then
the checksums of all of it (`io.checksums`). The JSON text has a number in the place of each array.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path, check_room
from neuralNMF.io.checksums import add_checksums, read_checksums
from neuralNMF.io.faults import writable

_MARK = b"neuralNMF state\n"
_ARRAY = "array number"


def write_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a state, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Of the file. Missing parent folders are made.
    state : dict
        Of dictionaries with text keys, lists, numbers, texts, None and arrays.

    Raises
    ------
    OutputError
        There is no room, or no permission to write there.
    """
    arrays: list[np.ndarray] = []
    content = _without_arrays(state, arrays)
    listed = [(array.dtype.str, array.shape, _order(array)) for array in arrays]
    text = json.dumps({"content": content, "arrays": listed}).encode()
    with atomic_path(path) as temporary:
        check_room(temporary, len(text) + sum(array.nbytes for array in arrays))
        with temporary.open("wb") as file:
            file.write(_MARK + len(text).to_bytes(8, "little") + text)
            for array in arrays:
                # NumPy's own `tofile` does not say where the disk is full.
                file.write(array.ravel(order=_order(array)).data)
        add_checksums(temporary)


def read_state(path: str | Path) -> dict[str, Any] | None:
    """Read what `write_state` wrote; None where there is no such file.

    Raises
    ------
    InputError
        The file was damaged.
    """
    path = Path(path)
    if not path.is_file():
        return None
    sums = read_checksums(path)
    if sums is None:
        raise InputError(f"'{path}' was cut off, or is no state of a fit or of a data set.")
    sums.check_start()
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            raise InputError(f"'{path}' is no state of a fit or of a data set.")
        parts = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        arrays = [_read_array(file, *listed) for listed in parts["arrays"]]
    content: dict[str, Any] = _with_arrays(parts["content"], arrays)
    return content


def _order(array: np.ndarray) -> Literal["C", "F"]:
    """Whether an array lies by rows or by columns, which products of it depend on by rounding."""
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    return "F" if by_columns else "C"


def _read_array(
    file: BinaryIO, kind: str, shape: list[int], order: Literal["C", "F"]
) -> np.ndarray:
    dtype = np.dtype(kind)
    return np.fromfile(file, dtype, math.prod(shape)).reshape(shape, order=order)


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value with a number for each of its arrays, which are added to ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, dict):
        return {key: _without_arrays(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(entry, arrays) for entry in value]
    return value


def _with_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    """What `_without_arrays` was given; tuples are lists."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _with_arrays(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_arrays(entry, arrays) for entry in value]
    return value


def put_aside(folder: Path) -> Path:
    """Give a folder of states another name, in the place of the last one that was put aside."""
    aside = folder.with_name(f"{folder.name}.aside")
    with writable(folder):
        remove_states(aside)
        folder.rename(aside)
    return aside


def remove_states(path: Path) -> None:
    """Remove a file with a state, or a folder of them, if it is there."""
    with writable(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
