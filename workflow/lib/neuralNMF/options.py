"""What one layer's fit needs to know, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from neuralNMF.cells.scaling import NORMALIZATIONS, TRANSFORMS
from neuralNMF.errors import InputError

_ALLOWED: dict[str, tuple[str, ...]] = {
    "optimizer": ("auto", "adam", "gd"),
    "normalize": NORMALIZATIONS,
    "transform": TRANSFORMS,
    "beta": ("lsq", "pmf", "learned"),
    "loss": ("reconstruction", "energy", "poisson"),
    "init": ("nmf", "random"),
    "precision": ("float32", "float64"),
}
# Losses that each kind of programs can be trained by, the usual one first.
LOSSES: dict[str, tuple[str, ...]] = {
    "lsq": ("reconstruction", "energy"),
    "pmf": ("poisson",),
    "learned": ("reconstruction", "poisson"),
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
    held in memory, None for all. threads: of the host, None for torch's own number. prior_shape,
    prior_rate: of the Gamma prior of ``beta: pmf``, see `poisson.posterior.GammaPrior`. labels,
    guide, guide_layer: the column of ``obs`` whose classes guide a Poisson fit, the weight of the
    classifier's cross-entropy (0: no guide) and the layer whose usage it sees.
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
    prior_shape: float = 0.3
    prior_rate: float = 1.0
    labels: str | None = None
    guide: float = 0.0
    guide_layer: int = 1

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(allowed)
                raise InputError(f"{name} is {getattr(self, name)!r}: it may be {listed}.")
        for name, least in (
            ("rank", 1),
            ("epochs", 0),
            ("patience", 1),
            ("seed", 0),
            ("guide_layer", 1),
        ):
            _check_whole(name, getattr(self, name), least)
        for name in ("data_mem_size", "threads"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if self.lr != "auto" and not (isinstance(self.lr, int | float) and self.lr > 0):
            raise InputError(f"lr is {self.lr!r}: it may be 'auto' or a number above 0.")
        for name in ("tol", "guide"):
            if not (_is_number(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be a number >= 0.")
        for name in ("prior_shape", "prior_rate"):
            if not (_is_number(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be a number above 0.")
        self._check_combination()

    def _check_combination(self) -> None:
        if self.loss not in LOSSES[self.beta]:
            fitting = " or ".join(f"'loss: {loss}'" for loss in LOSSES[self.beta])
            others = [f"'beta: {beta}'" for beta, losses in LOSSES.items() if self.loss in losses]
            raise InputError(
                f"'beta: {self.beta}' cannot be trained by 'loss: {self.loss}': take {fitting}, or "
                f"{' or '.join(others)} for that loss."
            )
        raw = (self.normalize, self.transform) == ("counts", "none")
        if self.loss == "poisson" and not raw:
            raise InputError(
                "'loss: poisson' models raw counts, with library sizes of its own, but normalize "
                f"is {self.normalize!r} and transform is {self.transform!r}: they must be "
                "'counts' and 'none'."
            )
        if self.guide > 0 and self.loss != "poisson":
            raise InputError(
                f"'guide' works with 'loss: poisson' only, not with 'loss: {self.loss}': set it "
                "to 0 or take 'beta: learned' with 'loss: poisson'."
            )
        if self.guide > 0 and self.labels is None:
            raise InputError("'guide' is above 0 but there are no 'labels': name a column of obs.")

    def plain(self) -> dict[str, Any]:
        """What shaped the result, in plain types; not where and with how many threads it ran."""
        left_out = {"device", "threads", "data_mem_size"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
