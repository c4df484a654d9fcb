"""A changed config reruns what depends on the change, and nothing else."""

import copy
from pathlib import Path

import pytest
from harness import SMALL, Workflow


def changed(**keys) -> dict:
    return {**copy.deepcopy(SMALL), **keys}


ALL_PLOTS = {"plot_theta": 1, "plot_beta": 1, "judge_programs": 1}


def test_everything_runs_once(stubbed: Workflow, done: Workflow):
    assert stubbed.plan(config=SMALL) == {
        "simulate": 1,
        "write_h5": 1,
        "create_dataset": 1,
        "count_cells": 1,
        "train_layer1": 1,
        "train_layer2": 1,
        **ALL_PLOTS,
    }
    assert done.run(config=SMALL).jobs == {}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        pytest.param({"plots": {"top_n": 5}}, {"plot_beta": 1}, id="top_n"),
        pytest.param({"plots": {"max_thresh": 9}}, {"plot_beta": 1}, id="max_thresh"),
        pytest.param({"plots": {"max_cells": 50}}, {"plot_theta": 1}, id="max_cells"),
        pytest.param({"epochs": [5, 7]}, {"train_layer2": 1, **ALL_PLOTS}, id="epochs of layer 2"),
        pytest.param({"joint": False}, {"train_layer2": 1, **ALL_PLOTS}, id="joint"),
        pytest.param({"seed": 1}, {"train_layer1": 1, "train_layer2": 1, **ALL_PLOTS}, id="seed"),
        pytest.param({"layers": [4]}, ALL_PLOTS, id="less"),
        pytest.param(
            {"layers": [4, 2, 1]},
            {"train_layer3": 1, **ALL_PLOTS},
            id="third layer",
        ),
        pytest.param(
            {"runs": {"main": {}, "again": {"seed": 1}}},
            {"train_layer1": 1, "train_layer2": 1, **ALL_PLOTS},
            id="second run",
        ),
        # Where it is computed does not change the result.
        pytest.param(
            {"device": "auto", "data_mem_size": 10, "checkpoint_minutes": 0}, {}, id="device"
        ),
        # Spelled differently, but the same.
        pytest.param({"epochs": [5, 5], "lr": "auto", "runs": None}, {}, id="nothing"),
    ],
)
def test_only_what_changed(done: Workflow, change: dict, jobs: dict):
    assert done.plan(config=changed(**change)) == jobs


def test_other_labels_draw_and_judge_but_do_not_fit(stubbed: Workflow):
    (stubbed.folder / "mine.h5ad").write_text("counts")
    config = changed(samples={"mine": {"input": "mine.h5ad"}})
    stubbed.run(config=config)
    config["samples"]["mine"]["labels"] = "celltype"
    seen = {"count_cells": 1, "judge_programs": 1, "plot_theta": 1, "embed": 1, "plot_umap": 1}
    assert stubbed.plan(config=config) == seen
    stubbed.run(config=config)
    config["samples"]["mine"]["coarse_labels"] = "lineage"
    assert stubbed.plan(config=config) == seen
    config["samples"]["mine"] |= {"labels": "lineage", "coarse_labels": "celltype"}
    assert stubbed.plan(config=config) == seen
    # Both at once: neither hides the other.
    both = stubbed.plan(config={**config, "epochs": 6})
    assert both == {"train_layer1": 1, "train_layer2": 1, **seen, **ALL_PLOTS}


def test_values_swapped_between_keys(done: Workflow):
    """Snakemake compares a rule's params without their names."""
    swapped = changed(samples={"tiny": {"simulate": {"cells": 80, "genes": 60, "programs": 3}}})
    assert done.plan(config=swapped)["simulate"] == 1
    swapped = changed(plots={"top_n": 50, "max_thresh": 10})
    assert done.plan(config=swapped) == {"plot_beta": 1}


def test_gene_sets_judge_and_do_nothing_else(stubbed: Workflow):
    sets = stubbed.folder / "sets.gmt"
    sets.parent.mkdir(exist_ok=True)
    sets.write_text("x\t\tA\n")
    stubbed.run(config=SMALL)
    config = changed(gene_sets="sets.gmt")
    assert stubbed.plan(config=config) == {"judge_programs": 1}
    stubbed.run(config=config)
    sets.write_text("x\t\tB\n")
    assert stubbed.plan(config=config) == {"judge_programs": 1}


def test_changed_input_reruns(stubbed: Workflow):
    folder = stubbed.folder / "mtx"
    folder.mkdir()
    for name in ("matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz", "notes.txt"):
        (folder / name).write_text("first")
    genes = stubbed.folder / "genes.txt"
    genes.write_text("a\n")
    config = changed(samples={"mine": {"input": "mtx", "dataset": {"exclude": "genes.txt"}}})
    stubbed.run(config=config)
    (folder / "notes.txt").write_text("second")
    assert stubbed.plan(config=config) == {}
    (folder / "matrix.mtx.gz").write_text("second")
    assert stubbed.plan(config=config)["create_dataset"] == 1
    stubbed.run(config=config)
    genes.write_text("b\n")
    assert stubbed.plan(config=config)["create_dataset"] == 1


def test_changed_names_beside_a_matrix_rerun(stubbed: Workflow):
    """The path of a matrix stands for its tables too, but not for those of other donors."""
    for donor in ("GSM1", "GSM2"):
        for part in ("matrix.mtx", "barcodes.tsv", "genes.tsv"):
            (stubbed.folder / f"{donor}_{part}").write_text("first")
    config = changed(samples={"mine": {"input": "GSM1_matrix.mtx"}})
    stubbed.run(config=config)
    (stubbed.folder / "GSM2_genes.tsv").write_text("second")
    assert stubbed.plan(config=config) == {}
    (stubbed.folder / "GSM1_genes.tsv").write_text("second")
    assert stubbed.plan(config=config)["create_dataset"] == 1


def test_new_version_of_the_library_reruns(stubbed: Workflow):
    stubbed.run(config=SMALL)
    package = stubbed.source / "workflow" / "lib" / "neuralNMF" / "__init__.py"
    text = package.read_text(encoding="utf-8")
    package.write_text(text.replace('__version__ = "', '__version__ = "9.'), encoding="utf-8")
    assert stubbed.plan(config=SMALL).keys() >= {"create_dataset", "train_layer1", "train_layer2"}


def test_a_config_of_ones_own_does_not_mix_in_the_example(stubbed: Workflow):
    assert "sim" not in samples_of(stubbed.run("--dry-run", config=SMALL).text)
    # Without samples it changes the example.
    assert "sim" in samples_of(stubbed.run("--dry-run", config={"layers": [4, 2]}).text)


def samples_of(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if "sample=" in line]
    return {line.split("sample=")[1].split(",")[0] for line in lines}


def test_a_second_config_file_adds_to_the_first(done: Workflow):
    first = done.configure(SMALL, "first.yaml")
    second = done.configure({"runs": {"main": {}, "deep": {"layers": [4, 3, 2]}}}, "second.yaml")
    assert done.plan("--configfile", first, second) == {
        "train_layer1": 1,
        "train_layer2": 1,
        "train_layer3": 1,
        **ALL_PLOTS,
    }


def test_one_picture_may_be_asked_for(done: Workflow):
    folder = "results/tiny/main"
    assert done.plan(f"{folder}/theta_l1.png", "--force", config=SMALL) == {"plot_theta": 1}
    assert done.plan(f"{folder}/loss.pdf", "--force", config=SMALL) == {"plot_beta": 1}
    assert "theta_l3" in done.run(f"{folder}/theta_l3.png", config=SMALL, check=False).text


def test_keys_on_the_command_line(stubbed: Workflow):
    jobs = stubbed.plan("--config", "layers=[6,4,2]")
    assert jobs["train_layer3"] == 1


def test_each_layer_gets_its_own_values_only(done: Workflow):
    results = done.folder / "results" / "tiny" / "main"
    first = Path(results / "layer1.h5nnmf").read_text()
    assert "'rank': 4" in first
    assert "'joint'" not in first
    second = Path(results / "layer2.h5nnmf").read_text()
    assert "'rank': 2" in second
    assert "layer1.h5nnmf" in second
