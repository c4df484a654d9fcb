"""Poisson fits, layer by layer: quality, invariances, and what is saved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.counts import rows_counts
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.io.dataset_writer import write_dataset
from neuralNMF.io.model import Model, load_model, save_model
from neuralNMF.options import LayerOptions
from neuralNMF.poisson.network import LearnedPoisson
from neuralNMF.poisson.optimize import Multiplicative
from neuralNMF.poisson.pmf import PmfPoisson
from neuralNMF.poisson.posterior import GammaPrior
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.metrics import adjusted_rand_score

KINDS = [
    ("learned", "nested_poisson"),
    ("learned", "poisson"),
    ("pmf", "nested_poisson"),
    ("pmf", "poisson"),
    ("learned", "nested"),
    ("learned", "reconstruction"),
]
LEARNED = LayerOptions(rank=5, beta="learned", loss="nested_poisson", epochs=25, threads=1)
PMF = replace(LEARNED, beta="pmf", epochs=5)
LAST = {"learned": replace(LEARNED, loss="poisson"), "pmf": replace(PMF, loss="poisson")}


def dataset_of(counts: np.ndarray, path: Path) -> Dataset:
    """A data set file of some counts, cells x genes."""
    cells, genes = counts.shape
    totals = counts.sum(axis=1)
    obs = pd.DataFrame(
        {"total_counts": totals, "selected_counts": totals},
        index=[f"cell{i}" for i in range(cells)],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(genes)])
    write_dataset(path, sp.csr_matrix(counts.astype(np.float32)), obs, var)
    return open_dataset(path)


def draw(cells: int = 150, genes: int = 60, rank: int = 6, seed: int = 0) -> np.ndarray:
    """Sparse counts of a planted factorisation, cells of very different totals."""
    rng = np.random.default_rng(seed)
    sizes = rng.gamma(2.0, 0.5, (cells, 1))
    theta, beta = rng.gamma(0.4, 1.0, (cells, rank)), rng.gamma(0.4, 1.0, (rank, genes))
    return rng.poisson(sizes * theta @ beta)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(draw(), tmp_path_factory.mktemp("data") / "dataset.h5ad")


def fit(dataset: Dataset, layers: list[int], options: LayerOptions) -> Model:
    model = None
    for rank in layers:
        model = fit_layer(dataset, model, replace(options, rank=rank), progress=False)
    return model


def deviance(dataset: Dataset, rate: np.ndarray) -> float:
    """Plainly, with the same background rate as the library."""
    counts = dataset.rows(0, dataset.shape[0]).toarray().astype(float)
    rate = rate + 1e-10
    logs = np.where(counts > 0, counts * np.log(np.where(counts > 0, counts, 1) / rate), 0)
    return 2 * (logs - counts + rate).sum()


def reconstruction(model: Model, layer: int = -1) -> np.ndarray:
    """Rates of a saved model: library size x usage of a layer x its programs."""
    scaled = model.usages[layer].astype(float) / model.obs["cell_scale"].to_numpy()[:, None]
    return scaled @ model.betas[layer]


FITS = {"nested learned": LEARNED, "nested pmf": PMF, **LAST}


@pytest.mark.parametrize("options", FITS.values(), ids=list(FITS))
@pytest.mark.parametrize("layers", [[5], [6, 4, 2]], ids=str)
def test_loss_never_rises_and_is_that_of_the_file(small, tmp_path, options, layers):
    model = fit(small, layers, options)
    for _, part in model.history.query("phase == 'joint'").groupby("depth"):
        assert (np.diff(part["loss"]) <= 1e-12).all()
    save_model(tmp_path / "m.h5nnmf", model)
    saved = load_model(tmp_path / "m.h5nnmf")
    again = deviance(small, reconstruction(saved))
    assert saved.info["deviance"] == pytest.approx(again, rel=1e-5)
    rough = 1e-5 if options.beta == "learned" else 1e-3
    if options.loss == "nested_poisson":
        again = sum(deviance(small, reconstruction(saved, layer)) for layer in range(len(layers)))
    # A fit ends with the usage at its minimum for the programs.
    trained = model.history["loss"].iloc[-1] * np.prod(small.shape)
    assert 0.9 * trained < again <= trained * (1 + rough)


def test_every_layer_of_a_nested_fit_is_about_as_good_as_a_flat_one(small):
    options = replace(LEARNED, epochs=300, tol=1e-5)
    nested = fit(small, [6, 4, 2], options)
    for layer, rank in enumerate((6, 4, 2)):
        flat = fit(small, [rank], options).info["deviance"]
        assert deviance(small, reconstruction(nested, layer)) <= 1.05 * flat


@pytest.mark.parametrize("options", FITS.values(), ids=list(FITS))
def test_streamed_is_in_memory(small, options):
    options = replace(options, epochs=5, precision="float64")
    whole = fit(small, [5, 3], options)
    parts = fit(small, [5, 3], replace(options, data_mem_size=37))
    np.testing.assert_allclose(parts.history["loss"], whole.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(parts.usages[-1], whole.usages[-1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("beta", "loss"), KINDS)
def test_same_seed_same_bytes(small, tmp_path, beta, loss):
    options = replace(LEARNED, beta=beta, loss=loss, epochs=5, seed=3)
    for name in ("a", "b"):
        save_model(tmp_path / name, fit(small, [5, 3], options), inpath="m")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_depth_one_reaches_sklearns_kl_nmf(small):
    """scikit-learn's has no library sizes: its usage takes them up, the rates are the same."""
    counts = small.rows(0, small.shape[0]).toarray()
    best = np.inf
    for seed in range(3):
        theirs = NMF(
            6, init="random", solver="mu", beta_loss="kullback-leibler", max_iter=2000,
            tol=1e-7, random_state=seed,
        )  # fmt: skip
        best = min(best, deviance(small, theirs.fit_transform(counts) @ theirs.components_))
    ours = fit(small, [6], replace(LEARNED, epochs=300, tol=1e-5))
    assert ours.info["deviance"] <= 1.005 * best


def test_learned_programs_are_no_worse_than_solved_ones(small):
    options = LayerOptions(
        rank=5, epochs=100, threads=1, normalize="library", loss="reconstruction", min_support=0
    )
    solved = fit(small, [6, 3], options)
    learned = fit(small, [6, 3], replace(options, beta="learned"))
    assert learned.info["mse"] <= 1.001 * solved.info["mse"]
    assert (np.diff(learned.history.query("phase == 'joint' and depth == 2")["loss"]) <= 0).all()
    counts = small.rows(0, small.shape[0]).toarray() * learned.obs["cell_scale"].to_numpy()[:, None]
    error = np.square(counts - learned.usages[-1] @ learned.betas[-1]).mean()
    assert learned.info["mse"] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", ["learned", pytest.param("pmf", marks=pytest.mark.slow)])
def test_gradients_are_those_of_finite_differences(kind, nested):
    """Through two layers: of pmf, through both fixed points and the masses between them."""
    rng = np.random.default_rng(1)
    matrix = sp.csr_matrix(draw(30, 15, 4, 1).astype(np.float64))
    counts = rows_counts(matrix, rng.uniform(0.5, 2, 30), dtype=torch.float64)
    thetas = [
        torch.from_numpy(rng.uniform(0.2, 1.0, (30, 4))),
        torch.from_numpy(rng.uniform(0.2, 1.0, (4, 2))),
    ]
    starts = [torch.from_numpy(rng.uniform(0.2, 1.0, (15, k))) for k in (4, 2)]
    if kind == "learned":
        network = LearnedPoisson(thetas, starts if nested else starts[-1:], nested=nested)
    else:
        network = PmfPoisson(thetas, GammaPrior(0.5, 1.0), starts, nested=nested)

    def loss() -> torch.Tensor:
        if kind == "pmf":
            for state in network.states:
                state.steps, state.tol = 1500, 0.0
        return network(counts).loss

    loss().backward()
    for factor in network.factors:
        for place in [(3, 1)]:
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    factor[place] += step
                    values.append(float(loss()))
                    factor[place] -= step
            slope = (values[0] - values[1]) / 2e-5
            assert factor.grad[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_held_layers_do_not_move():
    matrix = sp.csr_matrix(draw().astype(np.float64))
    counts = rows_counts(matrix, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    shapes = [(150, 5), (5, 3), (60, 3)]
    first, second, last = (
        torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes
    )
    network = LearnedPoisson([first, second], [last / last.sum(0)], nested=False)
    network.thetas[0].requires_grad_(False)
    optimizer = Multiplicative(network, counts)
    losses = [optimizer.found.loss.item()]
    before = first.clone()
    for _ in range(30):
        assert optimizer.epoch()
        losses.append(optimizer.found.loss.item())
    assert (np.diff(losses) <= 0).all() and losses[-1] < 0.9 * losses[0]
    torch.testing.assert_close(network.thetas[0].data, before, rtol=0, atol=0)


@pytest.mark.parametrize(("beta", "loss"), KINDS)
def test_empty_cells_genes_and_too_many_programs_make_no_nan(tmp_path, beta, loss):
    counts = np.zeros((30, 12), dtype=int)
    counts[:15, :4], counts[15:, 4:8] = 5, 7  # rank 2
    counts[3] = 0
    model = fit(
        dataset_of(counts, tmp_path / "d.h5ad"),
        [6, 3],
        replace(LEARNED, beta=beta, loss=loss, epochs=20),
    )
    for part in (*model.thetas, *model.betas, *model.deviations, *model.usages):
        assert np.isfinite(part).all()
    assert (model.usages[0][3] < 1e-6).all()
    assert all(beta[:, 8:].max() < 0.1 for beta in model.betas)


@pytest.mark.parametrize("optimizer", ["adam", "gd"])
@pytest.mark.parametrize(("beta", "loss"), KINDS)
def test_gradient_methods_keep_the_best(small, optimizer, beta, loss):
    options = replace(LEARNED, beta=beta, loss=loss, epochs=4, optimizer=optimizer)
    if optimizer == "gd":
        options = replace(options, lr=1e-4)
    model = fit(small, [5, 3], options)
    part = model.history.query("depth == 2 and phase == 'joint'")["loss"]
    assert np.isfinite(part).all()
    if "poisson" in loss:
        final = model.info["deviance"] / np.prod(small.shape)
        assert final <= part.iloc[0] * (1 + 1e-3)


def test_only_the_new_layer_without_joint(small):
    for options in (LEARNED, PMF):
        first = fit(small, [5], options)
        second = fit_layer(small, first, replace(options, rank=3, joint=False), progress=False)
        together = fit_layer(small, first, replace(options, rank=3), progress=False)
        assert together.info["deviance"] <= second.info["deviance"] * 1.001


def test_random_start(small):
    model = fit(small, [5, 3], replace(LEARNED, init="random"))
    assert set(model.history["phase"]) == {"joint"}
    assert np.isfinite(model.info["deviance"])


WRONG = [
    ({"beta": "lsq", "loss": "poisson"}, "'beta: lsq' cannot be trained by 'loss: poisson': take"),
    ({"beta": "pmf", "loss": "energy"}, "'loss: poisson', or 'beta: lsq' for that loss"),
    ({"beta": "learned", "loss": "energy"}, "take 'loss: nested' or 'loss: nested_poisson' or"),
    ({"normalize": "variance"}, "models raw counts, .* they must be 'counts', 'none' and None"),
    ({"transform": "sqrt"}, "models raw counts, .* they must be 'counts', 'none' and None"),
    ({"gene_power": 0.5}, "models raw counts, .* they must be 'counts', 'none' and None"),
    ({"gene_power": 2.0, "loss": "nested"}, "gene_power is 2.0: it must be a number from 0 to 1"),
    ({"prior_shape": 0}, "prior_shape is 0: it must be a number above 0"),
    ({"guide": -1}, "guide is -1: it must be a number >= 0"),
    ({"guide": 1}, "there are no 'labels': name a column of obs"),
    ({"guide": 1, "labels": "x", "loss": "nested"}, "'guide' works with 'loss: nested_poisson'"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_combinations_say_what_to_take(keys, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(LEARNED, **keys)


@pytest.mark.slow
def test_blood_cells(shared_data, tmp_path):
    """Programs of sorted blood cells agree with their types, and layer 2 with the lineages."""
    genes = DatasetOptions(variable_genes=2000, variable_genes_by="pearson", min_cells=20)
    source = InputSpec(shared_data / "pbmc_facs.h5ad", "pbmc")
    build_dataset([source], tmp_path / "dataset.h5ad", genes)
    dataset = open_dataset(tmp_path / "dataset.h5ad")

    def agreement(usage: np.ndarray, clusters: int, column: str) -> float:
        shares = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-12)
        found = KMeans(clusters, n_init=20, random_state=0).fit_predict(shares)
        return adjusted_rand_score(dataset.obs[column], found)

    # More seeds, sets and measures: benchmarks.answer.
    options = LayerOptions(rank=1, beta="learned", loss="nested_poisson", seed=0)
    model = fit(dataset, [20, 10], options)
    assert agreement(model.usages[0], 10, "celltype") >= 0.60
    assert agreement(model.usages[1], 5, "lineage") >= 0.90


@pytest.mark.parametrize("epochs", [0, 1, 2, 5])
@pytest.mark.parametrize("kind", ["learned", "pmf"])
def test_a_step_that_is_given_up_leaves_everything_as_it_was(kind, epochs, monkeypatch):
    counts = rows_counts(sp.csr_matrix(draw().astype(np.float32)), dtype=torch.float64)
    rng = np.random.default_rng(0)
    theta, programs_t = (torch.tensor(rng.gamma(1.0, 1.0, (n, 5))) for n in counts.shape)
    if kind == "learned":
        network = LearnedPoisson([theta], [programs_t / programs_t.sum(0)])
    else:
        network = PmfPoisson([theta], GammaPrior(0.3, 1.0), [programs_t])
    optimizer = Multiplicative(network, counts)
    for _ in range(epochs):
        assert optimizer.epoch()
    before = [factor.detach().clone() for factor in network.factors]
    posteriors = network.posteriors()
    forward = type(network).forward

    def worse(self, given):
        found = forward(self, given)
        return replace(found, loss=found.loss * np.inf)

    with monkeypatch.context() as patch:
        patch.setattr(type(network), "forward", worse)
        assert not optimizer.epoch()
    for factor, kept in zip(network.factors, before, strict=True):
        assert torch.equal(factor, kept)
    assert all(now is kept for now, kept in zip(network.posteriors(), posteriors, strict=True))
