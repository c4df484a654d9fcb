"""The paragraph for a paper, the versions, and all settings of a run."""

import json
from collections.abc import Mapping
from typing import Any

from neuralNMF.options import POISSON
from neuralNMF.report.figures import counted, listed, whole
from neuralNMF.report.source import Source

CITATION = (
    "The neuralNMF authors. neuralNMF: multi-layer non-negative matrix factorization of "
    "single-cell counts. Version {version}."
)
_VARIABLE = {
    "seurat_v3": "the variance of their standardized counts (seurat_v3)",
    "pearson": "the variance of their Pearson residuals",
}
_PROGRAMS = {
    "lsq": "solved by exact non-negative least squares",
    "learned": "learned together with the usage",
    "pmf": "found by Poisson matrix factorization with gamma priors",
}
_LOSSES = {
    "nested": "the sum of the squared errors of all layers",
    "nested_poisson": "the sum of the Poisson deviances of all layers",
    "reconstruction": "the squared error of the last layer",
    "poisson": "the Poisson deviance of the last layer",
    "energy": "the squared errors of each layer beside the one before",
}
_TRANSFORMS = {"log1p": "transformed by log(1 + x)", "sqrt": "transformed by the square root"}
_MARKERS = "Genes were ranked for each program by relevance (Sievert and Shirley 2014)"
_PARENTS = ", and each program was assigned to the program of the next layer that it has most of"
_BATCH = (
    "A factor for each batch ({}) and gene, estimated from the differences that all groups of "
    "similar cells share, was taken out."
)
_CONDITIONS = (
    "Usage was compared between conditions ({}) by {}, with p-values adjusted after Benjamini and "
    "Hochberg within each layer."
)
_TESTS = {
    "paired donors": "Wilcoxon's signed-rank test of the donors' mean shares",
    "donors": "the Mann-Whitney test of the donors' mean shares",
    "cells": "the Mann-Whitney test of the cells' shares",
}
_SETS = (
    "Gene sets were tested for over-representation among the 50 best markers by the hypergeometric "
    "test, with p-values adjusted after Benjamini and Hochberg."
)


def methods_of(source: Source) -> dict[str, Any]:
    """``paragraph``, ``citation``, ``versions`` and ``settings`` (names and values as text)."""
    versions = source.info["versions"]
    return {
        "paragraph": paragraph_of(source),
        "citation": CITATION.format(version=versions["neuralNMF"]),
        "versions": [{"name": name, "value": str(value)} for name, value in versions.items()],
        "settings": [
            {"name": "fit: layers", "value": ", ".join(map(str, source.asked))},
            *_settings("fit", {k: v for k, v in source.options.items() if k != "rank"}),
            *_settings("dataset", source.dataset.get("options", {})),
        ],
    }


def paragraph_of(source: Source) -> str:
    """What was done, in the past tense and with all numbers, ready for a paper."""
    versions = source.info["versions"]
    sentences = [
        _of_dataset(source),
        _of_counts(source.options),
        _of_batches(source.options),
        _of_fit(source),
        f"{_MARKERS}{_PARENTS if source.depth > 1 else ''}.",
        _of_conditions(source),
        "" if source.gene_sets is None else _SETS,
        f"neuralNMF {versions['neuralNMF']} was used with PyTorch {versions['torch']}, NumPy "
        f"{versions['numpy']} and Python {versions['python']}; the seed was "
        f"{source.info['seed']}.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _of_dataset(source: Source) -> str:
    options = source.dataset.get("options", {})
    cells, genes = counted(len(source.obs), "cell"), counted(len(source.symbols), "gene")
    chosen = ""
    if options.get("variable_genes"):
        chosen = f", the most variable ones by {_VARIABLE[options['variable_genes_by']]},"
    kept = []
    if options.get("min_counts", 1) > 1:
        kept.append(f"cells with at least {whole(options['min_counts'])} counts")
    if options.get("min_cells", 1) > 1:
        kept.append(f"genes found in at least {whole(options['min_cells'])} cells")
    after = f" after keeping {listed(kept)}" if kept else ""
    return f"Raw counts of {cells} and {genes}{chosen} were analysed{after}."


def _of_counts(options: Mapping[str, Any]) -> str:
    if options["loss"] in POISSON:
        return (
            "Counts were modelled as they are, with each cell's library size as a factor of its "
            "rates."
        )
    steps = []
    if options["normalize"] != "counts":
        steps.append("scaled to the median library size")
    if options["transform"] in _TRANSFORMS:
        steps.append(_TRANSFORMS[options["transform"]])
    # `variance` is a power of its own: all of it.
    power = options["gene_power"] or (1 if options["normalize"] == "variance" else 0)
    if power:
        steps.append(f"divided by each gene's standard deviation to the power of {power:g}")
    return f"Counts were {listed(steps)}." if steps else "Counts were used as they are."


def _of_batches(options: Mapping[str, Any]) -> str:
    batch = options.get("batch")
    return _BATCH.format(batch) if batch else ""


def _of_conditions(source: Source) -> str:
    if source.conditions is None or source.conditions.empty:
        return ""
    tests = [_TESTS[unit] for unit in _TESTS if unit in set(source.conditions["unit"])]
    return _CONDITIONS.format(source.groups["condition"], listed(tests))


def _of_fit(source: Source) -> str:
    options = source.options
    asked, left = (listed([str(n) for n in sizes]) for sizes in (source.asked, source.ranks))
    fitted = (
        "They were factorized by multi-layer non-negative matrix factorization with "
        f"{counted(source.depth, 'layer')} of {asked} programs. The programs were "
        f"{_PROGRAMS[options['beta']]}, and the training minimized {_LOSSES[options['loss']]}."
    )
    if options["consensus"]:
        return (
            f"{fitted} Each layer has the programs that fits of random halves of the cells share "
            f"(consensus), which left {left}."
        )
    if source.asked != source.ranks:
        return f"{fitted} Programs that too few cells carry were given up, which left {left}."
    return fitted


def _settings(part: str, options: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": f"{part}: {key}", "value": value if isinstance(value, str) else json.dumps(value)}
        for key, value in sorted(options.items())
    ]
