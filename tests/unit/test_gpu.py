"""The cells' side of a fit on a CUDA device: the numbers of the host, and the same bytes again."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.block import Move
from neuralNMF.cells.counts import rows_counts
from neuralNMF.cells.place import Place
from neuralNMF.cells.products import Products
from neuralNMF.cells.sums import block_borders
from neuralNMF.fit import fit_layer
from neuralNMF.options import LayerOptions
from neuralNMF.solvers.descent import descend
from neuralNMF.solvers.gram import cross_gram, gram, times_small

from tests.unit.test_fit import make

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
]

CELLS, GENES = 300, 90
TYPES = [(torch.float32, 2e-5), (torch.float64, 1e-11)]
RANKS = [2, 5, 20, 33]


def matrix(seed: int = 0) -> sp.csr_matrix:
    """Skewed counts with a cell and a gene that are empty, and a gene of several pieces."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.4, 1.5, (CELLS, GENES)))
    counts[17], counts[:, 5], counts[:, 7] = 0, 0, 3
    return sp.csr_matrix(counts.astype(np.float32))


def products_on(device: str, x: sp.csr_matrix, dtype: torch.dtype, *, dense: bool) -> Products:
    place = Place(device, dtype)
    rng = np.random.default_rng(1)
    cells, genes = rng.uniform(0.5, 2, x.shape[0]), rng.uniform(0.5, 2, x.shape[1])
    indptr = x.indptr.astype(np.int64)
    make_block = place.dense if dense else place.rows
    borders = block_borders(indptr, x.shape[1], dense=dense)
    block = make_block(indptr, x.indices, x.data, cells, x.shape[1], borders)
    return Products(lambda: [(0, x.shape[0], block)], x.shape, genes, place)


def near(found: torch.Tensor, expected: torch.Tensor, tol: float) -> None:
    scale = expected.abs().max().item()
    np.testing.assert_allclose(found.cpu().double(), expected.double(), rtol=0, atol=tol * scale)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("dtype", "tol"), TYPES)
def test_products_are_those_of_the_host(monkeypatch, dtype, tol, rank, dense):
    if not dense:
        monkeypatch.setattr("neuralNMF.cells.gpu_rows._PIECE", 64)
    x = matrix()
    host = products_on("cpu", x, torch.float64, dense=False)
    there = products_on("cuda", x, dtype, dense=dense)
    assert there.square_sum == pytest.approx(host.square_sum, rel=1e-6)
    generator = torch.Generator().manual_seed(0)
    right = torch.rand((GENES, rank), generator=generator, dtype=torch.float64)
    left = torch.rand((CELLS, rank), generator=generator, dtype=torch.float64)
    near(there.times(right), host.times(right), tol)
    on_device = left.to("cuda", dtype)
    near(there.transposed_times(on_device), host.transposed_times(left), tol)
    assert there.transposed_times(on_device).equal(there.transposed_times(on_device))
    curvature = right.T @ right
    move = Move(right, -0.2 * curvature, curvature, 0.4, 3)
    for last in (None, left.flip(0)):
        expected = host.move(move, left, None if last is None else last.clone())
        moved = there.move(move, on_device, None if last is None else last.to("cuda", dtype))
        for one, other in zip(moved[:2], expected[:2], strict=True):
            near(one, other, 20 * tol)
        near(moved[2].gram, expected[2].gram, 20 * tol)
        near(moved[2].cross, expected[2].cross, 20 * tol)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("dtype", "tol"), TYPES)
def test_poisson_sums_are_those_of_the_host(monkeypatch, dtype, tol, rank):
    monkeypatch.setattr("neuralNMF.cells.gpu_rows._PIECE", 64)
    x, scale = matrix(2), np.random.default_rng(3).uniform(0.5, 2, CELLS)
    host = rows_counts(x, scale, dtype=torch.float64)
    there = rows_counts(x, scale, device="cuda", dtype=dtype)
    assert there.saturated == pytest.approx(host.saturated, rel=1e-9)
    generator = torch.Generator().manual_seed(4)
    theta = torch.rand((CELLS, rank), generator=generator, dtype=torch.float64) + 0.05
    programs = torch.rand((GENES, rank), generator=generator, dtype=torch.float64) + 0.05
    direction = torch.randn((GENES, rank), generator=generator, dtype=torch.float64)
    on_device = theta.to("cuda", dtype)
    for rows, columns in ((True, True), (True, False), (False, True), (False, False)):
        found = there.rates(on_device, programs, rows=rows, columns=columns)
        expected = host.rates(theta, programs, rows=rows, columns=columns)
        assert found.log_sum == pytest.approx(expected.log_sum, rel=10 * tol)
        if rows:
            near(found.rows, expected.rows, tol)
        if columns:
            near(found.columns, expected.columns, tol)
    for rows in (False, True):
        found = there.curvature(on_device, programs, direction, rows=rows)
        expected = host.curvature(theta, programs, direction, rows=rows)
        near(found[0], expected[0], 10 * tol)
        if rows:
            near(found[1], expected[1], 10 * tol)
    near(there.hessian(on_device, programs), host.hessian(theta, programs), 10 * tol)


@pytest.mark.parametrize(("dtype", "tol"), TYPES)
@pytest.mark.parametrize("rank", RANKS)
def test_tall_products_and_descent_are_those_of_the_host(dtype, tol, rank):
    generator = torch.Generator().manual_seed(6)
    rows = torch.rand((1000, rank), generator=generator, dtype=torch.float64)
    other = torch.rand((1000, 3), generator=generator, dtype=torch.float64)
    small = torch.rand((rank, 4), generator=generator, dtype=torch.float64)
    there = rows.to("cuda", dtype)
    near(gram(there), gram(rows), tol)
    near(cross_gram(there, other.to(there)), cross_gram(rows, other), tol)
    near(times_small(there, small), times_small(rows, small), tol)
    linear = torch.randn((1000, rank), generator=generator, dtype=torch.float64)
    curvature = gram(rows)
    curvature[0, :] = curvature[:, 0] = 0  # without curvature a coordinate stays
    expected, found = rows.clone(), there.clone()
    descend(expected, linear, curvature, 4)
    descend(found, linear.to(found), curvature, 4)
    near(found, expected, 200 * tol)


@pytest.mark.parametrize("held", [None, 100])
@pytest.mark.parametrize(
    "asked",
    [
        {"loss": "nested"},
        {"loss": "reconstruction"},
        {"loss": "energy"},
        {"loss": "nested", "transform": "log1p"},
        {"loss": "reconstruction", "beta": "learned"},
        {"loss": "reconstruction", "optimizer": "adam"},
        {"loss": "nested_poisson", "beta": "learned", "precision": "float64"},
        {"loss": "poisson", "beta": "pmf"},
    ],
    ids=lambda asked: "-".join(asked.values()),
)
def test_fits_are_as_good_as_those_of_the_host_and_repeat(tmp_path, asked, held):
    dataset = make(tmp_path / "dataset.h5ad", cells=800)
    figure = "deviance" if "poisson" in asked["loss"] else "mse"
    errors, programs = [], []
    for device in ("cpu", "cuda", "cuda"):
        model = None
        for rank in (5, 3):
            options = LayerOptions(rank=rank, device=device, data_mem_size=held, **asked)
            model = fit_layer(dataset, model, options, progress=False, warn=False)
        errors.append(model.info[figure])
        programs.append(model.betas[0])
    assert errors[1] == pytest.approx(errors[0], rel=5e-3)
    np.testing.assert_array_equal(programs[1], programs[2])


def test_a_streamed_fit_is_that_of_cells_in_memory(tmp_path):
    dataset = make(tmp_path / "dataset.h5ad", cells=800)
    found = []
    for held in (None, 100):
        options = LayerOptions(rank=5, device="cuda", data_mem_size=held, precision="float64")
        found.append(fit_layer(dataset, None, options, progress=False).info["mse"])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
