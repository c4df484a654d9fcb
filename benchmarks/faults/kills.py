"""Kills at random moments: the next start goes on without a hand, and ends with the same bytes.

``python -m benchmarks.faults.kills 50``: so many signals, each to a run of a small example that is
then started again; results are compared with those of a run that nobody disturbed.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "samples": {"tiny": {"simulate": {"cells": 300, "genes": 400, "programs": 5}}},
    "layers": [5, 3],
    "epochs": 60,
    "device": "cpu",
}
WAYS = ("KILL all", "KILL snakemake", "KILL a job", "TERM all", "INT all")
# From the simulation to the model of two layers, and a table.
TARGETS = ("results/tiny/main/layer2.h5nnmf", "results/tiny/cells.tsv")
PATIENCE = 900  # seconds of one run


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A run of the small example; what it says goes to a file."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", "--configfile"]
    command += [str(folder / "mine.yaml"), "--", *TARGETS]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )


def strike(run: subprocess.Popen[bytes], way: str, rng: np.random.Generator) -> bool:
    """Send the signal; False where nothing of the kind runs."""
    name, target = way.split(" ", 1)
    number = getattr(signal, f"SIG{name}")
    if target == "all":
        os.killpg(run.pid, number)
    elif target == "snakemake":
        os.kill(run.pid, number)
    else:
        jobs = [
            process
            for process in psutil.Process(run.pid).children(recursive=True)
            if any(".snakemake/scripts" in part for part in process.cmdline())
        ]
        if not jobs:
            return False
        jobs[int(rng.integers(len(jobs)))].send_signal(number)
    return True


def settle(run: subprocess.Popen[bytes]) -> int:
    """Wait for a run, and for what it left behind in its session."""
    status = run.wait(PATIENCE)
    while any(_session(process) == run.pid for process in psutil.process_iter()):
        time.sleep(0.2)
    return status


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def results(folder: Path) -> dict[str, str]:
    """A hash of each file of data and results; checkpoints and strays would be among them."""
    files = [path for name in ("data", "results") for path in (folder / name).rglob("*")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and not path.name.endswith(".html")
    }


def clear(folder: Path) -> None:
    """Begin anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")


def run(kills: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """So many kills; how often a hand was needed or the bytes were others."""
    rng = np.random.default_rng(seed)
    clear(folder)
    before = time.perf_counter()
    assert settle(start(folder)) == 0, (folder / "said.txt").read_text()
    seconds = time.perf_counter() - before
    expected = results(folder)
    clear(folder)
    done: collections.Counter[str] = collections.Counter()
    hands, others, runs = [], [], 0
    while sum(done.values()) < kills:
        way = WAYS[int(rng.integers(len(WAYS)))]
        going = start(folder)
        time.sleep(float(rng.uniform(0.5, seconds)))
        if going.poll() is None and strike(going, way, rng):
            done[way] += 1
        status = settle(going)
        said = (folder / "said.txt").read_text(errors="replace")
        if "cannot be locked" in said:
            hands.append({"way": way, "said": said[-800:]})
            shutil.rmtree(folder / ".snakemake" / "locks")
        if status == 0:
            runs += 1
            found = results(folder)
            if found != expected:
                odd = sorted(set(found.items()) ^ set(expected.items()))
                others.append(sorted({name for name, _ in odd}))
            clear(folder)
    assert settle(start(folder)) == 0
    found = results(folder)
    if found != expected:
        others.append(sorted({name for name, _ in set(found.items()) ^ set(expected.items())}))
    return {
        "kills": dict(done),
        "runs to the end": runs + 1,
        "hand needed": hands,
        "other bytes": others,
        "seconds of a run": round(seconds, 1),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(run(int(sys.argv[1]), Path(scratch, "work")), indent=1))
