"""Every changed byte of what this library wrote is noticed; what others changed is read."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF.errors import InputError
from neuralNMF.io import checksums, stored_counts
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.model import Model, load_model, save_model

FLIPS = 120
RNG = np.random.default_rng(0)
COUNTS = sp.csr_matrix(RNG.poisson(1.0, (60, 40)).astype(np.float32))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks in a small file."""
    for module in (checksums, stored_counts):
        monkeypatch.setattr(module, "BLOCK", 4096)
    monkeypatch.setattr(stored_counts, "_STRETCH", 500)


def a_dataset(path):
    write_dataset(path, COUNTS)


def a_model(path):
    usage, programs = RNG.gamma(1, size=(60, 3)), RNG.gamma(1, size=(3, 40))
    programs /= programs.sum(axis=1, keepdims=True)
    cells = pd.DataFrame({"total_counts": np.arange(60.0)}, index=[f"c{i}" for i in range(60)])
    genes = pd.DataFrame(index=[f"g{j}" for j in range(40)])
    save_model(path, Model([usage], [programs], [np.zeros(3, bool)], cells, genes))


def some_counts(path):
    write_h5(path, [f"c{i}" for i in range(60)], [f"g{j}" for j in range(40)], COUNTS)


def tables(found):
    return [found.obs.to_csv(), found.var.to_csv()]


def read_dataset(path):
    data = open_dataset(path)
    return [*data.read(), data.indptr, *tables(data)]


def map_dataset(path):
    data = open_dataset(path)
    rows = [data.rows(start, start + 20) for start in range(0, 60, 20)]
    counts = sp.vstack(rows)
    return [counts.indices, counts.data, data.indptr, *tables(data)]


def read_model(path):
    model = load_model(path)
    return [*model.thetas, *model.betas, *model.dead, *tables(model)]


def read_counts(path):
    with open_counts(path) as reader:
        return [sp.vstack([c for _, c in reader.chunks(7)]).toarray(), list(reader.barcodes)]


KINDS = {
    "data set, read": (a_dataset, read_dataset),
    "data set, mapped": (a_dataset, map_dataset),
    "model": (a_model, read_model),
    "counts": (some_counts, read_counts),
}


def same(a, b):
    return all(
        np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_noticed_or_harmless(tmp_path, kind):
    write, read = KINDS[kind]
    path = tmp_path / "file.h5ad"
    write(path)
    whole = path.read_bytes()
    before = read(path)
    noticed = 0
    for place in np.random.default_rng(1).integers(8 * len(whole), size=FLIPS):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << (place % 8)
        path.write_bytes(changed)
        try:
            assert same(read(path), before), f"byte {place // 8}"
        except InputError as error:
            noticed += 1
            assert "damaged after it was written" in str(error)
    assert noticed > 0.97 * FLIPS


@pytest.mark.parametrize("kind", KINDS)
def test_without_checksums_it_is_read_as_before(tmp_path, kind):
    write, read = KINDS[kind]
    path = tmp_path / "file.h5ad"
    write(path)
    before, size = read(path), path.stat().st_size
    with h5py.File(path, "r+"):
        pass
    assert path.stat().st_size < size and checksums.read_checksums(path) is None
    assert same(read(path), before)


def test_a_file_changed_by_another_program_is_read(tmp_path):
    path = tmp_path / "dataset.h5ad"
    a_dataset(path)
    with h5py.File(path, "r+") as file:
        file["X/data"][0] += 1
        file["new"] = np.zeros(5000)
    assert open_dataset(path).read()[1][0] == COUNTS.data[0] + 1


@pytest.mark.parametrize("kind", ["data set, read", "model"])
def test_anndata_reads_files_with_checksums(tmp_path, kind):
    KINDS[kind][0](tmp_path / "file.h5ad")
    assert anndata.read_h5ad(tmp_path / "file.h5ad").shape == (60, 40)


@pytest.mark.parametrize("how", ["index", "negative", "indptr", "backwards", "obs"])
def test_a_data_set_that_loops_could_not_take(tmp_path, how):
    """As one that was written by hand, or changed before there were checksums."""
    path = tmp_path / "dataset.h5ad"
    a_dataset(path)
    with h5py.File(path, "r+") as file:
        group = file["X"]
        if how in ("index", "negative"):
            group["indices"][700] = 40 if how == "index" else -1
        elif how == "indptr":
            group["indptr"][60] += 1
        elif how == "backwards":
            group["indptr"][5] = group["indptr"][7]
        else:
            group.attrs["shape"] = [59, 40]
    with pytest.raises(InputError, match="make the data set again"):
        open_dataset(path).read()
    with pytest.raises(InputError, match="make the data set again"):
        open_dataset(path).rows(0, 59)


@pytest.mark.parametrize("change", ["cut off", "replaced", "written to"])
@pytest.mark.parametrize("way", ["read", "mapped", "mapped before"])
def test_a_data_set_that_changes_while_it_is_used(tmp_path, way, change):
    path = tmp_path / "dataset.h5ad"
    a_dataset(path)
    data = open_dataset(path)
    if way == "mapped before":
        data.rows(0, 60)
    if change == "cut off":
        with path.open("r+b") as file:
            file.truncate(5000)
    elif change == "replaced":
        a_dataset(tmp_path / "other.h5ad")
        (tmp_path / "other.h5ad").replace(path)
    else:
        with path.open("ab") as file:
            file.write(b"x")
    with pytest.raises(InputError, match="while it was in use"):
        data.read() if way == "read" else data.rows(0, 60)


def test_mapped_counts_stay_when_the_file_goes(tmp_path):
    path = tmp_path / "dataset.h5ad"
    a_dataset(path)
    data = open_dataset(path)
    data.rows(0, 1)
    path.unlink()
    assert (data.rows(0, 60) != COUNTS).nnz == 0
    with pytest.raises(InputError, match="No such file"):
        data.read()


def test_parts_are_looked_at_once(tmp_path, monkeypatch):
    path = tmp_path / "dataset.h5ad"
    a_dataset(path)
    data = open_dataset(path)
    data.rows(0, 60)
    monkeypatch.setattr(checksums.zlib, "crc32", lambda _: pytest.fail("looked at again"))
    assert (data.rows(0, 60) != COUNTS).nnz == 0
