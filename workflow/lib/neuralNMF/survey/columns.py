"""Which columns of the cells' table look like labels, batches and conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.labels import label_names
from neuralNMF.options import INPUT

# How columns are called, letters and digits only: the likeliest first.
LABELS = (
    r"celltype|cellsubtype|cellidentity|cellclass|annot",
    r"subtype|subclass|subset|lineage|compartment|label|identity|predicted|class",
    r"cluster|leiden|louvain|^ident$",
)
DONORS = r"donor|patient|subject|individual|participant|animal|^mouse"
BATCHES = (
    r"batch",
    r"sample|library|channel|lane|^gem",
    DONORS,
    r"^orig(inal)?ident|dataset|study|experiment|^run",
    r"replicate|plate|pool|hashtag|^hto|chemistry|assay|protocol|technology|platform|^site|center",
)
CONDITIONS = (
    r"condition|treat|stim|perturb|drug|dose|infect|genotype",
    r"disease|diagnosis|status|phenotype|response|severity|outcome|timepoint|^time|stage",
    r"group|tissue|organ|region",
)
# Not `cell_type_ontology_term_id`, which repeats `cell_type`; not what quality control adds.
NEVER = re.compile(r"ontologyterm|doublet|scrublet|phase$|^ncount|^nfeature|percent|^pct|barcode")
LEVELS = range(2, 61)
# Fewer cells than this are no level that anything could be compared by.
CELLS_A_LEVEL = 5
# So much of the cells of a fine label must lie in one coarse label.
WITHIN = 0.95


@dataclass(frozen=True)
class Column:
    """A column that may be of use.

    Attributes
    ----------
    name : str
    levels : int
        Different values, missing ones not counted.
    unlabelled : int
        Cells without a value.
    examples : tuple of str
        The values of most cells.
    """

    name: str
    levels: int
    unlabelled: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns that may be of use, by what they look like, the likeliest first.

    Attributes
    ----------
    labels, batches, conditions : tuple of Column
    coarse : Column or None
        One of the labels: coarser than the first, whose labels lie within its own.
    others : tuple of Column
        Of few different texts, whose names say nothing.
    """

    labels: tuple[Column, ...] = ()
    coarse: Column | None = None
    batches: tuple[Column, ...] = ()
    conditions: tuple[Column, ...] = ()
    others: tuple[Column, ...] = ()

    @property
    def donor(self) -> Column | None:
        """The likeliest of the batches that are people or animals."""
        return next((each for each in self.batches if re.search(DONORS, _plain(each.name))), None)


def judge_columns(obs: pd.DataFrame) -> Columns:
    """Tell what the columns of the cells' table may be, by their names and values.

    Parameters
    ----------
    obs : DataFrame
        One row a cell.

    Returns
    -------
    Columns
    """
    found: dict[str, list[tuple[int, Column]]] = {
        kind: [] for kind in ("labels", "batches", "conditions", "others")
    }
    for name in obs.columns:
        kind, rank = kind_of(str(name))
        if kind is not None and (column := _column(obs[name], str(name), kind)):
            found[kind].append((rank, column))
    # Of names that say the same the finest comes first.
    labels = [c for _, c in sorted(found["labels"], key=lambda each: (each[0], -each[1].levels))]
    by_name = {kind: _first(found[kind]) for kind in ("batches", "conditions", "others")}
    return Columns(labels=tuple(labels), coarse=_coarse(obs, labels), **by_name)


def origins(obs: pd.DataFrame, named: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Columns that may say where cells are from, as batches or conditions would be named.

    Parameters
    ----------
    obs : DataFrame
        Of a data set or a model.
    named : iterable of str
        Columns that are known for something else already.

    Returns
    -------
    dict of str to ndarray of str, (N,)
        By what ``batch`` would call them: ``input`` for several input files; "" of a cell without.
    """
    columns = judge_columns(obs.drop(columns="dataset"))
    found = {
        each.name: label_names(obs[each.name]) for each in (*columns.batches, *columns.conditions)
    }
    inputs = label_names(obs["dataset"])
    found |= {INPUT: inputs} if len(np.unique(inputs)) > 1 else {}
    return {name: values for name, values in found.items() if name not in set(named)}


def kind_of(name: str) -> tuple[str | None, int]:
    """What a column of this name may be, and how much the name says (0: most); None for nothing."""
    plain = _plain(name)
    if NEVER.search(plain):
        return None, 0
    # `predicted.celltype` is a label whatever else it is called, `sample_label` is a sample.
    order = [("labels", LABELS[:1]), ("batches", BATCHES), ("conditions", CONDITIONS)]
    for kind, patterns in [*order, ("labels", LABELS)]:
        for rank, pattern in enumerate(patterns):
            if re.search(pattern, plain):
                return kind, rank
    return "others", 0


def _plain(name: str) -> str:
    """A name's letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _column(values: pd.Series, name: str, kind: str) -> Column | None:
    """The column, if it has so many levels as one of its kind may have."""
    is_text = isinstance(values.dtype, pd.CategoricalDtype) or values.dtype.kind == "O"
    if not is_text and (kind == "others" or values.dtype.kind not in "iub"):
        return None
    words = pd.Series(label_names(values))
    counts = words[words != ""].value_counts()
    counts = counts.drop([word for word in counts.index if word.lower() in ("nan", "na", "n/a")])
    levels = len(counts)
    if levels not in LEVELS or counts.iloc[1] < min(CELLS_A_LEVEL, len(words) // 10):
        return None
    shown = tuple(str(word) for word in counts.index[:3])
    return Column(name, levels, len(words) - int(counts.sum()), shown)


def _first(found: Iterable[tuple[int, Column]]) -> tuple[Column, ...]:
    return tuple(column for _, column in sorted(found, key=lambda each: each[0]))


def _coarse(obs: pd.DataFrame, labels: list[Column]) -> Column | None:
    """The finest of the columns of labels that the first one lies within."""
    if not labels:
        return None
    fine = label_names(obs[labels[0].name])
    for other in sorted(labels[1:], key=lambda each: -each.levels):
        if other.levels < labels[0].levels:
            both = pd.crosstab(fine, label_names(obs[other.name]))
            both = both.drop(index="", columns="", errors="ignore")
            if both.max(axis=1).sum() >= WITHIN * both.to_numpy().sum() > 0:
                return other
    return None
