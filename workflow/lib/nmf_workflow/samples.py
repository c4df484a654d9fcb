"""The samples and the new cells of a config: inputs in one form, however they were written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralNMF.options import GENE_LISTS, VARIABLE_GENES

from nmf_workflow.paths import expanded

MODEL_ENDING = ".h5nnmf"


@dataclass(frozen=True)
class Source:
    """One input of a sample."""

    path: str
    name: str
    layer: str | None = None


@dataclass(frozen=True)
class Sample:
    """One entry of ``samples``.

    Attributes
    ----------
    name
        Also the name of its folder in ``results``.
    simulate
        The parameters of the simulation, None where the counts are the user's.
    sources
        The user's inputs; of a simulated sample, the counts file that is written.
    labels, coarse_labels, batch, condition, donor
        Columns of ``obs``; ``batch`` may be ``input``.
    gene_sets
        GMT files: the sample's own, or else the config's.
    dataset
        Options of ``create_dataset``, the sample's own keys over the config's.
    """

    name: str
    simulate: dict[str, Any] | None
    sources: tuple[Source, ...]
    labels: str | None
    coarse_labels: str | None
    batch: str | None
    condition: str | None
    donor: str | None
    gene_sets: tuple[str, ...]
    dataset: dict[str, Any]


@dataclass(frozen=True)
class Projection:
    """One entry of ``project``.

    Attributes
    ----------
    name
        Also the name of its file.
    sources
        The new cells.
    model
        As it was given.
    run
        Sample and run of this config that it names, None where it is a file.
    """

    name: str
    sources: tuple[Source, ...]
    model: str
    run: tuple[str, str] | None


def make_sample(name: str, entry: Mapping[str, Any], data: Mapping[str, Any]) -> Sample:
    """One entry of ``samples``, its inputs in one form whatever way they were written."""
    given = entry.get("input", [])
    given = given if isinstance(given, list) else [given]
    sources = tuple(make_source(item) for item in given)
    if "simulate" in entry:
        sources = (Source(path=f"data/{name}.h5", name=name), *sources)
    dataset = {**data["dataset"], **entry.get("dataset", {})}
    if dataset["variable_genes"] == "auto":
        # Given genes are all meant, and simulated ones are few.
        every = "simulate" in entry or dataset["genes"] is not None
        dataset["variable_genes"] = None if every else VARIABLE_GENES
    return Sample(
        name=name,
        simulate=entry.get("simulate"),
        sources=sources,
        labels=entry.get("labels"),
        coarse_labels=entry.get("coarse_labels"),
        batch=entry.get("batch"),
        condition=entry.get("condition"),
        donor=entry.get("donor"),
        gene_sets=gene_set_files(entry.get("gene_sets", data["gene_sets"])),
        dataset=expand_paths(dataset),
    )


def gene_set_files(given: str | list[str] | None) -> tuple[str, ...]:
    """The GMT files of ``gene_sets``, with ``~`` filled in."""
    paths = [given] if isinstance(given, str) else given or []
    return tuple(expanded(path) for path in dict.fromkeys(paths))


def make_projection(name: str, entry: Mapping[str, Any]) -> Projection:
    """One entry of ``project``; a ``model`` that does not end as a model file names a run."""
    given = entry["input"] if isinstance(entry["input"], list) else [entry["input"]]
    model = str(entry["model"])
    if model.endswith(MODEL_ENDING):
        return Projection(name, tuple(map(make_source, given)), expanded(model), None)
    sample, _, run = model.partition("/")
    return Projection(name, tuple(map(make_source, given)), model, (sample, run))


def expand_paths(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``create_dataset`` with ``~`` in the paths of gene lists filled in."""
    lists = {key: dataset[key] for key in GENE_LISTS if isinstance(dataset[key], str)}
    return {**dataset, **{key: expanded(path) for key, path in lists.items()}}


def make_source(item: str | Mapping[str, str]) -> Source:
    """One input, with the file's own name where it has no other."""
    item = {"path": item} if isinstance(item, str) else item
    path = Path(expanded(item["path"]))
    name = item.get("name", path.name.removesuffix(path.suffix) or path.name)
    return Source(path=str(path), name=name, layer=item.get("layer"))
