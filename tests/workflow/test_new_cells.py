"""New cells and exports, from the config to the files."""

import anndata
import numpy as np
import pandas as pd
import pytest
from harness import ROOT, SMALL, Workflow

CONFIG = {
    **SMALL,
    "min_support": 0,
    "project": {
        "again": {"input": "data/tiny.h5", "model": "tiny/main"},
        "twice": {
            "input": [{"path": "data/tiny.h5", "name": "a"}, {"path": "data/tiny.h5", "name": "b"}],
            "model": "tiny/main",
        },
    },
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(ROOT, tmp_path_factory.mktemp("new") / "work")
    workflow.folder.mkdir()
    targets = [f"results/projected/{name}.h5ad" for name in CONFIG["project"]]
    workflow.run(*targets, "results/tiny/main/programs.gmt", config=CONFIG)
    return workflow


def test_the_cells_of_the_model_again(finished: Workflow):
    results = finished.folder / "results"
    model = anndata.read_h5ad(results / "tiny/main/layer2.h5nnmf")
    again = anndata.read_h5ad(results / "projected/again.h5ad")
    twice = anndata.read_h5ad(results / "projected/twice.h5ad")
    assert list(again.obs_names) == list(model.obs_names)
    assert twice.obs_names[-1] == f"{model.obs_names[-1]}-b"
    for key, usage in model.obsm.items():
        close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(usage).max()}
        np.testing.assert_allclose(again.obsm[key], usage, **close)
        np.testing.assert_array_equal(twice.obsm[key], np.tile(again.obsm[key], (2, 1)))
    assert "genes by gene_id" in (finished.folder / "logs/projected/again.log").read_text()


def test_exports(finished: Workflow):
    folder = finished.folder / "results/tiny/main"
    sets = [line.split("\t") for line in (folder / "programs.gmt").read_text().splitlines()]
    assert [name for name, *_ in sets] == ["L1_P1", "L1_P2", "L1_P3", "L1_P4", "L2_P1", "L2_P2"]
    assert all(text.startswith(name[3:]) and genes for name, text, *genes in sets)
    # As starCAT reads it.
    reference = pd.read_csv(folder / "starcat_l1.tsv", index_col=0, sep="\t").astype(np.float32)
    assert reference.shape == (4, 80) and reference.index[0] == "L1_P1"
    assert (reference >= 0).all(axis=None)


def test_all_targets_hold_them_and_another_model_reruns_them(stubbed: Workflow):
    first = stubbed.run(config=CONFIG).jobs
    assert first["project"] == 2
    assert stubbed.plan(config=CONFIG) == {}
    assert stubbed.plan(config={**CONFIG, "seed": 1})["project"] == 2
    assert stubbed.plan(config={**CONFIG, "plots": {"top_n": 3}}) == {"plot_beta": 1}
    model = stubbed.folder / "results/tiny/main/layer1.h5nnmf"
    other = {"again": {"input": "data/tiny.h5", "model": str(model)}}
    assert stubbed.plan(config={**CONFIG, "project": other}) == {"project": 1}
