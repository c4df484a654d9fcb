"""The config as it was meant: defaults filled in, and what YAML reads differently put right."""

import copy
from collections.abc import Mapping
from typing import Any

from nmf_workflow import schema
from nmf_workflow.schema import Node


def tidy(value: Any, node: Node, *, defaults: bool = True) -> Any:
    """The value with defaults filled in and what YAML reads differently put right.

    ``key:`` with nothing after it counts as not given; ``1e-5``, which YAML reads as text, and the
    numbers in ``--config layers=[20,10]``, which Snakemake does, become the numbers that they are.
    """
    types = json_types(node)
    if isinstance(value, list):
        inner = schema.child(node, 0)
        return [tidy(entry, inner, defaults=defaults) for entry in value] if inner else value
    if isinstance(value, str | float) and "string" not in types:
        return as_number(value, types)
    if not isinstance(value, Mapping):
        return value
    defaults = defaults and not node.get("inherits")
    result = {}
    for key, entry in value.items():
        # A sample named 2024 is a number to YAML; no name at all is none for the schema either.
        key = "" if key is None else str(key)
        below = schema.child(node, key)
        if entry is None and below is not None and "null" not in json_types(below):
            if below.get("type") != "object" or "default" in below:
                continue
            entry = {}
        result[key] = entry if below is None else tidy(entry, below, defaults=defaults)
    for key, below in schema.properties(node).items():
        if defaults and key not in result and "default" in below:
            result[key] = tidy(copy.deepcopy(below["default"]), below)
    return result


def json_types(node: Node) -> set[str]:
    """The JSON types that a node allows, those of its alternatives included."""
    own = node.get("type", [])
    found = {own} if isinstance(own, str) else set(own)
    return found.union(*(json_types(schema.resolve(entry)) for entry in node.get("anyOf", [])))


def as_number(value: str | float, types: set[str]) -> Any:
    """The number of the types allowed that is meant, or else the value as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    if "number" in types:
        return number
    return int(number) if "integer" in types and number.is_integer() else value
