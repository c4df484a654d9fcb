"""KL-NMF beside scikit-learn's and beside what theory says of a minimum."""

import numpy as np
import pytest
import scipy.sparse
import torch
from neuralNMF.cells.counts import dense_counts, library_size, rows_counts, tensor_counts
from neuralNMF.poisson.candidates import random_starts
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.poisson.em import em_step, kl_nmf
from sklearn.decomposition import NMF


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    theta, beta = rng.gamma(0.5, 1, (120, 3)), rng.gamma(0.3, 2, (3, 50))
    return scipy.sparse.csr_matrix(rng.poisson(theta @ beta).astype(np.float32))


def fit(counts, rank=3, seed=0, number=3, **options):
    """From some random starts."""
    generator = torch.Generator().manual_seed(seed)
    return kl_nmf(counts, random_starts(counts, rank, generator, number), **options)


def test_it_reaches_the_optimum_of_scikit_learn(problem):
    scale = library_size(np.asarray(problem.sum(1)).ravel() + 1)
    counts = rows_counts(problem, scale)
    found = fit(counts, tol=1e-6, passes=2000)
    dense = problem.toarray()
    others = []
    for seed in range(3):
        other = NMF(
            3,
            solver="mu",
            beta_loss="kullback-leibler",
            init="random",
            random_state=seed,
            max_iter=3000,
            tol=1e-7,
        )
        left = other.fit_transform(dense).astype(np.float64)
        rate = np.maximum(left @ other.components_, 1e-10)
        logs = np.log(np.where(dense > 0, dense, 1) / np.where(dense > 0, rate, 1))
        others.append(2 * (dense * logs - dense + rate).sum())
    assert found.deviance <= 1.002 * min(others)
    assert found.converged


def test_the_reported_deviance_is_that_of_the_returned_factors(problem):
    counts = rows_counts(problem)
    found = fit(counts)
    again = float(poisson_deviance(found.theta, found.programs_t, counts))
    assert found.deviance == pytest.approx(again, rel=1e-12)
    assert found.deviance <= min(found.history) * (1 + 1e-6)
    np.testing.assert_allclose(found.programs_t.sum(0), 1, rtol=1e-12)


def test_at_the_optimum_the_conditions_of_kuhn_and_tucker_hold(problem):
    counts = rows_counts(problem, dtype=torch.float64)
    found = fit(counts, tol=1e-12, passes=5000, number=1)
    theta, programs_t = (
        factor.clone().requires_grad_() for factor in (found.theta, found.programs_t)
    )
    poisson_deviance(theta, programs_t, counts).backward()
    mass, weights = found.programs_t.sum(0), counts.weights(found.theta)
    for factor, cost in ((theta, torch.outer(counts.scale, mass)), (programs_t, weights)):
        slope = factor.grad / (2 * cost)
        factor = factor.detach()
        assert float(slope.min()) > -1e-3
        share = factor / factor.sum(0)
        assert float((share * slope).abs().max()) < 1e-5


def test_plain_em_never_raises_the_deviance(problem):
    counts = rows_counts(problem, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    theta = torch.rand((120, 3), generator=generator, dtype=torch.float64)
    programs_t = torch.rand((50, 3), generator=generator, dtype=torch.float64)
    values = []
    for _ in range(30):
        values.append(float(poisson_deviance(theta, programs_t, counts)))
        found = counts.rates(theta, programs_t, rows=True, columns=True)
        theta, programs_t = em_step(theta, programs_t, found, counts.scale[:, None])
    assert (np.diff(values) <= 1e-9 * values[0]).all()
    # The step keeps every cell's total.
    np.testing.assert_allclose(theta.sum(1), problem.sum(1).A1, atol=1e-6)


def test_library_sizes_only_rescale_the_cells(problem):
    """The model of depth 1 is the same with any library sizes; Theta is divided by them."""
    scale = np.random.default_rng(2).uniform(0.5, 2, 120)
    start = torch.rand((120, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    programs_t = torch.rand(
        (50, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    plain, sized = (
        kl_nmf(rows_counts(problem, s, dtype=torch.float64), [pair], passes=40)
        for s, pair in (
            (None, (start, programs_t)),
            (scale, (start / torch.tensor(scale)[:, None], programs_t)),
        )
    )
    assert sized.deviance == pytest.approx(plain.deviance, rel=1e-8)
    np.testing.assert_allclose(
        sized.theta * torch.tensor(scale)[:, None], plain.theta, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["streamed", "tensor", "dense"])
def test_every_way_to_hold_the_counts_gives_the_same(problem, kind):
    options = {"dtype": torch.float64}
    whole = fit(rows_counts(problem, **options), passes=60)
    counts = {
        "streamed": lambda: rows_counts(problem, cuts=(0, 1, 50, 50, 120), **options),
        "tensor": lambda: tensor_counts(problem, **options),
        "dense": lambda: dense_counts(torch.tensor(problem.toarray(), dtype=torch.float64)),
    }[kind]()
    other = fit(counts, passes=60)
    assert other.deviance == pytest.approx(whole.deviance, rel=1e-9)
    np.testing.assert_allclose(other.theta, whole.theta, rtol=1e-4, atol=1e-6)


def test_same_seed_same_bytes_other_seed_other_start(problem):
    first, again, other = (fit(rows_counts(problem), seed=s, passes=10) for s in (0, 0, 1))
    assert torch.equal(first.theta, again.theta) and torch.equal(first.programs_t, again.programs_t)
    assert not torch.equal(first.theta, other.theta)


def test_empty_cells_and_genes_make_no_nan():
    x = np.random.default_rng(0).poisson(1.0, (20, 12)).astype(np.float32)
    x[4], x[:, 3] = 0, 0
    scale = np.ones(20)
    scale[4] = 0
    found = fit(rows_counts(scipy.sparse.csr_matrix(x), scale), rank=4)
    assert torch.isfinite(found.theta).all() and torch.isfinite(found.programs_t).all()
    assert np.isfinite(found.deviance)
    assert (found.theta[4] == 0).all() and (found.programs_t[3] == 0).all()


def test_the_limit_of_passes_is_kept_and_reported(problem):
    seen = []
    found = fit(rows_counts(problem), passes=7, number=2, trial=5, report=seen.append)
    assert not found.converged
    assert len(found.history) == 7 and len(seen) == 12
    assert (np.diff(seen[:5]) <= 0).all() and (np.diff(seen[5:10]) <= 0).all()
    assert seen[-1] == min(found.history)
