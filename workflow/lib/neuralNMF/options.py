"""What can be asked of a fit: choices, which of them go together, and `LayerOptions`.

Shared with the workflow, which checks its config by them before torch is imported; so nothing here
imports more than the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from neuralNMF.errors import InputError

NORMALIZATIONS = ("counts", "library", "variance")
TRANSFORMS = ("none", "sqrt", "log1p")
# Losses that each kind of programs can be trained by, the usual one first.
LOSSES: dict[str, tuple[str, ...]] = {
    "lsq": ("nested", "reconstruction", "energy"),
    "pmf": ("nested_poisson", "poisson"),
    "learned": ("nested", "nested_poisson", "reconstruction", "poisson"),
}
# Losses of the raw counts, by a Poisson model.
POISSON = ("nested_poisson", "poisson")
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("auto", "adam", "gd"),
    "normalize": NORMALIZATIONS,
    "transform": TRANSFORMS,
    "beta": tuple(LOSSES),
    "loss": ("nested", "nested_poisson", "reconstruction", "energy", "poisson"),
    "init": ("nmf", "random"),
    "precision": ("float32", "float64"),
}
# What the losses of `POISSON` ask for: they model raw counts, with library sizes of its own.
RAW_COUNTS = {"normalize": "counts", "transform": "none", "gene_power": None}
# What the counts of real cells are fitted with (docs/method.md, benchmarks/README.md).
REAL_CELLS = {"normalize": "library", "transform": "log1p", "gene_power": 0.5}
VARIABLE_GENES = 2000
# Options that may differ from layer to layer, beside the rank.
PER_LAYER = ("epochs", "lr", "device", "shards")
# Options that say where a fit runs and in how much memory; they change its result by rounding only.
WHERE = ("device", "data_mem_size", "threads", "shards")
# Options that only `beta: pmf` has, and options of the labels that guide a Poisson fit.
PRIOR = ("prior_shape", "prior_rate")
GUIDE = ("labels", "guide", "guide_layer")
# Columns of ``obs`` that say where cells are from; for a batch, `INPUT` stands for the input files.
OF_CELLS = ("batch", "condition")
INPUT = "input"
# Columns of ``obs`` that every data set has, and AnnData's own: the user's of these names are
# called ``input_...`` there.
TAKEN = ("dataset", "total_counts", "selected_counts", "_index")
# A fit by consensus looks at halves with so many cells at the most: programs do not need more, and
# a fit takes no longer.
CELLS_OF_A_HALF = 50_000
# Layers that are chosen by the data: how many there may be, and which part of a layer's programs
# the next one has at the most.
DEEPEST, COARSER = 3, 0.67
# How the variable genes of a data set are found, the usual way first.
VARIABLE_GENES_BY = ("seurat_v3", "pearson")
# The last bytes of a file of simulated counts.
SIMULATED = b"neuralNMF drawn\n"
# Options of a data set that are lists of genes, or the path of a file with one.
GENE_LISTS = ("include", "exclude", "genes")


@dataclass(frozen=True)
class LayerOptions:
    """Options of `fit_layer`, for the layer that it adds.

    Parameters
    ----------
    rank
        Number of programs of the layer.
    epochs
        Limit of the epochs of joint training, which stops earlier by itself.
    lr
        Step size of ``adam`` and ``gd``; ``auto`` chooses it.
    optimizer
        ``auto`` (the loss never rises), ``adam`` or ``gd``.
    normalize
        Factors of cells and genes: ``counts`` (none), ``library`` (every cell to the median total
        over all genes) or ``variance`` (that, and every gene to unit variance).
    transform
        Function of the counts, after the cells' factor and before the genes': ``none``, ``sqrt`` or
        ``log1p``.
    gene_power
        Power of its standard deviation that every gene is divided by, after all that, 0 to 1; None
        takes 1 with ``normalize: variance`` and 0 otherwise.
    beta
        How the programs are found: ``lsq`` by least squares from Theta, ``pmf`` by Poisson matrix
        factorization, ``learned`` as parameters that are trained like Theta.
    loss
        What training lowers, docs/method.md; `LOSSES` says which goes with which ``beta``.
    init
        Start of the layer: ``nmf`` factorizes the layer before, ``random`` draws it.
    joint
        Whether the earlier layers are trained too.
    min_support
        Programs that fewer cells carry are given up, so that a layer may end with fewer programs
        than its rank; a thirtieth of the cells, where these are under 300; 0 keeps all. See
        `evidence.support.support`.
    consensus
        Whether the layer has the programs that fits of random halves of the cells share, as many
        as are found again, instead of those of one fit: see `consensus.fit.add_layer`.
    tol, patience
        Training ends once the loss fell by less than ``tol`` of itself over ``patience`` epochs.
    batch
        Column of ``obs`` with the batch of each cell, or ``input``: a factor for each batch and
        gene is learned with the first layer and taken out of X' (docs/batches.md). None: no
        batches.
    condition
        Column of ``obs`` whose effect the factors of batches leave alone; None: none.
    seed
        Of everything that is drawn at random.
    device
        Where the cells' side is computed: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``.
    precision
        Of the cells' side: ``float32`` or ``float64``.
    data_mem_size
        Cells held in memory at a time; None holds all.
    threads
        Of the host; None takes torch's own number.
    shards
        Processes that fit the layer together, each with a range of the cells: see `shards`.
    prior_shape, prior_rate
        Gamma prior of the programs of ``beta: pmf``.
    labels
        Column of ``obs`` whose classes guide a Poisson fit.
    guide
        Weight of the classifier's cross-entropy beside half the deviance; 0 does not guide.
    guide_layer
        Number of the layer whose usage the classifier sees.

    Raises
    ------
    InputError
        If a value is out of range, or two do not go together.
    """

    rank: int
    epochs: int = 300
    lr: float | str = "auto"
    optimizer: str = "auto"
    normalize: str = "counts"
    transform: str = "none"
    gene_power: float | None = None
    beta: str = "lsq"
    loss: str = "nested"
    init: str = "nmf"
    joint: bool = True
    min_support: float = 10.0
    consensus: bool = False
    tol: float = 1e-4
    patience: int = 10
    seed: int = 0
    device: str = "cpu"
    precision: str = "float32"
    data_mem_size: int | None = None
    threads: int | None = None
    shards: int = 1
    prior_shape: float = 0.3
    prior_rate: float = 1.0
    labels: str | None = None
    guide: float = 0.0
    guide_layer: int = 1
    batch: str | None = None
    condition: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(allowed)
                raise InputError(f"{name} is {getattr(self, name)!r}: it may be {listed}.")
        for name, least in (
            ("rank", 1),
            ("epochs", 0),
            ("patience", 1),
            ("seed", 0),
            ("guide_layer", 1),
            ("shards", 1),
        ):
            _check_whole(name, getattr(self, name), least)
        for name in ("data_mem_size", "threads"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if self.lr != "auto" and not (isinstance(self.lr, int | float) and self.lr > 0):
            raise InputError(f"lr is {self.lr!r}: it may be 'auto' or a number above 0.")
        for name in ("tol", "guide", "min_support"):
            if not (_is_number(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be a number >= 0.")
        if self.gene_power is not None and not (
            _is_number(self.gene_power) and 0 <= self.gene_power <= 1
        ):
            raise InputError(
                f"gene_power is {self.gene_power!r}: it must be a number from 0 to 1, or None."
            )
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
        raw = all(getattr(self, name) == value for name, value in RAW_COUNTS.items())
        if self.loss in POISSON and not raw:
            raise InputError(
                f"'loss: {self.loss}' models raw counts, with library sizes of its own, but "
                f"normalize is {self.normalize!r}, transform is {self.transform!r} and gene_power "
                f"is {self.gene_power!r}: they must be 'counts', 'none' and None."
            )
        if self.guide > 0 and self.loss not in POISSON:
            raise InputError(
                f"'guide' works with 'loss: nested_poisson' and 'loss: poisson' only, not with "
                f"'loss: {self.loss}': set it to 0 or take 'beta: learned' with one of these."
            )
        if self.guide > 0 and self.consensus:
            raise InputError(
                "'guide' leads the fit by labels and 'consensus' by other fits: set one of the two "
                "to 0 or False."
            )
        if self.guide > 0 and self.shards > 1:
            raise InputError(
                "'guide' needs all labelled cells in one process, so 'shards' cannot be "
                f"{self.shards}: set it to 1, or 'guide' to 0."
            )
        if self.condition is not None and self.condition == self.batch:
            raise InputError(
                f"'batch' and 'condition' both name '{self.batch}', so what a batch adds cannot be "
                "told from the condition: name one of the two."
            )
        if self.guide > 0 and self.labels is None:
            raise InputError("'guide' is above 0 but there are no 'labels': name a column of obs.")

    def plain(self) -> dict[str, Any]:
        """What shaped the result, in plain types; not where and with how many threads it ran."""
        shaped = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in WHERE}
        for name in OF_CELLS:
            if shaped[name] is None:
                del shaped[name]
        return shaped


def rank_in_memory(layers: Sequence[int], loss: str) -> int:
    """The rank of a Theta_1 that takes as much memory as the arrays of a fit with one row a cell.

    Parameters
    ----------
    layers : sequence of int
        k_1 ... k_l.
    loss : str
        ``nested_poisson`` holds the usage of the later layers and its gradient, where four copies
        of Theta_1 are held.
    """
    later = sum(layers[1:]) if loss == "nested_poisson" else 0
    return layers[0] + -(-later // 2)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}.")
