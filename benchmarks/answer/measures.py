"""What a good answer is, measured: functions of arrays.

N cells, M genes, k programs. A usage (N, k) is that of one layer, of programs (k, M) whose rows sum
to one, as in the canonical form of a model. Labels are (N,) strings; cells of classes that are too
small to count are left out by the caller (`counted`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.cluster import KMeans
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    accuracy_score,
    adjusted_rand_score,
    average_precision_score,
    mean_poisson_deviance,
    normalized_mutual_info_score,
    roc_auc_score,
)
from sklearn.neighbors import KNeighborsClassifier

CORRELATED = 0.8  # programs of two fits are the same one from this correlation of usage on
SUPPORTED = 10.0  # a program of fewer cells is noise
SMALLEST_CLASS = 20
NEIGHBOURS = 15
STARTS = 10
SMALLEST_RATE = 1e-12


def shares(rows: np.ndarray) -> np.ndarray:
    """Rows at sum one; a row of zeros stays one."""
    sums = rows.sum(axis=1, keepdims=True, dtype=np.float64)
    return rows / np.where(sums > 0, sums, 1.0)


def at_sum_one(usage: np.ndarray, programs: np.ndarray) -> np.ndarray:
    """The usage (N, k) once the programs (k, M) sum to one: their product stays."""
    return usage * programs.sum(axis=1)


# ---- Without labels


def support(usage: np.ndarray) -> np.ndarray:
    """Effective number of cells of each program, (k,).

    (sum u^2)^2 / sum u^4 over the cells, where u is the program's share of each cell's usage: a
    program that is all of n cells has n. The fourth power keeps traces in many cells from counting,
    the share keeps cells with large totals from counting more. 0 for a program that no cell uses.
    """
    squares = shares(usage) ** 2
    fourth = (squares**2).sum(axis=0)
    return squares.sum(axis=0) ** 2 / np.where(fourth > 0, fourth, 1.0)


def unsupported(usage: np.ndarray, least: float = SUPPORTED) -> int:
    """How many programs have a support below `least` cells; not counting the `dead` ones."""
    return int((support(usage) < least).sum()) - dead(usage)


def dead(usage: np.ndarray) -> int:
    """How many programs no cell uses: a layer without them would be the same."""
    return int((~used(usage)).sum())


def used(usage: np.ndarray) -> np.ndarray:
    return usage.any(axis=0)


def matched_correlations(usage: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlations of matched programs, falling, as many as the usage with fewer programs has.

    Pearson's, of the two usages over the same cells; the one-to-one match is that of the largest
    sum. A usage that does not vary correlates with nothing. Programs that no cell uses are none.
    """
    units = []
    for each in (usage[:, used(usage)], other[:, used(other)]):
        centred = each - each.mean(axis=0, dtype=np.float64)
        norms = np.linalg.norm(centred, axis=0)
        varies = norms > 1e-12 * np.linalg.norm(each, axis=0)
        units.append(np.where(varies, centred, 0.0) / np.where(varies, norms, 1.0))
    correlations = units[0].T @ units[1]
    matched = correlations[linear_sum_assignment(correlations, maximize=True)]
    return np.sort(matched)[::-1]


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


def counted(labels: np.ndarray, least: int = SMALLEST_CLASS) -> np.ndarray:
    """Which cells (N,) have a label of a class with `least` cells or more."""
    classes, sizes = np.unique(labels, return_counts=True)
    return np.isin(labels, classes[sizes >= least])


def scores_of_labels(usage: np.ndarray, labels: np.ndarray, score=average_precision_score):
    """Score of each program's share for each label against the rest, (labels in order, k)."""
    of_cells = shares(usage)
    return np.array(
        [[score(labels == label, program) for program in of_cells.T] for label in np.unique(labels)]
    )


def average_precision(usage: np.ndarray, labels: np.ndarray) -> float:
    """Average precision of the best single program for each label, mean over the labels."""
    return float(scores_of_labels(usage, labels).max(axis=1).mean())


def auroc(usage: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of the best single program for each label, mean over the labels."""
    return float(scores_of_labels(usage, labels, roc_auc_score).max(axis=1).mean())


def knn_accuracy(rows: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """Share of the cells whose nearest other cells, by vote, have their label (leave one out).

    Of a usage, give its `shares`.
    """
    classifier = KNeighborsClassifier(neighbours).fit(rows, labels)
    # Without an argument every cell is told from the others, itself left out.
    return float(accuracy_score(labels, classifier.predict(None)))


def cluster_agreement(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """(adjusted Rand index, normalised mutual information) of k-means with the labels.

    As many clusters as labels; of ten starts that of the least inertia. Of a usage, give its
    `shares`.
    """
    means = KMeans(len(np.unique(labels)), n_init=STARTS, random_state=seed)
    found = means.fit_predict(rows)
    return (
        float(adjusted_rand_score(labels, found)),
        float(normalized_mutual_info_score(labels, found)),
    )


def coarse_label_of(fine: np.ndarray, coarse: np.ndarray) -> dict[str, str]:
    """The coarse label that most cells of each fine label have."""
    found = {}
    for label in np.unique(fine):
        names, sizes = np.unique(coarse[fine == label], return_counts=True)
        found[label] = names[sizes.argmax()]
    return found


def hierarchy(thetas: Sequence[np.ndarray], fine: np.ndarray, coarse: np.ndarray) -> float:
    """How much of a fine label's best program flows into the best program of its coarse label.

    Best by average precision, in layer 1 and in the last layer; the flow is the entry of
    Theta_2 ... Theta_L, rows at sum one. Mean over the fine labels; NaN with one layer.

    Parameters
    ----------
    thetas
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l), of programs that sum to one.
    fine, coarse
        Labels (N,) of the same cells.
    """
    if len(thetas) < 2:
        return float("nan")
    flow = reduce(np.matmul, [shares(theta) for theta in thetas[1:]])
    best_fine = scores_of_labels(thetas[0], fine).argmax(axis=1)
    last = reduce(np.matmul, thetas)
    best_coarse = dict(
        zip(np.unique(coarse), scores_of_labels(last, coarse).argmax(axis=1), strict=True)
    )
    lineage = coarse_label_of(fine, coarse)
    return float(
        np.mean(
            [
                flow[program, best_coarse[lineage[label]]]
                for label, program in zip(np.unique(fine), best_fine, strict=True)
            ]
        )
    )


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
        there = counted(labels)
        figures[f"ap_{name}"] = average_precision(usage[there], labels[there])
        figures[f"auroc_{name}"] = auroc(usage[there], labels[there])
    return figures | with_labels(shares(usage), fine, coarse, seed)
