"""What a good answer is, measured: functions of arrays. Those that users get too are the library's.

N cells, M genes, k programs. A usage (N, k) is that of one layer, of programs (k, M) whose rows sum
to one, as in the canonical form of a model. Labels are (N,) strings; cells of classes that are too
small to count are left out by the caller (`counted`).
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from neuralNMF.evidence.agreement import cluster_agreement, knn_accuracy
from neuralNMF.evidence.label_scores import counted, label_scores
from neuralNMF.evidence.matching import matched_correlations
from neuralNMF.evidence.support import NOISE_BELOW, support
from neuralNMF.evidence.usage import shares
from scipy.optimize import nnls
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_poisson_deviance

CORRELATED = 0.8  # programs of two fits are the same one from this correlation of usage on
SMALLEST_RATE = 1e-12


def at_sum_one(usage: np.ndarray, programs: np.ndarray) -> np.ndarray:
    """The usage (N, k) once the programs (k, M) sum to one: their product stays."""
    return usage * programs.sum(axis=1)


# ---- Without labels


def unsupported(usage: np.ndarray, least: float = NOISE_BELOW) -> int:
    """How many programs have a support below `least` cells; not counting the `dead` ones."""
    return int((support(usage) < least).sum()) - dead(usage)


def dead(usage: np.ndarray) -> int:
    """How many programs no cell uses: a layer without them would be the same."""
    return int((~used(usage)).sum())


def used(usage: np.ndarray) -> np.ndarray:
    return usage.any(axis=0)


def replication(usage: np.ndarray, other: np.ndarray, least: float = CORRELATED) -> float:
    """Share of the matched programs of two fits whose usage correlates at `least` or more."""
    return float((matched_correlations(usage, other) >= least).mean())


def projected(matrix: np.ndarray | sp.csr_matrix, programs: np.ndarray) -> np.ndarray:
    """Usage (N, k) of given programs (k, M) by non-negative least squares, in any N cells (N, M).

    ||x - b P|| and ||x Q - b R'|| differ by a constant for P' = Q R: k x k problems for SciPy.
    """
    q, r = scipy.linalg.qr(programs.T.astype(np.float64), mode="economic")
    return np.stack([nnls(r, row)[0] for row in np.asarray(matrix @ q)])


def refitted_error(matrix: np.ndarray | sp.csr_matrix, usage: np.ndarray) -> float:
    """||X' - U B||^2 / ||X'||^2 with the programs B >= 0 that are best for the usage U (N, k)."""
    programs_t = projected(matrix.T, usage.T)
    explained = np.einsum("nk,nk->", np.asarray(matrix @ programs_t), usage)
    modelled = np.einsum("kj,kj->", usage.T @ usage, programs_t.T @ programs_t)
    entries = matrix.data if sp.issparse(matrix) else matrix
    whole = np.square(entries, dtype=np.float64).sum()
    return float((whole - 2 * explained + modelled) / whole)


def projected_by_rates(counts: sp.csr_matrix, programs: np.ndarray) -> np.ndarray:
    """Usage (N, k) of given programs (k, M) that lowers the Poisson deviance, in any N cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        usage, _, _ = non_negative_factorization(
            counts.astype(np.float64),
            H=programs.astype(np.float64),
            n_components=len(programs),
            update_H=False,
            solver="mu",
            beta_loss="kullback-leibler",
        )
    return usage


def deviance(counts: sp.csr_matrix, usage: np.ndarray, programs: np.ndarray) -> float:
    """Poisson deviance an entry of counts (N, M) from the rates U B."""
    rates = (usage @ programs).astype(np.float64)
    # The metric takes no rate of zero, and a program in single precision may have come to one.
    return float(mean_poisson_deviance(counts.toarray().ravel(), rates.clip(SMALLEST_RATE).ravel()))


# ---- With labels


def with_labels(rows: np.ndarray, fine: np.ndarray, coarse: np.ndarray, seed: int = 0) -> dict:
    """kNN accuracy and agreement of clusters of some cells' rows (N, any), for both labels."""
    figures = {}
    for name, labels in (("fine", fine), ("coarse", coarse)):
        there = counted(labels)
        figures[f"knn_{name}"] = knn_accuracy(rows[there], labels[there])
        agreement = cluster_agreement(rows[there], labels[there], seed)
        figures[f"ari_{name}"], figures[f"nmi_{name}"] = agreement
    return figures


def of_layer(usage: np.ndarray, fine: np.ndarray, coarse: np.ndarray, seed: int = 0) -> dict:
    """All measures of one layer that need no second fit."""
    figures: dict = {"unsupported": unsupported(usage), "dead": dead(usage)}
    for name, labels in (("fine", fine), ("coarse", coarse)):
        figures[f"ap_{name}"], figures[f"auroc_{name}"] = label_scores(usage, labels).of_labels()
    return figures | with_labels(shares(usage), fine, coarse, seed)
