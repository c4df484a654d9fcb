"""Marker score: which genes tell a program from the other programs of its layer.

The relevance of Sievert & Shirley for words of a topic, with the layer's other programs in the
place of the corpus. Of the published scores that were measured on blood cells, lymph node and
lung it finds known markers most often (docs/method.md has the table).
"""

from dataclasses import dataclass

import numpy as np

# How much the loading itself weighs in the score, beside its ratio to the other programs.
LOADING_WEIGHT = 0.2
# Both sides of the ratio are raised by this many counts of the gene and this part of an average
# gene's loading: three counts to none are not an infinite ratio.
FLOOR_COUNTS = 1.0
FLOOR_SHARE = 0.1


@dataclass(frozen=True)
class Markers:
    """How well each gene marks each program of a layer.

    Attributes
    ----------
    scores : ndarray of float64, (k, M)
        Higher marks better; comparable within a program only. The row of a dead program is 0.
    log2_ratios : ndarray of float64, (k, M)
        log2 of the gene's share of the program's expression over its share of that of all other
        programs together; above 0 where the program has more of it. 0 where there are no others.
    """

    scores: np.ndarray
    log2_ratios: np.ndarray


def marker_scores(
    beta: np.ndarray, usage_totals: np.ndarray, gene_scale: np.ndarray | None = None
) -> Markers:
    """Score the genes of all programs of a layer.

    With b_kj the share of gene j in the expression of program k, p_kj its share in that of all
    other programs together (each weighted by how much the cells express of it), and e_k the floor,

        score_kj = w log(b_kj + e_k) + (1 - w) log((b_kj + e_k) / (p_kj + e_k)),  w = 0.2,
        e_k = 1 / m_k + 0.1 / M,

    m_k the expression of program k summed over all cells, in counts at the median library size (or
    in their transform). Weights make a program that lives in three cells no one's rival.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs as saved: rows sum to 1 in the units of the fit.
    usage_totals : ndarray, (k,)
        Usage of each program summed over the cells, in the units of the fit.
    gene_scale : ndarray or None, (M,)
        What the fit multiplied each gene by; None where by nothing. Scores are taken before it: a
        rare gene that the fit enlarged is still a rare gene.

    Returns
    -------
    Markers
        New arrays of (k, M).

    References
    ----------
    Sievert, C. & Shirley, K. E. (2014). LDAvis: A method for visualizing and interpreting topics.
    Proceedings of the Workshop on Interactive Language Learning, Visualization, and Interfaces,
    63-70.
    """
    shares = unscaled(beta, gene_scale)
    sums = shares.sum(axis=1)
    shares = np.divide(shares, sums[:, None], out=np.zeros_like(shares), where=sums[:, None] > 0)
    totals = np.where(sums > 0, usage_totals, 0.0) * sums

    expressed = totals[:, None] * shares
    rest = totals.sum() - totals
    alone = rest <= 1e-12 * totals.sum()
    others = (
        np.clip(expressed.sum(axis=0) - expressed, 0.0, None) / np.where(alone, 1.0, rest)[:, None]
    )
    others = np.where(alone[:, None], shares, others)

    tiny = np.finfo(np.float64).tiny
    floor = (FLOOR_COUNTS / np.maximum(totals, tiny) + FLOOR_SHARE / beta.shape[1])[:, None]
    logs = np.log(shares + floor)
    ratios = logs - np.log(others + floor)
    scores = LOADING_WEIGHT * logs + (1 - LOADING_WEIGHT) * ratios
    live = (totals > 0)[:, None]
    return Markers(np.where(live, scores, 0.0), np.where(live, ratios / np.log(2.0), 0.0))


def unscaled(beta: np.ndarray, gene_scale: np.ndarray | None) -> np.ndarray:
    """Programs (k, M) before the genes' factors, in double precision."""
    programs = np.asarray(beta, dtype=np.float64)
    return programs if gene_scale is None else programs / gene_scale


def expression_shares(
    beta: np.ndarray, usage_totals: np.ndarray, gene_scale: np.ndarray | None = None
) -> np.ndarray:
    """Each program's part of all that the cells express by the layer, (k,); arguments as above."""
    totals = usage_totals * unscaled(beta, gene_scale).sum(axis=1)
    return totals / totals.sum()


def top_markers(beta: np.ndarray, markers: Markers, top_n: int) -> list[np.ndarray]:
    """Find the genes that mark each program best.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs.
    markers : Markers
        Their scores.
    top_n : int
        At least 1, genes a program.

    Returns
    -------
    list of ndarray of int
        Columns of each program's genes, the best first; of two that are equal the earlier gene.
        Genes that the program has not, or less of than the others, are never listed: a dead
        program has none.
    """
    lists = []
    for loadings, scores, ratios in zip(beta, markers.scores, markers.log2_ratios, strict=True):
        candidates = np.flatnonzero((loadings > 0) & (ratios >= 0))
        order = np.argsort(-scores[candidates], kind="stable")[:top_n]
        lists.append(candidates[order])
    return lists
