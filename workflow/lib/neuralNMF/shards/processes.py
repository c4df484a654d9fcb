"""A team of several processes, by torch.distributed: gloo, or NCCL where each has a GPU."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from neuralNMF.errors import ProcessError
from neuralNMF.team import Team

Value = TypeVar("Value")
# How long a process waits for another one that still lives: a pass over its cells may take long.
# One that died is noticed much sooner (`shards.watch`).
_PATIENCE = timedelta(hours=6)
# And until all have started.
_START = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    """The place of a process in its team.

    Attributes
    ----------
    rank, size : int
        The number of the process, from 0, and how many there are.
    local, here : int
        The same among those on this machine.
    """

    rank: int
    size: int
    local: int
    here: int


def own_place() -> Place:
    """The place of this process, as torchrun or Slurm's srun has put it into the environment."""
    known = os.environ
    if "RANK" in known:
        names = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
        return Place(*(int(known[name]) for name in names))
    # SLURM_STEP_TASKS_PER_NODE: "2(x3),1" for 2, 2, 2 and 1 tasks.
    counts: list[int] = []
    for part in known["SLURM_STEP_TASKS_PER_NODE"].split(","):
        number, _, times = part.rstrip(")").partition("(x")
        counts += [int(number)] * int(times or 1)
    here = counts[int(known["SLURM_NODEID"])]
    rank, size, local = (int(known[f"SLURM_{name}"]) for name in ("PROCID", "NTASKS", "LOCALID"))
    return Place(rank, size, local, here)


class LeftAloneError(ProcessError):
    """Another process is gone, so that no sum can be made any more."""


def _together(collective: Callable[..., Any], *values: Any) -> None:
    """Take part in a collective; torch.distributed raises RuntimeError where another is gone."""
    try:
        collective(*values)
    except RuntimeError as error:
        raise LeftAloneError(f"another process is gone ({error})") from error


class Processes(Team):
    """The processes of the default group of torch.distributed.

    Parameters
    ----------
    device : torch.device
        Where collectives take their tensors from: the host with gloo, this process' GPU with NCCL.
    here : int
        Processes of the group on this machine.

    Notes
    -----
    A sum is made in two steps. Each process gets one part of the arrays from all others and adds
    these up in the order of the processes, in double precision; then each gets all sums. So every
    process has the same bytes, and has them again in every run, whatever the network does; and
    gives away 2 (n - 1) / n times the arrays' bytes, as little as any way can.
    """

    def __init__(self, device: torch.device, here: int = 1) -> None:
        self.rank, self.size, self.here = dist.get_rank(), dist.get_world_size(), here
        self.sent = 0
        self._device = device

    def add(self, *arrays: np.ndarray) -> None:
        """See `Team.add`."""
        flat = np.concatenate([np.ravel(array) for array in arrays])
        share = -(-flat.size // self.size)
        padded = np.zeros(share * self.size)
        padded[: flat.size] = flat
        given = torch.from_numpy(padded).to(self._device)
        parts = torch.empty_like(given)
        _together(dist.all_to_all_single, parts, given)
        own = parts[:share].clone()
        for other in parts.view(self.size, share)[1:]:
            own += other
        _together(dist.all_gather_single, given, own)
        self.sent += 2 * (self.size - 1) * own.nbytes
        sums = given.cpu().numpy()
        start = 0
        for array in arrays:
            array[...] = sums[start : start + array.size].reshape(array.shape)
            start += array.size

    def gathered(self, value: Value) -> list[Value]:
        """See `Team.gathered`."""
        values: list[Value] = [value] * self.size
        _together(dist.all_gather_object, values, value)
        self.sent += len(pickle.dumps(value)) * (self.size - 1)
        return values


@contextmanager
def joined(place: Place, store: Store, device: torch.device) -> Iterator[Team]:
    """The team that this process belongs to, for as long as the block runs.

    Parameters
    ----------
    place : Place
        Of this process.
    store : torch.distributed.Store
        Of `meeting`.
    device : torch.device
        Of the fit.

    Yields
    ------
    Team
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=place.rank,
        world_size=place.size,
        timeout=_PATIENCE,
    )
    try:
        yield Processes(device if on_gpu else torch.device("cpu"), place.here)
    finally:
        dist.destroy_process_group()


def meeting(place: Place) -> Store:
    """Where the processes of a team meet: at MASTER_ADDR and MASTER_PORT of the environment.

    Raises
    ------
    ProcessError
        Some do not come.
    """
    try:
        found = rendezvous("env://", place.rank, place.size, timeout=_START)
        store: Store = next(found)[0]
    except (RuntimeError, ValueError) as error:
        raise ProcessError(
            f"process {place.rank} of {place.size} could not meet the others ({error}): see "
            "whether the machines reach each other."
        ) from error
    return store
