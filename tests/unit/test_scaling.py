"""The vectors of `normalize` and the values of `transform` beside their plain definitions."""

import numpy as np
import pytest
import scipy.sparse as sp
from neuralNMF.cells.scaling import Scaling, fit_scaling, scaled_matrix
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.options import NORMALIZATIONS, TRANSFORMS

FUNCTIONS = {"none": lambda x: x, "sqrt": np.sqrt, "log1p": np.log1p}


@pytest.fixture
def counts():
    """Small counts; cell 4 has none."""
    counts = np.random.default_rng(0).poisson(0.8, (30, 9)).astype(np.float32)
    counts[4] = 0
    return counts


@pytest.fixture
def dataset(counts, tmp_path):
    write_dataset(tmp_path / "dataset.h5ad", sp.csr_matrix(counts))
    return open_dataset(tmp_path / "dataset.h5ad")


def plain(counts, normalize, transform):
    counts = counts.astype(np.float64)
    cells = np.ones(len(counts))
    if normalize != "counts":
        totals = counts.sum(axis=1)
        cells = np.where(totals > 0, np.median(totals[totals > 0]) / np.maximum(totals, 1), 1.0)
    values = FUNCTIONS[transform](cells[:, None] * counts)
    if normalize == "variance":
        values = values / values.std(axis=0)
    return values


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_the_matrix_is_that_of_the_definition(dataset, counts, normalize, transform):
    scaling = fit_scaling(dataset, normalize, transform)
    formed = scaled_matrix(sp.csr_matrix(counts), scaling)
    # A transform is computed in the precision of the counts, single.
    rtol = 1e-12 if transform == "none" else 1e-6
    np.testing.assert_allclose(formed.toarray(), plain(counts, normalize, transform), rtol=rtol)
    assert formed.dtype == np.float64


def test_counts_change_nothing(dataset, counts):
    scaling = fit_scaling(dataset, "counts", "none")
    np.testing.assert_array_equal(scaling.cells, 1)
    np.testing.assert_array_equal(scaling.genes, 1)


def test_library_gives_every_cell_the_median_total(dataset, counts):
    scaling = fit_scaling(dataset, "library", "none")
    totals = counts.sum(axis=1)
    again = np.asarray(scaled_matrix(sp.csr_matrix(counts), scaling).sum(axis=1)).ravel()
    np.testing.assert_allclose(again[totals > 0], np.median(totals[totals > 0]), rtol=1e-12)
    assert again[4] == 0


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_variance_gives_every_gene_a_standard_deviation_of_one(dataset, counts, transform):
    scaling = fit_scaling(dataset, "variance", transform)
    formed = scaled_matrix(sp.csr_matrix(counts), scaling).toarray()
    np.testing.assert_allclose(formed.std(axis=0), 1, rtol=1e-6)


def test_a_gene_that_never_varies_keeps_its_scale(tmp_path):
    counts = np.random.default_rng(0).poisson(3.0, (20, 6)).astype(np.float32)
    counts[:, 1], counts[:, 4] = 0, 7
    counts[:, 5] += 200 - counts.sum(axis=1)  # equal totals
    write_dataset(tmp_path / "dataset.h5ad", sp.csr_matrix(counts))
    scaling = fit_scaling(open_dataset(tmp_path / "dataset.h5ad"), "variance", "none")
    np.testing.assert_array_equal(scaling.genes[[1, 4]], 1)
    assert np.isfinite(scaling.genes).all()
    assert (scaling.genes[[0, 2, 3, 5]] != 1).all()


def test_without_a_transform_the_values_are_not_copied():
    scaling = Scaling(np.full(3, 2.0), np.ones(4))
    data, indptr = np.arange(5, dtype=np.float32), np.array([0, 2, 2, 5])
    assert scaling.values(data, indptr, np.arange(5), 0, 3) is data
    np.testing.assert_array_equal(scaling.outer_cells, 2)


@pytest.mark.parametrize("transform", ["sqrt", "log1p"])
def test_a_transform_acts_after_the_cell_factor_and_leaves_its_input_alone(transform):
    cells = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    scaling = Scaling(cells, np.ones(4), transform)
    data, indptr = np.arange(1, 6, dtype=np.float32), np.array([10, 12, 12, 15])
    values = scaling.values(data, indptr, np.arange(5), 1, 4)
    expected = FUNCTIONS[transform](data * np.array([2, 2, 4, 4, 4]))
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_array_equal(data, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(scaling.outer_cells, 1)
