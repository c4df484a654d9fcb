"""What `snakemake --report` shows: files that people look at, with captions and in categories."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from snakemake.io import report

# Seen from `workflow/rules`, as Snakemake takes the paths of captions.
CAPTIONS = "../report"

Files = str | list[str] | Mapping[str, list[str]]


class Kind(NamedTuple):
    """A kind of files: its caption's name, its category, and what a file is called there."""

    caption: str
    category: str
    title: str


PROGRAMS, CELLS, GENES, QUALITY, DATA, PAGE = (
    "Programs",
    "Cells",
    "Genes",
    "Quality",
    "Data",
    "Page for people",
)
# By their names; the number of a layer stands in place of the star.
KINDS = {
    "report.html": Kind("page", PAGE, "the report"),
    "tree.png": Kind("tree", PROGRAMS, "all layers in one graph"),
    "programs.png": Kind("verdict", PROGRAMS, "which to believe"),
    "programs.tsv": Kind("programs", PROGRAMS, "all programs"),
    "hierarchy_l*.png": Kind("hierarchy", PROGRAMS, "made up of the layer before"),
    "theta_l*.png": Kind("theta", CELLS, "usage by the cells"),
    "violins_l*.png": Kind("violins", CELLS, "usage by label"),
    "umap_l*.png": Kind("umap", CELLS, "cells in the plane"),
    "umap_l*_programs.png": Kind("umap_programs", CELLS, "programs in the plane"),
    "beta_l*_top.png": Kind("beta", GENES, "loadings of markers"),
    "dots_l*.png": Kind("dots", GENES, "markers by programs"),
    "programs_l*.tsv": Kind("markers", GENES, "marker genes"),
    "gene_sets.tsv": Kind("gene_sets", GENES, "gene sets"),
    "agreement.tsv": Kind("agreement", QUALITY, "agreement with labels or truth"),
    "conditions.tsv": Kind("conditions", QUALITY, "difference between conditions"),
    "truth.png": Kind("truth", QUALITY, "truth and estimate"),
    "sizes.png": Kind("sizes", QUALITY, "sizes that were tried"),
    "sizes.tsv": Kind("sizes_table", QUALITY, "sizes that were tried, table"),
    "loss.png": Kind("loss", QUALITY, "training"),
    "cells.tsv": Kind("cells", DATA, "numbers of cells"),
    "genes.tsv": Kind("genes", DATA, "all genes"),
}


def shown(files: Files) -> Any:
    """The same paths; those that people look at are flagged for `snakemake --report`.

    Parameters
    ----------
    files
        One path with wildcards, a list of them, or lists by name.
    """
    if isinstance(files, Mapping):
        return {name: shown(paths) for name, paths in files.items()}
    if isinstance(files, str):
        return _flagged(files)
    return [_flagged(path) for path in files]


def kind_of(path: str) -> Kind | None:
    """What a file is shown as; None of one that is not."""
    return KINDS.get(re.sub(r"_l\d+(?=[_.])", "_l*", PurePosixPath(path).name))


def _flagged(path: str) -> Any:
    kind = kind_of(path)
    if kind is None:
        return path
    layer = re.search(r"_l(\d+)[_.]\D*$", path)
    of_run = "{run}" in path
    return report(
        path,
        caption=f"{CAPTIONS}/{kind.caption}.rst",
        category=kind.category,
        subcategory="{sample}, {run}" if of_run else "{sample}",
        labels={"what": kind.title, "layer": layer[1] if layer else "all"},
    )
