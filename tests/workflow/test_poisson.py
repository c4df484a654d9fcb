"""Poisson runs, learned programs and labels as a guide, from the config to the files."""

import anndata
import numpy as np
import pytest
from harness import ROOT, SMALL, Workflow
from helpers import make_adata


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """One sample with labels in half of its cells, by the posterior and by learned programs."""
    workflow = Workflow(ROOT, tmp_path_factory.mktemp("poisson") / "work")
    workflow.folder.mkdir()
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 20)
    programs = rng.gamma(0.5, 4.0, (3, 60))
    named = np.where(rng.random(60) < 0.5, np.array(["B", "T", "NK"])[kinds], "")
    counts = rng.poisson(programs[kinds])
    make_adata(counts, kind=named).write_h5ad(workflow.folder / "mine.h5ad")
    config = {
        **SMALL,
        "min_support": 0,
        "samples": {"own": {"input": "mine.h5ad", "labels": "kind"}},
        "runs": {
            "pmf": {"beta": "pmf", "prior_shape": 0.5, "data_mem_size": 25},
            "guided": {"beta": "learned", "loss": "poisson", "guide": 10},
        },
    }
    # Without most pictures: those of other models read the same file.
    names = ("layer2.h5nnmf", "loss.png", "hierarchy_l2.png")
    workflow.run(
        *(f"results/own/{run}/{name}" for run in config["runs"] for name in names), config=config
    )
    return workflow


@pytest.mark.parametrize("run", ["pmf", "guided"])
def test_every_kind_of_model_is_whole(finished: Workflow, run: str):
    folder = finished.folder / "results" / "own" / run
    model = anndata.read_h5ad(folder / "layer2.h5nnmf")
    for number, rank in ((1, 4), (2, 2)):
        usage, beta = model.obsm[f"X_theta_l{number}"], model.varm[f"beta_l{number}"]
        assert usage.shape == (60, rank) and beta.shape == (60, rank)
        assert (usage >= 0).all() and (beta >= 0).all()
        np.testing.assert_allclose(beta.sum(axis=0), 1, rtol=1e-4)
        assert (f"beta_sd_l{number}" in model.varm) == (run == "pmf")
    assert ("predicted_label" in model.obs) == (run == "guided")
    for name in ("loss.png", "hierarchy_l2.png"):
        assert (folder / name).stat().st_size


def test_deviations_are_those_of_the_posterior(finished: Workflow):
    """E[beta] >= its deviation x sqrt(prior shape): Gamma's mean is deviation x sqrt(shape)."""
    model = anndata.read_h5ad(finished.folder / "results/own/pmf/layer2.h5nnmf")
    for number in (1, 2):
        beta, deviation = model.varm[f"beta_l{number}"], model.varm[f"beta_sd_l{number}"]
        assert (deviation > 0).all()
        assert (beta >= deviation * np.sqrt(0.5) * (1 - 1e-5)).all()


def test_unlabelled_cells_are_predicted(finished: Workflow):
    obs = anndata.read_h5ad(finished.folder / "results/own/guided/layer2.h5nnmf").obs
    truth = np.repeat(["B", "T", "NK"], 20)
    without = (obs["kind"] == "").to_numpy()
    assert (obs["predicted_label"].to_numpy() == truth)[without].mean() > 0.9
    assert obs["predicted_probability"].between(1 / 3, 1).all()
