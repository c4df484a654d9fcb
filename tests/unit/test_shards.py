"""One model by two processes, each with a range of the cells: the same numbers as by one."""

import dataclasses
import itertools
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
import torch.distributed as dist
from neuralNMF.cells.sums import block_borders
from neuralNMF.consensus.fit import add_layer
from neuralNMF.errors import DeviceError, FitError, InputError, ProcessError
from neuralNMF.io.choice import load_layers
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.io.model_parts import join_parts, save_part
from neuralNMF.io.team_folder import DONE, FAILED, KEPT, LOST, TeamFolder
from neuralNMF.options import LayerOptions
from neuralNMF.processes import own_tag
from neuralNMF.shards import launch, watch
from neuralNMF.shards.job import FitJob, Hands
from neuralNMF.shards.launch import failure, run_job
from neuralNMF.shards.processes import Place, joined, own_place
from neuralNMF.shards.ranges import open_range, ranges
from neuralNMF.shards.size_jobs import LayersJob, SizeJob
from neuralNMF.sizes.trial import Trials
from neuralNMF.team import ALONE, Team
from neuralNMF.training.checkpoints import KeptCheckpoint
from neuralNMF.training.projected import Projected

CELLS, GENES = 900, 40
RANKS = (5, 3)
POISSON = {"loss": "poisson", "beta": "learned"}
REAL = {"normalize": "library", "transform": "log1p", "gene_power": 0.5}
CASES = {
    "nested": {},
    "reconstruction": {"loss": "reconstruction", **REAL},
    "energy": {"loss": "energy"},
    "learned": {"beta": "learned", "precision": "float64"},
    "random start": {"init": "random", "precision": "float64"},
    "one layer after the other": {"joint": False, "normalize": "variance", "data_mem_size": 100},
    "nested poisson": {"loss": "nested_poisson", "beta": "learned", "batch": "plate"},
    "poisson, random start": {**POISSON, "init": "random"},
    "consensus": {"consensus": True, "batch": "plate", "condition": "drug", **REAL},
    "pmf": {"loss": "poisson", "beta": "pmf"},
    "nested poisson without batches": {"loss": "nested_poisson", "beta": "learned"},
}
EPOCHS = 6
# Of these, fits are told to end, too.
ENDED = {"nested": ("kept", "lost", "full"), "pmf": ("kept",)}
DENSE = ("nested", "pmf", "nested poisson without batches")
# Programs differ by this share of the largest entry at the most. More where a step is chosen by a
# threshold that rounding may cross: groups of programs.
CLOSE, CROSSED = 1e-5, {"consensus": 1e-4}
# The BLAS of older NumPy sums dense products of another size in another order.
if tuple(map(int, np.__version__.split(".")[:2])) < (2, 1):
    CLOSE = 1e-3
# Sums that these are made of are the same doubles by any number of processes, or nearly.
SAME = {"poisson, random start": 0.0, "pmf": 0.0, "nested poisson without batches": 1e-12}
# At the very minimum of its last layer, where rounding decides which step is the last one.
AT_THE_END = ("one layer after the other",)


def write(folder: Path) -> None:
    """Cells that make several blocks: few counts a cell, and many."""
    rng = np.random.default_rng(0)
    programs = rng.gamma(0.3, 3.0, (8, GENES))
    for name, level in (("sparse", 0.2), ("dense", 4.0)):
        counts = rng.poisson(rng.gamma(0.4, 0.7, (CELLS, 8)) @ programs * level)
        counts[counts.sum(axis=1) == 0, 0] = 1
        obs = pd.DataFrame(
            {
                "plate": np.array(["a", "b", "c"])[rng.integers(0, 3, CELLS)],
                "drug": np.array(["no", "yes"])[rng.integers(0, 2, CELLS)],
                "age": rng.integers(20, 60, CELLS),
            }
        )
        write_dataset(folder / f"{name}.h5ad", sp.csr_matrix(counts.astype(np.float32)), obs)


def write_planted(path: Path) -> None:
    """Cells of six programs in three pairs."""
    rng = np.random.default_rng(1)
    programs = np.full((6, GENES), 0.02)
    for k in range(6):
        programs[k, 4 * k : 4 * k + 4] += 1.0
        programs[k, 24 + 5 * (k // 2) : 29 + 5 * (k // 2)] += 0.5
    usage = np.full((CELLS, 6), 0.01)
    pair, shares = rng.integers(3, size=CELLS), rng.dirichlet([0.3, 0.3], CELLS)
    for place in range(2):
        usage[np.arange(CELLS), 2 * pair + place] += shares[:, place]
    counts = rng.poisson(15 * usage @ programs)
    counts[counts.sum(axis=1) == 0, 0] = 1
    write_dataset(path, sp.csr_matrix(counts.astype(np.float32)), pd.DataFrame(index=range(CELLS)))


def chosen_sizes(data: Path, output: Path, team: Team) -> None:
    """Sizes that are tried for one first layer each, and the layers that are chosen by them."""
    options = LayerOptions(rank=1, epochs=30, threads=1, seed=1)
    given = {"dataset": data, "options": options}
    tried = [output.with_name(f"{output.stem}-{size}.tsv") for size in (4, 6, 50)]
    for size, path in zip((4, 6, 50), tried, strict=True):
        SizeJob(**given, output=path, size=size).work(Hands(team))
    LayersJob(**given, output=output, tried=tried, chosen=output.with_suffix(".json")).work(
        Hands(team)
    )


def fitted(dataset, options: dict, add=add_layer):
    model = None
    for rank in RANKS:
        layer = LayerOptions(rank=rank, epochs=EPOCHS, threads=1, **options)
        model = add(dataset, model, layer, progress=False)
    return model


class Ended(BaseException):
    """The fit has ended where it was told to."""


class Third:
    """Tells to end at the third look, or never."""

    def __init__(self, tells: bool) -> None:
        self.looks = 3 if tells else 0

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.looks == 0

    def later(self):
        return nullcontext()

    def now(self, kept: str):
        raise Ended(kept)


def with_ends(folder: Path, team: Team, how: str):
    """As `add_layer`, by fits of a team of which one is told to end, again and again.

    Where some is ``lost``, one of them loses what it wrote last each time; where the disk is
    ``full``, the other one cannot write every second time.
    """

    def add(dataset, model, layer, progress):
        kept = folder / f"kept-{layer.rank}"
        for attempt in range(30):
            stop = Third(team.rank == attempt % team.size)
            checkpoint = KeptCheckpoint(kept, 1e6 if how == "kept" else 0, stop, team)
            if how == "full" and team.rank == 1:
                fails, write = itertools.cycle([False, True]), checkpoint._write
                checkpoint._write = lambda *file, f=fails, w=write: not next(f) and w(*file)
            try:
                return add_layer(dataset, model, layer, progress=progress, checkpoint=checkpoint)
            except Ended:
                team.gathered(None)
                if how == "lost" and team.rank == 0:
                    newest = max(kept.glob("*.training.0of2-*"), key=lambda p: p.stat().st_mtime_ns)
                    newest.unlink()
        raise AssertionError("the fit does not get any further")

    return add


def own_failures(team: Team) -> list[str]:
    """What each process raises where none of them, one and both fail."""
    messages = []
    for failing in ((), (1,), (0, 1)):
        try:
            with team.failing_together():
                if team.rank in failing:
                    raise InputError(f"of process {team.rank}")
            messages.append("")
        except InputError as error:
            assert error.of_all
            messages.append(str(error))
    return messages


def part_of(rank: int, port: int, folder: Path) -> None:
    """All that the tests ask of one of two processes, which are started once."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    place = Place(rank, 2, rank, 2)
    store = dist.TCPStore("localhost", port, 2, is_master=rank == 0)
    found = {}
    with joined(place, store, torch.device("cpu")) as team:
        sums = np.array([[1e16, 1.0], [-1e16, 1e-3]][rank])
        whole = sums.copy(), np.full((3, 2), rank + 1.0)
        team.add(*whole)
        found["sums"] = whole
        values = np.arange(7.0) ** 2
        found["medians"] = [team.median(v[rank::2]) for v in (values, values[:6], values[[0, 0]])]
        found["gathered"] = team.gathered(f"process {rank}")
        found["sent"] = []
        for times in (1, 2):
            before = team.sent
            team.add(np.zeros(1000 * times))
            found["sent"].append(team.sent - before)
        for data in ("sparse", "dense"):
            for name in CASES if data == "sparse" else DENSE:
                dataset = open_range(folder / f"{data}.h5ad", team, CASES[name].get("loss", ""))
                model = fitted(dataset, CASES[name])
                save_part(folder / f"part-{rank}.h5", model, ["cell_scale"])
                team.gathered(None)
                path = folder / f"{data} {name}.h5nnmf"
                if rank == 0:
                    parts = [folder / f"part-{r}.h5" for r in range(2)]
                    join_parts(path, parts, model, dataset.path)
                team.gathered(None)
                first = dataset.share.first
                again = load_model(path, slice(first, first + dataset.shape[0]))
                assert np.array_equal(again.thetas[0], model.thetas[0])
                assert again.obs.equals(model.obs)

        def keep(name: str, model) -> None:
            save_model(folder / f"{name}-{rank}.h5nnmf", model, inpath="it")

        for name in ENDED:
            dataset = open_range(folder / "sparse.h5ad", team, CASES[name].get("loss", ""))
            for how in ENDED[name]:
                add = with_ends(folder / name / how, team, how)
                keep(f"{how} {name}", fitted(dataset, CASES[name], add))
            keep(f"once {name}", fitted(dataset, CASES[name]))
        dataset = open_range(folder / "sparse.h5ad", team, "nested")
        for how in ("once", "kept", "kept in part"):
            layer = LayerOptions(rank=4, epochs=EPOCHS, threads=1, consensus=True)
            if how == "kept in part" and team.rank == 0:
                for half in ("1a", "3b", "4a"):
                    (folder / "halves" / f"half_{half}.result").unlink()
            checkpoint = KeptCheckpoint(folder / "halves", 1e6, Third(False), team)
            given = {} if how == "once" else {"checkpoint": checkpoint}
            keep(f"{how} consensus", add_layer(dataset, None, layer, progress=False, **given))
        chosen_sizes(folder / "planted.h5ad", folder / "sizes.tsv", team)
        found["together"] = own_failures(team)
        save_model(folder / f"again-{rank}.h5nnmf", fitted(dataset, {}), inpath="it")
        save_model(folder / f"once-{rank}.h5nnmf", fitted(dataset, {}), inpath="it")
    (folder / f"found-{rank}").write_bytes(pickle.dumps(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes made of all cases."""
    folder = tmp_path_factory.mktemp("shards")
    write(folder)
    write_planted(folder / "planted.h5ad")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(part_of, (port, folder), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def found(folder) -> list[dict]:
    return [pickle.loads((folder / f"found-{rank}").read_bytes()) for rank in range(2)]


@pytest.mark.parametrize(
    ("data", "name"), [*(("sparse", name) for name in CASES), *(("dense", n) for n in DENSE)]
)
def test_two_processes_find_what_one_finds(folder, data, name):
    alone = fitted(open_dataset(folder / f"{data}.h5ad"), CASES[name])
    shared = load_model(folder / f"{data} {name}.h5nnmf")
    assert shared.layers == alone.layers
    losses = [model.history["loss"].to_numpy() for model in (shared, alone)]
    if name in AT_THE_END:
        both = min(map(len, losses))
        losses = [loss[:both] for loss in losses]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    close = (CROSSED | SAME).get(name, CLOSE)
    for one, two in zip(alone.betas + alone.thetas, shared.betas + shared.thetas, strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=close * one.max())
    for one, two in zip(alone.dead, shared.dead, strict=True):
        assert np.array_equal(one, two)
    pd.testing.assert_frame_equal(shared.obs, alone.obs, rtol=1e-12)
    pd.testing.assert_frame_equal(shared.var, alone.var, rtol=1e-12)
    assert set(shared.info) == set(alone.info)
    pd.testing.assert_frame_equal(shared.replication, alone.replication, rtol=1e-3)


def test_two_processes_choose_the_sizes_that_one_chooses(folder, tmp_path):
    chosen_sizes(folder / "planted.h5ad", tmp_path / "sizes.tsv", ALONE)
    ours, theirs = (pd.read_csv(path / "sizes.tsv", sep="\t") for path in (folder, tmp_path))
    pd.testing.assert_frame_equal(
        ours.drop(columns="seconds"), theirs.drop(columns="seconds"), rtol=1e-3
    )
    assert load_layers(folder / "sizes.json")[0] == [6, 3]
    assert load_layers(folder / "sizes.json") == load_layers(tmp_path / "sizes.json")
    later = ours[ours["layer"] == 2]
    assert later["gap"].notna().all() and later["parents"].notna().any()
    assert ours.loc[ours["size"] == 50, "status"].str.startswith("failed: layer rank 50").all()


def test_where_one_process_fails_all_do(found):
    for each in found:
        assert each["together"] == ["", "of process 1", "of process 0"]


def test_the_joined_file_has_the_places_of_any_model(folder, tmp_path):
    joined_path = folder / "sparse consensus.h5nnmf"
    save_model(tmp_path / "alone.h5nnmf", load_model(joined_path), inpath=joined_path.stem)
    one, two = (anndata.read_h5ad(path) for path in (tmp_path / "alone.h5nnmf", joined_path))
    assert two.obs.equals(one.obs) and list(two.uns) and set(two.uns) == set(one.uns)
    for places in ("obsm", "varm"):
        ours, theirs = getattr(two, places), getattr(one, places)
        assert set(ours) == set(theirs)
        for key in ours:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-12)
            assert ours[key].dtype == theirs[key].dtype


def test_the_same_bytes_again(folder):
    for rank in range(2):
        once, again = (folder / f"{name}-{rank}.h5nnmf" for name in ("once", "again"))
        assert once.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(("name", "how"), [(name, how) for name in ENDED for how in ENDED[name]])
def test_the_same_bytes_after_interruptions(folder, name, how):
    """Also where one process has lost its last state, so that all go on from the one before."""
    for rank in range(2):
        once, again = (folder / f"{kind} {name}-{rank}.h5nnmf" for kind in ("once", how))
        assert once.read_bytes() == again.read_bytes()
    assert (folder / name / how / "kept-5").is_dir()


@pytest.mark.parametrize("how", ["kept", "kept in part"])
def test_halves_that_are_done_are_not_fitted_again(folder, how):
    """Of two processes one may have its half of a turn from before, and the other not."""
    for rank in range(2):
        once, again = (folder / f"{kind} consensus-{rank}.h5nnmf" for kind in ("once", how))
        assert once.read_bytes() == again.read_bytes()
    assert len(list((folder / "halves").glob("half_*.result"))) == 8


def test_what_is_started_does_not_mind_a_cluster_s_warning():
    told = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1); print('goes on')"
    run = [*launch._DEAF, sys.executable, "-c", told]
    assert subprocess.run(run, capture_output=True, text=True).stdout == "goes on\n"


@pytest.mark.parametrize(
    ("looks", "kept", "there", "ended"),
    [
        pytest.param(True, False, True, False, id="it trains"),
        pytest.param(False, False, True, True, id="it does not train"),
        pytest.param(False, True, True, False, id="it leaves"),
        pytest.param(True, False, False, True, id="it cannot be told"),
    ],
)
def test_a_team_is_told_to_end_or_ended(tmp_path, monkeypatch, looks, kept, there, ended):
    ends = threading.Event()
    monkeypatch.setattr(launch, "_LOOK", 0.01)
    monkeypatch.setattr(launch, "_end", lambda process: ends.set())
    folder = TeamFolder(tmp_path)
    if not there:
        monkeypatch.setattr(folder, "ask_to_end", lambda: None)
    if kept:
        folder.write_end(1, how=KEPT, what="epoch 3")
    looking = folder.ends_later(0) if looks else nullcontext()
    with looking, launch._handed_on(Mock(asked=True), folder, Mock()):
        assert ends.wait(5 if ended else 0.2) == ended
    assert folder.asked_to_end() == there


def test_one_that_does_not_leave_is_ended(tmp_path, monkeypatch):
    ends = threading.Event()
    monkeypatch.setattr(launch, "_LOOK", 0.01)
    monkeypatch.setattr(launch, "_LEAVE", 0.1)
    monkeypatch.setattr(launch, "_end", lambda process: ends.set())
    folder = TeamFolder(tmp_path)
    folder.write_end(0, how=KEPT, what="epoch 3")
    with launch._handed_on(Mock(asked=True), folder, Mock()):
        assert ends.wait(5)


def test_sums_are_added_in_the_order_of_the_processes(found):
    for of_rank in found:
        sums, filled = of_rank["sums"]
        assert sums.tolist() == [1e16 + -1e16, 1.0 + 1e-3]
        assert filled.tolist() == [[3.0, 3.0]] * 3
        assert of_rank["gathered"] == ["process 0", "process 1"]


def test_the_rate_of_adam_is_that_of_all_cells():
    """Of ten cells, of which this process has four."""
    factor = torch.rand((10, 3), generator=torch.Generator().manual_seed(0))

    class WithOthers(Team):
        def total(self, value: float) -> float:
            return value + factor[4:].sum().item() / factor.numel()

    own = torch.nn.Parameter(factor[:4].clone())
    later = torch.nn.Parameter(torch.full((3, 2), 0.5))
    network = Mock(factors=[own, later])
    data = Mock(shape=(4, 7), entries=70.0, team=WithOthers())
    rates = Projected(network, data, kind="adam").state()["rates"]
    np.testing.assert_allclose(rates, [0.02 * factor.mean().item(), 0.01], rtol=1e-6)


def test_medians_are_those_of_all_values(found):
    for of_rank in found:
        assert of_rank["medians"] == [9.0, np.median(np.arange(6.0) ** 2), 0.0]


def test_bytes_are_counted(found):
    for of_rank in found:
        # Of two processes each gives away half of its array, and the other half's sums.
        assert of_rank["sent"] == [8000, 16000]


def test_ranges_are_whole_blocks_with_about_equal_work():
    indptr = np.concatenate([[0], np.cumsum(np.repeat([10, 100], [30_000, 30_000]))])
    borders = block_borders(indptr, 200)
    for shards in (2, 3, 5):
        cut = ranges(indptr, 200, shards, "nested", "it")
        assert [first for first, _ in cut] == [0, *(past for _, past in cut[:-1])]
        assert cut[-1][1] == 60_000 and {first for first, _ in cut} <= set(borders.tolist())
        work = [indptr[past] - indptr[first] for first, past in cut]
        assert max(work) < 1.5 * indptr[-1] / shards
    with pytest.raises(InputError, match=r"too many for it.* ask for 26 at the most"):
        ranges(indptr, 200, 27, "nested", "it")


def test_a_range_of_dense_counts_follows_the_way_they_are_multiplied(folder):
    dataset = open_dataset(folder / "dense.h5ad")
    cut = ranges(dataset.indptr, GENES, 2, "nested", "it")
    assert {first for first, _ in cut} <= set(
        block_borders(dataset.indptr, GENES, dense=True).tolist()
    )


def test_the_place_of_a_process_by_torchrun_and_by_slurm(monkeypatch):
    slurm = {"PROCID": 5, "NTASKS": 7, "LOCALID": 1, "NODEID": 2, "STEP_TASKS_PER_NODE": "2(x3),1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    assert own_place() == Place(5, 7, 1, 2)
    run = {"RANK": 1, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 4}
    for name, value in run.items():
        monkeypatch.setenv(name, str(value))
    assert own_place() == Place(1, 4, 1, 4)


@pytest.mark.parametrize(
    ("ends", "kind", "sentence"),
    [
        ([{"how": DONE}, {}, {"how": LOST, "lost": ""}], ProcessError, "process 1 of 3"),
        ([{"how": LOST, "lost": "2"}, {"how": LOST, "lost": ""}, {}], ProcessError, "process 2 of"),
        ([{"how": LOST, "lost": "1"}] * 3, ProcessError, "process 1 of 3"),
        ([{}, {}, {"how": LOST, "lost": ""}], ProcessError, "processes 0, 1 of 3"),
        (
            [{"how": LOST, "lost": ""}, {}, {"how": FAILED, "kind": "InputError", "what": "No."}],
            InputError,
            r"^No\.$",
        ),
        ([{}, {"how": FAILED, "kind": "", "what": "trace"}, {}], ProcessError, "process 1 of 3"),
    ],
)
def test_whoever_failed_is_named(tmp_path, ends, kind, sentence):
    folder = TeamFolder(tmp_path)
    for rank, end in enumerate(ends):
        if end:
            folder.write_end(rank, **end)
    with pytest.raises(kind, match=sentence):
        raise failure(folder, 3, [])


@pytest.mark.parametrize(
    "said",
    [
        [
            "[1]:\n",
            "  rank      : 0 (local_rank: 0)\n",
            "  exitcode  : -15 (pid: 7)  (SIGTERM)\n",
            "Root Cause (first observed failure):\n",
            "[0]:\n",
            "  rank      : 2 (local_rank: 2)\n",
            "  exitcode  : -9 (pid: 9)  (SIGKILL)\n",
        ],
        ["srun: error: one: task 2: Killed\n", "srun: error: one: tasks 0-1: Terminated\n"],
    ],
    ids=["torchrun", "srun"],
)
def test_whoever_was_killed_before_the_others_could_say_a_word_is_named(tmp_path, caplog, said):
    message = str(failure(TeamFolder(tmp_path), 3, said))
    assert message.startswith("process 2 of 3") and not caplog.records


def test_what_ended_all_at_their_start_is_in_the_log(tmp_path, caplog):
    said = ["ImportError: no such library\n", "Root Cause\n  rank : 0 \n  exitcode : 1 (pid: 7)\n"]
    assert str(failure(TeamFolder(tmp_path), 2, said)).startswith("processes 0, 1 of 2")
    assert "no such library" in caplog.text


@pytest.mark.parametrize(
    ("processes", "error", "raises"),
    [
        (1, DeviceError("no memory"), False),
        (2, DeviceError("no memory"), True),
        (2, InputError("a part of the file is damaged"), True),
        (2, FitError("the loss is nan"), False),
    ],
)
def test_what_fails_in_one_process_alone_is_no_row(folder, monkeypatch, processes, error, raises):
    """The others wait for it, and would meet it where it does something else."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr("neuralNMF.sizes.trial.add_layer", fails)
    share = Mock(team=Mock(size=processes))
    dataset = dataclasses.replace(open_dataset(folder / "planted.h5ad"), share=share)
    trials = Trials(dataset, LayerOptions(rank=1), progress=False)
    with pytest.raises(type(error)) if raises else nullcontext():
        assert trials.first_layers([3])["status"].tolist() == [f"failed: {error}"]


def test_what_needs_one_process_is_refused():
    with pytest.raises(InputError, match="'guide' needs all labelled cells in one process"):
        LayerOptions(rank=3, shards=2, guide=1.0, labels="kind", **POISSON)


@pytest.mark.parametrize("shards", [1, 2])
def test_what_was_kept_is_gone_once_the_model_stands(folder, tmp_path, monkeypatch, shards):
    """Also where this fit was to keep nothing."""
    for name in ("a.checkpoint", "a.checkpoint.aside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").touch()
    monkeypatch.setattr(launch, "_follow", all_done)
    options = LayerOptions(3, epochs=0, shards=shards)
    job = FitJob(dataset=folder / "sparse.h5ad", output=tmp_path / "a.h5nnmf", options=options)
    run_job(job)
    assert not list(tmp_path.glob("a.checkpoint*"))


@pytest.mark.parametrize(("cells", "words"), [(CELLS, "3 blocks: ask for 3"), (20, "1 block: ask")])
def test_too_many_processes_are_refused_before_any_is_started(
    folder, tmp_path, monkeypatch, cells, words
):
    monkeypatch.setattr(launch, "_follow", Mock(side_effect=AssertionError("started")))
    dataset = open_dataset(folder / "sparse.h5ad")
    data = tmp_path / "some.h5ad"
    write_dataset(data, dataset.rows(0, cells))
    job = FitJob(dataset=data, output=tmp_path / "a.h5nnmf", options=LayerOptions(3, shards=50))
    with pytest.raises(InputError, match=rf"'shards: 50' is too many for some.h5ad.* {words}"):
        run_job(job)
    assert [path.name for path in tmp_path.iterdir()] == ["some.h5ad"]


def all_done(command: list[str], *_) -> tuple[int, list[str]]:
    for rank in range(2):
        TeamFolder(Path(command[-1])).write_end(rank, how=DONE)
    return 0, []


def test_a_job_without_a_stop_keeps_nothing(tmp_path):
    write(tmp_path)
    options = LayerOptions(3, epochs=2)
    output = tmp_path / "a.h5nnmf"
    FitJob(dataset=tmp_path / "sparse.h5ad", output=output, options=options).work(Hands())
    assert output.exists()
    assert not list(tmp_path.glob("a.checkpoint*"))


class Told:
    """Tells to end once the log has a line with these words; and what is kept then."""

    def __init__(self, caplog, words: str) -> None:
        self.caplog, self.words = caplog, words

    @property
    def asked(self) -> bool:
        return self.words in self.caplog.text

    def later(self):
        return nullcontext()

    def now(self, kept: str):
        raise Ended(kept)


def test_a_job_that_is_told_to_end_or_killed_goes_on(tmp_path, caplog):
    """By torchrun, as a rule does it, to the bytes of one that nobody disturbed."""
    write(tmp_path)
    output, whole = (tmp_path / name / "layer1.h5nnmf" for name in ("disturbed", "whole"))
    output.parent.mkdir()
    output.write_text("of before")
    limits = {"epochs": 800, "patience": 1_000_000, "tol": 0.0}
    options = LayerOptions(rank=4, optimizer="adam", shards=2, threads=2, **limits)
    job = FitJob(
        dataset=tmp_path / "sparse.h5ad",
        output=output,
        options=options,
        checkpoint_minutes=1000,
    )
    caplog.set_level("INFO", logger="neuralNMF")
    with pytest.raises(Ended, match=r"epoch \d+ of layer 1 is kept in .*layer1\.checkpoint"):
        run_job(job, Told(caplog, "epoch 10:"))
    assert output.read_text() == "of before" and not workers()

    caplog.clear()
    killed = []

    def kill() -> None:
        while "layer 1 epoch" not in caplog.text:
            time.sleep(0.05)
        for process in workers():
            if environment(process).get("RANK") == "1":
                os.kill(process, signal.SIGKILL)
                killed.append(time.monotonic())

    watcher = threading.Thread(target=kill)
    watcher.start()
    never = Told(caplog, "never said")
    with pytest.raises(ProcessError, match=r"process 1 of 2 .* the job has no result"):
        run_job(dataclasses.replace(job, checkpoint_minutes=1e-6), never)
    watcher.join()
    assert time.monotonic() - killed[0] < 60
    assert output.read_text() == "of before" and not workers()
    [epoch] = re.findall(r"goes on after epoch (\d+)", caplog.text)

    caplog.clear()
    run_job(job, never)
    [later] = re.findall(r"goes on after epoch (\d+)", caplog.text)
    assert int(later) > int(epoch) >= 10
    assert [path.name for path in output.parent.iterdir()] == ["layer1.h5nnmf"]
    run_job(dataclasses.replace(job, output=whole))
    assert output.read_bytes() == whole.read_bytes()


def workers() -> list[int]:
    """Workers that this process has started, by others."""
    return [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if b"neuralNMF.shards.worker" in content(path / "cmdline")
        and content(path / "stat").rpartition(b")")[2].split()[0:1] not in ([], [b"Z"])
        and "torch.distributed.run" not in content(path / "cmdline").decode()
        and environment(int(path.name)).get("PYTEST_CURRENT_TEST")
        == os.environ["PYTEST_CURRENT_TEST"]
    ]


def environment(process: int) -> dict[str, str]:
    entries = content(Path(f"/proc/{process}/environ")).decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_process_that_stands_still_is_lost(monkeypatch):
    """The other one says once that it is alive, and nothing more."""
    told, ended = [], threading.Event()
    monkeypatch.setattr(watch, "_EVERY", 0.02)
    monkeypatch.setattr(watch, "_SILENCE", 0.3)
    monkeypatch.setattr(watch.os, "_exit", lambda status: ended.set())
    store = dist.HashStore()
    store.set("alive/1", "0")
    with watch.watched(Place(1, 3, 1, 3), store, own_tag(), told.append):
        store.set("alive/0", "done")  # it may leave
        store.set("alive/2", "0")
        assert not ended.wait(0.1)
        assert ended.wait(5) and told[0] == 2


def test_processes_end_with_what_has_started_them(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(watch, "_EVERY", 0.02)
    monkeypatch.setattr(watch.os, "_exit", lambda status: ended.set())
    machine, process, _ = own_tag().split("-")
    with watch.watched(Place(0, 1, 0, 1), dist.HashStore(), f"{machine}-{process}-1", print):
        assert ended.wait(5)


def test_a_job_is_the_same_after_it_was_sent(tmp_path):
    options = LayerOptions(rank=4, lr=0.5, batch="plate", shards=3)
    given = {"dataset": tmp_path / "data.h5ad", "output": tmp_path / "out", "options": options}
    jobs = [
        FitJob(**given, previous=tmp_path / "before", layers=[4, 2], reason="so"),
        SizeJob(**given, size=5),
        LayersJob(**given, tried=[tmp_path / "a"], chosen=tmp_path / "b", lists=[[4, 2], [3]]),
    ]
    folder = TeamFolder(tmp_path)
    for job in jobs:
        folder.write_job(job, "it")
        assert folder.read_job() == (job, "it")
