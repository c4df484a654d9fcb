"""Over-representation of sets of genes among the markers of programs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

MARKERS = 50  # best markers of a program that are tested
FEWEST = 3  # genes of a set that the data set must have
REPORTED = 0.05  # adjusted p-values below this are listed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneSet:
    """A named set of genes.

    Attributes
    ----------
    name, description : str
    genes : frozenset of str
        Symbols in upper case.
    """

    name: str
    description: str
    genes: frozenset[str]


def gene_set_table(
    markers: Mapping[int, Sequence[np.ndarray]], symbols: np.ndarray, sets: Sequence[GeneSet]
) -> pd.DataFrame:
    """Test every set of genes in every program of every layer.

    Of the M genes of the data set n are in the set, and of the m markers of the program x are: p is
    the chance that m genes drawn from the M hold x or more of the n (the hypergeometric
    distribution, Fisher's one-sided exact test). All tests of the table are adjusted together
    (Benjamini & Hochberg 1995).

    Parameters
    ----------
    markers : mapping of int to sequence of ndarray of int
        By layer: of each program the columns of its `MARKERS` best markers, or fewer.
    symbols : ndarray of str, (M,)
        Of all genes of the data set: the universe.
    sets : sequence of GeneSet
        Matched by symbol in any case. Those with fewer than three genes in the data set are not
        tested; the log names them.

    Returns
    -------
    DataFrame
        One row for each test with an adjusted p-value below 0.05, the smallest of a program first:
        ``layer``, ``program`` (P1 ...), ``gene_set``, ``description``, ``genes_in_set`` (n),
        ``markers`` (m), ``markers_in_set`` (x), ``p_value``, ``adjusted_p`` and ``genes`` (the x,
        best marker first).
    """
    upper = np.array([str(symbol).upper() for symbol in symbols], dtype=object)
    members = {each.name: np.isin(upper, list(each.genes)) for each in sets}
    small = [name for name, there in members.items() if there.sum() < FEWEST]
    if small:
        _log.info(
            "%d of %d gene sets are not tested, since the data set has fewer than %d of their "
            "genes (matched by symbol): %s",
            len(small),
            len(sets),
            FEWEST,
            ", ".join(small),
        )
    tests = [
        _test(layer, number, genes, symbols, each, members[each.name])
        for layer, programs in markers.items()
        for number, genes in enumerate(programs, start=1)
        if len(genes)
        for each in sets
        if each.name not in small
    ]
    table = pd.DataFrame(tests, columns=list(_COLUMNS)).astype(_COLUMNS)
    if len(table):
        table["adjusted_p"] = false_discovery_control(table["p_value"])
    order = table.assign(number=table["program"].str[1:].astype(int)).sort_values(
        ["layer", "number", "adjusted_p", "p_value", "gene_set"]
    )
    listed = order.loc[order["adjusted_p"] < REPORTED, list(_COLUMNS)]
    return listed.reset_index(drop=True)


_COLUMNS = {
    "layer": "int64",
    "program": "object",
    "gene_set": "object",
    "description": "object",
    "genes_in_set": "int64",
    "markers": "int64",
    "markers_in_set": "int64",
    "p_value": "float64",
    "adjusted_p": "float64",
    "genes": "object",
}


def _test(
    layer: int,
    number: int,
    genes: np.ndarray,
    symbols: np.ndarray,
    each: GeneSet,
    members: np.ndarray,
) -> dict[str, object]:
    found = genes[members[genes]]
    universe, size = len(members), int(members.sum())
    return {
        "layer": layer,
        "program": f"P{number}",
        "gene_set": each.name,
        "description": each.description,
        "genes_in_set": size,
        "markers": len(genes),
        "markers_in_set": len(found),
        "p_value": float(hypergeom.sf(len(found) - 1, universe, size, len(genes))),
        "adjusted_p": 1.0,
        "genes": ", ".join(map(str, symbols[found])),
    }
