"""The cells in the plane, their colours, and the file to look at a model with."""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF.colours import hexadecimal, label_colours, palette, program_colours
from neuralNMF.embedding.explore import explore
from neuralNMF.embedding.plane import planes_of_usage
from neuralNMF.errors import InputError
from neuralNMF.evidence.layer import evidence_of_layers
from neuralNMF.evidence.main_program import NO_PROGRAM, main_programs
from neuralNMF.evidence.tree import NO_PARENT, Tree
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.explore import write_explored
from neuralNMF.io.model import Model, save_model
from neuralNMF.labels import as_labels

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "embed.py"
CELLS, GENES = 90, 40


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def usage(rng):
    """Usage of three programs by three kinds of cells, (90, 3)."""
    kinds = np.repeat(np.eye(3), CELLS // 3, axis=0)
    return 20 * (0.8 * kinds + rng.dirichlet([1, 1, 1], CELLS) * 0.2)


@pytest.fixture
def model(rng, usage):
    """Six programs in three, of 90 cells that use two each; labels as people have them."""
    fine = np.zeros((CELLS, 6))
    fine[:, ::2] = 0.7 * usage
    fine[:, 1::2] = 0.3 * usage
    betas = [rng.gamma(0.3, size=(k, GENES)) + 1e-3 for k in (6, 3)]
    kinds = np.repeat(["T", "B", None], CELLS // 3)
    obs = pd.DataFrame(
        {
            "dataset": "one",
            "total_counts": 100.0,
            "selected_counts": 100.0,
            "type": kinds,
            "cluster": np.arange(CELLS) % 2,
            "program_l1": "mine",
        },
        index=[f"cell{i}" for i in range(CELLS)],
    )
    symbols = [f"G{i}" for i in range(GENES - 2)] + ["twice", "twice"]
    ids = [f"E{i}" for i in range(GENES)]
    var = pd.DataFrame({"symbol": symbols, "gene_scale": 1.0}, index=ids)
    return Model(
        [fine, np.repeat(np.eye(3), 2, axis=0)],
        [beta / beta.sum(axis=1, keepdims=True) for beta in betas],
        [np.zeros(6, dtype=bool), np.zeros(3, dtype=bool)],
        obs,
        var,
    )


@pytest.fixture
def files(model, rng, tmp_path):
    """A data set and a model file of the same cells."""
    counts = sp.csr_matrix(rng.poisson(1.0, (CELLS, GENES)).astype(np.float32))
    var = model.var.assign(gene_id=model.var.index)
    write_dataset(tmp_path / "dataset.h5ad", counts, model.obs, var)
    save_model(tmp_path / "layer2.h5nnmf", model)
    return tmp_path


def explored(model: Model, columns=("type", "cluster"), umap: bool = False):
    evidence = evidence_of_layers(
        model.usages, model.betas, model.var["symbol"].to_numpy(), dead=model.dead
    )
    parts = model.thetas, model.usages, model.betas, evidence
    return explore(model.obs, columns, *parts, umap=umap, seed=0)


# Main programs


def test_a_main_program_is_what_a_cell_has_beyond_the_mean():
    shares = np.array([[70, 30, 0], [70, 0, 30], [90, 10, 0], [0, 0, 0.0]])
    main, excess = main_programs(shares, np.array([2, 0, 1]), np.zeros(3, dtype=bool))
    np.testing.assert_array_equal(main, [1, 2, 0, NO_PROGRAM])
    np.testing.assert_allclose(excess[:3], [20, 22.5, 32.5])
    main, _ = main_programs(shares, np.arange(3), np.array([True, False, False]))
    np.testing.assert_array_equal(main[:3], [1, 2, 1])
    main, _ = main_programs(shares, np.arange(3), np.ones(3, dtype=bool))
    np.testing.assert_array_equal(main[:3], [1, 2, 0])


# Places


def test_kinds_of_cells_lie_apart_and_the_same_seed_gives_the_same_places(usage):
    usage[7] = 0
    planes = planes_of_usage([usage], np.zeros(CELLS, dtype=int), seed=5)
    (places,) = planes.coordinates
    assert planes.drawn == "89 cells" and planes.why_not == [""]
    assert np.isnan(places[7]).all() and np.isfinite(np.delete(places, 7, axis=0)).all()
    kinds = np.repeat(np.arange(3), CELLS // 3)
    centres = np.stack([np.nanmean(places[kinds == kind], axis=0) for kind in range(3)])
    distances = np.linalg.norm(places[:, None] - centres, axis=2)
    drawn = np.delete(np.arange(CELLS), 7)
    np.testing.assert_array_equal(distances[drawn].argmin(axis=1), kinds[drawn])
    again = planes_of_usage([usage], np.zeros(CELLS, dtype=int), seed=5).coordinates[0]
    np.testing.assert_array_equal(places, again)
    other = planes_of_usage([usage], np.zeros(CELLS, dtype=int), seed=6).coordinates[0]
    assert not np.array_equal(places[:7], other[:7])


def test_of_many_cells_a_sample_as_dense_as_they_are(usage):
    groups = np.repeat([0, 1], [60, 30])
    planes = planes_of_usage([usage, usage[:, :2]], groups, seed=0, most_cells=45)
    assert planes.drawn.startswith("sample of 45 of 90 cells")
    first, second = (~np.isnan(places[:, 0]) for places in planes.coordinates)
    np.testing.assert_array_equal(first, second)
    assert first[:60].sum() == 30 and first[60:].sum() == 15


def test_layers_without_a_picture_say_why(usage, caplog):
    one = usage.sum(axis=1, keepdims=True)
    planes = planes_of_usage([usage[:14], one[:14]], np.zeros(14, dtype=int), seed=0)
    assert planes.coordinates == [None, None]
    assert planes.why_not[0].startswith("14 cells use a program")
    assert "layer 2 has no UMAP" in caplog.text
    planes = planes_of_usage([one], np.zeros(CELLS, dtype=int), seed=0)
    assert "single program" in planes.why_not[0]


# Colours


def test_children_have_shades_of_their_parent():
    tree = Tree(
        [np.array([0, 0, 1, 2, NO_PARENT, 1]), np.array([0, 0, 1])],
        [np.array([0, 1, 2, 5, 3, 4]), np.array([0, 1, 2]), np.array([0, 1])],
    )
    gone = [np.arange(6) == 4, np.zeros(3, dtype=bool), np.zeros(2, dtype=bool)]
    fine, roots, coarse = program_colours(tree, gone)
    np.testing.assert_array_equal(roots, palette(3))
    np.testing.assert_array_equal(fine[3], roots[2])  # an only child
    np.testing.assert_array_equal(fine[4], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(coarse, roots[[0, 2]])
    assert len(np.unique(fine, axis=0)) == 6
    for pair, parent in (((0, 1), 0), ((2, 5), 1)):
        dark, light = fine[pair[0]], fine[pair[1]]
        assert np.all(dark <= roots[parent]) and np.all(roots[parent] <= light)
    assert np.all((fine >= 0) & (fine <= 1))


def test_hexadecimal():
    assert hexadecimal(palette(2)) == ["#E69F00", "#56B4E9"]


# The file


def test_columns_and_colours(model):
    found = explored(model)
    assert found.obs["input_program_l1"].eq("mine").all()
    assert list(found.obs["type"].cat.categories) == ["B", "T"]
    assert found.obs["type"].isna().sum() == CELLS // 3
    assert list(found.obs["cluster"].cat.categories) == ["0", "1"]
    assert found.colours["type"] == hexadecimal(label_colours([["B", "T"]])[0])
    for layer, usage in enumerate(model.usages, start=1):
        shares = found.obs[[name for name in found.obs if name.startswith(f"l{layer} P")]]
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        first = next(name for name in shares if name.startswith(f"l{layer} P1 "))
        np.testing.assert_allclose(shares[first], usage[:, 0] / usage.sum(axis=1))
        programs = found.obs[f"program_l{layer}"]
        assert len(found.colours[f"program_l{layer}"]) == len(programs.cat.categories)
        assert {f"l{layer} {name}" for name in programs.cat.categories} <= set(shares)
    # Cells of one kind have one main program of layer 2.
    assert found.obs.groupby(np.arange(CELLS) // 30)["program_l2"].nunique().tolist() == [1, 1, 1]
    assert found.places == {} and found.table().empty


def test_more_labels_than_colours_keep_their_names(model):
    model.obs["type"] = [f"t{i % 45}" for i in range(CELLS)]
    found = explored(model, ["type"])
    assert len(found.obs["type"].cat.categories) == len(found.colours["type"]) == 45
    pooled = as_labels(model.obs["type"])
    own = dict(zip(pooled.names, hexadecimal(label_colours([pooled.names])[0]), strict=True))
    for name, colour in zip(found.obs["type"].cat.categories, found.colours["type"], strict=True):
        assert colour == own.get(name, "#808080")


@pytest.mark.filterwarnings("ignore:The set_bad:PendingDeprecationWarning")  # scanpy's
def test_the_file_of_a_run(files, model):
    snakemake = SimpleNamespace(
        input=SimpleNamespace(model=files / "layer2.h5nnmf", dataset=files / "dataset.h5ad"),
        output=SimpleNamespace(explore=files / "explore.h5ad", table=files / "umap.tsv"),
        params=SimpleNamespace(columns=["type"], umap=True, seed=0),
        log=[files / "log.txt"],
    )
    runpy.run_path(str(SCRIPT), init_globals={"snakemake": snakemake})
    assert (files / "log.txt").read_text() == ""
    adata = anndata.read_h5ad(files / "explore.h5ad")
    counts = anndata.read_h5ad(files / "dataset.h5ad").X.toarray()
    # All cells have 100 counts, so there is nothing to scale.
    np.testing.assert_allclose(adata.X.toarray(), np.log1p(counts), rtol=1e-6)
    assert list(adata.var_names[-3:]) == ["G37", "E38", "E39"]
    assert adata.var["gene_id"].tolist() == [f"E{i}" for i in range(GENES)]
    np.testing.assert_array_equal(adata.obsm["theta_l2"], model.usages[1])
    assert adata.obsm["X_theta_l1_umap"].shape == (CELLS, 2)
    np.testing.assert_array_equal(adata.varm["beta_l2"], model.betas[1].T)
    assert len(adata.uns["program_l1_colors"]) == len(adata.obs["program_l1"].cat.categories)
    assert json.loads(adata.uns["explore"]["umap"]) == {"drawn": "90 cells"}
    table = pd.read_csv(files / "umap.tsv", sep="\t")
    assert list(table) == [
        "cell", "l1_umap1", "l1_umap2", "l2_umap1", "l2_umap2", "type", "program_l1", "program_l2",
    ]  # fmt: skip
    np.testing.assert_allclose(table["l2_umap2"], adata.obsm["X_theta_l2_umap"][:, 1], rtol=1e-5)

    wants_of_cellxgene(adata)
    scanpy = pytest.importorskip("scanpy")
    import matplotlib.pyplot as plt

    figure = scanpy.pl.embedding(
        adata, "theta_l2_umap", color="program_l2", show=False, return_fig=True
    )
    dots = np.concatenate([part.get_offsets() for part in figure.axes[0].collections])
    plt.close(figure)
    places = adata.obsm["X_theta_l2_umap"]
    np.testing.assert_allclose(np.sort(dots[:, 0])[:CELLS], np.sort(places[:, 0]), rtol=1e-5)


def wants_of_cellxgene(adata):
    """What its documentation asks of a file, and its adaptor (1.3) of a layout."""
    assert adata.obs_names.is_unique and adata.var_names.is_unique
    layouts = {name: array for name, array in adata.obsm.items() if name.startswith("X_")}
    assert layouts and all(name.endswith("_umap") for name in layouts)
    for array in layouts.values():
        assert type(array) is np.ndarray and array.dtype.kind in "fiu"
        assert array.shape == (adata.n_obs, 2)
        assert not np.isinf(array).any() and not np.isnan(array).all()
    coloured = [name.removesuffix("_colors") for name in adata.uns if name.endswith("_colors")]
    assert coloured
    for name in coloured:
        colours = adata.uns[f"{name}_colors"]
        assert len(colours) == len(adata.obs[name].cat.categories)
        assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in colours)


def test_a_model_of_other_cells_ends_in_one_sentence(files, model):
    model.obs.index = [f"other{i}" for i in range(CELLS)]
    with pytest.raises(InputError, match="other cells or genes"):
        write_explored(
            files / "explore.h5ad",
            open_dataset(files / "dataset.h5ad"),
            model,
            model.obs,
            places={},
            colours={},
            words={},
        )
    assert not (files / "explore.h5ad").exists()
