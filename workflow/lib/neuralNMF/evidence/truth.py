"""How well the layers agree with the programs that simulated counts were drawn from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.evidence.matching import match_by_genes, matched_correlations, unit_columns


def compare_with_truth(
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    theta: np.ndarray,
    beta: np.ndarray,
    *,
    gene_scale: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every layer with the true programs and their usage.

    Parameters
    ----------
    usages, betas : sequence of ndarray, (N, k_l) and (k_l, M) each
        U_l and beta_l.
    theta, beta : ndarray, (N, K) and (K, M)
        The truth, of the same cells and genes.
    gene_scale : ndarray or None, (M,)
        What the fit multiplied each gene by.

    Returns
    -------
    agreement : DataFrame
        One row a layer, columns to stand beside those of `neuralNMF.evidence.agreement`:

        - ``true_programs``: K. A layer of fewer programs is compared with those that it matches
        - ``cosine_mean``, ``cosine_least``: of matched programs, in the units of the counts
        - ``usage_correlation_mean``, ``usage_correlation_least``: of matched usages
    alike : DataFrame
        How alike each program of each layer is to each true one: ``layer``, ``program``,
        ``true_program``, ``cosine`` of the programs in the units of the counts, ``correlation`` of
        their usage, ``matched``: whether the one is taken for the other. True programs follow each
        other as they are numbered, found ones as their matches do; those without a match stand
        last.
    """
    scale = np.ones(beta.shape[1]) if gene_scale is None else gene_scale
    rows, parts = [], []
    for layer, (usage, found) in enumerate(zip(usages, betas, strict=True), start=1):
        alike = _alike(usage, found / scale, theta, beta)
        cosines = alike.loc[alike["matched"], "cosine"]
        correlations = matched_correlations(usage, theta)
        rows.append(
            {
                "true_programs": len(beta),
                "cosine_mean": cosines.mean(),
                "cosine_least": cosines.min(),
                "usage_correlation_mean": correlations.mean(),
                "usage_correlation_least": correlations.min(),
            }
        )
        alike.insert(0, "layer", layer)
        parts.append(alike)
    return pd.DataFrame(rows), pd.concat(parts, ignore_index=True)


def _alike(
    usage: np.ndarray, found: np.ndarray, theta: np.ndarray, beta: np.ndarray
) -> pd.DataFrame:
    """The programs of a layer beside the true ones: a row for each pair."""
    true = np.arange(len(beta))
    match, _ = match_by_genes(found, beta)
    order = np.lexsort((np.arange(len(found)), np.where(match < 0, len(beta), match)))
    units = [
        rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-30)
        for rows in (found[order], beta)
    ]
    correlations = unit_columns(usage[:, order]).T @ unit_columns(theta)
    return pd.DataFrame(
        {
            "program": np.repeat([f"P{k + 1}" for k in order], len(true)),
            "true_program": np.tile([f"T{k + 1}" for k in true], len(order)),
            "cosine": (units[0] @ units[1].T).ravel(),
            "correlation": correlations.ravel(),
            "matched": (match[order][:, None] == true).ravel(),
        }
    )
