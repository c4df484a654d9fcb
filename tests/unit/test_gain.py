"""What a program adds to the prediction of held-out counts."""

import numpy as np
import pytest
from helpers import dataset_of
from neuralNMF.consensus.fit import add_layer
from neuralNMF.consensus.gain import held_out_gains
from neuralNMF.consensus.held_out import overdispersion, with_counts
from neuralNMF.consensus.parts import cells_of, thinned
from neuralNMF.fit import fit_layer
from neuralNMF.options import LayerOptions
from neuralNMF.threads import SERIAL
from scipy.optimize import nnls


@pytest.fixture(scope="module")
def dataset():
    """300 cells of three programs, each with ten genes to itself."""
    rng = np.random.default_rng(0)
    programs = np.kron(np.eye(3), np.full(10, 4.0)) + 0.1
    return dataset_of(rng.poisson(rng.dirichlet(np.full(3, 0.3), 300) * 3 @ programs))


def error(programs: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Of the second half, with each cell's usage by the first: SciPy, cell by cell."""
    usage = np.stack([nnls(programs.T, cell)[0] for cell in train])
    return float(((test - usage @ programs) ** 2).sum())


def test_as_by_scipy(dataset):
    model = fit_layer(dataset, None, LayerOptions(3), progress=False)
    (gains,) = held_out_gains(dataset, model, np.random.default_rng(5), SERIAL)

    rng = np.random.default_rng(5)
    part = cells_of(dataset, np.sort(rng.permutation(300)))
    halves = with_counts(*thinned(part, overdispersion(part, model), rng))
    counts = [half.rows(0, half.shape[0]).toarray().astype(float) for half in halves]
    beta = model.betas[0].astype(float)
    expected = [error(np.delete(beta, k, axis=0), *counts) / error(beta, *counts) for k in range(3)]
    np.testing.assert_allclose(gains, np.array(expected) - 1, rtol=1e-5)
    assert (gains > 0.1).all()  # each is needed


def test_of_a_program_of_hardly_any_cell_nothing_is_said(dataset):
    model = fit_layer(dataset, None, LayerOptions(4, min_support=0), progress=False)
    model.thetas[0][3:, 0] = 0
    (gains,) = held_out_gains(dataset, model, np.random.default_rng(5), SERIAL)
    assert np.isnan(gains[0]) and np.isfinite(gains[1:]).any()


@pytest.mark.parametrize("kind", [{}, {"beta": "learned", "loss": "nested_poisson"}])
def test_it_is_part_of_what_a_consensus_finds(dataset, kind):
    first = add_layer(dataset, None, LayerOptions(3, consensus=True, **kind), progress=False)
    both = add_layer(dataset, first, LayerOptions(2, consensus=True, **kind), progress=False)
    assert len(both.replication) == sum(both.layers)
    assert (both.replication["held_out_gain"] > 0).all()
    alone = LayerOptions(3, consensus=True, epochs=5, **kind)
    assert (
        "held_out_gain"
        not in add_layer(dataset, None, alone, gains=False, progress=False).replication
    )
