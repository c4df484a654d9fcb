"""The scripts of the pictures: from a saved model to the files that a rule names."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.explore import write_explored
from neuralNMF.io.model import Model, load_model, save_model

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
        pd.DataFrame(
            {"lineage": ["T", "B"] * 40, "donor": ["a"] * 40 + ["b"] * 40},
            index=[f"c{i}" for i in range(80)],
        ),
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
    counts = sp.csr_matrix(rng.poisson(0.5, size=(80, 40)))
    var = model.var.assign(gene_id=model.var.index)
    write_dataset(tmp_path / "dataset.h5ad", counts, model.obs, var)

    def run(script: str, *, outputs: dict[str, list[str]], **params) -> str:
        snakemake = SimpleNamespace(
            input=Named(
                model=str(tmp_path / "layer2.h5nnmf"),
                dataset=str(tmp_path / "dataset.h5ad"),
                explore=str(tmp_path / "explore.h5ad"),
            ),
            output=Named(**{k: [str(tmp_path / name) for name in v] for k, v in outputs.items()}),
            params=Named(**params),
            log=[str(tmp_path / "log.txt")],
            threads=1,
        )
        runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})
        return (tmp_path / "log.txt").read_text()

    return run


# Names that say nothing: what is drawn follows from the rule's order.
def pictures(*stems: str) -> list[str]:
    return [f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "tsv")]


THETA = {
    "theta": pictures("a", "b"),
    "hierarchy": pictures("c"),
    "violins": pictures("d", "e"),
    "tree": pictures("f"),
}
BETA = {
    "beta": pictures("a", "b"),
    "dots": pictures("d", "e"),
    "tables": ["p.tsv", "q.tsv"],
    "gmt": ["programs.gmt"],
    "starcat": ["s.tsv", "t.tsv"],
    "loss": pictures("c"),
}


def drawn(tmp_path: Path, outputs: dict[str, list[str]]) -> list[Path]:
    """The pictures, each other than all others, in the format that they are named for."""
    files = [tmp_path / name for names in outputs.values() for name in names]
    figures = [file for file in files if file.suffix in (".png", ".pdf")]
    assert all(file.stat().st_size > 1000 for file in figures)
    assert len({file.read_bytes() for file in figures}) == len(figures)
    assert all(f.read_bytes().startswith(b"%PDF") == (f.suffix == ".pdf") for f in figures)
    assert all(file.exists() for file in files)
    return figures


def table(tmp_path: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(tmp_path / f"{name}.tsv", sep="\t")


def test_theta(rule, tmp_path):
    columns = ["lineage", "donor"]
    assert rule("plot_theta.py", outputs=THETA, columns=columns, max_cells=50, first=1) == ""
    assert len(drawn(tmp_path, THETA)) == 12
    model = load_model(tmp_path / "layer2.h5nnmf")
    usage = table(tmp_path, "a").set_index("cell")
    assert len(usage) == 50 and list(usage)[:2] == columns
    np.testing.assert_allclose(usage.iloc[:, 2:].sum(axis=1), 100, rtol=1e-4)
    assert (usage["lineage"] == model.obs["lineage"].astype(str).loc[usage.index]).all()
    percent = 100 * model.thetas[1] / model.thetas[1].sum(axis=1, keepdims=True)
    made_of = table(tmp_path, "c").set_index("program")
    names = [next(name for name in made_of if name.startswith(f"P{k + 1} ")) for k in range(3)]
    rows = [next(name for name in made_of.index if name.startswith(f"P{k + 1} ")) for k in range(5)]
    np.testing.assert_allclose(made_of.loc[rows, names], percent, rtol=1e-4)
    tree = table(tmp_path, "f")
    fine = tree[tree["layer"] == 1].set_index("program").loc[[f"P{k + 1}" for k in range(5)]]
    np.testing.assert_allclose(fine[["P1", "P2", "P3"]], percent, rtol=1e-4)
    np.testing.assert_allclose(tree.groupby("layer")["expression_share"].sum(), 1, rtol=1e-4)
    assert set(tree["label"].dropna()) <= {"T", "B"} and tree["label_share"].max() <= 1
    violins = table(tmp_path, "e")
    assert len(violins) == 3 * 2 and violins["cells"].sum() == 3 * 50


def test_cells_without_labels_are_grouped_by_their_main_programs(rule, tmp_path):
    rule("plot_theta.py", outputs=THETA, columns=[], max_cells=500, first=1)
    violins = table(tmp_path, "d")
    assert set(violins["group"]) <= set(table(tmp_path, "e")["program"])
    assert "label" not in table(tmp_path, "f")


def test_a_missing_label_column_ends_in_one_sentence(rule, tmp_path):
    with pytest.raises(SystemExit) as end:
        rule("plot_theta.py", outputs=THETA, columns=["celltype"], max_cells=50, first=1)
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert "no column 'celltype'" in log and "lineage" in log
    assert "Traceback" not in log
    assert not (tmp_path / "a.png").exists()


def test_beta(rule, tmp_path):
    rule("plot_beta.py", outputs=BETA, top_n=4, max_thresh=500, first=1)
    assert len(drawn(tmp_path, BETA)) == 10
    fine, coarse = (table(tmp_path, name) for name in "pq")
    assert len(fine) == 5 * 4 and len(coarse) == 3 * 4
    row = fine.iloc[0]
    assert row.gene_id == row.symbol.replace("G", "ENSG")
    assert set(fine.program_parent) <= {"P1", "P2", "P3"}
    assert coarse.program_parent.isna().all()
    # The dots are the shares of the cells that use the program most.
    model, dots = load_model(tmp_path / "layer2.h5nnmf"), table(tmp_path, "d")
    shares = model.thetas[0] / model.thetas[0].sum(axis=1, keepdims=True)
    counts = open_dataset(tmp_path / "dataset.h5ad").rows(0, 80).toarray()
    k = int(dots["program"][0].split()[0][1:]) - 1
    support = shares[:, k] @ shares[:, k]
    number = max(10, round(support**2 / (shares[:, k] ** 4).sum()))
    most = np.argsort(-shares[:, k])[:number]
    gene = int(dots["gene"][0][1:])
    assert dots["cells_with_gene"][0] == pytest.approx((counts[most, gene] > 0).mean(), rel=1e-5)
    assert dots["loading_per_10k"][0] == pytest.approx(1e4 * model.betas[0][k, gene], rel=1e-5)


UMAP = {"umap": [f"{stem}.{kind}" for stem in "abcd" for kind in ("png", "pdf")]}


def test_umap(rule, tmp_path):
    model = load_model(tmp_path / "layer2.h5nnmf")
    names = [["P1 A", "P2 $B$", "P3 C", "P4 D", "P5 (dead)"], ["P1 A", "P2 B", "P3 C"]]
    parts = {
        f"l{layer} {name}": usage[:, k] / usage.sum(axis=1)
        for layer, usage in enumerate(model.usages, start=1)
        for k, name in enumerate(names[layer - 1])
    }
    mains = {
        f"program_l{layer}": pd.Categorical.from_codes(usage.argmax(axis=1), names[layer - 1])
        for layer, usage in enumerate(model.usages, start=1)
    }
    obs = model.obs.assign(**mains, **parts)
    places = np.random.default_rng(0).normal(size=(80, 2))
    places[:5] = np.nan
    five = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2"]
    colours = {name: five[: len(column.categories)] for name, column in mains.items()}
    write_explored(
        tmp_path / "explore.h5ad",
        open_dataset(tmp_path / "dataset.h5ad"),
        model,
        obs,
        places={1: places},
        colours=colours | {"lineage": ["#E69F00", "#56B4E9"]},
        words={"drawn": "75 cells", "l2": "with a single program all cells are alike"},
    )
    assert rule("plot_umap.py", outputs=UMAP, columns=["lineage"], first=1) == ""
    files = [tmp_path / name for name in UMAP["umap"]]
    assert all(file.stat().st_size > 1000 for file in files)
