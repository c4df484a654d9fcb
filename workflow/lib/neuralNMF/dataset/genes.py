"""Which of the common genes go into the data set, and why the others do not."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.dataset.options import DatasetOptions
from neuralNMF.dataset.select import PearsonResiduals, match_genes, most_variable
from neuralNMF.dataset.source import Source, kept_chunks
from neuralNMF.errors import InputError
from neuralNMF.io.genes import read_gene_list

logger = logging.getLogger(__name__)

LISTS = ("genes", "exclude", "include")
REASONS = ("not in genes", "min_cells", "excluded", "not variable")


def read_lists(options: DatasetOptions) -> dict[str, list[str]]:
    """The gene lists that were given."""
    lists = {what: read_gene_list(getattr(options, what)) for what in LISTS}
    return {what: names for what, names in lists.items() if names}


def choose_genes(
    genes: pd.DataFrame,
    sources: Sequence[Source],
    options: DatasetOptions,
    lists: dict[str, list[str]],
    chunk_cells: int,
    progress: bool,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table of all common genes with why each is in or out, and the numbers dropped."""
    cells = sum(source.statistics.cells for source in sources)
    sums = sum(source.statistics.sums for source in sources)
    squares = sum(source.statistics.squares for source in sources)
    n_cells = sum(source.statistics.n_cells for source in sources)
    why, include = _filter(genes, n_cells, options.min_cells, lists)
    passed = np.flatnonzero(why == "")
    if not passed.size:
        counts = ", ".join(f"{(why == reason).sum()} by '{reason}'" for reason in sorted(set(why)))
        raise InputError(
            f"No gene is left of {len(genes)} ({counts}): loosen min_cells or the gene lists."
        )
    selected = np.full(len(genes), "", dtype=object)
    residual = np.full(len(genes), np.nan)
    if options.variable_genes is None:
        selected[passed] = "all"
        selected[passed[include[passed]]] = "included"
    else:
        if options.variable_genes > passed.size:
            logger.warning(
                "%d variable genes asked for, all %d genes that passed the filters are taken",
                options.variable_genes,
                passed.size,
            )
        each = [
            _residual_variance(source, passed, options.hvg_theta, chunk_cells, progress)
            for source in sources
        ]
        residual[passed] = np.mean(each, axis=0)
        selected[passed[include[passed]]] = "included"
        selected[passed[most_variable(np.stack(each), options.variable_genes)]] = "variable"
        why[passed[selected[passed] == ""]] = "not variable"
    dropped = {reason: int((why == reason).sum()) for reason in REASONS}
    for reason, number in dropped.items():
        if number or reason == "min_cells":
            logger.info("%d of %d genes dropped: %s", number, len(genes), reason)
    table = genes.assign(
        mean=sums / cells,
        variance=np.maximum(squares / cells - (sums / cells) ** 2, 0.0),
        n_cells=n_cells,
        residual_variance=residual,
        selected=selected,
        dropped=why,
    )
    return table, {f"genes_{reason.replace(' ', '_')}": n for reason, n in dropped.items()}


def _filter(
    genes: pd.DataFrame, n_cells: np.ndarray, min_cells: int, lists: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """(why each gene is dropped, '' where it is not; the genes to include in any case)."""
    ids, symbols = genes["gene_id"].to_numpy(), genes["symbol"].to_numpy()
    listed = {what: match_genes(names, ids, symbols, what) for what, names in lists.items()}
    nothing = np.zeros(len(genes), bool)
    why = np.full(len(genes), "", dtype=object)
    include = listed.get("include", nothing) & (n_cells > 0)  # a zero column cannot be fitted
    if "genes" in listed:
        why[~listed["genes"] & ~include] = "not in genes"
    why[(why == "") & (n_cells < min_cells) & ~include] = "min_cells"
    why[listed.get("exclude", nothing)] = "excluded"
    return why, include


def _residual_variance(
    source: Source, candidates: np.ndarray, theta: float, chunk_cells: int, progress: bool
) -> np.ndarray:
    statistics = source.statistics
    residuals = PearsonResiduals(statistics.sums[candidates], statistics.cells, theta)
    for _, counts in kept_chunks(source, candidates, chunk_cells, "variable genes", progress):
        residuals.add(counts)
    return residuals.variance()
