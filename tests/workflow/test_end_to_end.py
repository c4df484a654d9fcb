"""The real scripts on small data, from config to files."""

import json
import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from harness import ROOT, SMALL, Workflow
from helpers import make_adata
from nmf_workflow.shown import kind_of


def write_counts(path: Path, cells: int = 40, genes: int = 60) -> None:
    """A small .h5ad with labels, as a user has it."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (cells, genes))
    celltype = rng.permutation(np.resize(["B", "T"], cells))
    make_adata(counts, celltype=celltype).write_h5ad(path)


def files(folder: Path) -> set[str]:
    """All files below a folder, Snakemake's own left out."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.parts[0] != ".snakemake"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A simulated and a user's own sample, done."""
    workflow = Workflow(ROOT, tmp_path_factory.mktemp("end") / "work")
    workflow.folder.mkdir()
    write_counts(workflow.folder / "mine.h5ad")
    genes = "\t".join(f"gene{number}" for number in range(40))
    (workflow.folder / "sets.gmt").write_text(f"most\tof the genes\t{genes}\n")
    own = {"input": "mine.h5ad", "labels": "celltype", "gene_sets": "sets.gmt"}
    config = {**SMALL, "samples": {**SMALL["samples"], "own": own}}
    workflow.run(config=config)
    assert workflow.plan(config=config) == {}
    return workflow


def test_every_file_that_the_readme_names(finished: Workflow):
    names = {"layer1.h5nnmf", "layer2.h5nnmf", "programs_l1.tsv", "programs_l2.tsv"}
    names |= {"programs.gmt", "starcat_l1.tsv", "starcat_l2.tsv"}
    stems = ["loss", "tree", "hierarchy_l2"]
    for layer in (1, 2):
        stems += [f"theta_l{layer}", f"violins_l{layer}", f"beta_l{layer}_top", f"dots_l{layer}"]
    names |= {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "tsv")}
    names |= {"programs.png", "programs.pdf"}
    umaps = [f"umap_l{layer}{kind}" for layer in (1, 2) for kind in ("", "_programs")]
    plane = {f"{stem}.{kind}" for stem in umaps for kind in ("png", "pdf")}
    alone = {
        "tiny": {"truth.png", "truth.pdf", "truth.tsv"},
        "own": {"gene_sets.tsv", "explore.h5ad", "umap.tsv"} | plane,
    }
    expected = {"data/tiny.npz", "data/tiny.h5"}
    for sample in ("tiny", "own"):
        tables = ("dataset.h5ad", "genes.tsv", "cells.tsv")
        expected |= {f"results/{sample}/{name}" for name in tables}
        judged = {"programs.tsv", "agreement.tsv"} | alone[sample]
        expected |= {f"results/{sample}/main/{name}" for name in names | judged}
    found = {name for name in files(finished.folder) if name.startswith(("results/", "data/"))}
    assert found == expected
    assert all((finished.folder / name).stat().st_size for name in found)


def test_snakemake_s_report_shows_what_people_look_at(finished: Workflow):
    """Every picture and table of `KINDS` with its caption, its category and its labels."""
    finished.run("--report", "all.html", "--configfile", finished.folder / "mine.yaml")
    page = (finished.folder / "all.html").read_text(encoding="utf-8")
    results, categories = (
        json.loads(re.search(rf'id="{name}">\s*var {name} = (.*?);\s*</script>', page, re.S)[1])
        for name in ("results", "categories")
    )
    told = {name: kind for name in files(finished.folder) if (kind := kind_of(name)) is not None}
    assert set(results) == set(told)
    assert len(told) == 42
    for path, each in results.items():
        kind, (sample, run) = told[path], path.split("/")[1:3]
        part = sample if kind.category == "Data" else f"{sample}, {run}"
        assert path in categories[kind.category][part]
        assert each["labels"]["what"] == kind.title
        assert each["caption"].startswith("<p>") and len(each["caption"]) > 60
    assert results["results/own/main/umap_l2_programs.png"]["labels"]["layer"] == "2"
    assert set(categories) == {"Programs", "Cells", "Genes", "Quality", "Data"}


def test_model_reads_with_anndata_alone(finished: Workflow):
    model = anndata.read_h5ad(finished.folder / "results/own/main/layer2.h5nnmf")
    assert model.obsm["X_theta_l1"].shape == (40, 4)
    assert model.obsm["X_theta_l2"].shape == (40, 2)
    assert model.varm["beta_l2"].shape == (60, 2)
    assert set(model.obs["celltype"]) == {"B", "T"}
    np.testing.assert_allclose(np.asarray(model.varm["beta_l2"]).sum(axis=0), 1, rtol=1e-5)


def test_labels_are_counted(finished: Workflow):
    table = pd.read_csv(finished.folder / "results/own/cells.tsv", sep="\t")
    assert table["cells"].sum() == 40
    assert set(table["label"]) == {"B", "T"}
    assert "label" not in pd.read_csv(finished.folder / "results/tiny/cells.tsv", sep="\t")


def test_programs_are_judged(finished: Workflow):
    own, tiny = (
        pd.read_csv(finished.folder / f"results/{sample}/main/programs.tsv", sep="\t")
        for sample in ("own", "tiny")
    )
    assert list(own["layer"]) == list(tiny["layer"]) == [1] * 4 + [2] * 2
    assert list(own["program"][:4]) == ["P1", "P2", "P3", "P4"]
    assert set(own["label"]) <= {"B", "T"} and "label" not in tiny
    assert "gene_set" in own and "gene_set" not in tiny
    assert own["believe"].str.match("yes|no: |with care: ").all()
    assert list(own.columns[-2:]) == list(tiny.columns[-2:]) == ["flags", "believe"]
    # The genes that mark the programs in the pictures, and as many programs.
    genes = pd.read_csv(finished.folder / "results/own/main/programs_l1.tsv", sep="\t")
    first = genes.loc[genes["program"] == "P1", "symbol"]
    assert own["markers"][0] == ", ".join(first)


def test_layers_agree_with_labels_and_with_the_truth(finished: Workflow):
    own, tiny = (
        pd.read_csv(finished.folder / f"results/{sample}/main/agreement.tsv", sep="\t")
        for sample in ("own", "tiny")
    )
    assert list(own["programs"]) == list(tiny["programs"]) == [4, 2]
    assert set(own["label_cells"]) == {40}
    assert own["label_knn_accuracy"].between(0, 1).all() and "cosine_mean" not in own
    assert set(tiny["true_programs"]) == {3} and "label_cells" not in tiny
    assert tiny["cosine_mean"][0] > 0.9 and tiny["usage_correlation_mean"][0] > 0.9


def test_every_rule_has_its_own_log_and_benchmark(finished: Workflow):
    logs = {name for name in files(finished.folder) if name.startswith("logs/")}
    assert "logs/own/main/train_layer2.log" in logs
    assert "logs/tiny/simulate.benchmark.tsv" in logs
    text = (finished.folder / "logs/own/main/train_layer2.log").read_text()
    assert "on cpu with" in text
    # The log of one sample does not hold another's lines.
    assert "40 cells x 60 genes" in text
    assert "60 cells x 80 genes" not in text


def test_default_normalization_is_that_of_the_kind_of_sample(finished: Workflow):
    assert '"normalize": "library"' in options(finished, "own")
    assert '"normalize": "counts"' in options(finished, "tiny")


def options(finished: Workflow, sample: str) -> str:
    model = anndata.read_h5ad(finished.folder / f"results/{sample}/main/layer2.h5nnmf")
    return str(model.uns["neuralNMF"]["options"])


def test_wrong_input_ends_in_one_sentence(real: Workflow):
    write_counts(real.folder / "mine.h5ad")
    (real.folder / "broken.h5ad").write_text("not HDF5")
    samples = {
        "label": {"input": "mine.h5ad", "labels": "no_such"},
        "broken": {"input": "broken.h5ad"},
        "small": {"input": "mine.h5ad"},
    }
    config = {**SMALL, "samples": samples, "runs": {"main": {"layers": [50, 2]}}}
    result = real.run("--keep-going", config=config, check=False)
    assert result.status == 1
    assert "Traceback" not in result.text
    for log, word in (
        ("logs/label/count_cells.log", "no_such"),
        ("logs/broken/create_dataset.log", "broken.h5ad"),
        ("logs/small/main/train_layer1.log", "50"),
    ):
        lines = (real.folder / log).read_text().splitlines()
        errors = [line for line in lines if " ERROR " in line]
        assert len(errors) == 1, (log, lines)
        assert word in errors[0]
        assert lines[-1] == errors[0]
        assert errors[0] in result.text
    left = files(real.folder)
    assert not any("layer1" in name for name in left if name.startswith("results"))
    assert not any(name.startswith("results/broken") for name in left)
    assert "results/label/cells.tsv" not in left


def test_a_device_that_is_not_there_stops_before_any_work(real: Workflow):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = real.run(config={**SMALL, "device": ["cpu", "cuda"]}, check=False)
    assert result.status == 1
    assert "Nothing was started: device is 'cuda'" in result.text
    assert "Traceback" not in result.text
    assert files(real.folder) == {"mine.yaml"}
    # What needs no fit does not need the device either; and nothing is left locked.
    assert real.run("data/tiny.npz", config={**SMALL, "device": "cuda"}).status == 0


def test_a_config_that_is_wrong_stops_before_any_work(real: Workflow):
    result = real.run(config={**SMALL, "epoch": 3}, check=False)
    assert result.status == 1
    assert 'there is no key "epoch"; did you mean "epochs"?' in result.text
    assert "Traceback" not in result.text
    assert "line" not in result.text.split("The config cannot be used")[1]
    assert files(real.folder) == {"mine.yaml"}
