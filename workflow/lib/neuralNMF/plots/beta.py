"""Picture of the genes that mark each program."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuralNMF.errors import InputError
from neuralNMF.plots.frames import gene_names, loading_bar, name_genes
from neuralNMF.plots.programs import PER, top_genes
from neuralNMF.plots.style import (
    COLOUR_MAP,
    Programs,
    draw_title,
    grey_columns,
    new_figure,
    plain_programs,
    title_inches,
)

TALLEST = 100.0  # inches; a taller picture opens in few programs
TALL = 6.0  # inches from which programs are named at both ends


def plot_top_genes(
    beta: np.ndarray,
    symbols: np.ndarray,
    *,
    layer: int,
    top_n: int = 10,
    max_thresh: float = 50.0,
    programs: Programs | None = None,
    genes: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Draw a heat map of the top genes of every program, genes x programs.

    A gene that is among the top of several programs stands once, with the program in which it
    has the highest loading.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs; rows sum to 1, shown per 10,000 as counts often are.
    symbols : ndarray of str, (M,)
        Names of the genes.
    layer : int
        For the title.
    top_n : int
        Genes a program.
    max_thresh : float
        End of the colours, per 10,000; the same for all layers makes them comparable.
    programs : Programs or None
        In the order of the tree; None: as they are, dead where the row is 0.
    genes : sequence of ndarray of int or None
        Columns of each program's genes, the best first: its markers. None: those with the
        highest loadings.

    Returns
    -------
    Figure
        Not yet saved.

    Raises
    ------
    InputError
        `max_thresh` is not above 0, `top_n` is below 1, or all programs are dead.
    """
    if not max_thresh > 0:
        raise InputError(f"max_thresh must be above 0, not {max_thresh}.")
    count = len(beta)
    kind = "top" if genes is None else "marker"
    lists = top_genes(beta, top_n) if genes is None else [best[:top_n] for best in genes]
    programs = plain_programs(~np.any(beta > 0, axis=1)) if programs is None else programs
    rows, owners = gene_order(beta, lists, programs.order)
    if len(rows) == 0:
        raise InputError(f"All programs of layer {layer} are dead: there are no top genes to draw.")
    loadings = PER * beta[np.ix_(programs.order, rows)].T

    tall = float(np.clip(TALLEST / len(rows), 0.04, 0.145))
    wide = float(np.clip(12.0 / count, 0.18, 0.45))
    height, width = tall * len(rows), max(wide * count, 1.2)
    names, long = gene_names(symbols[rows])
    title = f"Layer {layer}: {top_n} {kind} genes of each program"
    twice = height > TALL
    figure = new_figure(
        max(width + 1.3 + long, title_inches(title)),
        max(height, 2.5) + (1 + twice) * programs.inches() + 1.0,
    )
    axes = figure.add_subplot()
    image = axes.imshow(
        loadings,
        aspect="auto",
        cmap=COLOUR_MAP,
        vmin=0,
        vmax=max_thresh,
        interpolation="none",
    )
    grey_columns(axes, loadings, programs.drawn_grey, max_thresh)
    axes.tick_params(axis="x", top=twice, labeltop=twice)
    name_genes(axes, names, owners, programs, layer=layer, tall=tall, wide=width / count)
    axes.set_ylabel("genes, each with its program")
    draw_title(figure, title)
    loading_bar(figure, axes, image, max_thresh, height=max(height, 2.5), high=4.0)
    return figure


def beta_table(
    beta: np.ndarray, symbols: np.ndarray, programs: Programs, genes: Sequence[np.ndarray]
) -> pd.DataFrame:
    """What `plot_top_genes` draws, per 10,000: a row a gene, a column a program."""
    rows, owners = gene_order(beta, genes, programs.order)
    table = pd.DataFrame(
        {"gene": symbols[rows], "marker_of": [programs.names[k] for k in owners]}, dtype=object
    )
    parts = {programs.names[k]: PER * beta[k, rows].astype(np.float64) for k in programs.order}
    return table.assign(**parts)


def gene_order(
    beta: np.ndarray, lists: Sequence[np.ndarray], order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order the top genes of all programs, each once.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs.
    lists : sequence of ndarray of int
        Columns of each program's genes, the best first.
    order : ndarray of int, (k,)
        In which programs follow each other; their genes as in their list.

    Returns
    -------
    genes : ndarray of int, (n,)
        Columns of `beta`.
    owners : ndarray of int, (n,)
        The program that each gene is drawn with: of those that list it, the one in which it has
        the highest loading.
    """
    owner: dict[int, int] = {}
    for program in order:
        for gene in lists[program]:
            if gene not in owner or beta[program, gene] > beta[owner[gene], gene]:
                owner[gene] = program
    drawn = [(gene, k) for k in order for gene in lists[k] if owner[gene] == k]
    return tuple(np.array(drawn, dtype=int).reshape(-1, 2).T)  # type: ignore[return-value]
