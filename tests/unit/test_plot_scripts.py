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
    """Like Snakemake's lists: values by position and by name."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.__dict__.update(named)


@pytest.fixture
def rule(tmp_path):
    """Run a script as a rule would; what it returns is its log."""
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

    def run(script: str, layer: int | None = None, *, outputs: dict[str, str], **params) -> str:
        snakemake = SimpleNamespace(
            input=Named(model=str(tmp_path / "layer2.h5nnmf")),
            output=Named(**{key: str(tmp_path / name) for key, name in outputs.items()}),
            wildcards=SimpleNamespace(layer=str(layer)),
            params=Named(**params),
            log=[str(tmp_path / "log.txt")],
            threads=1,
        )
        runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})
        return (tmp_path / "log.txt").read_text()

    return run


def both(stem: str) -> dict[str, str]:
    """A picture's two files, as the rules name them."""
    return {"png": f"{stem}.png", "pdf": f"{stem}.pdf"}


# Names that say nothing: which layer is drawn is the rule's wildcard.
THETA = ("plot_theta.py", {"labels": "lineage", "max_cells": 50})


def test_theta(rule, tmp_path):
    script, params = THETA
    rule(script, 2, outputs=both("any"), **params)
    rule(script, 1, outputs=both("other"), **params)
    assert all((tmp_path / f"any.{kind}").stat().st_size > 1000 for kind in ("png", "pdf"))
    assert (tmp_path / "any.png").read_bytes() != (tmp_path / "other.png").read_bytes()


def test_hierarchy(rule, tmp_path):
    rule("plot_hierarchy.py", 2, outputs=both("any"))
    assert all((tmp_path / f"any.{kind}").stat().st_size > 1000 for kind in ("png", "pdf"))


@pytest.mark.parametrize(
    ("script", "layer", "params"),
    [(*THETA[:1], 3, THETA[1]), ("plot_hierarchy.py", 1, {}), ("plot_hierarchy.py", 3, {})],
)
def test_a_layer_that_is_not_there_ends_in_one_sentence(rule, tmp_path, script, layer, params):
    with pytest.raises(SystemExit) as end:
        rule(script, layer, outputs=both("any"), **params)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert f"no such picture of layer {layer}: the run has 2 layers" in log
    assert "Traceback" not in log
    assert not (tmp_path / "any.png").exists()


def test_a_missing_label_column_ends_in_one_sentence(rule, tmp_path):
    with pytest.raises(SystemExit) as end:
        rule("plot_theta.py", 1, outputs=both("any"), labels="celltype", max_cells=50)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert "no column 'celltype'" in log and "lineage" in log
    assert "Traceback" not in log
    assert not (tmp_path / "any.png").exists()


def test_beta(rule, tmp_path):
    outputs = {**both("any"), "table": "any.tsv"}
    rule("plot_beta.py", 2, outputs=outputs, top_n=4, max_thresh=500)
    assert all((tmp_path / name).exists() for name in outputs.values())
    table = pd.read_csv(tmp_path / "any.tsv", sep="\t")
    assert len(table) == 3 * 4
    row = table.iloc[0]
    assert row.gene_id == row.symbol.replace("G", "ENSG")


def test_loss(rule, tmp_path):
    rule("plot_loss.py", outputs=both("loss"))
    assert (tmp_path / "loss.png").exists() and (tmp_path / "loss.pdf").exists()
