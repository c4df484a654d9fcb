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
import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.answer.answer import Measured, measured
from benchmarks.answer.ours import CONFIGURATIONS, flat_errors, method_of
from benchmarks.answer.picture import draw
from benchmarks.answer.sets import SETS, Cells, read_set
from benchmarks.common import save

KEYS = ["set", "seed", "method", "layer", "rank"]
# The measures of the summary and the picture, and what they are called there.
SHOWN = {
    "replication": "replication",
    "unsupported": "programs under 10 cells",
    "dead": "programs of no cell",
    "error_ratio": "error beside a flat NMF",
    "ap_fine": "average precision, fine",
    "auroc_fine": "AUROC, fine",
    "knn_fine": "kNN accuracy, fine",
    "ari_fine": "ARI of clusters, fine",
    "ari_coarse": "ARI of clusters, coarse",
    "nmi_fine": "NMI of clusters, fine",
    "nmi_coarse": "NMI of clusters, coarse",
    "hierarchy": "hierarchy",
    "seconds": "seconds of a fit",
}
# Every other measure is better where it is larger.
LESS_IS_BETTER = ("unsupported", "dead", "error_ratio", "seconds")


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


def run(given: argparse.Namespace, peers: Mapping[str, Measured] | None = None) -> None:
    """Write the table, the means and the picture, or say what is not at hand."""
    given.out.mkdir(exist_ok=True, parents=True)
    absent = [name for name in given.sets if not (given.data / f"{name}.h5ad").exists()]
    if absent:
        save(given.out, "answer", {"left_out": f"{', '.join(absent)}: not in the data folder"})
        return
    table = pd.DataFrame()
    for row in rows(given, peers or {}):
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        # Anew after each row, so that a run that is broken off has not been for nothing.
        table.to_csv(given.out / "answer.tsv", sep="\t", index=False, float_format="%.4f")
        print(*(row[key] for key in KEYS), sep="\t", file=sys.stderr, flush=True)
    summary, best = means(table), best_layers(table)
    print(summary.to_string(float_format="%.3f", na_rep="-"))
    save(given.out, "answer", json.loads(summary.reset_index().to_json(orient="records")))
    draw(best, {name: SHOWN[name] for name in shown(table)}).savefig(
        given.out / "answer.png", dpi=150
    )


def shown(table: pd.DataFrame) -> list[str]:
    return [name for name in SHOWN if name in table]


def best_layers(table: pd.DataFrame) -> pd.DataFrame:
    """The best layer of each measure, of each method on each set by each seed."""
    ways = {name: "min" if name in LESS_IS_BETTER else "max" for name in shown(table)}
    best = table.groupby(["set", "seed", "method"], sort=False).agg(ways)
    return best.reset_index().assign(layer="best", rank="")


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over sets and seeds of each method's layers, and of the best layer of each measure."""
    whole = pd.concat([table, best_layers(table)])
    order = {method: number for number, method in enumerate(table["method"].unique())}
    found = whole.groupby(["method", "layer", "rank"], sort=False)[shown(table)].mean()
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
