"""Every config that comes with the workflow plans the jobs that it promises."""

from pathlib import Path

import pytest
import yaml
from harness import ROOT, SMALL, Workflow

CONFIGS = [ROOT / "config.yaml", *sorted((ROOT / "configs").glob("*.yaml"))]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_config(real: Workflow, path: Path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for sample in config["samples"].values():
        if "input" in sample:
            placeholder = real.folder / sample["input"]
            placeholder.parent.mkdir(parents=True, exist_ok=True)
            placeholder.touch()
    jobs = real.plan("--configfile", path)
    depth = len(config["layers"])
    assert {rule for rule in jobs if rule.startswith("train")} == {
        f"train_layer{number}" for number in range(1, depth + 1)
    }
    assert jobs["create_dataset"] == len(config["samples"])
    runs = len(config.get("runs", ["main"]))
    assert jobs["plot_theta"] == jobs["plot_beta"] == jobs["judge_programs"] == runs


def test_default_config_needs_no_arguments(real: Workflow):
    assert real.plan()["simulate"] == 1


def test_samples_times_runs(real: Workflow):
    (real.folder / "own.h5").touch()
    config = {
        "samples": {"one": {"simulate": {}}, "two": {"simulate": {}}, "own": {"input": "own.h5"}},
        "runs": {"flat": {"layers": [4]}, "deep": {"layers": [4, 3, 2]}},
    }
    jobs = real.plan(config=config)
    assert jobs["simulate"] == jobs["write_h5"] == 2
    assert jobs["create_dataset"] == 3
    assert jobs["train_layer1"] == 6
    assert jobs["train_layer2"] == jobs["train_layer3"] == 3
    # Runs of another depth have other files, so rules of their own.
    assert jobs["plot_theta"] == jobs["plot_theta_1_layers"] == 3
    assert jobs["plot_beta"] == jobs["plot_beta_1_layers"] == 3
    # So have samples with neither labels nor a truth.
    assert jobs["judge_programs"] == 4
    assert jobs["judge_programs_only"] == 2


def test_an_input_is_never_taken_for_an_output(real: Workflow):
    """The user's data/tiny.h5 has the name that a simulated sample's file would have."""
    (real.folder / "data").mkdir()
    (real.folder / "data" / "tiny.h5").touch()
    jobs = real.plan(config={**SMALL, "samples": {"tiny": {"input": "data/tiny.h5"}}})
    assert jobs["create_dataset"] == 1
    assert "simulate" not in jobs
    assert "write_h5" not in jobs


def test_simulated_counts_as_input_of_another_sample(real: Workflow):
    samples = {
        "a": {"simulate": {}},
        "b": {"simulate": {}},
        "ab": {"input": ["data/a.h5", "data/b.h5"]},
    }
    jobs = real.plan("results/ab/dataset.h5ad", config={**SMALL, "samples": samples})
    assert jobs == {"simulate": 2, "write_h5": 2, "create_dataset": 1}


def test_names_of_any_language(real: Workflow):
    config = {**SMALL, "samples": {"Blut_größe-1.2": {"simulate": {}}}, "runs": {"基本": {}}}
    assert real.plan(config=config)["train_layer2"] == 1
