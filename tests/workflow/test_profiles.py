"""The profiles: what they set, and the example for other schedulers on one that pretends."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from harness import ROOT, SMALL, Workflow, copy_workflow, stub_scripts

PROFILES = ROOT / "profiles"

# Runs the job at once; its id is that of its accounts, a file with the exit status.
QSUB = """\
#!/usr/bin/env bash
for script; do :; done
id=$(ls "{folder}" | wc -l)
echo "$*" > "{folder}/$id.asked"
status=0; bash "$script" > "{folder}/$id.out" 2>&1 || status=$?
echo "failed       0 " > "{folder}/$id.account"
echo "exit_status  $status " >> "{folder}/$id.account"
echo "$id"
"""
QSTAT = "#!/bin/sh\nexit 1\n"
QACCT = '#!/bin/sh\ncat "{folder}/$2.account"\n'
BSUB = QSUB.replace('echo "$id"', 'echo "Job <$id> is submitted to default queue <normal>."')
BJOBS = """\
#!/bin/sh
for id; do :; done
grep -q "exit_status  0" "{folder}/$id.account" && echo DONE || echo EXIT
"""

FITS = {**SMALL, "samples": {"mine": {"input": "mine.h5ad"}}}
FINAL = "results/mine/main/layer2.h5nnmf"


@pytest.mark.parametrize(
    "path", sorted(PROFILES.glob("*/config.yaml")), ids=lambda p: p.parent.name
)
def test_profile_is_yaml_with_a_comment_for_the_user(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# For") or text.startswith("# An example")
    assert isinstance(yaml.safe_load(text), dict)


def test_default_profile_is_loaded_by_itself(done: Workflow):
    result = done.run("--forceall", "--dry-run", config={**SMALL, "device": "cuda"})
    assert "profiles/default" in result.text
    assert "gpu" in yaml.safe_load((PROFILES / "default/config.yaml").read_text())["resources"]


def test_fits_on_one_gpu_take_turns(tmp_path: Path):
    """Two fits that ask for a GPU do not run side by side where the profile says there is one."""
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    (source / "workflow/scripts/train_layer.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "begin = time.time()\ntime.sleep(1)\n"
        "Path(snakemake.output[0]).write_text(f'{begin} {time.time()}')\n"
    )
    # The device is not there, which is not what this test is about.
    check = source / "workflow/lib/nmf_workflow/devices.py"
    check.write_text(check.read_text().replace("    if not asked:", "    if asked:"))
    workflow = Workflow(source, tmp_path / "work")
    runs = {"a": {"seed": 1}, "b": {"seed": 2}}
    files = [f"results/tiny/{run}/layer1.h5nnmf" for run in runs]
    config = {**SMALL, "device": "cuda", "runs": runs}
    threads = ["--cores", "4", "--set-threads", "train_layer1=1"]
    workflow.run(*files, *threads, config=config)
    times = sorted(
        tuple(map(float, (workflow.folder / file).read_text().split())) for file in files
    )
    assert times[0][1] <= times[1][0]
    workflow.run(
        *files, *threads, "--forcerun", "train_layer1", "--resources", "gpu=2", config=config
    )
    times = sorted(
        tuple(map(float, (workflow.folder / file).read_text().split())) for file in files
    )
    assert times[0][1] > times[1][0]


def scheduler(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """Programs of a scheduler that runs every job at once, first in PATH."""
    state = folder / "state"
    tools = folder / "tools"
    state.mkdir()
    tools.mkdir()
    for name, text in programs.items():
        (tools / name).write_text(text.replace("{folder}", str(state)))
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return state


@pytest.mark.parametrize("kind", ["sge", "lsf"])
def test_cluster_generic_example(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if kind == "sge":
        state = scheduler(tmp_path, monkeypatch, qsub=QSUB, qstat=QSTAT, qacct=QACCT)
    else:
        state = scheduler(tmp_path, monkeypatch, bsub=BSUB, bjobs=BJOBS)
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    profile = source / "profiles/cluster-generic"
    settings = (profile / "config.yaml").read_text().replace("-sge\n", f"-{kind}\n")
    (profile / "config.yaml").write_text(settings)
    workflow = Workflow(source, tmp_path / "work")
    workflow.folder.mkdir()
    (workflow.folder / "mine.h5ad").write_text("counts")
    quick = ["--seconds-between-status-checks", "1", "--latency-wait", "5"]
    arguments = [FINAL, "--workflow-profile", profile, *quick]
    workflow.run(*arguments, config={**FITS, "device": ["cuda", "cpu"]})
    assert (workflow.folder / FINAL).exists()
    asked = [path.read_text() for path in sorted(state.glob("*.asked"))]
    assert len(asked) == 3  # the data set and two layers
    first = next(line for line in asked if "train_layer1" in line)
    second = next(line for line in asked if "train_layer2" in line)
    if kind == "sge":
        assert "-pe smp 8" in first
        assert "h_vmem=751M" in first  # 6,001 MB in 8 slots
        assert "-l gpu=1" in first
        assert "gpu=" not in second
    else:
        assert "-n 8" in first
        assert "-M 6001" in first
        assert "-gpu num=1" in first
        assert "-gpu" not in second


def test_cluster_generic_notices_a_failed_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scheduler(tmp_path, monkeypatch, qsub=QSUB, qstat=QSTAT, qacct=QACCT)
    source = copy_workflow(tmp_path / "source")
    stub_scripts(source)
    (source / "workflow/scripts/train_layer.py").write_text("raise SystemExit(1)\n")
    workflow = Workflow(source, tmp_path / "work")
    workflow.folder.mkdir()
    (workflow.folder / "mine.h5ad").write_text("counts")
    arguments = [FINAL, "--workflow-profile", source / "profiles/cluster-generic"]
    arguments += ["--seconds-between-status-checks", "1", "--latency-wait", "5", "--retries", "0"]
    result = workflow.run(*arguments, config=FITS, check=False)
    assert result.status == 1
    assert "train_layer1" in result.text
    assert (workflow.folder / "results/mine/dataset.h5ad").exists()


def test_job_needs_reads_what_snakemake_writes(tmp_path: Path):
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/sh\n"
        '# properties = {"rule": "train_layer1", "threads": 8, "resources": {"mem_mb": 2000}}\n'
        "true\n"
    )
    program = PROFILES / "cluster-generic/job-needs"

    def need(key: str) -> str:
        done = subprocess.run([program, script, key], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert [need(key) for key in ("rule", "threads", "mem_mb", "gpu")] == [
        "train_layer1",
        "8",
        "2000",
        "0",
    ]
