"""The tree that the layers make: which coarse program each fine one belongs to, and an order.

In the order, children of one parent stand together through all layers, and programs that are alike
stand near each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NO_PARENT = -1


@dataclass(frozen=True)
class Tree:
    """Parents and order of the programs of L layers.

    Attributes
    ----------
    parents : list of ndarray of int, (k_l,) each
        For layers 1 ... L-1: the program of layer l + 1 that each program has most of, or
        `NO_PARENT` of a program that has nothing of any.
    orders : list of ndarray of int, (k_l,) each
        For layers 1 ... L: the programs as they are drawn.
    """

    parents: list[np.ndarray]
    orders: list[np.ndarray]

    def ancestors(self, layer: int, above: int) -> np.ndarray:
        """The program of layer `above` > `layer` (from 1) that each of layer `layer` is part of."""
        found = self.parents[layer - 1]
        for parents in self.parents[layer : above - 1]:
            found = np.where(found == NO_PARENT, NO_PARENT, parents[found])
        return found


def tree_of(
    thetas: Sequence[np.ndarray], betas: Sequence[np.ndarray], last: Sequence[np.ndarray]
) -> Tree:
    """Find parents and order.

    The coarsest programs are ordered by their likeness. In each finer layer the children of a
    parent stand together, parents in their order; among siblings, those that have something of
    programs further to the left come first (the barycentre of Sugiyama et al. 1981).

    Parameters
    ----------
    thetas : sequence of ndarray
        Theta_1 ... Theta_L, Theta_l (k_{l-1}, k_l); the first is not looked at.
    betas : sequence of ndarray, (k_l, M) each
        Programs.
    last : sequence of ndarray of bool, (k_l,) each
        Programs that stand behind all others of their layer: dead ones and noise.

    Returns
    -------
    Tree
    """
    live, behind = np.flatnonzero(~last[-1]), np.flatnonzero(last[-1])
    orders = [np.concatenate([live[_by_likeness(betas[-1][live])], behind])]
    parents: list[np.ndarray] = []
    for theta, gone in zip(list(thetas[1:])[::-1], list(last[:-1])[::-1], strict=True):
        shares = np.asarray(theta, dtype=np.float64)
        totals = shares.sum(axis=1)
        parent = np.where(totals > 0, shares.argmax(axis=1), NO_PARENT)
        place = np.empty(shares.shape[1])
        place[orders[0]] = np.arange(shares.shape[1])
        centre = shares @ place / np.where(totals > 0, totals, 1.0)
        family = np.where(parent == NO_PARENT, np.inf, place[parent])
        orders.insert(0, np.lexsort((centre, family, gone)))
        parents.insert(0, parent)
    return Tree(parents, orders)


def _by_likeness(beta: np.ndarray) -> np.ndarray:
    """Spectral seriation (Atkins et al. 1998): along the Fiedler vector of the programs' cosines.

    The end with the program that comes first in its layer is the left one.
    """
    programs = len(beta)
    roots = np.sqrt(np.asarray(beta, dtype=np.float64))
    norms = np.linalg.norm(roots, axis=1, keepdims=True)
    roots /= np.where(norms > 0, norms, 1.0)
    alike = roots @ roots.T
    np.fill_diagonal(alike, 0.0)
    if programs < 3 or not alike.any():
        return np.arange(programs)
    laplacian = np.diag(alike.sum(axis=1)) - alike
    fiedler = np.linalg.eigh(laplacian)[1][:, 1]
    order = np.argsort(fiedler, kind="stable")
    return order if 2 * np.flatnonzero(order == 0)[0] < programs else order[::-1]
