"""Order of rows and columns of a heat map by hierarchical clustering, and the tree's lines."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage


@dataclass(frozen=True)
class Tree:
    """Leaves in drawing order and, for each merge, the corners of its bracket.

    Attributes
    ----------
    order : ndarray of int, (n,)
        Rows of the data, first to last.
    across : ndarray, (n - 1, 4)
        Positions along the leaves: left foot, left top, right top, right foot.
    heights : ndarray, (n - 1, 4)
        The same corners' heights.
    """

    order: np.ndarray
    across: np.ndarray
    heights: np.ndarray


def cluster(rows: np.ndarray, weights: np.ndarray | None = None) -> Tree:
    """Cluster rows by Ward's method; time and memory grow with n^2.

    Parameters
    ----------
    rows : ndarray, (n, d)
        At least one.
    weights : ndarray or None, (n,)
        Of each pair of branches the one of lower mean weight is drawn first, which decides what
        clustering leaves open. None: the order of the rows themselves.

    Returns
    -------
    Tree
        What to draw.
    """
    count = len(rows)
    if weights is None:
        weights = np.arange(count)
    if count < 2:
        return Tree(np.arange(count), np.empty((0, 4)), np.empty((0, 4)))
    merges = linkage(np.asarray(rows, dtype=np.float64), method="ward")
    kids = merges[:, :2].astype(int)

    size = np.ones(2 * count - 1)
    weight = np.concatenate([np.asarray(weights, dtype=float), np.zeros(count - 1)])
    for node, (a, b) in enumerate(kids, start=count):
        size[node] = size[a] + size[b]
        weight[node] = weight[a] + weight[b]
    mean = weight / size
    kids = np.where((mean[kids[:, 0]] <= mean[kids[:, 1]])[:, None], kids, kids[:, ::-1])

    # Where each branch begins, from the root down (loops, since a tree may be n deep).
    begin = np.zeros(2 * count - 1)
    for node in range(2 * count - 2, count - 1, -1):
        first, second = kids[node - count]
        begin[first] = begin[node]
        begin[second] = begin[node] + size[first]
    order = np.argsort(begin[:count])

    place = begin.copy()
    height = np.zeros(2 * count - 1)
    across, heights = np.empty((count - 1, 4)), np.empty((count - 1, 4))
    for node, (first, second) in enumerate(kids, start=count):
        top = height[node] = merges[node - count, 2]
        place[node] = (place[first] + place[second]) / 2
        across[node - count] = place[[first, first, second, second]]
        heights[node - count] = height[first], top, top, height[second]
    return Tree(order, across, heights)
