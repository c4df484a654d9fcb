"""The config: checked against the schema, defaults filled in, every problem in one sentence."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuralNMF.options import LOSSES, PER_LAYER

from nmf_workflow import schema
from nmf_workflow.problems import (
    projection_problems,
    run_problems,
    sample_problems,
    schema_problems,
)
from nmf_workflow.samples import Projection, Sample, make_projection, make_sample
from nmf_workflow.search import settle_layers
from nmf_workflow.tidy import tidy


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
        means, and ``epochs``, ``lr`` and ``device`` as lists with one entry a layer. ``search``
        says what is tried where the data choose the layers (None where they do not); ``layers``
        are then the most that may come of it.
    plots
        ``top_n``, ``max_thresh``, ``max_cells``.
    projections
        New cells to be judged by a model, by name.
    """

    samples: dict[str, Sample]
    runs: dict[str, dict[str, Any]]
    plots: dict[str, Any]
    projections: dict[str, Projection]

    def consensus(self, sample: str, run: str) -> bool:
        """Whether the layers of a run are those of a consensus; what ``auto`` means for it."""
        fit = self.runs[run]
        if fit["search"] is not None:
            return True  # by which the layers are chosen
        if fit["consensus"] != "auto":
            return bool(fit["consensus"])
        simulated = self.samples[sample].simulate is not None
        return not simulated and fit["guide"] == 0 and fit["beta"] != "pmf"


def load(raw: Mapping[str, Any]) -> Config:
    """Check the config and fill in what it leaves out.

    Raises
    ------
    ConfigError
        With a sentence for each problem found.
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
    projections = {name: make_projection(name, entry) for name, entry in data["project"].items()}
    problems += [line for each in projections.values() for line in projection_problems(each, data)]
    problems += [line for name, fit in merged.items() for line in run_problems(name, fit, data)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    runs = {
        name: one_entry_a_layer(settle_layers(settle_loss(fit))) for name, fit in merged.items()
    }
    return Config(samples=samples, runs=runs, plots=data["plots"], projections=projections)


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
