"""Faults of files and machines end in a sentence that helps; nothing outside the file is read."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import make_adata
from neuralNMF.errors import InputError
from neuralNMF.io import hdf5
from neuralNMF.io.counts import open_counts
from neuralNMF.io.faults import told
from neuralNMF.io.gene_lists import read_gene_list
from neuralNMF.io.h5 import write_h5

COUNTS = np.random.default_rng(0).poisson(1.0, (6, 4)).astype(np.float32)


def refuse(path, layer=None):
    with pytest.raises(InputError) as caught, open_counts(path, layer) as reader:
        list(reader.chunks(4))
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and str(path) in message
    assert len(message) < 400 and "damaged (" not in message
    return message


@pytest.fixture
def h5ad(tmp_path):
    make_adata(COUNTS).write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


# The machine


def test_a_lock_of_another_program(h5ad):
    hold = (
        f"import h5py, sys; f = h5py.File({str(h5ad)!r}, 'r+'); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        message = refuse(h5ad)
        other.communicate("\n")
    assert "held open by another program" in message and "HDF5_USE_FILE_LOCKING=FALSE" in message


def test_a_file_system_without_locks_is_read_without(h5ad, monkeypatch):
    real = h5py.File

    def without_locks(path, mode, **options):
        if "locking" not in options:
            raise OSError(
                f"[Errno 37] Unable to open file (unable to lock file, errno = 37, {path})"
            )
        return real(path, mode, **options)

    monkeypatch.setattr(hdf5.h5py, "File", without_locks)
    file = hdf5.open_hdf5(h5ad)
    assert "X" in file and hdf5.is_hdf5(h5ad)
    file.close()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_no_permission(h5ad, tmp_path, kind, monkeypatch):
    path = h5ad if kind == "file" else tmp_path / "m"
    path.mkdir(exist_ok=True) if kind == "folder" else None
    path.chmod(0)
    if os.geteuid() == 0:  # root may read all

        def denied(self, *_, **__):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open" if kind == "file" else "iterdir", denied)
    message = refuse(path)
    path.chmod(0o700)
    assert "may not be read by you (permission denied)" in message


def test_a_disk_that_fails():
    assert "cannot be read now (Input/output error)" in told(Path("x"), OSError(5, "?"))
    assert "more than fits into memory" in told(Path("x"), MemoryError())


# What a file is


TEXT = b"%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 1\n"


def tar(path, kind):
    with tarfile.open(path, f"w:{kind}") as archive:
        archive.add(__file__, "m/matrix.mtx")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.tar.gz", "is an archive: unpack it with `tar xf m.tar.gz`"),
        ("m.tar", "is an archive: unpack it with `tar xf m.tar`"),
        ("m.h5", "is an archive: unpack it with `tar xf m.h5`"),
        ("m.zip", "is a zip archive or an Excel file: unpack it with `unzip m.zip`"),
        ("m.h5ad.gz", "compressed HDF5 file: unpack it with `gzip -dc m.h5ad.gz > m.h5ad`"),
        ("m.h5ad", "compressed HDF5 file: unpack it with `xz -dc m.h5ad > m.h5ad.h5`"),
        ("m.h5.bz2", "compressed HDF5 file: unpack it with `bzip2 -dc m.h5.bz2 > m.h5`"),
        ("m.rds", "is a file of R's: write its counts in R as .h5ad"),
        ("m.h5seurat", "is an h5Seurat file: write it as .h5ad in R"),
        ("molecule_info.h5", "is CellRanger's molecule_info: give filtered_feature_bc_matrix.h5"),
        ("page.h5", "is a web page, as a download that failed leaves it"),
        ("lfs.h5ad", "only points to a file in Git LFS: get it with `git lfs pull`"),
        ("noise.h5", "is no HDF5 file, or its first bytes are damaged"),
        ("noise.bin", "is no HDF5 file and no text"),
        ("empty.h5", "is empty: copy or download it again"),
    ],
)
def test_what_has_to_be_made_readable_first(tmp_path, h5ad, name, message):
    path, whole = tmp_path / name, h5ad.read_bytes()
    contents = {
        "m.h5ad.gz": lambda: gzip.compress(whole),
        "m.h5ad": lambda: lzma.compress(whole),
        "m.h5.bz2": lambda: bz2.compress(whole),
        "m.tar.gz": lambda: tar(path, "gz"),
        "m.h5": lambda: tar(path, "gz"),
        "m.tar": lambda: tar(path, ""),
        "m.rds": lambda: gzip.compress(b"X\n\x00\x00\x00\x03\x00"),
        "page.h5": lambda: b"\n<!DOCTYPE html><html>",
        "lfs.h5ad": lambda: b"version https://git-lfs.github.com/spec/v1\n",
        "noise.h5": lambda: b"noise" * 200,
        "noise.bin": lambda: b"noise\0" * 200,
        "empty.h5": lambda: b"",
    }
    if name == "m.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("matrix.mtx", TEXT)
    elif name in contents:
        path.write_bytes(contents[name]())
    else:
        with h5py.File(path, "w") as file:
            parts = ["assays", "meta.data"] if "seurat" in name else ["barcode_idx", "umi"]
            for part in parts:
                file.create_group(part)
    assert message in refuse(path)


def test_a_filter_that_is_not_installed(h5ad, monkeypatch):
    with h5py.File(h5ad, "r+") as file:
        values = file["X/data"][:]
        del file["X/data"]
        file.create_dataset("X/data", data=values, compression="lzf")
    available = h5py.h5z.filter_avail
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32000 and available(code))
    monkeypatch.setitem(hdf5.FILTERS, 32000, "lzf")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    message = refuse(h5ad)
    assert "compressed by lzf, which is not installed: `pip install hdf5plugin`" in message


# Only what is in the file


@pytest.mark.parametrize("part", ["X", "obs", "X/data", "obs/_index", "var/_index"])
@pytest.mark.parametrize("way", ["link", "soft link", "storage", "virtual"])
def test_other_files_are_not_followed(tmp_path, h5ad, part, way):
    other = tmp_path / "other.h5ad"
    other.write_bytes(h5ad.read_bytes())
    with h5py.File(h5ad, "r+") as file:
        array = isinstance(file[part], h5py.Dataset)
        if not array and way in ("storage", "virtual"):
            pytest.skip("of arrays only")
        shape, dtype = (file[part].shape, file[part].dtype) if array else (None, None)
        del file[part]
        if way == "link":
            file[part] = h5py.ExternalLink("../" + f"{tmp_path.name}/other.h5ad", part)
        elif way == "soft link":
            file["elsewhere"] = h5py.ExternalLink(str(other), part)
            file[part] = h5py.SoftLink("/elsewhere")
        elif way == "storage":
            size = shape[0] * 4
            file.create_dataset(part, shape, np.float32, external=[(str(other), 0, size)])
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[:] = h5py.VirtualSource(str(other), part, shape)
            file.create_virtual_dataset(part, layout)
    assert "takes it from another file" in refuse(h5ad)


def test_links_within_a_file_may_make_circles(h5ad):
    with h5py.File(h5ad, "r+") as file:
        file["var/again"] = file["var"]
        file["var/soft"] = h5py.SoftLink("/var")
        file["numbers"] = file["X/data"]
        del file["X/data"]
        file["X/data"] = h5py.SoftLink("/numbers")
    with open_counts(h5ad) as reader:
        assert np.array_equal(sp.vstack([c for _, c in reader.chunks(4)]).toarray(), COUNTS)


@pytest.mark.parametrize("part", ["X/data", "X/indptr", "obs/_index"])
def test_sizes_are_looked_at_before_memory_is_taken(h5ad, part):
    with h5py.File(h5ad, "r+") as file:
        dtype = file[part].dtype
        del file[part]
        file.create_dataset(part, (1 << 40,), dtype, chunks=(1024,))
    assert f"in '/{part}', more than the file can hold" in refuse(h5ad)


def test_a_gene_list_of_windows_and_one_that_is_no_text(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_bytes('\ufeff"CD3E"\r\nLYZ # monocytes\r\n\r\n'.encode())
    assert read_gene_list(path) == ["CD3E", "LYZ"]
    path.write_bytes(b"\x00\x01\x02" * 50)
    with pytest.raises(InputError, match="no text"):
        read_gene_list(path)


@pytest.mark.parametrize("kind", ["h5ad", "h5", "csv", "mtx", "genes.tsv"])
@pytest.mark.parametrize("change", ["replaced", "written to", "cut off"])
def test_an_input_that_changes_while_it_is_read(tmp_path, kind, change):
    folder = tmp_path / "m"
    folder.mkdir()
    given = changed = folder / f"x.{kind}"
    if kind == "h5ad":
        make_adata(COUNTS).write_h5ad(given)
    elif kind == "h5":
        write_h5(given, list("abcdef"), list("wxyz"), COUNTS)
    elif kind == "csv":
        pd.DataFrame(COUNTS.astype(int), list("abcdef"), list("wxyz")).to_csv(given)
    else:
        given, changed = folder, folder / ("genes.tsv" if kind == "genes.tsv" else "matrix.mtx")
        (folder / "matrix.mtx").write_bytes(TEXT.replace(b"\n1 1 1\n", b"\n1 6 1\n", 1))
        (folder / "genes.tsv").write_text("g\tg\n")
        (folder / "barcodes.tsv").write_text("a\nb\nc\nd\ne\nf\n")
    message = "was changed while it was read"
    with open_counts(given) as reader:
        list(reader.chunks(2))
        (folder / "beside.txt").write_text("of no matter")
        passing = reader.chunks(2)
        next(passing)
        whole = changed.read_bytes()
        if change == "replaced":
            (folder / "other").write_bytes(whole)
            (folder / "other").replace(changed)
        elif change == "written to":
            os.utime(changed, ns=(0, 10**18))
        else:
            with changed.open("r+b") as file:
                file.truncate(len(whole) - 1)
        with pytest.raises(InputError, match=message):
            list(passing)
        with pytest.raises(InputError, match=message):
            next(reader.chunks(2))


# Counts


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_counts_that_are_whole_but_for_rounding(tmp_path, caplog, form):
    noisy = COUNTS.astype(np.float64)
    noisy[COUNTS > 0] += 9e-4 * np.random.default_rng(1).uniform(-1, 1, (COUNTS > 0).sum())
    noisy[0, 0], noisy[1, 1] = 50_000.03, -1e-7  # of large counts more; of zeros, too
    anndata.AnnData(form(noisy)).write_h5ad(tmp_path / "x.h5ad")
    with open_counts(tmp_path / "x.h5ad") as reader:
        found = sp.vstack([c for _, c in reader.chunks(2)])
    assert np.array_equal(found.toarray(), np.rint(noisy)) and (found.data != 0).all()
    assert sum("whole but for rounding" in line for line in caplog.messages) == 1
    noisy[5, 3] = 2.002
    anndata.AnnData(form(noisy)).write_h5ad(tmp_path / "x.h5ad")
    assert "fractional values" in refuse(tmp_path / "x.h5ad")


def test_counts_that_float32_does_not_hold(tmp_path, caplog):
    large = COUNTS.astype(np.float64)
    large[2, 2] = 2**24 + 1
    anndata.AnnData(large).write_h5ad(tmp_path / "x.h5ad")
    with open_counts(tmp_path / "x.h5ad") as reader:
        list(reader.chunks(2))
    assert "counts of 2^24 and more, which are kept to seven digits" in caplog.text
    large[2, 2] = 1e300
    anndata.AnnData(large).write_h5ad(tmp_path / "x.h5ad")
    assert "too large" in refuse(tmp_path / "x.h5ad")
