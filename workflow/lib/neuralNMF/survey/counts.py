"""A look into a file of counts: where the raw counts are, what its cells and genes are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.gene_classes import GENE_CLASSES, gene_class_mask
from neuralNMF.io.counts import CountsReader, open_counts
from neuralNMF.io.genes import are_ids
from neuralNMF.io.places import Place, places_of
from neuralNMF.io.values import made_equal
from neuralNMF.survey.columns import Columns, judge_columns
from neuralNMF.survey.species import species_of

# Cells that are looked at: so many at so many places of the file.
CELLS_A_SPOT, SPOTS = 250, 8
# Layers that people keep raw counts in, where several hold whole numbers.
RAW_NAMES = re.compile(r"^(raw_?)?counts?$|^raw$|^umis?$|^matrix$", re.IGNORECASE)


@dataclass(frozen=True)
class Survey:
    """What a file of counts holds.

    Attributes
    ----------
    path : Path
        Of the file or folder.
    cells, genes : int
        N and M.
    layer : str or None
        Where the raw counts are, as `open_counts` takes it; None where it need not be said.
    places : tuple of Place
        All matrices that were looked at; empty where the format has but one.
    ids : bool
        Whether genes have ids of Ensembl, FlyBase or WormBase beside or in place of symbols.
    species : str
        As `species_of` says it; '' where nothing tells it.
    equal_totals : bool
        Whether these cells have nearly the same total, as rounded normalised values have.
    median_counts : int
        Of a cell, over the cells that were looked at.
    genes_a_cell : int
        Genes found in a cell, the median over these cells.
    class_shares : dict of str to float
        Which part of these cells' counts is of the genes of each class (`GENE_CLASSES`).
    found : ndarray of float, (M,)
        In which part of these cells each gene is found, the largest first.
    columns : Columns
        Of the cells' table, by what they look like.
    """

    path: Path
    cells: int
    genes: int
    layer: str | None
    places: tuple[Place, ...]
    ids: bool
    species: str
    equal_totals: bool
    median_counts: int
    genes_a_cell: int
    class_shares: dict[str, float]
    found: np.ndarray
    columns: Columns

    def nonzeros(self, genes: int | None) -> int:
        """Non-zero counts of all cells in so many genes, at the most; None for all genes."""
        return round(self.cells * float(self.found[:genes].sum()))


def survey_counts(path: str | Path, *, temporary: str | Path | None = None) -> Survey:
    """Look into a file of counts.

    Names and tables are read whole, of the counts some cells here and there.

    Parameters
    ----------
    path : str or Path
        Of any format that `open_counts` reads.
    temporary : str, Path or None
        As `open_counts` has it.

    Returns
    -------
    Survey

    Raises
    ------
    InputError
        The file cannot be read, or holds no raw counts; the message says what it holds.
    """
    path = Path(path)
    places = places_of(path)
    layer = _chosen(path, places)
    with open_counts(path, layer, temporary=temporary) as reader:
        sample = _sample(reader)
        totals = np.asarray(sample.sum(axis=1, dtype=np.float64)).ravel()
        if not totals.any():
            raise InputError(
                f"'{path}' has no counts: of its {reader.shape[0]} cells {totals.size} were looked "
                "at, and all of their values are zero."
            )
        of_genes = np.asarray(sample.sum(axis=0, dtype=np.float64)).ravel()
        symbols = reader.gene_symbols
        shares = {
            name: float(of_genes[gene_class_mask(symbols, name)].sum() / max(1.0, totals.sum()))
            for name in GENE_CLASSES
        }
        return Survey(
            path=path,
            cells=reader.shape[0],
            genes=reader.shape[1],
            layer=layer,
            places=tuple(places),
            ids=are_ids(reader.gene_ids),
            species=species_of(reader.gene_ids, symbols),
            equal_totals=made_equal(totals),
            median_counts=round(float(np.median(totals))),
            genes_a_cell=round(float(np.median(np.diff(sample.indptr)))),
            class_shares=shares,
            found=np.sort(sample.getnnz(axis=0) / sample.shape[0])[::-1],
            columns=judge_columns(reader.obs),
        )


def _chosen(path: Path, places: list[Place]) -> str | None:
    """The layer to read: of those with counts the one with most genes, X before others."""
    counts = [place for place in places if not place.fault]
    if places and not counts:
        found = "; ".join(f"{place.layer} has {place.fault} values" for place in places)
        raise InputError(
            f"'{path}' holds no raw counts ({found}): write the file with the counts of molecules, "
            "before any normalisation, in X or a layer."
        )
    if not counts:
        return None
    # Whole numbers in a layer of another name may be anything, ranks or clusters for example.
    named = [place for place in counts if place is places[0] or RAW_NAMES.match(place.layer)]
    best = max(named or counts, key=lambda place: place.genes)
    return None if best.layer in ("X", "matrix") else best.layer


def _sample(reader: CountsReader) -> sp.csr_matrix:
    """Cells from here and there, (n, M)."""
    cells = reader.shape[0]
    starts = np.linspace(0, max(0, cells - CELLS_A_SPOT), SPOTS).astype(int)
    edges = [(int(s), min(cells, int(s) + CELLS_A_SPOT)) for s in dict.fromkeys(starts)]
    if cells <= CELLS_A_SPOT * SPOTS:
        edges = [(0, cells)]
    return sp.vstack([reader.read(*each) for each in edges], format="csr")
