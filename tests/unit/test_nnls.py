"""Batched non-negative least squares beside SciPy's, column by column, and its derivative."""

import numpy as np
import pytest
import scipy
import scipy.optimize
import torch
from neuralNMF.solvers.nnls import WarmStart, nnls
from neuralNMF.threads import Threads


def solve(theta, target, **options):
    """beta (k, M) of min ||target - theta beta||^2, from the normal equations."""
    theta, target = torch.as_tensor(theta), torch.as_tensor(target)
    return nnls(theta.T @ theta, target.T @ theta, **options).T


# SciPy before 1.15 ends short of the minimum where columns are badly scaled or sums of others.
SCIPY_ENDS_EARLY = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15)


def unless_scipy_ends_early(problem):
    if SCIPY_ENDS_EARLY and problem in (_badly_scaled, _sums_of_others):
        pytest.skip("SciPy before 1.15 ends short of the minimum")


def scipy_solve(theta, target):
    return np.stack([scipy.optimize.nnls(theta, column)[0] for column in target.T], axis=1)


def kuhn_tucker(theta, target, beta):
    """The largest violation of the conditions, each in units of its own factor and column."""
    lengths = np.maximum(np.linalg.norm(theta, axis=0), 1e-300)[:, None]
    sizes = np.maximum(np.linalg.norm(target, axis=0), 1e-300)
    descent = theta.T @ (target - theta @ beta) / (lengths * sizes)
    weight = beta * lengths / sizes
    return max(-weight.min(), descent.max(), np.abs(np.minimum(weight, 1) * descent).max())


def _random(rng):
    return rng.gamma(1.0, 1.0, (60, 8)), rng.gamma(1.0, 1.0, (60, 40))


def _sparse(rng):
    theta = rng.gamma(1.0, 1.0, (80, 12)) * (rng.random((80, 12)) < 0.2)
    return theta, rng.poisson(0.3, (80, 40)).astype(float)


def _negative_values(rng):
    return rng.standard_normal((50, 10)), rng.standard_normal((50, 40))


def _no_positive_answer(rng):
    return rng.random((30, 5)), -rng.random((30, 10))


def _one_factor(rng):
    return rng.random((30, 1)), rng.standard_normal((30, 25))


def _hundred_factors(rng):
    return rng.gamma(0.5, 1.0, (400, 100)), rng.gamma(0.5, 1.0, (400, 20))


def _badly_scaled(rng):
    theta, target = _random(rng)
    return theta * np.logspace(-8, 8, 8), target * np.logspace(-8, 8, 40)


def _close_columns(rng):
    theta, target = _random(rng)
    theta[:, 5] = theta[:, 2] + 1e-3 * rng.random(60)
    return theta, target


def _nearly_parallel(rng):
    return np.ones((50, 30)) + 1e-2 * rng.standard_normal((50, 30)), rng.random((50, 40))


UNIQUE = [
    _random,
    _sparse,
    _negative_values,
    _no_positive_answer,
    _one_factor,
    _hundred_factors,
    _badly_scaled,
    _close_columns,
    _nearly_parallel,
]


@pytest.mark.parametrize("problem", UNIQUE, ids=lambda problem: problem.__name__.strip("_"))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_column_equals_that_of_scipy(problem, seed):
    unless_scipy_ends_early(problem)
    theta, target = problem(np.random.default_rng(seed))
    beta = solve(theta, target).numpy()
    # In the units of each factor and column: for the badly scaled problem they differ by 10^32.
    units = np.linalg.norm(theta, axis=0)[:, None] / np.linalg.norm(target, axis=0)
    np.testing.assert_allclose(beta * units, scipy_solve(theta, target) * units, atol=1e-8)
    assert kuhn_tucker(theta, target, beta) < 1e-10


def _repeated(rng):
    theta = rng.random((40, 6))
    return np.hstack([theta, theta[:, :2], 3 * theta[:, 4:5]]), rng.random((40, 30))


def _sums_of_others(rng):
    theta = rng.gamma(1.0, 1.0, (40, 5))
    return np.hstack([theta @ rng.random((5, 4)), theta]), rng.gamma(1.0, 1.0, (40, 30))


def _more_factors_than_rows(rng):
    # Pivoting does not settle most of these columns: they end in the active-set method.
    return rng.gamma(1.0, 1.0, (10, 25)), rng.gamma(1.0, 1.0, (10, 30))


def _differences_of_others(rng):
    theta = rng.standard_normal((40, 5))
    return np.hstack([theta, theta @ rng.standard_normal((5, 5))]), rng.standard_normal((40, 30))


def _collinear(rng):
    theta = rng.random((40, 6))
    return np.hstack([theta, theta + 1e-7 * rng.random((40, 6))]), rng.random((40, 30))


@pytest.mark.parametrize(
    "problem",
    [_repeated, _sums_of_others, _more_factors_than_rows, _differences_of_others, _collinear],
    ids=lambda problem: problem.__name__.strip("_"),
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_fit_equals_that_of_scipy_where_factors_depend_on_others(problem, seed):
    unless_scipy_ends_early(problem)
    theta, target = problem(np.random.default_rng(seed))
    beta = solve(theta, target).numpy()
    assert beta.min() >= 0
    np.testing.assert_allclose(
        np.linalg.norm(target - theta @ beta, axis=0),
        np.linalg.norm(target - theta @ scipy_solve(theta, target), axis=0),
        rtol=1e-8,
        atol=1e-8 * np.linalg.norm(target),
    )
    assert kuhn_tucker(theta, target, beta) < 1e-6


def test_no_column_of_a_deficient_gram_is_left_short_of_the_minimum():
    worst = 0.0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        factors = int(rng.integers(4, 13))
        rank = int(rng.integers(2, factors))
        mixing = rng.random((rank, factors)) if seed % 2 else rng.integers(0, 2, (rank, factors))
        theta, target = rng.random((40, rank)) @ mixing, 10 * rng.random((40, 60))
        worst = max(worst, kuhn_tucker(theta, target, solve(theta, target).numpy()))
    assert worst < 1e-6


def test_a_dependent_factor_takes_the_place_of_another_where_the_minimum_lies_there():
    """As single precision takes them for dependent: nearly parallel factors of a low rank."""
    worst = 0.0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        factors = int(rng.integers(6, 25))
        rank = int(rng.integers(2, factors))
        mixing = rng.gamma(0.3, size=(rank, factors)) * (rng.random((rank, factors)) < 0.5)
        theta, target = rng.gamma(0.5, size=(40, rank)) @ mixing, rng.poisson(1.0, (40, 50))
        beta = solve(theta, target.astype(float), dependent=1e-7).numpy()
        worst = max(worst, kuhn_tucker(theta, target, beta))
    assert worst < 1e-7


@pytest.mark.parametrize("support", ["of a problem nearby", "full", "empty", "wrong"])
def test_where_the_search_starts_from_does_not_change_the_answer(support):
    rng = np.random.default_rng(0)
    theta, target = _hundred_factors(rng)
    start = WarmStart()
    if support == "of a problem nearby":
        solve(theta, target + 0.3 * rng.random(target.shape), start=start)
        assert 0 < start.support.mean() < 1
    elif support == "wrong":
        start.support = solve(theta, target).numpy().T <= 0
    else:
        start.support = np.full((20, 100), support == "full")
    warm, cold = solve(theta, target, start=start), solve(theta, target)
    np.testing.assert_allclose(warm, cold, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(start.support, cold.numpy().T > 0)


def test_a_start_of_another_shape_is_not_used():
    theta, target = _random(np.random.default_rng(0))
    start = WarmStart(np.zeros((3, 2), dtype=bool))
    np.testing.assert_array_equal(solve(theta, target, start=start), solve(theta, target))
    assert start.support.shape == (40, 8)


@pytest.mark.parametrize("threads", [2, 3, 100])
def test_the_number_of_threads_does_not_change_a_byte(threads):
    theta, target = (torch.tensor(a) for a in _hundred_factors(np.random.default_rng(0)))
    results = []
    for count in (1, threads):
        leaf = theta.clone().requires_grad_()
        beta = solve(leaf, target, threads=Threads(count))
        (beta**2).sum().backward()
        results.append((beta.detach().numpy().tobytes(), leaf.grad.numpy().tobytes()))
    assert results[0] == results[1]


def test_a_dead_factor_gets_nothing_and_leaves_the_others_alone():
    theta, target = (torch.tensor(a) for a in _random(np.random.default_rng(0)))
    theta[:, 3] = 0
    theta.requires_grad_()
    beta = solve(theta, target)
    assert (beta[3] == 0).all()
    others = [0, 1, 2, 4, 5, 6, 7]
    without = solve(theta.detach()[:, others], target)
    np.testing.assert_allclose(beta.detach()[others], without, rtol=1e-12)
    (beta**2).sum().backward()
    assert torch.isfinite(theta.grad).all()
    assert (theta.grad[:, 3] == 0).all()
    assert theta.grad.abs().max() > 0


def test_all_factors_dead():
    theta = torch.zeros((10, 3), dtype=torch.float64, requires_grad=True)
    beta = solve(theta, torch.ones((10, 4), dtype=torch.float64))
    beta.sum().backward()
    assert (beta == 0).all()
    assert (theta.grad == 0).all()


def test_a_repeated_factor_has_a_finite_gradient():
    theta, target = (torch.tensor(a) for a in _repeated(np.random.default_rng(0)))
    theta.requires_grad_()
    (solve(theta, target) ** 2).sum().backward()
    assert torch.isfinite(theta.grad).all()


def _distance_to_a_border(theta, target):
    """How far the nearest entry is from entering or leaving the support."""
    beta = scipy_solve(theta, target)
    descent = theta.T @ (theta @ beta - target)
    return np.where(beta > 0, beta, descent).min()


@pytest.mark.parametrize("problem", [_random, _negative_values, _one_factor])
def test_gradcheck_away_from_changes_of_support(problem):
    rng = np.random.default_rng(0)
    theta, target = problem(rng)
    theta, target = theta[:12, :5], target[:12, :3]
    assert _distance_to_a_border(theta, target) > 1e-4
    share = (scipy_solve(theta, target) > 0).mean()
    assert 0 < share < 1
    leaves = [torch.tensor(a, requires_grad=True) for a in (theta, target)]
    assert torch.autograd.gradcheck(solve, leaves, eps=1e-7, atol=1e-6)


def test_at_a_border_the_derivative_is_that_of_the_support_without_the_entry():
    # s = max(b, 0): at b = 0 both one-sided derivatives, 0 and 1, are possible.
    one = torch.ones((1, 1), dtype=torch.float64)
    slopes = []
    for b in (-1e-6, 0.0, 1e-6):
        target = torch.full((1, 1), b, dtype=torch.float64, requires_grad=True)
        solve(one, target).sum().backward()
        slopes.append(target.grad.item())
    assert slopes == [0.0, 0.0, 1.0]


def test_the_solution_is_continuous_where_the_support_changes():
    rng = np.random.default_rng(1)
    theta = rng.random((20, 4))
    first, second = theta @ [1, -1, 1, 2], theta @ [-1, 1, 2, -1]
    path = np.linspace(0, 1, 20001)
    beta = solve(theta, np.outer(first, 1 - path) + np.outer(second, path)).numpy()
    assert len(np.unique(beta > 0, axis=1).T) > 2
    assert np.abs(np.diff(beta, axis=1)).max() < 1e-3


def test_input_is_left_as_it_was():
    theta, target = (torch.tensor(a) for a in _random(np.random.default_rng(0)))
    gram, cross = theta.T @ theta, target.T @ theta
    before = gram.clone(), cross.clone()
    nnls(gram, cross)
    assert torch.equal(gram, before[0])
    assert torch.equal(cross, before[1])


def test_the_answer_is_the_same_whether_or_not_a_derivative_will_be_asked_for():
    theta, target = (torch.tensor(a) for a in _random(np.random.default_rng(0)))
    plain = solve(theta, target)
    kept = solve(theta.requires_grad_(), target)
    assert kept.requires_grad
    assert torch.equal(kept, plain)
    with torch.no_grad():
        assert not solve(theta, target).requires_grad
