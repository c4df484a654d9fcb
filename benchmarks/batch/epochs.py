"""The time of an epoch: with the factors of batches, without, and before there were any.

50,000 x 2,000, 5 % non-zero, 20 programs, log1p, ten batches; held in memory, and streamed in
pieces of 10,000 cells, where the values of each piece are made anew in every pass. Each way is a
process of its own, and they take turns. *Before* is the last version without a word of batches,
taken from this checkout's history; where that is not there, it is left out.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from neuralNMF.io.dataset import write_dataset

from benchmarks.common import sparse_counts

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("workflow/lib")
PROCESS = Path(__file__).with_name("epoch_process.py")
LAST_WITHOUT = "4dbf5b76131fffa7afa7155ea5f74357e331c39c"
CELLS, GENES, BATCHES = 50_000, 2000, 10
HELD = {"in memory": 0, "streamed": 10_000}
WARM, TURNS = 3, 9


def epochs() -> dict[str, dict[str, float | str]]:
    """Seconds of an epoch by how the cells are held, and the median ratios of the turns."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"batch": rng.integers(0, BATCHES, CELLS).astype(str)})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.h5ad"
        write_dataset(path, sparse_counts(CELLS, GENES, GENES // 20), obs=obs)
        own = ROOT / LIBRARY
        ways = {"without": (own, 0), "with batch": (own, BATCHES)}
        if (earlier := _earlier_library(Path(folder))) is not None:
            ways["before"] = (earlier, 0)
        return {name: _taking_turns(path, held, ways) for name, held in HELD.items()}


def _earlier_library(folder: Path) -> Path | None:
    """The library of `LAST_WITHOUT`, unpacked; None where git or the history is not there."""
    command = ["git", "-C", str(ROOT), "archive", LAST_WITHOUT, str(LIBRARY)]
    try:
        packed = subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder / "before", filter="data")
    return folder / "before" / LIBRARY


def _taking_turns(
    path: Path, held: int, ways: dict[str, tuple[Path, int]]
) -> dict[str, float | str]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(_process(path, held, library, batches))
            for name, (library, batches) in ways.items()
        }
        for turn in range(WARM + TURNS):
            for name, process in processes.items():
                process.stdin.write("epoch\n")
                process.stdin.flush()
                taken = float(process.stdout.readline())
                if turn >= WARM:
                    seconds[name].append(taken)
    figures: dict[str, float | str] = {
        name: statistics.median(taken) for name, taken in seconds.items()
    }
    for one, other in (("with batch", "without"), ("without", "before")):
        if other in seconds:
            pairs = zip(seconds[one], seconds[other], strict=True)
            figures[f"{one} / {other}"] = statistics.median(a / b for a, b in pairs)
        else:
            figures[other] = f"left out: this checkout has no {LAST_WITHOUT}"
    return figures


def _process(path: Path, held: int, library: Path, batches: int) -> subprocess.Popen[str]:
    """A process that does an epoch for each line; at the end of its input it ends."""
    command = [sys.executable, PROCESS, path, held, batches]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    return subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
