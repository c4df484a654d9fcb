"""A small run with all that a report can hold, made without a fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.gene_sets import GeneSet, gene_set_table
from neuralNMF.evidence.label_scores import label_scores
from neuralNMF.evidence.programs import Cells, judge_programs, table_of_programs
from neuralNMF.labels import label_names
from neuralNMF.report.source import Source

NASTY = "</script><script>window.injected = 1</script>"
NASTY_CONDITION = "<i>stim</i> & more"
KINDS = ["T cells", "B cells", NASTY, "单核细胞 $x_1$"]
OPTIONS = {
    "beta": "lsq", "consensus": True, "gene_power": 0.5, "loss": "nested", "normalize": "library",
    "rank": 1, "seed": 0, "transform": "log1p",
}  # fmt: skip
FILTERS = {
    "min_counts": 10, "min_cells": 3, "variable_genes": 60, "variable_genes_by": "seurat_v3",
}  # fmt: skip
DROPPED = {"cells_min_counts": 7, "genes_excluded": 1, "genes_not_variable": 1, "cells_empty": 0}
VERSIONS = {"neuralNMF": "0.2.0", "numpy": "2.4.6", "python": "3.11.7", "torch": "2.13.0"}


def small_source(*, cells: int = 240, depth: int = 2, labelled: bool = True) -> Source:
    """Cells of four kinds with a program each, two of which make up a coarser one."""
    rng = np.random.default_rng(0)
    kinds = np.arange(cells) % 4
    genes = 60
    beta = rng.gamma(0.3, size=(4, genes)) + 0.01
    for program in range(4):
        beta[program, 15 * program : 15 * program + 10] += np.linspace(12, 4, 10)
    beta /= beta.sum(axis=1, keepdims=True)
    theta = 60 * (np.eye(4)[kinds] + rng.gamma(0.3, 0.2, size=(cells, 4)))
    counts = rng.poisson(theta @ beta).astype(np.float32)
    up = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.05, 0.95]])
    thetas = [theta, up][:depth]
    betas = [beta, np.linalg.pinv(up) @ beta][:depth]
    betas = [np.clip(each, 0, None) for each in betas]
    usages = [theta, theta @ up][:depth]
    dead = [np.zeros(len(each), dtype=bool) for each in betas]
    symbols = np.array([f"GENE{gene}" for gene in range(genes)], dtype=object)
    symbols[:3] = ["CD3D", NASTY, "IGHV1-2*02"]
    obs = pd.DataFrame(
        {
            "dataset": pd.Categorical(np.where(np.arange(cells) % 8 < 4, "donor1", "donor2")),
            "total_counts": counts.sum(axis=1),
            "celltype": pd.Categorical([KINDS[kind] for kind in kinds]),
            "lineage": pd.Categorical(np.where(kinds < 2, "lymphoid", "other")),
        },
        index=[f"CELL{cell}-1" for cell in range(cells)],
    )
    # The program P1 stands out in the treated cells of every kind.
    first = theta[:, 0] / theta.sum(axis=1)
    high = first > np.array([np.median(first[kinds == kind]) for kind in range(4)])[kinds]
    obs["treatment"] = pd.Categorical(np.where(high, NASTY_CONDITION, "none"))
    labels = {"label": "celltype", "coarse_label": "lineage"} if labelled else {}
    scale = np.ones(genes)
    judged = judge_programs(thetas, usages, betas, symbols, dead=dead, gene_scale=scale)
    scores = {
        name: [label_scores(usage, label_names(obs[column])) for usage in judged.usages]
        for name, column in labels.items()
    }
    sets = gene_set_table(
        judged.markers, symbols, [GeneSet("first & best", "from a book", frozenset(symbols[:10]))]
    )
    rows = [(layer, program) for layer, each in enumerate(betas, 1) for program in range(len(each))]
    replication = pd.DataFrame(
        {
            "layer": [layer for layer, _ in rows],
            "program": [program + 1 for _, program in rows],
            "replication": [0.5 if row == (1, 3) else 0.95 for row in rows],
            "replicated": [row != (1, 3) for row in rows],
            "stability": 0.9,
            "held_out_gain": 0.02,
        }
    )
    treatments, donors = (obs[name].astype(str).to_numpy() for name in ("treatment", "dataset"))
    names = [layer.names for layer in judged.evidence]
    conditions = condition_table(usages, names, treatments)
    facts = Cells(obs["total_counts"].to_numpy(), donors, scores, {"batch": donors}, conditions)
    programs = table_of_programs(judged, facts, gene_sets=sets, replication=replication)
    agreement = None
    if labelled:
        agreement = pd.DataFrame({"layer": range(1, depth + 1), "programs": [4, 2][:depth]})
        for name, value in (("label", 0.7), ("coarse_label", 0.875)):
            agreement[f"{name}_average_precision"] = value
            agreement[f"{name}_knn_accuracy"] = 0.975
        agreement["batch_mixing"] = 0.9375
    asked = [5, 2][:depth]
    info = {
        "layer_options": [{**OPTIONS, "rank": rank} for rank in asked],
        "options": {**OPTIONS, "rank": asked[-1]},
        "versions": VERSIONS,
        "seed": 0,
        "chosen_because": "Layer 1: 4 programs (5 asked for).",
    }
    history = pd.DataFrame({"depth": [1, 1, 2, 2], "epoch": [1, 2, 1, 2], "loss": [3.0, 2, 2, 1]})
    every_gene = {"symbol": [*symbols, "MALAT1", "RPL3"]}
    every_gene["dropped"] = [""] * genes + ["excluded", "not variable"]
    sizes = {
        "layer": [1, 1, 2], "size": [3, 5, 2], "programs": [3, 4, 2], "replicated": [1, 0.75, 1],
        "held_out": [0.9, 0.8, np.nan], "parents": [np.nan, np.nan, 1.1], "status": "fine",
        "chosen": [False, True, True],
    }  # fmt: skip
    return Source(
        "样本 <b>",
        "main",
        thetas,
        usages,
        betas,
        dead,
        symbols,
        scale,
        obs,
        sp.csr_matrix(counts),
        info,
        history.assign(phase="joint"),
        programs,
        genes=pd.DataFrame(every_gene),
        dataset={"options": FILTERS, "dropped": DROPPED},
        labels=labels,
        groups={"batch": "dataset", "condition": "treatment"},
        gene_sets=sets,
        agreement=agreement,
        conditions=conditions,
        sizes=pd.DataFrame(sizes),
    )


NEEDED = [
    "layer", "program", "name", "markers", "parent", "expression_share", "effective_cells", "flags",
    "believe",
]  # fmt: skip


def without_extras(source: Source) -> Source:
    """The same run, with nothing that a run need not have."""
    return replace(
        source,
        programs=source.programs[NEEDED],
        labels={},
        groups={},
        gene_sets=None,
        agreement=None,
        conditions=None,
        sizes=None,
        info={key: value for key, value in source.info.items() if key != "chosen_because"},
    )
