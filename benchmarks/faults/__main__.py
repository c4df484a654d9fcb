"""All faults that a program can inject: ``make bench ARGS=faults``, half an hour and more."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import folders, save
from benchmarks.faults import configs, flips, inputs, kills, starts

FLIPS, CONFIGS, INPUTS, KILLS, STARTS = 200, 10_000, 10_000, 60, 20


def main() -> None:
    _, out = folders()
    out = out.resolve()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for name in ("flips", "inputs", "starts"):
            Path(name).mkdir()
        figures["flips"] = flips.run(FLIPS, Path("flips"))
        figures["configs"] = configs.run(CONFIGS)
        figures["inputs"] = inputs.run(INPUTS, Path("inputs"))
        figures["kills"] = kills.run(KILLS, Path("kills").resolve())
        figures["starts"] = starts.run(STARTS, Path("starts").resolve())
    save(out, "faults", figures)


if __name__ == "__main__":
    main()
