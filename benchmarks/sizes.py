"""How often `layers: auto` finds the planted sizes: hierarchies, flat programs and noise.

2,000 cells x 1,500 genes, Poisson and overdispersed counts, by the defaults for real cells. The
first layer is right with the planted number of programs or one more or less; noise has none, so
that the smallest size is right. The depth of a hierarchy is two, of all others one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from neuralNMF.io.dataset import Dataset, open_dataset, write_dataset
from neuralNMF.options import REAL_CELLS, LayerOptions
from neuralNMF.sizes.choose import choose_layers
from neuralNMF.sizes.trial import Trials
from nmf_workflow.config import load

from benchmarks.common import folders, save, timed
from benchmarks.planted import DIRICHLET, DISPERSION, FLOOR, SHARED

CELLS, GENES, TOTAL = 2000, 1500, 1500
BACKGROUND = 0.05  # share of a cell's counts from all fine programs alike
FLAT_FLOOR = 0.3  # of a flat program's counts on all genes alike
SEEDS = 5
SIZES = load({"samples": {"any": {"simulate": {}}}, "layers": "auto"}).runs["main"]["search"].sizes


@dataclass(frozen=True)
class Kind:
    """What is planted.

    Attributes:
        fine: programs of the first layer, 0 for noise.
        coarse: programs that they are part of, 0 for none.
        overdispersion: b of every gene, variance = mean + b mean^2.
    """

    fine: int
    coarse: int = 0
    overdispersion: float = 0.0


KINDS = {
    "12 in 4": Kind(12, 4),
    "12 in 4, overdispersed": Kind(12, 4, 0.3),
    "20 in 10": Kind(20, 10),
    "20 in 10, overdispersed": Kind(20, 10, 0.3),
    "flat 8": Kind(8),
    "flat 8, overdispersed": Kind(8, 0, 0.3),
    "noise": Kind(0),
    "noise, overdispersed": Kind(0, 0, 0.3),
}


def planted(kind: Kind, rng: np.random.Generator) -> sp.csr_matrix:
    """Counts (CELLS, GENES); every cell has one at least."""
    if kind.fine == 0:
        profile = rng.gamma(0.5, 1.0, GENES)[None] / (0.5 * GENES)
        shares = np.ones((CELLS, 1))
    else:
        profile = _programs(kind, rng)
        shares = _shares(kind, rng)
    sizes = rng.gamma(DISPERSION, TOTAL / DISPERSION, (CELLS, 1))
    means = sizes * (shares @ profile)
    if kind.overdispersion > 0:
        means *= rng.gamma(1 / kind.overdispersion, kind.overdispersion, means.shape)
    counts = sp.csr_matrix(rng.poisson(means).astype(np.float32))
    return counts[counts.getnnz(axis=1) > 0]


def _programs(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """(fine, GENES), rows at sum one: genes shared within a coarse program, own ones, a floor."""
    shared, floor = (SHARED, FLOOR) if kind.coarse else (0.0, FLAT_FLOOR)
    programs = np.full((kind.fine, GENES), floor / GENES)
    for fine, block in zip(_families(kind), _blocks(kind), strict=True):
        common, own = np.split(block, [block.size // 2 if kind.coarse else 0])
        programs[np.ix_(fine, common)] += shared * _weights(common.size, rng)
        for k, mine in zip(fine, np.array_split(own, fine.size), strict=True):
            programs[k, mine] += (1 - shared - floor) * _weights(mine.size, rng)
    return programs


def _families(kind: Kind) -> list[np.ndarray]:
    """The fine programs of each coarse one; of flat programs all are one family."""
    return np.array_split(np.arange(kind.fine), max(kind.coarse, 1))


def _blocks(kind: Kind) -> list[np.ndarray]:
    return np.array_split(np.arange(GENES), max(kind.coarse, 1))


def _weights(genes: int, rng: np.random.Generator) -> np.ndarray:
    weights = rng.gamma(2.0, 1.0, genes)
    return weights / weights.sum() if genes else weights


def _shares(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """(CELLS, fine): each cell uses the programs of one family, and a little of all."""
    shares = np.full((CELLS, kind.fine), BACKGROUND / kind.fine)
    families = _families(kind)
    for cell, family in enumerate(rng.integers(len(families), size=CELLS)):
        fine = families[family]
        shares[cell, fine] += (1 - BACKGROUND) * rng.dirichlet(np.full(fine.size, DIRICHLET))
    return shares


def chosen(dataset: Dataset, seed: int) -> dict:
    """What `layers: auto` gives, with its reason."""
    trials = Trials(dataset, LayerOptions(1, seed=seed, **REAL_CELLS), progress=False)
    choice, seconds = timed(lambda: choose_layers(trials, trials.first_layers(SIZES)))
    rows = choice.tried[choice.tried["chosen"]]
    return {
        "layers": choice.layers,
        "programs": rows["programs"].astype(int).tolist(),
        "reason": choice.reason,
        "seconds": seconds,
    }


def measure(out: Path, kinds: Iterable[str] = KINDS, seeds: int = SEEDS) -> dict:
    figures = {}
    for name in kinds:
        kind, found = KINDS[name], []
        for seed in range(seeds):
            path = out / "sizes.h5ad"
            write_dataset(path, planted(kind, np.random.default_rng(seed)))
            found.append(chosen(open_dataset(path), seed))
        depth, size = (2 if kind.coarse else 1), kind.fine or min(SIZES)
        later = [of["programs"][1:] for of in found]
        figures[name] = {
            "planted": asdict(kind),
            "seeds": seeds,
            "size_right": sum(abs(of["programs"][0] - size) <= 1 for of in found),
            "depth_right": sum(len(of["layers"]) == depth for of in found),
            "coarse_right": sum(any(abs(n - kind.coarse) <= 1 for n in of) for of in later),
            "found": found,
        }
    return figures


if __name__ == "__main__":
    _, folder = folders()
    save(folder, "sizes", measure(folder))
