"""How well the layers agree with the programs that simulated counts were drawn from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.evidence.matching import match_by_genes, matched_correlations, unit_columns


def truth_agreement(
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    theta: np.ndarray,
    beta: np.ndarray,
    *,
    gene_scale: np.ndarray | None = None,
) -> pd.DataFrame:
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
    DataFrame
        One row a layer, columns to stand beside those of `neuralNMF.evidence.agreement`:

        - ``true_programs``: K. A layer of fewer programs is compared with those that it matches
        - ``cosine_mean``, ``cosine_least``: of matched programs, in the units of the counts
        - ``usage_correlation_mean``, ``usage_correlation_least``: of matched usages
    """
    scale = np.ones(beta.shape[1]) if gene_scale is None else gene_scale
    rows = []
    for usage, found in zip(usages, betas, strict=True):
        cosines = match_by_genes(found / scale, beta)[1]
        correlations = matched_correlations(usage, theta)
        rows.append(
            {
                "true_programs": len(beta),
                "cosine_mean": np.nanmean(cosines),
                "cosine_least": np.nanmin(cosines),
                "usage_correlation_mean": correlations.mean(),
                "usage_correlation_least": correlations.min(),
            }
        )
    return pd.DataFrame(rows)


def truth_table(
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    theta: np.ndarray,
    beta: np.ndarray,
    *,
    gene_scale: np.ndarray | None = None,
) -> pd.DataFrame:
    """How alike each program of each layer is to each true one; arguments as above.

    Returns
    -------
    DataFrame
        ``layer``, ``program``, ``true_program``, ``cosine`` of the programs in the units of the
        counts, ``correlation`` of their usage, ``matched``: whether the one is taken for the other.
        True programs follow each other as they are numbered, found ones as their matches do; those
        without a match stand last.
    """
    scale = np.ones(beta.shape[1]) if gene_scale is None else gene_scale
    true = np.arange(len(beta))
    parts = []
    for layer, (usage, found) in enumerate(zip(usages, betas, strict=True), start=1):
        match, _ = match_by_genes(found / scale, beta)
        order = np.lexsort((np.arange(len(found)), np.where(match < 0, len(beta), match)))
        units = [
            rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-30)
            for rows in (found[order] / scale, beta)
        ]
        correlations = unit_columns(usage[:, order]).T @ unit_columns(theta)
        parts.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "program": np.repeat([f"P{k + 1}" for k in order], len(true)),
                    "true_program": np.tile([f"T{k + 1}" for k in true], len(order)),
                    "cosine": (units[0] @ units[1].T).ravel(),
                    "correlation": correlations.ravel(),
                    "matched": (match[order][:, None] == true).ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
