"""The data set built from counts files, against the same done in memory."""

import dataclasses
import json
import tracemalloc
import zlib

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import make_adata
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.dataset.pearson import PearsonResiduals
from neuralNMF.dataset.seurat_v3 import StandardizedCounts
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.options import VARIABLE_GENES_BY, LayerOptions


def make(path, counts, genes, **columns):
    """An .h5ad of counts with gene ids E<name> and symbols S<name>."""
    data = make_adata(counts, **columns)
    data.obs_names = [f"bar{i}" for i in range(len(counts))]
    data.var_names = [f"E{g}" for g in genes]
    data.var["symbol"] = [f"S{g}" for g in genes]
    data.write_h5ad(path)
    return path


def build(tmp_path, *paths, chunk_cells=7, **options):
    inputs = [InputSpec(path, f"in{i}") for i, path in enumerate(paths)]
    output = tmp_path / "out" / "dataset.h5ad"
    summary = build_dataset(
        inputs, output, DatasetOptions(**options), chunk_cells=chunk_cells, progress=False
    )
    data = open_dataset(output)
    frame = pd.DataFrame(
        data.rows(0, data.shape[0]).toarray(), index=data.obs.index, columns=data.var.index
    )
    assert summary.shape == data.shape and summary.nnz == data.nnz
    return data, frame


def genes_table(tmp_path):
    return pd.read_csv(tmp_path / "out" / "genes.tsv", sep="\t", index_col=0, keep_default_na=False)


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 1.0, (1, 30)), (53, 30))
    counts[:10, :4] += rng.poisson(9, (10, 4))
    counts[np.arange(30), np.arange(30)] += 1  # no gene is empty
    counts[-1, 0] += 1  # nor the last cell
    return counts


def test_one_input_keeps_everything(tmp_path, counts):
    counts[:, 4] = 0
    path = make(tmp_path / "a.h5ad", counts, range(30), kind=["x"] * 53)
    data, frame = build(tmp_path, path)
    expected = np.delete(counts, 4, axis=1)
    assert np.array_equal(frame, expected)
    assert list(frame.index) == [f"bar{i}" for i in range(53)]  # the last cell too
    assert np.array_equal(data.obs["total_counts"], counts.sum(axis=1))
    assert np.array_equal(data.obs["selected_counts"], counts.sum(axis=1))
    assert np.allclose(data.var["mean"], expected.mean(axis=0))
    assert np.allclose(data.var["variance"], expected.var(axis=0))
    assert np.array_equal(data.var["n_cells"], (expected > 0).sum(axis=0))
    assert data.var["variable_score"].isna().all()
    assert set(data.var["selected"]) == {"all"} and set(data.obs["dataset"]) == {"in0"}
    table = genes_table(tmp_path)
    assert len(table) == 30 and table.loc["E4", "dropped"] == "min_cells"


def test_inputs_with_other_gene_orders_are_aligned_by_name(tmp_path, counts):
    rng = np.random.default_rng(1)
    orders = [rng.permutation(30)[:25] for _ in range(3)]
    paths = [
        make(tmp_path / f"{i}.h5ad", counts[:, order], order) for i, order in enumerate(orders)
    ]
    data, frame = build(tmp_path, *paths, min_cells=0)
    indices, _ = data.read()
    for first, last in zip(data.indptr[:-1], data.indptr[1:], strict=True):
        assert (np.diff(indices[first:last]) > 0).all()  # sorted within a cell
    common = [g for g in orders[0] if g in orders[1] and g in orders[2]]
    assert list(frame.columns) == [f"E{g}" for g in common]  # the first input's order
    assert list(data.var["symbol"]) == [f"S{g}" for g in common]
    names = np.array([f"bar{i}" for i in range(53)])
    for i in range(3):
        part = frame[(data.obs["dataset"] == f"in{i}").to_numpy()]
        filled = counts[:, common].sum(axis=1) > 0
        assert np.array_equal(part, counts[filled][:, common])
        assert list(part.index) == [f"{name}-in{i}" for name in names[filled]]
        totals = data.obs.loc[part.index, "total_counts"]
        assert np.array_equal(totals, counts[filled][:, orders[i]].sum(axis=1))


@pytest.mark.parametrize("chunk_cells", [1, 2, 13, 53, 1000])
def test_chunk_size_changes_nothing(tmp_path, counts, chunk_cells):
    paths = [make(tmp_path / "a.h5ad", counts, range(30)),
             make(tmp_path / "b.h5ad", counts[:20, ::-1], range(29, -1, -1))]  # fmt: skip
    _, first = build(tmp_path, *paths, variable_genes=9, min_counts=12, chunk_cells=5)
    table = genes_table(tmp_path)
    _, second = build(tmp_path, *paths, variable_genes=9, min_counts=12, chunk_cells=chunk_cells)
    assert first.equals(second)
    other = genes_table(tmp_path)
    for name in ("variable_score", "mean", "variance"):  # sums are rounded in another order
        values = [pd.to_numeric(t.pop(name)) for t in (table, other)]
        assert np.allclose(*values, equal_nan=True)
    assert table.equals(other)
    assert list(other["selected"]).count("variable") == 9


def test_same_input_same_bytes(tmp_path, counts):
    path = make(tmp_path / "a.h5ad", counts, range(30), kind=["x", "y", None] * 17 + ["x", "y"])
    contents = []
    for _ in range(2):
        build(tmp_path, path, variable_genes=10)
        contents.append([p.read_bytes() for p in sorted((tmp_path / "out").iterdir())])
    assert contents[0] == contents[1] and len(contents[0]) == 2


def variance_by(way, counts):
    sums, squares = counts.sum(axis=0).astype(float), (counts**2).sum(axis=0).astype(float)
    found = (
        PearsonResiduals(sums, len(counts))
        if way == "pearson"
        else StandardizedCounts(sums, squares, len(counts))
    )
    found.add(sp.csr_matrix(counts))
    return found.variance()


@pytest.mark.parametrize("way", VARIABLE_GENES_BY)
def test_variable_genes_of_the_filtered_counts(tmp_path, counts, way):
    counts[:, 5:8] = 0
    counts[2, 5] = 40  # in one cell: would be variable, but min_cells drops it
    path = make(tmp_path / "a.h5ad", counts, range(30))
    kept = counts.sum(axis=1) >= 15
    passed = np.flatnonzero((counts[kept] > 0).sum(axis=0) >= 3)
    assert not kept.all() and 5 not in passed
    chosen = {"variable_genes": 8, "variable_genes_by": way}
    data, frame = build(tmp_path, path, min_cells=3, min_counts=15, **chosen)
    expected = variance_by(way, counts[kept][:, passed])
    best = np.sort(passed[np.argsort(-expected)[:8]])
    assert list(frame.columns) == [f"E{g}" for g in best]
    assert np.allclose(data.var["variable_score"], expected[np.searchsorted(passed, best)])
    assert set(data.var["selected"]) == {"variable"}
    assert set(genes_table(tmp_path)["dropped"]) == {"", "min_cells", "not variable"}


def test_gene_lists(tmp_path, counts, caplog):
    path = make(tmp_path / "a.h5ad", counts, range(30))
    listed = tmp_path / "list.txt"
    listed.write_text("# mitochondrial\nS3  # by symbol\n\nE4\nS99\n")
    all_but = [f"E{g}" for g in range(30) if g not in (3, 4)]
    with caplog.at_level("INFO"):
        _, frame = build(tmp_path, path, exclude=str(listed), min_cells=0)
    assert list(frame.columns) == all_but
    assert "S99" in caplog.text and "2 of 30 genes dropped: excluded" in caplog.text
    _, frame = build(tmp_path, path, genes=listed, include=["S7"], exclude=["E4", "S7"])
    assert list(frame.columns) == ["E3"]
    data, frame = build(tmp_path, path, variable_genes=2, include=["E29", "S28", "E0"])
    assert {"E29", "E28", "E0"} <= set(frame.columns)
    reasons = dict(zip(data.var.index, data.var["selected"], strict=True))
    assert list(reasons.values()).count("variable") == 2
    assert {reasons[f"E{g}"] for g in (29, 28)} <= {"included", "variable"}


def test_classes_are_excluded_before_the_variable_genes_are_chosen(tmp_path, counts, caplog):
    path = make(tmp_path / "a.h5ad", counts, range(30))
    data = anndata.read_h5ad(path)
    named = {0: "RPL10", 1: "RPS6KA1", 2: "Rpsa", 7: "MT-CO1", 8: "MT1X"}
    data.var["symbol"] = [named.get(g, f"S{g}") for g in range(30)]
    data.write_h5ad(path)
    lists = {"exclude": ["ribosomal", "mitochondrial", "E9"], "include": ["RPL10", "S29"]}
    with caplog.at_level("INFO"):
        data, frame = build(tmp_path, path, variable_genes=26, **lists)
    assert list(frame.columns) == [f"E{g}" for g in range(30) if g not in (0, 2, 7, 9)]
    assert "exclude: 2 ribosomal genes (RPL10, Rpsa)" in caplog.text
    assert "exclude: 1 mitochondrial genes (MT-CO1)" in caplog.text
    info = json.loads(anndata.read_h5ad(data.path).uns["dataset"])
    assert info["options"]["exclude"] == lists["exclude"]
    assert info["options"]["variable_genes_by"] == "seurat_v3"
    assert info["dropped"]["genes_excluded"] == 4


def test_include_wins_over_min_cells_but_not_over_emptiness(tmp_path, counts):
    counts[:, 1:3] = 0
    counts[5, 1] = 2
    path = make(tmp_path / "a.h5ad", counts, range(30))
    _, frame = build(tmp_path, path, min_cells=4, include=["E1", "E2"])
    assert "E1" in frame.columns and "E2" not in frame.columns


@pytest.mark.parametrize("kind", ["counts", "normalised and rounded"])
def test_rounded_values_of_one_total_are_told_from_counts(tmp_path, caplog, kind):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 4.0, (200, 30)) * rng.gamma(2.0, 1.0, (200, 1)))
    counts[:, 0] += 1
    if kind != "counts":
        counts = np.rint(1e4 * counts / counts.sum(axis=1, keepdims=True))
    counts[:20] = 0
    counts[:20, 0] = 1
    path = make(tmp_path / "a.h5ad", counts, range(30))
    with caplog.at_level("WARNING"):
        build(tmp_path, path, chunk_cells=90, min_counts=2)
    said = "in0: all cells have nearly the same total, 10000. Normalised values" in caplog.text
    assert said == (kind != "counts")


def test_cells_empty_on_the_selected_genes_are_dropped_and_logged(tmp_path, counts, caplog):
    path = make(tmp_path / "a.h5ad", counts, range(30), kind=[f"k{i}" for i in range(53)])
    genes = [20, 21]
    filled = counts[:, genes].sum(axis=1) > 0
    assert 0 < filled.sum() < 53
    with caplog.at_level("INFO"):
        data, frame = build(tmp_path, path, genes=["E20", "S21"])
    assert np.array_equal(frame, counts[filled][:, genes])
    assert list(data.obs["kind"]) == [f"k{i}" for i in np.flatnonzero(filled)]
    assert np.array_equal(data.obs["total_counts"], counts[filled].sum(axis=1))
    assert np.array_equal(data.obs["selected_counts"], counts[filled][:, genes].sum(axis=1))
    assert np.allclose(data.var["mean"], counts[filled][:, genes].mean(axis=0))
    assert np.allclose(data.var["variance"], counts[filled][:, genes].var(axis=0))
    assert f"{(~filled).sum()} cells empty on the selected genes" in caplog.text


def test_dropped_numbers_are_kept_with_the_data_set(tmp_path, counts):
    path = make(tmp_path / "a.h5ad", counts, range(30))
    data, _ = build(tmp_path, path, min_counts=15, exclude=["E1", "E2"], min_cells=2)
    info = json.loads(anndata.read_h5ad(data.path).uns["dataset"])
    assert info["options"]["min_counts"] == 15 and info["options"]["exclude"] == ["E1", "E2"]
    assert info["dropped"]["cells_min_counts"] == (counts.sum(axis=1) < 15).sum()
    assert info["dropped"]["genes_excluded"] == 2


def test_obs_columns_of_several_inputs(tmp_path, counts):
    a = make(tmp_path / "a.h5ad", counts, range(30), total_counts=np.arange(53),
             kind=pd.Categorical(["x", "y"] * 26 + ["x"]), only_a=np.arange(53),
             cluster=pd.Categorical([1, 2] * 26 + [1]))  # fmt: skip
    b = make(tmp_path / "b.h5ad", counts, range(30), kind=pd.Categorical(["z"] * 53),
             flag=[True] * 53, cluster=pd.Categorical(["one"] * 53))  # fmt: skip
    data, _ = build(tmp_path, a, b)
    obs = data.obs
    first = (obs["dataset"] == "in0").to_numpy()
    assert list(obs["kind"].cat.categories) == ["x", "y", "z"]
    assert list(obs["kind"][first][:2]) == ["x", "y"] and set(obs["kind"][~first]) == {"z"}
    assert list(obs["input_total_counts"][first][:3]) == [0, 1, 2]
    assert obs["input_total_counts"][~first].isna().all()
    assert obs["only_a"][~first].isna().all() and obs["only_a"].notna().sum() == first.sum()
    assert set(obs["flag"][~first].astype(str)) == {"True"} and obs["flag"][first].isna().all()
    assert set(obs["cluster"]) == {"1", "2", "one"}
    assert data.obs.index.is_unique


def test_one_input_keeps_column_types(tmp_path, counts):
    kind = pd.Categorical(["lo", "hi"] * 26 + ["lo"], categories=["lo", "hi"], ordered=True)
    path = make(tmp_path / "a.h5ad", counts, range(30), kind=kind, number=np.arange(53))
    obs = build(tmp_path, path)[0].obs
    assert obs["kind"].cat.ordered and list(obs["kind"].cat.categories) == ["lo", "hi"]
    assert obs["number"].dtype == np.int64


def test_formats_can_be_mixed(tmp_path, shared_data):
    tenx = shared_data / "10x" / "v3_filtered_feature_bc_matrix"
    data, frame = build(
        tmp_path, tenx.with_suffix(".h5"), tenx, shared_data / "pbmc_facs.h5ad", chunk_cells=500
    )
    parts = [frame[(data.obs["dataset"] == f"in{i}").to_numpy()] for i in range(3)]
    assert len(parts[0]) and np.array_equal(parts[0], parts[1])
    facs = anndata.read_h5ad(shared_data / "pbmc_facs.h5ad")[:, frame.columns]
    filled = np.asarray(facs.X.sum(axis=1)).ravel() > 0
    assert np.array_equal(parts[2], facs.X[filled].toarray())


def test_memory_does_not_grow_with_the_cells(tmp_path):
    """Three passes, variable genes included, over a matrix far larger than what may be held."""
    rng = np.random.default_rng(0)
    genes, nnz = 400, 1_600_000
    indices = rng.integers(0, genes, nnz, dtype=np.int32)
    matrix = sp.csr_matrix((np.ones(nnz, np.float32), indices, np.arange(0, nnz + 1, 80)))
    matrix.sum_duplicates()
    data = anndata.AnnData(matrix)
    data.write_h5ad(tmp_path / "a.h5ad")
    size = 8 * matrix.nnz
    del data, matrix, indices
    tracemalloc.start()
    try:
        spec = InputSpec(tmp_path / "a.h5ad", "a")
        build_dataset(
            [spec], tmp_path / "d.h5ad", DatasetOptions(100), chunk_cells=200, progress=False
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    names = 20_000 * 400  # barcodes and tables: some hundred bytes a cell
    assert peak < names + 1e6 < size


# Wrong inputs: the message, and no file left


def refuse(tmp_path, message, *inputs, **options):
    output = tmp_path / "refused" / "dataset.h5ad"
    with pytest.raises(InputError, match=message) as caught:
        build_dataset(inputs, output, DatasetOptions(**options), progress=False)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


def test_wrong_inputs(tmp_path, counts):
    a = InputSpec(make(tmp_path / "a.h5ad", counts, range(30), kind=["x"] * 53, age=1), "a")
    b = InputSpec(make(tmp_path / "b.h5ad", counts, range(50, 80)), "b")
    refuse(tmp_path, "share no gene ids .a: E0, E1, E2; b: E50", a, b)
    refuse(tmp_path, "No cell of the input 'a' has 100000 counts", a, min_counts=100_000)
    refuse(tmp_path, "No gene is left of 30 .30 by 'min_cells'", a, min_cells=54)
    refuse(tmp_path, "None of the 1 genes of 'genes'", a, genes=["nope"])
    refuse(tmp_path, "no gene list", a, genes=str(tmp_path / "none.txt"))
    refuse(tmp_path, "Several inputs are named 'a'", a, dataclasses.replace(b, name="a"))
    refuse(tmp_path, "There is no input")
    refuse(tmp_path, "no file or folder", InputSpec(tmp_path / "none.h5", "n"))


def test_a_fault_in_a_later_chunk_leaves_nothing(tmp_path, counts):
    broken = counts.astype(float)
    broken[50, 3] = 0.5
    path = make(tmp_path / "a.h5ad", broken, range(30))
    refuse(tmp_path, "fractional values, first in cell 'bar50', gene 'E3'", InputSpec(path, "a"))


@pytest.mark.parametrize(
    "options",
    [
        {"variable_genes": 1},
        {"variable_genes": 2000.0},
        {"variable_genes_by": "seurat"},
        {"variable_genes_by": None},
        {"min_cells": -1},
        {"min_cells": True},
        {"min_counts": 0},
        {"hvg_theta": 0.0},
        {"hvg_theta": float("nan")},
    ],
)
def test_options_check_themselves(options):
    with pytest.raises(InputError, match=next(iter(options))):
        DatasetOptions(**options)


def test_input_needs_a_name(tmp_path):
    with pytest.raises(InputError, match="empty name"):
        InputSpec(tmp_path, " ")


def test_columns_that_a_file_cannot_hold_as_they_are_called(tmp_path, counts):
    """HDF5 makes folders of slashes, and AnnData keeps ``_index`` for itself."""
    first = make(tmp_path / "a.h5ad", counts, range(30), Tcell=np.arange(53))
    second = make(tmp_path / "b.h5ad", counts, range(30), kind=["x"] * 53)
    with h5py.File(second, "r+") as file:
        file["obs/Tcell/score"], file["obs/names"] = np.linspace(0, 1, 53), file["obs/_index"][:]
        del file["obs/_index"]
        file["obs/_index"] = np.arange(53)
        file["obs"].attrs["_index"] = "names"
        order = ["kind", "Tcell/score", "_index"]
        file["obs"].attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
    data, _ = build(tmp_path, first, second)
    given = [
        name for name in data.obs if name not in ("dataset", "total_counts", "selected_counts")
    ]
    assert given == ["Tcell", "kind", "Tcell/score", "input__index"]
    inside = data.obs["dataset"] == "in1"
    assert np.array_equal(data.obs["Tcell/score"][inside], np.linspace(0, 1, 53))
    assert data.obs["Tcell/score"][~inside].isna().all()
    assert np.array_equal(data.obs["input__index"][inside], np.arange(53))
    shown = anndata.read_h5ad(tmp_path / "out" / "dataset.h5ad").obs
    assert [name for name in shown if "score" in name] == ["Tcell\u2215score"]


def test_nullable_text_is_written_as_categories(tmp_path, counts):
    path = make(tmp_path / "a.h5ad", counts, range(30))
    with h5py.File(path, "r+") as file:
        column = file.create_group("obs/donor")
        column["values"] = np.array(["d1"] * 53, dtype=h5py.string_dtype())
        column["mask"] = np.arange(53) < 3
        column.attrs["encoding-type"] = "nullable-string-array"
        file["obs"].attrs["column-order"] = np.array(["donor"], dtype=h5py.string_dtype())
    data, _ = build(tmp_path, path)
    assert data.obs["donor"].dtype == "category" and data.obs["donor"].isna().sum() == 3


def test_genes_are_joined_by_symbols_where_no_ids_are_shared(tmp_path, counts, caplog):
    first = make(tmp_path / "a.h5ad", counts, range(30))
    data = make_adata(counts[:20, ::-1])
    data.var_names = [f"S{g}" for g in range(29, -1, -1)]
    data.var_names = [*data.var_names[:-1], "other"]
    data.write_h5ad(tmp_path / "b.h5ad")
    found, frame = build(tmp_path, first, tmp_path / "b.h5ad", min_cells=0)
    assert "their genes are joined by symbols" in caplog.text
    assert list(frame.columns) == [f"E{g}" for g in range(1, 30)]
    inside = (found.obs["dataset"] == "in1").to_numpy()
    kept = counts[:20, 1:].sum(axis=1) > 0
    assert np.array_equal(frame[inside], counts[:20][kept][:, 1:])


def test_the_inputs_checksums_are_kept_in_the_data_set_and_in_its_models(tmp_path, counts):
    path = make(tmp_path / "a.h5ad", counts, range(30))
    folder = tmp_path / "folder"
    folder.mkdir()
    entries = sp.coo_matrix(counts.T)
    lines = [
        f"{i + 1} {j + 1} {int(n)}" for i, j, n in zip(*entries.coords, entries.data, strict=True)
    ]
    head = f"%%MatrixMarket matrix coordinate integer general\n30 {len(counts)} {entries.nnz}\n"
    files = {
        "barcodes.tsv": "\n".join(f"c{i}" for i in range(len(counts))),
        "genes.tsv": "\n".join(f"E{g}\tS{g}" for g in range(30)),
        "matrix.mtx": head + "\n".join(lines) + "\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "reads.bam").write_bytes(b"large")
    data, _ = build(tmp_path, path, folder)
    together = "".join(files.values()).encode()
    expected = {
        "in0": {"bytes": path.stat().st_size, "crc32": f"{zlib.crc32(path.read_bytes()):08x}"},
        "in1": {"bytes": len(together), "crc32": f"{zlib.crc32(together):08x}"},
    }
    assert data.notes["inputs"] == expected
    model = fit_layer(data, None, LayerOptions(2, epochs=1), progress=False)
    save_model(tmp_path / "layer1.h5nnmf", model)
    assert load_model(tmp_path / "layer1.h5nnmf").info["inputs"] == expected
