"""Keys that stand twice in a file of YAML, of which its reader takes the last and says nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

# The compiled one, ten times as fast, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def repeated_keys(paths: Iterable[str | Path]) -> Iterator[str]:
    """One sentence for each key that stands twice in one mapping of a config file.

    Parameters
    ----------
    paths
        Of the config files; what is no text or no YAML is left to the reader of the config.

    Yields
    ------
    str
        The file, the two lines and the key. ``1`` and ``'1'`` are one key: names are text.
    """
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8")
            tree = yaml.compose(text, Loader=LOADER)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue
        yield from (f"{path}, {found}" for found in _repeated(tree))


def _repeated(tree: yaml.Node | None) -> Iterator[str]:
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                waiting.append(value)
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines and name != "<<":
                    yield (
                        f"lines {lines[name]} and {line}: the key {name!r} stands twice; leave one."
                    )
                lines[name] = line
