"""Writing counts files."""

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from neuralNMF.dutil.read_write import write_h5
from neuralNMF.errors import InputError
from neuralNMF.io import h5
from neuralNMF.io.counts import open_counts


@pytest.fixture
def counts():
    return sp.csr_matrix(np.random.default_rng(0).poisson(0.5, (9, 6)))


def test_the_originals_call_makes_folders_and_adds_the_suffix(tmp_path, counts):
    rows, columns = [f"zelle-ü{i}" for i in range(9)], [f"c{j}" for j in range(6)]
    write_h5(tmp_path / "data" / "sim", rows, columns, counts)
    with open_counts(tmp_path / "data" / "sim.h5") as reader:
        assert list(reader.barcodes) == rows
        assert list(reader.gene_ids) == list(reader.gene_symbols) == columns
        ((_, read),) = reader.chunks(100)
    assert (read != counts).nnz == 0


def test_layout_is_cellranger_3(tmp_path, counts):
    h5.write_h5(tmp_path / "x.h5", range(9), range(6), counts)
    with h5py.File(tmp_path / "x.h5") as file:
        group = file["matrix"]
        assert group["shape"][:].tolist() == [6, 9]  # genes x cells
        assert group["indptr"].size == 9 + 1
        assert np.issubdtype(group["data"].dtype, np.integer)
        assert set(group["features"]) == {"id", "name", "feature_type", "genome"}


def test_same_counts_same_bytes(tmp_path, counts):
    for name in ("a", "b"):
        write_h5(tmp_path / name, range(9), range(6), counts)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf])
def test_what_is_no_count_is_refused_and_nothing_written(tmp_path, counts, value):
    wrong = counts.astype(float).tolil()
    wrong[2, 3] = value
    with pytest.raises(InputError, match="no counts"):
        write_h5(tmp_path / "x", range(9), range(6), wrong.tocsr())
    assert list(tmp_path.iterdir()) == []


def test_names_that_do_not_fit_are_refused(tmp_path, counts):
    with pytest.raises(InputError, match="9 cell names and 5 gene names.*9 x 6"):
        write_h5(tmp_path / "x", range(9), range(5), counts)
