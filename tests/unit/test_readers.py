"""Readers of counts: each format on a file that this project did not write, and on variants."""

import gzip
import shutil
import tracemalloc

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from helpers import same_matrix
from neuralNMF.io import h5ad, hdf5_rows, mtx
from neuralNMF.io.counts import open_counts
from neuralNMF.io.sort_by_cell import sort_by_cell
from neuralNMF.io.temporary_csr import TemporaryCsr

TENX = "10x/v3_filtered_feature_bc_matrix"


def read(path, layer=None, chunk=1000):
    """The whole matrix, through chunks."""
    with open_counts(path, layer) as reader:
        pieces, expected = [], 0
        for start, counts in reader.chunks(chunk):
            assert start == expected
            assert counts.dtype == np.float32 and counts.has_canonical_format
            assert counts.shape[0] == min(chunk, reader.shape[0] - start)
            expected += counts.shape[0]
            pieces.append(counts)
        assert expected == reader.shape[0]  # the last cell too
        return reader, sp.vstack(pieces, format="csr")


@pytest.fixture
def counts():
    rng = np.random.default_rng(1)
    return sp.csr_matrix(rng.poisson(0.4, (23, 11)))


@pytest.fixture
def adata(counts):
    obs = pd.DataFrame({"kind": pd.Categorical(["x", "y"] * 11 + ["x"])},
                       index=[f"bar{i}" for i in range(23)])  # fmt: skip
    var = pd.DataFrame({"gene_symbols": [f"S{j}" for j in range(11)]},
                       index=[f"ENS{j}" for j in range(11)])  # fmt: skip
    return anndata.AnnData(counts.astype(np.float32), obs=obs, var=var)


# Files of others


def test_cellranger_3_h5_and_mtx_folder_give_the_same_matrix(shared_data):
    first, a = read(shared_data / f"{TENX}.h5", chunk=100)
    second, b = read(shared_data / TENX, chunk=333)
    assert a.shape == (1107, 507) and a.nnz == 23866
    assert same_matrix(a, b)
    assert list(first.barcodes) == list(second.barcodes)
    assert list(first.gene_ids) == list(second.gene_ids)
    assert list(first.gene_symbols) == list(second.gene_symbols)
    assert first.gene_ids[0] == "ENSG00000279493" and first.gene_symbols[0] == "CH507-9B2.2"
    assert first.barcodes[-1] == "TTTGGTTGTAGAATAC-1"


def test_mtx_folder_agrees_with_scipys_reader(shared_data):
    _, counts = read(shared_data / TENX)
    plain = scipy.io.mmread(shared_data / TENX / "matrix.mtx.gz").T
    assert same_matrix(counts, sp.csr_matrix(plain))


def test_the_originals_h5_with_its_shape_the_other_way_round(shared_data):
    reader, counts = read(shared_data / "sim_original.h5", chunk=300)
    assert counts.shape == (1000, 2000) and counts.nnz == 1999985
    assert reader.barcodes[-1] == "999" and reader.gene_ids[-1] == "c1999"
    with h5py.File(shared_data / "sim_original.h5") as file:
        group = file["matrix"]
        last = slice(*group["indptr"][-2:])
        row = np.zeros(2000)
        row[group["indices"][last]] = group["data"][last]
    assert np.array_equal(counts[-1].toarray()[0], row)


def test_h5ad_agrees_with_anndata(shared_data):
    reader, counts = read(shared_data / "pbmc_facs.h5ad", chunk=997)
    data = anndata.read_h5ad(shared_data / "pbmc_facs.h5ad")
    assert same_matrix(counts, sp.csr_matrix(data.X))
    assert list(reader.barcodes) == list(data.obs_names)
    assert list(reader.gene_ids) == list(data.var_names)
    assert list(reader.gene_symbols) == list(data.var["symbol"])
    pd.testing.assert_frame_equal(reader.obs, data.obs, check_names=False)
    assert reader.obs["celltype"].dtype == "category"


# Variants


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float64, np.float32])
def test_h5ad_of_every_form_and_integer_type(tmp_path, monkeypatch, adata, counts, form, dtype):
    monkeypatch.setattr(h5ad, "BLOCK", 7)  # entries of a CSC matrix at once
    monkeypatch.setattr(hdf5_rows, "DENSE_BLOCK", 33)  # three cells at once
    adata.X = form(counts.astype(dtype))
    adata.write_h5ad(tmp_path / "x.h5ad")
    for chunk in (1, 5, 23, 100):
        reader, found = read(tmp_path / "x.h5ad", chunk=chunk)
        assert same_matrix(found, counts)
    assert reader.gene_symbols[3] == "S3"


def test_h5ad_layers_and_raw(tmp_path, adata, counts):
    adata.layers["counts"] = counts * 2
    adata.raw = adata.copy()
    shown = adata[:, :5].copy()
    shown.X = np.log1p(shown.X.toarray())
    shown.write_h5ad(tmp_path / "x.h5ad")
    assert same_matrix(read(tmp_path / "x.h5ad", "counts")[1], (counts * 2)[:, :5])
    reader, found = read(tmp_path / "x.h5ad", "raw")
    assert same_matrix(found, counts) and reader.gene_ids[-1] == "ENS10"


def write_mtx(folder, counts, *, version=3, order=None):
    """A CellRanger folder; ``order`` permutes the entries."""
    folder.mkdir()
    entries = counts.tocoo()
    order = np.arange(entries.nnz) if order is None else order
    lines = [f"{entries.col[i] + 1} {entries.row[i] + 1} {int(entries.data[i])}" for i in order]
    size = f"{counts.shape[1]} {counts.shape[0]} {entries.nnz}"
    text = "\n".join(["%%MatrixMarket matrix coordinate integer general", "% note", size, *lines])
    barcodes = "".join(f"bar{i}\n" for i in range(counts.shape[0]))
    kind = "\tGene Expression" if version == 3 else ""
    features = "".join(f"ENS{j}\tS{j}{kind}\n" for j in range(counts.shape[1]))
    names = ("features.tsv.gz", ".gz") if version == 3 else ("genes.tsv", "")
    for name, content in (
        (f"matrix.mtx{names[1]}", text + "\n"),
        (f"barcodes.tsv{names[1]}", barcodes),
        (names[0], features),
    ):
        with (gzip.open if version == 3 else open)(folder / name, "wt") as file:
            file.write(content)
    return folder


@pytest.mark.parametrize("version", [2, 3])
def test_mtx_versions_and_any_order_of_entries(tmp_path, monkeypatch, counts, version):
    monkeypatch.setattr(mtx, "BLOCK", 10)
    rng = np.random.default_rng(0)
    for name, order in (("by cell", None), ("shuffled", rng.permutation(counts.nnz))):
        folder = write_mtx(tmp_path / name, counts, version=version, order=order)
        reader, found = read(folder, chunk=4)
        assert same_matrix(found, counts)
        assert reader.gene_symbols[-1] == "S10" and reader.barcodes[-1] == "bar22"
    assert same_matrix(read(next(folder.glob("matrix*")))[1], counts)


def test_mtx_without_entries(tmp_path):
    _, found = read(write_mtx(tmp_path / "x", sp.csr_matrix((3, 2))))
    assert found.shape == (3, 2) and found.nnz == 0


def write_cellranger(path, counts, group, version, types=None):
    counts = sp.csr_matrix(counts)
    ids = np.array([f"ENS{j}" for j in range(counts.shape[1])], dtype="S")
    with h5py.File(path, "a") as file:
        top = file.create_group(group)
        for name in ("data", "indices", "indptr"):
            top[name] = getattr(counts, name)
        top["shape"] = counts.shape[::-1]
        top["barcodes"] = np.array([f"bar{i}" for i in range(counts.shape[0])], dtype="S")
        if version == 2:
            top["genes"], top["gene_names"] = ids, ids
        else:
            top["features/id"], top["features/name"] = ids, ids
            if types is not None:
                top["features/feature_type"] = np.array(types, dtype="S")


def test_cellranger_2_with_one_genome(tmp_path, counts):
    write_cellranger(tmp_path / "x.h5", counts, "GRCh38", 2)
    reader, found = read(tmp_path / "x.h5", chunk=6)
    assert same_matrix(found, counts)
    assert reader.gene_ids[10] == "ENS10"


def test_antibodies_are_left_out_and_logged(tmp_path, counts, caplog):
    types = ["Gene Expression", "Antibody Capture"] * 5 + ["Gene Expression"]
    write_cellranger(tmp_path / "x.h5", counts, "matrix", 3, types)
    with caplog.at_level("INFO"):
        reader, found = read(tmp_path / "x.h5")
    assert same_matrix(found, counts[:, ::2])
    assert list(reader.gene_ids) == [f"ENS{j}" for j in range(0, 11, 2)]
    assert "6 of 11 features are genes, the others (Antibody Capture)" in caplog.text


def test_stored_zeros_vanish(tmp_path, adata, counts):
    padded = counts.astype(np.float32).copy()
    padded.data[:5] = 0
    adata.X = padded
    adata.write_h5ad(tmp_path / "x.h5ad")
    _, found = read(tmp_path / "x.h5ad")
    assert found.nnz == counts.nnz - 5


# Sorting in bounded memory


def test_sorting_by_cell_adds_up_in_small_buckets():
    rng = np.random.default_rng(0)
    cell, gene = rng.integers(0, 50, 2000), rng.integers(0, 9, 2000)
    value = rng.integers(1, 5, 2000)
    blocks = [(cell[i : i + 70], gene[i : i + 70], value[i : i + 70]) for i in range(0, 2000, 70)]
    with sort_by_cell(blocks, (53, 9), 2000, bucket=130) as counts:
        found = counts.rows(0, 53)
    expected = sp.coo_matrix((value, (cell, gene)), shape=(53, 9)).tocsr()
    assert same_matrix(found, expected)


def test_a_temporary_matrix_gives_rows_and_values_back(tmp_path):
    matrix = sp.random(40, 30, 0.3, format="csr", dtype=np.float32, random_state=0)
    with TemporaryCsr(30, tmp_path / "made" / "when needed") as stored:
        for start in (0, 13, 26):
            stored.append(matrix[start : start + 13])
        assert same_matrix(stored.rows(20, 39), matrix[20:39])
        stored.append(matrix[39:])
        assert np.array_equal(stored.indptr(), matrix.indptr)
        assert same_matrix(stored.rows(7, 40), matrix[7:])
        data = np.concatenate([data for _, _, data in stored.values(block=10)])
        assert np.array_equal(data, matrix.data)
    assert list((tmp_path / "made" / "when needed").iterdir()) == []


@pytest.mark.parametrize("form", ["csc", "mtx"])
def test_memory_does_not_grow_with_the_matrix(tmp_path, monkeypatch, form):
    rng = np.random.default_rng(0)
    cells, genes, nnz = 4000, 500, 400_000
    matrix = sp.csr_matrix(
        (np.ones(nnz), rng.integers(0, genes, nnz), np.arange(0, nnz + 1, nnz // cells)),
        shape=(cells, genes),
    )
    matrix.sum_duplicates()
    if form == "csc":
        data = anndata.AnnData(matrix.tocsc().astype(np.float32))
        data.obs_names = data.obs_names.astype(str)
        data.write_h5ad(tmp_path / "x")
    else:
        write_mtx(tmp_path / "x", matrix, order=rng.permutation(matrix.nnz))
    monkeypatch.setattr(h5ad, "BLOCK", 5000)
    monkeypatch.setattr(mtx, "BLOCK", 5000)
    monkeypatch.setattr(
        h5ad if form == "csc" else mtx,
        "sort_by_cell",
        lambda blocks, shape, entries, folder: sort_by_cell(
            blocks, shape, entries, folder, bucket=5000
        ),
    )
    tracemalloc.start()
    try:
        with open_counts(tmp_path / "x") as reader:
            total = sum(counts.sum() for _, counts in reader.chunks(50))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == nnz
    assert peak < 8 * matrix.nnz  # less than the matrix' own non-zeros, let alone 4000 x 500


def test_reader_closes_its_file(tmp_path, shared_data):
    path = shutil.copy(shared_data / "sim_original.h5", tmp_path / "x.h5")
    path.chmod(0o644)
    read(path)
    with h5py.File(path, "r+"):
        pass
