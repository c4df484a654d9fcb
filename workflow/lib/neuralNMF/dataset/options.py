"""What `build_dataset` is asked for and what it tells."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neuralNMF.errors import InputError
from neuralNMF.options import GENE_LISTS, VARIABLE_GENES_BY


@dataclass(frozen=True)
class InputSpec:
    """One input of a data set.

    Attributes
    ----------
    path : str or Path
        Counts file or folder.
    name : str
        In ``obs["dataset"]``.
    layer : str or None
        Of an ``.h5ad``: where the counts are; None for ``X``.

    Raises
    ------
    InputError
        The name is empty.
    """

    path: str | Path
    name: str
    layer: str | None = None

    def __post_init__(self) -> None:
        if not str(self.name).strip():
            raise InputError(f"The input '{self.path}' has an empty name: give it one.")


@dataclass(frozen=True)
class DatasetOptions:
    """Which cells and genes go into the data set.

    Attributes
    ----------
    variable_genes : int or None
        Number of most variable genes to keep; None keeps all.
    variable_genes_by : str
        How they are found: ``seurat_v3``, by the variance of standardized counts, or ``pearson``,
        by that of Pearson residuals.
    min_cells : int
        Genes that fewer cells express are dropped.
    min_counts : int
        Cells with fewer counts (over all genes of their input) are dropped.
    include : sequence of str, path or None
        Genes to keep in any case: ids, symbols or classes (`neuralNMF.gene_classes`), a list or a
        file with one name a line.
    exclude : sequence of str, path or None
        Genes to drop in any case; wins over `include`.
    genes : sequence of str, path or None
        Only these genes, and those of `include`.
    hvg_theta : float
        Overdispersion of the Pearson residuals: counts of mean mu have the variance
        mu + mu^2 / theta. The config has no key for it; 100 suits counts of molecules (UMI).
    batch : str or None
        Column of ``obs``, or ``input``: variable genes are those that vary within the batches.

    Raises
    ------
    InputError
        A value is out of range.
    """

    variable_genes: int | None = None
    variable_genes_by: str = VARIABLE_GENES_BY[0]
    min_cells: int = 1
    min_counts: int = 1
    include: Sequence[str] | str | Path | None = None
    exclude: Sequence[str] | str | Path | None = None
    genes: Sequence[str] | str | Path | None = None
    hvg_theta: float = 100.0
    batch: str | None = None

    def __post_init__(self) -> None:
        numbers = {"min_cells": 0, "min_counts": 1}
        if self.variable_genes is not None:
            numbers["variable_genes"] = 2
        for name, least in numbers.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}: give a whole number of at least {least}.")
        if self.variable_genes_by not in VARIABLE_GENES_BY:
            allowed = ", ".join(VARIABLE_GENES_BY)
            raise InputError(
                f"variable_genes_by is {self.variable_genes_by!r}: it may be {allowed}."
            )
        if not self.hvg_theta > 0:
            raise InputError(f"hvg_theta is {self.hvg_theta!r}: give a positive number.")

    def plain(self) -> dict[str, Any]:
        """The options as JSON types; of a list's file only the name, since folders differ."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name in GENE_LISTS:
            value = values[name]
            if isinstance(value, str | Path):
                values[name] = Path(value).name
            elif value is not None:
                values[name] = [str(gene) for gene in value]
        if self.batch is None:
            del values["batch"]  # as files of data sets without batches have always been
        return values


@dataclass(frozen=True)
class DatasetSummary:
    """What `build_dataset` wrote.

    Attributes
    ----------
    shape : (int, int)
        Cells N and genes M.
    nnz : int
        Non-zero counts.
    dropped : dict of str to int
        How many cells and genes each filter dropped.
    """

    shape: tuple[int, int]
    nnz: int
    dropped: dict[str, int] = field(default_factory=dict)
