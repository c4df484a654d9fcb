"""Lists of genes, given in place or as a file; a name may stand for a class of genes."""

from collections.abc import Sequence
from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.io.text import read_lines, unquoted


def read_gene_list(genes: Sequence[str] | str | Path | None) -> list[str] | None:
    """Read the names of genes from a list or from a file.

    Parameters
    ----------
    genes : sequence of str, path or None
        The names themselves, or a file with one name a line (text after ``#`` is a comment).

    Returns
    -------
    list of str or None
        The names; None where None was given.

    Raises
    ------
    InputError
        The file is missing or names no gene.
    """
    if genes is None:
        return None
    if isinstance(genes, str | Path):
        path = Path(genes).expanduser()
        if not path.is_file():
            raise InputError(f"There is no gene list '{path}': give a file with one name a line.")
        names = [name for line in read_lines(path) if (name := unquoted(line.split("#")[0]))]
        if not names:
            raise InputError(f"The gene list '{genes}' is empty: write one name a line.")
        return names
    return [str(name) for name in genes if str(name)]
