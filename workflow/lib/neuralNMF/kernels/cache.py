"""The cache that keeps compiled loops on disk from one process to the next.

Numba's own cache notices when the file of a function changes, but not when a file changes whose
functions are inlined there, and two processes that save at once may mix up its files. Here every
state of this package's sources has a folder of its own, named by a hash of them. Nothing is ever
deleted under a running process, and every file is named by a hash of the types it is compiled for.
"""

import contextlib
import hashlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)

_log = logging.getLogger(__name__)
_SOURCES = Path(__file__).parent


def sources_digest() -> str:
    """A hash over the names and contents of this package's files, as they are on the disk now."""
    total = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in sorted(_SOURCES.glob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


# Taken before the modules with loops are imported, see `check_sources`.
_DIGEST = sources_digest()


def _candidates() -> list[Path]:
    """The folders to try, best first."""
    if numba.config.CACHE_DIR:
        return [Path(numba.config.CACHE_DIR, "neuralNMF")]
    folders = [_SOURCES / "__pycache__"]
    with contextlib.suppress(RuntimeError):  # there may be no home folder
        folders.append(Path.home() / ".cache" / "neuralNMF")
    return folders


def _writable(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return True
    return False


def _filled(folder: Path) -> bool:
    """Whether it holds loops that somebody else has kept there."""
    with contextlib.suppress(OSError):
        return folder.is_dir() and any(folder.glob("*.nbi"))
    return False


def _folder() -> Path | None:
    """The folder of the loops of these sources, None where none can be written or read."""
    folders = [parent / f"loops-{_DIGEST}" for parent in _candidates()]
    for folder in folders:
        if _writable(folder):
            return folder
    _log.warning(
        "compiled loops cannot be kept, so every process compiles them again (about 20 seconds): "
        "set NUMBA_CACHE_DIR to a folder that can be written."
    )
    return next(filter(_filled, folders), None)


_FOLDER = _folder()
_KEPT: list[Any] = []


class _Locator(_CacheLocator):
    """Tells numba to keep every function in the folder of these sources."""

    def __init__(self, line: int) -> None:
        self._line = line

    def get_cache_path(self) -> str:
        return str(_FOLDER)

    def get_source_stamp(self) -> str:
        return _DIGEST

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func.__code__.co_firstlineno)


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Files(IndexDataCacheFile):
    """Files named by the types they are compiled for: processes that save at once never swap them.

    Where two write the index at once, one entry may be lost; its loop is then compiled again.
    """

    def save(self, key, data):
        name = f"{Path(self._index_name).stem}.{hashlib.sha256(repr(key).encode()).hexdigest()}.nbc"
        # A full disk, or a folder that is read only: the loop has been compiled and runs.
        with contextlib.suppress(OSError):
            self._save_data(name, data)
            self._save_index({**self._load_index(), key: name})


class _Loops(FunctionCache):
    _impl_class = _Impl

    def __init__(self, function) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _DIGEST)

    def _save_overload(self, sig, data):
        # Numba would first ask for a folder that can be written, and raise where there is none.
        if self._enabled and self._impl.check_cachable(data):
            key = self._index_key(sig, data.codegen)
            self._cache_file.save(key, self._impl.reduce(data))


def keep(loop):
    """The compiled function ``loop``, with its machine code kept in the folder of these sources."""
    if _FOLDER is not None:
        loop._cache = _Loops(loop.py_func)
        _KEPT.append(loop)
    return loop


def check_sources() -> None:
    """Stop using the cache in this process if the sources changed while they were imported."""
    if sources_digest() != _DIGEST:
        for loop in _KEPT:
            loop._cache.disable()
