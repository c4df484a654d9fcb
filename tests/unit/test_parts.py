"""A data set in several files is the data set in one, for whoever made it and whoever reads it."""

import math
import shutil
from functools import partial
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import make_adata, same_matrix
from neuralNMF.dataset import (
    DatasetOptions,
    InputSpec,
    Piece,
    build_dataset,
    choose_genes_of,
    count_part,
    filter_genes_of,
    join_dataset,
    score_part,
    write_part,
)
from neuralNMF.dataset.order_free import OrderFreeSums
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.dataset_door import write_door
from neuralNMF.io.model import save_model
from neuralNMF.options import LayerOptions
from nmf_workflow.parts import pieces

STEPS = {"chunk_cells": 7, "progress": False}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> list[InputSpec]:
    """Two inputs with other genes and columns, so that their tables have to be fitted together."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 1.0, (1, 30)), (53, 30))
    counts[:10, :4] += rng.poisson(9, (10, 4))
    counts[:, 12] = 0
    text = np.array(["x", "y", None] * 17 + ["q", "q"], dtype=object)
    first = make_adata(counts, kind=text, age=np.arange(53), dead=[True, False] * 26 + [True])
    kind = pd.Categorical(["z", "y"] * 15 + ["z"], ordered=True)
    second = make_adata(
        counts[:31, 28::-1], kind=kind, part=np.arange(31.0) / 3, dataset=["d"] * 31
    )
    second.var_names = first.var_names[28::-1]
    found = []
    for name, data in {"a": first, "b": second}.items():
        data.write_h5ad(folder / f"{name}.h5ad")
        found.append(InputSpec(folder / f"{name}.h5ad", name))
    return found


def in_parts(folder: Path, parts: list[list[Piece]], options: DatasetOptions) -> Path:
    """Every step of a data set in parts, one after the other; the path of its door."""
    door, inside = folder / "dataset.h5ad", folder / "dataset"
    states = {
        name: [inside / f"{name}-{number}.state" for number in range(len(parts))]
        for name in ("counted", "scored")
    }
    filtered, chosen = inside / "filtered.state", inside / "chosen.state"
    for own, counted in zip(parts, states["counted"], strict=True):
        count_part(own, counted, options, **STEPS)
    filter_genes_of(states["counted"], filtered, options)
    scored = states["scored"] if options.variable_genes else []
    for own, counted, seen in zip(parts, states["counted"], scored, strict=False):
        score_part(own, counted, filtered, seen, **STEPS)
    choose_genes_of(filtered, scored, chosen, folder / "genes.tsv")
    files = [inside / f"part-{number}.h5ad" for number in range(len(parts))]
    for own, counted, file in zip(parts, states["counted"], files, strict=True):
        write_part(own, counted, chosen, file, **STEPS)
    join_dataset(chosen, files, door)
    return door


def cut(inputs: list[InputSpec], parts: int) -> list[list[Piece]]:
    return [
        [Piece(inputs[number], part, of) for number, part, of in own]
        for own in pieces(len(inputs), parts)
    ]


def assert_same(one: Path, door: Path) -> None:
    """Tables, notes and counts of both, to the last digit, and the tables of genes beside them."""
    first, other = open_dataset(one), open_dataset(door)
    pd.testing.assert_frame_equal(first.obs, other.obs, check_exact=True)
    pd.testing.assert_frame_equal(first.var, other.var, check_exact=True)
    assert first.notes == other.notes
    assert (first.shape, first.nnz) == (other.shape, other.nnz)
    assert np.array_equal(first.indptr, other.indptr) and other.indptr.dtype == np.int64
    for a, b in zip(first.read(), other.read(), strict=True):
        assert np.array_equal(a, b) and a.dtype == b.dtype
    assert (one.parent / "genes.tsv").read_bytes() == (door.parent / "genes.tsv").read_bytes()


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (2, {}),
        (5, {"variable_genes": 9}),
        (1, {"variable_genes": 9, "variable_genes_by": "pearson"}),
        (7, {"variable_genes": 9, "variable_genes_by": "pearson", "min_counts": 12}),
        (3, {"variable_genes": 9, "batch": "kind", "include": ["gene3"], "min_cells": 2}),
        (5, {"variable_genes": 9, "batch": "kind"}),  # ranges that begin where another batch does
        (14, {"variable_genes": 5, "batch": "input"}),  # more parts than chunks: some are empty
    ],
)
def test_many_jobs_make_what_one_makes(tmp_path, inputs, parts, options):
    options = DatasetOptions(**options)
    one = tmp_path / "one" / "dataset.h5ad"
    build_dataset(inputs, one, options, **STEPS)
    assert_same(one, in_parts(tmp_path, cut(inputs, parts), options))


def test_one_input_in_ranges(tmp_path, inputs):
    """Barcodes without suffixes, and the column's own categories in their order."""
    one = tmp_path / "one" / "dataset.h5ad"
    build_dataset(inputs[1:], one, **STEPS)
    door = in_parts(tmp_path, cut(inputs[1:], 3), DatasetOptions())
    assert_same(one, door)
    assert open_dataset(door).obs["kind"].cat.ordered


def test_what_a_part_reads():
    assert pieces(1, 1) == [[(0, 0, 1)]]
    assert pieces(5, 2) == [[(0, 0, 1), (1, 0, 1)], [(2, 0, 1), (3, 0, 1), (4, 0, 1)]]
    assert pieces(2, 5) == [[(0, 0, 2)], [(0, 1, 2)], [(1, 0, 3)], [(1, 1, 3)], [(1, 2, 3)]]
    for inputs in range(1, 8):
        for parts in range(1, 12):
            own = pieces(inputs, parts)
            assert len(own) == parts and all(own)
            found = [piece for part in own for piece in part]
            assert found == sorted(found)
            for number in range(inputs):
                ranges = [piece[1:] for piece in found if piece[0] == number]
                assert ranges == [(part, len(ranges)) for part in range(len(ranges))]


@pytest.mark.parametrize("total", [0, 1, 6999, 7000, 20_001])
def test_ranges_are_whole_chunks_and_all_cells(total):
    spec = InputSpec("x", "x")
    ranges = [Piece(spec, part, 4).cells(total, 1000) for part in range(4)]
    assert [cell for each in ranges for cell in each] == list(range(total))
    assert all(each.start % 1000 == 0 or not each for each in ranges)


def test_sums_do_not_depend_on_their_order():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (4000, 5)) * 10.0 ** rng.integers(-9, 9, (4000, 5))
    totals = []
    for seed in range(3):
        sums = OrderFreeSums(5, 4000 * 1e9)
        parts = np.array_split(np.random.default_rng(seed).permutation(values), 3)
        for part in parts:
            own = OrderFreeSums(5, 4000 * 1e9)
            for row in part:
                own.add(row)
            sums.bins += own.bins
        totals.append(sums.total())
    assert all(np.array_equal(totals[0], other) for other in totals)
    assert not np.array_equal(values.sum(axis=0), values[::-1].sum(axis=0))  # plain sums do
    exact = [math.fsum(column) for column in values.T]
    np.testing.assert_allclose(totals[0], exact, rtol=1e-15, atol=1e-6)


def test_what_has_to_be_sorted_is_read_whole_or_refused(tmp_path, inputs):
    data = anndata.read_h5ad(inputs[0].path)
    data.X = sp.csc_matrix(data.X)
    data.write_h5ad(tmp_path / "csc.h5ad")
    (tmp_path / "t.csv").write_text("cell,g1,g2\nc1,1,2\nc2,0,3\n")
    for name in ("csc.h5ad", "t.csv"):
        spec = InputSpec(tmp_path / name, "x")
        with pytest.raises(InputError, match="no more `parts` than there are inputs"):
            count_part([Piece(spec, 1, 2)], tmp_path / "x.state", DatasetOptions(), **STEPS)
        count_part([Piece(spec)], tmp_path / "x.state", DatasetOptions(), **STEPS)


def test_an_input_that_is_changed_between_the_steps(tmp_path, inputs):
    data = anndata.read_h5ad(inputs[0].path)
    data.write_h5ad(tmp_path / "a.h5ad")
    part = [Piece(InputSpec(tmp_path / "a.h5ad", "a"))]
    count_part(part, tmp_path / "counted", DatasetOptions(variable_genes=5), **STEPS)
    filter_genes_of([tmp_path / "counted"], tmp_path / "filtered", DatasetOptions(variable_genes=5))
    data[:50].copy().write_h5ad(tmp_path / "a.h5ad")
    steps = tmp_path / "counted", tmp_path / "filtered", tmp_path / "scored"
    with pytest.raises(InputError, match="changed after its cells were counted"):
        score_part(part, *steps, **STEPS)


def test_two_inputs_of_one_name_and_cells_without_counts(tmp_path, inputs):
    twice = [InputSpec(each.path, "same") for each in inputs]
    with pytest.raises(InputError, match="Several inputs are named 'same'"):
        in_parts(tmp_path, cut(twice, 2), DatasetOptions())
    with pytest.raises(InputError, match="No cell of the input 'a' has 100000 counts"):
        in_parts(tmp_path, cut(inputs, 4), DatasetOptions(min_counts=100_000))
    with pytest.raises(InputError, match="No cell has a count in the 1 selected genes"):
        in_parts(tmp_path, cut(inputs, 4), DatasetOptions(genes=["gene12"], min_cells=0))
    assert not (tmp_path / "dataset.h5ad").exists()


CELLS, GENES = 700, 40
# Within a block of cells, at a border of pieces that are streamed, and a part without cells.
BORDERS = (0, 100, 100, 333, 640, CELLS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``one.h5ad``, and the same cells in parts."""
    folder = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(1)
    mean = rng.gamma(0.5, 1.0, (CELLS, 4)) @ rng.gamma(0.3, 3.0, (4, GENES)) * 0.4
    counts = sp.csr_matrix(rng.poisson(mean).astype(np.float32))
    write_dataset(folder / "one.h5ad", counts)
    split(folder, folder / "one.h5ad")
    return folder


def split(folder: Path, one: Path) -> None:
    whole, files = open_dataset(one), []
    for number, (start, stop) in enumerate(zip(BORDERS[:-1], BORDERS[1:], strict=True)):
        files.append(folder / "dataset" / f"part-{number}.h5ad")
        rows = sp.csr_matrix(whole.rows(start, stop))
        write_dataset(files[-1], rows, whole.obs.iloc[start:stop], whole.var)
    write_door(folder / "dataset.h5ad", files, whole.obs, whole.var, whole.notes)


def test_parts_are_read_as_one_file(folder):
    one, many = (open_dataset(folder / name) for name in ("one.h5ad", "dataset.h5ad"))
    for reading in ("read", "map"):
        for a, b in zip(getattr(one, reading)(), getattr(many, reading)(), strict=True):
            assert np.array_equal(a, b)
    for start, stop in [(0, CELLS), (99, 101), (100, 333), (5, 5), (332, 641), (CELLS - 1, CELLS)]:
        assert same_matrix(one.rows(start, stop), many.rows(start, stop))
        many.release()
    assert not many.rows(0, 50).data.flags.writeable
    assert np.shares_memory(many.rows(0, 50).data, many.rows(20, 60).data)  # a map, within a part
    cells = np.array([3, 100, 650])
    for a, b in zip(one.genes_found(cells), many.genes_found(cells), strict=True):
        assert np.array_equal(a, b)
    assert one.fingerprint() != many.fingerprint() == open_dataset(many.path).fingerprint()


def test_anndata_reads_the_door_and_every_part(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the parts are found from where the door lies
    whole = anndata.read_h5ad(folder / "one.h5ad")
    door = anndata.read_h5ad(folder / "dataset.h5ad")
    assert same_matrix(sp.csr_matrix(door.X), sp.csr_matrix(whole.X))
    pd.testing.assert_frame_equal(door.obs, whole.obs)
    parts = [anndata.read_h5ad(folder / "dataset" / f"part-{n}.h5ad") for n in range(5)]
    assert same_matrix(sp.vstack([part.X for part in parts], "csr"), sp.csr_matrix(whole.X))
    door = anndata.read_h5ad(folder / "dataset.h5ad", backed="r")
    assert same_matrix(door.X[330:340], whole.X[330:340])


@pytest.mark.parametrize("loss", [{}, {"loss": "poisson", "beta": "learned"}])
@pytest.mark.parametrize("held", [None, 150])
def test_models_have_the_same_bytes(folder, tmp_path, loss, held):
    found = []
    for name in ("one.h5ad", "dataset.h5ad"):
        options = LayerOptions(rank=3, epochs=6, threads=2, data_mem_size=held, **loss)
        model = fit_layer(open_dataset(folder / name), None, options, progress=False)
        save_model(tmp_path / "layer1.h5nnmf", model)
        found.append((tmp_path / "layer1.h5nnmf").read_bytes())
    assert found[0] == found[1]


def test_a_range_of_the_cells_opens_its_own_parts_only(folder, tmp_path):
    copy(folder, tmp_path)
    one = open_dataset(folder / "one.h5ad")
    flip(tmp_path / "dataset" / "part-0.h5ad", -1)  # of no concern to who reads the others
    many = open_dataset(tmp_path / "dataset.h5ad", lambda indptr, genes: (120, 650))
    assert (many.shape, many.share.first, many.all_cells) == ((530, GENES), 120, CELLS)
    assert same_matrix(many.rows(0, 530), one.rows(120, 650))
    inside = int(one.indptr[120]), int(one.indptr[650])
    for read, expected in zip(many.read(), one.part(*inside), strict=True):
        assert np.array_equal(read, expected)


def copy(folder: Path, target: Path) -> None:
    """The parts and their door, whole."""
    shutil.copytree(folder / "dataset", target / "dataset", dirs_exist_ok=True)
    shutil.copy(folder / "dataset.h5ad", target)


def flip(path: Path, place: int) -> None:
    """Change a byte; of -1, one of the checksums."""
    content = bytearray(path.read_bytes())
    content[place if place >= 0 else len(content) - 50] ^= 1
    path.write_bytes(content)


def test_parts_that_are_not_those_of_the_door(folder, tmp_path):
    opened = partial(open_dataset, tmp_path / "dataset.h5ad")
    part = tmp_path / "dataset" / "part-2.h5ad"

    afresh = partial(copy, folder, tmp_path)
    afresh()
    part.unlink()
    with pytest.raises(InputError, match=r"part-2\.h5ad'.* is missing: run the workflow again"):
        opened()
    afresh()
    part.write_bytes((tmp_path / "dataset" / "part-3.h5ad").read_bytes())
    with pytest.raises(InputError, match="is not the part that"):
        opened()
    afresh()
    with h5py.File(part, "r+") as file:  # cuts the checksums off
        file["X/data"][0] = 99
    with pytest.raises(InputError, match="is not the part that"):
        opened()
    afresh()
    other = open_dataset(part)  # of the same size, with other counts
    rows = sp.csr_matrix(other.rows(0, other.shape[0])) * 2
    write_dataset(part, rows, other.obs, other.var)
    with pytest.raises(InputError, match="is not the part that"):
        opened()
    afresh()
    with h5py.File(part) as file:
        place = file["X/data"].id.get_offset() + 100
    flip(part, place)
    data = opened()
    with pytest.raises(InputError, match=r"part-2\.h5ad' was damaged"):
        data.rows(0, CELLS)
    afresh()
    flip(tmp_path / "dataset.h5ad", 3000)
    with pytest.raises(InputError, match=r"dataset\.h5ad' was damaged"):
        opened()


@pytest.mark.parametrize("name", ["../one.h5ad", "/etc/passwd", "part-1.h5ad/../../x.h5ad"])
def test_a_door_leads_into_its_own_folder_only(folder, tmp_path, name):
    copy(folder, tmp_path)
    with h5py.File(tmp_path / "dataset.h5ad", "r+") as file:
        told = file["uns/parts"].asstr()[()].replace("part-1.h5ad", name)
        del file["uns/parts"]
        file["uns/parts"] = told
    with pytest.raises(InputError, match="as a part, which is none of"):
        open_dataset(tmp_path / "dataset.h5ad")


def test_parts_belong_into_the_folder_of_the_door(folder, tmp_path):
    one = open_dataset(folder / "one.h5ad")
    with pytest.raises(InputError, match="put it into"):
        write_door(tmp_path / "d.h5ad", [folder / "dataset/part-0.h5ad"], one.obs, one.var, {})
    inside = tmp_path / "d" / "part-0.h5ad"
    inside.parent.mkdir()
    inside.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="no part of a data set"):
        write_door(tmp_path / "d.h5ad", [inside], one.obs, one.var, {})


def test_a_door_is_no_input(folder):
    """What leads into another file is not followed, also where this library wrote it."""
    with pytest.raises(InputError, match="takes it from another file"):
        open_counts(folder / "dataset.h5ad")
