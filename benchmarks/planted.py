"""Sparse counts of any size with planted programs in two levels, for benchmarks and tests.

Each fine program spreads its counts over genes that all fine programs of its coarse program share
and over genes of its own. A cell uses one coarse program: a Dirichlet mixture of its fine ones,
and a small background of all fine programs alike. So the expected counts have rank ``fine``
exactly, and a coarse program is the mean of its fine ones, weighted by their use.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.dataset_writer import DatasetWriter
from tqdm import tqdm

TABLE = 1 << 16  # entries of a program's table: one 16-bit draw is one gene
SHARED = 0.6  # of a fine program's counts on the genes of its coarse program
FLOOR = 0.02  # of a fine program's counts on all genes alike
DIRICHLET = 0.3  # below 1: many cells are almost pure in one fine program
DISPERSION = 10.0  # shape of the Gamma of the cells' total counts


@dataclass(frozen=True)
class Hierarchy:
    """The truth: rows of both program matrices sum to 1.

    Attributes:
        fine: (K1, M) float64.
        coarse: (K2, M) float64, means of the fine ones weighted by the counts they made.
        parent: (K1,) int, the coarse program of each fine one.
        cell_coarse: (N,) int16, the coarse program that each cell uses.
        mean_total: expected counts of a cell.
    """

    fine: np.ndarray
    coarse: np.ndarray
    parent: np.ndarray
    cell_coarse: np.ndarray
    mean_total: float


@dataclass(frozen=True)
class Planted:
    """What cells are drawn from.

    Attributes:
        parent: (K1,) int, the coarse program of each fine one.
        tables: (K1, TABLE) int32, the gene of each 16-bit draw.
        programs: (K1, M) float64, the fine programs.
        mean_total: expected counts of a cell.
        background: share of a cell's counts from all fine programs alike.
    """

    parent: np.ndarray
    tables: np.ndarray
    programs: np.ndarray
    mean_total: float
    background: float


def plant(
    genes: int,
    fine: int = 20,
    coarse: int = 10,
    *,
    rng: np.random.Generator,
    density: float = 0.05,
    background: float = 0.05,
) -> Planted:
    """Draw the programs of `simulate_hierarchy`, whose parameters these are."""
    if not 2 <= coarse <= fine // 2 or genes < 4 * fine:
        raise InputError(
            f"{fine} fine programs in {coarse} coarse ones do not fit {genes} genes: ask for "
            "2 <= coarse <= fine / 2, genes >= 4 x fine."
        )
    if not 0 < density < 1 or not 0 <= background < 1:
        raise InputError(
            f"density {density} or background {background} is out of range: give shares below 1."
        )
    parent = np.sort(np.arange(fine) % coarse)
    tables = _draw_tables(genes, parent, rng)
    programs = np.stack([np.bincount(t, minlength=genes) for t in tables]) / TABLE
    mean_total = _total_for_density(programs, parent, density, background, rng)
    return Planted(parent, tables, programs, mean_total, background)


def simulate_hierarchy(
    path: str | Path,
    cells: int,
    genes: int,
    fine: int = 20,
    coarse: int = 10,
    *,
    rng: np.random.Generator,
    density: float = 0.05,
    background: float = 0.05,
    truth_path: str | Path | None = None,
    chunk_cells: int = 20_000,
    progress: bool = False,
) -> Hierarchy:
    """Write a data set of ``cells`` x ``genes`` and its truth; memory grows with the cells' tables.

    Args:
        path: of the data set (``dataset.h5ad``).
        cells: number of cells.
        genes: number of genes, at least four a fine program.
        fine: number of fine programs, at least two a coarse one on average.
        coarse: number of coarse programs, at least two.
        rng: draws everything. The same state and ``chunk_cells`` give the same bytes.
        density: expected share of non-zero counts, (0, 1).
        background: share of a cell's counts from all fine programs alike, [0, 1).
        truth_path: of the truth; by default ``{stem}_truth.npz`` beside the data set.
        chunk_cells: cells drawn at once, about 3 KB each at 100 non-zeros a cell.
        progress: show a progress bar.

    Raises InputError where the sizes do not fit or the density cannot be reached.
    """
    planted = plant(genes, fine, coarse, rng=rng, density=density, background=background)
    truth_path = Path(truth_path or Path(path).with_name(f"{Path(path).stem}_truth.npz"))
    notes = {"simulated": {"fine": fine, "coarse": coarse, "density": density}}
    return draw(
        Path(path), planted, range(cells), notes, truth_path, rng, chunk_cells, progress=progress
    )


def draw(
    path: Path,
    planted: Planted,
    numbers: range,
    notes: dict,
    truth_path: Path,
    rng: np.random.Generator,
    chunk_cells: int = 20_000,
    *,
    progress: bool = False,
) -> Hierarchy:
    """Write a data set of cells with these numbers, and its truth."""
    parent, programs, mean_total = planted.parent, planted.programs, planted.mean_total
    fine, genes = programs.shape
    coarse, cells = int(parent[-1]) + 1, len(numbers)
    if cells < 1:
        raise InputError("There are no cells to be drawn: ask for one at least.")
    chunk_cells = min(chunk_cells, np.iinfo(np.int32).max // genes)
    sampler = _Sampler(
        planted.tables, parent, genes, planted.background, mean_total, np.zeros(fine)
    )
    cell_coarse, totals = [], []
    sums, squares, n_cells = np.zeros(genes), np.zeros(genes), np.zeros(genes, np.int64)
    with (
        DatasetWriter(path, genes) as writer,
        tqdm(total=cells, unit="cell", disable=not progress, desc="simulate") as bar,
    ):
        for start in range(0, cells, chunk_cells):
            n = min(chunk_cells, cells - start)
            kinds, cumulative = _draw_cells(n, parent, rng)
            counts = sampler.draw(kinds, cumulative, rng)
            writer.append(counts)
            cell_coarse.append(kinds)
            totals.append(np.asarray(counts.sum(axis=1)).ravel())
            sums += np.bincount(counts.indices, counts.data, genes)
            squares += np.bincount(counts.indices, counts.data.astype(np.float64) ** 2, genes)
            n_cells += np.bincount(counts.indices, minlength=genes)
            bar.update(n)
        truth = Hierarchy(
            fine=programs,
            coarse=_weighted_means(programs, sampler.made, parent),
            parent=parent,
            cell_coarse=np.concatenate(cell_coarse),
            mean_total=mean_total,
        )
        total = np.concatenate(totals)
        writer.finish(
            _obs(total, truth.cell_coarse, coarse, numbers),
            _var(sums / cells, squares / cells, n_cells),
            notes,
        )
    with atomic_path(truth_path) as temporary:
        np.savez_compressed(temporary, **vars(truth))
    return truth


def _draw_tables(genes: int, parent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K1, TABLE) int32: gene of each 16-bit draw, so that a draw costs one look-up.

    The tables are the truth: programs are rounded to multiples of 1 / TABLE before drawing.
    """
    tables = np.empty((parent.size, TABLE), dtype=np.int32)
    blocks = np.array_split(np.arange(genes), parent[-1] + 1)
    for c, block in enumerate(blocks):
        children = np.flatnonzero(parent == c)
        shared, own = block[: block.size // 2], block[block.size // 2 :]
        common = np.zeros(genes)
        common[shared] = rng.gamma(2.0, 1.0, size=shared.size)
        for k, mine in zip(children, np.array_split(own, children.size), strict=True):
            special = np.zeros(genes)
            special[mine] = rng.gamma(2.0, 1.0, size=mine.size)
            program = (
                SHARED * common / common.sum()
                + (1 - SHARED - FLOOR) * special / special.sum()
                + FLOOR / genes
            )
            edges = np.rint(np.cumsum(program) * TABLE).astype(np.int64)
            tables[k] = np.repeat(np.arange(genes), np.diff(edges, prepend=0))
    return tables


def _draw_cells(
    n: int, parent: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Coarse program of each cell (n,), and its cumulative shares of the fine ones (n, F)."""
    sizes = np.bincount(parent)
    kinds = rng.integers(sizes.size, size=n, dtype=np.int16)
    weights = rng.gamma(DIRICHLET, 1.0, size=(n, sizes.max())) + 1e-12
    weights[np.arange(sizes.max()) >= sizes[kinds][:, None]] = 0.0  # fewer fine ones than F
    cumulative = np.cumsum(weights, axis=1)
    return kinds, cumulative / cumulative[:, -1:]


@dataclass
class _Sampler:
    """Draws the molecules of cells; ``made`` (K1,) counts them per fine program."""

    tables: np.ndarray
    parent: np.ndarray
    genes: int
    background: float
    mean_total: float
    made: np.ndarray

    def draw(
        self, kinds: np.ndarray, cumulative: np.ndarray, rng: np.random.Generator
    ) -> sp.csr_matrix:
        """Counts (n, M) of cells of the coarse programs ``kinds`` (n,).

        Every cell has a molecule at least, since a data set holds no empty cell.
        """
        n = kinds.size
        size = rng.gamma(DISPERSION, self.mean_total / DISPERSION, size=n)
        molecules = np.maximum(rng.poisson(size), 1)
        cell = np.repeat(np.arange(n, dtype=np.int32), molecules)
        first_child = np.searchsorted(self.parent, np.arange(self.parent[-1] + 1))
        program = first_child[kinds].astype(np.int16)[cell]
        share = rng.random(cell.size, dtype=np.float32)
        for edge in cumulative[:, :-1].astype(np.float32).T:
            program += share >= edge[cell]
        anywhere = np.flatnonzero(rng.random(cell.size, dtype=np.float32) < self.background)
        program[anywhere] = rng.integers(self.parent.size, size=anywhere.size, dtype=np.int16)
        self.made += np.bincount(program, minlength=self.parent.size)
        gene = self.tables[program, rng.integers(TABLE, size=cell.size, dtype=np.uint16)]
        return _count(cell * np.int32(self.genes) + gene, n, self.genes)


def _count(keys: np.ndarray, n: int, genes: int) -> sp.csr_matrix:
    """Counts (n, M) from one key cell * M + gene a molecule."""
    keys.sort()
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    data = np.diff(starts, append=keys.size).astype(np.float32)
    cell, gene = np.divmod(keys[starts], np.int32(genes))
    indptr = np.searchsorted(cell, np.arange(n + 1, dtype=np.int32)).astype(np.int32)
    counts = sp.csr_matrix((data, gene, indptr), shape=(n, genes))
    counts.has_canonical_format = True
    return counts


def _total_for_density(
    programs: np.ndarray,
    parent: np.ndarray,
    density: float,
    background: float,
    rng: np.random.Generator,
) -> float:
    """Mean molecules a cell at which the expected share of non-zeros is ``density``.

    Bisection on the expectation over 500 cells: mean of 1 - exp(-total q), q the cell's profile.
    """
    kinds, cumulative = _draw_cells(500, parent, rng)
    weights = np.diff(cumulative, axis=1, prepend=0.0)
    usage = np.full((kinds.size, parent.size), background / parent.size)
    for cell, kind in enumerate(kinds):
        children = np.flatnonzero(parent == kind)
        usage[cell, children] += (1 - background) * weights[cell, : children.size]
    size = rng.gamma(DISPERSION, 1 / DISPERSION, size=(kinds.size, 1))
    profile = size * (usage @ programs)

    def reached(total: float) -> float:
        return float(-np.expm1(-total * profile).mean())

    low, high = 0.0, float(TABLE)
    if reached(high) < density:
        raise InputError(
            f"A density of {density} needs over {TABLE} counts a cell: ask for a lower density "
            "or a higher background."
        )
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < density else (low, middle)
    return high


def _weighted_means(programs: np.ndarray, made: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """(K2, M): mean of the fine programs of each coarse one, weighted by their molecules."""
    shares = np.zeros((parent[-1] + 1, parent.size))
    shares[parent, np.arange(parent.size)] = np.maximum(made, 1e-12)
    return shares / shares.sum(axis=1, keepdims=True) @ programs


def _obs(total: np.ndarray, kinds: np.ndarray, coarse: int, numbers: range) -> pd.DataFrame:
    cells = total.size
    return pd.DataFrame(
        {
            "dataset": pd.Categorical.from_codes(np.zeros(cells, np.int8), ["simulated"]),
            "total_counts": total,
            "selected_counts": total,
            "coarse": pd.Categorical.from_codes(kinds, [f"coarse{c}" for c in range(coarse)]),
        },
        index=np.char.add("cell", np.array(numbers).astype(str)).astype(object),
    )


def _var(mean: np.ndarray, mean_square: np.ndarray, n_cells: np.ndarray) -> pd.DataFrame:
    names = np.array([f"gene{j}" for j in range(mean.size)], dtype=object)
    return pd.DataFrame(
        {
            "gene_id": names,
            "symbol": names,
            "mean": mean,
            "variance": np.maximum(mean_square - mean**2, 0.0),
            "n_cells": n_cells,
            "variable_score": np.nan,
            "selected": pd.Categorical(["all"] * mean.size),
        },
        index=names,
    )
