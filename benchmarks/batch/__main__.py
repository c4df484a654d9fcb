"""All of `benchmarks.batch`, into ``batch.json``: ``python -m benchmarks.batch DATA OUT``."""

from __future__ import annotations

from benchmarks.batch.epochs import epochs
from benchmarks.batch.genes import genes
from benchmarks.batch.labelled import labelled
from benchmarks.batch.planted import planted
from benchmarks.common import folders, save

if __name__ == "__main__":
    data, out = folders()
    found: dict = {}
    for name, measure in {
        "epochs": epochs,
        "planted": planted,
        "genes": lambda: genes(data),
        "labelled": lambda: labelled(data),
    }.items():
        found[name] = measure()
        save(out, "batch", found)  # what was measured so far
