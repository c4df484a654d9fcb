"""One layer after the other: what the saved model says of itself, and what is refused."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.scaling import fit_scaling, scaled_matrix
from neuralNMF.errors import DeviceError, InputError, NeuralNMFError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.options import LayerOptions
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

CELLS, GENES = 120, 60


def make(path, cells=CELLS, genes=GENES, seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.gamma(0.5, 1.0, (cells, 4)) @ rng.gamma(0.3, 3.0, (4, genes))
    write_dataset(path, sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    return open_dataset(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make(tmp_path_factory.mktemp("fit") / "dataset.h5ad")


def fit(dataset, ranks, previous=None, **options):
    # Few cells, on purpose: what they support is tested in test_supported.py.
    options = {"epochs": 25, "threads": 2, "min_support": 0, **options}
    for rank in ranks:
        previous = fit_layer(dataset, previous, LayerOptions(rank, **options), progress=False)
    return previous


def target(dataset, **options):
    scaling = fit_scaling(
        dataset,
        options.get("normalize", "counts"),
        options.get("transform", "none"),
        options.get("gene_power"),
        np.float64,
    )
    return scaled_matrix(dataset.rows(0, dataset.shape[0]), scaling).toarray()


def error_of(model, X):
    result = model.betas[-1]
    for theta in reversed(model.thetas):
        result = theta.astype(np.float64) @ result
    return ((X - result) ** 2).mean()


@pytest.fixture(scope="module")
def first(dataset):
    return fit(dataset, [5])


VARIANTS = {
    "default": {},
    "float64": {"precision": "float64"},
    "random": {"init": "random"},
    "adam": {"optimizer": "adam"},
    "gd": {"optimizer": "gd"},
    "gd with a rate that is too high": {"optimizer": "gd", "lr": 1e5},
    "reconstruction": {"loss": "reconstruction"},
    "energy": {"loss": "energy"},
    "energy by adam": {"loss": "energy", "optimizer": "adam"},
    "last layer alone": {"joint": False},
    "library": {"normalize": "library"},
    "variance": {"normalize": "variance"},
    "sqrt": {"transform": "sqrt", "normalize": "library"},
    "log1p": {"transform": "log1p", "normalize": "variance"},
    "log1p in float64": {"transform": "log1p", "normalize": "library", "precision": "float64"},
    "half the scale": {"transform": "log1p", "normalize": "library", "gene_power": 0.5},
    "streamed": {"data_mem_size": 13},
    "no epochs": {"epochs": 0},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_reported_error_is_that_of_the_saved_factors(dataset, tmp_path, name):
    options = VARIANTS[name]
    save_model(tmp_path / "layer2.h5nnmf", fit(dataset, [5, 3], **options))
    model = load_model(tmp_path / "layer2.h5nnmf")
    error = error_of(model, target(dataset, **options))
    rel = 1e-9 if options.get("precision") == "float64" else 1e-5
    assert model.info["mse"] == pytest.approx(error, rel=rel)
    last = model.history[(model.history.depth == 2) & (model.history.phase == "joint")]
    # A fit ends with the usage at its minimum for the programs of all layers; held ones stay.
    trained = last.mse[last.loss.idxmin()]
    if options.get("joint", True):
        assert model.info["mse"] <= 1.005 * trained
    else:
        assert model.info["mse"] == pytest.approx(trained, rel=1e-9)
    if options.get("loss") == "reconstruction":
        np.testing.assert_array_equal(last.mse, last.loss)
    assert model.layers == [5, 3]
    assert all(theta.min() >= 0 for theta in model.thetas)
    assert all(beta.min() >= 0 for beta in model.betas)
    for beta, dead in zip(model.betas, model.dead, strict=True):
        np.testing.assert_allclose(beta.sum(axis=1), np.where(dead, 0, 1), atol=1e-9)
    precise = np.float64 if options.get("precision") == "float64" else np.float32
    assert model.thetas[0].dtype == precise


@pytest.mark.parametrize("loss", ["nested", "reconstruction", "energy"])
def test_auto_history_never_rises_and_training_does_not_end_worse(dataset, loss):
    model = fit(dataset, [6, 4, 2], loss=loss)
    for _, part in model.history.groupby(["depth", "phase"]):
        assert (np.diff(part.loss) <= 0).all()
        np.testing.assert_array_equal(part.epoch, np.arange(len(part)))
    assert list(model.history.depth.unique()) == [1, 2, 3]


def test_three_layers_keep_most_of_what_one_of_the_last_rank_finds(dataset):
    X = target(dataset)
    flat = fit(dataset, [4], epochs=300)
    for loss in ("nested", "reconstruction"):
        deep = fit(dataset, [8, 6, 4], epochs=300, loss=loss)
        assert deep.layers == [8, 6, 4]
        # These programs are no hierarchy, and all layers count with `nested`.
        assert error_of(deep, X) <= (1.01 if loss == "nested" else 1.005) * error_of(flat, X)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_layer_reaches_the_error_of_scikit_learn(tmp_path, seed):
    dataset = make(tmp_path / "dataset.h5ad", seed=seed)
    X = target(dataset)
    errors = []
    for start in (None, 0, 1, 2):
        init = "nndsvda" if start is None else "random"
        nmf = NMF(4, init=init, random_state=start or 0, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theta = nmf.fit_transform(X)
        errors.append(((X - theta @ nmf.components_) ** 2).mean())
    assert error_of(fit(dataset, [4], epochs=300), X) <= 1.005 * min(errors)


@pytest.mark.parametrize("options", [{}, {"init": "random"}, {"optimizer": "adam"}], ids=str)
def test_the_same_seed_gives_the_same_bytes(dataset, tmp_path, options):
    contents = []
    for number, seed in enumerate((3, 3, 4)):
        path = tmp_path / f"{number}" / "layer2.h5nnmf"
        path.parent.mkdir()
        save_model(path, fit(dataset, [5, 3], seed=seed, epochs=10, **options))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    models = [load_model(tmp_path / n / "layer2.h5nnmf") for n in "02"]
    assert not np.array_equal(models[0].thetas[0], models[1].thetas[0])


def test_without_joint_training_the_earlier_theta_stays(dataset):
    first = fit(dataset, [5], precision="float64")
    alone = fit(dataset, [3], first, precision="float64", joint=False)
    np.testing.assert_allclose(alone.thetas[0], first.thetas[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(alone.betas[0], first.betas[0], rtol=1e-6, atol=1e-9)
    joint = fit(dataset, [3], first, precision="float64")
    assert not np.allclose(joint.thetas[0], first.thetas[0], rtol=1e-3)
    assert joint.info["mse"] <= alone.info["mse"]


def test_double_and_single_precision_agree(dataset):
    errors = [fit(dataset, [5, 3], precision=p).info["mse"] for p in ("float32", "float64")]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


def test_threads_agree(dataset):
    errors = [fit(dataset, [5, 3], threads=threads).info["mse"] for threads in (1, 2)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4)


def test_the_previous_model_is_left_as_it_was(dataset, first):
    copies = [array.copy() for array in first.thetas + first.betas]
    fit(dataset, [3], first)
    for array, copy in zip(first.thetas + first.betas, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_model_knows_its_options_scale_and_order(dataset):
    model = fit(dataset, [5, 3], normalize="variance", seed=7)
    assert model.info["seed"] == 7
    assert [options["rank"] for options in model.info["layer_options"]] == [5, 3]
    assert not {"device", "threads", "data_mem_size"} & set(model.info["options"])
    scaling = fit_scaling(dataset, "variance", "none")
    np.testing.assert_array_equal(model.obs["cell_scale"], scaling.cells)
    np.testing.assert_array_equal(model.var["gene_scale"], scaling.genes)
    for usage, dead in zip(model.usages, model.dead, strict=True):
        alive = usage.sum(axis=0, dtype=np.float64)[~dead]
        assert (np.diff(alive) <= 1e-4 * alive[0]).all()


def test_a_rank_above_that_of_the_data_makes_no_nan_and_dead_programs_are_said(tmp_path, caplog):
    rng = np.random.default_rng(0)
    counts = np.outer(rng.poisson(5, 40) + 1, rng.poisson(5, 30)).astype(np.float32)
    write_dataset(tmp_path / "dataset.h5ad", sp.csr_matrix(counts))
    model = fit(open_dataset(tmp_path / "dataset.h5ad"), [6, 3])
    for array in model.thetas + model.betas:
        assert np.isfinite(array).all()
    assert model.info["mse"] == pytest.approx(0, abs=1e-3 * float((counts**2).mean()))
    assert ("are dead" in caplog.text) == any(dead.any() for dead in model.dead)


@pytest.mark.parametrize("rank", [GENES, GENES + 1, CELLS])
def test_a_rank_as_large_as_the_data_is_refused(dataset, rank):
    with pytest.raises(InputError, match=rf"^layer rank {rank} is too large .* up to {GENES - 1}"):
        fit(dataset, [rank])


def test_a_rank_as_large_as_the_cells_is_refused(tmp_path):
    dataset = make(tmp_path / "dataset.h5ad", cells=12)
    with pytest.raises(InputError, match="numbers up to 11"):
        fit(dataset, [12])


@pytest.mark.parametrize("rank", [5, 6])
def test_a_layer_that_is_not_smaller_is_refused(dataset, first, rank):
    with pytest.raises(InputError, match=f"^layer 2 has {rank} programs .* 5: .*fall"):
        fit(dataset, [rank], first)


@pytest.mark.parametrize("what", ["cells", "genes", "order"])
def test_a_model_of_other_cells_or_genes_is_refused(dataset, first, tmp_path, what):
    counts = dataset.rows(0, CELLS)
    obs, var = dataset.obs.copy(), dataset.var.copy()
    if what == "cells":
        obs.index = [f"other{i}" for i in range(CELLS)]
    elif what == "genes":
        var.index = [f"other{i}" for i in range(GENES)]
    else:
        obs = obs.iloc[::-1]
    write_dataset(tmp_path / "dataset.h5ad", counts, obs, var)
    with pytest.raises(InputError, match="fitted to other cells or genes"):
        fit(open_dataset(tmp_path / "dataset.h5ad"), [3], first)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("normalize", "library"),
        ("transform", "sqrt"),
        ("loss", "energy"),
        ("precision", "float64"),
    ],
)
def test_what_layers_share_cannot_change_between_them(dataset, first, name, value):
    with pytest.raises(InputError, match=f"^{name} differ.* all layers of a model share"):
        fit(dataset, [3], first, **{name: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_an_absent_device_is_said_in_a_sentence(dataset, device):
    with pytest.raises(DeviceError, match=rf"^device is '{device}' but .* take 'device: auto'"):
        fit(dataset, [3], device=device)


def test_an_unknown_device_is_refused(dataset):
    with pytest.raises(InputError, match="^device is 'gpu': it may be"):
        fit(dataset, [3], device="gpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rank", 0),
        ("rank", 2.0),
        ("rank", True),
        ("epochs", -1),
        ("epochs", "many"),
        ("lr", 0),
        ("lr", -1.0),
        ("lr", "fast"),
        ("optimizer", "sgd"),
        ("normalize", "median"),
        ("transform", "sqr"),
        ("beta", "ols"),
        ("loss", "mse"),
        ("init", "zeros"),
        ("precision", "float16"),
        ("tol", -1e-3),
        ("tol", None),
        ("patience", 0),
        ("seed", -1),
        ("seed", 1.5),
        ("data_mem_size", 0),
        ("threads", 0),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(name, value):
    with pytest.raises(InputError, match=f"{name} is {re.escape(repr(value))}: it m"):
        LayerOptions(**{"rank": 3, name: value})


def test_a_device_without_room_ends_in_one_sentence(monkeypatch, dataset):
    def full(context):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("neuralNMF.fit.fit_least_squares", full)
    with pytest.raises(DeviceError, match="memory of cpu is too small for layer 1: lower 'data_"):
        fit(dataset, [3])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
@pytest.mark.parametrize("held", [None, 13])
@pytest.mark.parametrize("loss", ["reconstruction", "energy"])
@pytest.mark.parametrize("cells", [CELLS, 800])
def test_cuda_gives_what_the_host_gives(tmp_path, cells, loss, held):
    dataset = make(tmp_path / "dataset.h5ad", cells=cells)
    errors = []
    for device in ("cpu", "cuda"):
        model = fit(dataset, [5, 3], device=device, loss=loss, data_mem_size=held)
        assert model.info["mse"] == pytest.approx(error_of(model, target(dataset)), rel=1e-4)
        errors.append(model.info["mse"])
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


def large(path, size: float, rank_one: bool):
    """Counts of this size, a multiple of a few or noise."""
    rng = np.random.default_rng(3)
    shape = (30, 20)
    if rank_one:
        counts = np.outer(rng.integers(1, 5, shape[0]), rng.integers(1, 5, shape[1])) * size
    else:
        counts = (rng.poisson(2, shape) + np.eye(*shape)) * size
    write_dataset(path, sp.csr_matrix(counts.astype(np.float32)))
    return open_dataset(path)


@pytest.mark.parametrize("kind", [{}, {"beta": "learned", "loss": "nested_poisson"}], ids=str)
def test_the_loss_of_an_exact_fit_is_not_below_zero(tmp_path, kind):
    dataset = large(tmp_path / "dataset.h5ad", 1e5, True)
    model = fit(dataset, [3], epochs=8, **kind)
    assert (model.history["loss"] >= 0).all() and not (model.history["mse"] < 0).any()
    assert model.info.get("mse", model.info.get("deviance")) >= 0
    assert model.history["loss"].iloc[-1] < 1e-5 * dataset.read()[1].var()


def test_counts_whose_squares_are_beyond_single_precision_are_a_sentence(tmp_path):
    dataset = large(tmp_path / "dataset.h5ad", 1e20, False)
    with pytest.raises(NeuralNMFError, match=r"leave the range .* take 'precision: float64'"):
        fit(dataset, [3], epochs=2)
    model = fit(dataset, [3], epochs=2, precision="float64")
    assert np.isfinite(model.history["loss"]).all()


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("loss", ["nested", "poisson"])
@pytest.mark.parametrize("epochs", [0, 5])
def test_the_layer_before_is_left_as_it_is(dataset, joint, loss, epochs):
    """Also where its usage is held, and could be that of the new model."""
    options = {"loss": loss, "beta": "lsq" if loss == "nested" else "learned"}
    first = fit(dataset, [4], **options)
    before = first.thetas[0].copy()
    new = LayerOptions(2, joint=joint, epochs=epochs, min_support=0, **options)
    for programs in (None, first.betas[0][:2]):
        fit_layer(dataset, first, new, programs=programs, progress=False)
        np.testing.assert_array_equal(first.thetas[0], before)
