"""The config: checked against the schema, defaults filled in, every problem in one sentence."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmf_workflow import schema
from nmf_workflow.problems import (
    GENE_LISTS,
    LOSSES,
    PER_LAYER,
    run_problems,
    sample_problems,
    schema_problems,
)
from nmf_workflow.tidy import tidy


class ConfigError(ValueError):
    """The config is not what the workflow can work with; one sentence a problem, one line each."""


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
        name: also the name of its folder in ``results``.
        simulate: the parameters of the simulation, None where the counts are the user's.
        sources: the user's inputs; of a simulated sample, the counts file that is written.
        labels: column of ``obs``.
        dataset: options of ``create_dataset``, the sample's own keys over the config's.
    """

    name: str
    simulate: dict[str, Any] | None
    sources: tuple[Source, ...]
    labels: str | None
    dataset: dict[str, Any]


@dataclass(frozen=True)
class Config:
    """The whole config, checked.

    Attributes
    ----------
        samples: by name.
        runs: by name; every key of a fit, the run's own over the config's, with what ``loss: auto``
            means, and ``epochs``, ``lr`` and ``device`` as lists with one entry a layer.
        plots: ``top_n``, ``max_thresh``, ``max_cells``.
    """

    samples: dict[str, Sample]
    runs: dict[str, dict[str, Any]]
    plots: dict[str, Any]


def load(raw: Mapping[str, Any]) -> Config:
    """Check the config and fill in what it leaves out.

    Raises
    ------
        ConfigError: with a sentence for each problem found.
    """
    data = tidy(copy.deepcopy(raw), schema.resolve(schema.load_schema()))
    problems = list(dict.fromkeys(schema_problems(data)))
    if problems:
        raise ConfigError("\n".join(problems))
    fit_keys = schema.properties(schema.load_schema()["$defs"]["fit"])
    common = {key: data[key] for key in fit_keys}
    samples = {name: make_sample(name, entry, data) for name, entry in data["samples"].items()}
    merged = {name: {**common, **own} for name, own in data["runs"].items()}
    problems += [line for sample in samples.values() for line in sample_problems(sample, data)]
    problems += [line for name, fit in merged.items() for line in run_problems(name, fit, data)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    runs = {name: one_entry_a_layer(settle_loss(fit)) for name, fit in merged.items()}
    return Config(samples=samples, runs=runs, plots=data["plots"])


def make_sample(name: str, entry: Mapping[str, Any], data: Mapping[str, Any]) -> Sample:
    """One entry of ``samples``, its inputs in one form whatever way they were written."""
    given = entry.get("input", [])
    given = given if isinstance(given, list) else [given]
    sources = tuple(make_source(item) for item in given)
    if "simulate" in entry:
        sources = (Source(path=f"data/{name}.h5", name=name), *sources)
    return Sample(
        name=name,
        simulate=entry.get("simulate"),
        sources=sources,
        labels=entry.get("labels"),
        dataset=expand_paths({**data["dataset"], **entry.get("dataset", {})}),
    )


def expand_paths(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``create_dataset`` with ``~`` in the paths of gene lists filled in."""
    lists = {key: dataset[key] for key in GENE_LISTS if isinstance(dataset[key], str)}
    return {**dataset, **{key: str(Path(path).expanduser()) for key, path in lists.items()}}


def make_source(item: str | Mapping[str, str]) -> Source:
    """One input, with the file's own name where it has no other."""
    item = {"path": item} if isinstance(item, str) else item
    path = Path(item["path"]).expanduser()
    name = item.get("name", path.name.removesuffix(path.suffix) or path.name)
    return Source(path=str(path), name=name, layer=item.get("layer"))


def settle_loss(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a fit with what ``loss: auto`` means for its kind of programs."""
    loss = LOSSES[fit["beta"]][0] if fit["loss"] == "auto" else fit["loss"]
    return {**fit, "loss": loss}


def one_entry_a_layer(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a fit with ``epochs``, ``lr`` and ``device`` as lists, one entry a layer."""
    depth = len(fit["layers"])
    spread = {
        key: fit[key] if isinstance(fit[key], list) else [fit[key]] * depth for key in PER_LAYER
    }
    return {**fit, **spread}
