"""The config's JSON schema as a tree: the keys below a key, their defaults and phrases."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"

Node = dict[str, Any]


@cache
def load_schema() -> Node:
    """The schema as written, read once."""
    return yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


def resolve(node: Node) -> Node:
    """The node with what its ``$ref`` says put in; what the node itself says comes first."""
    if "$ref" not in node:
        return node
    target = load_schema()
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    target = resolve(target)
    merged = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "properties" in target and "properties" in node:
        own = node["properties"]
        rest = {key: value for key, value in target["properties"].items() if key not in own}
        merged["properties"] = {**own, **rest}
    return merged


def properties(node: Node) -> dict[str, Node]:
    """The fixed keys that may stand below a node, each with its own node."""
    return {key: resolve(child) for key, child in resolve(node).get("properties", {}).items()}


def child(node: Node, step: str | int) -> Node | None:
    """The node of one key or list entry below a node, None where the schema says nothing of it."""
    node = resolve(node)
    if isinstance(step, int):
        inner = [node, *map(resolve, node.get("anyOf", []))]
        return next((resolve(entry["items"]) for entry in inner if "items" in entry), None)
    if step in node.get("properties", {}):
        return resolve(node["properties"][step])
    other = node.get("additionalProperties")
    return resolve(other) if isinstance(other, dict) else None


def allowed_at(path: list[str | int]) -> str:
    """What is allowed at a path of the config, in words: the deepest node's phrase."""
    node = resolve(load_schema())
    phrase = "what docs/config.md says"
    for step in path:
        below = child(node, step)
        if below is None:
            break
        node = below
        phrase = node.get("allowed", phrase)
    return phrase


def all_keys(node: Node | None = None, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """All keys of the config with dotted path and node, top to bottom; names are ``<name>``."""
    node = resolve(load_schema()) if node is None else node
    for key, entry in properties(node).items():
        path = f"{prefix}{key}"
        yield path, entry
        if not entry.get("inherits"):
            yield from all_keys(entry, f"{path}.")
    if isinstance(node.get("additionalProperties"), Mapping):
        entry = resolve(node["additionalProperties"])
        if not entry.get("inherits"):
            yield from all_keys(entry, f"{prefix}<name>.")
