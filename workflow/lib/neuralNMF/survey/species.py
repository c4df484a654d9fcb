"""Whose genes they are, told by their ids and symbols."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

# What Ensembl's ids of genes begin with (ensembl.org, "Stable ID prefixes"), and those of FlyBase
# and WormBase.
PREFIXES = {
    "ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSDARG": "zebrafish",
    "ENSMMUG": "macaque", "ENSMFAG": "crab-eating macaque", "ENSCJAG": "marmoset",
    "ENSSSCG": "pig", "ENSGALG": "chicken", "ENSBTAG": "cow", "ENSOARG": "sheep",
    "ENSCAFG": "dog", "ENSOCUG": "rabbit", "FBGN": "fruit fly", "WBGENE": "C. elegans",
}  # fmt: skip
_ID = re.compile(r"(?:\w+?_+)?(ENS[A-Z]{0,6}G|FBGN|WBGENE)\d{5,}(?:\.\d+)?", re.IGNORECASE)
# Genes and clones that only one of the two has, in any case: files of mice often are in upper case.
_HUMAN = re.compile(
    r"HLA-\w+|LINC\d+|RP\d+-\w+\.\d+|C[\dXY]+ORF\d+|(?:AL|AP)\d{6}\.\d+", re.IGNORECASE
)
_MOUSE = re.compile(r"H2-\w+|\w{9,11}RIK|GM\d{3,}", re.IGNORECASE)
_LOWER = re.compile(r"[A-Z][a-z0-9-]*[a-z][a-z0-9-]*")  # Actb
_UPPER = re.compile(r"[A-Z][A-Z0-9-]*[A-Z][A-Z0-9-]*")  # ACTB
MOST = 0.8


def species_of(ids: Sequence[str] | np.ndarray, symbols: Sequence[str] | np.ndarray) -> str:
    """The species of most genes; several joined by ``and``; '' where nothing tells it.

    Parameters
    ----------
    ids, symbols : sequence of str, (M,)
        Of the genes.
    """
    starts = Counter(
        PREFIXES.get(match[1].upper(), "") for name in ids if (match := _ID.fullmatch(str(name)))
    )
    if starts.total() > len(ids) / 2:
        # A few transgenes are no second species.
        return " and ".join(name for name, n in starts.most_common() if name and n > len(ids) / 20)
    names = [str(symbol) for symbol in symbols]
    human, mouse, lower, upper = (
        sum(pattern.fullmatch(name) is not None for name in names)
        for pattern in (_HUMAN, _MOUSE, _LOWER, _UPPER)
    )
    if max(human, mouse) > len(names) / 1000 and human != mouse:
        return "human" if human > mouse else "mouse"
    if lower > MOST * len(names):
        return "mouse or rat"
    return "human, or another whose genes are written alike" if upper > MOST * len(names) else ""
