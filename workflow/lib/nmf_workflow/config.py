"""The config: checked against the schema, defaults filled in, every problem in one sentence."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralNMF.options import LOSSES, PER_LAYER

from nmf_workflow import schema
from nmf_workflow.problems import (
    projection_problems,
    run_problems,
    sample_problems,
    schema_problems,
)
from nmf_workflow.repeated_keys import repeated_keys
from nmf_workflow.samples import Projection, Sample, make_projection, make_sample
from nmf_workflow.search import settle_layers
from nmf_workflow.tidy import tidy

# Levels of mappings and lists in each other; the deepest that mean anything are six.
DEEPEST = 20


class ConfigError(ValueError):
    """The config is not what the workflow can work with; one sentence a problem, one line each."""


@dataclass(frozen=True)
class Config:
    """The whole config, checked.

    Attributes
    ----------
    samples
        By name.
    runs
        By name; every key of a fit, the run's own over the config's, with what ``loss: auto``
        means, and the keys of ``PER_LAYER`` as lists with one entry a layer. ``search``
        says what is tried where the data choose the layers (None where they do not); ``layers``
        are then the most that may come of it.
    plots
        ``top_n``, ``max_thresh``, ``max_cells``, ``umap``.
    projections
        New cells to be judged by a model, by name.
    """

    samples: dict[str, Sample]
    runs: dict[str, dict[str, Any]]
    plots: dict[str, Any]
    projections: dict[str, Projection]

    def umap(self, sample: str) -> bool:
        """Whether the cells of a sample are laid out; what ``auto`` means for it."""
        if self.plots["umap"] != "auto":
            return bool(self.plots["umap"])
        return self.samples[sample].simulate is None

    def consensus(self, sample: str, run: str) -> bool:
        """Whether the layers of a run are those of a consensus; what ``auto`` means for it."""
        fit = self.runs[run]
        if fit["search"] is not None:
            return True  # by which the layers are chosen
        if fit["consensus"] != "auto":
            return bool(fit["consensus"])
        simulated = self.samples[sample].simulate is not None
        return not simulated and fit["guide"] == 0 and fit["beta"] != "pmf"


def load(raw: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Config:
    """Check the config and fill in what it leaves out.

    Parameters
    ----------
    raw
        As YAML was read.
    files
        That it was read from, for what YAML does not tell.

    Raises
    ------
    ConfigError
        With a sentence for each problem found.
    """
    if too_deep(raw):
        raise ConfigError(
            f"The config has more than {DEEPEST} levels, or a part that holds itself by an alias; "
            "write it out."
        )
    data = tidy(copy.deepcopy(raw), schema.resolve(schema.load_schema()))
    problems = [*repeated_keys(files), *dict.fromkeys(schema_problems(data))]
    if problems:
        raise ConfigError("\n".join(problems))
    fit_keys = schema.properties(schema.load_schema()["$defs"]["fit"])
    common = {key: data[key] for key in fit_keys}
    samples = {name: make_sample(name, entry, data) for name, entry in data["samples"].items()}
    merged = {name: {**common, **own} for name, own in data["runs"].items()}
    problems += [line for sample in samples.values() for line in sample_problems(sample, data)]
    projections = {name: make_projection(name, entry) for name, entry in data["project"].items()}
    problems += [line for each in projections.values() for line in projection_problems(each, data)]
    problems += [line for name, fit in merged.items() for line in run_problems(name, fit, data)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    runs = {
        name: one_entry_a_layer(settle_layers(settle_loss(fit))) for name, fit in merged.items()
    }
    return Config(samples=samples, runs=runs, plots=data["plots"], projections=projections)


def too_deep(value: Any, levels: int = DEEPEST) -> bool:
    """Whether a config has more levels than it can have; an alias to what is above it has."""
    if not isinstance(value, Mapping | list):
        return False
    below = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(too_deep(entry, levels - 1) for entry in below)


def settle_loss(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a fit with what ``loss: auto`` means for its kind of programs."""
    loss = LOSSES[fit["beta"]][0] if fit["loss"] == "auto" else fit["loss"]
    return {**fit, "loss": loss}


def one_entry_a_layer(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a fit with those of ``PER_LAYER`` as lists, one entry a layer."""
    depth = len(fit["layers"])
    spread = {
        key: fit[key] if isinstance(fit[key], list) else [fit[key]] * depth for key in PER_LAYER
    }
    return {**fit, **spread}
