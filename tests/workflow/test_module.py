"""The workflow inside another: its own Snakefile, a module, a project made by snakedeploy."""

import shutil
import subprocess
from pathlib import Path

import pytest
from harness import ROOT, SMALL, Workflow, copy_workflow, stub_scripts

# Another workflow: it names its own targets first, and counts cells in a model of this one.
IMPORTER = """\
configfile: "config.yaml"


rule all:
    input:
        "cells.txt",


module nmf:
    snakefile:
        {snakefile!r}
    config:
        config["nmf"]
    prefix:
        {prefix!r}


use rule * from nmf as nmf_*


rule count:
    input:
        "{prefix}results/tiny/main/layer2.h5nnmf",
    output:
        "cells.txt",
    run:
        import anndata

        Path(output[0]).write_text(str(anndata.read_h5ad(input[0]).n_obs))


rule everything:
    input:
        rules.nmf_all.input,
"""

# What `snakedeploy deploy-workflow` (0.17) writes to workflow/Snakefile.
DEPLOYED = """\
from snakemake.utils import min_version


min_version("6.10.0")


configfile: "config/config.yaml"


module nmf:
    snakefile:
        {snakefile}
    config:
        config


use rule * from nmf
"""


def importer(folder: Path, source: Path, prefix: str = "") -> Workflow:
    """Another workflow, in a folder of its own, that uses this one as a module."""
    workflow = Workflow(folder, folder)
    workflow.configure({"theirs": 1, "nmf": SMALL}, "config.yaml")
    text = IMPORTER.format(snakefile=str(source / "workflow" / "Snakefile"), prefix=prefix)
    (folder / "Snakefile").write_text(text.replace("    prefix:\n        ''\n", ""))
    return workflow


def deployed(folder: Path, source: Path, snakefile: str) -> Workflow:
    """What snakedeploy makes: a Snakefile, and copies of `config` and `profiles`."""
    for name in ("config", "profiles"):
        shutil.copytree(source / name, folder / name)
    (folder / "workflow").mkdir()
    (folder / "workflow" / "Snakefile").write_text(DEPLOYED.format(snakefile=snakefile))
    return Workflow(folder / "workflow", folder)


@pytest.fixture
def on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The workflow as a repository with a tag, reached as if it lay on GitHub."""
    hosted = tmp_path / "hosted"
    repository = copy_workflow(hosted / "someone" / "nmf")
    git = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", "v1"]):
        subprocess.run([*git, *command], cwd=repository, check=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{hosted}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    return 'github("someone/nmf", path="workflow/Snakefile", tag="v1")'


def test_both_snakefiles_plan_the_same(real: Workflow):
    door = Workflow(ROOT / "workflow", real.folder)
    own, theirs = real.plan(), door.plan()
    assert theirs.pop("default") == 1
    assert theirs == own


def test_the_door_runs_from_the_checkout_without_arguments(real: Workflow):
    text = Workflow(ROOT / "workflow", real.folder).run("--lint").text
    assert "good condition" in text


def test_a_module_s_rules_are_the_workflow_s(real: Workflow):
    ours = real.plan(config=SMALL)
    theirs = importer(real.folder, ROOT).plan("everything")
    assert {rule for rule in theirs if not rule.startswith("nmf_")} == {"everything"}
    jobs = {rule.removeprefix("nmf_"): number for rule, number in theirs.items()}
    assert {key: jobs[key] for key in ours} == ours


def test_a_module_leaves_the_other_workflow_its_targets(real: Workflow):
    jobs = importer(real.folder, ROOT).plan()
    assert jobs["count"] == jobs["nmf_train_layer2"] == 1
    assert "nmf_plot_beta" not in jobs


def test_a_module_needs_samples_of_the_other_workflow(real: Workflow):
    workflow = importer(real.folder, ROOT)
    workflow.configure({"nmf": {"layers": [4, 2]}}, "config.yaml")
    result = workflow.run("--dry-run", check=False)
    assert result.status != 0
    assert "samples" in result.text
    assert "Traceback" not in result.text


def test_a_module_runs(tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    workflow = importer(tmp_path / "theirs", ROOT, "factors/")
    workflow.run()
    assert (workflow.folder / "cells.txt").read_text() == "60"
    assert (workflow.folder / "factors/results/tiny/main/layer2.h5nnmf").is_file()
    assert there(workflow.folder) == {"Snakefile", "config.yaml", "cells.txt", "factors"}


def test_without_a_prefix_files_lie_where_those_of_the_workflow_do(tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    workflow = importer(tmp_path / "theirs", ROOT)
    workflow.run("results/tiny/dataset.h5ad")
    assert there(workflow.folder) == {"Snakefile", "config.yaml", "data", "results", "logs"}


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_inputs_of_a_module_with_a_prefix_have_absolute_paths(tmp_path: Path):
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    (tmp_path / "theirs").mkdir()
    workflow = importer(tmp_path / "theirs", source, "factors/")
    counts = tmp_path / "counts.h5"
    counts.touch()
    own = {**SMALL, "samples": {"tiny": {"input": str(counts)}}}
    workflow.configure({"nmf": own}, "config.yaml")
    workflow.run("factors/results/tiny/dataset.h5ad")
    assert str(counts) in (workflow.folder / "factors/results/tiny/dataset.h5ad").read_text()


def test_a_deployed_project_runs_the_example(tmp_path: Path, real: Workflow):
    (tmp_path / "project").mkdir()
    project = deployed(tmp_path / "project", ROOT, repr(str(ROOT / "workflow" / "Snakefile")))
    assert not (project.folder / "config" / "config.yaml").is_symlink()
    jobs = project.plan()
    assert jobs.pop("default") == 1
    assert jobs == real.plan()


def test_a_project_deployed_from_github_runs(tmp_path: Path, on_github: str):
    (tmp_path / "project").mkdir()
    project = deployed(tmp_path / "project", ROOT, on_github)
    project.configure(SMALL, "config/config.yaml")
    dataset = "results/tiny/dataset.h5ad"
    project.run(dataset)
    assert (project.folder / dataset).is_file()
    # What was unpacked stays for the jobs and for the next run.
    unpacked = list(tmp_path.glob(".cache/snakemake/**/neuralnmf-workflow/*"))
    assert [path for path in unpacked if (path / "config.yaml").is_file()] == unpacked
    assert len(unpacked) == 1
