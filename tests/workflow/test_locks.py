"""A run that was killed: the next one goes on, and does not touch the locks of one that runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import ROOT, SMALL, Workflow, clean_environment
from neuralNMF.processes import is_alive, own_tag
from nmf_workflow import locks

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".snakemake/locks").mkdir(parents=True)
    return tmp_path


def lock(name: str) -> Path:
    path = Path(".snakemake/locks", name)
    path.write_text("results/sim/dataset.h5ad\n")
    return path


def record_of(tag: str) -> None:
    """The record of this process, as that of another one."""
    (locks.RECORDS / f"{own_tag()}.json").rename(locks.RECORDS / f"{tag}.json")


def dead_tag() -> str:
    machine = own_tag().split("-")[0]
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as process:
        tag = f"{machine}-{process.pid}-12345"
        process.kill()
    return tag


def test_the_locks_of_a_dead_run_go_and_no_others(folder):
    ours = lock("0.input.lock")
    locks.keep_record()
    record_of(dead_tag())
    foreign = lock("0.output.lock")
    locks.unlock_the_dead()
    assert not ours.exists() and foreign.exists()
    assert list(locks.RECORDS.iterdir()) == []


def test_a_later_lock_of_the_same_name_stays(folder):
    lock("0.input.lock").unlink()
    lock("0.input.lock")
    locks.keep_record()
    record_of(dead_tag())
    time.sleep(0.01)
    later = lock("0.input.lock")
    locks.unlock_the_dead()
    assert later.exists()


def test_locks_of_a_run_that_runs_stay_and_are_not_taken_for_another_s(folder):
    first = lock("0.input.lock")
    locks.keep_record()
    locks.unlock_the_dead()
    assert first.exists()
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        start = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        tag = f"{own_tag().split('-')[0]}-{other.pid}-{start}"
        assert is_alive(tag)
        record_of(tag)
        lock("1.input.lock")
        locks.keep_record()
        own = json.loads((locks.RECORDS / f"{own_tag()}.json").read_text())
        assert [name for name, _ in own] == ["1.input.lock"]
        other.kill()
    assert is_alive(tag) is False


def test_a_run_killed_before_it_wrote_its_locks_down(folder):
    before = lock("0.input.lock")
    time.sleep(0.01)
    locks.announce()
    record_of(dead_tag())
    time.sleep(0.01)
    after = lock("0.output.lock")
    # A run beside it that has no locks written down yet: they may be its own.
    locks.announce()
    locks.unlock_the_dead()
    assert after.exists()
    (locks.RECORDS / f"{own_tag()}.json").unlink()
    locks.unlock_the_dead()
    assert before.exists() and not after.exists()
    assert list(locks.RECORDS.iterdir()) == []


def test_locks_that_another_run_has_written_down_are_not_taken_for_the_dead_one_s(folder):
    locks.announce()
    record_of(dead_tag())
    time.sleep(0.01)
    other = lock("0.input.lock")
    locks.keep_record()
    locks.unlock_the_dead()
    assert other.exists()
    assert [path.stem for path in locks.RECORDS.iterdir()] == [own_tag()]


def test_of_another_machine_nobody_knows(folder):
    kept = lock("0.input.lock")
    locks.keep_record()
    record_of("00000000-1-1" if not own_tag().startswith("0000") else "11111111-1-1")
    locks.unlock_the_dead()
    assert kept.exists()


def test_a_record_that_is_damaged_or_a_folder_without_any(folder):
    locks.unlock_the_dead()
    locks.RECORDS.mkdir()
    (locks.RECORDS / f"{dead_tag()}.json").write_text("{")
    half = locks.RECORDS / f"{dead_tag()}.half"
    half.write_text("")
    locks.unlock_the_dead()
    assert not half.exists()


@pytest.mark.slow
def test_the_next_run_goes_on_after_a_kill(tmp_path):
    flow = Workflow(ROOT, tmp_path / "work")
    config = flow.configure(SMALL | {"epochs": 20})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(flow.folder), "--cores", "2", "--configfile", str(config)]
    environment = clean_environment(flow.folder)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as killed:  # fmt: skip
        for _ in range(600):
            time.sleep(0.1)
            if any(flow.folder.glob(".snakemake/locks/*.lock")):
                break
        # Another run beside it is told to wait, in Snakemake's words, and takes no lock away.
        beside = flow.run("--configfile", config, check=False)
        os.killpg(killed.pid, signal.SIGKILL)
    assert beside.status != 0 and "cannot be locked" in beside.text
    assert list(flow.folder.glob(".snakemake/locks/*.lock"))
    flow.run("results/tiny/dataset.h5ad", "--configfile", config)
    assert (flow.folder / "results" / "tiny" / "dataset.h5ad").is_file()
