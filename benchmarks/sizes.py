"""What it costs to try sizes: by the workflow on blood cells, and many restarts of many cells.

`sweep`: the default sizes of the first layer on `pbmc_facs`, a job a size, from the data set to the
tables, with all starts of Snakemake and Python. `restarts`: 100,000 cells, five sizes, twenty seeds
each, all fits in one process, beside the peak memory of a process with one fit of the largest size.
`trials`: the same cells and sizes as `layers: auto` tries them. Wall and processor seconds: other
work on the machine adds to both, to the first far more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.memory import GIGABYTE
from neuralNMF.options import REAL_CELLS, LayerOptions
from neuralNMF.sizes.trial import Trials

from benchmarks.common import BLOOD_CELLS, folders, peak_bytes, save
from benchmarks.planted import simulate_hierarchy
from benchmarks.planted_sizes import SIZES

ROOT = Path(__file__).parents[1]
CORES = 2
CELLS, GENES = 100_000, 2000
TRIED, SEEDS = (5, 10, 15, 20, 30), 20
FITS = {"one_fit": ((max(TRIED),), 1), "restarts": (TRIED, SEEDS)}


def cost(command: list[str], folder: Path | None = None) -> dict[str, float]:
    """Wall and processor seconds of a command, the processes that it starts included."""
    begin, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    after = os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    return {"wall_seconds": time.perf_counter() - begin, "processor_seconds": processor}


def sweep(data: Path) -> dict:
    """The trials of the default sizes by the workflow; the data set is made before."""
    source = (data / BLOOD_CELLS).resolve()
    if not source.exists():
        return {"left_out": f"{BLOOD_CELLS} is not in the data folder"}
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = {"samples": {"pbmc": {"input": str(source)}}, "layers": "auto"}
        config["dataset"] = {"variable_genes": 2000, "min_cells": 10}
        (folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", name, "--configfile", str(folder / "config.json")]
        command += ["--cores", str(CORES)]
        cost([*command, "results/pbmc/dataset.h5ad"], folder)
        tables = [f"results/pbmc/main/sizes/{size}.tsv" for size in SIZES]
        return {"sizes": list(SIZES), **cost([*command, *tables], folder)}


def of_a_process(kind: str, path: Path) -> dict:
    """What all fits of a kind take, in a process of their own for the sake of its peak memory."""
    command = [sys.executable, "-m", "benchmarks.sizes", kind, str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def fits(kind: str, path: str) -> dict:
    dataset = open_dataset(path)
    begin, before = time.perf_counter(), time.process_time()
    if kind == "trials":
        options = LayerOptions(1, threads=CORES, **REAL_CELLS)
        tried = Trials(dataset, options, progress=False).first_layers(TRIED)
        found = {"status": tried["status"].tolist(), "programs": tried["programs"].tolist()}
    else:
        sizes, seeds = FITS[kind]
        for size in sizes:
            for seed in range(seeds):
                options = LayerOptions(size, seed=seed, threads=CORES, **REAL_CELLS)
                fit_layer(dataset, None, options, progress=False, warn=False)
        found = {"fits": len(sizes) * seeds}
    return {
        **found,
        "wall_seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time() - before,
        "peak_gb": peak_bytes() / GIGABYTE,
    }


def main() -> None:
    data, out = folders()
    figures: dict[str, dict] = {"sweep": sweep(data)}
    save(out, "sizes", figures)
    path = out / "sizes.h5ad"
    simulate_hierarchy(path, CELLS, GENES, rng=np.random.default_rng(0))
    for kind in (*FITS, "trials"):
        figures[kind] = of_a_process(kind, path)
        save(out, "sizes", figures)  # a run that is broken off has not been for nothing


if __name__ == "__main__":
    if sys.argv[1] in (*FITS, "trials"):
        sys.stdout.write(json.dumps(fits(sys.argv[1], sys.argv[2])))
    else:
        main()
