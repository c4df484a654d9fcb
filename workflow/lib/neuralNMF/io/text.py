"""Text files as people have them: compressed or not, in any encoding, with or without quotes."""

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from neuralNMF.io.faults import readable
from neuralNMF.io.first_bytes import head_of, refuse_other, uncompressed

logger = logging.getLogger(__name__)

BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a file of numbers as text; letters that are no UTF-8 become question marks."""
    head = head_of(path)
    refuse_other(path, head)
    with readable(path), path.open("rb") as file:
        stream = io.BufferedReader(cast(io.RawIOBase, uncompressed(file, head)))
        encoding = BYTE_ORDER_MARKS.get(stream.peek(2)[:2], "utf-8-sig")
        with io.TextIOWrapper(stream, encoding=encoding, errors="replace") as text:
            yield text


def read_lines(path: Path) -> list[str]:
    """All lines of a table of names, without line ends and the empty lines at the end.

    What is no UTF-8 is read as Latin-1, which Excel on Windows writes, and the log says so.
    """
    head = head_of(path)
    refuse_other(path, head)
    with readable(path), path.open("rb") as file:
        data = uncompressed(file, head).read()
    return re.split(r"\r\n|\n|\r", decoded(path, data).rstrip("\r\n")) if data else []


def decoded(path: Path, data: bytes) -> str:
    """Bytes as text: UTF-16 by its mark, UTF-8, or else Latin-1."""
    with readable(path):
        if encoding := BYTE_ORDER_MARKS.get(data[:2]):
            return data.decode(encoding)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text = data.decode("cp1252", errors="replace")
            around = data[max(0, error.start - 20) : error.end + 20].decode("cp1252", "replace")
            logger.warning(
                "%s is not UTF-8, read as Latin-1, such as '%s'", path, " ".join(around.split())
            )
            return text


def unquoted(word: str) -> str:
    """A field without the spaces and the quotation marks around it."""
    word = word.strip()
    if len(word) > 1 and word[0] == word[-1] == '"':
        word = word[1:-1].replace('""', '"')
    return word


def as_text(names: np.ndarray, path: Path | None = None) -> np.ndarray:
    """Names of any type as str, in an object array; bytes are UTF-8, or else Latin-1."""
    found = np.empty(np.shape(names), dtype=object)
    wrong = 0
    for i, name in enumerate(np.asarray(names).ravel()):
        if isinstance(name, bytes):
            try:
                name = name.decode()
            except UnicodeDecodeError:
                name, wrong = name.decode("cp1252", errors="replace"), wrong + 1
        found.flat[i] = str(name)
    if wrong:
        logger.warning("%s: %d names are not UTF-8, read as Latin-1", path, wrong)
    return found
