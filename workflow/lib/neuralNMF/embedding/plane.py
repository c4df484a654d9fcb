"""UMAP of the cells' usage of the programs of each layer.

N cells, k_l programs of layer l; U_l (N, k_l) is the usage.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from neuralNMF.sampling import sample_cells

logger = logging.getLogger(__name__)

MOST_CELLS = 50_000  # of more, a sample is embedded
FEWEST_CELLS = 15  # fewer have no neighbourhoods to draw
NEIGHBOURS = 15
MIN_DISTANCE = 0.3  # between points that are alike: so far apart that dots can be seen


@dataclass(frozen=True)
class Planes:
    """The cells in the plane, a layer each.

    Attributes
    ----------
    coordinates : list of ndarray of float32 (N, 2), or None
        NaN of cells that are not drawn; None where a layer has no picture.
    drawn : str
        Which cells are drawn, for titles: ``3,774 cells``, or that they are a sample and how it
        was drawn.
    why_not : list of str
        Why a layer has none; "" where it has.
    """

    coordinates: list[np.ndarray | None]
    drawn: str
    why_not: list[str]


def planes_of_usage(
    usages: Sequence[np.ndarray],
    groups: np.ndarray,
    *,
    seed: int,
    most_cells: int = MOST_CELLS,
) -> Planes:
    """Lay the cells out by their usage, each layer by itself.

    Cells are neighbours by the Euclidean distance of their shares of usage, so that library sizes
    do not count. The same cells are drawn in all layers; cells that use no program are left out.

    Parameters
    ----------
    usages : sequence of ndarray, (N, k_l) each
        U_l.
    groups : ndarray of int, (N,)
        Each cell's, from 0 on; a sample keeps their proportions, so that it is as dense as all
        cells are, and each has a cell in it.
    seed : int
        Of the sample and of the layout: the same seed gives the same coordinates.
    most_cells : int
        From how many cells on a sample is drawn.

    Returns
    -------
    Planes

    References
    ----------
    McInnes, L., Healy, J. & Melville, J. (2018). UMAP: Uniform Manifold Approximation and
    Projection for Dimension Reduction. arXiv:1802.03426.
    """
    used = np.flatnonzero(np.logical_and.reduce([usage.any(axis=1) for usage in usages]))
    rng = np.random.default_rng(seed)
    drawn, words = used, f"{len(used):,} cells"
    if len(used) > most_cells:
        drawn = used[sample_cells(len(used), most_cells, rng=rng, groups=groups[used])]
        words = (
            f"sample of {most_cells:,} of {len(used):,} cells, in proportion to their main programs"
        )
    coordinates: list[np.ndarray | None] = []
    why_not = [_why_not(usage[drawn]) for usage in usages]
    for layer, (usage, reason) in enumerate(zip(usages, why_not, strict=True), start=1):
        if reason:
            logger.warning("layer %d has no UMAP: %s", layer, reason)
            coordinates.append(None)
            continue
        places = np.full((len(usage), 2), np.nan, dtype=np.float32)
        places[drawn] = _umap(usage[drawn], seed)
        coordinates.append(places)
    return Planes(coordinates, words, why_not)


def _why_not(usage: np.ndarray) -> str:
    if len(usage) < FEWEST_CELLS:
        return f"{len(usage)} cells use a program; {FEWEST_CELLS} are the fewest that are laid out"
    programs = int(usage.any(axis=0).sum())
    if programs < 2:
        return "with a single program all cells are alike"
    return ""


def _umap(usage: np.ndarray, seed: int) -> np.ndarray:
    """Places of n cells, (n, 2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of what it can do with TensorFlow
        # Only here: it takes seconds to import.
        from umap import UMAP

    shares = usage / usage.sum(axis=1, keepdims=True, dtype=np.float64)
    neighbours = min(NEIGHBOURS, len(usage) - 1)
    # Exact, so that nothing but the layout itself is drawn at random; and of few cells UMAP would
    # find them by a loop of Python's over all pairs.
    found = NearestNeighbors(n_neighbors=neighbours).fit(shares).kneighbors(shares)
    layout = UMAP(
        n_neighbors=neighbours,
        min_dist=MIN_DISTANCE,
        precomputed_knn=(found[1], found[0].astype(np.float32)),
        random_state=seed,
        n_jobs=1,  # the order of the steps of several threads is another each time
    )
    with warnings.catch_warnings():
        # New cells cannot be laid out by given neighbours; nobody asks for that.
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        return layout.fit_transform(shares.astype(np.float32))
