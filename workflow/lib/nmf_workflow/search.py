"""Layers that are chosen by the data: what is tried, and the most that may come of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuralNMF.options import COARSER, DEEPEST


@dataclass(frozen=True)
class Search:
    """What is tried for a run whose layers are chosen by the data.

    Attributes
    ----------
    sizes
        Of the first layer.
    lists
        The models to choose among; None for any.
    """

    sizes: list[int]
    lists: list[list[int]] | None


def is_searched(layers: Any) -> bool:
    """Whether the key ``layers`` leaves the choice to the data."""
    return layers == "auto" or any(isinstance(entry, list) for entry in layers)


def settle_layers(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a fit with ``search``, and as ``layers`` the most that they may be."""
    layers = fit["layers"]
    if not is_searched(layers):
        return {**fit, "search": None}
    if layers == "auto":
        sizes = sorted(set(fit["sizes"]))
        bounds = [sizes[-1]]
        while len(bounds) < DEEPEST:
            bounds.append(max(1, min(bounds[-1] - 1, round(COARSER * bounds[-1]))))
        return {**fit, "search": Search(sizes, None), "layers": bounds}
    deepest = max(map(len, layers))
    bounds = [max(each[n] for each in layers if len(each) > n) for n in range(deepest)]
    search = Search(sorted({each[0] for each in layers}), layers)
    return {**fit, "search": search, "layers": bounds}
