"""How well the layers agree with the programs that simulated counts were drawn from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.evidence.matching import match_by_genes, matched_correlations


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
