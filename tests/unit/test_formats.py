"""Loom, zarr, tables of text and CellRanger files with several genomes."""

import gzip
import logging

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import same_matrix
from neuralNMF.errors import InputError
from neuralNMF.io import hdf5_rows, text_table
from neuralNMF.io.counts import open_counts
from neuralNMF.io.sort_by_cell import sort_by_cell

COUNTS = sp.csr_matrix(np.random.default_rng(1).poisson(0.6, (23, 11)).astype(np.float32))
IDS = [f"ENSG{j:011d}" for j in range(11)]
SYMBOLS = [f"GEN{j}" for j in range(11)]
BARCODES = [f"ACGTACGTAC{i:02d}-1" for i in range(23)]
KINDS = ["x", "y"] * 11 + ["x"]


def read(path, layer=None, chunk=7):
    with open_counts(path, layer) as reader:
        return reader, sp.vstack([part for _, part in reader.chunks(chunk)], format="csr")


def text(strings):
    return np.array(strings, dtype=h5py.string_dtype())


# Loom


def write_loom(path, **row_attributes):
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=COUNTS.T.toarray(), chunks=(4, 4))
        file["layers/spliced"] = 2 * COUNTS.T.toarray()
        for name, values in row_attributes.items():
            file[f"row_attrs/{name}"] = text(values)
        file["col_attrs/CellID"], file["col_attrs/kind"] = text(BARCODES), text(KINDS)
        file["col_attrs/age"], file["col_attrs/pca"] = np.arange(23.0), np.zeros((23, 2))
        file.create_group("col_graphs")


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_loom(tmp_path, monkeypatch, caplog, block):
    monkeypatch.setattr(hdf5_rows, "DENSE_BLOCK", block)
    write_loom(tmp_path / "x.loom", Gene=SYMBOLS, Accession=IDS)
    reader, found = read(tmp_path / "x.loom")
    assert same_matrix(found, COUNTS)
    assert list(reader.gene_ids) == IDS and list(reader.gene_symbols) == SYMBOLS
    assert list(reader.barcodes) == BARCODES and list(reader.obs["kind"]) == KINDS
    assert "the column 'pca' of col_attrs is dropped: it has 2 dimensions" in caplog.text
    assert same_matrix(read(tmp_path / "x.loom", "spliced")[1], 2 * COUNTS)
    with pytest.raises(InputError, match="no layer 'counts': its layers are matrix, spliced"):
        read(tmp_path / "x.loom", "counts")


@pytest.mark.parametrize(
    ("attributes", "ids", "symbols"),
    [
        ({"var_names": SYMBOLS}, SYMBOLS, SYMBOLS),  # scanpy's
        ({"Gene": IDS, "gene_names": SYMBOLS, "ensembl_ids": IDS}, IDS, SYMBOLS),  # Optimus
        ({"Gene": [*SYMBOLS[:-1], "GEN0"], "Accession": IDS}, IDS, [*SYMBOLS[:-1], "GEN0"]),
    ],
)
def test_names_of_loom_genes(tmp_path, attributes, ids, symbols):
    write_loom(tmp_path / "x.loom", **attributes)
    reader, _ = read(tmp_path / "x.loom")
    assert list(reader.gene_ids) == ids and list(reader.gene_symbols) == symbols


def test_loom_without_names(tmp_path):
    write_loom(tmp_path / "x.loom", chromosome=IDS)
    with pytest.raises(InputError, match="has no names of genes"):
        read(tmp_path / "x.loom")


# zarr


@pytest.mark.filterwarnings("ignore")  # of zarr's, while it writes
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_zarr(tmp_path, version, form):
    pytest.importorskip("zarr")
    obs = pd.DataFrame({"kind": pd.Categorical(KINDS), "n": np.arange(23)}, index=BARCODES)
    var = pd.DataFrame({"gene_symbols": SYMBOLS}, index=IDS)
    data = anndata.AnnData(form(COUNTS), obs=obs, var=var, layers={"twice": 2 * COUNTS})
    with anndata.settings.override(zarr_write_format=version):
        data.write_zarr(tmp_path / "x.zarr")
    reader, found = read(tmp_path / "x.zarr")
    assert same_matrix(found, COUNTS)
    assert list(reader.gene_ids) == IDS and list(reader.gene_symbols) == SYMBOLS
    assert list(reader.barcodes) == BARCODES
    pd.testing.assert_frame_equal(reader.obs, obs)
    assert same_matrix(read(tmp_path / "x.zarr", "twice")[1], 2 * COUNTS)


def test_zarr_of_something_else_and_without_the_package(tmp_path, monkeypatch):
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(InputError, match="zarr folder"):
        read(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(InputError, match="needs the package zarr: `pip install zarr`"):
        read(tmp_path)


# Tables


def frame(genes=SYMBOLS, cells=BARCODES):
    return pd.DataFrame(COUNTS.toarray().astype(int), index=cells, columns=genes)


def by_gene(**columns):
    table = frame(IDS).T.rename_axis("gene_id")
    for name, values in reversed(columns.items()):
        table.insert(0, name, values)
    return table


TABLES = {
    "cells in rows": frame().to_csv(),
    "genes in rows": frame().T.to_csv(sep="\t"),
    "of R": frame().T.to_csv(sep=" ", index_label=False, quoting=1),
    "semicolons": frame().T.to_csv(sep=";"),
    "with symbols": by_gene(gene_name=SYMBOLS).to_csv(),
    "featureCounts": "# Program\n"
    + by_gene(Chr="1", Start=1, End=2, Strand="+", Length=9).to_csv(sep="\t"),
    "BD": "##one\n##two\n" + frame().rename_axis("Cell_Index").assign(kind=KINDS).to_csv(),
    "byte order mark": "\ufeff" + frame().T.to_csv(),
    "named gene, unlike genes": frame(cells=[f"s{i}" for i in range(23)])
    .T.rename_axis("gene")
    .to_csv(),
    "floats": frame().astype(float).to_csv(),
    "numbers as cells": frame(IDS, range(23)).rename_axis("Cell_Index").to_csv(),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_tables(tmp_path, monkeypatch, table, packed):
    monkeypatch.setattr(text_table, "VALUES", 50)  # some rows at once
    path = tmp_path / ("x.txt.gz" if packed else "x.txt")
    content = TABLES[table].encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    reader, found = read(path)
    assert same_matrix(found, COUNTS)
    by_id = table in ("with symbols", "featureCounts", "numbers as cells")
    assert list(reader.gene_ids) == (IDS if by_id else SYMBOLS)
    assert list(reader.gene_symbols) == (SYMBOLS if not by_id or table == "with symbols" else IDS)
    if table not in ("numbers as cells", "named gene, unlike genes"):
        assert list(reader.barcodes) == BARCODES
    assert list(reader.obs.get("kind", [])) == (KINDS if table == "BD" else [])


def test_what_is_taken_for_genes_is_said(tmp_path, caplog):
    table = frame([f"a{j}" for j in range(11)], [f"b{i}" for i in range(23)])
    (tmp_path / "x.csv").write_text(table.T.to_csv())
    assert same_matrix(read(tmp_path / "x.csv")[1], COUNTS)
    assert "the rows are taken for genes, transpose the table if they are cells" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "is no table of counts"),
        ("gene,c1,c2\n", "is no table of counts"),
        ("1,2,3\nACTB,1,2\n", "no names in its first line"),
        ("gene,c1,c2\nACTB,1,2\nGAPDH,1\n", "2 columns in line 3 where its header has 3"),
        ("gene,c1,c2\nACTB,a,b\n", "has no column of numbers"),
        ("gene,c1,c2\nACTB,1,2\nGAPDH,x,2\n", r"value that is no count \(could not convert"),
        (
            "gene,c1,c2\n" + "".join(f"MT-{j},1,2\n" for j in range(30)) + "ACTB,1,2,3\n",
            "4 columns in its row 31 where its header has 3",
        ),
        ("gene,c1,c2\nACTB,1,2.5\n", "holds fractional values"),
        ("gene,c1,c2\nACTB,1,\n", "holds NaN"),
        ("gene,c1,c2\nACTB,1,1e99\n", "infinite"),
        ("gene,c1,c2\nACTB,1,2\nACTB,1,2\n", "1 repeated gene names"),
    ],
)
def test_tables_that_are_refused(tmp_path, content, message):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "x.csv")
    assert "\n" not in str(caught.value)


def test_a_table_is_read_in_blocks(tmp_path, monkeypatch):
    """Every block that is sorted is of at most so many values: memory does not grow with it."""
    sizes = []

    def sort(blocks, *given):
        def seen():
            for block in blocks:
                sizes.append(block[0].size)
                yield block

        return sort_by_cell(seen(), *given)

    monkeypatch.setattr(text_table, "VALUES", 100)
    monkeypatch.setattr(text_table, "sort_by_cell", sort)
    (tmp_path / "x.csv").write_text(TABLES["cells in rows"])
    assert same_matrix(read(tmp_path / "x.csv")[1], COUNTS)
    assert len(sizes) == 3 and max(sizes) <= 99  # nine cells of eleven genes


# CellRanger


def write_genome(file, genome, barcodes, ids, counts=COUNTS):
    group = file.create_group(genome)
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(counts, name)
    group["shape"] = counts.shape[::-1]
    for name, values in (("barcodes", barcodes), ("genes", ids), ("gene_names", ids)):
        group[name] = np.array(values, dtype="S")


MOUSE = [f"ENSMUSG{j:011d}" for j in range(11)]


def test_two_genomes_of_the_same_cells(tmp_path, caplog):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_genome(file, "hg19", BARCODES, IDS)
        write_genome(file, "mm10", BARCODES, MOUSE, COUNTS * 2)
    with caplog.at_level(logging.INFO):
        reader, found = read(tmp_path / "x.h5")
    assert same_matrix(found, sp.hstack([COUNTS, COUNTS * 2], format="csr"))
    assert list(reader.gene_ids) == IDS + MOUSE and "genes of hg19, mm10" in caplog.text
    reader, found = read(tmp_path / "x.h5", "mm10")
    assert same_matrix(found, COUNTS * 2) and list(reader.gene_ids) == MOUSE
    with pytest.raises(InputError, match="no genome 'rn6'.* it has hg19, mm10"):
        read(tmp_path / "x.h5", "rn6")


def test_two_genomes_with_cells_of_their_own(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_genome(file, "hg19", BARCODES, IDS)
        write_genome(file, "mm10", BARCODES[::-1], MOUSE)
    with pytest.raises(InputError, match="hg19, mm10, each with cells of its own: name one by"):
        read(tmp_path / "x.h5")
    assert list(read(tmp_path / "x.h5", "mm10")[0].barcodes) == BARCODES[::-1]


def test_one_genome_of_a_cellranger_3_file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_genome(file, "matrix", BARCODES, IDS)
        group = file["matrix"]
        for name in ("genes", "gene_names"):
            del group[name]
        group["features/id"] = np.array(IDS, dtype="S")
        group["features/genome"] = np.array([b"hg38"] * 5 + [b"mm10"] * 5 + [b""])
        group["features/feature_type"] = np.array([b"Gene Expression"] * 10 + [b"Custom"])
    assert same_matrix(read(tmp_path / "x.h5")[1], COUNTS[:, :10])
    assert same_matrix(read(tmp_path / "x.h5", "mm10")[1], COUNTS[:, 5:10])
    with pytest.raises(InputError, match="has no layers, but the layer 'rn6'"):
        read(tmp_path / "x.h5", "rn6")
