"""New cells: their usage beside SciPy's, training cells again, genes in other files, labels."""

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF import project
from neuralNMF.cells.scaling import Scaling, scaled_matrix
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.io.model import Model, load_model, save_model
from neuralNMF.kernels.poisson_usage import poisson_usage_rows
from neuralNMF.kernels.vectors import blocks_of
from neuralNMF.options import POISSON, REAL_CELLS, LayerOptions
from scipy.optimize import minimize, nnls

CELLS, GENES = 140, 70
SQUARES = LayerOptions(5, epochs=40, threads=2, min_support=0, **REAL_CELLS)
COUNTS = LayerOptions(5, epochs=15, threads=2, min_support=0, beta="learned", loss="nested_poisson")
KINDS = {
    "nested": SQUARES,
    "nested, float64": replace(SQUARES, precision="float64"),
    "counts as they are": replace(SQUARES, normalize="counts", transform="none", gene_power=None),
    "reconstruction": replace(SQUARES, loss="reconstruction"),
    "energy": replace(SQUARES, loss="energy"),
    "learned": replace(SQUARES, beta="learned"),
    "learned, reconstruction": replace(SQUARES, beta="learned", loss="reconstruction"),
    "one layer after the other": replace(SQUARES, joint=False),
    "nested_poisson": COUNTS,
    "poisson": replace(COUNTS, loss="poisson"),
    "pmf": replace(COUNTS, beta="pmf", epochs=4),
    "pmf, poisson": replace(COUNTS, beta="pmf", loss="poisson", epochs=4),
    "counts, one layer after the other": replace(COUNTS, joint=False),
}


def draw(cells: int = CELLS, seed: int = 0) -> anndata.AnnData:
    """Sparse counts of planted programs, with ids, symbols and the types of most cells."""
    rng = np.random.default_rng(seed)
    programs = np.random.default_rng(99).gamma(0.3, 1.0, (6, GENES))
    types = rng.integers(3, size=cells)
    usage = rng.gamma(0.4, 1.0, (cells, 6)) + 3 * np.eye(6)[types]
    counts = rng.poisson(rng.gamma(2.0, 0.5, (cells, 1)) * usage @ programs)
    counts[:, 0] += 1  # a cell without counts would not be in the data set
    return anndata.AnnData(
        sp.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {"type": np.where(np.arange(cells) % 4 < 2, types.astype(str), "")},
            index=[f"cell{number}" for number in range(cells)],
        ),
        var=pd.DataFrame(
            {"gene_symbols": [f"SYM{number}" for number in range(GENES)]},
            index=[f"ENSG{number:03}" for number in range(GENES)],
        ),
    )


def saved(adata: anndata.AnnData, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(draw(), tmp_path_factory.mktemp("counts") / "trained.h5ad")


@pytest.fixture(scope="module")
def dataset(counts: Path) -> Dataset:
    # Not all genes: cells are scaled by their totals over all of them.
    path = counts.parent / "dataset.h5ad"
    build_dataset(
        [InputSpec(counts, "trained")], path, DatasetOptions(variable_genes=50), progress=False
    )
    return open_dataset(path)


def fit(dataset: Dataset, layers: list[int], options: LayerOptions) -> Model:
    model = None
    for rank in layers:
        model = fit_layer(dataset, model, replace(options, rank=rank), progress=False)
    assert model is not None
    return model


@pytest.fixture(scope="module")
def model(dataset: Dataset) -> Model:
    return fit(dataset, [6, 3], SQUARES)


@pytest.fixture(scope="module")
def poisson_model(dataset: Dataset) -> Model:
    return fit(dataset, [6, 3], COUNTS)


def project_quietly(model: Model, inputs, **options) -> Model:
    return project(model, inputs, threads=2, progress=False, **options)


def behind(model: Model) -> list[np.ndarray]:
    """R_l = Theta_2 ... Theta_l beta_l (k_1, M)."""
    chain, parts = np.eye(model.layers[0]), []
    for theta, beta in zip([np.eye(model.layers[0]), *model.thetas[1:]], model.betas, strict=True):
        chain = chain @ theta
        parts.append(chain @ beta)
    return parts


@pytest.mark.parametrize("layers", [[5], [6, 3], [7, 4, 2]], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_training_cells_get_their_usage_back(dataset, counts, tmp_path, name, layers):
    if len(layers) == 3 and "pmf" in name:
        layers = [5, 3, 2]
    save_model(tmp_path / "model.h5nnmf", fit(dataset, layers, KINDS[name]))
    model = load_model(tmp_path / "model.h5nnmf")
    again = project_quietly(model, counts)
    for before, now in zip(model.usages, again.usages, strict=True):
        sizes = np.linalg.norm(before, axis=1)
        assert (np.linalg.norm(now - before, axis=1) <= 1e-4 * sizes).all()
    np.testing.assert_allclose(again.obs["cell_scale"], model.obs["cell_scale"], rtol=1e-12)
    assert list(again.obs.index) == list(model.obs.index)


def test_least_squares_beside_scipy_cell_by_cell(model, tmp_path):
    adata = draw(30, seed=5)
    new = project_quietly(model, saved(adata, tmp_path / "new.h5ad"))
    totals = np.asarray(adata.X.sum(axis=1), dtype=float).ravel()
    trained_total = model.obs["total_counts"].median()
    scaling = Scaling(
        trained_total / totals, model.var["gene_scale"].to_numpy(), "log1p", np.float64
    )
    X = scaled_matrix(adata[:, model.var.index].X.tocsr(), scaling).toarray()
    stacked = np.concatenate(behind(model), axis=1).T
    expected = np.array([nnls(stacked, np.tile(x, 2))[0] for x in X])
    assert (expected == 0).any()
    np.testing.assert_allclose(new.thetas[0], expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_poisson_usage_is_where_scipy_ends(poisson_model, tmp_path):
    adata = draw(20, seed=5)
    new = project_quietly(poisson_model, saved(adata, tmp_path / "new.h5ad"))
    X = adata[:, poisson_model.var.index].X.toarray().astype(float)
    parts = behind(poisson_model)

    def value(t, x):
        rates = [t @ part + 1e-10 for part in parts]
        return sum((rate - x * np.log(rate)).sum() for rate in rates)

    def slope(t, x):
        return sum(part @ (1 - x / (t @ part + 1e-10)) for part in parts)

    scaled = new.thetas[0] / new.obs["cell_scale"].to_numpy()[:, None]
    for t, x in zip(scaled.astype(float), X, strict=True):
        found = minimize(
            value, np.full(t.size, x.sum() / t.size), x, jac=slope,
            bounds=[(0, None)] * t.size, method="L-BFGS-B", options={"maxiter": 5000},
        )  # fmt: skip
        assert value(t, x) <= found.fun + 1e-7 * abs(found.fun)
        np.testing.assert_allclose(t, found.x, atol=2e-3 * x.sum())
    expected = X.sum(axis=1) / np.median(poisson_model.obs["selected_counts"])
    np.testing.assert_allclose(1 / new.obs["cell_scale"], expected, rtol=1e-12)


def test_poisson_usage_meets_the_conditions_of_a_minimum_from_any_start():
    rng = np.random.default_rng(0)
    # Three vectors wide, as the programs of the blood cells are: another width compiles anew.
    programs = np.zeros((2, 90, 24))
    programs[:, :, :17] = rng.gamma(0.3, 1.0, (2, 90, 17))
    programs[:, :, 4] = 0  # no mass: it is not used
    weights = np.array([0.5, 1.0])
    usage = rng.gamma(0.5, 60.0, (40, 17))
    x = sp.csr_matrix(rng.poisson(usage @ programs[1, :, :17].T).astype(float))
    mass = weights @ programs.sum(1)[:, :17]
    found = []
    for warm in (False, True):
        t = rng.gamma(0.5, 60.0, (40, 17))
        arrays = x.indptr, x.indices, x.data, programs, weights, mass, 1e-10
        poisson_usage_rows(0, 40, *arrays, warm, t, blocks_of(17))
        found.append(t)
        ratios = x.toarray()[None] / (t @ programs[:, :, :17].transpose(0, 2, 1) + 1e-10)
        slope = mass - np.einsum("l,lnm,lmk->nk", weights, ratios, programs[:, :, :17])
        assert np.abs(slope[t > 0]).max() < 1e-7 and slope[t == 0].min() > -1e-7
        assert (t[:, 4] == 0).all() and (t == 0).sum() > 40
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["squares", "poisson"])
def test_streamed_is_in_memory(request, kind, tmp_path):
    model = request.getfixturevalue("model" if kind == "squares" else "poisson_model")
    path = saved(draw(45, seed=3), tmp_path / "new.h5ad")
    for name, cells in (("a", 7), ("b", 1000)):
        save_model(tmp_path / name, project_quietly(model, path, chunk_cells=cells), inpath="new")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kind", ["squares", "poisson"])
@pytest.mark.parametrize("names", ["ids", "symbols"])
def test_other_order_and_names_and_a_tenth_of_the_genes_missing(request, kind, names, tmp_path):
    model = request.getfixturevalue("model" if kind == "squares" else "poisson_model")
    adata = draw(60, seed=4)
    whole = project_quietly(model, saved(adata, tmp_path / "whole.h5ad"))
    if names == "symbols":
        adata.var = pd.DataFrame(index=adata.var["gene_symbols"].to_numpy())
    order = np.random.default_rng(1).permutation(GENES)
    turned = project_quietly(model, saved(adata[:, order].copy(), tmp_path / "turned.h5ad"))
    np.testing.assert_array_equal(turned.thetas[0], whole.thetas[0])
    assert turned.info["projected"][0]["genes_by"] == ("gene_id" if names == "ids" else "symbol")
    assert turned.info["projected"][0]["share_of_programs"] == pytest.approx(1)
    kept = order[np.isin(order, np.flatnonzero(np.arange(GENES) % 10 != 3))]
    part = project_quietly(model, saved(adata[:, kept].copy(), tmp_path / "part.h5ad"))
    record = part.info["projected"][0]
    assert record["genes"] == int(part.var["found_in_inputs"].sum()) < len(model.var)
    assert 0.8 < record["share_of_programs"] < 1
    assert 0 < record["least_share_of_a_program"] <= record["share_of_programs"]
    for before, now in zip(whole.usages, part.usages, strict=True):
        sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(now, axis=1)
        assert np.median((before * now).sum(1) / np.maximum(sizes, 1e-30)) > 0.95
        # In the same units, though less is seen of each cell.
        assert now.sum() == pytest.approx(before.sum(), rel=0.1)


def test_what_shares_too_few_genes_is_refused(model, tmp_path):
    mouse = draw(10)
    mouse.var = pd.DataFrame(index=[f"Gene{number}" for number in range(GENES)])
    with pytest.raises(InputError, match=r"has 0 of the model's 50 genes, which hold 0% of its"):
        project_quietly(model, saved(mouse, tmp_path / "mouse.h5ad"))
    few = draw(10)[:, model.var.index[:12]].copy()
    with pytest.raises(InputError, match=r"12 of the .* at least 50% are needed: .* 'ENSG0"):
        project_quietly(model, saved(few, tmp_path / "few.h5ad"))


def test_a_symbol_of_two_genes_names_none(model, tmp_path):
    adata = draw(10)
    adata.var = pd.DataFrame(
        {"gene_symbols": ["SYM1", *adata.var["gene_symbols"][1:]]},
        index=[f"other{number}" for number in range(GENES)],
    )
    record = project_quietly(model, saved(adata, tmp_path / "new.h5ad")).info["projected"][0]
    known = set(model.var["symbol"])
    assert record["genes_by"] == "symbol"
    assert record["genes"] == len(known - {"SYM0", "SYM1"})


@pytest.mark.parametrize("kind", ["squares", "poisson"])
def test_empty_cells_have_no_usage_and_are_told(request, kind, tmp_path, caplog):
    model = request.getfixturevalue("model" if kind == "squares" else "poisson_model")
    adata = draw(9)
    adata.X = sp.diags(np.float32(~np.isin(np.arange(9), [2, 5]))) @ adata.X
    with caplog.at_level("WARNING", logger="neuralNMF"):
        new = project_quietly(model, saved(adata, tmp_path / "new.h5ad"))
    assert "2 of 9 cells have no count in the model's genes" in caplog.text
    assert new.info["projected"][0]["cells_empty"] == 2
    for usage in new.usages:
        assert np.isfinite(usage).all()
        np.testing.assert_array_equal((usage.sum(axis=1) == 0).nonzero()[0], [2, 5])


def test_the_file_is_one_of_scanpy_with_the_keys_of_the_model(model, tmp_path):
    adata = draw(12, seed=2)
    adata.obs["cell_scale"] = 7.0
    one = saved(adata, tmp_path / "one.h5ad")
    two = saved(draw(8, seed=3), tmp_path / "two.h5ad")
    both = project_quietly(model, [InputSpec(one, "one"), InputSpec(two, "two")])
    save_model(tmp_path / "new.h5ad", both)
    save_model(tmp_path / "model.h5nnmf", model)
    new = anndata.read_h5ad(tmp_path / "new.h5ad")
    trained = anndata.read_h5ad(tmp_path / "model.h5nnmf")
    assert new.shape == (20, 50) and new.X is None
    assert set(new.obsm) == set(trained.obsm) == {"X_theta_l1", "X_theta_l2"}
    assert set(new.varm) == set(trained.varm)
    assert set(new.uns["neuralNMF"]) == set(trained.uns["neuralNMF"]) | {"projected"}
    assert new.obs_names[0] == "cell0-one" and new.obs_names[-1] == "cell7-two"
    assert list(new.obs["dataset"]) == ["one"] * 12 + ["two"] * 8
    assert (new.obs["input_cell_scale"][:12] == 7).all()
    alone = project_quietly(model, two)
    np.testing.assert_array_equal(both.thetas[0][12:], alone.thetas[0])
    assert load_model(tmp_path / "new.h5ad").info["projected"][1]["name"] == "two"


def test_labels_are_predicted_as_for_the_cells_of_the_fit(dataset, counts, tmp_path):
    options = replace(COUNTS, labels="type", guide=1.0, guide_layer=2)
    model = fit(dataset, [6, 3], options)
    again = project_quietly(model, counts)
    assert list(again.obs["predicted_label"]) == list(model.obs["predicted_label"])
    np.testing.assert_allclose(
        again.obs["predicted_probability"], model.obs["predicted_probability"], rtol=1e-5
    )
    adata = draw(200, seed=8)
    truth = draw(200, seed=8).obs["type"].to_numpy()
    adata.X = sp.diags(np.float32(np.arange(200) > 0)) @ adata.X
    new = project_quietly(model, saved(adata, tmp_path / "new.h5ad")).obs
    assert new["predicted_label"].iloc[0] == ""
    assert np.isnan(new["predicted_probability"].iloc[0])
    told = (truth != "") & (np.arange(200) > 0)
    assert (new["predicted_label"][told] == truth[told]).mean() > 0.8


@pytest.mark.parametrize("options", [SQUARES, COUNTS], ids=["squares", "poisson"])
def test_the_saved_usage_is_a_minimum_for_the_saved_programs(dataset, options):
    model = fit(dataset, [6, 3], options)
    scaled = scaled_matrix(
        dataset.rows(0, dataset.shape[0]),
        Scaling(
            model.obs["cell_scale"].to_numpy(), model.var["gene_scale"].to_numpy(),
            options.transform, np.float64,
        ),
    ).toarray()  # fmt: skip
    usage = model.thetas[0].astype(float)
    if options.loss in POISSON:
        ratios = [scaled / (usage @ part + 1e-10) - 1 for part in behind(model)]
    else:
        ratios = [scaled - usage @ part for part in behind(model)]
    descent = sum(ratio @ part.T for ratio, part in zip(ratios, behind(model), strict=True))
    size = np.abs(scaled).sum(axis=1, keepdims=True)
    size = size if options.loss in POISSON else size * max(part.max() for part in behind(model))
    relative = descent / (1 if options.loss in POISSON else size)
    assert np.abs(relative[usage > 0]).max() < 1e-4
    assert relative.max() < 1e-4


def test_a_model_of_an_older_version_is_refused(model, counts):
    info = {key: value for key, value in model.info.items() if key != "target_total"}
    with pytest.raises(InputError, match="older version .* fit it again"):
        project_quietly(replace(model, info=info), counts)
