"""Sums over the non-zeros and the deviance, beside plainly written dense formulas."""

import numpy as np
import pytest
import scipy.sparse
import torch
from neuralNMF.cells.counts import dense_counts, library_size, rows_counts, tensor_counts
from neuralNMF.errors import InputError
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.threads import Threads

N, M, K = 23, 17, 4
MAKERS = [rows_counts, tensor_counts]


@pytest.fixture
def problem():
    """Counts with an empty cell, an empty gene and a zero in each factor."""
    rng = np.random.default_rng(3)
    x = rng.poisson(0.8, (N, M)).astype(np.float64)
    x[5], x[:, 7] = 0, 0
    theta, programs_t = rng.gamma(1, 1, (N, K)), rng.gamma(1, 1, (M, K))
    theta[2, 1] = programs_t[3, 0] = 0
    return x, rng.uniform(0.5, 2, N), theta, programs_t


def make(maker, x, scale, *, floor=0.0, dtype=torch.float64, cuts=None):
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    return maker(matrix, scale, floor=floor, dtype=dtype, cuts=cuts)


def dense_rates(x, scale, theta, programs_t):
    rate = scale[:, None] * (theta @ programs_t.T)
    return rate, np.divide(x, rate, where=x > 0, out=np.zeros_like(x))


@pytest.mark.parametrize("maker", MAKERS)
def test_sums_equal_the_dense_formula(maker, problem):
    x, scale, theta, programs_t = problem
    rate, ratio = dense_rates(x, scale, theta, programs_t)
    counts = make(maker, x, scale)
    found = counts.rates(torch.tensor(theta), torch.tensor(programs_t), rows=True, columns=True)
    seen = x > 0
    assert found.log_sum == pytest.approx((x[seen] * np.log(rate[seen])).sum(), rel=1e-12)
    np.testing.assert_allclose(found.rows, scale[:, None] * (ratio @ programs_t), rtol=1e-12)
    np.testing.assert_allclose(found.columns, ratio.T @ (scale[:, None] * theta), rtol=1e-12)
    assert counts.rate_total(torch.tensor(theta), torch.tensor(programs_t)) == pytest.approx(
        rate.sum(), rel=1e-12
    )
    np.testing.assert_allclose(counts.totals, x.sum(1), rtol=1e-12)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
def test_what_is_not_asked_for_changes_nothing(maker, problem, wanted):
    x, scale, theta, programs_t = problem
    counts = make(maker, x, scale)
    small = torch.tensor(theta), torch.tensor(programs_t)
    both = counts.rates(*small, rows=True, columns=True)
    some = counts.rates(*small, rows=wanted[0], columns=wanted[1])
    assert some.log_sum == pytest.approx(both.log_sum, rel=1e-14)
    for asked, value, full in zip(
        wanted, (some.rows, some.columns), (both.rows, both.columns), strict=True
    ):
        assert (value is not None) == asked
        if asked:
            np.testing.assert_allclose(value, full, rtol=1e-13)


@pytest.mark.parametrize("maker", MAKERS)
def test_curvature_equals_the_dense_formula(maker, problem):
    x, scale, theta, programs_t = problem
    rate, ratio = dense_rates(x, scale, theta, programs_t)
    direction = np.random.default_rng(5).normal(size=(M, K))
    bend = np.divide(ratio * (scale[:, None] * (theta @ direction.T)), rate, where=x > 0, out=0 * x)
    columns, rows = make(maker, x, scale).curvature(
        *(torch.tensor(part) for part in (theta, programs_t, direction)), rows=True
    )
    np.testing.assert_allclose(columns, bend.T @ (scale[:, None] * theta), rtol=1e-11, atol=1e-12)
    wanted = scale[:, None] * (ratio @ direction - bend @ programs_t)
    np.testing.assert_allclose(rows, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("maker", [*MAKERS, "dense"])
def test_hessian_equals_the_dense_formula(maker, problem):
    x, scale, theta, programs_t = problem
    rate, ratio = dense_rates(x, scale, theta, programs_t)
    weight = np.divide(ratio, rate, where=x > 0, out=0 * x)
    u = scale[:, None] * theta
    wanted = np.einsum("ij,ia,ib->jab", weight, u, u)[:, *np.tril_indices(K)]
    if maker == "dense":
        counts = dense_counts(torch.tensor(x), scale, floor=0.0, rows=10)
    else:
        counts = make(maker, x, scale, cuts=(0, 9, N))
    found = counts.hessian(torch.tensor(theta), torch.tensor(programs_t))
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("cuts", [(0, 7, 7, 22, 23), tuple(range(N + 1))])
def test_any_chunks_give_the_same(maker, problem, cuts):
    """Odd chunks, an empty one, a cell a chunk."""
    x, scale, theta, programs_t = problem
    small = torch.tensor(theta), torch.tensor(programs_t)
    whole, cut = make(maker, x, scale), make(maker, x, scale, cuts=cuts)
    one, many = (c.rates(*small, rows=True, columns=True) for c in (whole, cut))
    assert many.log_sum == pytest.approx(one.log_sum, rel=1e-13)
    np.testing.assert_allclose(many.rows, one.rows, rtol=1e-13)
    np.testing.assert_allclose(many.columns, one.columns, rtol=1e-12)
    assert cut.saturated == pytest.approx(whole.saturated, rel=1e-13)


def test_threads_and_precisions_agree(problem):
    x, scale, theta, programs_t = problem
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    results = []
    for threads, dtype in ((1, torch.float64), (2, torch.float64), (2, torch.float32)):
        counts = rows_counts(matrix, scale, dtype=dtype, threads=Threads(threads))
        part = torch.tensor(theta, dtype=dtype)
        results.append(counts.rates(part, torch.tensor(programs_t), rows=True, columns=True))
    for other, tolerance in zip(results[1:], (1e-13, 2e-6), strict=True):
        assert other.log_sum == pytest.approx(results[0].log_sum, rel=tolerance)
        np.testing.assert_allclose(other.rows, results[0].rows, rtol=tolerance)
        np.testing.assert_allclose(other.columns, results[0].columns, rtol=tolerance)


def test_the_same_threads_give_the_same_bytes(problem):
    x, scale, theta, programs_t = problem
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    counts = rows_counts(matrix, scale, threads=Threads(2))
    small = torch.tensor(theta, dtype=torch.float32), torch.tensor(programs_t)
    runs = [counts.rates(*small, rows=True, columns=True) for _ in range(3)]
    for other in runs[1:]:
        assert other.log_sum == runs[0].log_sum
        assert torch.equal(other.rows, runs[0].rows)
        assert torch.equal(other.columns, runs[0].columns)


@pytest.mark.parametrize("maker", MAKERS)
def test_deviance_equals_the_dense_formula(maker, problem):
    x, scale, theta, programs_t = problem
    rate, _ = dense_rates(x, scale, theta, programs_t)
    logs = np.log(np.where(x > 0, x, 1) / np.where(x > 0, rate, 1))
    wanted = 2 * (x * logs - (x - rate)).sum()
    found = poisson_deviance(
        torch.tensor(theta), torch.tensor(programs_t), make(maker, x, scale, floor=1e-30)
    )
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("maker", MAKERS)
def test_gradcheck_through_two_layers(maker, problem):
    x, scale, theta, _ = problem
    rng = np.random.default_rng(8)
    counts = make(maker, x, scale, cuts=(0, 9, N))
    second = torch.tensor(rng.gamma(1, 1, (K, 2)), requires_grad=True)
    last = torch.tensor(rng.gamma(1, 1, (M, 2)), requires_grad=True)
    theta = torch.tensor(theta, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b, c: poisson_deviance(a, c @ b.T, counts), (theta, second, last)
    )


def test_gradients_only_where_needed(problem):
    x, scale, theta, programs_t = problem
    _, ratio = dense_rates(x, scale, theta, programs_t)
    fixed = torch.tensor(theta)
    free = torch.tensor(programs_t, requires_grad=True)
    (3 * poisson_deviance(fixed, free, make(rows_counts, x, scale))).backward()
    scaled = scale[:, None] * theta
    np.testing.assert_allclose(free.grad, 6 * (scaled.sum(0) - ratio.T @ scaled), rtol=1e-12)
    assert fixed.grad is None


def test_a_count_where_the_model_says_zero_stays_finite(problem):
    x, scale, theta, programs_t = problem
    theta[0] = 0
    x[0, 0] = 3
    counts = make(rows_counts, x, scale, floor=1e-10, dtype=torch.float32)
    theta = torch.tensor(theta, dtype=torch.float32, requires_grad=True)
    programs_t = torch.tensor(programs_t, requires_grad=True)
    value = poisson_deviance(theta, programs_t, counts)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(theta.grad).all()
    assert torch.isfinite(programs_t.grad).all()
    assert (theta.grad[0] < 0).any()


def test_a_nan_is_not_swallowed(problem):
    x, scale, theta, programs_t = problem
    theta[1, 1] = np.nan
    value = poisson_deviance(
        torch.tensor(theta), torch.tensor(programs_t), make(rows_counts, x, scale)
    )
    assert torch.isnan(value)


def test_library_size():
    np.testing.assert_allclose(library_size([4, 0, 8, 2]), [1, 0, 2, 0.5])
    with pytest.raises(InputError, match="No cell has any counts"):
        library_size([0, 0])


def test_library_sizes_of_another_length_are_refused(problem):
    with pytest.raises(InputError, match="23 cells"):
        make(rows_counts, problem[0], np.ones(N - 1))
