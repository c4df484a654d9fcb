"""Where the cells' side of the computation runs."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from neuralNMF.errors import DeviceError, InputError

_KNOWN = re.compile(r"(cpu|mps|cuda(:\d+)?)")


def resolve_device(name: str) -> torch.device:
    """Find the torch device of a name.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``: the first CUDA device where there is
        one, else the CPU.

    Returns
    -------
    torch.device
        That this machine has.

    Raises
    ------
    InputError
        There is no such name.
    DeviceError
        This machine, or this build of torch, has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not _KNOWN.fullmatch(name):
        raise InputError(
            f"device is '{name}': it may be auto, cpu, cuda, cuda:0, cuda:1, ... or mps."
        )
    device = torch.device(name)
    if device.type == "cuda":
        available = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= available:
            raise DeviceError(
                f"device is '{name}' but torch {torch.__version__} finds {available} CUDA devices "
                "here: take 'device: auto' or 'cpu', or run where there are a GPU and a CUDA "
                "build of torch."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            "device is 'mps' but this machine has no Apple GPU that torch can use: "
            "take 'device: auto' or 'cpu'."
        )
    return device


def empty_rows(cells: int, rank: int, *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Make an array for a row of each cell, without values yet, as ``torch.empty`` does.

    On the host the memory is numpy's, which asks the system for large pages: a million cells by
    small pages take ten times as long to get, 7 % of an epoch.

    Parameters
    ----------
    cells, rank : int
        N and k.
    device : torch.device
        Where it lies.
    dtype : torch.dtype
        ``float32`` or ``float64``.

    Returns
    -------
    Tensor, (N, k)
        Uninitialised.
    """
    if device.type == "cpu":
        kind = np.float64 if dtype == torch.float64 else np.float32
        return torch.from_numpy(np.empty((cells, rank), kind))
    return torch.empty((cells, rank), device=device, dtype=dtype)
