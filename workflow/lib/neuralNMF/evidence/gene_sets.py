"""Over-representation of sets of genes among the markers of programs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import false_discovery_control, hypergeom

FEWEST = 3  # genes of a set that the data set must have
REPORTED = 0.05  # adjusted p-values below this are listed
NAMED = 10  # sets that the log names
COLUMNS = [
    *("layer", "program", "gene_set", "description", "genes_in_set", "markers", "markers_in_set"),
    *("p_value", "adjusted_p", "genes"),
]

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
        By layer: of each program the columns of its best markers, the best first.
    symbols : ndarray of str, (M,)
        Of all genes of the data set: the universe.
    sets : sequence of GeneSet
        Matched by symbol in any case. Those with fewer than three genes in the data set are not
        tested; the log says how many.

    Returns
    -------
    DataFrame
        One row for each test with an adjusted p-value below 0.05, the smallest of a program first:
        ``layer``, ``program`` (P1 ...), ``gene_set``, ``description``, ``genes_in_set`` (n),
        ``markers`` (m), ``markers_in_set`` (x), ``p_value``, ``adjusted_p`` and ``genes`` (the x,
        best marker first).
    """
    members = _members(symbols, sets)  # (sets, M)
    sizes = members.sum(axis=1).astype(int)
    _log_untested(
        [each.name for each, size in zip(sets, sizes, strict=True) if size < FEWEST], sets
    )
    tested = np.flatnonzero(sizes >= FEWEST).tolist()
    programs = [
        (layer, number, genes)
        for layer, lists in markers.items()
        for number, genes in enumerate(lists, start=1)
        if len(genes)
    ]
    marked = np.zeros((len(symbols), len(programs)))
    for column, (_, _, genes) in enumerate(programs):
        marked[genes, column] = 1
    found = members[tested] @ marked  # (sets, programs)
    p_values = hypergeom.sf(found - 1, len(symbols), sizes[tested, None], marked.sum(axis=0))
    adjusted = p_values
    if p_values.size:
        adjusted = false_discovery_control(p_values, axis=None).reshape(p_values.shape)
    rows = []
    for column, (layer, number, genes) in enumerate(programs):
        for row in np.argsort(p_values[:, column], kind="stable"):
            if adjusted[row, column] >= REPORTED:
                break
            each, size = sets[tested[row]], sizes[tested[row]]
            shared = [str(name) for name in symbols[genes] if str(name).upper() in each.genes]
            which = [layer, f"P{number}", each.name, each.description]
            figures = [size, len(genes), len(shared), p_values[row, column], adjusted[row, column]]
            rows.append([*which, *figures, ", ".join(shared)])
    return pd.DataFrame(rows, columns=COLUMNS).astype({"layer": int})  # also without a row


def _log_untested(names: Sequence[str], sets: Sequence[GeneSet]) -> None:
    if names:
        _log.info(
            "%d of %d gene sets are not tested, since the data set has fewer than %d of their "
            "genes (matched by symbol): %s",
            len(names),
            len(sets),
            FEWEST,
            ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else ""),
        )


def _members(symbols: np.ndarray, sets: Sequence[GeneSet]) -> sp.csr_array:
    """Which genes each set has, (sets, M): symbols that two genes share stand for both."""
    columns: dict[str, list[int]] = {}
    for column, symbol in enumerate(symbols):
        columns.setdefault(str(symbol).upper(), []).append(column)
    lists = [
        [column for gene in sorted(each.genes) for column in columns.get(gene, [])] for each in sets
    ]
    indptr = np.cumsum([0, *map(len, lists)])
    indices = np.array([column for each in lists for column in each], dtype=int)
    shape = (len(sets), len(symbols))
    return sp.csr_array((np.ones(len(indices)), indices, indptr), shape=shape)
