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
        pd.DataFrame(
            {"symbol": names, "gene_scale": 1.0, "variance": 1.0},
            index=[f"ENSG{i}" for i in range(40)],
        ),
        pd.DataFrame(
            {"depth": [1, 2], "phase": "start", "epoch": 1, "loss": [2.0, 1.0], "mse": [2.0, 1.0]}
        ),
        {"loss": "reconstruction"},
    )
    save_model(tmp_path / "layer2.h5nnmf", model)

    def run(script: str, *, outputs: dict[str, list[str]], **params) -> str:
        snakemake = SimpleNamespace(
            input=Named(model=str(tmp_path / "layer2.h5nnmf")),
            output=Named(**{k: [str(tmp_path / name) for name in v] for k, v in outputs.items()}),
            params=Named(**params),
            log=[str(tmp_path / "log.txt")],
            threads=1,
        )
        runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})
        return (tmp_path / "log.txt").read_text()

    return run


# Names that say nothing: what is drawn follows from the rule's order.
THETA = {
    "theta": ["a.png", "a.pdf", "b.png", "b.pdf"],
    "hierarchy": ["c.png", "c.pdf"],
}
BETA = {
    "beta": ["a.png", "a.pdf", "b.png", "b.pdf"],
    "tables": ["a.tsv", "b.tsv"],
    "gmt": ["programs.gmt"],
    "starcat": ["s.tsv", "t.tsv"],
    "loss": ["c.png", "c.pdf"],
}


def test_theta(rule, tmp_path):
    assert rule("plot_theta.py", outputs=THETA, labels="lineage", max_cells=50, first=1) == ""
    files = [tmp_path / name for names in THETA.values() for name in names]
    assert all(file.stat().st_size > 1000 for file in files)
    assert len({file.read_bytes() for file in files}) == len(files)
    assert all(file.read_bytes().startswith(b"%PDF") == (file.suffix == ".pdf") for file in files)


def test_a_missing_label_column_ends_in_one_sentence(rule, tmp_path):
    with pytest.raises(SystemExit) as end:
        rule("plot_theta.py", outputs=THETA, labels="celltype", max_cells=50, first=1)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert "no column 'celltype'" in log and "lineage" in log
    assert "Traceback" not in log
    assert not (tmp_path / "a.png").exists()


def test_beta(rule, tmp_path):
    rule("plot_beta.py", outputs=BETA, top_n=4, max_thresh=500, first=1)
    assert all((tmp_path / name).exists() for names in BETA.values() for name in names)
    fine, coarse = (pd.read_csv(tmp_path / name, sep="\t") for name in BETA["tables"])
    assert len(fine) == 5 * 4 and len(coarse) == 3 * 4
    row = fine.iloc[0]
    assert row.gene_id == row.symbol.replace("G", "ENSG")
    assert set(fine.program_parent) <= {"P1", "P2", "P3"}
    assert coarse.program_parent.isna().all()
