"""Same data, same seed, same bytes: with any number of threads, in memory and streamed."""

import os
import subprocess
import sys
from pathlib import Path

import neuralNMF
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import threadpoolctl
import torch
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import save_model
from neuralNMF.options import LayerOptions

POISSON = {"loss": "poisson", "beta": "learned"}
SOLVERS = {
    "least squares": {},
    "variance": {"normalize": "variance"},
    "log1p": {"normalize": "library", "transform": "log1p"},
    "float64": {"precision": "float64"},
    "energy": {"loss": "energy"},
    "random start": {"init": "random"},
    "adam": {"optimizer": "adam"},
    "gd": {"optimizer": "gd"},
    "last layer alone": {"joint": False},
    "learned": {"beta": "learned"},
    "poisson": POISSON,
    "poisson by adam": {**POISSON, "optimizer": "adam"},
    "guided": {**POISSON, "guide": 1.0, "labels": "kind"},
    "pmf": {"loss": "poisson", "beta": "pmf"},
}


def write(path: Path, cells: int, density: float) -> None:
    """Cells and genes that make several blocks, and more than one round of carrying over."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 4, cells)
    mean = rng.gamma(0.5, 1.0, (cells, 4)) @ rng.gamma(0.3, 3.0, (4, 50)) * density
    obs = pd.DataFrame({"kind": np.array(["a", "b", "c", "d"])[kind]})
    counts = rng.poisson(mean).astype(np.float32)
    counts[counts.sum(axis=1) == 0, 0] = 1  # a data set has no empty cells
    write_dataset(path, sp.csr_matrix(counts), obs=obs)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    write(folder / "sparse.h5ad", 1500, 0.2)
    write(folder / "dense.h5ad", 900, 4.0)
    return {name: open_dataset(folder / f"{name}.h5ad") for name in ("sparse", "dense")}


def saved(dataset, path: Path, **options) -> bytes:
    model = None
    for rank in (5, 3):
        model = fit_layer(dataset, model, LayerOptions(rank, epochs=6, **options), progress=False)
    save_model(path, model)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_model_file_depends_on_neither_threads_nor_streaming(datasets, tmp_path, kind, solver):
    options, dataset = SOLVERS[solver], datasets[kind]
    expected = saved(dataset, tmp_path / "model.h5nnmf", threads=1, **options)
    # More of both: test_products.py.
    for threads, held in ((3, None), (8, 300)):
        found = saved(
            dataset, tmp_path / "model.h5nnmf", threads=threads, data_mem_size=held, **options
        )
        assert found == expected, f"{threads} threads, {held} cells held"


def test_the_callers_threads_are_as_before(datasets):
    before = torch.get_num_threads()
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    try:
        torch.set_num_threads(3)
        fit_layer(datasets["sparse"], None, LayerOptions(3, epochs=2, threads=2), progress=False)
        assert torch.get_num_threads() == 3
        with pytest.raises(neuralNMF.errors.InputError):
            fit_layer(datasets["sparse"], None, LayerOptions(60), progress=False)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == pools


@pytest.mark.slow
def test_the_first_run_of_an_installation_gives_the_bytes_of_the_later_ones(datasets, tmp_path):
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "import test_same_bytes as t; from neuralNMF.io.dataset import open_dataset; "
        "data, out = open_dataset(sys.argv[2]), Path(sys.argv[3]); "
        "[t.saved(data, out / f'{n}.h5nnmf', threads=2, **t.SOLVERS[n]) for n in sys.argv[4:]]"
    )
    solvers = ["pmf", "variance"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    runs = []
    for order in (solvers, solvers[::-1]):
        out = tmp_path / f"run{len(runs)}"
        out.mkdir()
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", program, here, datasets["sparse"].path, out, *order]
        subprocess.run(command, check=True, env=environment)
        runs.append([(out / f"{name}.h5nnmf").read_bytes() for name in solvers])
    assert runs[0] == runs[1]
