"""Poisson kernels beside the least-squares ones, and KL-NMF beside scikit-learn's, in one run.

    python benchmarks/poisson_kernels.py passes --cells 200000 --threads 1
    python benchmarks/poisson_kernels.py klnmf ../shared/data/pbmc_facs.h5ad --threads 2

Times are processor seconds of this process where one thread is used (other work on the machine
changes them little) and wall seconds otherwise: the median of the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import scipy.sparse
import torch
from neuralNMF.poisson.counts import library_size, rows_counts, tensor_counts
from neuralNMF.poisson.klnmf import kl_nmf
from neuralNMF.products import rows_products


def seconds(function: Callable[[], object], threads: int, repeats: int = 5) -> float:
    clock = time.process_time if threads == 1 else time.perf_counter
    function()  # compiles, warms the caches
    taken = []
    for _ in range(repeats):
        before = clock()
        function()
        taken.append(clock() - before)
    return statistics.median(taken)


def sparse_counts(cells: int, genes: int, per_cell: int, seed: int = 0) -> scipy.sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(per_cell, cells)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = rng.integers(0, genes, indptr[-1], dtype=np.int32)
    data = rng.poisson(0.5, indptr[-1]).astype(np.float32) + 1
    matrix = scipy.sparse.csr_matrix((data, indices, indptr), shape=(cells, genes))
    matrix.sum_duplicates()
    return matrix


def passes(args: argparse.Namespace) -> None:
    matrix = sparse_counts(args.cells, args.genes, args.genes // 20)
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand((args.cells, args.rank), generator=generator) + 0.01
    loadings = torch.rand((args.genes, args.rank), generator=generator, dtype=torch.float64) + 0.01
    counts = rows_counts(matrix, threads=args.threads)
    plain = tensor_counts(matrix)
    products = rows_products(matrix, threads=args.threads)
    out = theta.numpy()
    narrow = loadings.float().numpy()
    transposed = matrix.T
    tasks = {
        "least squares: scipy X S and X' Theta": lambda: (matrix @ narrow, transposed @ out),
        "least squares: compiled X S and X' Theta": lambda: (
            products.times(loadings),
            products.transposed_times(theta),
        ),
        "Poisson: value": lambda: counts.rates(theta, loadings),
        "Poisson: value and both gradients": lambda: counts.rates(
            theta, loadings, rows=True, columns=True
        ),
        "Poisson: value and gradient by loadings": lambda: counts.rates(
            theta, loadings, columns=True
        ),
        "PMF: curvature along a direction": lambda: counts.curvature(theta, loadings, loadings),
        "PMF: k x k matrices of the adjoint": lambda: counts.hessian(theta, loadings),
        "Poisson: both gradients, torch gathers": lambda: plain.rates(
            theta, loadings, rows=True, columns=True
        ),
    }
    base = None
    print(f"{args.cells} x {args.genes}, {matrix.nnz} non-zeros, rank {args.rank}")
    for name, task in tasks.items():
        taken = seconds(task, args.threads, 3 if "torch" in name or "k x k" in name else 5)
        base = base or taken
        print(f"{name:42s} {taken:7.3f} s {taken / matrix.nnz * 1e9:6.1f} ns {taken / base:5.2f} x")


def variable_genes(path: Path, genes: int) -> scipy.sparse.csr_matrix:
    """Counts of the genes with the largest variance of Pearson residuals (overdispersion 100)."""
    import anndata

    counts = scipy.sparse.csr_matrix(anndata.read_h5ad(path).X, dtype=np.float64)
    cells = counts.shape[0]
    totals, sums = counts.sum(1).A1, counts.sum(0).A1
    columns, variance = counts.tocsc(), np.full(counts.shape[1], -1.0)
    for j in np.flatnonzero(np.diff(columns.indptr) >= 5):
        mean = totals * (sums[j] / totals.sum())
        residual = columns[:, [j]].toarray()[:, 0] - mean
        residual /= np.sqrt(mean + mean**2 / 100)
        variance[j] = np.clip(residual, -np.sqrt(cells), np.sqrt(cells)).var()
    chosen = np.sort(np.argsort(-variance, kind="stable")[:genes])
    return counts[:, chosen].astype(np.float32).tocsr()


def klnmf(args: argparse.Namespace) -> None:
    from sklearn.decomposition import NMF
    from threadpoolctl import threadpool_limits

    matrix = variable_genes(args.path, args.genes)
    counts = rows_counts(matrix, library_size(matrix.sum(1).A1), threads=args.threads)
    print(f"{matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} non-zeros")
    for rank in args.ranks:
        kl_nmf(counts, rank, generator=torch.Generator().manual_seed(0), passes=2)
        ours = []
        for seed in range(3):
            before = time.perf_counter()
            found = kl_nmf(counts, rank, generator=torch.Generator().manual_seed(seed))
            ours.append((found.deviance, time.perf_counter() - before, found.passes))
            print(f"rank {rank} seed {seed}: {ours[-1][0]:.0f} in {ours[-1][1]:.2f} s", end=" ")
            print(f"({found.passes} passes, {found.status.name})", flush=True)
        theirs = []
        for seed in range(3):
            model = NMF(
                rank,
                solver="mu",
                beta_loss="kullback-leibler",
                init="random",
                random_state=seed,
                max_iter=5000,
                tol=args.tol,
            )
            before = time.perf_counter()
            with threadpool_limits(args.threads):
                left = model.fit_transform(matrix)
            taken = time.perf_counter() - before
            theta = torch.from_numpy(left / counts.scale.numpy()[:, None]).float()
            loadings = torch.from_numpy(model.components_.T.astype(np.float64))
            log_sum = counts.rates(theta, loadings).log_sum
            theirs.append(
                (counts.deviance(log_sum, counts.rate_total(theta, loadings)), taken, model.n_iter_)
            )
            print(f"  scikit-learn start {seed}: {theirs[-1][0]:.0f} in {taken:.1f} s", end=" ")
            print(f"({model.n_iter_} iterations)", flush=True)
        best = min(value for value, _, _ in theirs)
        worst_ratio = max(value for value, _, _ in ours) / best
        speed = statistics.median(t for _, t, _ in theirs) / statistics.median(
            t for _, t, _ in ours
        )
        print(f"rank {rank}: deviance at most {worst_ratio:.4f} of scikit-learn's best of three,")
        print(f"  {speed:.1f} x as fast as one of its starts, {3 * speed:.0f} x as all three")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["passes", "klnmf"])
    parser.add_argument("path", type=Path, nargs="?", help="an .h5ad with counts, for klnmf")
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--rank", type=int, default=20)
    parser.add_argument("--ranks", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tol", type=float, default=1e-5, help="scikit-learn's tolerance")
    args = parser.parse_args()
    if args.what == "klnmf" and args.path is None:
        parser.error("klnmf needs the path of an .h5ad")
    torch.set_num_threads(args.threads)
    numba.set_num_threads(args.threads)
    {"passes": passes, "klnmf": klnmf}[args.what](args)


if __name__ == "__main__":
    main()
