"""Pages for people, as text."""

from pathlib import Path

from neuralNMF.io.atomic import atomic_path


def write_page(text: str, path: str | Path) -> None:
    """Write a page in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
