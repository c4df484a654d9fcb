"""Picture of the genes that make each program."""

import numpy as np
from matplotlib.figure import Figure

from neuralNMF.errors import InputError
from neuralNMF.plots.programs import PER, top_genes
from neuralNMF.plots.style import COLOUR_MAP, FAINT, font_size, name_programs, new_figure

TALLEST = 100.0  # inches; a taller picture opens in few programs


def plot_top_genes(
    beta: np.ndarray,
    symbols: np.ndarray,
    *,
    layer: int,
    top_n: int = 10,
    max_thresh: float = 50.0,
    dead: np.ndarray | None = None,
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
    dead : ndarray of bool or None, (k,)
        Programs that no cell uses; None: those whose row is 0.

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
    programs = len(beta)
    dead = ~np.any(beta > 0, axis=1) if dead is None else dead
    genes, owners = gene_order(beta, top_n)
    if len(genes) == 0:
        raise InputError(f"All programs of layer {layer} are dead: there are no top genes to draw.")
    loadings = PER * beta[:, genes].T

    tall = float(np.clip(TALLEST / len(genes), 0.04, 0.145))
    wide = float(np.clip(10.0 / programs, 0.18, 0.45))
    height, width = tall * len(genes), wide * programs
    figure = new_figure(width + 2.6, max(height, 2.5) + 1.2)
    axes = figure.add_subplot()
    image = axes.imshow(
        loadings,
        aspect="auto",
        cmap=COLOUR_MAP,
        vmin=0,
        vmax=max_thresh,
        interpolation="none",
    )
    axes.set_yticks(np.arange(len(genes)), symbols[genes], fontsize=font_size(tall, largest=8))
    axes.tick_params(axis="y", length=0, pad=2)
    axes.tick_params(axis="x", top=True, labeltop=True)
    name_programs(axes, np.arange(programs), dead, room=wide)
    for edge in np.flatnonzero(np.diff(owners)) + 0.5:
        axes.axhline(edge, color=FAINT, linewidth=0.5)
    axes.set_xlabel(f"programs of layer {layer}")
    axes.set_ylabel("genes, each with its program")
    axes.set_title(f"Layer {layer}: top {top_n} genes of each program", fontsize=11)
    # A bar as long as a tall picture could not be read beside the genes.
    share = min(1.0, 4.0 / max(height, 2.5))
    bar = figure.colorbar(image, ax=axes, extend="max", anchor=(0, 1), shrink=share, aspect=22)
    bar.set_label(f"gene loading per {PER:,} (clipped at {max_thresh:g})")
    return figure


def gene_order(beta: np.ndarray, top_n: int) -> tuple[np.ndarray, np.ndarray]:
    """Order the top genes of all programs, each once.

    Programs follow in their order, their genes from the highest loading down.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs.
    top_n : int
        Genes a program.

    Returns
    -------
    genes : ndarray of int, (n,)
        Columns of `beta`.
    owners : ndarray of int, (n,)
        The program that each gene is drawn with.
    """
    listed = np.zeros(beta.shape, dtype=bool)
    for program, genes in enumerate(top_genes(beta, top_n)):
        listed[program, genes] = True
    genes = np.flatnonzero(listed.any(axis=0))
    among = np.where(listed[:, genes], beta[:, genes], -1)
    owners = among.argmax(axis=0)
    order = np.lexsort((genes, -among.max(axis=0), owners))
    return genes[order], owners[order]
