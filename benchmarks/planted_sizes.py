"""How often `layers: auto` finds the planted sizes: hierarchies, flat programs and noise.

2,000 cells x 1,500 genes, Poisson and overdispersed counts, by the defaults for real cells. The
first layer is right with the planted number of programs or one more or less; noise has none, so
that the smallest size is right. The depth of a hierarchy is two, of all others one.

A choice is a row of `planted_sizes.tsv`, written as soon as it is made, seed 0 of all kinds first:
a run that is broken off goes on where it was. What was tried lies in `planted_sizes/`; without
`planted_sizes.tsv`, the choice is made again from the first layers that were tried.

    python -m benchmarks.planted_sizes ../shared/data benchmarks/out
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.io.dataset import Dataset, open_dataset, write_dataset
from neuralNMF.options import REAL_CELLS, LayerOptions
from neuralNMF.sizes.choose import Choice, choose_layers
from neuralNMF.sizes.trial import Trials
from nmf_workflow.config import load

from benchmarks.common import folders, save, timed
from benchmarks.planted import DIRICHLET, DISPERSION, FLOOR, SHARED

CELLS, GENES, TOTAL = 2000, 1500, 1500
BACKGROUND = 0.05  # share of a cell's counts from all fine programs alike
FLAT_FLOOR = 0.3  # of a flat program's counts on all genes alike
SEEDS = 20
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


def chosen(dataset: Dataset, seed: int, known: Path) -> Choice:
    """What `layers: auto` gives; first layers that are known, a table, are not tried again."""
    options = LayerOptions(1, seed=seed, threads=1, **REAL_CELLS)
    trials = Trials(dataset, options, progress=False)
    if known.exists():
        tried = pd.read_csv(known, sep="\t")
        return choose_layers(trials, tried[tried["layer"] == 1], refine=False)
    return choose_layers(trials, trials.first_layers(SIZES))


def row_of(name: str, seed: int, tables: Path) -> dict:
    """The choice for one draw of a kind; all that was tried is saved in ``tables``."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "planted.h5ad"
        write_dataset(path, planted(KINDS[name], np.random.default_rng(seed)))
        table = tables / f"{name.replace(' ', '_')}_{seed}.tsv"
        choice, seconds = timed(lambda: chosen(open_dataset(path), seed, table), time.process_time)
    choice.tried.to_csv(table, sep="\t", index=False)
    there = choice.tried.loc[choice.tried["chosen"], "programs"].astype(int)
    return {
        "kind": name,
        "seed": seed,
        "layers": " ".join(map(str, choice.layers)),
        "programs": " ".join(map(str, there)),
        "processor_seconds": round(seconds),
        "reason": choice.reason,
    }


def measure(out: Path, kinds: Iterable[str] = KINDS, seeds: int = SEEDS) -> pd.DataFrame:
    """The rows of all kinds and seeds; those that are there already are not made again."""
    path, tables = out / "planted_sizes.tsv", out / "planted_sizes"
    tables.mkdir(parents=True, exist_ok=True)
    done = set()
    if path.exists():
        before = pd.read_csv(path, sep="\t")
        done = set(zip(before["kind"], before["seed"], strict=True))
    for seed in range(seeds):
        for name in kinds:
            if (name, seed) not in done:
                row = pd.DataFrame([row_of(name, seed, tables)])
                row.to_csv(path, sep="\t", index=False, mode="a", header=not path.exists())
    return pd.read_csv(path, sep="\t", dtype={"layers": str, "programs": str})


def figures(rows: pd.DataFrame) -> dict:
    """How often the size of the first layer, the depth and the coarse size are right, by kind."""
    counts = {}
    for name, of in rows.groupby("kind", sort=False):
        kind = KINDS[str(name)]
        depth, size = (2 if kind.coarse else 1), kind.fine or min(SIZES)
        found = [[int(number) for number in text.split()] for text in of["programs"]]
        # Noise may end with fewer programs than the smallest size.
        near = [
            abs(programs[0] - size) <= 1 if kind.fine else int(layers.split()[0]) == size
            for programs, layers in zip(found, of["layers"], strict=True)
        ]
        deep = [len(programs) == depth for programs in found]
        counts[name] = {
            "planted": asdict(kind),
            "seeds": len(of),
            "size_right": sum(near),
            "depth_right": sum(deep),
            "both_right": sum(one and other for one, other in zip(near, deep, strict=True)),
            "coarse_right": sum(
                any(abs(number - kind.coarse) <= 1 for number in programs[1:]) for programs in found
            ),
            "processor_seconds": float(of["processor_seconds"].median()),
        }
    return counts


if __name__ == "__main__":
    _, folder = folders()
    save(folder, "planted_sizes", figures(measure(folder)))
