"""Positions beyond 2^31: in files that say they are so large, with little in them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import same_matrix
from neuralNMF.cells.place import Place
from neuralNMF.cells.rows import RowsBlock
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products
from neuralNMF.cells.sums import BlockSums, block_borders
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.dataset_door import write_door
from neuralNMF.threads import SERIAL

LIMIT = 1 << 31
GENES = 50


def few(cells: int, genes: int = GENES, density: float = 0.4) -> sp.csr_matrix:
    counts = sp.random(cells, genes, density, format="csr", random_state=np.random.default_rng(0))
    counts.data = np.ceil(9 * counts.data).astype(np.float32)
    counts.sort_indices()
    return counts


@pytest.fixture(scope="module")
def sparse_file(tmp_path_factory) -> tuple[Path, sp.csr_matrix]:
    """A first cell up to just before 2^31 non-zeros, a hole in the file; then others, written."""
    path, last = tmp_path_factory.mktemp("large") / "large.h5ad", few(9)
    write_dataset(path, sp.vstack([sp.csr_matrix(np.ones((1, GENES), np.float32)), last]))
    hole = LIMIT - 30
    with h5py.File(path, "r+") as file:
        group = file["X"]
        for name, values in (("data", last.data), ("indices", last.indices)):
            kind = group[name].dtype
            del group[name]
            array = group.create_dataset(name, (hole + last.nnz,), kind)
            array[hole:] = values
        del group["indptr"]
        group["indptr"] = np.concatenate([[0], hole + last.indptr.astype(np.int64)])
    assert path.stat().st_blocks * 512 < 1 << 24 < path.stat().st_size
    return path, last


def test_an_input_and_a_data_set(sparse_file):
    path, last = sparse_file
    assert LIMIT - 30 < LIMIT < LIMIT - 30 + int(last.indptr[3])  # within the third cell or before
    with open_counts(path) as reader:
        assert same_matrix(reader.read(1, 10), last)
        assert same_matrix(reader.read(4, 5), last[3:4])
    data = open_dataset(path)
    assert data.nnz == LIMIT - 30 + last.nnz
    assert same_matrix(data.rows(1, 10), last)
    assert same_matrix(data.rows(4, 5), last[3:4])
    some = open_dataset(path, lambda indptr, genes: (3, 10))
    assert same_matrix(sp.csr_matrix(some.rows(0, 7)), last[2:])
    for read, mapped in zip(some.read(), some.map(), strict=True):
        assert np.array_equal(read, mapped) and read.size == some.nnz


def test_loops_over_one_block(sparse_file):
    """All loops on the cells behind the hole: positions in their own arrays are beyond 2^31."""
    path, last = sparse_file
    with h5py.File(path) as file:
        offsets = [file["X"][name].id.get_offset() for name in ("indices", "data")]
        indptr = file["X/indptr"][:]
    size = (int(indptr[-1]),)
    kinds = zip((np.int32, np.float32), offsets, strict=True)
    arrays = [np.memmap(path, kind, "r", offset, size) for kind, offset in kinds]
    scale, rng = np.linspace(0.5, 2, 10), np.random.default_rng(0)

    def block(ends, indices, data, factors, borders) -> RowsBlock:
        return RowsBlock(ends, indices, data, factors, GENES, borders, SERIAL, BlockSums(SERIAL))

    # The loops are asked for the cells behind the hole alone.
    large = block(indptr, *arrays, scale, np.array([1, 10]))
    ends = last.indptr.astype(np.int64)
    small = block(ends, last.indices, last.data, scale[1:], np.array([0, 9]))
    theta = torch.from_numpy(rng.gamma(1, size=(10, 3)).astype(np.float32))
    right, along = (torch.from_numpy(rng.gamma(1, size=(GENES, 3))) for _ in range(2))
    found = [sums(large, theta, right, along), sums(small, theta[1:].clone(), right, along)]
    for here, there in zip(*found, strict=True):
        here = here[1:] if len(here) == 10 else here
        assert torch.equal(here, there) and there.abs().sum() > 0


def sums(block: RowsBlock, theta, right, along) -> list[torch.Tensor]:
    """What each loop gives."""
    times, by_theta, by_theta_too = (torch.zeros_like(theta) for _ in range(3))
    by_genes, by_programs, curvature, hessian = (torch.zeros_like(right) for _ in range(4))
    hessian = torch.zeros((GENES, 6), dtype=torch.float64)
    log_sum = np.zeros(())
    block.times(right, times)
    block.add_transposed_times(theta, by_genes)
    block.rates(theta, right, 1e-10, log_sum, by_theta, by_programs)
    block.curvature(theta, right, along, 1e-10, by_theta_too, curvature)
    block.hessian(theta, right, 1e-10, hessian)
    total = torch.tensor([float(log_sum)])
    return [times, by_genes, total, by_theta, by_programs, by_theta_too, curvature, hessian]


def test_parts_repeated_beyond_the_limit(tmp_path):
    """A data set whose parts are one and the same file, as often as it takes."""
    cells, genes = 1024, 9000
    counts = few(cells, genes, 0.46)
    part = tmp_path / "dataset" / "part-0.h5ad"
    write_dataset(part, counts)
    one = open_dataset(part)
    times = LIMIT // counts.nnz + 3
    obs = one.obs.iloc[np.tile(np.arange(cells), times)]
    write_door(tmp_path / "dataset.h5ad", [part] * times, obs, one.var, {})
    last = cells * (times - 1)

    many = open_dataset(tmp_path / "dataset.h5ad", lambda indptr, _: (last - 700, last + 900))
    assert many.indptr[0] > LIMIT and many.indptr.dtype == np.int64
    assert many.all_nonzeros == times * counts.nnz
    repeated = sp.vstack([counts[cells - 700 :], counts[:900]], "csr")
    assert same_matrix(sp.csr_matrix(many.rows(0, 1600)), repeated)
    for read, mapped in zip(many.read(), many.map(), strict=True):
        assert np.array_equal(read, mapped)
    borders = block_borders(many.share.indptr, genes)
    assert borders[0] == 0 and borders[-1] == cells * times and (np.diff(borders) > 0).all()
    work = np.diff(many.share.indptr[borders])
    assert (work > 0).all() and work.max() < 3 * work.mean()
    # Streamed as by one of several processes, whose cells are a whole block.
    first = int(borders[-2])
    own = open_dataset(many.path, lambda *_: (first, cells * times))
    theta = torch.rand((own.shape[0], 2), generator=torch.Generator().manual_seed(0))
    products = dataset_products(own, fit_scaling(own, "counts", "none"), Place(), 100)
    rows = (first + np.arange(own.shape[0])) % cells
    usage = np.stack([np.bincount(rows, column, cells) for column in theta.numpy().T], axis=1)
    cross = products.sums(theta).cross.numpy()
    np.testing.assert_allclose(cross, counts.T.astype(float) @ usage, rtol=1e-5)
    squares = np.asarray(counts.multiply(counts).sum(axis=1, dtype=float)).ravel()
    assert products.square_sum == pytest.approx(squares[rows].sum(), rel=1e-12)
    with h5py.File(tmp_path / "dataset.h5ad") as file:  # as AnnData sees it
        begin = int(many.indptr[0])
        assert np.array_equal(file["X/data"][begin : begin + 500], many.part(begin, begin + 500)[1])
