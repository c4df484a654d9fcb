"""Whether to believe a program: its flags and figures in one short sentence."""

from collections.abc import Mapping
from typing import Any

# Programs whose usage correlates at least so much are one and the same (as for replication).
TWINS = 0.8
# A program of which the input that has most of it has more than this has no other.
ONE_INPUT = 0.9
# Among cells of a kind the programs of four labelled sets stay below 0.55.
LIBRARY_SIZE = 0.6

_OF_GENES = {
    "ribosomal": "ribosomal genes",
    "mitochondrial": "mitochondrial genes",
    "haemoglobin": "haemoglobin genes",
    "MALAT1": "MALAT1",
    "stress": "stress genes",
}


def flags_of_figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags that the figures of a row of `programs.tsv` give: those beside its genes'.

    ``no parent``, ``redundant``, ``library size``, ``one input``, ``one batch``, ``one donor``,
    ``not replicated``, ``no held-out gain``; figures that are missing or NaN give none.
    """
    found = {
        "no parent": row.get("parent_share") == 0,
        "redundant": row.get("redundancy", 0) >= TWINS,
        "library size": abs(row.get("library_size_correlation", 0)) >= LIBRARY_SIZE,
        "one input": row.get("main_input_share", 0) > ONE_INPUT,
        "one batch": row.get("main_batch_share", 0) > ONE_INPUT,
        "one donor": row.get("main_donor_share", 0) > ONE_INPUT,
        "not replicated": _is_false(row.get("replicated")),
        "no held-out gain": row.get("held_out_gain", 1) <= 0,
    }
    return tuple(flag for flag, there in found.items() if there)


def believe(row: Mapping[str, Any], flags: tuple[str, ...]) -> str:
    """The verdict: ``yes``, ``no: why`` or ``with care: why``, several reasons with a semicolon.

    Parameters
    ----------
    row : mapping
        Of `programs.tsv`: its figures by column.
    flags : tuple of str
        All flags of the program.

    Returns
    -------
    str
        ``no`` where no cell uses the program, fewer than ten cells carry it, or it is not found in
        other cells; ``with care`` where it has another flag; the cell cycle is none against it.
    """
    if "dead" in flags:
        return "no: no cell uses it"
    if "noise" in flags:
        cells = max(int(row["effective_cells"]), 1)
        return f"no: {cells} cells carry it" if cells > 1 else "no: 1 cell carries it"
    if "not replicated" in flags:
        return "no: not found again in other cells"
    reasons = {
        **_OF_GENES,
        "no parent": "part of no program of the next layer",
        "redundant": f"nearly the same cells as {row.get('redundant_with')}",
        "library size": "follows the library size",
        "one input": f"nearly only in the input {row.get('main_input')}",
        "one batch": f"nearly only in the batch {row.get('main_batch')}",
        "one donor": f"nearly only in the donor {row.get('main_donor')}",
        "no held-out gain": "adds nothing to the prediction of held-out counts",
    }
    why = "; ".join(reason for flag, reason in reasons.items() if flag in flags)
    return f"with care: {why}" if why else "yes"


def _is_false(value: object) -> bool:
    """Whether a table says no: False, 0 or their text; a missing value says nothing."""
    return str(value).strip().lower() in ("false", "0", "0.0", "no")
