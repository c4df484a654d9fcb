"""Reports of whole runs, walked through in Chromium: the example, blood cells, two conditions.

Of the two conditions there are two runs: one that tests them, one that takes them out as batches.

Each config is run by the workflow up to its report, in a folder that is kept, so that a second time
nothing is fitted again. Then every tab is opened at two widths in light and dark, as the tests do
with a small run; what is wrong is listed, and a screenshot of each lies beside the page to be
looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.browser import LOOKS, axe_source, chromium, missing_programs, walk

ROOT = Path(__file__).parents[1]
# Of each run its config, and what it changes of the sample; None: without the key.
RUNS: dict[str, tuple[str, dict[str, str | None]]] = {
    "example": ("config.yaml", {}),
    "blood cells": ("configs/pbmc.yaml", {}),
    "two conditions": ("configs/conditions.yaml", {}),
    "two batches": ("configs/conditions.yaml", {"condition": None, "batch": "condition"}),
}
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"


def walked(data: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Of each run whose counts are there: seconds, megabytes, first paint, findings."""
    figures = {}
    for name, (file, changes) in RUNS.items():
        config = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
        ((sample, keys),) = config["samples"].items()
        keys = {key: value for key, value in (keys | changes).items() if value is not None}
        config["samples"][sample] = keys
        if "input" in keys:
            counts = data.resolve() / Path(keys["input"]).name
            if not counts.is_file():
                figures[name] = {"left_out": f"there is no {counts.name}"}
                continue
            keys["input"] = str(counts)
        folder = out / "reports" / name.replace(" ", "_")
        figures[name] = in_chromium(*report_of(config, sample, folder))
    return figures


def report_of(config: dict[str, Any], sample: str, folder: Path) -> tuple[Path, float]:
    """The page of a config's run, and the seconds of its job."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "reports", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, "--configfile", path, "--cores", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")}
    subprocess.run([*map(str, command)], check=True, capture_output=True, env=environment)
    log = folder / "logs" / sample / "main" / "write_report.benchmark.tsv"
    seconds = float(pd.read_csv(log, sep="\t")["s"].iloc[0])
    return folder / "results" / sample / "main" / "report.html", seconds


def in_chromium(page: Path, seconds: float) -> dict[str, Any]:
    """What the page weighs, how soon it is seen, and what is wrong with it."""
    figures: dict[str, Any] = {
        "seconds": round(seconds, 2),
        "megabytes": round(page.stat().st_size / 1e6, 2),
    }
    if missing_programs():
        return {**figures, "left_out": "there is no Chromium here"}
    axe, wrong = axe_source(), []
    with chromium() as browser:
        browser.open(page)
        figures["first_paint_ms"] = round(browser.wait(lambda: browser.run(PAINT), "a paint"))
        for width, theme in LOOKS:
            wrong += walk(browser, page, width=width, theme=theme, axe=axe, pictures=page.parent)
    return {**figures, "wrong": wrong}
