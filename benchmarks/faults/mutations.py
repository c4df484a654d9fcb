"""Ways to spoil a file: bits, bytes, stretches, lines; numbers and words that nobody expects."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import yaml
from nmf_workflow.repeated_keys import LOADER

EXTREMES = [
    "0", "-1", "1", "2", "1e12", "1e300", "1e308", "1e-300", "-1e-300", "1e999", ".inf", "-.inf",
    ".nan", "nan", "NaN", "4611686018427387904", "9223372036854775808", "340282366920938463463",
    "null", "~", "true", "no", "''", "'1'", "[]", "{}", "[1]", "[[1]]", "{a: 1}", "[20, 10, 5]",
    "auto", "cuda:99999999999999999999", "\"cpu\\n\"", "\"a\\nb\"", "'../x'", "~nosuchuser/x",
    "/dev/null", "/", ".", "'{x}'", "x" * 300, "!!python/object:os.system x", "&a [*a]", "*b",
    "0x10", "0o17", "1_000", "2020-01-01", "? x", "- x", "\"\\0\"", "ä", "\u2028", "[" * 50,
    str([3] * 1000), str(list(range(1000, 0, -1))),
]  # fmt: skip


def flipped(whole: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with one bit changed."""
    data = bytearray(whole)
    place = int(rng.integers(8 * len(data)))
    data[place // 8] ^= 1 << (place % 8)
    return bytes(data)


def spoiled(whole: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with some bits, bytes or a stretch changed, cut off, or put in twice."""
    data = bytearray(whole)
    how = int(rng.integers(6))
    if how == 0:
        for place in rng.integers(len(data), size=int(rng.integers(1, 4))):
            data[place] ^= 1 << int(rng.integers(8))
    elif how == 1:
        for place in rng.integers(len(data), size=int(rng.integers(1, 20))):
            data[place] = int(rng.integers(256))
    elif how == 2:
        del data[int(rng.integers(len(data))) :]
    elif how == 3:
        place, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
        data[place : place + length] = bytes([int(rng.choice([0, 32, 255]))]) * length
    elif how == 4:
        place, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
        data[place:place] = data[place : place + length]
    else:
        place, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
        del data[place : place + length]
    return bytes(data)


@cache
def readable_extremes() -> list[Any]:
    """Those of the extremes that YAML reads, as it reads them."""
    values = []
    for text in EXTREMES:
        with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
            values.append(yaml.load(text, LOADER))
    return values


def spoiled_tree(text: str, rng: np.random.Generator) -> Any:
    """A config, read, in which one to three values or keys are others."""
    tree, extremes = yaml.load(text, LOADER), readable_extremes()
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(tree))
        below, step = places[int(rng.integers(len(places)))]
        value = copy.deepcopy(extremes[int(rng.integers(len(extremes)))])
        if isinstance(below, dict) and rng.random() < 0.2:
            with contextlib.suppress(TypeError):  # a list is no key
                below[value] = below.pop(step)
        elif rng.random() < 0.1:
            del below[step]
        else:
            below[step] = value
        if not tree:
            return tree
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping and list of a tree with each of its keys."""
    entries = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    for step, below in entries:
        yield tree, step
        if isinstance(below, dict | list) and below is not tree:
            yield from _places(below)


def spoiled_yaml(text: str, rng: np.random.Generator) -> str:
    """A config with values, keys or lines changed, so that most are still YAML."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 3))):
        number = int(rng.integers(len(lines)))
        found = re.match(r"(\s*)([^\s:#]+):(\s*)(.*)", lines[number])
        how = int(rng.integers(7))
        if how <= 2 and found:
            lines[number] = f"{found[1]}{found[2]}: {rng.choice(EXTREMES)}"
        elif how == 3 and found:
            lines[number] = f"{found[1]}{rng.choice(EXTREMES)}: {found[4]}"
        elif how == 4:
            lines.insert(number, lines[int(rng.integers(len(lines)))])
        elif how == 5:
            lines[number] = " " * int(rng.integers(8)) + lines[number].lstrip()
        else:
            raw = lines[number].encode() or b" "
            lines[number] = spoiled(raw, rng).decode("utf-8", "replace")
        lines = lines or [""]
    return "\n".join(lines) + "\n"
