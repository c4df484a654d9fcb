"""X'S and X'^T Theta by every path beside plain NumPy: sparse, dense, streamed, threaded."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.block import Move
from neuralNMF.cells.place import Place
from neuralNMF.cells.products import CellSums, rows_products, tensor_products
from neuralNMF.cells.rows import RowsBlock
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products, sample_products
from neuralNMF.cells.sums import block_borders
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.kernels.cells import move_rows
from neuralNMF.kernels.sparse import rows_times
from neuralNMF.kernels.vectors import TILE, aligned_zeros
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.options import NORMALIZATIONS, TRANSFORMS, LayerOptions
from neuralNMF.solvers.gram import gram
from neuralNMF.threads import Threads

RTOL = {torch.float32: 1e-5, torch.float64: 1e-12}
DTYPES = [torch.float32, torch.float64]
CELLS, GENES = 600, 13  # two or three blocks of cells


def draw(density, seed=0):
    """Counts; cells 128 to 191 have none, and neither has cell 25."""
    rng = np.random.default_rng(seed)
    counts = (1 + rng.poisson(3.0, (CELLS, GENES))) * (rng.random((CELLS, GENES)) < density)
    counts[128:192] = 0
    counts[25] = 0
    return counts.astype(np.float32)


COUNTS = {"sparse": draw(0.3), "dense": draw(0.95)}


@pytest.fixture(scope="module", params=["sparse", "dense"])
def data(request, tmp_path_factory):
    counts = COUNTS[request.param]
    path = tmp_path_factory.mktemp(request.param) / "dataset.h5ad"
    write_dataset(path, sp.csr_matrix(counts))
    return counts, open_dataset(path)


def plain(counts, normalize, transform):
    """X', written out; as in the library, a transform is computed in single precision."""
    totals = counts.sum(axis=1, dtype=np.float64)
    cells = np.ones(len(counts))
    if normalize != "counts":
        cells = np.where(totals > 0, np.median(totals[totals > 0]) / np.maximum(totals, 1), 1.0)
    if transform == "none":
        values = cells[:, None] * counts.astype(np.float64)
    else:
        single = cells.astype(np.float32)[:, None] * counts
        values = {"sqrt": np.sqrt, "log1p": np.log1p}[transform](single).astype(np.float64)
    return values / values.std(axis=0) if normalize == "variance" else values


def on_the_host(dataset, scaling, dtype, held, threads):
    return dataset_products(
        dataset,
        scaling,
        Place(dtype=dtype, threads=Threads(threads)),
        held,
    )


def small(rank=3, dtype=torch.float64):
    """Theta (N, k) in the precision of the fit, S (M, k) in double."""
    rng = np.random.default_rng(5)
    theta = torch.tensor(rng.random((CELLS, rank)), dtype=dtype)
    return theta, torch.tensor(rng.standard_normal((GENES, rank)))


def assert_same(products, expected, dtype, rank=3):
    theta, right = small(rank, dtype)
    tolerance = {"rtol": RTOL[dtype], "atol": RTOL[dtype] * np.abs(expected).max()}
    times = products.times(right)
    assert times.dtype == dtype
    np.testing.assert_allclose(times.numpy(), expected @ right.numpy(), **tolerance)
    transposed = products.transposed_times(theta)
    assert transposed.dtype == torch.float64
    np.testing.assert_allclose(transposed.numpy(), expected.T @ theta.double().numpy(), **tolerance)
    assert products.square_sum == pytest.approx((expected**2).sum(), rel=RTOL[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_a_data_set_in_memory_and_streamed(data, normalize, transform, dtype):
    counts, dataset = data
    expected = plain(counts, normalize, transform)
    scaling = fit_scaling(dataset, normalize, transform)
    for threads, held in ((1, None), (2, None), (2, 1), (1, 300), (2, CELLS - 1), (1, 1000)):
        products = on_the_host(dataset, scaling, dtype, held, threads)
        assert_same(products, expected, dtype)


@pytest.mark.parametrize("held", [None, 1, 300, 450, CELLS - 1, CELLS])
def test_a_data_set_is_streamed_in_whole_blocks(data, held):
    counts, dataset = data
    dense = (counts > 0).mean() >= 0.5
    borders = block_borders(dataset.indptr, GENES, dense=dense)
    longest = np.diff(borders).max()
    products = on_the_host(dataset, fit_scaling(dataset, "counts", "none"), torch.float32, held, 1)
    parts = [(start, stop) for start, stop, _ in products.blocks()]
    assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])]
    assert parts[-1][1] == CELLS
    assert {place for part in parts for place in part} <= set(borders.tolist())
    assert max(stop - start for start, stop in parts) <= max(held or CELLS, longest)
    if held == 1:
        assert len(parts) == borders.size - 1 > 1


def test_sparse_and_dense_data_take_their_own_path(data):
    counts, dataset = data
    scaling = fit_scaling(dataset, "counts", "none")
    products = on_the_host(dataset, scaling, torch.float32, None, 1)
    ((_, _, block),) = products.blocks()
    assert isinstance(block, RowsBlock) == ((counts > 0).mean() < 0.5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_some_cells_of_a_data_set(data, transform):
    counts, dataset = data
    cells = np.array([0, 3, 9, 15, 25, 29])
    products = sample_products(
        dataset,
        fit_scaling(dataset, "variance", transform),
        cells,
        Place(dtype=torch.float64, threads=Threads(2)),
    )
    expected = plain(counts, "variance", transform)[cells]
    _, right = small()
    np.testing.assert_allclose(products.times(right), expected @ right.numpy(), atol=1e-10)
    assert products.shape == expected.shape


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rank", [1, 7, 8, 9, 20])
@pytest.mark.parametrize("kind", ["rows", "dense tensor", "sparse tensor"])
def test_every_kind_of_block(kind, rank, dtype):
    counts = COUNTS["sparse"]
    rng = np.random.default_rng(1)
    cells, genes = rng.random(CELLS), rng.random(GENES)
    if kind == "rows":
        matrix = sp.csr_matrix(counts)
        products = rows_products(matrix, cells, genes, dtype=dtype, threads=Threads(2))
    else:
        tensor = torch.tensor(counts, dtype=dtype)
        if kind == "sparse tensor":
            tensor = tensor.to_sparse_csr()
        products = tensor_products(tensor, cells, genes)
    assert_same(products, cells[:, None] * counts * genes, dtype, rank)


@pytest.mark.parametrize("threads", [1, 2, 3, 50])
def test_rows_are_shared_among_any_number_of_threads(threads):
    counts = COUNTS["sparse"]
    products = rows_products(sp.csr_matrix(counts), dtype=torch.float64, threads=Threads(threads))
    assert_same(products, counts.astype(np.float64), torch.float64)


def test_loops_are_compiled_once_for_cells_that_may_be_written_and_that_may_not():
    """Held ones, changed by a transform, and those of a mapped file."""
    matrix, move = sp.csr_matrix(COUNTS["sparse"]), a_move(3, GENES)
    theta, right = small(dtype=torch.float32)
    compiled = []
    for writeable in (True, False):
        matrix.data.flags.writeable = matrix.indices.flags.writeable = writeable
        products = rows_products(matrix)
        products.times(right), products.move(move, theta, None)
        compiled.append([len(loop.signatures) for loop in (rows_times, move_rows)])
        assert matrix.data.flags.writeable == writeable
    assert compiled[0] == compiled[1]


def test_a_matrix_without_counts():
    products = rows_products(sp.csr_matrix((CELLS, GENES), dtype=np.float32), threads=Threads(2))
    assert_same(products, np.zeros((CELLS, GENES)), torch.float32)


@pytest.mark.parametrize(
    "lengths",
    [
        np.full(50_000, 100),
        np.r_[np.full(30_000, 10), np.zeros(500, int), np.full(30_000, 300)],
        np.full(10, 3),
        np.zeros(20_000, int),
        [5],
    ],
    ids=["even", "uneven", "small", "empty", "one cell"],
)
def test_blocks_cover_all_cells_once(lengths):
    indptr = 17 + np.concatenate([[0], np.cumsum(lengths)])
    borders = block_borders(indptr, 50)
    assert borders[0] == 0
    assert borders[-1] == len(lengths)
    assert (np.diff(borders) > 0).all()
    assert (borders[:-1] % TILE == 0).all()


def test_the_work_of_the_blocks_is_even_and_shared_by_eight_threads():
    lengths = np.r_[np.full(10_000, 90), np.full(90_000, 10)]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    borders = block_borders(indptr, 100)
    shares = np.diff(indptr[borders])
    assert shares.size == 24
    np.testing.assert_allclose(shares, indptr[-1] / 24, rtol=0.1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_byte_depends_on_the_threads_or_on_streaming(data, dtype):
    _, dataset = data
    scaling = fit_scaling(dataset, "variance", "none")
    theta, right = small(5, dtype)
    move, last = a_move(5, GENES), torch.rand(theta.shape, dtype=dtype)
    results = []
    for held, threads in ((None, 1), (None, 2), (None, 3), (None, 8), (1, 1), (300, 2), (450, 3)):
        products = on_the_host(dataset, scaling, dtype, held, threads)
        proposal, trial, sums = products.move(move, theta, last.clone())
        results.append(
            [
                products.times(right),
                products.transposed_times(theta),
                torch.tensor(products.square_sum),
                proposal,
                trial,
                sums.gram,
                sums.cross,
            ]
        )
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def test_long_sums_in_single_precision_lose_nothing():
    # 200,000 cells of one value each: a running sum in single precision is off by 1e-3 and more.
    cells = 200_000
    matrix = sp.csr_matrix(np.full((cells, 1), 0.1, dtype=np.float32))
    theta = torch.full((cells, 1), 0.7, dtype=torch.float32)
    expected = cells * float(np.float32(0.1)) * float(np.float32(0.7))
    dense = torch.full((cells, 1), 0.1, dtype=torch.float32)
    for products in (rows_products(matrix, threads=Threads(2)), tensor_products(dense)):
        assert products.transposed_times(theta).item() == pytest.approx(expected, rel=1e-4)
        assert products.square_sum == pytest.approx(cells * float(np.float32(0.1)) ** 2)
    assert gram(theta).item() == pytest.approx(cells * float(np.float32(0.7)) ** 2, rel=1e-10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [1, 63, 64, 1000])
@pytest.mark.parametrize("rank", [1, 2, 5, 8])
def test_gram_is_in_double_precision(rank, rows, dtype):
    theta = torch.tensor(np.random.default_rng(0).random((rows, rank)), dtype=dtype)
    wide = theta.double().numpy()
    np.testing.assert_allclose(gram(theta).numpy(), wide.T @ wide, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aligned_zeros_begin_with_a_cache_line(dtype):
    for shape in [(0, 8), (3, 24), (2, 7, 8)]:
        zeros = aligned_zeros(shape, dtype)
        assert zeros.shape == shape
        assert zeros.dtype == dtype
        assert zeros.flags.c_contiguous
        assert zeros.ctypes.data % 64 == 0 or zeros.size == 0
        assert not zeros.any()


def test_gradcheck_of_the_sums_over_cells():
    counts = COUNTS["sparse"][:30]
    theta = small()[0][:30].clone().requires_grad_()
    products = rows_products(sp.csr_matrix(counts), dtype=torch.float64, threads=Threads(2))
    assert torch.autograd.gradcheck(lambda t: CellSums.apply(t, products), theta)


def losses_and_gradients(dataset, held, threads, loss):
    rng = np.random.default_rng(2)
    shapes = [(CELLS, 5), (5, 3), (3, 2)]
    thetas = [torch.tensor(rng.random(shape)) for shape in shapes]
    thetas[0] = thetas[0].float()
    network = NeuralNMF(thetas, loss=loss, threads=Threads(threads))
    scaling = fit_scaling(dataset, "variance", "none")
    products = on_the_host(dataset, scaling, torch.float32, held, threads)
    found = network(products)
    found.loss.backward()
    return found.loss.item(), [theta.grad.double().numpy() for theta in network.thetas]


@pytest.mark.parametrize("loss", ["nested", "reconstruction", "energy"])
def test_losses_and_gradients_are_the_same_streamed(data, loss):
    value, gradients = losses_and_gradients(data[1], None, 1, loss)
    for held, threads in ((300, 1), (300, 2), (1, 1), (None, 2)):
        other, others = losses_and_gradients(data[1], held, threads, loss)
        assert other == value
        for one, two in zip(gradients, others, strict=True):
            np.testing.assert_array_equal(two, one)


def test_losses_and_gradients_are_the_same_dense_and_sparse():
    counts = COUNTS["sparse"]
    rng = np.random.default_rng(2)
    start = [torch.tensor(rng.random(shape)) for shape in ((CELLS, 5), (5, 3))]
    results = []
    for products in (
        rows_products(sp.csr_matrix(counts), dtype=torch.float64, threads=Threads(2)),
        tensor_products(torch.tensor(counts, dtype=torch.float64)),
        tensor_products(torch.tensor(counts, dtype=torch.float64).to_sparse_csr()),
    ):
        network = NeuralNMF([theta.clone() for theta in start])
        loss = network(products).loss
        loss.backward()
        results.append((loss.item(), network.thetas[0].grad))
    for loss, gradient in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-12)
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-9, atol=1e-9)


def test_a_whole_fit_is_the_same_streamed(data):
    models = []
    for held in (None, 7):
        model = None
        for rank in (4, 2):
            options = LayerOptions(rank, normalize="library", data_mem_size=held, threads=2)
            model = fit_layer(data[1], model, options, progress=False)
        models.append(model)
    for one, two in zip(*(model.thetas + model.betas for model in models), strict=True):
        np.testing.assert_array_equal(one, two)


def plain_move(matrix, theta, move, last):
    """(proposal, trial, gram, cross), cell by cell."""
    slope, bend, curvature = (part.numpy() for part in (move.slope, move.bend, move.curvature))
    proposal = theta.copy()
    for x, row in zip(proposal, matrix, strict=True):
        linear = row @ slope + x @ bend
        for _ in range(move.sweeps):
            for q in range(x.size):
                if curvature[q, q] > 0:
                    x[q] = max(0.0, x[q] - (linear[q] + curvature[q] @ x) / curvature[q, q])
    trial = proposal
    if last is not None:
        trial = np.maximum(0.0, proposal + move.momentum * (proposal - last))
    return proposal, trial, trial.T @ trial, matrix.T @ trial


def a_move(rank, genes):
    """A step whose third program has no curvature: it stays."""
    rng = np.random.default_rng(3)
    factor = rng.random((rank + 3, rank))
    factor[:, 2:3] = 0
    symmetric = rng.standard_normal((rank, rank))
    return Move(
        slope=torch.tensor(rng.standard_normal((genes, rank))),
        bend=torch.tensor(symmetric + symmetric.T),
        curvature=torch.tensor(factor.T @ factor),
        momentum=0.6,
        sweeps=2,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rank", [1, 3, 8, 9])
@pytest.mark.parametrize("first", [True, False])
def test_a_move_of_the_cells_is_that_of_the_plain_formulas(data, rank, first, dtype):
    counts, dataset = data
    scaling = fit_scaling(dataset, "variance", "none")
    move, rng = a_move(rank, GENES), np.random.default_rng(4)
    theta, last = (rng.random((CELLS, rank)) for _ in range(2))
    expected = plain_move(plain(counts, "variance", "none"), theta, move, None if first else last)
    for held, threads in ((None, 1), (None, 2), (300, 1), (1, 2)):
        products = on_the_host(dataset, scaling, dtype, held, threads)
        start = torch.tensor(theta, dtype=dtype)
        before = None if first else torch.tensor(last, dtype=dtype)
        proposal, trial, sums = products.move(move, start, before)
        assert torch.equal(start, torch.tensor(theta, dtype=dtype))
        for found, right in zip((proposal, trial, sums.gram, sums.cross), expected, strict=True):
            scale = np.abs(right).max()
            np.testing.assert_allclose(found, right, rtol=0, atol=10 * RTOL[dtype] * scale)


def test_a_move_of_many_cells_in_many_tiles():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, (1000, GENES)).astype(np.float64)
    theta, last = rng.random((1000, 5)), rng.random((1000, 5))
    move = a_move(5, GENES)
    expected = plain_move(counts, theta, move, last)
    for threads in (1, 2, 3):
        matrix = sp.csr_matrix(counts)
        products = rows_products(matrix, dtype=torch.float64, threads=Threads(threads))
        found = products.move(move, torch.tensor(theta), torch.tensor(last))
        for one, right in zip((*found[:2], found[2].gram, found[2].cross), expected, strict=True):
            np.testing.assert_allclose(one, right, rtol=1e-10, atol=1e-10)


def test_the_move_of_a_sparse_tensor_is_that_of_the_rows():
    counts, move = COUNTS["sparse"].astype(np.float64), a_move(5, GENES)
    rng = np.random.default_rng(6)
    theta, last = rng.random((CELLS, 5)), rng.random((CELLS, 5))
    products = tensor_products(torch.tensor(counts).to_sparse_csr(), threads=Threads(2))
    found = products.move(move, torch.tensor(theta), torch.tensor(last))
    expected = plain_move(counts, theta, move, last)
    for one, right in zip((*found[:2], found[2].gram, found[2].cross), expected, strict=True):
        np.testing.assert_allclose(one, right, rtol=1e-10, atol=1e-10)
