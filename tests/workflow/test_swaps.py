"""One workflow, many configs and folders."""

import hashlib
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

from harness import SMALL, Workflow, copy_workflow, stub_scripts

FIRST = "results/tiny/main/layer1.h5nnmf"
OTHER = {
    "samples": {"other": {"simulate": {"cells": 50, "genes": 70, "programs": 2, "seed": 4}}},
    "layers": [3],
}


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Checksum and time of every result below a folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file()
    }


def test_three_configs_on_one_folder(stubbed: Workflow):
    """Only what changed runs again; what belongs to the other configs stays."""
    first = stubbed.configure(SMALL, "a.yaml")
    second = stubbed.configure({**SMALL, "layers": [4, 3]}, "b.yaml")
    third = stubbed.configure(OTHER, "c.yaml")
    stubbed.run("--configfile", first)
    begun = contents(stubbed.folder)

    swapped = stubbed.run("--configfile", second)
    assert swapped.jobs == {
        "train_layer2": 1,
        "plot_theta": 1,
        "plot_beta": 1,
        "judge_programs": 1,
    }
    after = contents(stubbed.folder)
    assert {name for name in begun if begun[name] == after[name]} == {
        "results/tiny/dataset.h5ad",
        "results/tiny/genes.tsv",
        "results/tiny/cells.tsv",
        FIRST,
    }

    jobs = stubbed.run("--configfile", third).jobs
    assert jobs["train_layer1"] == 1
    assert jobs["simulate"] == 1
    assert "train_layer2" not in jobs
    last = contents(stubbed.folder)
    assert {name: last[name] for name in after} == after

    # Back to where each was: only the swapped layer again, the others not at all.
    assert stubbed.plan("--configfile", third) == {}
    assert stubbed.plan("--configfile", second) == {}
    assert stubbed.plan("--configfile", first)["train_layer2"] == 1
    assert "train_layer1" not in stubbed.plan("--configfile", first)


def test_runs_with_names_keep_both_results(stubbed: Workflow):
    stubbed.run(FIRST, config=SMALL)
    config = {**SMALL, "runs": {"main": {}, "wide": {"layers": [9, 2]}}}
    jobs = stubbed.plan("results/tiny/wide/layer2.h5nnmf", config=config)
    assert jobs == {"train_layer1": 1, "train_layer2": 1}


def test_the_checkout_is_only_read(stubbed: Workflow):
    """Results elsewhere, and a workflow that nobody may write to, as one that is there for all."""

    def state() -> dict[Path, int]:
        """Python's own caches aside, every file and when it was written."""
        files = [path for path in stubbed.source.rglob("*") if "__pycache__" not in path.parts]
        # A folder's own time is that of its newest entry, which may be a cache.
        return {path: 0 if path.is_dir() else path.stat().st_mtime_ns for path in files}

    paths = [stubbed.source, *sorted(stubbed.source.rglob("*"))]
    before = state()
    for path in reversed(paths):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        elsewhere = Workflow(stubbed.source, stubbed.folder / "far" / "away")
        elsewhere.run(FIRST, config=SMALL)
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)
    # The administrator may write all the same, so permissions alone would not show it.
    assert state() == before
    assert (elsewhere.folder / FIRST).exists()


def test_two_workflows_side_by_side(stubbed: Workflow):
    """The same checkout, two working folders, at the same time."""
    first = Workflow(stubbed.source, stubbed.folder.parent / "one")
    second = Workflow(stubbed.source, stubbed.folder.parent / "two")
    results = {}

    def go(name: str, workflow: Workflow, config: dict) -> None:
        results[name] = workflow.run("--nocolor", config=config, check=False)

    threads = [
        threading.Thread(target=go, args=("one", first, SMALL)),
        threading.Thread(target=go, args=("two", second, OTHER)),
    ]
    for workflow in (first, second):
        workflow.folder.mkdir()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: result.status for name, result in results.items()} == {"one": 0, "two": 0}
    assert (first.folder / "results/tiny/main/layer2.h5nnmf").exists()
    assert (second.folder / "results/other/main/layer1.h5nnmf").exists()
    assert not (first.folder / "results/other").exists()


def test_spaces_and_letters_of_any_language_in_paths(tmp_path: Path):
    """In the checkout's path, the working folder's, the input's, and in names."""
    source = copy_workflow(tmp_path / "mein Arbeitsplatz" / "größe 大")
    stub_scripts(source)
    workflow = Workflow(source, tmp_path / "Ergebnisse für später")
    workflow.folder.mkdir()
    (workflow.folder / "meine Zählung.h5ad").write_text("counts")
    (workflow.folder / "nicht diese.txt").write_text("MALAT1\n", encoding="utf-8")
    samples = {"Blut": {"input": "meine Zählung.h5ad", "dataset": {"exclude": "nicht diese.txt"}}}
    config = {**SMALL, "samples": samples, "runs": {"größer": {}}}
    workflow.run(config=config)
    model = workflow.folder / "results/Blut/größer/layer2.h5nnmf"
    assert model.exists()
    dataset = (workflow.folder / "results/Blut/dataset.h5ad").read_text(encoding="utf-8")
    assert "meine Zählung" in dataset
    assert workflow.plan(config=config) == {}


def test_a_python_in_a_path_with_spaces(stubbed: Workflow, tmp_path: Path):
    """As that of `make run` in a clone in such a path; Snakemake alone cannot run scripts then."""
    folder = tmp_path / "my clone"
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"])
    assert made.returncode == 0
    # The packages of the Python that runs the tests.
    site = next((folder / ".venv").glob("lib/python*/site-packages"))
    (site / "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    stubbed.python = folder / ".venv" / "bin" / "python"
    stubbed.run("data/tiny.npz", config=SMALL)
    assert (stubbed.folder / "data/tiny.npz").exists()
    absent = stubbed.run(FIRST, config={**SMALL, "device": "cuda:99"}, check=False)
    assert "Nothing was started: device is 'cuda:99'" in absent.text


def test_a_relative_input_is_sought_in_the_working_folder(stubbed: Workflow):
    config = {**SMALL, "samples": {"mine": {"input": "data/mine.h5"}}}
    missing = stubbed.run("--dry-run", config=config, check=False)
    assert missing.status == 1
    assert 'there is no file or folder "data/mine.h5"' in missing.text
    assert str(stubbed.folder) in missing.text
    (stubbed.folder / "data").mkdir()
    (stubbed.folder / "data" / "mine.h5").touch()
    assert stubbed.plan(config=config)["create_dataset"] == 1
