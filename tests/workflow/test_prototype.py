"""The original's three scripts, as its description prints them, from an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import neuralNMF
import numpy as np
import pytest
import scipy.sparse as sp
from helpers import least_cosine
from matplotlib.image import imread
from neuralNMF.dutil.read_write import write_h5
from neuralNMF.errors import InputError, NeuralNMFError
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import load_model

SCRIPTS = sorted((Path(__file__).parent / "prototype_scripts").glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An empty folder in which the three scripts ran, each in a process of its own."""
    work = tmp_path_factory.mktemp("original")
    environment = os.environ | {"MPLBACKEND": "Agg"}
    for script in SCRIPTS:
        done = subprocess.run(
            [sys.executable, script],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script.name}:\n{done.stderr}"
    return work


def test_the_scripts_are_the_original_ones(shared_data):
    (text,) = (shared_data.parent / "seed").glob("*.txt")
    original = text.read_text()
    assert len(SCRIPTS) == 3
    for script in SCRIPTS:
        assert script.read_text() in original, script.name


@pytest.mark.slow
def test_files(folder):
    assert (folder / "data" / "sim.h5").is_file()
    names = {path.name for path in (folder / "results").iterdir()}
    assert names == {
        "sim.dataset.h5ad",
        "sim.genes.tsv",
        "sim.log",
        "sim.h5nnmf",
        "sim_theta1.png",
        "sim_theta2.png",
        "sim_beta_l1_th_50.png",
        "sim_beta_l2_th_50.png",
    }
    for name in names:
        if name.endswith(".png"):
            picture = imread(folder / "results" / name)[..., :3]
            assert min(picture.shape[:2]) > 300, name
            assert picture.std() > 0.1, f"{name} is empty"


@pytest.mark.slow
def test_the_model_fits_and_finds_the_programs(folder):
    adata = anndata.read_h5ad(folder / "results" / "sim.h5nnmf")
    theta1, theta2 = adata.uns["theta_l1"], adata.uns["theta_l2"]
    assert theta1.shape == (1000, 20) and theta2.shape == (20, 10)
    assert adata.uns["beta_l1"].shape == (2000, 20) and adata.uns["beta_l2"].shape == (2000, 10)
    _, programs, counts = neuralNMF.generate_data(N=1000, K=10, M=2000, mode="block")
    fitted = theta1.astype(float) @ theta2 @ adata.uns["beta_l2"].T
    order = adata.var_names.get_indexer([f"c{i}" for i in range(2000)])
    assert list(adata.obs_names) == [str(i) for i in range(1000)]
    assert np.mean((counts - fitted[:, order]) ** 2) <= 45

    assert least_cosine(adata.uns["beta_l2"][order].T, programs.T) >= 0.99


@pytest.mark.slow
def test_the_log_tells_the_network_and_the_training(folder):
    log = (folder / "results" / "sim.log").read_text()
    assert "NeuralNMF(" in log
    assert "loss" in log
    assert "1000 cells x 2000 genes" in log


# A small sample for what the scripts do not touch


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder with the counts of two samples whose names begin alike."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    for name, cells in (("a", 60), ("a.2", 70)):
        counts = rng.poisson(rng.gamma(1, size=(cells, 3)) @ rng.gamma(0.3, 8, size=(3, 40)))
        write_h5(
            f"data/{name}",
            [f"{name}{i}" for i in range(cells)],
            [f"g{i}" for i in range(40)],
            sp.csr_matrix(counts),
        )
    return tmp_path


def train(sample: str, **where) -> None:
    neuralNMF.create_dataset(sample, **where)
    model = neuralNMF.create_model(sample=sample, layers=[4, 2], **where)
    model.train(epochs=5, lr=1)
    model.save()


def test_every_sample_has_its_own_files_and_log(small):
    train("a")
    first = (small / "results" / "a.log").read_bytes()
    train("a.2")
    assert (small / "results" / "a.log").read_bytes() == first
    assert load_model("results/a.h5nnmf").thetas[0].shape == (60, 4)
    assert load_model("results/a.2.h5nnmf").thetas[0].shape == (70, 4)
    assert open_dataset("results/a.2.dataset.h5ad").shape[0] == 70
    path = neuralNMF.plot_gene_loading(
        adata=anndata.read_h5ad("results/a.2.h5nnmf"), col="beta_l2", top_n=3, max_thresh=50
    )
    assert path == Path("results/a.2_beta_l2_th_50.png") and path.is_file()


def test_another_working_folder(small, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    train("a", working_dirpath=f"{small}/")
    adata = anndata.read_h5ad(small / "results" / "a.h5nnmf")
    neuralNMF.plot_gene_loading(adata=adata, col="beta_l1", top_n=3, max_thresh=12.5)
    assert (small / "results" / "a_beta_l1_th_12.5.png").is_file()
    assert list(Path.cwd().iterdir()) == []


def test_same_seed_same_bytes(small):
    train("a")
    first = Path("results/a.h5nnmf").read_bytes()
    train("a")
    assert Path("results/a.h5nnmf").read_bytes() == first


def test_the_network_is_there_before_and_after_training(small):
    neuralNMF.create_dataset("a")
    model = neuralNMF.create_model(sample="a", layers=[4, 2], device="cpu")
    assert [tuple(theta.shape) for theta in model.net.parameters()] == [(60, 4), (4, 2)]
    assert "layers=[4, 2]" in str(model.net)
    with pytest.raises(InputError, match="call train"):
        model.save()
    model.train(epochs=3, lr=1)
    for parameter, theta in zip(model.net.parameters(), model.model.thetas, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), theta, rtol=1e-6)


def test_what_is_missing_is_named(small):
    with pytest.raises(InputError, match=r"no counts of the sample 'b'.*data/b\.h5"):
        neuralNMF.create_dataset("b")
    with pytest.raises(InputError, match="create_dataset"):
        neuralNMF.create_model(sample="b")
    Path("data/a.h5ad").touch()
    with pytest.raises(InputError, match=r"data/a\.h5 and data/a\.h5ad"):
        neuralNMF.create_dataset("a")
    Path("data/a.h5ad").unlink()
    train("a")
    adata = anndata.read_h5ad("results/a.h5nnmf")
    with pytest.raises(InputError, match="'beta_l3'.*beta_l1, beta_l2"):
        neuralNMF.plot_gene_loading(adata=adata, col="beta_l3")
    with pytest.raises(InputError, match="layers is empty"):
        neuralNMF.create_model(sample="a", layers=[])
    with pytest.raises(InputError, match="rank is 2.5"):
        neuralNMF.create_model(sample="a", layers=[4, 2.5])
    with pytest.raises(NeuralNMFError, match="tpu"):
        neuralNMF.create_model(sample="a", device="tpu")


def test_h5ad_inputs_are_found(small):
    with h5py.File("data/a.h5") as file:
        group = file["matrix"]
        matrix = sp.csr_matrix(
            (group["data"][:], group["indices"][:], group["indptr"][:]), shape=(60, 40)
        )
    anndata.AnnData(matrix.astype("float32")).write_h5ad("data/c.h5ad")
    assert neuralNMF.create_dataset("c").shape == neuralNMF.create_dataset("a").shape
