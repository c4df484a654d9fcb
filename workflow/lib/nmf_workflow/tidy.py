"""The config as it was meant: defaults filled in, and what YAML reads differently put right."""

import copy
from collections.abc import Mapping
from typing import Any

from nmf_workflow import schema
from nmf_workflow.schema import Node


def tidy(value: Any, node: Node, *, defaults: bool = True) -> Any:
    """The value with defaults filled in and what YAML reads differently put right.

    ``key:`` with nothing after it counts as not given; ``1e-5``, which YAML reads as text, becomes
    the number that it is.
    """
    types = [node.get("type"), *(entry.get("type") for entry in alternatives(node))]
    if isinstance(value, list):
        inner = schema.child(node, 0)
        return [tidy(entry, inner, defaults=defaults) for entry in value] if inner else value
    if isinstance(value, str) and "number" in types:
        return as_number(value)
    if isinstance(value, float) and value.is_integer() and "number" not in types:
        return int(value) if "integer" in flat(types) else value
    if not isinstance(value, Mapping):
        return value
    defaults = defaults and not node.get("inherits")
    result = {}
    for key, entry in value.items():
        key = str(key)  # a sample named 2024 is a number to YAML
        below = schema.child(node, key)
        if entry is None and below is not None and "null" not in flat([below.get("type")]):
            if below.get("type") != "object":
                continue
            entry = {}
        result[key] = entry if below is None else tidy(entry, below, defaults=defaults)
    for key, below in schema.properties(node).items():
        if defaults and key not in result and "default" in below:
            result[key] = tidy(copy.deepcopy(below["default"]), below)
    return result


def alternatives(node: Node) -> list[Node]:
    """The ``anyOf`` of a node, nested ones included."""
    found = []
    for entry in map(schema.resolve, node.get("anyOf", [])):
        found += [entry, *alternatives(entry)]
    return found


def flat(types: list[Any]) -> set[str]:
    """The JSON types named, each of which may be a name or a list of names."""
    return {name for entry in types for name in (entry if isinstance(entry, list) else [entry])}


def as_number(text: str) -> float | str:
    """The number that a text spells, or else the text."""
    try:
        return float(text)
    except ValueError:
        return text
