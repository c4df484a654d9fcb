"""Batches, conditions and donors from the config to the files: by a column, and by the inputs."""

import anndata
import numpy as np
import pandas as pd
import pytest
from harness import ROOT, SMALL, Workflow
from helpers import make_adata

DONORS, CELLS, GENES = 8, 20, 60


def counts_of(rng, factors, stimulated):
    """Counts (N, GENES): two kinds of cells, what the condition adds, and factors of a batch."""
    kinds = rng.integers(0, 2, len(stimulated))
    programs = np.repeat(np.eye(3), GENES // 3, axis=1)
    usage = np.column_stack([kinds == 0, kinds == 1, stimulated]) + 0.1
    return rng.poisson(8.0 * usage @ programs * factors)


def write_inputs(folder):
    """One file of two chips, eight donors, two states; two files that differ; new cells."""
    rng = np.random.default_rng(0)
    donors = np.repeat(np.arange(DONORS), CELLS)
    stimulated = np.arange(donors.size) % 2 == 0
    factors = np.exp(rng.normal(0, 0.5, (3, GENES)))
    columns = {
        "chip": np.where(donors < DONORS // 2, "c0", "c1"),
        "state": np.where(stimulated, "stim", "rest"),
        "who": np.char.add("d", donors.astype(str)),
    }
    counts = counts_of(rng, factors[donors // (DONORS // 2)], stimulated)
    make_adata(counts, **columns).write_h5ad(folder / "mine.h5ad")
    for part in (0, 1):
        rows = donors // (DONORS // 2) == part
        make_adata(counts[rows]).write_h5ad(folder / f"part{part}.h5ad")
    new = counts_of(rng, factors[2], stimulated[:80])
    make_adata(new, chip=np.full(80, "c2")).write_h5ad(folder / "new.h5ad")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Two samples and their new cells, done."""
    workflow = Workflow(ROOT, tmp_path_factory.mktemp("batches") / "work")
    workflow.folder.mkdir()
    write_inputs(workflow.folder)
    columns = {"batch": "chip", "condition": "state", "donor": "who"}
    parts = [{"path": f"part{part}.h5ad", "name": f"p{part}"} for part in (0, 1)]
    config = SMALL | {
        "samples": {
            "column": {"input": "mine.h5ad", **columns},
            "inputs": {"input": parts, "batch": "input"},
        },
        "layers": [3],
        "epochs": 20,
        "dataset": {"min_cells": 1, "variable_genes": 50},
        "plots": {"umap": False},
        "project": {
            "both": {
                "input": [{"path": "mine.h5ad", "name": "a"}, {"path": "new.h5ad", "name": "b"}],
                "model": "column/main",
            },
            "third": {"input": "new.h5ad", "model": "inputs/main"},
        },
    }
    names = ("cells.tsv", "main/programs.tsv", "main/theta_l1.png")
    targets = [f"results/{sample}/{name}" for sample in ("column", "inputs") for name in names]
    targets += [f"results/projected/{name}.h5ad" for name in ("both", "third")]
    targets += ["results/column/main/report.html"]
    workflow.run(*targets, config=config)
    assert workflow.plan(*targets, config=config) == {}
    return workflow


def table(workflow: Workflow, name: str) -> pd.DataFrame:
    return pd.read_csv(workflow.folder / "results" / name, sep="\t")


def test_the_program_of_the_condition_is_called_a_donor_at_a_time(finished: Workflow):
    tested = table(finished, "column/main/conditions.tsv")
    assert set(tested["unit"]) == {"paired donors"}
    assert set(tested["units"]) == {DONORS}
    # Where its share rises, the others' fall.
    called = tested[tested["called"] & (tested["condition"] == "stim")]
    assert len(called) == 1
    programs = table(finished, "column/main/programs.tsv").set_index("program")
    row = programs.loc[called["program"].iloc[0]]
    assert (row["condition"], row["condition_effect"]) == ("stim", 1.0)
    last = {f"gene{number}" for number in range(2 * GENES // 3, GENES)}
    assert set(row["markers"].split(", ")) <= last
    assert not (finished.folder / "results/inputs/main/conditions.tsv").exists()


def test_programs_say_which_batches_and_donors_use_them(finished: Workflow):
    of_column = table(finished, "column/main/programs.tsv")
    assert (of_column["batches_using"] == 2).all() and (of_column["donors_using"] == DONORS).all()
    assert of_column["batch_shares"].str.contains("c0 0.").all()
    of_inputs = table(finished, "inputs/main/programs.tsv")
    assert set(of_inputs["main_batch"]) <= {"p0", "p1"}
    assert "donors_using" not in of_inputs and "condition" not in of_inputs
    for name in ("column", "inputs"):
        assert table(finished, f"{name}/main/agreement.tsv")["batch_mixing"].iloc[-1] > 0.5
        genes = table(finished, f"{name}/genes.tsv")
        assert (genes["selected"] == "variable").sum() == 50 and (genes["n_batches"] == 2).all()


def test_cells_are_counted_and_coloured_by_where_they_are_from(finished: Workflow):
    cells = table(finished, "column/cells.tsv")
    assert cells.groupby("batch")["cells"].sum().to_dict() == {"c0": 80, "c1": 80}
    assert {"condition", "donor"} <= set(cells)
    assert list(table(finished, "inputs/cells.tsv").columns[:2]) == ["dataset", "cells"]
    theta = table(finished, "column/main/theta_l1.tsv")
    assert {"chip", "state", "who"} <= set(theta)
    assert set(table(finished, "inputs/main/theta_l1.tsv")["dataset"]) == {"p0", "p1"}
    page = (finished.folder / "results/column/main/report.html").read_text()
    assert "chip" in page and "stim" in page


def test_new_cells_of_known_and_of_unknown_batches(finished: Workflow):
    of_fit = anndata.read_h5ad(finished.folder / "results/column/main/layer1.h5nnmf")
    both = anndata.read_h5ad(finished.folder / "results/projected/both.h5ad")
    usage = of_fit.obsm["X_theta_l1"]
    close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(usage).max()}
    np.testing.assert_allclose(both.obsm["X_theta_l1"][: len(usage)], usage, **close)
    assert both.varm["batch_factors"].shape == (50, 3)
    assert '"c2"' in both.uns["batches"]
    third = anndata.read_h5ad(finished.folder / "results/projected/third.h5ad")
    assert '"names": ["p0", "p1", "new"]' in third.uns["batches"]
    log = (finished.folder / "logs/projected/both.log").read_text()
    assert "new batches, whose factors were found from these cells: c2" in log
