"""Runs whose layers are chosen by the data, from config to files."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from harness import ROOT, SMALL, Workflow
from neuralNMF.io.model import load_model

AUTO = {**SMALL, "layers": "auto", "sizes": [2, 4]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A run with `layers: auto` and its report, done."""
    workflow = Workflow(ROOT, tmp_path_factory.mktemp("auto") / "work")
    workflow.run("all", "reports", config=AUTO)
    return workflow


@pytest.fixture
def run(finished: Workflow) -> Path:
    return finished.folder / "results/tiny/main"


def chosen(run: Path) -> list[int]:
    return json.loads((run / "layers.json").read_text(encoding="utf-8"))["layers"]


def test_every_file_of_every_chosen_layer(run: Path):
    depth = len(chosen(run))
    names = {"layers.json", "sizes.tsv", "programs.tsv", "agreement.tsv", "programs.gmt"}
    names |= {"sizes/2.tsv", "sizes/4.tsv", "report.html"}
    stems = ["sizes", "loss", "tree", "truth", "programs"]
    for layer in range(1, depth + 1):
        names |= {f"layer{layer}.h5nnmf", f"programs_l{layer}.tsv", f"starcat_l{layer}.tsv"}
        stems += [f"theta_l{layer}", f"beta_l{layer}_top", f"dots_l{layer}", f"violins_l{layer}"]
        stems += [f"hierarchy_l{layer}"] if layer > 1 else []
    names |= {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "tsv")}
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert found == names
    assert all((run / name).stat().st_size for name in names)


def test_the_model_says_why_it_has_its_layers(run: Path):
    layers = chosen(run)
    model = load_model(run / f"layer{len(layers)}.h5nnmf")
    reason = json.loads((run / "layers.json").read_text(encoding="utf-8"))["reason"]
    assert model.info["chosen_because"] == reason
    assert reason.startswith("Layer 1: ")
    assert len(model.layers) == len(layers)
    assert all(there <= asked for there, asked in zip(model.layers, layers, strict=True))


def test_the_table_marks_what_was_chosen(run: Path):
    tried = pd.read_csv(run / "sizes.tsv", sep="\t")
    assert {2, 4} <= set(tried.loc[tried["layer"] == 1, "size"])
    assert tried.loc[tried["chosen"], "size"].tolist() == chosen(run)
    # What the choice was made by is what the model has.
    model = load_model(run / f"layer{len(chosen(run))}.h5nnmf")
    assert tried.loc[tried["chosen"], "programs"].tolist() == model.layers


def test_the_report_says_it_too(run: Path):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "The data chose these sizes. Layer 1: " in page
    assert "Sizes of layer 1 that were tried" in page


def test_a_second_run_does_nothing(finished: Workflow):
    assert finished.plan("all", "reports", config=AUTO) == {}


def test_one_more_size_is_the_only_one_tried(finished: Workflow):
    jobs = finished.plan(config={**AUTO, "sizes": [2, 3, 4]})
    assert jobs["try_size"] == jobs["choose_layers"] == 1


def test_lists_plan_their_first_sizes(real: Workflow):
    result = real.run("--dry-run", config={**SMALL, "layers": [[4, 2], [3], [4, 3]]})
    jobs = result.jobs
    assert jobs["try_size"] == 2
    assert jobs["choose_layers"] == jobs["plot_sizes"] == 1
    assert not any(rule.startswith("train") for rule in jobs)  # until the layers are chosen
    for rule in ("rule try_size", "checkpoint choose_layers", "rule plot_sizes"):
        block = result.text.split(f"{rule}:")[1].split("rule ")[0]
        stated = re.search(r"resources: (.*)", block).group(1)
        assert "mem_mb=" in stated
        assert "runtime=" in stated


def test_beside_a_run_with_given_layers(real: Workflow):
    runs = {"mine": {"layers": [4, 2]}, "auto": {"layers": "auto", "sizes": [2, 4]}}
    jobs = real.plan(config={**SMALL, "runs": runs})
    assert jobs["try_size"] == 2
    assert jobs["train_layer1"] == jobs["train_layer2"] == 1
    assert jobs["plot_theta"] == jobs["plot_beta"] == jobs["judge_programs"] == 1


def test_several_processes_try_a_size(tmp_path: Path):
    """What they choose is tested in test_shards.py."""
    simulated = {"cells": 800, "genes": 60, "programs": 4}
    config = {**AUTO, "samples": {"tiny": {"simulate": simulated}}, "sizes": [4], "shards": 2}
    workflow = Workflow(ROOT, tmp_path / "work")
    workflow.run("results/tiny/main/sizes/4.tsv", config=config)
    log = (workflow.folder / "logs/tiny/main/sizes/4.log").read_text()
    assert "2 processes, on this machine, each with a range of the cells" in log
    tried = pd.read_csv(workflow.folder / "results/tiny/main/sizes/4.tsv", sep="\t")
    assert tried.loc[0, ["size", "programs", "status"]].tolist() == [4, 4, "fine"]
