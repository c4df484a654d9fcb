"""The model file: what stands where, and that nothing else does."""

import time

import anndata
import numpy as np
import pandas as pd
import pytest
from neuralNMF.errors import InputError
from neuralNMF.io.model import Model, load_model, save_model

N, M, LAYERS = 7, 11, [4, 2]


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(3)
    thetas = [
        rng.gamma(1, size=(N, 4)).astype("float32"),
        rng.gamma(1, size=(4, 2)).astype("float32"),
    ]
    betas = [rng.gamma(1, size=(k, M)).astype("float32") for k in LAYERS]
    betas = [beta / beta.sum(axis=1, keepdims=True) for beta in betas]
    betas[1][1] = 0
    obs = pd.DataFrame(
        {
            "dataset": pd.Categorical(["a"] * 3 + ["b"] * 4),
            "total_counts": np.arange(1.0, N + 1),
            "note": pd.Categorical(["Zürich", "", "x", "y", None, "u", "u"]),
        },
        index=[f"cell-{i}" for i in range(N)],
    )
    var = pd.DataFrame(
        {
            "symbol": pd.Categorical([f"S{i}" for i in range(M)]),
            "selected": pd.Categorical(["all"] * M),
        },
        index=[f"g{i}" for i in range(M)],
    )
    history = pd.DataFrame(
        {
            "depth": [1, 1, 2],
            "phase": ["start", "joint", "joint"],
            "epoch": [1, 2, 1],
            "loss": [3.0, 2.0, 1.5],
            "mse": [3.0, 2.0, np.nan],
        }
    )
    info = {
        "layers": LAYERS,
        "loss": "reconstruction",
        "seed": 5,
        "joint": True,
        "tol": 1e-4,
        "data_mem_size": None,
        "versions": {"torch": "2", "numpy": "1"},
        "remark": '{"a string": "that looks like JSON"}',
        "options": [{"rank": 4, "lr": "auto"}, {"rank": 2, "lr": 1.0}],
    }
    dead = [np.zeros(4, dtype=bool), np.array([False, True])]
    return Model(thetas, betas, dead, obs, var, history, info)


def test_round_trip(tmp_path, model):
    save_model(tmp_path / "layer2.h5nnmf", model)
    back = load_model(tmp_path / "layer2.h5nnmf")
    for name in ("thetas", "betas", "dead", "usages"):
        for expected, found in zip(getattr(model, name), getattr(back, name), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
    pd.testing.assert_frame_equal(back.obs, model.obs, check_names=False)
    pd.testing.assert_frame_equal(back.var, model.var, check_names=False)
    pd.testing.assert_frame_equal(back.history, model.history)
    assert back.info == model.info
    assert {key: type(value) for key, value in back.info.items()} == {
        key: type(value) for key, value in model.info.items()
    }
    assert back.layers == LAYERS


def test_anndata_reads_it_with_every_array_in_its_place(tmp_path, model):
    path = tmp_path / "layer2.h5nnmf"
    save_model(path, model)
    adata = anndata.read_h5ad(path)
    assert adata.shape == (N, M)
    assert list(adata.obs_names) == list(model.obs.index)
    assert list(adata.var_names) == list(model.var.index)
    usage = model.thetas[0] @ model.thetas[1]
    np.testing.assert_array_equal(adata.obsm["X_theta_l1"], model.thetas[0])
    np.testing.assert_allclose(adata.obsm["X_theta_l2"], usage, rtol=1e-6)
    for number in (1, 2):
        np.testing.assert_array_equal(adata.uns[f"theta_l{number}"], model.thetas[number - 1])
        np.testing.assert_array_equal(adata.uns[f"beta_l{number}"], model.betas[number - 1].T)
        np.testing.assert_array_equal(adata.varm[f"beta_l{number}"], model.betas[number - 1].T)
        np.testing.assert_array_equal(adata.uns[f"dead_l{number}"], model.dead[number - 1])
    assert adata.uns["inpath"] == "layer2"
    assert adata.uns["neuralNMF"]["seed"] == 5
    # A gene picked by name carries its own loadings.
    np.testing.assert_array_equal(adata[:, "g4"].varm["beta_l1"][0], model.betas[0][:, 4])


def test_same_model_same_bytes(tmp_path, model):
    (tmp_path / "other folder").mkdir()
    first, second = tmp_path / "layer2.h5nnmf", tmp_path / "other folder" / "layer2.h5nnmf"
    save_model(first, model)
    time.sleep(1.1)  # a time stamp would change
    save_model(second, load_model(first))
    assert first.read_bytes() == second.read_bytes()


def test_saving_leaves_the_model_as_it_is(tmp_path, model):
    before = model.obs.copy(), model.var.copy(), model.history.copy()
    save_model(tmp_path / "m.h5nnmf", model)
    for expected, found in zip(before, (model.obs, model.var, model.history), strict=True):
        pd.testing.assert_frame_equal(found, expected)


def test_text_with_gaps_is_stored(tmp_path, model):
    model.obs["note"] = ["a", None, "b", float("nan"), "a", "", "c"]
    save_model(tmp_path / "m.h5nnmf", model)
    back = load_model(tmp_path / "m.h5nnmf").obs["note"]
    assert list(back.isna()) == [False, True, False, True, False, False, False]
    assert list(back.dropna()) == ["a", "b", "a", "", "c"]


def test_without_history(tmp_path, model):
    bare = Model(model.thetas, model.betas, model.dead, model.obs, model.var)
    save_model(tmp_path / "m.h5nnmf", bare)
    back = load_model(tmp_path / "m.h5nnmf")
    assert len(back.history) == 0
    assert list(back.history.columns) == ["depth", "phase", "epoch", "loss", "mse"]


def test_parts_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, model):
    model.betas[1] = model.betas[1][:, :-1]
    with pytest.raises(InputError, match=r"beta_l2 has the shape \(2, 10\).*\(2, 11\)"):
        save_model(tmp_path / "m.h5nnmf", model)
    model.betas.pop()
    with pytest.raises(InputError, match="as many thetas"):
        save_model(tmp_path / "m.h5nnmf", model)
    assert list(tmp_path.iterdir()) == []


def test_wrong_files_are_named(tmp_path, model):
    with pytest.raises(InputError, match="does not exist"):
        load_model(tmp_path / "absent.h5nnmf")
    (tmp_path / "text.h5nnmf").write_text("no HDF5")
    with pytest.raises(InputError, match=r"text\.h5nnmf is damaged"):
        load_model(tmp_path / "text.h5nnmf")
    anndata.AnnData(np.ones((2, 3), dtype="float32")).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(InputError, match="not a model of this program"):
        load_model(tmp_path / "other.h5ad")
    save_model(tmp_path / "m.h5nnmf", model)
    content = (tmp_path / "m.h5nnmf").read_bytes()
    (tmp_path / "cut.h5nnmf").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path / "cut.h5nnmf")


def test_a_model_with_a_missing_part_is_named(tmp_path, model):
    import h5py

    path = tmp_path / "m.h5nnmf"
    save_model(path, model)
    with h5py.File(path, "r+") as file:
        del file["uns/beta_l2"]
    with pytest.raises(InputError, match="damaged or incomplete.*beta_l2"):
        load_model(path)
