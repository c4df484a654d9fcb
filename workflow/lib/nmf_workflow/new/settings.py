"""The keys of a config for a file that was looked into, and what its jobs will need."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from neuralNMF.options import VARIABLE_GENES
from neuralNMF.survey.counts import Survey

from nmf_workflow import schema
from nmf_workflow.config import load
from nmf_workflow.resources import BYTES_PER_NONZERO, Needs

# A program wants so many cells; with fewer cells in all, no halves of them are looked at.
CELLS_A_PROGRAM, FEWEST_CELLS = 20, 200
# With more cells the trial of many sizes is left to those who ask for it.
MANY_CELLS = 200_000
# More types than the usual sizes could tell apart, and sizes that could.
MANY_LABELS, LARGER_SIZES = 14, (40, 56)
USUAL_LAYERS = [20, 10, 5]
# Cells in memory at a time, where all would not fit.
STREAMED = 50_000
MIN_CELLS, CELLS_FOR_THAT = 10, 500


def settings(survey: Survey, path: str, name: str) -> dict[str, Any]:
    """The keys of a config for a file that was looked into, as `load` takes them."""
    columns = survey.columns
    sample: dict[str, Any] = {"input": path}
    if survey.layer is not None:
        sample["input"] = {"path": path, "layer": survey.layer}
    if columns.labels:
        sample["labels"] = columns.labels[0].name
    if columns.coarse is not None:
        sample["coarse_labels"] = columns.coarse.name
    dataset: dict[str, Any] = {"variable_genes": VARIABLE_GENES}
    if survey.cells >= CELLS_FOR_THAT:
        dataset["min_cells"] = MIN_CELLS
    keys: dict[str, Any] = {"samples": {name: sample}, "dataset": dataset}
    if survey.cells < FEWEST_CELLS:
        most = max(2, min(10, survey.cells // CELLS_A_PROGRAM))
        keys |= {"layers": [most, most // 2]}
    elif survey.cells > MANY_CELLS:
        keys |= {"layers": USUAL_LAYERS}
    else:
        labels = columns.labels[0].levels if columns.labels else 0
        keys |= {"layers": "auto", "sizes": sizes_to_try(survey.cells, labels)}
    return keys | {"seed": 0}


def sizes_to_try(cells: int, labels: int) -> list[int]:
    """Sizes of the first layer that are worth a trial with so many cells and different labels."""
    usual = schema.properties(schema.load_schema())["sizes"]["default"]
    larger = [size for size in LARGER_SIZES if labels > MANY_LABELS and size < 3 * labels]
    most = cells // CELLS_A_PROGRAM
    return [size for size in [*usual, *larger] if size <= most]


@dataclass(frozen=True)
class Need:
    """What the fits of a config take.

    Attributes
    ----------
    memory
        GB that the largest job asks for.
    usual, most
        Minutes of one core for all fits: if they stop where most do, and if none does.
    """

    memory: float
    usual: float
    most: float


def needs_of(survey: Survey, keys: Mapping[str, Any], name: str) -> Need:
    """Memory and time of a config for a file that was looked into."""
    needs = Needs(load(keys))
    size = survey.nonzeros(VARIABLE_GENES) * BYTES_PER_NONZERO / 1e6
    memory = needs.fit_mem_mb(1)(SimpleNamespace(sample=name), SimpleNamespace(size_mb=size), 1)
    return Need(memory / 1000, *needs.all_minutes(name, size))
