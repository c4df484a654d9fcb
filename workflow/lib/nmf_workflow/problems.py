"""What is wrong with a config: one clear sentence each, that names the key and what is allowed."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from neuralNMF.errors import InputError
from neuralNMF.options import GENE_LISTS, INPUT, LOSSES, PER_LAYER, POISSON, RAW_COUNTS

from nmf_workflow import schema
from nmf_workflow.paths import is_file, is_there
from nmf_workflow.samples import Projection, Sample, Source
from nmf_workflow.schema import Node
from nmf_workflow.search import is_searched
from nmf_workflow.simulated_files import is_simulated, simulated_files

# What lies beside the folders of the runs.
FILES_OF_A_SAMPLE = ("dataset.h5ad", "dataset", "genes.tsv", "cells.tsv")
BRACES = re.compile(r"\{.*\}")


def schema_problems(data: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each place where the config is not what the schema allows."""
    yield from no_numbers(data, [])
    validator = Draft202012Validator(schema.load_schema())
    for error in sorted(validator.iter_errors(data), key=lambda found: list(map(str, found.path))):
        yield from sentences(error)


def no_numbers(value: Any, path: list[str | int]) -> Iterator[str]:
    """One sentence for each ``.nan``, which is neither below nor above any bound of the schema."""
    if isinstance(value, float) and value != value:
        yield f"{dotted(path)} is no number (.nan); allowed: {schema.allowed_at(path)}."
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for step, below in entries:
        yield from no_numbers(below, [*path, step])


def sentences(error: ValidationError) -> Iterator[str]:
    """An error of the schema's validator in words: where, what was seen, what is allowed."""
    path = list(error.absolute_path)
    where = dotted(path)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        known = list(schema.properties(node_at(path)))
        for key in error.instance:
            if key not in known:
                yield f"{where or 'config'}: there is no key {show(key)}{suggestion(key, known)}"
    elif error.validator == "required" and not path:
        yield "config: there is no `samples:`; name one, with `simulate:` or `input:` below it."
    elif "propertyNames" in error.absolute_schema_path:
        allowed = schema.load_schema()["$defs"]["name"]["allowed"]
        yield f"{where}: {show(error.instance)} cannot be a name; allowed: {allowed}."
    elif error.instance in ({}, []):
        yield f"{where} is empty; allowed: {schema.allowed_at(path)}."
    else:
        yield f"{where} is {show(error.instance)}; allowed: {schema.allowed_at(path)}."


def node_at(path: list[str | int]) -> Node:
    """The schema's node for a path of the config."""
    node = schema.resolve(schema.load_schema())
    for step in path:
        node = schema.child(node, step) or {}
    return node


def suggestion(key: Any, known: list[str]) -> str:
    """The known key that was probably meant, or else all of them."""
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6)
    return f"; did you mean {show(close[0])}?" if close else f"; known: {', '.join(known)}."


def sample_problems(sample: Sample, data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a sample beyond the schema; missing files among it, before any work."""
    where = f"samples.{sample.name}"
    entry = data["samples"][sample.name]
    if ("simulate" in entry) == ("input" in entry):
        count = "both `simulate` and" if "simulate" in entry else "neither `simulate` nor"
        yield f"{where} has {count} `input`; give one of the two."
        return
    for key in ("labels", "coarse_labels"):
        if sample.simulate is not None and key in entry:
            yield f"{where}.{key} is {show(entry[key])}, but simulated cells have no labels."
    yield from group_problems(where, sample, entry)
    if sample.coarse_labels is not None and sample.labels is None:
        yield (
            f"{where}.coarse_labels is {show(sample.coarse_labels)}, but there are no finer "
            "`labels`; a single column of labels is given as `labels`."
        )
    if sample.simulate is not None:
        yield from foreign_problems(sample.name)
    yield from source_problems(where, sample.sources, data)
    folder = show(str(Path.cwd()))
    for path in sample.gene_sets:
        yield from wildcard_problems(f"{where}.gene_sets", path)
        if not is_file(path):
            at = f"{where}.gene_sets" if "gene_sets" in entry else "gene_sets"
            yield f"{at}: there is no file {show(path)} (working folder: {folder})."
        else:
            yield from gene_set_problems(f"{where}.gene_sets", path)
    for key in GENE_LISTS:
        path = sample.dataset[key]
        if isinstance(path, str):
            yield from wildcard_problems(f"{where}.dataset.{key}", path)
        if isinstance(path, str) and not is_file(path):
            at = f"{where}.dataset" if key in entry.get("dataset", {}) else "dataset"
            yield (
                f"{at}.{key}: there is no file {show(path)} (working folder: {folder}); genes and "
                f"classes of genes are written as a list: [{path}]."
            )


def gene_set_problems(where: str, path: str) -> Iterator[str]:
    """What is wrong with a file of gene sets, which is read long after the fits have begun."""
    from neuralNMF.io.gene_sets import read_gene_sets  # takes a second, most configs have none

    try:
        read_gene_sets([path])
    except InputError as error:
        yield f"{where}: {error}"


def foreign_problems(name: str) -> Iterator[str]:
    """Files of the user's own where the simulation of a sample writes and would take them."""
    for path in simulated_files(name):
        if is_file(path) and not is_simulated(path):
            yield (
                f"samples.{name}.simulate writes {show(path)}, but there is a file of this name "
                "that is no simulation: move it away, or give it as `input:` under another name."
            )


def group_problems(where: str, sample: Sample, entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the columns that say where cells are from."""
    for key in ("batch", "condition", "donor"):
        if sample.simulate is not None and key in entry:
            yield (
                f"{where}.{key} is {show(entry[key])}, but simulated cells are all of one origin; "
                "leave it out."
            )
    if sample.batch is not None and sample.batch == sample.condition:
        yield (
            f"{where}.batch and {where}.condition are both {show(sample.batch)}, so what a batch "
            "adds cannot be told from the condition; give one of the two."
        )
    if sample.donor is not None and sample.donor == sample.condition:
        yield (
            f"{where}.donor and {where}.condition are both {show(sample.donor)}: there would be "
            "one donor a condition; give one of the two."
        )
    if sample.batch == INPUT and sample.simulate is None and len(sample.sources) < 2:
        yield (
            f"{where}.batch is {show(INPUT)}, but there is one input; name a column of `obs`, or "
            "leave it out."
        )


def wildcard_problems(where: str, path: str) -> Iterator[str]:
    """A path that Snakemake would not take as it is."""
    if BRACES.search(path):
        yield (
            f"{where} is {show(path)}, but what stands in braces is a wildcard for Snakemake; "
            "rename it, or give a link without braces."
        )


def source_problems(
    where: str, sources: Sequence[Source], data: Mapping[str, Any]
) -> Iterator[str]:
    """What is wrong with the inputs below ``where``: two of one name, or files that are missing."""
    names = [source.name for source in sources]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        times = names.count(name)
        yield f"{where}.input: {times} inputs are named {show(name)}; give each its own `name:`."
    made = {f"data/{name}.h5" for name, other in data["samples"].items() if "simulate" in other}
    folder = show(str(Path.cwd()))
    for source in sources:
        if source.path not in made and not is_there(source.path):
            path = show(source.path)
            yield f"{where}.input: there is no file or folder {path} (working folder: {folder})."
        yield from wildcard_problems(f"{where}.input", source.path)


def projection_problems(projection: Projection, data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an entry of ``project`` beyond the schema."""
    where = f"project.{projection.name}"
    yield from source_problems(where, projection.sources, data)
    if projection.run is None:
        if not is_file(projection.model):
            folder = show(str(Path.cwd()))
            yield (
                f"{where}.model: there is no file {show(projection.model)} (working folder: "
                f"{folder}); a model of this config is written as `sample/run`."
            )
        return
    for name, key in zip(projection.run, ("samples", "runs"), strict=True):
        if name not in data[key]:
            known = [f"{sample}/{run}" for sample in data["samples"] for run in data["runs"]]
            if projection.model.count("/") != 1 or is_there(projection.model):
                yield (
                    f"{where}.model is {show(projection.model)}, which is neither `sample/run` of "
                    "this config nor the path of a model file, which ends with `.h5nnmf`."
                )
                break
            yield (
                f"{where}.model is {show(projection.model)}, but there is no "
                f"{show(name)} in `{key}`{suggestion(projection.model, known)}"
            )
    if "projected" in data["samples"]:
        yield "samples.projected has the name of the folder of new cells (`project`); rename it."


def run_problems(name: str, fit: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a run beyond the schema; a key is named where it was given."""

    def at(key: str) -> str:
        return f"runs.{name}.{key}" if key in data["runs"][name] else key

    if name in FILES_OF_A_SAMPLE or name.endswith(".log"):
        yield f"runs.{name} has the name of a file of the results or logs; rename it."
    layers = fit["layers"]
    if is_searched(layers):
        yield from search_problems(fit, at)
        return
    if any(later >= earlier for earlier, later in pairwise(layers)):
        yield f"{at('layers')} is {show(layers)}; allowed: {schema.allowed_at(['layers'])}."
    for key in PER_LAYER:
        value = fit[key]
        if isinstance(value, list) and len(value) != len(layers):
            yield (
                f"{at(key)} has {len(value)} entries, but {at('layers')} has {len(layers)}; "
                "give one value for all layers or one a layer."
            )
    if fit["loss"] not in ("auto", *LOSSES[fit["beta"]]):
        fitting = [f"`beta: {beta}`" for beta, losses in LOSSES.items() if fit["loss"] in losses]
        yield (
            f"{at('loss')} is {show(fit['loss'])}, which `{at('beta')}: {fit['beta']}` cannot be "
            f"trained by; take {' or '.join(fitting)} for it, or `loss: auto`."
        )
    if fit["guide"] > 0:
        yield from guide_problems(fit, data, at)
        if fit["consensus"] is True:
            yield (
                f"{at('consensus')} is true, but {at('guide')} leads the fit by labels; give one "
                "of the two."
            )
    yield from shards_problems(fit, at)
    models = [("beta", "pmf"), *(("loss", loss) for loss in POISSON)]
    for key, model in models:
        for other, raw in RAW_COUNTS.items():
            allowed = ["auto", *([] if raw is None else [raw])]
            if fit[key] == model and fit[other] not in allowed:
                yield (
                    f"{at(other)} is {show(fit[other])}, but `{at(key)}: {model}` models raw "
                    f"counts; allowed: {' or '.join(allowed)}."
                )


def shards_problems(fit: Mapping[str, Any], at: Callable[[str], str]) -> Iterator[str]:
    """What cannot be done by several processes that each have some of the cells."""
    shards = fit["shards"]
    if max(shards if isinstance(shards, list) else [shards]) == 1:
        return
    if fit["guide"] > 0:
        yield (
            f"{at('shards')} is {show(shards)}, but {at('guide')} needs all labelled cells in one "
            "process; give one of the two."
        )


def search_problems(fit: Mapping[str, Any], at: Callable[[str], str]) -> Iterator[str]:
    """What is wrong with a run whose layers are chosen by the data."""
    layers = fit["layers"]
    if layers != "auto":
        falling = all(
            isinstance(each, list) and all(later < size for size, later in pairwise(each))
            for each in layers
        )
        if not falling:
            yield f"{at('layers')} is {show(layers)}; allowed: {schema.allowed_at(['layers'])}."
    for key in PER_LAYER:
        if isinstance(fit[key], list):
            yield (
                f"{at(key)} has an entry a layer, but how many layers there will be is chosen by "
                f"the data (`{at('layers')}`); give one value for all layers."
            )
    if fit["guide"] > 0:
        yield (
            f"{at('guide')} leads the fit by labels, but {at('layers')} is to be chosen by what is "
            "found again in other cells; name the layers, or set `guide: 0`."
        )
    if fit["consensus"] is False:
        yield (
            f"{at('consensus')} is false, but {at('layers')} is to be chosen by the programs that "
            "are found again in other cells; name the layers, or leave `consensus` out."
        )


def guide_problems(
    fit: Mapping[str, Any], data: Mapping[str, Any], at: Callable[[str], str]
) -> Iterator[str]:
    """What a run that labels guide is missing."""
    if fit["beta"] != "pmf" and fit["loss"] not in POISSON:
        yield (
            f"{at('guide')} is {show(fit['guide'])}, which works with `loss: nested_poisson` and "
            "`loss: poisson` only; take `beta: learned` with one of them, or set `guide: 0`."
        )
    if fit["guide_layer"] > len(fit["layers"]):
        yield (
            f"{at('guide_layer')} is {fit['guide_layer']}, but {at('layers')} has "
            f"{len(fit['layers'])}; allowed: {schema.allowed_at(['guide_layer'])}."
        )
    for name, sample in data["samples"].items():
        if "labels" not in sample:
            yield (
                f"samples.{name} has no `labels`, which {at('guide')} needs; name a column of "
                "`obs`, or set `guide: 0`."
            )


def dotted(path: list[str | int]) -> str:
    """A path of the config as users write it: ``samples.sim.input[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def show(value: Any) -> str:
    """A value as it stands in a config, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
