"""Progress bars: live in a terminal and in a notebook, nothing in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

# Seconds between two drawings of a bar.
_INTERVAL = 0.5


def bar(title: str | None, unit: str, total: float | None = None, *, shown: bool = True) -> Any:
    """A progress bar of tqdm's, to be used as a context manager.

    Parameters
    ----------
    title : str or None
        What goes on.
    unit : str
        What is counted, in the singular.
    total : float or None
        How many there are; None where nobody knows.
    shown : bool
        Whether it is wanted; where nobody looks it is not drawn all the same.

    Returns
    -------
    tqdm
    """
    hidden = not (shown and watched())
    return tqdm(total=total, desc=title, unit=unit, disable=hidden, mininterval=_INTERVAL)


def counted(items: Iterable[Any], title: str, unit: str, *, shown: bool = True) -> Iterator[Any]:
    """Go through items with a bar, as `bar` draws it."""
    items = list(items)
    with bar(title, unit, len(items), shown=shown) as progress:
        for item in items:
            yield item
            progress.update()


def watched() -> bool:
    """Whether somebody may look at stderr: it is a terminal, or a notebook's."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
