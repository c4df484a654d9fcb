"""The optimisers: never up, never worse than the start; their steps beside plain loops."""

import numpy as np
import pytest
import scipy.optimize
import torch
from neuralNMF.cells.products import tensor_products
from neuralNMF.kernels.descent import descend_matrix
from neuralNMF.kernels.vectors import TILE
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto, make_optimizer
from neuralNMF.solvers.descent import descend, descend_columns
from neuralNMF.threads import Threads
from neuralNMF.training.projected import Projected

CELLS, GENES = 70, 50
RANKS = (6, 4, 2)

LOSSES = ["nested", "reconstruction", "energy"]


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.5, 1.0, (CELLS, 4)) @ rng.gamma(0.5, 2.0, (4, GENES))
    return rng.poisson(mean).astype(np.float64)


def problem(counts, depth=2, *, loss="reconstruction", dtype=torch.float64, seed=1):
    rng = np.random.default_rng(seed)
    shapes = zip((CELLS, *RANKS), RANKS, strict=False)
    thetas = [torch.tensor(rng.random(shape)) for shape in shapes][:depth]
    thetas[0] = thetas[0].to(dtype)
    network = NeuralNMF(thetas, loss=loss, threads=Threads(2))
    network.settle()
    return network, tensor_products(torch.tensor(counts, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_auto_never_raises_the_loss(counts, depth, loss, dtype):
    network, products = problem(counts, depth, loss=loss, dtype=dtype)
    optimizer = Auto(network, products)
    losses = [optimizer.found.loss.item()]
    for _ in range(40):
        if not optimizer.epoch():
            break
        losses.append(optimizer.found.loss.item())
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < 0.9 * losses[0]
    assert all(theta.min() >= 0 for theta in network.thetas)


@pytest.mark.parametrize("kind", ["auto", "adam", "gd"])
@pytest.mark.parametrize("loss", LOSSES)
def test_what_was_found_belongs_to_the_parameters_as_they_stand(counts, loss, kind):
    network, products = problem(counts, loss=loss)
    optimizer = make_optimizer(kind, network, products)
    for _ in range(15):
        optimizer.epoch()
        thetas = [theta.detach().clone() for theta in network.thetas]
        fresh = NeuralNMF(thetas, loss=loss)(products).loss.item()
        assert optimizer.found.loss.item() == pytest.approx(fresh, rel=1e-9)
        assert all(theta.min() >= 0 for theta in thetas)


def test_auto_stays_where_no_step_lowers_the_loss():
    # An exact factorisation: nothing is left to be lowered.
    rng = np.random.default_rng(0)
    theta, beta = rng.random((20, 3)), rng.random((3, 15))
    products = tensor_products(torch.tensor(theta @ beta))
    network = NeuralNMF([torch.tensor(theta)])
    optimizer = Auto(network, products)
    for _ in range(50):
        if not optimizer.epoch():
            break
    assert abs(optimizer.found.loss.item()) < 1e-10 * products.square_sum
    assert torch.isfinite(network.thetas[0]).all()


def test_auto_ends_without_further_passes_where_rounding_alone_is_left(counts, monkeypatch):
    network, products = problem(counts, 1, dtype=torch.float32)
    optimizer, passes = Auto(network, products), []
    monkeypatch.setattr(
        products, "move", lambda *args, move=products.move: passes.append(1) or move(*args)
    )
    for _ in range(2000):
        passes.clear()
        if not optimizer.epoch():
            break
    else:
        pytest.fail("the minimum was not reached")
    assert len(passes) <= 2


def test_auto_leaves_a_parameter_alone_that_is_not_trained(counts):
    network, products = problem(counts, 3)
    network.thetas[0].requires_grad_(False)
    network.thetas[1].requires_grad_(False)
    before = [theta.detach().clone() for theta in network.thetas]
    optimizer = Auto(network, products)
    start = optimizer.found.loss.item()
    for _ in range(5):
        optimizer.epoch()
    assert optimizer.found.loss.item() < start
    assert torch.equal(network.thetas[0], before[0])
    assert torch.equal(network.thetas[1], before[1])
    assert not torch.equal(network.thetas[2], before[2])


def test_auto_reaches_a_stationary_point_of_one_layer(counts):
    network, products = problem(counts, 1)
    optimizer = Auto(network, products)
    for _ in range(400):
        if not optimizer.epoch():
            break
    network.thetas[0].grad = None
    network(products).loss.backward()
    theta, slope = network.thetas[0].detach(), network.thetas[0].grad
    outward = torch.where(theta > 0, slope.abs(), -slope)
    # In units of the loss, for a step as long as the mean entry.
    assert outward.max() * theta.mean() < 1e-6 * optimizer.found.loss.item()


def test_a_smaller_rate_makes_smaller_steps(counts):
    moved = []
    for lr in ("auto", 0.1):
        network, products = problem(counts, 1)
        before = network.thetas[0].detach().clone()
        make_optimizer("auto", network, products, lr=lr).epoch()
        moved.append((network.thetas[0] - before).norm().item())
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_of_gradient_descent_is_that_of_the_formula(counts, loss):
    network, products = problem(counts, 2, loss=loss)
    before = [theta.detach().clone() for theta in network.thetas]
    fresh = NeuralNMF([theta.clone() for theta in before], loss=loss)
    (fresh(products).loss / (CELLS * GENES)).backward()
    make_optimizer("gd", network, products, lr=0.05).epoch()
    for theta, old, other in zip(network.thetas, before, fresh.thetas, strict=True):
        expected = (old - 0.05 * other.grad).clamp_min(0)
        if loss == "energy":
            expected = expected / expected.norm(dim=0)
        np.testing.assert_allclose(theta.detach(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["adam", "gd"])
def test_plain_gradient_steps_lower_the_loss_too(counts, kind):
    network, products = problem(counts, 2)
    optimizer = make_optimizer(kind, network, products)
    assert isinstance(optimizer, Projected)
    start = optimizer.found.loss.item()
    losses = []
    for _ in range(60):
        optimizer.epoch()
        losses.append(optimizer.found.loss.item())
    assert min(losses) < 0.95 * start


def quadratic(rows, rank, dtype=np.float64, seed=0):
    """theta, linear (rows, rank) and a curvature (rank, rank), one coordinate without curvature."""
    rng = np.random.default_rng(seed)
    factor = rng.random((rank + 4, rank))
    factor[:, 2:3] = 0
    theta = rng.random((rows, rank)) * (rng.random((rows, rank)) < 0.7)
    linear = rng.standard_normal((rows, rank))
    return theta.astype(dtype), linear.astype(dtype), (factor.T @ factor).astype(dtype)


def plain_descent(theta, linear, curvature, sweeps):
    theta, curvature = theta.astype(np.float64), curvature.astype(np.float64)
    for x, b in zip(theta, linear.astype(np.float64), strict=True):
        for _ in range(sweeps):
            for q in range(x.size):
                if curvature[q, q] > 0:
                    x[q] = max(x[q] - (b[q] + curvature[q] @ x) / curvature[q, q], 0.0)
    return theta


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [1, TILE - 1, TILE, TILE + 1, 3 * TILE + 7])
def test_descent_of_rows_is_plain_coordinate_descent(rows, threads, dtype):
    theta, linear, curvature = quadratic(rows, 5, dtype)
    expected = plain_descent(theta, linear, curvature, 3)
    kept = linear.copy()
    descend(*map(torch.from_numpy, (theta, linear, curvature)), 3, Threads(threads))
    np.testing.assert_allclose(theta, expected, atol=1e-4 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(linear, kept)


@pytest.mark.parametrize("rank", [1, 3, 4, 8, 9, 21])
def test_descent_of_rows_at_any_rank(rank):
    theta, linear, curvature = quadratic(70, rank)
    expected = plain_descent(theta, linear, curvature, 2)
    descend(*map(torch.from_numpy, (theta, linear, curvature)), 2, Threads(2))
    np.testing.assert_allclose(theta, expected, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_descent_of_columns_takes_the_same_steps(dtype):
    theta, linear, curvature = quadratic(50, 5, dtype)
    expected = plain_descent(theta, linear, curvature, 3)
    moved = torch.tensor(theta)
    descend_columns(moved, torch.tensor(linear), torch.tensor(curvature), 3)
    np.testing.assert_allclose(moved, expected, atol=1e-4 if dtype == np.float32 else 1e-12)


def test_a_coordinate_without_curvature_stays():
    theta, linear, curvature = quadratic(20, 5)
    before = theta[:, 2].copy()
    descend(*map(torch.from_numpy, (theta, linear, curvature)), 3, Threads(2))
    np.testing.assert_array_equal(theta[:, 2], before)


def test_many_sweeps_over_rows_reach_the_minimum_of_the_quadratic():
    rng = np.random.default_rng(0)
    factor = rng.random((9, 5))
    target = rng.standard_normal((30, 9))
    theta = rng.random((30, 5))
    # ||target - theta factor'||^2 / 2.
    matrices = theta, -target @ factor, factor.T @ factor
    descend(*map(torch.from_numpy, matrices), 3000, Threads(2))
    expected = [scipy.optimize.nnls(factor, row)[0] for row in target]
    np.testing.assert_allclose(theta, expected, atol=1e-8)


def test_many_sweeps_over_a_matrix_reach_the_minimum_of_the_quadratic():
    rng = np.random.default_rng(0)
    a, b = rng.random((12, 4)), rng.random((3, 10))
    target = rng.standard_normal((12, 10)) + 0.5
    theta = rng.random((4, 3))
    # ||target - a theta b||^2 / 2 around theta, as one long non-negative least-squares problem.
    slope = a.T @ (a @ theta @ b - target) @ b.T
    kept = slope.copy()
    descend_matrix(theta, slope, a.T @ a, b @ b.T, 5000)
    expected = scipy.optimize.nnls(np.kron(a, b.T), target.ravel())[0].reshape(4, 3)
    np.testing.assert_allclose(theta, expected, atol=1e-8)
    np.testing.assert_array_equal(slope, kept)


def test_one_sweep_over_a_matrix_is_plain_coordinate_descent():
    rng = np.random.default_rng(0)
    a, b = rng.random((12, 4)), rng.random((10, 3))
    b[:, 1] = 0
    left, right = a.T @ a, b.T @ b
    theta, slope = rng.random((4, 3)), rng.standard_normal((4, 3))
    expected, g = theta.copy(), slope.copy()
    for _ in range(2):
        for p in range(4):
            for q in range(3):
                if left[p, p] * right[q, q] > 0:
                    step = max(expected[p, q] - g[p, q] / (left[p, p] * right[q, q]), 0)
                    step -= expected[p, q]
                    expected[p, q] += step
                    g += step * np.outer(left[p], right[q])
    descend_matrix(theta, slope, left, right, 2)
    np.testing.assert_allclose(theta, expected, atol=1e-12)
