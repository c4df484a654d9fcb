"""KL-NMF of the blood cells (depth 1) beside scikit-learn's and poismf's: deviance and seconds.

All get the same counts and threads and take turns; one function tells the deviance of each. poismf
runs unregularised and in double precision: by conjugate gradients, for its default number of
iterations and for more, and by warm-started truncated Newton steps. (Its proximal gradients
diverge without regularisation.) `pmf` lowers another function and is there for information.
"""

import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from neuralNMF.cells.counts import Counts, rows_counts
from neuralNMF.io.dataset import Dataset
from poismf import PoisMF
from sklearn.decomposition import NMF
from threadpoolctl import threadpool_limits

from benchmarks.common import fit_layers, on_blood_cells, timed

RANKS = (10, 20)
SEEDS = 3
# Usage (N, k), programs (k, M) whose product are the rates, iterations.
Found = tuple[np.ndarray, np.ndarray, int]


def ours(dataset: Dataset, beta: str, rank: int, seed: int, **keys) -> Found:
    model = fit_layers(dataset, (rank,), beta=beta, loss="poisson", seed=seed, **keys)
    library = 1 / model.obs["cell_scale"].to_numpy()
    return model.usages[0] * library[:, None], model.betas[0], len(model.history)


def scikit_learn(counts: sp.csr_matrix, rank: int, seed: int) -> Found:
    model = NMF(
        rank,
        init="random",
        solver="mu",
        beta_loss="kullback-leibler",
        tol=1e-5,
        max_iter=5000,
        random_state=seed,
    )
    with threadpool_limits(torch.get_num_threads()):
        usage = model.fit_transform(counts)
    return usage, model.components_, model.n_iter_


def poismf(counts: sp.csr_matrix, rank: int, seed: int, *, niter: int, **keys) -> Found:
    model = PoisMF(
        rank,
        niter=niter,
        l1_reg=0.0,
        l2_reg=0.0,
        use_float=False,
        random_state=seed,
        nthreads=torch.get_num_threads(),
        **keys,
    )
    model.fit(counts.tocoo())
    return model.A, model.B.T, niter


def row(fit: Callable[[int, int], Found], rank: int, seed: int, counts: Counts) -> dict:
    """A fit's deviance and seconds."""
    (usage, programs, iterations), seconds = timed(partial(fit, rank, seed))
    theta, programs_t = (
        torch.from_numpy(np.ascontiguousarray(factor, dtype=np.float64))
        for factor in (usage, programs.T)
    )
    log_sum = counts.rates(theta, programs_t).log_sum
    deviance = counts.deviance(log_sum, counts.rate_total(theta, programs_t))
    return {"deviance": deviance, "seconds": seconds, "iterations": iterations}


def beside(own: list[dict], theirs: list[dict]) -> dict:
    seconds = statistics.median(run["seconds"] for run in own)
    starts = [run["seconds"] for run in theirs]
    worst, best = max(run["deviance"] for run in own), min(run["deviance"] for run in theirs)
    return {
        "our_worst_deviance_over_their_best": worst / best,
        "their_median_seconds_over_ours": statistics.median(starts) / seconds,
        "their_starts_seconds_over_ours": sum(starts) / seconds,
    }


def measure(dataset: Dataset, ranks: tuple[int, ...] = RANKS, seeds: int = SEEDS) -> dict:
    matrix = dataset.rows(0, dataset.shape[0]).copy()
    counts = rows_counts(matrix.astype(np.float64), dtype=torch.float64)
    learned, pmf = (partial(ours, dataset, beta) for beta in ("learned", "pmf"))
    peers = {
        "scikit-learn": partial(scikit_learn, matrix),
        "poismf, cg, 30 iterations": partial(poismf, matrix, method="cg", niter=30),
        "poismf, cg, 100 iterations": partial(poismf, matrix, method="cg", niter=100),
        "poismf, tncg, 100 iterations": partial(
            poismf, matrix, method="tncg", niter=100, reuse_prev=True, early_stop=False
        ),
    }
    for fit in (learned, pmf):
        fit(2, 0, epochs=1)  # compiles
    figures: dict = {"threads": torch.get_num_threads(), "nonzeros": int(matrix.nnz)}
    for rank in ranks:
        runs: dict[str, list[dict]] = {}
        for seed in range(seeds):
            for name, fit in {"ours": learned, **peers}.items():
                runs.setdefault(name, []).append(row(fit, rank, seed, counts))
        figures[f"rank_{rank}"] = {
            "runs": {**runs, "ours, pmf": [row(pmf, rank, 0, counts)]},
            "beside": {name: beside(runs["ours"], runs[name]) for name in peers},
        }
    return figures


if __name__ == "__main__":
    on_blood_cells("klnmf", measure)
