"""Which numbers can be raw counts."""

import numpy as np

# So far from a whole number a count may be, by float32 and how it was made; large ones by a share.
NOISE, NOISE_SHARE = 1e-3, 1e-6
LARGEST = float(np.finfo(np.float32).max)


# Totals of so many cells whose spread is so small a share of their mean were made the same.
_CELLS, _SPREAD = 100, 0.05


def made_equal(totals: np.ndarray) -> bool:
    """Whether cells have the same total but for rounding, as no counts of molecules have.

    Normalised values that were rounded look so, and counts that were thinned to one depth.

    Parameters
    ----------
    totals : ndarray, (N,)
        Of each cell.
    """
    used = totals[totals > 0]
    return used.size >= _CELLS and bool(used.std() <= _SPREAD * used.mean())


def off_whole(values: np.ndarray) -> np.ndarray:
    """How far each value is from a whole number, of the same shape; nothing for whole numbers."""
    if values.dtype.kind != "f":
        return np.zeros(0)
    with np.errstate(invalid="ignore"):  # of infinite values, which are refused first
        return np.abs(values - np.rint(values))


def fault_of(values: np.ndarray) -> tuple[str, np.ndarray] | None:
    """What is wrong with values as raw counts, the worst first.

    Parameters
    ----------
    values : ndarray of numbers or truth values

    Returns
    -------
    (str, ndarray of bool) or None
        What (``NaN or infinite``, ``too large``, ``negative`` or ``fractional``), and of which
        values; None where all can be counts.
    """
    noise = np.maximum(NOISE, NOISE_SHARE * np.abs(values)) if values.dtype.kind == "f" else 0
    tests = {
        "NaN or infinite": lambda: ~np.isfinite(values),
        "too large": lambda: values > LARGEST,
        "negative": lambda: values < -NOISE,
        "fractional": lambda: off_whole(values) > noise,
    }
    kinds = {"f": list(tests), "i": list(tests)[1:3], "u": list(tests)[1:2]}
    for kind in kinds.get(values.dtype.kind, []):
        wrong = tests[kind]()
        if wrong.any():
            return kind, wrong
    return None
