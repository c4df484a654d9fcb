"""Sets of genes from GMT files, the format of MSigDB, Enrichr and the like."""

from collections.abc import Sequence
from pathlib import Path

from neuralNMF.errors import InputError
from neuralNMF.evidence.gene_sets import GeneSet


def read_gene_sets(paths: Sequence[str | Path]) -> list[GeneSet]:
    """Read the sets of GMT files.

    A line is a set: its name, a description, its genes, with a tab between each two. Lines without
    anything and lines that begin with ``#`` are passed over.

    Parameters
    ----------
    paths : sequence of str or Path
        Of the files.

    Returns
    -------
    list of GeneSet
        Of all files in their order.

    Raises
    ------
    InputError
        A file is missing or no text, a line is no set, a file has none, or two sets share a name.
    """
    sets: dict[str, GeneSet] = {}
    for path in map(Path, paths):
        before = len(sets)
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            each = _parse(line, path, number)
            if each.name in sets:
                raise InputError(
                    f"'{path}', line {number}: there is a gene set {each.name!r} already; give "
                    "each set a name of its own."
                )
            sets[each.name] = each
        if len(sets) == before:
            raise InputError(f"'{path}' has no gene set: write one a line, as GMT files do.")
    return list(sets.values())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The gene sets '{path}' cannot be read ({error}): give a GMT file, plain text."
        ) from error


def _parse(line: str, path: Path, number: int) -> GeneSet:
    name, *rest = (field.strip() for field in line.split("\t"))
    genes = frozenset(gene.upper() for gene in rest[1:] if gene)
    if not name or not genes:
        raise InputError(
            f"'{path}', line {number} is no gene set: a line of a GMT file is a name, a "
            "description and genes, with a tab between each two."
        )
    return GeneSet(name, rest[0], genes)
