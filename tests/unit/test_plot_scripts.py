"""The scripts of the pictures: from a saved model to the files that a rule names."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from neuralNMF.io.model import Model, save_model

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"


class Named(list):
    """Like Snakemake's lists: values by position, by name and with `get`."""

    def __init__(self, *values, **named):
        super().__init__([*values, *named.values()])
        self.__dict__.update(named)

    def get(self, name, default=None):
        return self.__dict__.get(name, default)


@pytest.fixture
def rule(tmp_path):
    """Run a script as a rule would: its outputs, then its log."""
    rng = np.random.default_rng(1)
    thetas = [rng.gamma(0.5, size=(80, 5)), rng.gamma(0.5, size=(5, 3))]
    betas = [rng.gamma(0.1, size=(k, 40)) for k in (5, 3)]
    betas = [beta / beta.sum(axis=1, keepdims=True) for beta in betas]
    names = [f"G{i}" for i in range(40)]
    model = Model(
        thetas,
        betas,
        [np.zeros(5, dtype=bool), np.zeros(3, dtype=bool)],
        pd.DataFrame({"lineage": ["T", "B"] * 40}, index=[f"c{i}" for i in range(80)]),
        pd.DataFrame({"symbol": names}, index=[f"ENSG{i}" for i in range(40)]),
        pd.DataFrame(
            {"depth": [1, 2], "phase": "start", "epoch": 1, "loss": [2.0, 1.0], "mse": [2.0, 1.0]}
        ),
        {"loss": "reconstruction"},
    )
    save_model(tmp_path / "layer2.h5nnmf", model)

    def run(script: str, outputs: list[str], **params) -> str:
        snakemake = SimpleNamespace(
            input=Named(model=str(tmp_path / "layer2.h5nnmf")),
            output=Named(*(str(tmp_path / name) for name in outputs)),
            params=Named(**params),
            log=[str(tmp_path / "log.txt")],
            threads=1,
        )
        runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})
        return (tmp_path / "log.txt").read_text()

    return run


def test_theta(rule, tmp_path):
    names = ["theta_l2.png", "theta_l2.pdf", "hierarchy_l2.png"]
    rule("plot_theta.py", names, labels="lineage", max_cells=50, seed=3)
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)
    assert not (tmp_path / "theta_l1.png").exists()


def test_a_missing_label_column_ends_in_one_sentence(rule, tmp_path):
    with pytest.raises(SystemExit) as end:
        rule("plot_theta.py", ["theta_l1.png"], labels="celltype", max_cells=50, seed=3)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert "no column 'celltype'" in log and "lineage" in log
    assert "Traceback" not in log
    assert not (tmp_path / "theta_l1.png").exists()


def test_beta(rule, tmp_path):
    names = ["beta_l1_top.png", "beta_l1_top.pdf", "programs_l1.tsv", "programs_l2.tsv"]
    rule("plot_beta.py", names, top_n=4, max_thresh=500)
    assert all((tmp_path / name).exists() for name in names)
    table = pd.read_csv(tmp_path / "programs_l2.tsv", sep="\t")
    assert len(table) == 3 * 4
    row = table.iloc[0]
    assert row.gene_id == row.symbol.replace("G", "ENSG")


def test_loss(rule, tmp_path):
    rule("plot_loss.py", ["loss.png", "loss.pdf"])
    assert (tmp_path / "loss.png").exists() and (tmp_path / "loss.pdf").exists()
