"""Where the fit of a layer stands between two trainings: the factors, and how it came to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuralNMF.training.loop import Status, Training


@dataclass
class Start:
    """The factors of all layers before training.

    Attributes
    ----------
    thetas : list of Tensor
        Theta_1 (N, k_1) on the device and in the precision of the fit; Theta_l (k_{l-1}, k_l),
        l = 2 ... L, float64 on the host.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), l = 1 ... L, float64 on the host; none where they are solved
        from the Thetas.
    record : Training, optional
        Of the fit that the first layer's start came from.
    """

    thetas: list[Tensor]
    programs_t: list[Tensor]
    record: Training | None = None


@dataclass
class Stage:
    """What the next training begins from, and what was before it.

    Attributes
    ----------
    start : Start
        Its factors are left as they are by training.
    joint : bool
        Whether the earlier layers are trained too.
    supports : list of ndarray, (k_l,) each
        Of the programs, where training has not come yet.
    number : int
        Trainings that were begun before.
    records : list of Training
        Of those that were not taken back.
    """

    start: Start
    joint: bool
    supports: list[np.ndarray]
    number: int = 0
    records: list[Training] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """All of it as `io.states.write_state` takes it, but with tensors."""
        start = self.start
        return {
            "thetas": start.thetas,
            "programs_t": start.programs_t,
            "started": None if start.record is None else _plain(start.record),
            "joint": self.joint,
            "supports": self.supports,
            "number": self.number,
            "records": [_plain(record) for record in self.records],
        }

    @classmethod
    def of_plain(cls, state: dict[str, Any], device: torch.device) -> Stage:
        """What `plain` gave, with Theta_1 on a device."""
        started = state["started"]
        first, *later = map(torch.from_numpy, state["thetas"])
        start = Start(
            [first.to(device), *later],
            list(map(torch.from_numpy, state["programs_t"])),
            None if started is None else _training(started),
        )
        records = [_training(record) for record in state["records"]]
        return cls(start, state["joint"], state["supports"], state["number"], records)


def _plain(training: Training) -> dict[str, Any]:
    return asdict(training) | {"status": training.status.name}


def _training(state: dict[str, Any]) -> Training:
    return Training(**(state | {"status": Status[state["status"]]}))
