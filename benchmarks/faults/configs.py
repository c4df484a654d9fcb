"""Mutated configs: each is taken, or refused in sentences; none ends in a traceback or hangs.

``python -m benchmarks.faults.configs 10000`` in an empty folder.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import yaml
from nmf_workflow.config import ConfigError, load
from nmf_workflow.params import Plan, depth, evidence_rules, picture_rules, targets
from nmf_workflow.repeated_keys import LOADER
from nmf_workflow.resources import Needs

from benchmarks.faults.mutations import spoiled_tree, spoiled_yaml

SECONDS = 10
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FULL = """\
samples:
  sim:
    simulate:
      cells: 60
      genes: 40
      programs: 3
      mode: block
      seed: 1
  own:
    input:
      - path: own.csv
        name: one
      - path: other.csv
        layer: counts
    labels: celltype
    coarse_labels: lineage
    gene_sets: [sets.gmt]
    dataset:
      variable_genes: 100
      exclude: [ribosomal, MALAT1]
dataset:
  variable_genes: auto
  min_cells: 2
  include: genes.txt
gene_sets: sets.gmt
project:
  new:
    input: new.csv
    model: sim/main
layers: [10, 5]
sizes: [2, 3]
epochs: 20
lr: auto
device: cpu
normalize: library
transform: log1p
gene_power: 0.5
beta: lsq
loss: nested
prior_shape: 0.3
prior_rate: 1.0
guide: 0
guide_layer: 1
min_support: 10
consensus: auto
tol: 1e-4
patience: 10
seed: 3
data_mem_size: 100
runs:
  main: {}
  deep:
    layers: [9, 6, 3]
    epochs: [20, 10, 5]
    lr: [auto, 0.1, 1]
  auto:
    layers: auto
    consensus: true
plots:
  top_n: 10
  max_thresh: 50
"""


def outcome(text: str) -> tuple[str, str]:
    """What becomes of a config: (how it ends, the sentences or the traceback)."""
    path = Path("mutated.yaml")
    path.write_text(text, encoding="utf-8")
    try:
        raw = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return "no YAML", str(error)
    if not isinstance(raw, dict):
        return "no mapping", ""
    try:
        config = load(raw, [path])
        use(config)
    except ConfigError as error:
        lines = str(error).splitlines()
        whole = all(line.rstrip().endswith((".", "?")) for line in lines)
        return ("refused" if whole else "NO SENTENCE"), str(error)
    except TimeoutError:
        return "HANGS", ""
    except Exception:
        return "TRACEBACK", traceback.format_exc()
    return "taken", ""


def use(config: Any) -> None:
    """What the rules ask of a config while they are read."""
    targets(config), picture_rules(config), evidence_rules(config)
    plan, needs = Plan(config), Needs(config)
    for number in range(1, depth(config) + 1):
        plan.layer(number), needs.fit_mem_mb(number), needs.fit_runtime(number)
    for sample in config.samples:
        needs.all_minutes(sample, 1.0)


def hangs(number: int, _: FrameType | None) -> None:
    raise TimeoutError


def run(count: int, seed: int = 0) -> dict[str, Any]:
    """Outcomes of so many mutated configs, by kind; the first of each bad kind in words."""
    rng = np.random.default_rng(seed)
    for name in ("own.csv", "other.csv", "new.csv", "sets.gmt", "genes.txt"):
        Path(name).write_text("x\n", encoding="utf-8")
    assert outcome(FULL)[0] == "taken", outcome(FULL)
    found: collections.Counter[str] = collections.Counter()
    bad: list[dict[str, str]] = []
    signal.signal(signal.SIGALRM, hangs)
    for _ in range(count):
        text = spoiled_yaml(FULL, rng)
        if rng.random() < 0.6:
            text = yaml.dump(spoiled_tree(FULL, rng), Dumper=DUMPER, allow_unicode=True)
        signal.alarm(SECONDS)
        how, words = outcome(text)
        signal.alarm(0)
        found[how] += 1
        if how.isupper() and len(bad) < 20:
            bad.append({"how": how, "config": text, "words": words})
    return {"configs": count, "seed": seed, "outcomes": dict(found), "bad": bad}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        figures = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(json.dumps({key: figures[key] for key in ("configs", "outcomes")}))
    for each in figures["bad"][:6]:
        print(each["how"], each["words"][-1500:], each["config"], sep="\n")
