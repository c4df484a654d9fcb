"""10,000,000 x 2,000 with 10^9 non-zeros, a data set of parts: planted programs, streamed.

Goes on where it was broken off: parts that are there are not drawn again. Takes 9 GB of disk.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.dataset_door import write_door
from neuralNMF.memory import GIGABYTE

from benchmarks.common import folders, save, timed
from benchmarks.million import GENES, LAYERS, STREAMED
from benchmarks.planted import draw, plant

CELLS, PARTS, DENSITY = 10_000_000, 20, 0.05
THREADS = 2


def drawn(out: Path, cells: int = CELLS, parts: int = PARTS) -> Path:
    """The data set, of parts of so many cells each; ``{stem}_truth.npz`` beside it."""
    path, size = out / "ten_million.h5ad", cells // parts
    planted = plant(GENES, *LAYERS, rng=np.random.default_rng(0), density=DENSITY)
    files, truths = [], []
    for part in range(parts):
        file, truth = (
            path.with_suffix("") / f"part-{part}{ending}" for ending in (".h5ad", "_truth.npz")
        )
        if not truth.exists():  # written last
            numbers, rng = range(part * size, (part + 1) * size), np.random.default_rng([0, part])
            draw(file, planted, numbers, {}, truth, rng)
        files.append(file)
        truths.append(truth)
    if not path.exists():
        join(path, files, truths)
    return path


def join(path: Path, files: list[Path], truths: list[Path]) -> None:
    """The door of the parts, which have the same number of cells, and the truth of all."""
    tables, vars_ = zip(*((part.obs, part.var) for part in map(open_dataset, files)), strict=True)
    var = vars_[0].copy()
    var["mean"] = np.mean([each["mean"] for each in vars_], axis=0)
    squares = [each["variance"] + each["mean"] ** 2 for each in vars_]
    var["variance"] = np.mean(squares, axis=0) - var["mean"] ** 2
    var["n_cells"] = np.sum([each["n_cells"] for each in vars_], axis=0)
    found = [np.load(truth) for truth in truths]
    np.savez_compressed(
        path.with_name(f"{path.stem}_truth.npz"),
        fine=found[0]["fine"],
        coarse=np.mean([each["coarse"] for each in found], axis=0),
        parent=found[0]["parent"],
    )
    write_door(path, files, pd.concat(tables), var, {})


def main() -> None:
    _, out = folders()
    path, seconds = timed(lambda: drawn(out))
    options = json.dumps({"data_mem_size": STREAMED, "threads": THREADS})
    # A process of its own, for the sake of its peak memory.
    command = [sys.executable, "-m", "benchmarks.million", "fit", str(path), options]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(run.stdout)
    theta = 4 * CELLS * LAYERS[0] / GIGABYTE
    more = {"seconds_to_draw_what_was_not_there": seconds, "parts": PARTS, "theta_1_gb": theta}
    save(out, "ten_million", {**figures, **more, "besides_theta_1_gb": figures["peak_gb"] - theta})


if __name__ == "__main__":
    main()
