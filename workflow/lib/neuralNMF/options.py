"""What one layer's fit needs to know, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from neuralNMF.errors import InputError
from neuralNMF.scaling import NORMALIZATIONS, TRANSFORMS

_ALLOWED: dict[str, tuple[str, ...]] = {
    "optimizer": ("auto", "adam", "gd"),
    "normalize": NORMALIZATIONS,
    "transform": TRANSFORMS,
    "beta": ("lsq",),
    "loss": ("reconstruction", "energy"),
    "init": ("nmf", "random"),
    "precision": ("float32", "float64"),
}


@dataclass(frozen=True)
class LayerOptions:
    """Options of `fit_layer`, for the layer that it adds.

    Raises InputError on a value out of range.

    rank: programs of the layer. epochs: the limit of joint training, which stops by itself. lr:
    step size; ``auto`` needs none. optimizer: ``auto`` (monotone), ``adam`` or ``gd``. normalize,
    transform: see `scaling`. beta: how programs are found from Theta. loss: what training lowers.
    init: ``nmf`` pretrains the layer, ``random`` does not. joint: train the earlier layers too.
    tol, patience: training ends once the loss fell by less than ``tol`` of itself over ``patience``
    epochs. seed: of the random start. device, precision: of the cells' side. data_mem_size: cells
    held in memory, None for all. threads: of the host, None for torch's own number.
    """

    rank: int
    epochs: int = 300
    lr: float | str = "auto"
    optimizer: Literal["auto", "adam", "gd"] = "auto"
    normalize: str = "counts"
    transform: str = "none"
    beta: str = "lsq"
    loss: str = "reconstruction"
    init: str = "nmf"
    joint: bool = True
    tol: float = 1e-4
    patience: int = 10
    seed: int = 0
    device: str = "cpu"
    precision: str = "float32"
    data_mem_size: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(allowed)
                raise InputError(f"{name} is {getattr(self, name)!r}: it may be {listed}.")
        for name, least in (("rank", 1), ("epochs", 0), ("patience", 1), ("seed", 0)):
            _check_whole(name, getattr(self, name), least)
        for name in ("data_mem_size", "threads"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if self.lr != "auto" and not (isinstance(self.lr, int | float) and self.lr > 0):
            raise InputError(f"lr is {self.lr!r}: it may be 'auto' or a number above 0.")
        if not (isinstance(self.tol, int | float) and self.tol >= 0):
            raise InputError(f"tol is {self.tol!r}: it may be 0 or a small number such as 1e-4.")

    def plain(self) -> dict[str, Any]:
        """What shaped the result, in plain types; not where and with how many threads it ran."""
        left_out = {"device", "threads", "data_mem_size"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
