"""The data set file: AnnData reads it, NumPy maps it, it is whole or absent."""

import json

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import same_matrix
from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.dataset import DatasetWriter, open_dataset, write_dataset


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    matrix = sp.random(101, 37, 0.2, format="csr", random_state=rng)
    matrix.data = rng.integers(1, 9, matrix.nnz).astype(np.float32)
    return matrix


@pytest.fixture
def path(tmp_path, counts):
    obs = pd.DataFrame(
        {"label": ["a", None, "b", "a"] * 25 + ["c"], "depth": np.arange(101.0)},
        index=[f"bar{i}" for i in range(101)],
    )
    write_dataset(tmp_path / "sub" / "dataset.h5ad", counts, obs)
    return tmp_path / "sub" / "dataset.h5ad"


def test_anndata_reads_it(path, counts):
    data = anndata.read_h5ad(path)
    assert same_matrix(sp.csr_matrix(data.X), counts)
    assert list(data.obs_names[:2]) == ["bar0", "bar1"]
    assert list(data.obs["label"].astype(object)[:3].fillna("none")) == ["a", "none", "b"]
    assert data.obs["dataset"].dtype == "category"
    needed = {"gene_id", "symbol", "mean", "variance", "n_cells", "variable_score", "selected"}
    assert needed <= set(data.var)
    assert json.loads(data.uns["dataset"]) == {}


def test_layout_is_contiguous_aligned_and_typed(path, counts):
    with h5py.File(path) as file:
        for name, dtype in (("data", np.float32), ("indices", np.int32), ("indptr", np.int32)):
            array = file["X"][name]
            assert array.dtype == dtype
            assert array.chunks is None and array.compression is None
            assert array.id.get_offset() % 4096 == 0
        offset = file["X/data"].id.get_offset()
    assert np.array_equal(np.memmap(path, np.float32, "r", offset, counts.nnz), counts.data)


def test_read_map_and_rows_agree(path, counts):
    data = open_dataset(path)
    assert (data.shape, data.nnz) == (counts.shape, counts.nnz)
    assert np.array_equal(data.indptr, counts.indptr) and data.indptr.dtype == np.int64
    for mapped, read in zip(data.map(), data.read(), strict=True):
        assert np.array_equal(mapped, read) and mapped.dtype == read.dtype
        assert read.flags.writeable and not mapped.flags.writeable
    assert same_matrix(data.rows(0, 101), counts)
    assert same_matrix(data.rows(13, 14), counts[13:14])
    assert data.rows(5, 5).shape == (0, 37)
    data.release()
    assert same_matrix(data.rows(100, 101), counts[100:])


def test_rows_are_views_of_the_map(path):
    data = open_dataset(path)
    indices, values = data.map()
    rows = data.rows(3, 6)
    assert np.shares_memory(rows.data, values) and np.shares_memory(rows.indices, indices)
    dense = np.ones((37, 2), np.float32)
    assert np.allclose(rows @ dense, rows.toarray() @ dense)
    assert np.allclose(rows.T @ np.ones((3, 1)), rows.toarray().T @ np.ones((3, 1)))


def test_reader_leaves_the_file_closed(path):
    data = open_dataset(path)
    data.map()
    with h5py.File(path, "r+"):  # HDF5 refuses this while it has the file open elsewhere
        pass


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("step", [1, 7, 101, 500])
def test_chunks_give_the_file_of_one_piece(tmp_path, path, counts, step, announced):
    whole = open_dataset(path)
    with DatasetWriter(tmp_path / "d.h5ad", 37, counts.nnz if announced else None) as writer:
        for start in range(0, 101, step):
            writer.append(counts[start : start + step])
        writer.finish(whole.obs, whole.var, {})
    assert (tmp_path / "d.h5ad").read_bytes() == path.read_bytes()
    assert [entry.name for entry in tmp_path.glob("*.h5ad")] == ["d.h5ad"]


def test_unsorted_and_repeated_entries_are_put_in_order(tmp_path):
    messy = sp.csr_matrix(
        (np.array([1.0, 2.0, 3.0]), np.array([4, 0, 4]), np.array([0, 3])), shape=(1, 5)
    )
    write_dataset(tmp_path / "d.h5ad", messy)
    rows = open_dataset(tmp_path / "d.h5ad").rows(0, 1)
    assert rows.indices.tolist() == [0, 4] and rows.data.tolist() == [2.0, 4.0]


def test_empty_cells_and_an_empty_matrix(tmp_path):
    for matrix in (sp.csr_matrix((3, 4)), sp.csr_matrix(np.diag([1.0, 0.0, 2.0]))):
        write_dataset(tmp_path / "d.h5ad", matrix)
        data = open_dataset(tmp_path / "d.h5ad")
        assert same_matrix(data.rows(0, 3), matrix.astype(np.float32))
        assert data.read()[1].size == matrix.nnz
        data.release()


def test_a_failed_write_leaves_the_old_file_and_no_other(path, counts):
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), DatasetWriter(path, 37) as writer:
        writer.append(counts)
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="not finished"), DatasetWriter(path, 37) as writer:
        writer.append(counts)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_writer_refuses_what_does_not_fit(path, counts):
    data = open_dataset(path)
    with pytest.raises(InputError, match="36 genes"), DatasetWriter(path, 37) as writer:
        writer.append(counts[:, 1:])
    with pytest.raises(ValueError, match="announced"), DatasetWriter(path, 37, 5) as writer:
        writer.append(counts)
    with pytest.raises(ValueError, match="tables of 101"), DatasetWriter(path, 37) as writer:
        writer.append(counts[1:])
        writer.finish(data.obs, data.var, {})


def test_opening_what_is_no_data_set(tmp_path, path, shared_data):
    with pytest.raises(InputError, match="no data set"):
        open_dataset(tmp_path / "none.h5ad")
    with pytest.raises(InputError, match="memory-mapped"):
        open_dataset(shared_data / "pbmc_facs.h5ad")
    with pytest.raises(InputError, match="not a whole data set"):
        open_dataset(shared_data / "sim_original.h5")
    short = tmp_path / "short.h5ad"
    short.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="not a whole data set"):
        open_dataset(short)


def test_atomic_path_makes_folders_and_replaces_only_on_success(tmp_path):
    target = tmp_path / "a" / "b.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".txt"
        temporary.write_text("one")
    with pytest.raises(KeyError), atomic_path(target) as temporary:
        temporary.write_text("two")
        raise KeyError
    assert target.read_text() == "one"
    assert list(target.parent.iterdir()) == [target]


def test_scipy_works_on_what_anndata_reads(tmp_path):
    """Scaling a cell in scanpy multiplies by a column, which scipy refuses on mixed index types."""
    counts = sp.random(
        30, 20, 0.2, format="csr", dtype=np.float32, random_state=np.random.default_rng(0)
    )
    counts.data = np.ceil(5 * counts.data)
    write_dataset(tmp_path / "dataset.h5ad", counts)
    read = anndata.read_h5ad(tmp_path / "dataset.h5ad").X
    halved = read.multiply(np.full((30, 1), 0.5)).toarray()
    assert np.array_equal(halved, 0.5 * counts.toarray())
