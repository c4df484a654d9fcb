"""The table of the answer: ``python -m benchmarks.answer.run`` for ours alone, within minutes.

    python -m benchmarks.answer.run --sets pbmc_facs --seeds 0 --ours "ours, two layers"
    python -m benchmarks.answer.run --candidates mine.yaml

A file of candidates has a name for each, and the config's keys that it changes; it is run in place
of the configurations in `ours`:

    log1p, unscaled: {layers: [20, 10, 5], normalize: library, transform: log1p}

``python -m benchmarks.answer`` runs the peers too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.answer.answer import measured
from benchmarks.answer.ours import CONFIGURATIONS, flat_errors, method_of
from benchmarks.answer.sets import SETS, Cells, read_set

KEYS = ["set", "seed", "method", "layer", "rank"]
# Every other measure is better where it is larger.
LESS_IS_BETTER = ("error_ratio", "unsupported", "seconds")
SHOWN = (
    "replication",
    "unsupported",
    "error_ratio",
    "ap_fine",
    "auroc_fine",
    "knn_fine",
    "ari_fine",
    "ari_coarse",
    "nmi_fine",
    "nmi_coarse",
    "hierarchy",
    "seconds",
)


Measured = Callable[[Cells, int], list[dict]]  # of cells and a seed, a row for each layer


def of_ours(cells: Cells, configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    return {
        name: partial(measured, method_of(keys), flat=flat_errors(keys, cells))
        for name, keys in configurations.items()
    }


def rows(given: argparse.Namespace, peers: Mapping[str, Measured]) -> Iterator[dict]:
    for name in given.sets:
        cells = read_set(given.data, name)
        methods = of_ours(cells, chosen(given)) | peers
        for seed, (method, measure) in product(given.seeds, methods.items()):
            for row in measure(cells, seed):
                yield {"set": name, "seed": seed, "method": method, **row}


def run(given: argparse.Namespace, peers: Mapping[str, Measured] | None = None) -> pd.DataFrame:
    """The table, which is written anew after each row so that no time is lost; means printed."""
    given.out.mkdir(exist_ok=True, parents=True)
    table = pd.DataFrame()
    for row in rows(given, peers or {}):
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        table.to_csv(given.out / "answer.tsv", sep="\t", index=False, float_format="%.4f")
        print(*(row[key] for key in KEYS), sep="\t", file=sys.stderr, flush=True)
    print(means(table).to_string(float_format="%.3f", na_rep="-"))
    return table


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over sets and seeds of each method's layers, and of the best layer of each."""
    measures = [name for name in SHOWN if name in table]
    best = table.groupby(["set", "seed", "method"], sort=False).agg(
        {name: "min" if name in LESS_IS_BETTER else "max" for name in measures}
    )
    best = best.reset_index().assign(layer="best", rank="")
    whole = pd.concat([table, best])
    order = {method: number for number, method in enumerate(table["method"].unique())}
    found = whole.groupby(["method", "layer", "rank"], sort=False)[measures].mean()
    return found.sort_index(
        level="method", sort_remaining=False, key=lambda names: names.map(order), kind="stable"
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("out", nargs="?", type=Path, default=Path("benchmarks/out"))
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--ours", nargs="+", default=list(CONFIGURATIONS), choices=CONFIGURATIONS)
    parser.add_argument("--candidates", type=Path)
    return parser


def chosen(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The configurations that the command line asks for."""
    if given.candidates is not None:
        return yaml.safe_load(given.candidates.read_text())
    return {name: CONFIGURATIONS[name] for name in given.ours}


if __name__ == "__main__":
    run(arguments(__doc__).parse_args())
