"""AnnData files as people have them: every version's tables, odd columns, MuData, layers."""

import logging

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import same_matrix
from neuralNMF.errors import InputError
from neuralNMF.io.counts import open_counts

CELLS, GENES = 23, 11
IDS = [f"ENSG{j:011d}" for j in range(GENES)]
SYMBOLS = [f"GEN{j}" for j in range(GENES)]
BARCODES = [f"ACGTACGTAC{i:02d}-1" for i in range(CELLS)]
KINDS = ["x", "y"] * 11 + ["x"]


@pytest.fixture
def counts():
    return sp.csr_matrix(np.random.default_rng(1).poisson(0.6, (CELLS, GENES)).astype(np.float32))


@pytest.fixture
def adata(counts):
    obs = pd.DataFrame({"kind": pd.Categorical(KINDS)}, index=BARCODES)
    return anndata.AnnData(counts.copy(), obs=obs, var=pd.DataFrame(index=IDS))


def read(path, layer=None):
    with open_counts(path, layer) as reader:
        return reader, sp.vstack([part for _, part in reader.chunks(7)], format="csr")


def text(strings):
    return np.array(strings, dtype=h5py.string_dtype())


def put_strings(group, name, values, missing=()):
    """A column as anndata 0.13 writes text by default: values beside a mask."""
    column = group.create_group(name)
    column.attrs["encoding-type"] = "nullable-string-array"
    column.attrs["encoding-version"] = "0.1.0"
    mask = np.zeros(len(values), bool)
    mask[list(missing)] = True
    column["values"], column["mask"] = text(values), mask
    return column


def put_columns(table, **columns):
    """More columns for a table that AnnData wrote."""
    for name, values in columns.items():
        table[name] = values
    order = [*table.attrs["column-order"], *columns]
    table.attrs["column-order"] = text(order)


def write_sparse(group, counts, old=False):
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(counts, name)
    if old:
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", counts.shape
    else:
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", counts.shape


def test_text_of_anndata_0_13(tmp_path, adata, counts):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        for table, names in (("obs", BARCODES), ("var", IDS)):
            del file[table]["_index"]
            put_strings(file[table], "_index", names)
        put_strings(file["obs"], "donor", KINDS, missing=[0, 22])
        put_strings(file["var"], "gene_symbols", SYMBOLS)
        del file["obs/kind/categories"]
        put_strings(file["obs/kind"], "categories", ["x", "y"])
        file["obs"].attrs["column-order"] = text(["kind", "donor"])
        file["var"].attrs["column-order"] = text(["gene_symbols"])
    reader, found = read(tmp_path / "x.h5ad")
    assert same_matrix(found, counts)
    assert list(reader.barcodes) == BARCODES and list(reader.gene_ids) == IDS
    assert list(reader.gene_symbols) == SYMBOLS
    assert list(reader.obs["kind"]) == KINDS
    assert list(reader.obs["donor"][1:-1]) == KINDS[1:-1]
    assert list(np.flatnonzero(reader.obs["donor"].isna())) == [0, 22]


def test_columns_that_anndata_writes_are_as_anndata_reads_them(tmp_path, adata):
    adata.obs["whole"] = pd.array([1, None] * 11 + [3], dtype="Int64")
    adata.obs["flag"] = pd.array([True, None] * 11 + [False], dtype="boolean")
    adata.obs["level"] = pd.Categorical(KINDS, ["y", "x"], ordered=True)
    adata.obs["number"] = np.linspace(0, 1, CELLS)
    adata.obs["word"] = [f"w{i}" for i in range(CELLS)]
    adata.strings_to_categoricals = lambda *_: None
    adata.write_h5ad(tmp_path / "x.h5ad")
    reader, _ = read(tmp_path / "x.h5ad")
    expected = anndata.read_h5ad(tmp_path / "x.h5ad").obs
    pd.testing.assert_frame_equal(reader.obs, expected, check_names=False, check_dtype=False)
    assert [str(reader.obs[name].dtype) for name in ("whole", "flag")] == ["Int64", "boolean"]


def test_columns_that_cannot_be_carried_are_named_and_dropped(tmp_path, adata, caplog):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        nested = file.create_group("obs/nested")
        nested.attrs["encoding-type"] = "awkward-array"
        put_columns(
            file["obs"],
            pair=np.zeros((CELLS, 2)),
            short=np.zeros(3),
            complex=np.zeros(CELLS, complex),
            big=np.arange(CELLS, dtype=">i8"),
            half=np.arange(CELLS, dtype=np.float16),
        )
        order = [*file["obs"].attrs["column-order"], "nested", "absent"]
        file["obs"].attrs["column-order"] = text(order)
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.obs) == ["kind", "big", "half"]
    assert list(reader.obs["big"]) == list(reader.obs["half"]) == list(range(CELLS))
    dropped = {"pair": "2 dimensions", "short": "3 values for 23 rows", "complex": "complex128",
               "nested": "awkward-array", "absent": "doesn't exist"}  # fmt: skip
    for name, reason in dropped.items():
        lines = [line for line in caplog.messages if f"column '{name}' of obs is dropped" in line]
        assert len(lines) == 1 and reason in lines[0]


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_files_before_anndata_0_7(tmp_path, counts, fixed, dense):
    """Tables are records, categories stand in ``uns``, and raw is ``raw.X`` and ``raw.var``."""
    string = "S18" if fixed else h5py.string_dtype()
    cells = np.zeros(CELLS, [("index", string), ("kind", "i1"), ("n", "f4")])
    cells["index"] = [name.encode() for name in BARCODES]
    cells["kind"], cells["n"] = [KINDS[i] == "y" for i in range(CELLS)], np.arange(CELLS)
    genes = np.zeros(GENES, [("index", string), ("gene_short_name", string)])
    genes["index"] = [name.encode() for name in IDS]
    genes["gene_short_name"] = [name.encode() for name in SYMBOLS]
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["obs"], file["var"], file["raw.var"] = cells, genes[:4], genes
        if dense:
            file["X"] = counts[:, :4].toarray() * 2
        else:
            write_sparse(file.create_group("X"), sp.csr_matrix(counts[:, :4] * 2), old=True)
        write_sparse(file.create_group("raw.X"), counts, old=True)
        file["uns/kind_categories"] = np.array([b"x", b"y"])
    reader, found = read(tmp_path / "x.h5ad")
    assert same_matrix(found, sp.csr_matrix(counts[:, :4] * 2))
    reader, found = read(tmp_path / "x.h5ad", "raw")
    assert same_matrix(found, counts)
    assert list(reader.gene_symbols) == SYMBOLS and list(reader.barcodes) == BARCODES
    assert list(reader.obs["kind"]) == KINDS and reader.obs["kind"].dtype == "category"
    assert list(reader.obs["n"]) == list(range(CELLS))


@pytest.mark.parametrize("reference", [True, False])
def test_categories_of_anndata_0_7_and_seuratdisk(tmp_path, adata, reference):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        codes = file["obs/kind/codes"][:]
        del file["obs/kind"]
        file["obs/kind"], file["obs/__categories/kind"] = codes, text(["x", "y"])
        if reference:
            file["obs/kind"].attrs["categories"] = file["obs/__categories/kind"].ref
        file["obs"].attrs["encoding-version"] = "0.1.0"
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.obs["kind"]) == KINDS


def test_names_under_another_name_and_a_table_without_an_order(tmp_path, adata):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file["obs/rownames"] = file["obs/_index"][:]
        del file["obs/_index"]
        file["obs/_index"] = text([f"other{i}" for i in range(CELLS)])
        file["obs"].attrs["_index"] = "rownames"
        del file["obs"].attrs["column-order"]
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.barcodes) == BARCODES
    assert set(reader.obs) == {"kind", "_index"} and reader.obs["_index"].iloc[3] == "other3"


def test_a_table_without_names_is_refused(tmp_path, adata):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        del file["obs/_index"]
    with pytest.raises(InputError, match="has no names in '/obs'"):
        read(tmp_path / "x.h5ad")


# Genes: ids, symbols, types


@pytest.mark.parametrize(
    "column",
    ["Symbol", "gene_symbols", "gene_name", "gene_short_name", "feature_name", "gene_symbols-0",
     "Gene Symbol", "symbols", "hgnc_symbol", "external_gene_name"],
)  # fmt: skip
def test_usual_columns_of_symbols(tmp_path, adata, column):
    adata.var["chromosome"] = "7"
    adata.var[column] = SYMBOLS
    adata.var.loc[IDS[4], column] = ""
    adata.write_h5ad(tmp_path / "x.h5ad")
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.gene_symbols) == [*SYMBOLS[:4], IDS[4], *SYMBOLS[5:]]
    assert list(reader.gene_ids) == IDS


@pytest.mark.parametrize("column", ["gene_ids", "ensembl_id", "ID"])
def test_symbols_as_names_and_ids_in_a_column(tmp_path, adata, column):
    adata.var_names = SYMBOLS
    adata.var[column] = IDS
    adata.write_h5ad(tmp_path / "x.h5ad")
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.gene_ids) == IDS and list(reader.gene_symbols) == SYMBOLS


def test_ids_in_a_column_that_do_not_tell_genes_apart_are_left(tmp_path, adata):
    adata.var_names = SYMBOLS
    adata.var["gene_ids"] = [*IDS[:-1], IDS[0]]
    adata.write_h5ad(tmp_path / "x.h5ad")
    reader, _ = read(tmp_path / "x.h5ad")
    assert list(reader.gene_ids) == list(reader.gene_symbols) == SYMBOLS


def test_symbols_of_raw_from_var(tmp_path, adata, counts):
    """CELLxGENE's Census: raw has ids only, var fewer genes with their names."""
    adata.raw = adata.copy()
    shown = adata[:, :8].copy()
    shown.var["feature_name"] = SYMBOLS[:8]
    shown.X = np.log1p(shown.X.toarray())
    shown.write_h5ad(tmp_path / "x.h5ad")
    reader, found = read(tmp_path / "x.h5ad", "raw")
    assert same_matrix(found, counts)
    assert list(reader.gene_symbols) == SYMBOLS[:8] + IDS[8:]
    with pytest.raises(InputError, match=r"name the layer with the raw counts \(it also has raw\)"):
        read(tmp_path / "x.h5ad")


@pytest.mark.parametrize(
    ("column", "gene", "other"),
    [
        ("feature_types", "Gene Expression", "Antibody Capture"),
        ("feature_types", "GEX", "ADT"),
        ("Type", "Gene Expression", "CRISPR Guide Capture"),
        ("feature_types-1", "Gene Expression", ""),
    ],
)
def test_only_genes_of_an_h5ad(tmp_path, adata, counts, caplog, column, gene, other):
    adata.var[column] = pd.Categorical([gene, other] * 5 + [gene])
    adata.write_h5ad(tmp_path / "x.h5ad")
    with caplog.at_level(logging.INFO):
        reader, found = read(tmp_path / "x.h5ad")
    assert same_matrix(found, counts[:, ::2]) and list(reader.gene_ids) == IDS[::2]
    assert f"6 of 11 features are genes, the others ({other or 'without a type'})" in caplog.text


def test_other_columns_are_no_types(tmp_path, adata, counts):
    adata.var["feature_type"] = ["protein_coding", "lncRNA"] * 5 + ["gene"]
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert same_matrix(read(tmp_path / "x.h5ad")[1], counts)


def test_no_gene_at_all(tmp_path, adata):
    adata.var["feature_types"] = "Antibody Capture"
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match=r"no gene among them \(types: Antibody Capture\)"):
        read(tmp_path / "x.h5ad")


# Where the counts are


def write_mudata(path, adata, **others):
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "MuData"
        for name, data in others.items():
            anndata.io.write_elem(file, f"mod/{name}", data)
        obs = pd.DataFrame({"batch": np.arange(CELLS), "rna:kind": KINDS}, index=BARCODES[::-1])
        anndata.io.write_elem(file, "obs", obs)
        anndata.io.write_elem(file, "var", pd.DataFrame(index=IDS))


def test_mudata(tmp_path, adata, counts, caplog):
    protein = adata[:, :3].copy()
    write_mudata(tmp_path / "x.h5mu", adata, prot=protein, rna=adata)
    with caplog.at_level(logging.INFO):
        reader, found = read(tmp_path / "x.h5mu")
    assert same_matrix(found, counts) and "'mod/rna' is read" in caplog.text
    assert list(reader.obs) == ["kind", "batch"]
    assert list(reader.obs["batch"]) == list(range(CELLS))[::-1]  # by barcode
    write_mudata(tmp_path / "y.h5mu", adata, prot=protein, atac=adata)
    with pytest.raises(InputError, match="MuData and has no modality 'rna' but atac, prot"):
        read(tmp_path / "y.h5mu")


@pytest.mark.parametrize("kind", ["absent", "null", "without X"])
def test_an_empty_raw_is_none(tmp_path, adata, kind):
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file.pop("raw", None)
        if kind == "null":
            file["raw"] = h5py.Empty("f")
        elif kind == "without X":
            file.create_group("raw/varm")
    with pytest.raises(InputError, match="has no layer 'raw': its layers are X and counts;"):
        read(tmp_path / "x.h5ad", "raw")


def test_without_x_the_layers_are_named(tmp_path, adata, counts):
    adata.layers["counts"] = adata.X
    adata.X = None
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="holds no counts in 'X': its layers are counts"):
        read(tmp_path / "x.h5ad")
    assert same_matrix(read(tmp_path / "x.h5ad", "layers/counts")[1], counts)


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("dtype", [np.float16, np.dtype(">f4"), np.dtype(">i4"), bool])
def test_numbers_that_scipy_does_not_know(tmp_path, adata, counts, form, dtype):
    adata.write_h5ad(tmp_path / "x.h5ad")
    whole = counts.astype(bool).astype(np.float32) if dtype is bool else counts
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        del file["X"]
        if form == "dense":
            file["X"] = whole.toarray().astype(dtype)
        else:
            write_sparse(file.create_group("X"), whole)
            del file["X/data"]
            file["X/data"] = whole.data.astype(dtype)
    assert same_matrix(read(tmp_path / "x.h5ad")[1], whole)


def test_positions_written_as_floats(tmp_path, adata, counts):
    adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        for name in ("indices", "indptr"):
            values = file[f"X/{name}"][:].astype(float)
            del file[f"X/{name}"]
            file[f"X/{name}"] = values
    assert same_matrix(read(tmp_path / "x.h5ad")[1], counts)
    for wrong in (0.5, np.nan):
        with h5py.File(tmp_path / "x.h5ad", "r+") as file:
            file["X/indices"][0] = wrong
        with pytest.raises(InputError, match="'indices' that are no whole numbers"):
            read(tmp_path / "x.h5ad")
