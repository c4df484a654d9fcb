"""Tables for people: text files with a tab between columns."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path


def write_table(table: pd.DataFrame, path: str | Path, *, digits: int | None = 6) -> None:
    """Write a table as TSV without its index, whole or not at all; missing values are empty.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a line.
    path : str or Path
        Of the file.
    digits : int or None
        Significant digits of numbers that are not whole; None writes each so that it reads back
        as the same number.
    """
    shown = None if digits is None else f"%.{digits}g"
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format=shown, lineterminator="\n")


def write_gene_sets(sets: Iterable[tuple[str, str, Sequence[str]]], path: str | Path) -> None:
    """Write gene sets as GMT, whole or not at all.

    Parameters
    ----------
    sets : iterable of (str, str, sequence of str)
        Name, description and genes of each.
    path : str or Path
        Of the file.
    """
    with atomic_path(path) as temporary:
        lines = ["\t".join([name, text, *genes]) + "\n" for name, text, genes in sets]
        temporary.write_text("".join(lines), encoding="utf-8")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote; raise InputError where it is missing or none."""
    try:
        return pd.read_csv(path, sep="\t")
    except (OSError, ValueError) as error:
        raise InputError(f"The table '{path}' cannot be read ({error}): make it again.") from error


def read_tables(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read tables with the same columns, one below the other; as `read_table`."""
    return pd.concat([read_table(path) for path in paths], ignore_index=True)
