"""What the method must reach on simulated and on real counts."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import agreement, least_cosine
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.options import LayerOptions
from neuralNMF.simulate import simulate
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

pytestmark = pytest.mark.slow

LAYERS = (20, 10)


def fit(dataset, **options):
    model = None
    for rank in LAYERS:
        model = fit_layer(dataset, model, LayerOptions(rank, **options), progress=False)
    return model


def best_of_scikit_learn(counts, rank):
    """The mean squared error of the best of four starts, 300 iterations each."""
    errors = []
    for seed in (None, 0, 1, 2):
        start = "nndsvda" if seed is None else "random"
        nmf = NMF(rank, init=start, random_state=seed or 0, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theta = nmf.fit_transform(counts)
        errors.append(((counts - theta @ nmf.components_) ** 2).mean())
    return min(errors)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_simulated_example_reaches_the_error_of_nmf_and_the_true_programs(tmp_path, seed):
    drawn = simulate(1000, 2000, 10, rng=np.random.default_rng(seed))
    write_dataset(tmp_path / "dataset.h5ad", sp.csr_matrix(drawn.counts.astype(np.float32)))
    model = fit(open_dataset(tmp_path / "dataset.h5ad"))
    best = best_of_scikit_learn(drawn.counts.astype(np.float32), 10)
    least = least_cosine(model.betas[1], drawn.beta)
    print(f"mse {model.info['mse']:.4f}, scikit-learn {best:.4f}, least cosine {least:.4f}")
    assert model.info["mse"] <= 1.005 * best
    assert least >= 0.995


def test_the_original_example_reaches_the_error_of_nmf(tmp_path, shared_data):
    path = tmp_path / "dataset.h5ad"
    inputs = [InputSpec(shared_data / "sim_original.h5", "sim")]
    build_dataset(inputs, path, DatasetOptions(), progress=False)
    dataset = open_dataset(path)
    best = best_of_scikit_learn(dataset.rows(0, dataset.shape[0]).toarray(), 10)
    error = fit(dataset).info["mse"]
    print(f"mse {error:.4f}, scikit-learn {best:.4f}")
    assert error <= 1.005 * best


@pytest.fixture(scope="module")
def blood(tmp_path_factory, shared_data):
    path = tmp_path_factory.mktemp("blood") / "dataset.h5ad"
    options = DatasetOptions(variable_genes=2000, min_cells=20)
    inputs = [InputSpec(shared_data / "pbmc_facs.h5ad", "blood")]
    build_dataset(inputs, path, options, progress=False)
    return open_dataset(path)


# More seeds, sets and measures: benchmarks.answer.
@pytest.mark.parametrize("seed", [0, 1])
def test_usage_of_real_blood_cells_agrees_with_the_sorted_types(blood, seed):
    model = fit(blood, normalize="variance", seed=seed)
    lineage = agreement(model.usages[1], model.obs["lineage"], 5)
    celltype = agreement(model.usages[1], model.obs["celltype"], 10)
    print(f"mse {model.info['mse']:.5f}, lineage {lineage:.3f}, celltype {celltype:.3f}")
    assert lineage >= 0.90
    assert celltype >= 0.65
