"""Programs that too few cells carry: which they are, and what a fit does with them."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.errors import InputError
from neuralNMF.evidence.support import support
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.dataset_writer import write_dataset
from neuralNMF.options import LayerOptions
from neuralNMF.team import ALONE
from neuralNMF.training.loop import Status, Training
from neuralNMF.training.supported import Round, support_needed, supported

CELLS, GENES = 300, 120
TYPES = 4
SOLVERS = {
    "lsq": {},
    "learned": {"beta": "learned"},
    "poisson": {"beta": "learned", "loss": "nested_poisson"},
    "last layer": {"loss": "reconstruction"},
}


def planted(odd_cells):
    """Four types of cells, and a few odd cells with genes of their own, far above the rest."""
    rng = np.random.default_rng(0)
    beta = rng.gamma(0.3, 1.0, (TYPES, GENES))
    beta[:, -10:] = 0
    theta = rng.gamma(0.3, 10.0, (CELLS, TYPES))
    mean = theta @ beta
    mean[:odd_cells, -10:] = 200
    return sp.csr_matrix(rng.poisson(mean).astype(np.float32))


def written(path, odd_cells, counts=None):
    counts = planted(odd_cells) if counts is None else counts.astype(np.float32)
    write_dataset(path, counts[np.asarray(counts.sum(1)).ravel() > 0])
    return open_dataset(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return written(tmp_path_factory.mktemp("supported") / "dataset.h5ad", odd_cells=3)


def fit(dataset, ranks, **options):
    model = None
    for rank in ranks:
        model = fit_layer(dataset, model, LayerOptions(rank, threads=1, **options), progress=False)
    return model


@pytest.mark.parametrize("name", SOLVERS)
def test_a_program_of_a_few_cells_is_given_up_and_the_log_says_so(dataset, name, caplog):
    options = {"epochs": 100, **SOLVERS[name]}
    every = fit(dataset, [6], min_support=0, **options)
    assert support(every.usages[0]).min() < 10
    with caplog.at_level("WARNING"):
        model = fit(dataset, [6, 3], **options)
    assert model.layers[0] < 6
    for usage in model.usages:
        assert (support(usage) >= 10).all()
    assert f"layer 1 has {model.layers[0]} programs of the 6 that were asked for" in caplog.text
    assert not any(dead.any() for dead in model.dead)


@pytest.mark.parametrize("loss", ["nested_poisson", "poisson"])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_program_had_to_itself_goes_to_the_others(tmp_path, loss, seed):
    """Multiplicative steps cannot leave zero: cells of a lost program must not be left without."""
    rng = np.random.default_rng(seed)
    # Every type has genes of its own, so that a program that is given up leaves zeros behind.
    beta = np.kron(np.eye(8), np.ones((1, 15))) * rng.gamma(2.0, 1.0, (8, GENES))
    theta = np.eye(8).repeat([15] * 4 + [150] * 4, axis=0)
    dataset = written(tmp_path / "d.h5ad", 0, sp.csr_matrix(rng.poisson(5 * theta @ beta)))
    options = {"beta": "learned", "loss": loss, "epochs": 300}
    model = fit(dataset, [8], min_support=20, **options)
    flat = fit(dataset, model.layers, min_support=0, **options)
    assert model.layers[0] < 8
    assert model.info["deviance"] <= 1.05 * flat.info["deviance"]


def test_where_enough_cells_carry_every_program_nothing_changes(tmp_path):
    dataset = written(tmp_path / "dataset.h5ad", odd_cells=0)
    kept = fit(dataset, [4, 2], epochs=50)
    plain = fit(dataset, [4, 2], epochs=50, min_support=0)
    assert kept.layers == [4, 2]
    for one, other in zip(kept.thetas, plain.thetas, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_next_layer_has_fewer_programs_than_are_left(dataset):
    model = fit(dataset, [6, 5, 4], epochs=30)
    assert model.layers[0] > model.layers[1] > model.layers[2]


def test_a_limit_that_no_program_reaches_leaves_one_a_layer():
    kept = supported([np.array([3.0, 5.0, 4.0]), np.array([2.0, 6.0])], 1e6)
    assert [part.tolist() for part in kept] == [[1], [1]]


def test_of_few_cells_a_thirtieth_is_enough():
    assert support_needed(10, 150) == 5
    assert support_needed(10, 1000) == 10
    assert support_needed(0, 150) == 0


def test_which_are_kept_by_hand():
    # Layer 1: programs of 3, 40 and 30 cells; layer 2: all but 3 cells, and the 3 cells.
    first = np.zeros((73, 3))
    first[:3, 0], first[3:43, 1], first[43:, 2] = 5.0, 1.0, 2.0
    second = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    programs_t = [torch.tensor([[1.0, 4.0, 2.0]]), torch.tensor([[1.0, 1.0]])]
    thetas = [torch.tensor(first), torch.tensor(second)]
    trained = Round(None, thetas, programs_t, Training(Status.LIMIT), ALONE)
    found = trained.supports()
    np.testing.assert_allclose(found[0], [3, 40, 30])
    np.testing.assert_allclose(found[1], [70, 3])
    kept = supported(found, 10.0)
    assert [part.tolist() for part in kept] == [[1, 2], [0]]
    left, programs_left = trained.without(kept)
    np.testing.assert_array_equal(left[0], first[:, 1:])
    np.testing.assert_array_equal(left[1], [[1.0], [1.0]])
    assert [part.tolist() for part in programs_left] == [[[4.0, 2.0]], [[1.0]]]
    assert [part.tolist() for part in supported(found, 0)] == [[0, 1, 2], [0, 1]]


def test_mixing_is_the_product():
    rng = np.random.default_rng(0)
    usage, mixing = rng.random((50, 4)), rng.random((4, 3))
    np.testing.assert_allclose(support(usage, mixing), support(usage @ mixing), rtol=1e-12)


def test_a_negative_limit_is_refused():
    with pytest.raises(InputError, match="min_support is -1: it must be a number >= 0"):
        LayerOptions(3, min_support=-1)
