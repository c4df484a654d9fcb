"""The genes that a list of the user's means: by id, by symbol, or by their class."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.gene_classes import GENE_CLASSES, gene_class, gene_class_mask

logger = logging.getLogger(__name__)


def match_genes(
    names: Sequence[str], ids: np.ndarray, symbols: np.ndarray, what: str
) -> np.ndarray:
    """Find the genes of a list; names that no gene has and sizes of classes are logged.

    Parameters
    ----------
    names : sequence of str
        The list: ids, symbols, and classes of genes (`neuralNMF.gene_classes`).
    ids, symbols : ndarray of str, (M,)
        Of the genes.
    what : str
        The list's name, for messages.

    Returns
    -------
    ndarray of bool, (M,)
        Which genes are in the list.

    Raises
    ------
    InputError
        No gene has any of the names, nor is of any of the classes beside them.
    """
    wanted = {name for name in names if gene_class(name) is None}
    classes = dict.fromkeys(known for name in names if (known := gene_class(name)) is not None)
    mask = pd.Index(ids).isin(wanted) | pd.Index(symbols).isin(wanted)
    unknown = sorted(wanted - set(ids[mask]) - set(symbols[mask]))
    for known in classes:
        mask |= _of_class(known, symbols, what)
    if wanted and not mask.any():
        raise InputError(
            f"None of the {len(wanted)} genes of '{what}' ({_some(unknown)}) is in the data, whose "
            f"ids are like '{ids[0]}' and symbols like '{symbols[0]}': give names of that kind, or "
            f"classes: {', '.join(GENE_CLASSES)}."
        )
    if unknown:
        logger.warning(
            "%s: %d of %d genes are not in the data: %s",
            what,
            len(unknown),
            len(wanted),
            _some(unknown),
        )
    return mask


def _of_class(known: str, symbols: np.ndarray, what: str) -> np.ndarray:
    """Which genes are of a class; how many is logged, and none is a warning."""
    mask = gene_class_mask(symbols, known)
    if mask.any():
        logger.info("%s: %d %s genes (%s)", what, mask.sum(), known, _some(symbols[mask], 3))
    else:
        logger.warning(
            "%s: no gene is %s by its symbol, symbols are like '%s'", what, known, symbols[0]
        )
    return mask


def _some(names: Sequence[str], number: int = 10) -> str:
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")
