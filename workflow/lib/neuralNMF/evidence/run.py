"""Everything that judges a run: the tables of its programs and layers, and warnings in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.evidence.agreement import label_agreement
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.gene_sets import GeneSet, gene_set_table
from neuralNMF.evidence.label_scores import label_scores
from neuralNMF.evidence.mixing import warn_of_batches, warn_of_confounding
from neuralNMF.evidence.programs import Cells, JudgedPrograms, table_of_programs
from neuralNMF.evidence.truth import compare_with_truth


@dataclass(frozen=True)
class Origins:
    """What is known of N cells beside their counts.

    Attributes
    ----------
    total_counts : ndarray, (N,)
        Over all genes.
    inputs : ndarray of str, (N,)
        The input that each is from.
    labels : mapping of str to ndarray of str, (N,)
        ``label`` and ``coarse_label``, those that there are; "" of a cell without one.
    groups : mapping of str to ndarray of str, (N,)
        ``batch``, ``condition`` and ``donor``, likewise.
    others : mapping of str to ndarray of str, (N,)
        Columns that nobody has named, but that may be batches or conditions.
    """

    total_counts: np.ndarray
    inputs: np.ndarray
    labels: Mapping[str, np.ndarray]
    groups: Mapping[str, np.ndarray]
    others: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RunTables:
    """The tables of a run; None of what there is nothing to judge by.

    Attributes
    ----------
    programs : DataFrame
        `neuralNMF.evidence.programs.table_of_programs`.
    gene_sets, conditions : DataFrame or None
        Of `gene_set_table` and `condition_table`.
    agreement : DataFrame or None
        A row a layer, with labels, batches or the truth.
    truth : DataFrame or None
        How alike found and true programs are.
    """

    programs: pd.DataFrame
    gene_sets: pd.DataFrame | None
    conditions: pd.DataFrame | None
    agreement: pd.DataFrame | None
    truth: pd.DataFrame | None


def tables_of_run(
    judged: JudgedPrograms,
    cells: Origins,
    *,
    gene_sets: Sequence[GeneSet] | None = None,
    truth: tuple[np.ndarray, np.ndarray] | None = None,
    replication: pd.DataFrame | None = None,
) -> RunTables:
    """Judge a run by all that is known; the log warns where batches were overlooked.

    Parameters
    ----------
    judged : JudgedPrograms
        Of `neuralNMF.evidence.programs.judge_programs`.
    cells : Origins
    gene_sets : sequence of GeneSet or None
    truth : (ndarray (N, K), ndarray (K, M)) or None
        Usage and programs that simulated counts were drawn from.
    replication : DataFrame or None
        As for `table_of_programs`.

    Returns
    -------
    RunTables
    """
    groups, usages = cells.groups, judged.usages
    sets = None if gene_sets is None else gene_set_table(judged.markers, judged.symbols, gene_sets)
    tested = None
    if "condition" in groups:
        names = [layer.names for layer in judged.evidence]
        units = groups.get("donor", groups.get("batch"))
        tested = condition_table(usages, names, groups["condition"], units)
    warn_of_confounding(groups)
    if "batch" not in groups:
        warn_of_batches(usages[0], cells.others)
    scores = {
        name: [label_scores(usage, values) for usage in usages]
        for name, values in cells.labels.items()
    }
    of_programs = {key: groups[key] for key in ("batch", "donor") if key in groups}
    known = Cells(cells.total_counts, cells.inputs, scores, of_programs, tested)
    programs = table_of_programs(judged, known, gene_sets=sets, replication=replication)
    agreement = alike = None
    if cells.labels or "batch" in groups or truth is not None:
        agreement = label_agreement(judged.thetas, usages, cells.labels, scores, groups)
    if truth is not None:
        scale = judged.gene_scale
        of_truth, alike = compare_with_truth(usages, judged.betas, *truth, gene_scale=scale)
        agreement = pd.concat([agreement, of_truth], axis=1)
    return RunTables(programs, sets, tested, agreement, alike)
