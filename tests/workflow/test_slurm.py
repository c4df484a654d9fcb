"""The shipped Slurm profile on a real Slurm of one node."""

import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slurm_cluster
from harness import ROOT, SMALL, Workflow, copy_workflow, stub_scripts
from neuralNMF.io.model import load_model
from slurm_cluster import Slurm, SlurmError

pytestmark = pytest.mark.slurm

# Nothing of the profile is overridden but partition, account and polling: this Slurm has no
# accounting database, which the plugin asks on real clusters.
OVERRIDES = [
    *("--workflow-profile", "slurm"),
    *("--default-resources", "slurm_partition=testing", "slurm_account=none"),
    "slurm_extra='--signal=USR1@180'",
    *("--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "2"),
    *("--seconds-between-status-checks", "2"),
]

# Stands for a fit that needs more memory than the first attempt gets.
HUNGRY = """\
import time
from pathlib import Path

held = b"1" * 2_600_000_000
time.sleep(6)
Path(snakemake.output[0]).write_text(f"{snakemake.resources.mem_mb}")
"""

# Stands for a long fit, once; it starts the second time as if it were short.
LONG = """\
import time
from pathlib import Path

started = Path("started")
if not started.exists():
    started.touch()
    time.sleep(300)
Path(snakemake.output[0]).write_text("done")
"""

# Stands for a fit that is warned, once, keeps its state and ends; the second time it goes on.
WARNED = """\
import time
from pathlib import Path
from nmf_workflow.script import run, told_to_stop

def main(snakemake):
    begun = Path("begun")
    if begun.exists():
        Path(snakemake.output[0]).write_text("went on")
        return
    with told_to_stop("SIGUSR1"):
        begun.touch()
        try:
            time.sleep(300)
        except BaseException as stopped:
            Path("told").write_text(str(stopped))
            raise

run(main, snakemake)
"""

# Says which job it was.
WHICH = """\
import os
from pathlib import Path

names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
Path(snakemake.output[0]).write_text(" ".join(os.environ.get(name, "-") for name in names))
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    missing = slurm_cluster.missing_programs()
    if missing and not os.environ.get("CI"):
        pytest.skip(
            f"no Slurm here ({', '.join(missing)} missing); "
            f"as root on Debian: apt-get install {slurm_cluster.PACKAGES}"
        )
    assert not missing, f"CI needs Slurm, but there is no {', '.join(missing)}"
    try:
        cluster = slurm_cluster.start()
    except SlurmError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Slurm does not start here: {str(error).splitlines()[0]}")
    yield cluster
    cluster.stop()


@pytest.fixture
def submit(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that send the jobs to the cluster."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    return [*OVERRIDES, "--slurm-logdir", str(slurm.folder / "logs")]


@pytest.fixture
def prepared(slurm: Slurm, tmp_path) -> Workflow:
    """A stubbed workflow whose data set is there: what is left are the fits."""
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    workflow = Workflow(source, tmp_path / "work")
    workflow.folder.mkdir()
    (workflow.folder / "mine.h5ad").write_text("counts")
    workflow.run("results/mine/dataset.h5ad", config=FITS)
    return workflow


FITS = {**SMALL, "samples": {"mine": {"input": "mine.h5ad"}}, "layers": [4]}
FIRST = "results/mine/main/layer1.h5nnmf"


def script(workflow: Workflow, text: str) -> None:
    """Put another script in the place of the fit, as if it had always been there."""
    (workflow.source / "workflow/scripts/train_layer.py").write_text(text, encoding="utf-8")


def model_of(workflow: Workflow, *arguments: str, config: dict) -> Path:
    """The model of a run's last layer, fitted anew to the data set that is there; put aside."""
    run = workflow.folder / "results/tiny/main"
    final = f"layer{len(config['layers'])}.h5nnmf"
    for path in run.glob("layer*.h5nnmf"):
        path.unlink()
    workflow.run(f"results/tiny/main/{final}", *arguments, config=config)
    aside = run / "aside" / f"{uuid.uuid4()}.h5nnmf"
    aside.parent.mkdir(exist_ok=True)
    return (run / final).rename(aside)


def test_the_same_results_as_on_one_machine(real: Workflow, submit: list[str]):
    final = "results/tiny/main/layer2.h5nnmf"
    result = real.run(final, *submit, config=SMALL)
    jobs = {}
    for layer in (1, 2):
        log = real.folder / f"logs/tiny/main/train_layer{layer}.log"
        jobs[layer] = re.search(r"cluster job (\d+)", log.read_text()).group(1)
        assert f"submitted with SLURM jobid {jobs[layer]}" in result.text
    assert jobs[1] != jobs[2]

    ours = load_model(real.folder / final)
    theirs = load_model(model_of(real, config=SMALL))
    assert "cluster job" not in (real.folder / "logs/tiny/main/train_layer2.log").read_text()
    for submitted, plain in zip(
        [*ours.thetas, *ours.betas], [*theirs.thetas, *theirs.betas], strict=True
    ):
        # Sums in another order where the number of threads differs.
        np.testing.assert_allclose(submitted, plain, rtol=2e-3, atol=1e-4 * plain.max())


def test_one_job_of_two_tasks_fits_one_model(real: Workflow, submit: list[str], slurm: Slurm):
    """Warned that its time is over, tried again, it ends with the bytes of two local processes.

    And with the numbers of a single one.
    """
    simulated = {"cells": 800, "genes": 60, "programs": 6}
    config = {**SMALL, "samples": {"tiny": {"simulate": simulated}}, "layers": [4], "shards": 2}
    config |= {"optimizer": "adam", "epochs": 1000, "patience": 1000, "tol": 0.0}
    # A thousand steps of Adam carry roundings of single precision on.
    config |= {"precision": "float64"}
    final = "results/tiny/main/layer1.h5nnmf"
    one = ("--set-threads", "train_layer1=1")
    log = real.folder / "logs/tiny/main/train_layer1.log"
    real.run("results/tiny/dataset.h5ad", config=config)
    done: list = []
    worker = threading.Thread(
        target=lambda: done.append(real.run(final, *submit, *one, config=config))
    )
    worker.start()
    end = time.monotonic() + 240
    while not (log.exists() and "epoch 10:" in log.read_text()):
        assert time.monotonic() < end and worker.is_alive(), "the job did not start"
        time.sleep(0.1)
    (running,) = slurm.call("squeue", "-h", "-t", "R", "-o", "%A").split()
    slurm.call("scancel", "--signal=USR1", running)
    worker.join(240)
    (result,) = done
    assert "Trying to restart" in result.text
    text = log.read_text()
    assert "2 processes, the tasks of" in text and "goes on after epoch" in text
    ours, by_slurm = load_model(real.folder / final), (real.folder / final).read_bytes()
    local = model_of(real, *one, "--cores", "2", config=config)
    assert "on this machine" in log.read_text()
    assert local.read_bytes() == by_slurm
    theirs = load_model(model_of(real, *one, config={**config, "shards": 1}))
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=1e-6)
    for two, alone in zip(ours.betas, theirs.betas, strict=True):
        np.testing.assert_allclose(two, alone, rtol=0, atol=1e-5 * alone.max())


def test_a_job_killed_for_its_memory_gets_more(prepared: Workflow, submit: list[str]):
    script(prepared, HUNGRY)
    result = prepared.run(FIRST, *submit, config=FITS)
    asked = int((prepared.folder / FIRST).read_text())
    first = int(re.search(r"mem_mb=(\d+)", result.text).group(1))
    assert asked == 2 * first
    assert "Trying to restart" in result.text


def test_a_cancelled_job_is_said_and_a_rerun_goes_on_from_there(
    prepared: Workflow, submit: list[str], slurm: Slurm
):
    script(prepared, LONG)
    # Without retries; with them the cancelled job would simply be submitted again.
    command = [*submit, "--retries", "0"]
    done: list = []
    worker = threading.Thread(
        target=lambda: done.append(prepared.run(FIRST, *command, config=FITS, check=False))
    )
    worker.start()
    end = time.monotonic() + 120
    while not (prepared.folder / "started").exists():
        assert time.monotonic() < end, "the job did not start"
        time.sleep(0.5)
    running = slurm.call("squeue", "-h", "-t", "R", "-o", "%A").split()
    assert len(running) == 1
    slurm.call("scancel", running[0])
    worker.join(120)
    (result,) = done
    assert result.status == 1
    assert "Traceback" not in result.text
    assert re.search(rf"{running[0]}.*failed.*CANCELLED", result.text.replace("\n", " "))
    assert "train_layer1" in result.text
    assert not (prepared.folder / FIRST).exists()
    again = prepared.run(FIRST, *submit, config=FITS)
    assert again.jobs == {"train_layer1": 1}
    assert (prepared.folder / FIRST).read_text() == "done"


def test_a_fit_that_is_warned_ends_and_is_tried_again(
    prepared: Workflow, submit: list[str], slurm: Slurm
):
    script(prepared, WARNED)
    done: list = []
    worker = threading.Thread(target=lambda: done.append(prepared.run(FIRST, *submit, config=FITS)))
    worker.start()
    end = time.monotonic() + 120
    while not (prepared.folder / "begun").exists():
        assert time.monotonic() < end, "the job did not start"
        time.sleep(0.5)
    (running,) = slurm.call("squeue", "-h", "-t", "R", "-o", "%A").split()
    # As Slurm does by the profile's --signal: to all processes of the job's steps.
    slurm.call("scancel", "--signal=USR1", running)
    worker.join(120)
    (result,) = done
    assert (prepared.folder / "told").read_text() == "SIGUSR1"
    assert "Trying to restart" in result.text
    assert (prepared.folder / FIRST).read_text() == "went on"


def test_the_runs_of_a_sample_are_one_job_array(prepared: Workflow, submit: list[str]):
    script(prepared, WHICH)
    runs = {f"restart{seed}": {"seed": seed} for seed in range(3)}
    files = [f"results/mine/{run}/layer1.h5nnmf" for run in runs]
    arguments = [*files, *submit, "--slurm-array-jobs", "train_layer1"]
    prepared.run(*arguments, config={**FITS, "runs": runs})
    jobs = [(prepared.folder / file).read_text().split() for file in files]
    assert len({array for array, _ in jobs}) == 1
    assert "-" not in jobs[0]
    assert {task for _, task in jobs} == {"1", "2", "3"}


def test_the_profile_s_own_array_line_names_rules_that_exist(real: Workflow):
    profile = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    named = re.search(r"slurm-array-jobs: (\S+)", profile).group(1).split(",")
    assert set(named) <= set(real.plan())
