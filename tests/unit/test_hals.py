"""NMF of low-rank matrices beside the matrix written out, and beside scikit-learn."""

import numpy as np
import pytest
import torch
from neuralNMF.cells.products import tensor_products
from neuralNMF.cells.svd import nndsvd_theta, singular_vectors
from neuralNMF.solvers.hals import LowRank, hals
from neuralNMF.threads import Threads
from sklearn.decomposition import NMF

CELLS, GENES, RANK = 120, 80, 5


def planted(seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    matrix = rng.gamma(0.3, 1.0, (CELLS, RANK)) @ rng.gamma(0.3, 1.0, (RANK, GENES))
    return matrix + noise * rng.random((CELLS, GENES))


def low_rank(matrix, rank, dtype=torch.float64):
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return LowRank(
        torch.tensor(left[:, :rank] * values[:rank], dtype=dtype),
        torch.tensor(right[:rank].T.copy(), dtype=dtype),
    )


def start(rank=RANK, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((CELLS, rank), generator=generator, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_error_is_that_of_the_factors(threads, dtype):
    matrix = planted(noise=0.3)
    held = low_rank(matrix, 12, dtype)
    formed = (held.rows @ held.columns.T).double()
    assert held.square_sum == pytest.approx(formed.square().sum().item(), rel=1e-5)
    found = hals(held, start(dtype=dtype), 25, threads=Threads(threads))
    left = (formed - found.theta.double() @ found.programs_t.double().T).square().sum().item()
    assert found.error == pytest.approx(left, rel=1e-10 if dtype == torch.float64 else 1e-2)
    assert min(found.theta.min(), found.programs_t.min()) >= 0


def test_more_epochs_are_never_worse_and_the_start_stays():
    matrix, given = low_rank(planted(noise=0.3), 12), start()
    errors = [hals(matrix, given, epochs).error for epochs in (1, 2, 5, 10, 20, 40, 80)]
    assert (np.diff(errors) <= 0).all()
    assert torch.equal(given, start())


def test_the_matrix_itself_as_rows_of_unit_columns():
    matrix = torch.tensor(planted(noise=0.3))
    plain = hals(
        LowRank(torch.eye(CELLS, dtype=torch.float64), matrix.T), start(), 30, threads=Threads(1)
    )
    other = hals(low_rank(matrix.numpy(), GENES), start(), 30)
    assert plain.error == pytest.approx(other.error, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_reaches_the_error_of_scikit_learn(seed):
    matrix = planted(seed, noise=0.3)
    generator = torch.Generator().manual_seed(seed)
    left, values, right = singular_vectors(tensor_products(torch.tensor(matrix)), RANK, generator)
    given = nndsvd_theta(left, values, right) + 0.01
    found = hals(low_rank(matrix, GENES), given, 500, threads=Threads(2))
    theirs = NMF(RANK, init="nndsvda", max_iter=5000, tol=1e-5).fit(matrix)
    assert found.error <= 1.01 * theirs.reconstruction_err_**2


def test_a_dead_program_and_a_matrix_of_zeros_make_no_nan():
    given = start()
    given[:, 2] = 0
    found = hals(low_rank(planted(), RANK), given, 20)
    assert torch.isfinite(found.theta).all() and torch.isfinite(found.programs_t).all()
    nothing = LowRank(torch.zeros((CELLS, 3)), torch.zeros((GENES, 3)))
    found = hals(nothing, start(dtype=torch.float32), 20)
    assert found.error == 0 and torch.isfinite(found.theta).all()


def test_singular_vectors_are_those_of_numpy():
    matrix = planted(noise=0.05)
    generator = torch.Generator().manual_seed(0)
    left, values, right = singular_vectors(tensor_products(torch.tensor(matrix)), 4, generator)
    theirs = np.linalg.svd(matrix)
    np.testing.assert_allclose(values, theirs[1][:4], rtol=1e-6)
    for found, expected in ((left.T, theirs[0].T[:4]), (right.T, theirs[2][:4])):
        np.testing.assert_allclose(np.abs((found.numpy() * expected).sum(1)), 1, atol=1e-4)


def test_the_start_from_singular_vectors_keeps_the_heavier_half():
    left = torch.tensor([[0.8, -0.9], [0.6, 0.1], [0.0, -0.4]], dtype=torch.float64)
    right = torch.tensor([[0.6, 0.2], [0.8, -0.97]], dtype=torch.float64)
    theta = nndsvd_theta(left, torch.tensor([4.0, 1.0], dtype=torch.float64), right)
    assert (theta >= 0).all()
    np.testing.assert_allclose(theta[:, 0], left[:, 0] * 2, atol=1e-12)
    # Of the second pair both negative halves weigh more: entries 0 and 2.
    length = np.hypot(0.9, 0.4)
    expected = np.array([0.9, 0.0, 0.4]) / length * np.sqrt(length * 0.97)
    np.testing.assert_allclose(theta[:, 1], expected, atol=1e-12)
