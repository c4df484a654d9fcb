"""Wrong inputs end in one clear sentence that says what, where and what to do."""

import gzip
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF.errors import InputError
from neuralNMF.io.counts import open_counts
from neuralNMF.io.h5 import write_h5


@pytest.fixture
def adata():
    counts = np.random.default_rng(0).poisson(1.0, (6, 4)).astype(np.float32)
    data = anndata.AnnData(counts)
    data.obs_names = [f"bar{i}" for i in range(6)]
    data.var_names = [f"gene{j}" for j in range(4)]
    return data


def refuse(path, layer=None, temporary=None):
    """The message of the error, which must be one sentence that names the file."""
    with pytest.raises(InputError) as caught, open_counts(path, layer) as reader:
        for _ in reader.chunks(4):
            pass
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and str(path) in message
    assert len(message) < 400
    return message


def test_missing_file(tmp_path):
    assert "no file or folder" in refuse(tmp_path / "none.h5")


def test_a_file_that_is_no_hdf5(tmp_path):
    (tmp_path / "x.h5").write_text("gene,cell\n")
    assert "is no HDF5 file" in refuse(tmp_path / "x.h5")


def test_wrong_hdf5_layout(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["tables/a"] = [1]
    message = refuse(tmp_path / "x.h5")
    assert "none of the known HDF5 layouts" in message and "holds tables" in message


def test_a_layout_with_a_part_missing(tmp_path):
    write_h5(tmp_path / "x.h5", "abc", "de", sp.identity(3).tocsr()[:, :2])
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        del file["matrix/indptr"]
    assert "lacks a part" in refuse(tmp_path / "x.h5")


@pytest.mark.parametrize("bytes_lost", [100, 3000])
def test_truncated_hdf5(tmp_path, adata, bytes_lost):
    adata.write_h5ad(tmp_path / "x.h5ad")
    whole = (tmp_path / "x.h5ad").read_bytes()
    (tmp_path / "x.h5ad").write_bytes(whole[:-bytes_lost])
    assert "truncated or damaged" in refuse(tmp_path / "x.h5ad")


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize(
    ("value", "what"),
    [(-1.0, "negative"), (0.25, "fractional"), (np.nan, "NaN"), (np.inf, "NaN or infinite")],
)
def test_values_that_are_no_counts(tmp_path, adata, value, what, form):
    matrix = np.ones((6, 4), np.float32)
    matrix[5, 2] = value  # in the second chunk
    adata.X = form(matrix)
    adata.write_h5ad(tmp_path / "x.h5ad")
    message = refuse(tmp_path / "x.h5ad")
    assert f"holds {what}" in message
    assert "cell 'bar5', gene 'gene2'" in message
    assert "12.5% of the non-zero values of cells 5 to 6" in message
    assert "it has no other layer" in message


def test_negative_integers(tmp_path, adata):
    adata.X = sp.csr_matrix(np.array([[1, -2, 0, 3]] * 6))
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert "negative values, first in cell 'bar0', gene 'gene1' (-2)" in refuse(tmp_path / "x.h5ad")


def test_log_transformed_values_name_the_layers_to_use(tmp_path, adata):
    adata.layers["counts"] = adata.X.copy()
    adata.layers["scaled"] = adata.X - 1
    adata.X = np.log1p(adata.X * 0.7)
    adata.write_h5ad(tmp_path / "x.h5ad")
    message = refuse(tmp_path / "x.h5ad")
    assert "log-transformed" in message
    assert "name the layer with the raw counts (it also has counts, scaled)" in message
    message = refuse(tmp_path / "x.h5ad", "scaled")
    assert "(layers/scaled)" in message and "negative" in message and "X, counts" in message


def test_values_that_are_no_numbers(tmp_path):
    write_h5(tmp_path / "x.h5", "abc", "de", sp.identity(3).tocsr()[:, :2])
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        del file["matrix/data"]
        file["matrix/data"] = np.ones(2, dtype=complex)
    assert "not numbers" in refuse(tmp_path / "x.h5")


def test_unknown_layer(tmp_path, adata, shared_data):
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert "no layer 'count': its layers are X and counts" in refuse(tmp_path / "x.h5ad", "count")
    message = refuse(shared_data / "sim_original.h5", "counts")
    assert "has no layers" in message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("obs_names", "2 repeated cell names, 'twin'"),
        ("var_names", "2 repeated gene names, 'twin'"),
    ],
)
def test_duplicate_names(tmp_path, adata, names, message):
    doubled = list(getattr(adata, names))
    doubled[1:4] = ["twin"] * 3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        setattr(adata, names, doubled)
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert message in refuse(tmp_path / "x.h5ad")


def test_duplicate_gene_names_of_cellranger(tmp_path):
    write_h5(tmp_path / "x.h5", "abc", ["g", "g"], sp.identity(3).tocsr()[:, :2])
    assert "1 repeated gene names, 'g'" in refuse(tmp_path / "x.h5")


@pytest.mark.parametrize("part", ["barcodes", "features/id", "indptr", "shape"])
def test_names_and_matrix_of_other_sizes(tmp_path, part):
    write_h5(tmp_path / "x.h5", "abc", "de", sp.identity(3).tocsr()[:, :2])
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        group = file["matrix"]
        longer = np.concatenate([group[part][:], group[part][-1:]])
        if part == "shape":
            longer = np.array([7, 7])
        del group[part]
        group[part] = longer
    refuse(tmp_path / "x.h5")


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_h5ad_whose_matrix_does_not_fit_its_tables(tmp_path, adata, form):
    adata.X = form(adata.X)
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        del file["var"]
        anndata.io.write_elem(file, "var", pd.DataFrame(index=["a", "b", "c"]))
    message = refuse(tmp_path / "x.h5ad")
    assert "names 6 cells and 3 genes" in message and "6 x 4" in message


def test_index_beyond_the_genes(tmp_path):
    write_h5(tmp_path / "x.h5", "abc", "de", sp.identity(3).tocsr()[:, :2])
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["matrix/indices"][0] = 9
    assert "gene number 10 but names 2 genes" in refuse(tmp_path / "x.h5")


def test_a_file_without_cells(tmp_path):
    write_h5(tmp_path / "x.h5", [], "de", sp.csr_matrix((0, 2)))
    assert "0 cells and 2 genes" in refuse(tmp_path / "x.h5")


class TestMtx:
    """Broken MTX folders."""

    HEAD = "%%MatrixMarket matrix coordinate integer general\n"

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "barcodes.tsv").write_text("b1\nb2\nb3\n")
        (tmp_path / "genes.tsv").write_text("g1\tG1\ng2\tG2\n")
        (tmp_path / "matrix.mtx").write_text(self.HEAD + "2 3 2\n1 1 4\n2 3 1\n")
        return tmp_path

    def test_whole(self, folder):
        with open_counts(folder) as reader:
            assert next(reader.chunks(9))[1].toarray().tolist() == [[4, 0], [0, 0], [0, 1]]

    def test_file_missing(self, folder):
        (folder / "genes.tsv").unlink()
        assert "has no features.tsv or genes.tsv" in refuse(folder)

    def test_layer(self, folder):
        assert "has no layers" in refuse(folder, "counts")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (HEAD + "2 3 3\n1 1 4\n2 3 1\n", "announces 3 entries but holds 2"),
            (HEAD + "2 3 1\n1 1 4\n2 3 1\n", "announces 1 entries but holds 2"),
            (HEAD + "2 4 1\n1 1 4\n", "2 genes x 4 cells but its folder names 2 genes and 3"),
            (HEAD + "2 3 1\n3 1 4\n", "gene number 3 but names 2"),
            (HEAD + "2 3 1\n0 1 4\n", "gene number 0 but"),
            (HEAD + "2 3 1\n1 1 four\n", "not three numbers"),
            (HEAD + "2 3 2\n1 1 4\n2 3\n", "holds NaN"),
            (HEAD + "2 3 1\n1 1 0.5\n", "fractional"),
            (HEAD + "2 3 1\n1 1 -5\n", "negative"),
            (HEAD, "no line with its size"),
            ("2 3 1\n1 1 4\n", "does not begin with"),
            (HEAD.replace("integer", "pattern") + "2 3 1\n1 1\n", "'pattern'"),
        ],
    )
    def test_matrix(self, folder, text, message):
        (folder / "matrix.mtx").write_text(text)
        with pytest.raises(InputError, match=message), open_counts(folder) as reader:
            list(reader.chunks(2))

    def test_truncated_gzip(self, folder):
        (folder / "matrix.mtx").unlink()
        packed = gzip.compress((self.HEAD + "2 3 2\n1 1 4\n2 3 1\n").encode())
        (folder / "matrix.mtx.gz").write_bytes(packed[:-12])
        with pytest.raises(InputError, match="truncated or damaged"):
            open_counts(folder)
