"""What the search of the page knows of every gene: which programs it marks, or why it is out."""

from typing import Any

import numpy as np

from neuralNMF.report.pack import pack, pack_words
from neuralNMF.report.source import Source

BEST = 3  # programs of a layer that a gene is found in


def genes_of(source: Source) -> dict[str, Any]:
    """Names of the genes and, a layer each, the programs that each marks best with its rank there.

    ``programs`` and ``ranks`` are packed uint16, for every gene `BEST` after each other: the
    program from 1 on and the gene's place among its markers; 0 where there are no more. Genes that
    are not in the data set stand in ``dropped`` by the reason.
    """
    layers = []
    for beta, evidence in zip(source.betas, source.evidence, strict=True):
        ranks = marker_ranks(beta, evidence.markers.scores, evidence.markers.log2_ratios)
        order = np.argsort(ranks, axis=0, kind="stable")[:BEST].T  # (M, BEST or fewer)
        found = np.take_along_axis(ranks.T, order, axis=1)
        there = found <= beta.shape[1]
        programs = np.zeros((beta.shape[1], BEST), dtype=np.uint16)
        places = np.zeros((beta.shape[1], BEST), dtype=np.uint16)
        programs[:, : order.shape[1]] = np.where(there, order + 1, 0)
        places[:, : order.shape[1]] = np.where(there, np.minimum(found, 65_535), 0)
        layers.append({"programs": pack(programs), "ranks": pack(places)})
    gone = source.genes[source.genes["dropped"].fillna("") != ""]
    reasons = list(gone["dropped"].unique())
    return {
        "best": BEST,
        "names": pack_words([str(symbol) for symbol in source.symbols]),
        "layers": layers,
        "dropped": {
            str(reason): pack_words(list(gone.loc[gone["dropped"] == reason, "symbol"].astype(str)))
            for reason in reasons
        },
    }


def marker_ranks(beta: np.ndarray, scores: np.ndarray, log2_ratios: np.ndarray) -> np.ndarray:
    """The place of each gene among each program's markers, (k, M) from 1; M + 1 where it is none.

    A marker is what `neuralNMF.evidence.markers.top_markers` would list.
    """
    none = beta.shape[1] + 1
    ranks = np.full(beta.shape, none, dtype=np.int64)
    for program, (loadings, ratios) in enumerate(zip(beta, log2_ratios, strict=True)):
        genes = np.flatnonzero((loadings > 0) & (ratios >= 0))
        order = genes[np.argsort(-scores[program, genes], kind="stable")]
        ranks[program, order] = np.arange(1, len(order) + 1)
    return ranks
