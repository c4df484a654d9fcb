"""How well the layers agree with labels of the cells: one row a layer.

The measures are functions of arrays: a usage (N, k) of programs that sum to one, as in saved
models, and labels (N,) of cells that count (`neuralNMF.evidence.label_scores.counted`).
"""

import logging
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import pandas as pd

from neuralNMF.evidence.label_scores import (
    MOST_CELLS,
    SMALLEST_CLASS,
    LabelScores,
    counted,
    sampled,
    scores_of_labels,
)
from neuralNMF.evidence.mixing import mixing
from neuralNMF.evidence.usage import shares

NEIGHBOURS = 15
STARTS = 10
MOST_NEIGHBOURS = 20_000  # cells whose neighbours are looked for, and that are clustered
NESTED = 0.95  # of the cells have the coarse label that most cells of their fine label have

_log = logging.getLogger(__name__)


def knn_accuracy(rows: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """Share of the cells whose nearest other cells, by vote, have their label (leave one out).

    Of a usage, give its `shares`.
    """
    # Here as below, since it takes seconds and most runs have no labels.
    from sklearn.metrics import accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(neighbours).fit(rows, labels)
    # Without an argument every cell is told from the others, itself left out.
    return float(accuracy_score(labels, classifier.predict(None)))


def cluster_agreement(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """(adjusted Rand index, normalised mutual information) of k-means with the labels.

    As many clusters as labels; of ten starts that of the least inertia. Of a usage, give its
    `shares`.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

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
    thetas : sequence of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l), of programs that sum to one.
    fine, coarse : ndarray of str, (N,)
        Labels of the same cells.

    Returns
    -------
    float
        0 to 1.
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


def label_agreement(
    thetas: Sequence[np.ndarray],
    usages: Sequence[np.ndarray],
    labels: Mapping[str, np.ndarray],
    scores: Mapping[str, Sequence[LabelScores]],
    groups: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Measure how well each layer agrees with one or two columns of labels.

    Parameters
    ----------
    thetas : sequence of ndarray
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l).
    usages : sequence of ndarray, (N, k_l) each
        U_l.
    labels : mapping of str to ndarray of str, (N,)
        ``label`` and, where cells have a second one, ``coarse_label``; "" of a cell without.
    scores : mapping of str to sequence of LabelScores
        Of each of the labels, a layer each.
    groups : mapping of str to ndarray of str, (N,), or None
        ``batch``, ``condition`` and ``donor`` of the cells; those that there are.

    Returns
    -------
    DataFrame
        One row a layer, with its number (``layer``) and ``programs``, how many it has. For each of
        the labels, with its name in front:

        - ``_classes``, ``_cells``: how many count; ``_left_out``: names of classes under 20 cells
        - ``_average_precision``, ``_auroc``: of the best program for each class, mean over the
          classes; of more than 50,000 cells by a random sample
        - ``_knn_accuracy``, ``_ari``, ``_nmi``: 15 neighbours, and k-means; of more than 20,000
          cells by a random sample

        with both, ``hierarchy`` of the layers so far, where the labels are nested; and for each of
        the groups ``_mixing`` (`neuralNMF.evidence.mixing.mixing`).
    """
    rows: list[dict[str, object]] = [
        {"layer": layer, "programs": usage.shape[1]} for layer, usage in enumerate(usages, start=1)
    ]
    for name, values in labels.items():
        classes = _classes(name, values)
        for row, usage, layer in zip(rows, usages, scores[name], strict=True):
            precision, area = layer.of_labels()
            figures = {**classes, "average_precision": precision, "auroc": area}
            figures |= _neighbourhoods(usage, values)
            row |= {f"{name}_{key}": value for key, value in figures.items()}
    if len(labels) == 2:
        for depth, row in enumerate(rows, start=1):
            row["hierarchy"] = _hierarchy(thetas[:depth], *labels.values(), log=depth == 1)
    for row, usage in zip(rows, usages, strict=True):
        row |= {f"{name}_mixing": value for name, value in mixing(usage, groups or {}).items()}
    return pd.DataFrame(rows)


def _classes(name: str, labels: np.ndarray) -> dict[str, object]:
    """What counts of a column of labels and what is left out, which is also logged."""
    there = counted(labels)
    names, sizes = np.unique(labels[~there], return_counts=True)
    small = [str(each) for each in names if each]
    if not there.all():
        _log.info(
            "agreement with the %s of %d of %d cells; without one: %d, in classes under %d cells: "
            "%d (%s)",
            name.replace("_", " "),
            there.sum(),
            len(labels),
            sizes[names == ""].sum(),
            SMALLEST_CLASS,
            sizes[names != ""].sum(),
            ", ".join(small) or "none",
        )
    for measures, most in (("average precision", MOST_CELLS), ("neighbours", MOST_NEIGHBOURS)):
        if there.sum() > most:
            _log.info("%s of a random sample of %d cells", measures, most)
    return {
        "classes": len(pd.unique(labels[there])),
        "cells": int(there.sum()),
        "left_out": ", ".join(small),
    }


def _neighbourhoods(usage: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of the cells' neighbours and clusters by their shares of the usage."""
    there = counted(np.where(sampled(counted(labels), MOST_NEIGHBOURS), labels, ""))
    if len(np.unique(labels[there])) < 2:
        return dict.fromkeys(("knn_accuracy", "ari", "nmi"), float("nan"))
    rows = shares(usage[there])
    index, information = cluster_agreement(rows, labels[there])
    accuracy = knn_accuracy(rows, labels[there])
    return {"knn_accuracy": accuracy, "ari": index, "nmi": information}


def _hierarchy(
    thetas: Sequence[np.ndarray], fine: np.ndarray, coarse: np.ndarray, *, log: bool
) -> float:
    there = sampled(counted(fine) & counted(coarse), MOST_CELLS)
    fine, coarse = fine[there], coarse[there]
    if not there.any() or len(np.unique(coarse)) < 2:
        return float("nan")
    of_fine = coarse_label_of(fine, coarse)
    nested = np.mean([of_fine[label] == above for label, above in zip(fine, coarse, strict=True)])
    if nested < NESTED:
        if log:
            _log.info(
                "no hierarchy: the coarse labels do not hold the fine ones (%.0f %% of the cells "
                "have the coarse label that most cells of their label have)",
                100 * nested,
            )
        return float("nan")
    return hierarchy([thetas[0][there], *thetas[1:]], fine, coarse)
