"""One model by several processes: the same numbers, the bytes that are sent, and processes killed.

Weak scaling needs a free core for each of the two processes; the load of the machine is kept.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from neuralNMF.cells.place import Place as Where
from neuralNMF.cells.scaling import fit_scaling
from neuralNMF.cells.stream import dataset_products, draw_rows
from neuralNMF.errors import ProcessError
from neuralNMF.io.choice import load_layers
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import read_table
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.options import LayerOptions
from neuralNMF.shards.job import FitJob
from neuralNMF.shards.launch import run_job
from neuralNMF.shards.processes import Place, joined
from neuralNMF.shards.ranges import open_range
from neuralNMF.shards.size_jobs import LayersJob, SizeJob
from neuralNMF.threads import threads_of_a_fit

from benchmarks.common import folders, save, timed
from benchmarks.million import planted

LAYERS, EPOCHS = (10, 5), 30
FITS = {
    "lsq, reconstruction": {"loss": "reconstruction"},
    "lsq, nested": {},
    "Poisson, nested": {"beta": "learned", "loss": "nested_poisson"},
    "Poisson, pmf": {"beta": "pmf", "loss": "poisson"},
}
TRIED = [8, 16, 20, 24]
PROCESSES = (2, 4)
FEW, HALF, MANY = 10_000, 500_000, 1_000_000
RANK, BEFORE, TURNS = 20, 3, 7
KILLS, VICTIMS = 10, 4


def part_of(out: Path, many: Path, cells: int) -> Path:
    """The first cells of the planted ones, as a data set of their own."""
    path = out / f"shards_{cells}.h5ad"
    if not path.exists():
        dataset = open_dataset(many)
        write_dataset(path, dataset.rows(0, cells), var=dataset.var)
    return path


def fit(data: Path, out: Path, shards: int, options: dict) -> Path:
    """Both layers; the path of the model."""
    before = None
    for number, rank in enumerate(LAYERS, start=1):
        path = out / f"shards_layer{number}.h5nnmf"
        asked = LayerOptions(rank=rank, epochs=EPOCHS, threads=2, shards=shards, **options)
        run_job(FitJob(dataset=data, previous=before, output=path, options=asked))
        before = path
    return path


def equality(data: Path, out: Path) -> dict:
    """How far losses, programs and usage of several processes are from those of one."""
    figures = {}
    for name, options in FITS.items():
        alone = load_model(fit(data, out, 1, options))
        for shards in PROCESSES:
            shared = load_model(fit(data, out, shards, options))
            same = len(shared.history) == len(alone.history)
            losses = (np.asarray(model.history["loss"]) for model in (shared, alone))
            figures[f"{name}, {shards} processes"] = {
                "same_number_of_epochs": same,
                "loss_relative": float(np.abs(np.divide(*losses) - 1).max()) if same else None,
                "programs_of_largest": largest_difference(shared.betas, alone.betas),
                "usage_of_largest": largest_difference(shared.thetas, alone.thetas),
            }
    return figures


def sizes(data: Path, out: Path) -> dict:
    """The choice of layers, a job a size and one for the choice: seconds, and what is chosen."""
    figures, tables = {}, []
    for shards in (1, 2):
        options = LayerOptions(rank=1, threads=2, shards=shards)
        given = {"dataset": data, "options": options}
        tried = [out / f"shards_size_{size}.tsv" for size in TRIED]
        output = out / "shards_sizes.tsv"
        chosen = output.with_suffix(".json")
        begun = time.perf_counter()
        for size, path in zip(TRIED, tried, strict=True):
            run_job(SizeJob(**given, output=path, size=size))
        run_job(LayersJob(**given, output=output, tried=tried, chosen=chosen))
        seconds = time.perf_counter() - begun
        layers, reason = load_layers(chosen)
        figures[f"{shards} processes"] = {"seconds": seconds, "layers": layers, "reason": reason}
        tables.append(read_table(output).select_dtypes("number").drop(columns="seconds"))
    one, two = tables
    figures["same_sizes_tried"] = one["size"].equals(two["size"])
    if one.shape == two.shape:
        difference = (one / two - 1).abs()
        figures["largest_relative_differences"] = difference.max().dropna().to_dict()
    return figures


def largest_difference(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    pairs = zip(ones, others, strict=True)
    return max(float(np.abs(one - other).max() / other.max()) for one, other in pairs)


def epochs_of(rank: int, size: int, port: int, data: Path, out: Path) -> None:
    """Epochs of one of several processes, with a thread each: bytes given away, and seconds."""
    place = Place(rank, size, rank, size)
    store = dist.TCPStore("localhost", port, size, is_master=rank == 0)
    with joined(place, store, torch.device("cpu")) as team, threads_of_a_fit(1) as threads:
        dataset = open_range(data, team, "nested")
        where = Where(threads=threads)
        products = dataset_products(dataset, fit_scaling(dataset, "counts", "none"), where, None)
        generator = torch.Generator().manual_seed(0)
        start = draw_rows(dataset, RANK, generator, torch.float32)
        optimizer = Auto(NeuralNMF([start], threads=threads, team=team), products)
        for _ in range(BEFORE):
            optimizer.epoch()
        sent, seconds = [], []
        for _ in range(TURNS):
            before = team.sent
            seconds.append(timed(optimizer.epoch)[1])
            sent.append(team.sent - before)
        if team.leads:
            np.savez(out, sent=sent, seconds=seconds)


def epochs(data: Path, size: int, out: Path) -> dict:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    found = out / "shards_epochs.npz"
    torch.multiprocessing.spawn(epochs_of, (size, port, data, found), nprocs=size)
    with np.load(found) as measured:
        # A failed extrapolation takes a second pass, and so a second sum.
        sent, seconds = measured["sent"].tolist(), measured["seconds"].tolist()
    return {"bytes_sent_an_epoch": sent, "epoch_seconds": statistics.median(seconds)}


def kills(data: Path, out: Path) -> dict:
    """Kill one of four processes at a random moment, ten times, and run each job again."""
    path = out / "shards_killed.h5nnmf"
    options = LayerOptions(rank=RANK, epochs=EPOCHS, threads=2, shards=VICTIMS)
    job = FitJob(dataset=data, output=path, options=options)
    _, whole = timed(lambda: run_job(job))
    wanted = digest(path)
    draw, rows = random.Random(0), []
    for _ in range(KILLS):
        path.unlink()
        victim, moment = draw.randrange(VICTIMS), draw.uniform(0.2, 0.95) * whole
        killed: list[float] = []
        killer = threading.Thread(target=kill, args=(victim, moment, killed))
        killer.start()
        sentence = ""
        try:
            run_job(job)
        except ProcessError as error:
            sentence = str(error)
        ended = time.monotonic()
        killer.join()
        left = path.exists()
        run_job(job)
        rows.append(
            {
                "victim": victim,
                "after_seconds": moment,
                "seconds_to_the_end": ended - killed[0] if killed else None,
                "sentence": sentence,
                "named": f"process {victim} of" in sentence,
                "model_left": left,
                "same_bytes_again": digest(path) == wanted,
            }
        )
    return {"whole_run_seconds": whole, "kills": rows}


def kill(victim: int, moment: float, killed: list[float]) -> None:
    """End one of the workers of this process, if it is still there then."""
    time.sleep(moment)
    for process in Path("/proc").glob("[0-9]*"):
        command, known = (content(process / name) for name in ("cmdline", "environ"))
        of_ours = b"neuralNMF.shards.worker" in command and b"torch.distributed.run" not in command
        if of_ours and f"RANK={victim}".encode() in known.split(b"\0"):
            os.kill(int(process.name), signal.SIGKILL)
            killed.append(time.monotonic())


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    _, out = folders()
    many = planted(out, "million", 0.05)
    few, half = (part_of(out, many, cells) for cells in (FEW, HALF))
    figures: dict = {"load": os.getloadavg()}
    steps: dict[str, Callable[[], dict]] = {
        "equality": lambda: equality(few, out),
        "sizes": lambda: sizes(few, out),
        "few": lambda: epochs(few, 2, out),
        "many": lambda: epochs(many, 2, out),
        "half, one process": lambda: epochs(half, 1, out),
        "killed": lambda: kills(few, out),
    }
    for name, step in steps.items():
        figures[name] = step()
        save(out, "shards", figures)
    ideal, found = figures["half, one process"], figures["many"]
    figures["weak_scaling"] = ideal["epoch_seconds"] / found["epoch_seconds"]
    save(out, "shards", figures)


if __name__ == "__main__":
    main()
