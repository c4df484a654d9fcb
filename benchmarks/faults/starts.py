"""Many starts at once: from one shared checkout whose caches are empty, and in one folder.

``python -m benchmarks.faults.starts 20``: so many runs of a small example, each in a folder of its
own, from a copy of the workflow in which no loop has been compiled yet. Then pairs of runs in one
folder at the same moment, of which one works and the other is refused.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.kills import CONFIG, ROOT, clear, results

PARTS = ("Snakefile", "config.yaml", "configs", "envs", "workflow", "profiles")
TARGET = "results/tiny/main/layer1.h5nnmf"
PAIRS = 5
PATIENCE = 3600  # seconds of all starts together


def shared_checkout(target: Path) -> Path:
    """A copy of what the workflow consists of, without what was compiled."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    target.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        else:
            shutil.copy2(ROOT / name, target / name)
    return target


def start(checkout: Path, folder: Path, said: str = "said.txt") -> subprocess.Popen[bytes]:
    """A run in a folder; caches lie where a user has them who has set nothing."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "1", "--configfile"]
    command += [str(folder / "mine.yaml"), "--", TARGET]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    kept.pop("PYTHONPATH", None)
    kept |= {"HOME": str(checkout.parent), "XDG_CACHE_HOME": str(checkout.parent / ".cache")}
    with (folder / said).open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=kept)


def loops(checkout: Path) -> list[Path]:
    """The files of compiled loops that are kept for all."""
    return sorted((checkout / "workflow/lib/neuralNMF/kernels/__pycache__").glob("loops-*/*"))


def at_once(checkout: Path, folders: list[Path]) -> tuple[collections.Counter[str], int]:
    """How so many starts end, and how many kinds of results there are."""
    for folder in folders:
        clear(folder)
    runs = [start(checkout, folder) for folder in folders]
    end = time.monotonic() + PATIENCE
    ends: collections.Counter[str] = collections.Counter()
    for run, folder in zip(runs, folders, strict=True):
        status = run.wait(end - time.monotonic())
        ends["done" if status == 0 else (folder / "said.txt").read_text()[-400:]] += 1
    return ends, len({json.dumps(results(folder), sort_keys=True) for folder in folders})


def pair(checkout: Path, folder: Path) -> str:
    """How two starts in one folder at the same moment end."""
    clear(folder)
    names = ("first.txt", "second.txt")
    runs = [start(checkout, folder, name) for name in names]
    done = [run.wait(PATIENCE) == 0 for run in runs]
    said = [(folder / name).read_text(errors="replace") for name in names]
    refused = [
        not well and "cannot be locked" in text for well, text in zip(done, said, strict=True)
    ]
    if sum(done) == 2 and any("Nothing to be done" in text for text in said):
        return "one after the other"
    return "one done, one refused" if sum(done) == sum(refused) == 1 else "\n".join(said)[-800:]


def run(count: int, folder: Path) -> dict[str, Any]:
    """So many starts with nothing compiled, as many again with all of it, and the pairs."""
    checkout = shared_checkout(folder / "checkout")
    folders = [folder / f"work{number}" for number in range(count)]
    figures: dict[str, Any] = {"starts": count, "layers": CONFIG["layers"][:1]}
    for name in ("nothing compiled", "all compiled"):
        before, since = loops(checkout), time.perf_counter()
        ends, kinds = at_once(checkout, folders)
        figures[name] = {
            "ends": dict(ends),
            "kinds of results": kinds,
            "files of loops": len(loops(checkout)),
            "files that were not there before": len(set(loops(checkout)) - set(before)),
            "seconds": round(time.perf_counter() - since),
        }
    expected = results(folders[0])
    pairs: collections.Counter[str] = collections.Counter()
    other_bytes = 0
    for _ in range(PAIRS):
        pairs[pair(checkout, folder / "pair")] += 1
        other_bytes += results(folder / "pair") != expected
    return {**figures, "pairs in one folder": dict(pairs), "pairs with other bytes": other_bytes}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(run(int(sys.argv[1]), Path(scratch).resolve()), indent=1))
