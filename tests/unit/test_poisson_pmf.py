"""Poisson matrix factorization beside a plainly written dense reference, and its gradient."""

import numpy as np
import pytest
import scipy.sparse
import scipy.special
import scipy.stats
import torch
from neuralNMF.cells.counts import Counts, dense_counts, rows_counts
from neuralNMF.errors import InputError
from neuralNMF.poisson.pmf import PmfState, pmf_programs_t
from neuralNMF.poisson.posterior import (
    GammaPosterior,
    GammaPrior,
    posterior_around,
    solve,
    update,
)
from torch.distributions import Gamma, kl_divergence

PRIOR = GammaPrior(0.4, 0.7)


def draw(seed=0, cells=15, genes=9, rank=3):
    rng = np.random.default_rng(seed)
    theta, scale = rng.gamma(1, 1, (cells, rank)), rng.uniform(0.5, 2, cells)
    beta = rng.gamma(0.7, 2, (rank, genes))
    x = rng.poisson(scale[:, None] * (theta @ beta)).astype(np.float64)
    return x, theta, scale, rng.gamma(2, 1, (genes, rank))


def sparse(x, scale, floor=0.0):
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    return rows_counts(matrix, scale, floor=floor, dtype=torch.float64)


def alike(shape):
    """Programs that nothing tells apart but Theta."""
    return torch.ones(shape, dtype=torch.float64)


def begin(counts, theta):
    programs_t = alike((counts.shape[1], theta.shape[1]))
    return posterior_around(programs_t, counts.weights(theta), PRIOR)


def reference_update(x, theta, scale, shape):
    """Splits every count among the programs, count by count."""
    rate = PRIOR.rate + (scale[:, None] * theta).sum(0)
    new = np.full_like(shape, PRIOR.shape)
    for i, j in np.argwhere(x > 0):
        split = scale[i] * theta[i] * np.exp(scipy.special.digamma(shape[j])) / rate
        new[j] += x[i, j] * split / split.sum()
    return new, rate


def reference_elbo(x, theta, scale, shape, rate):
    log_mean, mean = scipy.special.digamma(shape) - np.log(rate), shape / rate
    u = scale[:, None] * theta
    total = -(u @ mean.T).sum() - scipy.special.gammaln(x + 1).sum()
    for i, j in np.argwhere(x > 0):
        split = u[i] * np.exp(log_mean[j])
        split /= split.sum()
        total += x[i, j] * (split * (np.log(u[i]) + log_mean[j] - np.log(split))).sum()
    posterior = Gamma(torch.tensor(shape), torch.tensor(rate).expand(shape.shape))
    prior = Gamma(*(torch.full(shape.shape, v, dtype=torch.float64) for v in (0.4, 0.7)))
    return total - float(kl_divergence(posterior, prior).sum())


@pytest.mark.parametrize("dense", [False, True])
def test_updates_equal_the_reference(dense):
    x, theta, scale, shape = draw()
    counts = dense_counts(torch.tensor(x), scale, floor=0.0) if dense else sparse(x, scale)
    posterior = GammaPosterior(torch.tensor(shape), torch.ones(3, dtype=torch.float64))
    for _ in range(3):
        bound_at = reference_elbo(x, theta, scale, shape, PRIOR.rate + scale @ theta)
        posterior, bound = update(counts, torch.tensor(theta), posterior, PRIOR)
        shape, rate = reference_update(x, theta, scale, shape)
        np.testing.assert_allclose(posterior.shape, shape, rtol=1e-10)
        np.testing.assert_allclose(posterior.rate, rate, rtol=1e-10)
        assert bound == pytest.approx(bound_at, rel=1e-10)
    moments = scipy.stats.gamma(shape, scale=1 / rate)
    np.testing.assert_allclose(posterior.mean, moments.mean(), rtol=1e-10)
    np.testing.assert_allclose(posterior.deviation, moments.std(), rtol=1e-10)


@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_the_elbo_never_falls(floor):
    x, theta, scale, _ = draw(1)
    counts, theta = sparse(x, scale, floor), torch.tensor(theta)
    posterior, bounds = begin(counts, theta), []
    for _ in range(60):
        posterior, bound = update(counts, theta, posterior, PRIOR)
        bounds.append(bound)
    assert bounds[-1] > bounds[0]
    assert (np.diff(bounds) >= -1e-11 * abs(bounds[0])).all()


class CountedPasses(Counts):
    passes = 0

    def rates(self, *args, **keys):
        self.passes += 1
        return super().rates(*args, **keys)


def test_it_stops_by_itself_and_a_warm_start_is_at_once_there():
    x, theta, scale, _ = draw(3)
    counts, theta = sparse(x, scale), torch.tensor(theta)
    counts.__class__ = CountedPasses
    cold = solve(counts, theta, begin(counts, theta), PRIOR, steps=5000, tol=1e-12)
    assert 2 < counts.passes < 5000
    counts.passes = 0
    warm = solve(counts, theta, cold, PRIOR, steps=5000, tol=1e-12)
    assert counts.passes == 2
    np.testing.assert_allclose(warm.mean, cold.mean, rtol=1e-3)


def test_known_programs_are_found_given_theta():
    rng = np.random.default_rng(4)
    theta, beta = rng.gamma(1, 1, (4000, 3)), rng.gamma(1, 3, (3, 8))
    x = rng.poisson(theta @ beta).astype(np.float64)
    counts, theta = sparse(x, np.ones(4000)), torch.tensor(theta)
    found = solve(counts, theta, begin(counts, theta), PRIOR, steps=500, tol=1e-13)
    # Within five posterior standard deviations (which leave out correlations), and close.
    np.testing.assert_allclose(found.mean, beta.T, atol=0.2)
    assert (abs(found.mean - torch.tensor(beta.T)) < 8 * found.deviation).all()


def fresh(genes, rank):
    return PmfState(PRIOR, alike((genes, rank)), steps=150, tol=0.0)


@pytest.fixture
def by_conjugate_gradients(monkeypatch):
    """As where the matrices of the adjoint do not fit in memory."""
    monkeypatch.setattr("neuralNMF.poisson.posterior._HESSIAN_BYTES", 0)
    monkeypatch.setattr("neuralNMF.poisson.posterior._ADJOINT_TOL", 1e-12)


def check_against_differences(function, *inputs, seed=0):
    """Central differences along random directions, every value solved to the end from the start."""
    rng = np.random.default_rng(seed)
    inputs = [torch.tensor(part, requires_grad=True) for part in inputs]
    out = function(*inputs)
    weight = torch.tensor(rng.normal(size=out.shape))
    (out * weight).sum().backward()
    for _ in range(3):
        along = [torch.tensor(rng.normal(size=part.shape)) for part in inputs]
        wanted = 0.0
        with torch.no_grad():
            for sign in (1e-5, -1e-5):
                moved = [part + sign * step for part, step in zip(inputs, along, strict=True)]
                wanted += float((function(*moved) * weight).sum()) / (2 * sign)
        found = sum(
            float((part.grad * step).sum()) for part, step in zip(inputs, along, strict=True)
        )
        assert found == pytest.approx(wanted, rel=1e-6)


def check_gradient_by_theta():
    x, theta, scale, _ = draw(5, cells=8, genes=4, rank=2)
    counts = sparse(x, scale)
    check_against_differences(lambda part: pmf_programs_t(part, counts, fresh(4, 2)), theta)


def test_the_gradient_by_theta_is_that_of_the_fixed_point():
    check_gradient_by_theta()


def test_the_gradient_by_conjugate_gradients_is_the_same(by_conjugate_gradients):
    check_gradient_by_theta()


def test_the_gradient_goes_through_two_layers():
    x, theta, scale, _ = draw(6, cells=9, genes=4, rank=3)
    counts = sparse(x, scale)

    def last(first, second):
        programs_t = pmf_programs_t(first, counts, fresh(4, 3))
        return pmf_programs_t(second, programs_t.T, fresh(4, 2))

    second = np.random.default_rng(1).gamma(1, 1, (3, 2))
    check_against_differences(last, theta, second)


def test_a_gradient_borrowed_from_the_last_update_alone_would_be_wrong(
    by_conjugate_gradients, monkeypatch
):
    """The test above can tell: without the adjoint the gradient is off by more than a tenth."""
    x, theta, scale, _ = draw(5, cells=8, genes=4, rank=2)
    counts = sparse(x, scale)
    gradients = []
    for steps in (20, 0):
        leaf = torch.tensor(theta, requires_grad=True)
        monkeypatch.setattr("neuralNMF.poisson.posterior._ADJOINT_STEPS", steps)
        pmf_programs_t(leaf, counts, fresh(4, 2)).square().sum().backward()
        gradients.append(leaf.grad)
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm()


@pytest.mark.parametrize("memory", [1 << 29, 0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_empty_rows_columns_and_dead_or_equal_factors_make_no_nan(dtype, memory, monkeypatch):
    monkeypatch.setattr("neuralNMF.poisson.posterior._HESSIAN_BYTES", memory)
    x, theta, scale, _ = draw(7)
    x[3], x[:, 2] = 0, 0
    theta[:, 1] = 0
    theta = np.column_stack([theta, theta[:, 0]])
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    counts = rows_counts(matrix, scale, dtype=dtype)
    theta = torch.tensor(theta, dtype=dtype, requires_grad=True)
    state = PmfState(PRIOR, alike((9, 4)), steps=50)
    programs_t = pmf_programs_t(theta, counts, state)
    programs_t.square().sum().backward()
    _, bound = update(counts, theta.detach(), state.posterior, PRIOR)
    assert np.isfinite(bound)
    assert torch.isfinite(programs_t).all() and (programs_t > 0).all()
    assert torch.isfinite(theta.grad).all()
    # Without counts to explain, the posterior is the prior.
    np.testing.assert_allclose(state.posterior.shape[:, 1], PRIOR.shape, rtol=1e-6)
    np.testing.assert_allclose(state.posterior.shape[2], PRIOR.shape, rtol=1e-6)


def test_float32_gradient_is_close_to_float64():
    x, theta, scale, _ = draw(8, cells=60, genes=20, rank=4)
    matrix = scipy.sparse.csr_matrix(x.astype(np.float32))
    gradients = []
    for dtype in (torch.float64, torch.float32):
        leaf = torch.tensor(theta, dtype=dtype, requires_grad=True)
        state = PmfState(PRIOR, alike((20, 4)), steps=300, tol=0.0)
        pmf_programs_t(
            leaf, rows_counts(matrix, scale, dtype=dtype), state
        ).square().sum().backward()
        gradients.append(leaf.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()


def test_prior_is_checked():
    with pytest.raises(InputError, match="above zero"):
        GammaPrior(0.0, 1.0)
