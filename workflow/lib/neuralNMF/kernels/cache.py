"""Keeps numba from running loops that were compiled from sources as they no longer are.

Numba keeps what it has compiled on disk, and compiles anew where the file of the function itself
has changed; not where that of a function has that is compiled into it.
"""

import contextlib
import hashlib
from pathlib import Path

_STAMP = "compiled_from"


def forget_stale(sources: Path, package: Path) -> None:
    """Removes numba's indices below ``package`` if the files of ``sources`` have changed.

    sources: folder of the modules that others compile into their own; what they were is kept as a
    sum in its ``__pycache__``. Where that cannot be written, nothing is removed.
    """
    total = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    stamp, now = sources / "__pycache__" / _STAMP, total.hexdigest()
    # Installed where the user may not write, it does not change either.
    with contextlib.suppress(OSError):
        if stamp.exists() and stamp.read_text() == now:
            return
        stamp.parent.mkdir(exist_ok=True)
        for index in package.rglob("*.nbi"):
            index.unlink(missing_ok=True)
        # Last: if another process ends this one before, the next one does it again.
        stamp.write_text(now)
