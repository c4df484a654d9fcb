"""Checkpoints: a fit that was interrupted ends with the bytes of one that nobody disturbed."""

import logging
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from neuralNMF.consensus.fit import add_layer
from neuralNMF.errors import OutputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import save_model
from neuralNMF.io.states import read_state, write_state
from neuralNMF.options import LayerOptions
from neuralNMF.training import checkpoints
from neuralNMF.training.checkpoints import KeptCheckpoint, checkpoint_of, remove_checkpoint

POISSON = {"beta": "learned", "loss": "nested_poisson"}
PMF = {"beta": "pmf", "loss": "nested_poisson"}
SOLVERS = {
    "nested": {},
    "last layer alone": {"joint": False},
    "reconstruction": {"loss": "reconstruction"},
    "energy": {"loss": "energy"},
    "adam": {"loss": "reconstruction", "optimizer": "adam"},
    "energy by adam": {"loss": "energy", "optimizer": "adam"},
    "gd": {"optimizer": "gd"},
    "learned": {"beta": "learned"},
    "poisson": POISSON,
    "pmf": PMF,
    "pmf by adam": {**PMF, "optimizer": "adam"},
    "guided": {**POISSON, "guide": 1.0, "labels": "kind"},
    "streamed": {"data_mem_size": 100, "normalize": "library", "transform": "log1p"},
    "streamed poisson": {**POISSON, "data_mem_size": 100},
}


class Ended(BaseException):
    """The fit has ended where it was told to."""


class After:
    """Tells a fit to end when it has asked for the n-th time, which it does after every epoch."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.looks == 0

    @contextmanager
    def later(self):
        yield

    def now(self, kept: str):
        raise Ended(kept)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("checkpoints") / "dataset.h5ad"
    mean = rng.gamma(0.5, 1.0, (300, 4)) @ rng.gamma(0.3, 3.0, (4, 40)) * 0.3
    counts = rng.poisson(mean).astype(np.float32)
    counts[counts.sum(axis=1) == 0, 0] = 1
    # Two cells draw a program to themselves, which is then given up.
    counts[:2, :3] = 200
    kind = rng.choice(["a", "b"], 300)
    write_dataset(path, sp.csr_matrix(counts), obs=pd.DataFrame({"kind": kind}))
    return open_dataset(path)


def asked(rank: int, **options) -> LayerOptions:
    return LayerOptions(rank, **{"epochs": 9, "threads": 1, **options})


def saved(path: Path, model) -> bytes:
    save_model(path, model)
    return path.read_bytes()


def interrupted(fit, folder: Path, looks: int):
    """What a fit gives that is ended after so many epochs each time, and how often it was."""
    ends = 0
    while True:
        try:
            return fit(KeptCheckpoint(folder, 1e6, After(looks))), ends
        except Ended:
            ends += 1
            assert ends < 60, "the fit does not get any further"


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_bytes_after_interruptions(dataset, tmp_path, solver):
    before = None
    for rank in (5, 3):
        options = asked(rank, **SOLVERS[solver])
        model = fit_layer(dataset, before, options, progress=False)

        def fit(checkpoint, before=before, options=options):
            return fit_layer(dataset, before, options, progress=False, checkpoint=checkpoint)

        found, ends = interrupted(fit, tmp_path / f"kept{rank}", 4)
        assert ends >= 2 or not options.joint and before is not None
        assert saved(tmp_path / "model.h5nnmf", found) == saved(tmp_path / "model.h5nnmf", model)
        before = model


def test_it_goes_on_after_programs_were_given_up(dataset, tmp_path, monkeypatch):
    options = asked(6, epochs=40, min_support=12.0)
    stages = []
    begin = KeptCheckpoint.begin
    monkeypatch.setattr(
        KeptCheckpoint, "begin", lambda self, n, state: (stages.append(n), begin(self, n, state))
    )
    model = fit_layer(dataset, None, options, progress=False)
    found, _ = interrupted(
        lambda checkpoint: fit_layer(dataset, None, options, progress=False, checkpoint=checkpoint),
        tmp_path / "kept",
        6,
    )
    assert model.layers[0] < 6 and max(stages) >= 1
    assert stages == sorted(stages), "it began again with the programs that were given up"
    assert saved(tmp_path / "model.h5nnmf", found) == saved(tmp_path / "model.h5nnmf", model)


def test_halves_that_are_done_are_not_fitted_again(dataset, tmp_path, monkeypatch):
    options = asked(3, epochs=4, consensus=True)
    model = add_layer(dataset, None, options, progress=False)
    starts = []
    monkeypatch.setattr(
        "neuralNMF.least_squares.fit._start",
        lambda *args, start=sys.modules["neuralNMF.least_squares.fit"]._start: (
            starts.append(args[0].options.seed),
            start(*args),
        )[1],
    )
    found, ends = interrupted(
        lambda checkpoint: add_layer(dataset, None, options, progress=False, checkpoint=checkpoint),
        tmp_path / "kept",
        7,
    )
    assert ends > 3
    assert saved(tmp_path / "model.h5nnmf", found) == saved(tmp_path / "model.h5nnmf", model)
    halves = [seed for seed in starts if seed > 0]
    # Three splits of two halves and two more starts, each begun once.
    assert len(halves) == 8


def test_every_so_many_minutes_and_no_more_often(dataset, tmp_path, monkeypatch):
    written, now = [], iter(range(0, 10_000, 50))
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(
        checkpoints, "write_state", lambda path, state: written.append(Path(path).name)
    )
    kept = KeptCheckpoint(tmp_path / "kept", 2.5, After(0))
    options = asked(3, epochs=7, patience=9, min_support=0)
    fit_layer(dataset, None, options, progress=False, checkpoint=kept)
    # 50 seconds pass with every look at the clock: one in three, and one when it was written.
    assert written.count("model.training") == 2
    assert written.count("model.stage") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [({"seed": 1}, "seed"), ({"epochs": 10}, "epochs"), ({"tol": 1e-3}, "tol")],
)
def test_a_checkpoint_of_another_config_is_put_aside(dataset, tmp_path, caplog, change, told):
    folder = tmp_path / "layer1.checkpoint"
    options = asked(3)
    with pytest.raises(Ended):
        add_layer(
            dataset, None, options, progress=False, checkpoint=KeptCheckpoint(folder, 9, After(3))
        )
    changed = replace(options, **change)
    expected = saved(tmp_path / "a.h5nnmf", fit_layer(dataset, None, changed, progress=False))
    again = KeptCheckpoint(folder, 9, After(0))
    with caplog.at_level(logging.WARNING):
        found = add_layer(dataset, None, changed, progress=False, checkpoint=again)
    [line] = [record.getMessage() for record in caplog.records if "checkpoint" in record.message]
    assert re.search(rf"of another fit \({told}\), and now lies in '.*\.aside'\.$", line)
    assert saved(tmp_path / "a.h5nnmf", found) == expected
    assert (tmp_path / "layer1.checkpoint.aside" / "model.training").exists()
    remove_checkpoint(tmp_path / "layer1.h5nnmf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5nnmf"]


def test_so_is_one_of_another_data_set_or_version(dataset, tmp_path, caplog, monkeypatch):
    def kept(looks: int):
        return KeptCheckpoint(tmp_path / "kept", 9, After(looks))

    def fit(data, looks: int):
        return add_layer(data, None, asked(3), progress=False, checkpoint=kept(looks))

    with pytest.raises(Ended):
        fit(dataset, 3)
    counts = dataset.rows(0, 300).copy()
    counts.data[0] += 1
    write_dataset(tmp_path / "other.h5ad", counts, obs=dataset.obs[["kind"]])
    with caplog.at_level(logging.WARNING), pytest.raises(Ended):
        fit(open_dataset(tmp_path / "other.h5ad"), 3)
    assert "of another fit (data set)" in caplog.text
    monkeypatch.setattr("neuralNMF.fit.__version__", "0.0.1")
    caplog.clear()
    with caplog.at_level(logging.WARNING), pytest.raises(Ended):
        fit(open_dataset(tmp_path / "other.h5ad"), 3)
    assert "of another fit (neuralNMF)" in caplog.text


def test_a_damaged_checkpoint_is_said_and_not_used(dataset, tmp_path, caplog):
    options = asked(3)
    expected = saved(tmp_path / "a.h5nnmf", fit_layer(dataset, None, options, progress=False))
    for name in ("model.training", "model.stage"):
        with pytest.raises(Ended):
            add_layer(
                dataset,
                None,
                options,
                progress=False,
                checkpoint=KeptCheckpoint(tmp_path / "kept", 9, After(3)),
            )
        path = tmp_path / "kept" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = add_layer(
                dataset,
                None,
                options,
                progress=False,
                checkpoint=KeptCheckpoint(tmp_path / "kept", 9, After(0)),
            )
        assert "of the checkpoint is not used" in caplog.text and "checksum" in caplog.text
        assert saved(tmp_path / "a.h5nnmf", found) == expected


def test_a_full_disk_does_not_end_a_fit(dataset, tmp_path, caplog, monkeypatch):
    def full(path, state):
        raise OutputError(f"'{path}' cannot be written (No space left on device).")

    monkeypatch.setattr(checkpoints, "write_state", full)
    kept = KeptCheckpoint(tmp_path / "kept", 0.0, After(0))
    with caplog.at_level(logging.WARNING):
        fit_layer(dataset, None, asked(3, epochs=2), progress=False, checkpoint=kept)
    assert "goes on without a new checkpoint" in caplog.text and "No space left" in caplog.text


def test_nothing_is_kept_where_it_is_switched_off(dataset, tmp_path):
    kept = checkpoint_of(tmp_path / "layer1.h5nnmf", 0, After(1))
    fit_layer(dataset, None, asked(3, epochs=2), progress=False, checkpoint=kept)
    assert not list(tmp_path.iterdir())


def test_a_state_reads_back_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    state = {
        "by columns": np.asfortranarray(rng.random((3, 4))),
        "parts": [{"bits": rng.random(5) > 0.5, "none": None}, 0.1 + 0.2, float("inf"), "text"],
        "empty": np.zeros((0, 3), np.float32),
        "one": np.array(2.5, np.float32),
    }
    write_state(tmp_path / "state", state)
    found = read_state(tmp_path / "state")
    assert found["by columns"].flags.f_contiguous
    for name in ("by columns", "empty", "one"):
        np.testing.assert_array_equal(found[name], state[name], strict=True)
    np.testing.assert_array_equal(found["parts"][0]["bits"], state["parts"][0]["bits"])
    assert found["parts"][1:] == state["parts"][1:] and found["parts"][0]["none"] is None
    assert read_state(tmp_path / "none") is None
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


# The script of the rule; its training is told to end some epochs after its start.
JOB = """
import os, signal, sys, time
from pathlib import Path
from types import SimpleNamespace
import neuralNMF.training.loop as loop

folder, name = Path(sys.argv[1]), sys.argv[2]
figures, looks = loop._figures, []

def waiting(*args):
    looks.append(args)
    if name != "none" and len(looks) == 5:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(0.05)
    return figures(*args)

loop._figures = waiting
snakemake = SimpleNamespace(
    log=[str(folder / "job.log")], threads=1,
    params=SimpleNamespace(
        options={"rank": 3, "epochs": 20, "tol": 0.0}, where={"device": "cpu"},
        checkpoint_minutes=10,
    ),
    input=SimpleNamespace(previous=[], choice=[], dataset=sys.argv[3]),
    output=[str(folder / "layer1.h5nnmf")],
)
script = Path("workflow/scripts/train_layer.py")
exec(compile(script.read_text(), str(script), "exec"), {"snakemake": snakemake})
"""


def test_a_job_that_is_told_to_end_keeps_its_state(dataset, tmp_path):
    """Told so by one signal after the other; each time it goes on from where it was."""

    def job(told: str):
        return subprocess.run(
            [sys.executable, "-c", JOB, str(tmp_path), told, str(dataset.path)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )

    goes_on = "layer 1 goes on after epoch"
    for number, name in enumerate(("SIGTERM", "SIGINT", "SIGUSR1")):
        done = job(name)
        assert done.returncode == 128 + getattr(signal, name), done.stderr
        log = (tmp_path / "job.log").read_text()
        assert re.search(
            rf"stopped by {name}: epoch \d+ of layer 1 is kept in '.*layer1\.checkpoint'; "
            r"start the workflow again to go on\.$",
            log.splitlines()[-1],
        )
        assert (goes_on in log) == (number > 0)
        assert not (tmp_path / "layer1.h5nnmf").exists()
    again = job("none")
    assert again.returncode == 0, again.stderr
    assert goes_on in (tmp_path / "job.log").read_text()
    assert not (tmp_path / "layer1.checkpoint").exists()
    plain = fit_layer(dataset, None, LayerOptions(3, epochs=20, tol=0.0, threads=1), progress=False)
    whole = saved(tmp_path / "whole" / "layer1.h5nnmf", plain)
    assert (tmp_path / "layer1.h5nnmf").read_bytes() == whole
