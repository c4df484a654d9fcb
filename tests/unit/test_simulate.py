"""The simulator of the original model: distributions, shapes, seeds."""

import neuralNMF
import numpy as np
import pytest
import scipy.sparse as sp
from neuralNMF.errors import InputError
from neuralNMF.io.simulation import load_simulation, save_simulation
from neuralNMF.simulate import generate_data, simulate


def draw(*args, seed=0, **kwargs):
    return simulate(*args, rng=np.random.default_rng(seed), **kwargs)


def test_block_mode_has_the_documented_moments():
    drawn = draw(1500, 1000, 10)
    blocks = np.kron(np.eye(10, dtype=bool), np.ones(100, dtype=bool))
    assert drawn.beta[blocks].mean() == pytest.approx(6 * 4, rel=0.05)
    assert drawn.beta[blocks].var() == pytest.approx(6 * 4**2, rel=0.2)
    assert drawn.beta[~blocks].mean() == pytest.approx(2, rel=0.05)
    assert drawn.beta[~blocks].var() == pytest.approx(2, rel=0.1)
    assert drawn.theta.mean() == pytest.approx(1, rel=0.05)
    assert drawn.theta.var() == pytest.approx(1, rel=0.1)
    assert drawn.counts.mean() == pytest.approx(42, rel=0.05)


def test_counts_are_poisson_around_theta_beta():
    drawn = draw(800, 300, 4)
    mean = drawn.theta @ drawn.beta
    residual = (drawn.counts - mean) / np.sqrt(mean)
    assert residual.mean() == pytest.approx(0, abs=0.01)
    assert residual.var() == pytest.approx(1, abs=0.02)


def test_block_loadings_raise_each_block_of_cells_on_its_own_program():
    plain, blocked = draw(2000, 40, 4), draw(2000, 40, 4, block_loadings=True)
    own = np.kron(np.eye(4, dtype=bool), np.ones((500, 1), dtype=bool))
    assert plain.theta[own].mean() == pytest.approx(1, rel=0.1)
    assert blocked.theta[own].mean() == pytest.approx(3 * 2, rel=0.1)
    assert blocked.theta[~own].mean() == pytest.approx(1, rel=0.1)


def test_programs_need_not_divide_the_genes():
    beta = draw(10, 107, 10).beta
    high = beta > 8
    assert beta.shape == (10, 107)
    assert high.any(axis=0).mean() > 0.9  # each gene, the last ones too, is in a block
    assert high[:, 97:].sum() == high[9, 97:].sum()  # the last block is the last program's


def test_gamma_mode_has_no_blocks():
    drawn = draw(3000, 2000, 5, mode="gamma")
    for matrix in (drawn.theta, drawn.beta):
        assert matrix.mean() == pytest.approx(0.05, rel=0.05)
        assert matrix.var() == pytest.approx(0.005, rel=0.1)


def test_same_seed_same_counts_and_no_global_state():
    first = draw(20, 30, 3, seed=1)
    np.random.seed(7)  # noqa: NPY002 (the global generator must not matter)
    assert np.array_equal(first.counts, draw(20, 30, 3, seed=1).counts)
    assert not np.array_equal(first.counts, draw(20, 30, 3, seed=2).counts)


def test_generate_data_has_the_originals_shapes():
    theta, beta, counts = neuralNMF.generate_data(N=50, K=7, M=60, mode="block")
    assert (theta.shape, beta.shape, counts.shape) == ((50, 7), (60, 7), (50, 60))
    assert np.issubdtype(counts.dtype, np.integer)
    assert generate_data(50, 7, 60, "anything else")[2].mean() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 2), "'cells'.*0"),
        ((10, 2.5, 2), "'genes'.*2.5"),
        ((10, 10, True), "'programs'"),
        ((10, 10, 2, "blok"), "'blok'.*block, gamma"),
        ((10, 10, 11), "11 programs"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        draw(*arguments)


def test_simulation_file_keeps_counts_and_truth_with_the_same_bytes(tmp_path):
    drawn = draw(30, 40, 3, mode="gamma")
    paths = [tmp_path / "new" / "a.npz", tmp_path / "b.npz"]
    for path in paths:
        save_simulation(path, drawn, seed=0)
    loaded = load_simulation(paths[0])
    for name in ("counts", "theta", "beta"):
        assert np.array_equal(getattr(loaded, name), getattr(drawn, name)), name
    assert loaded.parameters == drawn.parameters | {"seed": 0}
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with np.load(paths[0]) as saved:
        assert (
            sp.csr_matrix((saved["data"], saved["indices"], saved["indptr"])).nnz
            == saved["data"].size
        )


def test_missing_and_broken_simulation_files(tmp_path):
    with pytest.raises(InputError, match="no simulation"):
        load_simulation(tmp_path / "none.npz")
    whole = tmp_path / "whole.npz"
    save_simulation(whole, draw(30, 40, 3))
    broken = tmp_path / "broken.npz"
    broken.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole simulation"):
        load_simulation(broken)
