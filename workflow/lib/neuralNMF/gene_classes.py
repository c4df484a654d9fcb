"""Genes of a kind, told by their symbols: ribosomal, mitochondrial, haemoglobin.

The names of human (HGNC) and mouse (MGI) genes, and those of other species that are written alike,
in upper and lower case: files of mouse data often hold symbols in upper case.
"""

import re
from collections.abc import Sequence

import numpy as np

from neuralNMF.errors import InputError

# RPL10P9, Rpl10-ps2: most of a processed pseudogene's reads are those of the gene itself.
_PSEUDO = r"(?:P\d+|-PS\d*)?"
# RPS17.1, RPS17-1: what readers append to a symbol that two genes share.
_AGAIN = r"(?:[.-]\d+)?"

_PATTERNS = {
    # Proteins of the two subunits, FAU (S30) and UBA52 (L40) among them, and their paralogues
    # (RPL22L1, RPS4Y1). Not the kinases RPS6KA1 ..., not RPS19BP1, which binds S19, and not the
    # mitochondria's own ribosome (MRPL1, MRPS2), whose genes vary with other things.
    "ribosomal": rf"""(?: RP[LS]-?\d+ (?: AL? | B(?!P) | L | RT | X | Y )? (?: L?\d )?
                      | RPLP[0-3]L? | RPSA\d? | FAU | UBA52 ) {_PSEUDO} {_AGAIN}""",
    # Genes on the mitochondrial genome: MT-CO1, mt-Co1, mt:CoI; without the prefix (ND1, COX1,
    # CYTB) in the annotation of many other species. Not the metallothioneins (MT1X, Mt2).
    "mitochondrial": r"""MT[-:._][A-Z].* | (?: ND[1-6] | ND4L | COX[1-3] | CYTB | ATP[68] )""",
    # Human HBA1, HBB, HBG2, mouse Hba-a1, Hbb-bs, zebrafish hbaa1. Not HBEGF, HBP1, HBS1L.
    "haemoglobin": rf"""HB (?: A[1-3]? | B | D | E[12]? | G[12]? | M | Q1[AB]? | Z
                             | [AB]-(?: A\d | B[HST]?\d? | X | Y | PS\d? ) | [AB][AE]\d
                             ) {_PSEUDO} {_AGAIN}""",
}
_CLASSES = {
    name: re.compile(pattern, re.IGNORECASE | re.VERBOSE) for name, pattern in _PATTERNS.items()
}
_SPELLINGS = {"hemoglobin": "haemoglobin"}

GENE_CLASSES = tuple(_CLASSES)


def gene_class(name: str) -> str | None:
    """The class that a name stands for, in any case and either spelling; None if it is none."""
    lower = name.strip().lower()
    lower = _SPELLINGS.get(lower, lower)
    return lower if lower in _CLASSES else None


def gene_class_mask(symbols: Sequence[str] | np.ndarray, name: str) -> np.ndarray:
    """Which genes are of a class, by their symbols.

    Parameters
    ----------
    symbols : sequence of str, (M,)
        Of the genes, as ``RPL10`` or ``Rpl10``; ids such as ``ENSG00000147403`` tell nothing.
    name : str
        One of `GENE_CLASSES`, or ``hemoglobin``.

    Returns
    -------
    ndarray of bool, (M,)
        True for the genes of the class.

    Raises
    ------
    InputError
        There is no such class.
    """
    known = gene_class(name)
    if known is None:
        raise InputError(f"There is no gene class {name!r}: it may be {', '.join(GENE_CLASSES)}.")
    match = _CLASSES[known].fullmatch
    return np.fromiter((match(str(symbol)) is not None for symbol in symbols), bool, len(symbols))
