"""All of `benchmarks.batch`, into ``batch.json``: ``python -m benchmarks.batch DATA OUT``."""

from __future__ import annotations

from benchmarks.batch.epochs import epochs
from benchmarks.batch.labelled import labelled
from benchmarks.batch.planted import planted
from benchmarks.common import folders, save

if __name__ == "__main__":
    data, out = folders()
    found: dict = {"epochs": epochs(), "planted": planted()}
    save(out, "batch", found)
    save(out, "batch", found | labelled(data))
