"""Runs the benchmarks, each in a process of its own: ``python -m benchmarks [name ...]``.

Figures go to ``benchmarks/out/{name}.json``, curves beside them as PNG.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).parent / "out"
NAMES = (
    "peer",
    "time_to_error",
    "epoch",
    "busy",
    "optimizers",
    "starts",
    "scale",
    "shards",
    "million",
    "ten_million",
    "poisson_passes",
    "poisson_scale",
    "poisson_million",
    "klnmf",
    "solvers",
    "guide",
    "startup",
    "answer",
    "new_cells",
    "sizes",
    "planted_sizes",
    "chosen",
    "batch",
    "faults",
    "report",
    "gpu",
    "planted_layers",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    for name in args.names or NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", str(args.data), str(OUT)]
        subprocess.run(command, check=True)
        print(name, json.dumps(json.loads((OUT / f"{name}.json").read_text()), indent=1))


if __name__ == "__main__":
    main()
