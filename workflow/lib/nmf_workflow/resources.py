"""Memory, time and GPUs that each rule asks for; docs/cluster.md states and explains the formulas.

All are functions that Snakemake calls once the inputs exist, so they follow the size of the data.
Every new attempt of a failed job asks for twice as much.
"""

import math
import os
from collections.abc import Callable
from typing import Any

from neuralNMF.options import CELLS_OF_A_HALF, rank_in_memory

from nmf_workflow.config import Config
from nmf_workflow.parts import PartPlan

# Python, torch and their libraries, without any data; with a GPU its host side comes on top.
FIT_BASE_MB = 2000
GPU_BASE_MB = 4000
BASE_MB = 1500
# A job's start on a busy file system, and a margin for slow machines.
BASE_MINUTES = 10
# Seconds for one non-zero and one program of layer 1, an epoch, on one slow core.
SECONDS_PER_PRODUCT = 2e-9
# Epochs' worth of work in the start of a layer.
START_EPOCHS = 100
# The same, start and training together, by which most fits have stopped by themselves; and seconds
# of a job of a fit for its libraries and files. Both measured on blood and lymph node cells.
USUAL_EPOCHS, SECONDS_OF_A_JOB = 40, 10
# Fits' worth of work in a layer by consensus: eight of half of the cells, and one.
FITS_OF_A_CONSENSUS = 5
# A stored non-zero: its value and its column.
BYTES_PER_NONZERO = 8
# Selected genes found in a cell: with fewer than this, Theta_1 weighs more than assumed.
GENES_IN_A_CELL = 100
# Copies of Theta_1, the cells' usage of the programs, that a fit holds at a time.
THETA_COPIES = 4
# Layers by consensus that the choice of layers is worth.
TRIALS = 6
# The layout of 50,000 cells (of more, a sample is laid out), and its minutes on a slow core.
LAYOUT_MB = 1000
LAYOUT_MINUTES = 5
# For what the formulas leave out.
MARGIN = 1.3

Function = Callable[..., Any]


class Needs:
    """What each rule asks for under a config.

    A layer's needs are those of its most demanding run, so that the runs of one sample, which a
    cluster may take as one job array with one request, ask for the same.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def runs(self, number: int) -> list[dict[str, Any]]:
        """The runs that have a layer of this number."""
        return [run for run in self.config.runs.values() if len(run["layers"]) >= number]

    def consensus(self, sample: str, number: int) -> bool:
        """Whether a run of a sample has a layer of this number by consensus."""
        runs = self.config.runs.items()
        return any(
            self.config.consensus(sample, name)
            for name, run in runs
            if len(run["layers"]) >= number
        )

    def fit_mem_mb(self, number: int) -> Function:
        """Memory of ``train_layer<number>``."""
        runs = self.runs(number)
        rank = max(rank_in_memory(run["layers"][:number], run["loss"]) for run in runs)
        wide = 2 if any(run["precision"] == "float64" for run in runs) else 1
        on_gpu = any(uses_gpu(run["device"][number - 1]) for run in runs)
        processes = max(run["shards"][number - 1] for run in runs)
        base = (FIT_BASE_MB + (GPU_BASE_MB if on_gpu else 0)) * processes
        theta = THETA_COPIES * 4 * rank / (BYTES_PER_NONZERO * GENES_IN_A_CELL)

        def mem_mb(wildcards: Any, input: Any, attempt: int) -> int:
            size = input.size_mb
            held = self.held_mb(wildcards.sample, number, size)
            return again(base + MARGIN * wide * (held + theta * size), attempt)

        return mem_mb

    def held_mb(self, sample: str, number: int, size: float) -> float:
        """What of a data set of some size is in memory at a time: all, or ``data_mem_size`` cells.

        Halves of the cells are held whole, also where all cells are streamed.
        How many genes are found in a cell is not known here; at most all selected ones.
        """
        cells = [run["data_mem_size"] for run in self.runs(number)]
        genes = self.config.samples[sample].dataset["variable_genes"]
        if None in cells or genes is None:
            return size
        if self.consensus(sample, number):
            cells.append(CELLS_OF_A_HALF)
        return min(size, max(cells) * genes * BYTES_PER_NONZERO / 1e6)

    def fit_runtime(self, number: int) -> Function:
        """Minutes of ``train_layer<number>``, if it trains to the limit of its epochs."""

        def runtime(wildcards: Any, input: Any, attempt: int) -> int:
            minutes = self.fit_minutes(wildcards.sample, number, input.size_mb)
            return again(BASE_MINUTES + minutes, attempt)

        return runtime

    def fit_minutes(
        self, sample: str, number: int, size: float, epochs: int | None = None
    ) -> float:
        """The same for a data set of some size in MB, without what a job needs to start.

        With `epochs` for a fit that stops after so many epochs' worth of work, its start included.
        """
        work = max(
            (epochs or START_EPOCHS + run["epochs"][number - 1]) * run["layers"][0]
            for run in self.runs(number)
        )
        fits = FITS_OF_A_CONSENSUS if self.consensus(sample, number) else 1
        return fits * work * size * 1e6 / BYTES_PER_NONZERO * SECONDS_PER_PRODUCT / 60

    def all_minutes(self, sample: str, size: float) -> tuple[float, float]:
        """Minutes of one core for all fits of a sample: as usual, and with all of their epochs."""
        jobs, usual, most = 0, 0.0, 0.0
        for run in self.config.runs.values():
            fits = [(number, 1.0) for number in range(1, len(run["layers"]) + 1)]
            jobs += len(fits)
            if run["search"] is not None:
                sizes = run["search"].sizes
                fits.append((1, TRIALS + sum(sizes) / max(sizes)))
                jobs += len(sizes) + 1
            for number, times in fits:
                usual += times * self.fit_minutes(sample, number, size, USUAL_EPOCHS)
                most += times * self.fit_minutes(sample, number, size)
        return usual + jobs * SECONDS_OF_A_JOB / 60, most + jobs * SECONDS_OF_A_JOB / 60

    def sizes_runtime(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Minutes of a trial of sizes: so many layers by consensus, one after the other."""
        return again(TRIALS * self.fit_runtime(1)(wildcards, input, 1), attempt)

    def gpu(self, number: int) -> Function:
        """GPUs of ``train_layer<number>``: one a process if the config asks for ``cuda``."""

        def gpu(wildcards: Any) -> int:
            run = self.config.runs[wildcards.run]
            return int(uses_gpu(run["device"][number - 1])) * run["shards"][number - 1]

        return gpu

    def tasks(self, number: int) -> Function:
        """Processes of ``train_layer<number>``, the tasks of its job under Slurm."""

        def tasks(wildcards: Any) -> int:
            shards: int = self.config.runs[wildcards.run]["shards"][number - 1]
            return shards

        return tasks

    def trial_threads(self, workflow: Any) -> Function:
        """Threads of the trial of a size: one for each of its processes.

        Slurm counts threads by process, all others those of the job.
        """
        tasks = self.tasks(1)

        def threads(wildcards: Any) -> int:
            return 1 if by_slurm(workflow) else tasks(wildcards)

        return threads

    def part_mem_mb(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Memory of rules that read one part of a sample's cells in pieces."""
        return again(BASE_MB + input.size_mb * PartPlan(self.config).share(wildcards), attempt)

    def part_runtime(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Minutes of the same."""
        size = input.size_mb * PartPlan(self.config).share(wildcards)
        return again(BASE_MINUTES + size / 60, attempt)

    def projection_mem_mb(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Memory of ``project``: counts go through it in pieces, the usage is held."""
        return again(FIT_BASE_MB + input.size_mb, attempt)

    def embedding_mem_mb(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Memory of ``embed``: counts go through it in pieces, the usage is held."""
        return again(BASE_MB + LAYOUT_MB + input.size_mb, attempt)

    def embedding_runtime(self, wildcards: Any, input: Any, attempt: int) -> int:
        """Minutes of ``embed``: each layer is laid out."""
        layers = len(self.config.runs[wildcards.run]["layers"])
        return again(BASE_MINUTES + LAYOUT_MINUTES * layers + input.size_mb / 60, attempt)

    def simulation_mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of ``simulate`` and ``write_h5``: rates, counts and their copies."""
        parameters = self.config.samples[wildcards.sample].simulate or {}
        return again(BASE_MB + 32 * parameters["cells"] * parameters["genes"] / 1e6, attempt)


def by_slurm(workflow: Any) -> bool:
    """Whether the jobs of a workflow are those of Slurm; also asked within such a job."""
    if workflow.remote_exec:
        return "SLURM_JOB_ID" in os.environ
    return workflow.executor_plugin is not None and workflow.executor_plugin.name == "slurm"


def uses_gpu(device: str) -> bool:
    """Whether a ``device`` of the config is a GPU that a cluster has to give."""
    return device.startswith("cuda")


def mem_mb(wildcards: Any, input: Any, attempt: int) -> int:
    """Memory of rules that go through their inputs in pieces."""
    return again(BASE_MB + input.size_mb, attempt)


def runtime(wildcards: Any, input: Any, attempt: int) -> int:
    """Minutes of rules that read their inputs a few times, at about a megabyte a second."""
    return again(BASE_MINUTES + input.size_mb / 60, attempt)


def again(amount: float, attempt: int) -> int:
    """What the attempt-th try asks for where the first asks for an amount."""
    return math.ceil(amount) * 2 ** (attempt - 1)
