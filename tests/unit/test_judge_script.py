"""The script that judges programs: from a saved model to the tables that a rule names."""

import numpy as np
import pandas as pd
import pytest
from helpers import Named, fake_snakemake, run_script
from neuralNMF.io.model import Model, save_model


@pytest.fixture
def rule(tmp_path):
    """Run the script as a rule would; what it returns is its log."""
    rng = np.random.default_rng(1)
    usage = rng.gamma(0.5, size=(80, 4))
    beta = rng.dirichlet(np.full(40, 0.1), 4)
    obs = {"lineage": ["T", "B"] * 40, "dataset": ["a", "b"] * 40, "total_counts": 100}
    names = [f"G{i}" for i in range(40)]
    model = Model(
        [usage],
        [beta],
        [np.zeros(4, dtype=bool)],
        pd.DataFrame(obs, index=[f"c{i}" for i in range(80)]),
        pd.DataFrame({"symbol": names, "gene_scale": 1.0}, index=[f"ENSG{i}" for i in range(40)]),
    )

    def run(*, gene_sets=(), replication=None, labels=None, groups=None, **outputs) -> str:
        model.replication = pd.DataFrame(replication or {})
        save_model(tmp_path / "layer1.h5nnmf", model)
        inputs = Named(
            model=str(tmp_path / "layer1.h5nnmf"),
            gene_sets=[str(tmp_path / name) for name in gene_sets],
            truth=[],
        )
        files = {name: [file] for name, file in outputs.items()}
        files["overview"] = ["programs.png", "programs.pdf"]
        outputs = Named(**{name: [str(tmp_path / n) for n in each] for name, each in files.items()})
        log = tmp_path / "log.txt"
        snakemake = fake_snakemake(
            log,
            inputs=inputs,
            outputs=outputs,
            params=Named(labels=labels or {}, groups=groups or {}),
        )
        run_script("judge_programs.py", snakemake)
        return log.read_text()

    return run


def test_programs_alone(rule, tmp_path):
    assert rule(programs="programs.tsv") == ""
    table = pd.read_csv(tmp_path / "programs.tsv", sep="\t")
    assert list(table["program"]) == ["P1", "P2", "P3", "P4"]
    assert (tmp_path / "programs.pdf").read_bytes().startswith(b"%PDF")
    assert "main_input" in table and "label" not in table


def test_what_other_fits_found_is_joined(rule, tmp_path):
    found = {"layer": [1, 1], "program": [2, 1], "replicated": [False, True]}
    rule(programs="programs.tsv", replication=found)
    table = pd.read_csv(tmp_path / "programs.tsv", sep="\t")
    assert table["believe"][1] == "no: not found again in other cells"
    assert not table["believe"][0].startswith("no")
    assert table["replicated"].isna()[2]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"gene_sets": ["sets.gmt"], "gene_sets_out": "sets.tsv"}, "line 1 is no gene set"),
        ({"labels": {"label": "celltype"}}, "no column 'celltype'"),
    ],
)
def test_what_cannot_be_used_ends_in_one_sentence(rule, tmp_path, given, word):
    (tmp_path / "sets.gmt").write_text("B cells: CD19, MS4A1\n")
    with pytest.raises(SystemExit) as end:
        rule(programs="programs.tsv", **given)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert word in log and len(log.splitlines()) == 1
    assert not (tmp_path / "programs.tsv").exists()
